package flatfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// dbfHeader is what a DBF says of itself. Its layout, all numbers with the low byte first:
//
//	 0     version, see dbfVersions
//	 1-3   day of the last change
//	 4-7   number of records
//	 8-9   length of the header: where the records begin
//	10-11  length of a record, with the byte that says whether it is deleted
//	15     1 where dBase IV has encrypted the records
//	28     1 an index, 2 memos, 4 a container of Visual FoxPro
//	29     the code page, see codePageMarks
//	32-    fields of 32 bytes each, up to a byte 13
type dbfHeader struct {
	version byte
	records int64 // as the header says
	start   int64
	length  int // of a record
	fields  []dbfField
	charset *charset
	doubt   string // why only ASCII can be read, where that is so
	nullAt  int    // where in a record the flags of Visual FoxPro are; -1 where there are none
	nullLen int
}

// dbfField is one field:
//
//	 0-10  its name, ended by a NUL
//	11     its type
//	12-15  Visual FoxPro: where in the record it is
//	16     its length
//	17     its decimals; of C the high byte of its length
//	18     Visual FoxPro: 1 not for users, 2 may be NULL, 4 bytes and no text, 12 numbers itself
type dbfField struct {
	name     string
	kind     byte
	flags    byte
	at       int // in the record
	length   int
	decimals int
	nullBit  int // in the flags; -1 for none
	sizeBit  int // of V and Q: set when the last byte says how long the value is; -1 for none
}

const (
	flagSystem = 1
	flagNull   = 2
	flagBinary = 4
)

// dbfVersions are the first bytes of files that can be read, and 8C, dBase 7, of which can be said what it is.
var dbfVersions = []byte{
	0x03, 0x04, 0x05, // dBase III, IV, V, FoxBase+, FoxPro and Clipper without memos
	0x83, 0x84, 0x85, // the same with memos, as some writers say it
	0x7b, 0x8b, // dBase IV with memos
	0x43, 0x63, 0x8e, 0xcb, // dBase IV, for SQL
	0xf5, 0xfb, // FoxPro with memos, FoxBase
	0x30, 0x31, 0x32, // Visual FoxPro
	0x8c,
}

// visual reports whether a file is one of Visual FoxPro.
func (h *dbfHeader) visual() bool { return h.version >= 0x30 && h.version <= 0x32 }

// notDBF is the error of a file that is none, or none that can be read.
func notDBF(p *part, hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(nil, hint, "%s cannot be read: %s", p.name, fmt.Sprintf(format, args...)))
}

// layout reads the header of a part.
func (f *dbfForm) layout(ctx context.Context, p *part) (*layout, error) {
	return f.folder.remember(p, func() (*layout, error) {
		s, err := p.openAt(ctx, 0)
		if err != nil {
			return nil, err
		}
		l, err := f.parse(p, s)
		return l, errors.Join(err, s.close())
	})
}

const hintDBF = "see that it is a DBF and was copied whole; a file that is none can be moved out of the folder"

func (f *dbfForm) parse(p *part, r io.Reader) (*layout, error) {
	head := make([]byte, 32)
	if _, err := io.ReadFull(r, head); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, notDBF(p, hintDBF, "it is shorter than the header of a DBF")
		}
		return nil, err
	}
	le := binary.LittleEndian
	h := &dbfHeader{version: head[0], records: int64(le.Uint32(head[4:])), start: int64(le.Uint16(head[8:])), length: int(le.Uint16(head[10:])), nullAt: -1}
	switch {
	case h.version == 0xe5:
		return nil, notDBF(p, "copy it to a FoxPro table first", "memos of the SIX driver (.smt) are not supported")
	case h.version == 0x02:
		return nil, notDBF(p, "copy it to a dBase III table first", "tables of dBase II and FoxBase 1 are not supported")
	case !slices.Contains(dbfVersions, h.version):
		return nil, notDBF(p, hintDBF, "no DBF begins with the byte %#02x", h.version)
	case h.start < 33 || h.length < 1:
		return nil, notDBF(p, hintDBF, "its header has %d bytes and its records %d", h.start, h.length)
	case head[15] != 0 && !h.visual():
		return nil, notDBF(p, "open it in dBase and save it without encryption", "it is encrypted")
	}
	raw := make([]byte, h.start-32)
	if n, err := io.ReadFull(r, raw); err != nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		raw = raw[:n]
	}
	l := &layout{start: h.start, dbf: h}
	f.findCharset(h, head[29], p, l)
	if err := h.parseFields(p, raw, l); err != nil {
		return nil, err
	}
	f.compareSize(p, h, l)
	return l, nil
}

