package flatfile_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
)

// testdata/dbf holds tables that other programs have written, and what a third one reads from them: see make.py there.
func TestTablesOfOtherProgramsAreReadAsAnotherReaderReadsThem(t *testing.T) {
	t.Parallel()
	f := open(t, "dbf:testdata/dbf")
	all := open(t, "dbf:testdata/dbf?deleted=include")
	s := schema(t, f)
	if len(s.Tables) != 7 {
		t.Fatalf("%d tables, want 7", len(s.Tables))
	}
	for i := range s.Tables {
		tab := &s.Tables[i]
		t.Run(tab.Name, func(t *testing.T) {
			t.Parallel()
			var want struct {
				Fields           []string
				Records, Deleted [][]any
			}
			data, err := os.ReadFile(filepath.Join("testdata", "dbf", tab.Name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			rows := readAll(t, f, tab)
			compareRecords(t, tab, rows, want.Records, want.Fields)
			if err := checkChunks(f, tab, 1, 2); err != nil {
				t.Error(err)
			}
			with := table(t, all, tab.Name)
			rows = readAll(t, all, with)
			if len(rows) != len(want.Records)+len(want.Deleted) {
				t.Errorf("%d records with the deleted ones, want %d and %d", len(rows), len(want.Records), len(want.Deleted))
			}
			deleted := 0
			for _, r := range rows {
				if r.bad == nil && r.values[len(r.values)-1] == int64(1) {
					deleted++
				}
			}
			if deleted != len(want.Deleted) {
				t.Errorf("%d records are marked as deleted, want %d", deleted, len(want.Deleted))
			}
		})
	}
}

// compareRecords compares rows with what the other reader has: its numbers are floats, and its empty memos None.
func compareRecords(t *testing.T, tab *sqldb.Table, rows []row, want [][]any, fields []string) {
	t.Helper()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d:\n%s", len(rows), len(want), show(rows))
	}
	for i, r := range rows {
		if r.bad != nil {
			t.Errorf("row %d: %v", i, r.bad)
			continue
		}
		for j, c := range tab.Columns {
			at := -1
			for k := range fields {
				if fields[k] == c.Name {
					at = k
				}
			}
			got, w := r.values[j], want[i][at]
			switch v := got.(type) {
			case int64:
				got = float64(v)
			case []byte:
				got = "x" + string(appendHex(nil, v))
				if s, ok := w.(string); ok && c.Type == "C(5)" {
					w = "x" + string(appendHex(nil, append([]byte(latin1(s)), []byte("     ")[:5-len([]rune(s))]...)))
				}
			case string:
				if n, err := strconv.ParseFloat(v, 64); err == nil && c.Kind == sqldb.KindNumeric {
					got = n
				}
			}
			if s, ok := w.(string); ok && c.Type == "M" {
				w = strings.TrimRight(s, "\x00") // of dBase IV the other reader takes the header of a memo for a part of its length
			}
			if got == nil && (w == "" || w == "x") && (c.Type == "M" || c.Type == "P") {
				continue // no memo is NULL here
			}
			if !reflect.DeepEqual(got, w) {
				t.Errorf("row %d, %s %s: got %#v, want %#v", i, c.Name, c.Type, got, w)
			}
		}
	}
}

func appendHex(dst, b []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range b {
		dst = append(dst, hex[c>>4], hex[c&15])
	}
	return dst
}

// latin1 returns the bytes of text whose characters are below 256.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

// dbf makes a table by hand: a header, fields (name, type, length, decimals, flags), and records.
type dbf struct {
	version, mark byte
	encrypted     byte
	fields        []dbfField
	records       []string // with the byte that says whether they are deleted
	count         int      // what the header says beyond the records
	tail          string
}

type dbfField struct {
	name                    string
	kind                    byte
	length, decimals, flags byte
}

func (d dbf) String() string {
	le := binary.LittleEndian
	length := 1
	for _, f := range d.fields {
		length += int(f.length)
		if f.kind == 'C' {
			length += int(f.decimals) << 8
		}
	}
	start := 32 + 32*len(d.fields) + 1
	if d.version >= 0x30 && d.version <= 0x32 {
		start += 263 // the name of the container of Visual FoxPro
	}
	b := make([]byte, start)
	b[0], b[15], b[29] = d.version, d.encrypted, d.mark
	le.PutUint32(b[4:], uint32(len(d.records)+d.count))
	le.PutUint16(b[8:], uint16(start))
	le.PutUint16(b[10:], uint16(length))
	for i, f := range d.fields {
		at := b[32+32*i:]
		copy(at, f.name)
		at[11], at[16], at[17], at[18] = f.kind, f.length, f.decimals, f.flags
	}
	b[32+32*len(d.fields)] = '\r'
	return string(b) + strings.Join(d.records, "") + d.tail
}

func le32(n int32) string  { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }
func le64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

func TestTheTypesOfVisualFoxPro(t *testing.T) {
	t.Parallel()
	// The flags have, in the order of the fields, a bit "not full" for each V and Q, and behind it a bit "is NULL" for each field
	// that may be: CODE 0; VAR 1, 2; BIN 3; NUM 4.
	d := dbf{version: 0x32, mark: 0x03, fields: []dbfField{
		{"CODE", 'C', 4, 0, 2}, {"VAR", 'V', 6, 0, 2}, {"BIN", 'Q', 4, 0, 4}, {"NUM", 'I', 4, 0, 2}, {"CUR", 'Y', 8, 4, 0}, {"DBL", 'B', 8, 2, 0},
		{"AT", 'T', 8, 0, 0}, {"RAW", 'C', 3, 0, 4}, {"AUTO", 'I', 4, 0, 0x0c}, {"_NullFlags", '0', 1, 0, 5},
	}}
	money := int64(-12345)
	d.records = []string{
		// VAR is full: six bytes. 2460370 is the Julian day of 2024-02-29; 86399001 is one millisecond behind 23:59:59.
		" " + "a\xe4  " + "sechs " + "\x01\x02\x03\x04" + le32(-7) + le64(uint64(money)) + le64(math.Float64bits(0.1)) + le32(2460370) + le32(86399001) + "x\x00 " + le32(1) + "\x00",
		// VAR has two bytes, BIN one: their last bytes say so.
		" " + "    " + "ab\x00\x00\x00\x02" + "\xff\x00\x00\x01" + le32(math.MaxInt32) + le64(1<<63-1) + le64(0) + le32(1721426) + le32(0) + "   " + le32(2) + "\x0a",
		// CODE, VAR and NUM are NULL; VAR is "not full" as well, which does not matter. No time is NULL.
		" " + "    " + "      " + "\x00\x00\x00\x00" + le32(0) + le64(1<<63) + le64(0) + le32(0) + le32(0) + "   " + le32(3) + "\x1f",
		// VAR says nine bytes of six.
		" " + "    " + "ab\x00\x00\x00\x09" + "\x00\x00\x00\x00" + le32(0) + le64(0) + le64(0) + le32(0) + le32(0) + "   " + le32(4) + "\x02",
		// A day beyond the year 9999.
		" " + "    " + "      " + "\x00\x00\x00\x00" + le32(0) + le64(0) + le64(0) + le32(6000000) + le32(0) + "   " + le32(5) + "\x00",
	}
	f := open(t, "dbf:"+folder(t, map[string]string{"t.dbf": d.String() + "\x1a"}))
	tab := table(t, f, "t")
	wantRows(t, f, tab,
		`"aä" "sechs " x01020304 -7 "-1.2345" 0.1 "2024-02-29 23:59:59.001" x780020 1`,
		`"" "ab" xff 2147483647 "922337203685477.5807" 0 "0001-01-01 00:00:00" x202020 2`,
		`NULL NULL x NULL "-922337203685477.5808" 0 NULL x202020 3`,
		"!the field VAR says that it has 9 bytes, of 6",
		`"" "      " x00000000 0 "0.0000" 0 "day 6000000, millisecond 0" x202020 5`)
	var kinds []sqldb.Kind
	for _, c := range tab.Columns {
		kinds = append(kinds, c.Kind)
	}
	want := []sqldb.Kind{"text", "text", "bytes", "int32", "numeric", "float64", "timestamp", "bytes", "int32"}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("got the kinds %v, want %v", kinds, want)
	}
}

