package flatfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// memoStyle is how a memo file is written.
type memoStyle byte

const (
	memoIII memoStyle = iota // blocks of 512 bytes; text up to a byte 26
	memoIV                   // a block begins with FF FF 08 00 and the length of it all, the low byte first
	memoFox                  // a block begins with its type and the length of the text, the high byte first
)

// memoFile is the file in which the long texts of a DBF are. It may be nil: memos are ignored then.
type memoFile struct {
	file  *os.File
	name  string
	style memoStyle
	block int64
	size  int64
	limit int
}

// openMemo finds and opens the memo file of a part, whatever the case of its name.
func (f *dbfForm) openMemo(p *part, h *dbfHeader) (*memoFile, error) {
	style, want := memoIII, ".dbt"
	switch {
	case h.visual() || h.version == 0xf5:
		style, want = memoFox, ".fpt"
	case bytes.IndexByte([]byte{0x04, 0x05, 0x7b, 0x84, 0x85, 0x8b, 0x8e, 0xcb}, h.version) >= 0:
		style = memoIV
	}
	plain, _ := cutSqueeze(p.path)
	stem := strings.TrimSuffix(filepath.Base(plain), filepath.Ext(plain))
	path, err := findFold(filepath.Dir(p.path), stem, want)
	if err == nil && path == "" && want == ".dbt" && h.version != 0x83 {
		if path, err = findFold(filepath.Dir(p.path), stem, ".fpt"); path != "" {
			style = memoFox
		}
	}
	if err != nil {
		return nil, unreadable(err, filepath.Dir(p.path))
	}
	if path == "" {
		return nil, tasks.Permanent(tasks.WithHint(nil, "put the memo file beside it, uncompressed; or say memo=ignore in the URL to take memos for NULL",
			"%s has memos, and their file %s is not there", p.name, stem+want))
	}
	m := &memoFile{name: filepath.Base(path), style: style, limit: f.set.rowBytes}
	if m.file, err = os.Open(path); err != nil {
		return nil, unreadable(err, path)
	}
	if err := m.readHeader(); err != nil {
		return nil, errors.Join(unreadable(err, path), m.close())
	}
	return m, nil
}

// findFold finds a file whatever the case of its name; the exact name comes first. "" where there is none.
func findFold(dir, stem, ext string) (string, error) {
	if exact := filepath.Join(dir, stem+ext); isFile(exact) {
		return exact, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), stem+ext) {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readHeader reads the length of blocks.
func (m *memoFile) readHeader() error {
	info, err := m.file.Stat()
	if err != nil {
		return err
	}
	m.size, m.block = info.Size(), 512
	head := make([]byte, 24)
	if n, err := m.file.ReadAt(head, 0); n < len(head) && !errors.Is(err, io.EOF) {
		return err
	}
	switch m.style {
	case memoFox:
		m.block = int64(binary.BigEndian.Uint16(head[6:]))
	case memoIV:
		m.block = int64(binary.LittleEndian.Uint16(head[20:]))
	}
	if m.block == 0 {
		if m.block = 512; m.style == memoFox {
			m.block = 1
		}
	}
	return nil
}

func (m *memoFile) close() error {
	if m == nil {
		return nil
	}
	return m.file.Close()
}

// memoCell reads the memo that a field points to. No pointer is NULL.
func (r *dbfReader) memoCell(fd *dbfField, b []byte) (sqldb.Cell, *sqldb.UnreadableRow) {
	if r.memo == nil {
		return sqldb.Cell{}, nil
	}
	var number int64
	if fd.length == 4 {
		number = int64(binary.LittleEndian.Uint32(b))
	} else if s := strings.Trim(string(b), " \x00"); s != "" {
		var err error
		if number, err = strconv.ParseInt(s, 10, 64); err != nil {
			return sqldb.Cell{}, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the memo field %s holds %q, which is no number of a block", fd.name, s), Code: codeBadRow}
		}
	}
	if number == 0 {
		return sqldb.Cell{}, nil
	}
	data, err := r.memo.read(number)
	if err != nil {
		return sqldb.Cell{}, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the memo %s cannot be read from %s: %v", fd.name, r.memo.name, err), Code: codeBadRow}
	}
	if fd.kind == 'M' && fd.flags&flagBinary == 0 {
		return r.text(data)
	}
	return sqldb.BytesCell(data), nil
}

// read returns the memo that begins with a block.
func (m *memoFile) read(number int64) ([]byte, error) {
	if number < 0 || number > m.size/m.block {
		return nil, fmt.Errorf("its block %d is behind the end of the file", number)
	}
	at := number * m.block
	var head [8]byte
	n, err := m.file.ReadAt(head[:], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("its block %d is behind the end of the file", number)
	}
	var length int64
	switch {
	case m.style == memoIII:
		return m.readUntil(at)
	case n < len(head):
		return nil, fmt.Errorf("its block %d is cut off", number)
	case m.style == memoFox:
		length = int64(binary.BigEndian.Uint32(head[4:]))
	case !bytes.Equal(head[:4], []byte{0xff, 0xff, 8, 0}):
		return m.readUntil(at) // a memo of dBase III in a file that dBase IV took over
	default:
		length = int64(binary.LittleEndian.Uint32(head[4:])) - 8
	}
	at += 8
	switch {
	case length < 0 || length > m.size-at:
		return nil, fmt.Errorf("its block %d says that it has %d bytes, which is more than the file has", number, length)
	case length > int64(m.limit):
		return nil, fmt.Errorf("it has %d bytes, which is more than row_bytes allows", length)
	}
	data := make([]byte, length)
	if _, err := m.file.ReadAt(data, at); err != nil {
		return nil, err
	}
	return data, nil
}

// readUntil reads text up to a byte 26.
func (m *memoFile) readUntil(at int64) ([]byte, error) {
	var data []byte
	block := make([]byte, 512)
	for {
		n, err := m.file.ReadAt(block, at)
		if i := bytes.IndexByte(block[:n], 26); i >= 0 {
			return append(data, block[:i]...), nil
		}
		data = append(data, block[:n]...)
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("it has no end")
		case err != nil:
			return nil, err
		case len(data) > m.limit:
			return nil, errors.New("it is longer than row_bytes allows")
		}
	}
}