// parseFields reads the fields, and finds out where in a record they are.
func (h *dbfHeader) parseFields(p *part, raw []byte, l *layout) error {
	if h.version == 0x8c || h.version == 0x04 && len(raw) > 11 && raw[11] == 0 { // where a type would be, the name of its language ends
		return notDBF(p, "save it as a table of dBase IV first", "tables of dBase 7 are not supported")
	}
	var names namer
	for at := 0; ; at += 32 {
		if at >= len(raw) || raw[at] == '\r' {
			break
		}
		if at+32 > len(raw) {
			break // some writers leave the end of the fields out
		}
		b := raw[at : at+32]
		name, _, _ := bytes.Cut(b[:11], []byte{0})
		said, ok := h.charset.decode(nil, bytes.TrimRight(name, " "))
		if !ok {
			said = bytes.ToValidUTF8(said, []byte("_"))
		}
		fd := dbfField{kind: b[11], length: int(b[16]), decimals: int(b[17]), nullBit: -1, sizeBit: -1}
		if h.visual() {
			fd.flags = b[18]
		}
		fd.name = string(said)
		if !fd.hidden() {
			if fd.name = names.unique(string(said), len(l.names)+1); fd.name != string(said) {
				l.notes = append(l.notes, fmt.Sprintf("A field of %s is called %q; it becomes %s.", p.name, said, fd.name))
			}
			l.names = append(l.names, fd.name)
		}
		h.fields = append(h.fields, fd)
	}
	if len(h.fields) == 0 {
		return notDBF(p, hintDBF, "it has no fields")
	}
	return h.place(p)
}

// hidden reports whether a field is none for users.
func (fd *dbfField) hidden() bool { return fd.kind == '0' || fd.flags&flagSystem != 0 }

// place computes where each field is, and its bits in the flags of Visual FoxPro. Decimals of C are the high byte of its length in
// Clipper and FoxPro, and nothing, or anything, elsewhere: that reading is taken which fits the length of the record.
func (h *dbfHeader) place(p *part) error {
	long, short := 1, 1
	for _, fd := range h.fields {
		short += fd.length
		long += fd.length
		if fd.kind == 'C' {
			long += fd.decimals << 8
		}
	}
	at, bit := 1, 0
	for i := range h.fields {
		fd := &h.fields[i]
		if fd.kind == 'C' {
			if long == h.length || short > h.length {
				fd.length += fd.decimals << 8
			}
			fd.decimals = 0
		}
		fd.at = at
		at += fd.length
		if fd.kind == '0' {
			h.nullAt, h.nullLen = fd.at, fd.length
			continue
		}
		if fd.kind == 'V' || fd.kind == 'Q' {
			fd.sizeBit = bit
			bit++
		}
		if fd.flags&flagNull != 0 {
			fd.nullBit = bit
			bit++
		}
		if !slices.Contains([]byte("CNFLDTYIB@MGPWVQ+"), fd.kind) {
			return notDBF(p, "leave the field out when you copy the table", "its field %s has the type %q, which is not known", fd.name, fd.kind)
		}
		if fixed := fixedLengths[fd.kind]; fixed > 0 && fd.length != fixed || fd.length == 0 && fd.kind != 'C' {
			return notDBF(p, hintDBF, "its field %s of the type %c has %d bytes", fd.name, fd.kind, fd.length)
		}
	}
	if at > h.length {
		return notDBF(p, hintDBF, "its records have %d bytes where its fields take %d", h.length, at)
	}
	if h.nullAt < 0 || bit > 8*h.nullLen {
		for i := range h.fields {
			h.fields[i].nullBit, h.fields[i].sizeBit = -1, -1
		}
	}
	return nil
}