func TestWhatIsNullInDBase(t *testing.T) {
	t.Parallel()
	d := dbf{version: 0x03, mark: 0x02, fields: []dbfField{{"C", 'C', 4, 0, 0}, {"N", 'N', 5, 0, 0}, {"F", 'F', 6, 2, 0}, {"L", 'L', 1, 0, 0}, {"D", 'D', 8, 0, 0},
		{"BIG", 'N', 20, 0, 0}},
		records: []string{
			" a\x84  " + "   42" + " -1.50" + "Y" + "20240229" + "12345678901234567890",
			" " + "    " + "     " + "      " + " " + "        " + strings.Repeat(" ", 20),
			" " + "\x00\x00\x00\x00" + "*****" + "******" + "?" + "00000000" + strings.Repeat("*", 20),
			" " + "  x " + "00007" + "1.5E+3" + "n" + "20240231" + "1                   ",
			" " + "abcd" + "  1.5" + "  1,50" + "X" + "2024    " + "                   x",
		}}
	dir := folder(t, map[string]string{"T.DBF": d.String()})
	f := open(t, "dbf:"+dir)
	tab := table(t, f, "T")
	wantRows(t, f, tab,
		`"aä" 42 "-1.50" 1 "2024-02-29" "12345678901234567890"`,
		`"" NULL NULL NULL NULL NULL`,
		`"" NULL NULL NULL NULL NULL`,
		`"  x" 7 "1.5E+3" 0 "2024-02-31" "1"`,
		`"abcd" "1.5" "1,50" "\"X\"" "2024" "x"`)
	trimmed := open(t, "dbf:"+dir+"?trim=both")
	if rows := readAll(t, trimmed, tab); rows[3].values[0] != "x" {
		t.Errorf("trim=both gives %q", rows[3].values[0])
	}
	whole := open(t, "dbf:"+dir+"?trim=none")
	if rows := readAll(t, whole, tab); rows[3].values[0] != "  x " || rows[2].values[0] != "\x00\x00\x00\x00" {
		t.Errorf("trim=none gives %q and %q", rows[3].values[0], rows[2].values[0])
	}
}

