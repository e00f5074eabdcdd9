package sqldb

import (
	"slices"
	"strings"
	"unicode/utf8"

	textenc "golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// Text of Firebird is read as the bytes that are stored, through sessions of CHARACTER SET NONE, and decoded here, column by
// column. The server would do it too, but what it cannot decode it answers with an error in the middle of the rows, or, in
// Firebird 3, with a NUL character: neither lets a single row be set aside.

// fbUTF8 are the character sets whose bytes are UTF-8, or are taken for it.
var fbUTF8 = []string{"UTF8", "UNICODE_FSS", "ASCII", "NONE"}

// fbCharmaps are the character sets of one byte.
var fbCharmaps = map[string]*charmap.Charmap{
	"ISO8859_1": charmap.ISO8859_1, "ISO8859_2": charmap.ISO8859_2, "ISO8859_3": charmap.ISO8859_3, "ISO8859_4": charmap.ISO8859_4,
	"ISO8859_5": charmap.ISO8859_5, "ISO8859_6": charmap.ISO8859_6, "ISO8859_7": charmap.ISO8859_7, "ISO8859_8": charmap.ISO8859_8,
	"ISO8859_9": charmap.ISO8859_9, "ISO8859_13": charmap.ISO8859_13,
	"WIN1250": charmap.Windows1250, "WIN1251": charmap.Windows1251, "WIN1252": charmap.Windows1252, "WIN1253": charmap.Windows1253,
	"WIN1254": charmap.Windows1254, "WIN1255": charmap.Windows1255, "WIN1256": charmap.Windows1256, "WIN1257": charmap.Windows1257,
	"WIN1258": charmap.Windows1258, "KOI8R": charmap.KOI8R, "KOI8U": charmap.KOI8U, "TIS620": charmap.Windows874,
	"DOS437": charmap.CodePage437, "DOS850": charmap.CodePage850, "DOS852": charmap.CodePage852, "DOS855": charmap.CodePage855,
	"DOS858": charmap.CodePage858, "DOS860": charmap.CodePage860, "DOS862": charmap.CodePage862, "DOS863": charmap.CodePage863,
	"DOS865": charmap.CodePage865, "DOS866": charmap.CodePage866,
}

// fbWide are the character sets of several bytes.
var fbWide = map[string]textenc.Encoding{
	"SJIS_0208": japanese.ShiftJIS, "EUCJ_0208": japanese.EUCJP, "KSC_5601": korean.EUCKR, "BIG_5": traditionalchinese.Big5,
	"GB_2312": simplifiedchinese.GBK, "GBK": simplifiedchinese.GBK, "CP943C": japanese.ShiftJIS, "GB18030": simplifiedchinese.GB18030,
}

// fbNames are other names of character sets, as Firebird and others write them.
var fbNames = map[string]string{
	"ANSI": "WIN1252", "CP1252": "WIN1252", "WINDOWS1252": "WIN1252", "LATIN1": "ISO8859_1", "ISO88591": "ISO8859_1", "UTF_8": "UTF8",
	"USASCII": "ASCII", "SJIS": "SJIS_0208", "EUCJ": "EUCJ_0208", "BIG5": "BIG_5", "GB2312": "GB_2312", "KSC5601": "KSC_5601",
}

// fbKnown returns a character set by the name that Firebird gives it, and false for one that cannot be decoded.
func fbKnown(name string) (string, bool) {
	name = strings.ToUpper(strings.TrimSpace(name))
	if other, ok := fbNames[strings.ReplaceAll(name, "-", "")]; ok {
		name = other
	}
	if other, ok := fbNames[strings.ReplaceAll(name, "-", "_")]; ok {
		name = other
	}
	if code, ok := strings.CutPrefix(strings.ReplaceAll(name, "-", ""), "CP"); ok && fbCharmaps["WIN"+code] != nil {
		name = "WIN" + code
	}
	return name, slices.Contains(fbUTF8, name) || fbCharmaps[name] != nil || fbWide[name] != nil
}

// fbCoder turns bytes of one character set into UTF-8 and back. The zero value leaves them as they are.
//
// What is no character stays as it is, behind a mark that UTF-8 never holds: no target takes the text for one, and encode,
// which keys need, gives back the very bytes. (Without the mark two such bytes may be one character of UTF-8.)
type fbCoder struct {
	one      *charmap.Charmap
	wide     textenc.Encoding
	controls bool // 0x80 to 0x9f are control characters; where Windows has gaps, the tables of the web have them too
}

// fbNoText marks a byte that is no character, or, of several bytes each, a text that holds one.
const fbNoText = 0xff

// fbCoderOf returns the coder for the type of a column, and false where the server has to decode.
func fbCoderOf(typ string) (fbCoder, bool) {
	_, charset, readAs := fbTextOf(typ)
	if readAs != "" {
		charset = readAs
	}
	if slices.Contains(fbUTF8, charset) || charset == "OCTETS" || charset == "" {
		return fbCoder{}, true
	}
	if m := fbCharmaps[charset]; m != nil {
		return fbCoder{one: m, controls: strings.HasPrefix(charset, "ISO")}, true
	}
	wide := fbWide[charset]
	return fbCoder{wide: wide}, wide != nil
}

// decode returns text as UTF-8, in buf where it is not the same bytes.
func (f fbCoder) decode(b, buf []byte) (text, newBuf []byte) {
	if f.one == nil && f.wide == nil || isASCII(b) {
		return b, buf
	}
	out := buf[:0]
	if f.one != nil {
		for _, c := range b {
			if r, ok := f.rune(c); ok {
				out = utf8.AppendRune(out, r)
			} else {
				out = append(out, fbNoText, c)
			}
		}
		return out, out
	}
	all, err := f.wide.NewDecoder().Bytes(b)
	if err == nil && !slices.Contains([]rune(string(all)), utf8.RuneError) {
		return all, buf
	}
	out = append(append(out, fbNoText), b...)
	return out, out
}

// rune returns the character of a byte, and false where there is none.
func (f fbCoder) rune(c byte) (rune, bool) {
	r := f.one.DecodeByte(c)
	if r == utf8.RuneError || !f.controls && r >= 0x80 && r < 0xa0 {
		return 0, false
	}
	return r, true
}

// encode returns the bytes that decode made a text of.
func (f fbCoder) encode(s string) []byte {
	if f.one == nil && f.wide == nil {
		return []byte(s)
	}
	if f.wide != nil {
		if len(s) > 0 && s[0] == fbNoText {
			return []byte(s[1:])
		}
		out, err := f.wide.NewEncoder().String(s)
		if err != nil {
			return []byte(s) // it is no text of this character set, and so equal to none that is
		}
		return []byte(out)
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] == fbNoText && i+1 < len(s) {
			out = append(out, s[i+1])
			i += 2
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if c, ok := f.one.EncodeRune(r); ok {
			out = append(out, c)
		} else {
			out = append(out, s[i:i+size]...) // it is no text of this character set, and so equal to none that is
		}
		i += size
	}
	return out
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// noText says why bytes are no text.
func (c *codec) noText() string {
	if c.from != Firebird {
		return "is not valid UTF-8"
	}
	switch _, charset, readAs := fbTextOf(c.src.Type); {
	case readAs != "":
		return "holds bytes that are no text in " + readAs + ", as which the URL (charset=) wants it to be read"
	case charset == "NONE":
		return "is not valid UTF-8, in a column of CHARACTER SET NONE: say in the URL what it is (?charset=WIN1252)"
	default:
		return "holds bytes that are no text in " + charset
	}
}
