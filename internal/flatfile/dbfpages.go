package flatfile

import "fmt"

// codePageMarks says which code page byte 29 of a DBF stands for ("language driver" in dBase, "code page mark" in FoxPro).
var codePageMarks = map[byte]int{
	0x01: 437, 0x02: 850, 0x03: 1252, 0x04: 10000, 0x08: 865, 0x09: 437, 0x0a: 850, 0x0b: 437, 0x0d: 437, 0x0e: 850, 0x0f: 437,
	0x10: 850, 0x11: 437, 0x12: 850, 0x13: 932, 0x14: 850, 0x15: 437, 0x16: 850, 0x17: 865, 0x18: 437, 0x19: 437, 0x1a: 850,
	0x1b: 437, 0x1c: 863, 0x1d: 850, 0x1f: 852, 0x22: 852, 0x23: 852, 0x24: 860, 0x25: 850, 0x26: 866, 0x37: 850, 0x40: 852,
	0x4d: 936, 0x4e: 949, 0x4f: 950, 0x50: 874, 0x57: 1252, 0x58: 1252, 0x59: 1252, 0x64: 852, 0x65: 866, 0x66: 865, 0x67: 861,
	0x68: 895, 0x69: 620, 0x6a: 737, 0x6b: 857, 0x6c: 863, 0x78: 950, 0x79: 949, 0x7a: 936, 0x7b: 932, 0x7c: 874, 0x7d: 1255,
	0x7e: 1256, 0x86: 737, 0x87: 852, 0x88: 857, 0x96: 10007, 0x97: 10029, 0x98: 10006, 0xc8: 1250, 0xc9: 1251, 0xca: 1254,
	0xcb: 1253, 0xcc: 1257,
}

// findCharset decides in which code page the text of a file is. Where nobody says, only ASCII is sure; the rest is not guessed.
func (f *dbfForm) findCharset(h *dbfHeader, mark byte, p *part, l *layout) {
	page := codePageMarks[mark]
	if f.set.charset != nil {
		h.charset = f.set.charset
		if own, ok := codePage(page); page != 0 && ok && own.name != h.charset.name {
			l.notes = append(l.notes, fmt.Sprintf("%s says that it is written in %s; it is read as %s, as the URL says.", p.name, own.name, h.charset.name))
		}
		return
	}
	h.charset = charsetASCII
	switch c, ok := codePage(page); {
	case page != 0 && ok:
		h.charset = c
	case page != 0:
		h.doubt = fmt.Sprintf("its code page is %d, which is not known here", page)
	case mark != 0:
		h.doubt = fmt.Sprintf("its code page has the mark %#02x, which is not known", mark)
	default:
		h.doubt = "it does not say its code page; say for example encoding=cp850 or encoding=cp1252 in the URL"
	}
}