func TestTextWithoutACodePageIsNotGuessed(t *testing.T) {
	t.Parallel()
	d := dbf{version: 0x03, fields: []dbfField{{"C", 'C', 4, 0, 0}}, records: []string{" abcd", " \x81   "}}
	odd := d
	odd.mark = 0x6a // cp737
	dir := folder(t, map[string]string{"t.dbf": d.String(), "odd.dbf": odd.String()})
	f := open(t, "dbf:"+dir)
	tab := table(t, f, "t")
	wantRows(t, f, tab, `"abcd"`, "!the row has other characters than ASCII, and of its file it does not say its code page; say for example encoding=cp850 or encoding=cp1252 in the URL")
	if !strings.Contains(strings.Join(tab.Notes, " "), "does not say its code page") {
		t.Errorf("no note: %q", tab.Notes)
	}
	wantRows(t, f, table(t, f, "odd"), `"abcd"`, "!the row has other characters than ASCII, and of its file its code page is 737, which is not known here")
	said := open(t, "dbf:"+dir+"?encoding=cp850")
	wantRows(t, said, table(t, said, "t"), `"abcd"`, `"ü"`)
}

func TestHeadersThatLieAboutTheNumberOfRecordsAreNotBelieved(t *testing.T) {
	t.Parallel()
	few := dbf{version: 0x03, fields: []dbfField{{"N", 'N', 2, 0, 0}}, records: []string{"  1", "* 2", "  3"}, count: -2, tail: "\x1a\x1a\x1a\x1a"}
	many := few
	many.count, many.tail = 5, "  "
	dir := folder(t, map[string]string{"few.dbf": few.String(), "many.dbf": many.String()})
	f := open(t, "dbf:"+dir)
	tab := table(t, f, "few")
	rows := wantRows(t, f, tab, "1", "3")
	if rows[1].key[1] != int64(3) {
		t.Errorf("the key of record 3 is %v", rows[1].key)
	}
	if !strings.Contains(strings.Join(tab.Notes, " "), "says 1 records") {
		t.Errorf("no note: %q", tab.Notes)
	}
	tab = table(t, f, "many")
	wantRows(t, f, tab, "1", "3", "!the file ends within record 4")
	for _, tab := range schema(t, f).Tables {
		if err := checkChunks(f, &tab, 1, 1); err != nil {
			t.Error(err)
		}
	}
}

func TestMemosAreFoundWhateverTheCaseOfTheirFile(t *testing.T) {
	t.Parallel()
	d := dbf{version: 0xf5, mark: 0x03, fields: []dbfField{{"M", 'M', 10, 0, 0}}, records: []string{
		"          8", "           ", "         99", "       oops", "          9", "         10", "         -1"}}
	be := binary.BigEndian
	memo := make([]byte, 512)
	be.PutUint16(memo[6:], 64)
	memo = append(memo, "\x00\x00\x00\x01\x00\x00\x00\x05M\xfccke"...)
	memo = append(memo, make([]byte, 64*9-len(memo))...)
	memo = append(memo, "\x00\x00\x00\x01\x00\x00\xff\xffcut"...)
	memo = append(memo, make([]byte, 64*10-len(memo))...)
	memo = append(memo, "\x00\x00"...)
	dir := folder(t, map[string]string{"Kunde.dbf": d.String(), "KUNDE.FPT": string(memo)})
	f := open(t, "dbf:"+dir)
	tab := table(t, f, "Kunde")
	why := "!the memo M cannot be read from KUNDE.FPT: its block "
	wantRows(t, f, tab, `"Mücke"`, "NULL", why+"99 is behind the end of the file", `!the memo field M holds "oops", which is no number of a block`,
		why+"9 says that it has 65535 bytes, which is more than the file has", why+"10 is cut off", why+"-1 is behind the end of the file")
	if err := os.Remove(filepath.Join(dir, "KUNDE.FPT")); err != nil {
		t.Fatal(err)
	}
	_, err := f.Schema(context.Background())
	wantError(t, err, "Kunde.dbf has memos, and their file Kunde.fpt is not there", "memo=ignore")
	_, err = read(f, tab, nil, nil)
	wantError(t, err, "Kunde.fpt is not there", "memo=ignore")
	ignoring := open(t, "dbf:"+dir+"?memo=ignore")
	wantRows(t, ignoring, table(t, ignoring, "Kunde"), "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL")
}