// fixedLengths are the types whose length is always the same.
var fixedLengths = map[byte]int{'L': 1, 'D': 8, 'T': 8, '@': 8, 'Y': 8, 'I': 4, '+': 4}

// compareSize says where the number of records is not what the size of the file says. The size is believed: the header is what is
// not written when a program dies.
func (f *dbfForm) compareSize(p *part, h *dbfHeader, l *layout) {
	if p.squeeze != "" {
		return
	}
	n, rest := h.count(p.size)
	if n != h.records {
		l.notes = append(l.notes, fmt.Sprintf("The header of %s says %d records, its size says %d; what is there is read.", p.name, h.records, n))
	}
	if rest > 1 && n < h.records {
		l.notes = append(l.notes, fmt.Sprintf("%s ends within a record, which is set aside.", p.name))
	}
}

// count returns how many whole records a file of a size has, and the bytes behind them.
func (h *dbfHeader) count(size int64) (n, rest int64) {
	if size < h.start {
		return 0, 0
	}
	return (size - h.start) / int64(h.length), (size - h.start) % int64(h.length)
}

// describe reads the headers.
func (f *dbfForm) describe(ctx context.Context, parts []*part) (described, error) {
	var d described
	c := columnSet{at: map[string]int{}}
	var layouts []*layout
	for _, p := range parts {
		l, err := f.layout(ctx, p)
		if err != nil {
			return d, err
		}
		layouts = append(layouts, l)
		d.notes = append(d.notes, l.notes...)
		if l.dbf.doubt != "" {
			d.notes = append(d.notes, fmt.Sprintf("%s: %s; rows with other characters than ASCII are set aside.", p.name, l.dbf.doubt))
		}
		c.add(l.names)
		d.rows += l.dbf.records
		if p.squeeze == "" {
			n, _ := l.dbf.count(p.size)
			d.rows += n - l.dbf.records
		}
		if !f.set.noMemo && l.dbf.hasMemo() {
			m, err := f.openMemo(p, l.dbf)
			if err != nil {
				return d, err
			}
			if err := m.close(); err != nil {
				return d, err
			}
		}
	}
	d.notes = append(d.notes, c.missing(parts, layouts, true)...)
	for _, name := range c.names {
		d.columns = append(d.columns, columnOf(name, layouts))
	}
	if f.set.deleted {
		d.columns = append(d.columns, sqldb.Column{Name: deletedColumn(c.names), Type: "L", Kind: sqldb.KindBool, NotNull: true})
	}
	return d, nil
}

// columnOf says what a field is, by the first part that has it; where parts differ in more than length it is text.
func columnOf(name string, layouts []*layout) sqldb.Column {
	var out sqldb.Column
	for _, l := range layouts {
		for i := range l.dbf.fields {
			fd := &l.dbf.fields[i]
			if fd.hidden() || fd.name != name {
				continue
			}
			c := fd.column()
			switch {
			case out.Name == "":
				out = c
			case out.Kind == c.Kind:
				out.Precision, out.Scale, out.Length = max(out.Precision, c.Precision), max(out.Scale, c.Scale), max(out.Length, c.Length)
			default:
				out = sqldb.Column{Name: name, Type: "text", Kind: sqldb.KindText}
			}
		}
	}
	return out
}

// deletedColumn is the name of the column that says whether a record is deleted.
func deletedColumn(names []string) string {
	name := "_deleted"
	for slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		name += "_"
	}
	return name
}
