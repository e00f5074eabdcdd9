package flatfile_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
)

func TestPartsOfADBFMayDiffer(t *testing.T) {
	t.Parallel()
	first := dbf{version: 0x03, mark: 0x03, fields: []dbfField{{"ID", 'N', 4, 0, 0}, {"NAME", 'C', 3, 0, 0}, {"X", 'C', 2, 0, 0}},
		records: []string{"    1abc12", "#   2abc12", "    3abc12"}}
	second := dbf{version: 0x03, mark: 0x03, fields: []dbfField{{"X", 'N', 3, 0, 0}, {"NAME", 'C', 6, 0, 0}},
		records: []string{"  34abcdef"}}
	dir := folder(t, map[string]string{"t/1.dbf": first.String(), "t/2.dbf": second.String()})
	f := open(t, "dbf:"+dir)
	tab := table(t, f, "t")
	if c := tab.Column("NAME"); c.Length != 6 || tab.Column("X").Kind != sqldb.KindText || tab.Column("ID").Kind != sqldb.KindInt64 {
		t.Errorf("got the columns %+v", tab.Columns)
	}
	wantRows(t, f, tab, `1 "abc" "12"`, "!record 2 begins with the byte 0x23, and neither with a blank nor with a star", `3 "abc" "12"`, `NULL "abcdef" 34`)
	if err := checkChunks(f, tab, 2, 1); err != nil {
		t.Error(err)
	}
	keys, err := borders(f, tab, 2, 5)
	if err != nil || len(keys) != 1 || !keys[0].Equal(sqldb.RowKey{"t/1.dbf", int64(3)}) {
		t.Fatal(keys, err)
	}
	first.records = first.records[:1]
	if err := os.WriteFile(filepath.Join(dir, "t", "1.dbf"), []byte(first.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = read(f, tab, keys[0], nil)
	wantError(t, err, "it has fewer records", "put the old file back")
}

func TestTheEncodingOfTheURLWinsOverTheMarkOfADBF(t *testing.T) {
	t.Parallel()
	d := dbf{version: 0x03, mark: 0x03, fields: []dbfField{{"_DELETED", 'C', 4, 0, 0}, {"\xc4", 'C', 1, 0, 0}}, records: []string{" \x81   x", "*gonex"}}
	f := open(t, "dbf:"+folder(t, map[string]string{"t.dbf": d.String()})+"?encoding=cp850&deleted=include")
	tab := table(t, f, "t")
	wantRows(t, f, tab, `"ü" "x" 0`, `"gone" "x" 1`)
	if name := tab.Columns[2].Name; name != "_deleted_" {
		t.Errorf("the mark of deleted records is called %s", name)
	}
	if !strings.Contains(strings.Join(tab.Notes, " "), "written in cp1252; it is read as cp850") {
		t.Errorf("no note: %q", tab.Notes)
	}
	d.mark, d.fields = 0xee, d.fields[1:]
	d.records = []string{" x"}
	unknown := open(t, "dbf:"+folder(t, map[string]string{"t.dbf": d.String()}))
	tab = table(t, unknown, "t")
	if tab.Columns[0].Name != "_" || !strings.Contains(strings.Join(tab.Notes, " "), "has the mark 0xee, which is not known") {
		t.Errorf("got the column %q and the notes %q", tab.Columns[0].Name, tab.Notes)
	}
}

func TestMemosOfDBase(t *testing.T) {
	t.Parallel()
	fields := []dbfField{{"M", 'M', 10, 0, 0}, {"B", 'B', 10, 0, 0}}
	third := make([]byte, 512)
	third = append(third, "one\x1a\x1a"...)
	third = append(third, make([]byte, 1024-len(third))...)
	third = append(third, "without end"...)
	fourth := make([]byte, 64)
	binary.LittleEndian.PutUint16(fourth[20:], 64)
	fourth = append(fourth, "\xff\xff\x08\x00\x0b\x00\x00\x00two"...)
	fourth = append(fourth, make([]byte, 128-len(fourth))...)
	fourth = append(fourth, "as in dBase III\x1a"...)
	fourth = append(fourth, make([]byte, 192-len(fourth))...)
	fourth = append(fourth, "\xff\xff\x08\x00\x07\x00\x00\x00"...)
	d := dbf{version: 0x83, mark: 0x03, fields: fields, records: []string{"          1         1", "          2          ", "          3          "}}
	files := map[string]string{"three.dbf": d.String(), "three.dbt": string(third)}
	d.version = 0x8b
	files["four.dbf"], files["four.dbt"] = d.String(), string(fourth)
	d.version = 0x03 // Clipper with the driver of FoxPro
	d.records = []string{"          8          "}
	fox := make([]byte, 64*8)
	binary.BigEndian.PutUint16(fox[6:], 64)
	files["clip.dbf"], files["clip.FPT"] = d.String(), string(fox)+"\x00\x00\x00\x01\x00\x00\x00\x03fox"
	dir := folder(t, files)
	f := open(t, "dbf:"+dir)
	wantRows(t, f, table(t, f, "three"), `"one" x6f6e65`, "!the memo M cannot be read from three.dbt: it has no end",
		"!the memo M cannot be read from three.dbt: its block 3 is behind the end of the file")
	wantRows(t, f, table(t, f, "four"), `"two" x74776f`, `"as in dBase III" NULL`,
		"!the memo M cannot be read from four.dbt: its block 3 says that it has -1 bytes, which is more than the file has")
	wantRows(t, f, table(t, f, "clip"), `"fox" NULL`)
	short := open(t, "dbf:"+dir+"?row_bytes=2")
	rows := readAll(t, short, table(t, short, "four"))
	if rows[0].bad == nil || !strings.Contains(rows[0].bad.Reason, "3 bytes, which is more than row_bytes allows") {
		t.Errorf("got %v", rows[0])
	}
}

func TestEncodingsOfNDJSON(t *testing.T) {
	t.Parallel()
	f := open(t, "ndjson:"+folder(t, map[string]string{"t.ndjson": "{\"a\":\"M\xfcller\"}\n{\"a\":\"x\"}\n{\"\x80\":1}\n"})+"?encoding=cp1252")
	tab := table(t, f, "t")
	wantRows(t, f, tab, `"Müller" NULL NULL`, `"x" NULL NULL`, `NULL 1 NULL`)
	f = open(t, "ndjson:"+folder(t, map[string]string{"t.ndjson": "{\"a\":\"M\xfcller\"}\n{\"a\":\"x\"}\n{\"a\":\"" + strings.Repeat("y", 100) + "\"}\n"})+"?row_bytes=50&types=text")
	wantRows(t, f, table(t, f, "t"), "!the row is not valid utf-8", `"x" NULL`, "!the row is longer than row_bytes allows")
	raw := readAll(t, f, table(t, f, "t"))[0].bad.Raw
	if raw != `{"a":"M\xfcller"}` {
		t.Errorf("the row is shown as %q", raw)
	}
}

func TestTextThatItsEncodingDoesNotHave(t *testing.T) {
	t.Parallel()
	for encoding, bad := range map[string]string{"cp1253": "\xaa", "gbk": "\xff\xff", "shift_jis": "\x81", "cp932": "\xfd\xfe"} {
		f := open(t, "csv:"+folder(t, map[string]string{"t.csv": "a,b\nx,\"" + bad + "\"\n1,2\n"})+"?encoding="+encoding)
		rows := readAll(t, f, table(t, f, "t"))
		if len(rows) != 2 || rows[0].bad == nil || rows[0].bad.Code != "22021" || rows[1].bad != nil {
			t.Errorf("%s: got %s", encoding, show(rows))
		}
	}
}