func TestACompressedDBFIsReadThrough(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/dbf/db3_850.dbf")
	if err != nil {
		t.Fatal(err)
	}
	memo, err := os.ReadFile("testdata/dbf/db3_850.dbt")
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, "dbf:"+folder(t, map[string]string{"t/a.dbf.gz": gzipped(t, string(data)), "t/a.dbt": string(memo), "t/B.DBF": string(data), "t/B.DBT": string(memo)}))
	tab := table(t, f, "t")
	if rows := readAll(t, f, tab); len(rows) != 6 || rows[0].String() != rows[3].String() || rows[0].key[0] != "t/B.DBF" {
		t.Errorf("got\n%s", show(rows))
	}
	if err := checkChunks(f, tab, 1, 1); err != nil {
		t.Error(err)
	}
}

func TestFilesThatAreNoDBFSayWhy(t *testing.T) {
	t.Parallel()
	good := dbf{version: 0x03, fields: []dbfField{{"N", 'N', 2, 0, 0}}, records: []string{"  1"}}
	with := func(change func(d *dbf)) string {
		d := good
		change(&d)
		return d.String()
	}
	for _, c := range []struct{ name, file, message, hint string }{
		{"empty", "", "shorter than the header", "copied whole"},
		{"text", strings.Repeat("hello", 20), "no DBF begins with the byte 0x68", "moved out"},
		{"dBase II", with(func(d *dbf) { d.version = 2 }), "dBase II", "dBase III"},
		{"dBase 7", with(func(d *dbf) { d.version = 0x8c }), "dBase 7", "dBase IV"},
		{"six", with(func(d *dbf) { d.version = 0xe5 }), ".smt", "FoxPro"},
		{"encrypted", with(func(d *dbf) { d.encrypted = 1 }), "encrypted", "without encryption"},
		{"odd type", with(func(d *dbf) { d.fields = []dbfField{{"X", 'Z', 2, 0, 0}} }), "field X has the type 'Z'", "leave the field out"},
		{"odd length", with(func(d *dbf) { d.fields = []dbfField{{"X", 'D', 2, 0, 0}} }), "field X of the type D has 2 bytes", ""},
		{"no fields", with(func(d *dbf) { d.fields = nil }), "has no fields", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, "dbf:"+folder(t, map[string]string{"t.dbf": c.file})).Schema(context.Background())
			wantError(t, err, c.message, c.hint)
		})
	}
}

// FuzzDBF holds that no bytes make the reader fail, and that rows are the same whatever borders they are read by.
func FuzzDBF(f *testing.F) {
	paths, err := filepath.Glob("testdata/dbf/*.dbf")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		memo, err := os.ReadFile(strings.TrimSuffix(path, ".dbf") + ".fpt")
		if err != nil {
			memo, _ = os.ReadFile(strings.TrimSuffix(path, ".dbf") + ".dbt")
		}
		f.Add(data, memo, 2)
	}
	visual := dbf{version: 0x32, mark: 0x03, fields: []dbfField{{"V", 'V', 4, 0, 2}, {"Q", 'Q', 3, 0, 4}, {"T", 'T', 8, 0, 0}, {"M", 'M', 4, 0, 2}, {"_NullFlags", '0', 1, 0, 5}},
		records: []string{" ab\x00\x02abc" + le32(2460370) + le32(1) + le32(1) + "\x01", "*abcd\x00\x00\x00" + le64(0) + le32(0) + "\x1f"}}
	f.Add([]byte(visual.String()), []byte(strings.Repeat("\x00\x00\x00\x01", 200)), 1)
	f.Fuzz(func(t *testing.T, data, memo []byte, rows int) {
		if rows < 1 {
			t.Skip()
		}
		dir := folder(t, map[string]string{"t.dbf": string(data), "t.fpt": string(memo), "t.dbt": string(memo)})
		src := open(t, "dbf:"+dir+"?deleted=include&row_bytes=4096")
		s, err := src.Schema(context.Background())
		if err != nil || len(s.Tables) == 0 {
			return // what cannot be read is an error, and no panic
		}
		if tab := &s.Tables[0]; tab.Rows > 30 {
			_, err = read(src, tab, nil, nil) // chunk by chunk it would take too long
		} else {
			err = checkChunks(src, tab, rows, 2)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
