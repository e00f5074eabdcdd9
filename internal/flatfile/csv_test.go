package flatfile_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stint-run/stint/internal/sqldb"
	"pgregory.net/rapid"
)

func TestCSVIsReadAsItIsWrittenInTheWild(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, query, file string
		want              []string
	}{
		{"empty is NULL, quoted empty is the empty string", "", "a,b\n,\"\"\n", []string{`NULL ""`}},
		{"a text stands for NULL", `null=\N`, "a,b\n\\N,\n\"\\N\",x\n", []string{`NULL ""`, `"\\N" "x"`}},
		{"line ends and delimiters in quotes", "", "a,b\n\"x\r\ny\",\"1,\n2\"\n", []string{`"x\r\ny" "1,\n2"`}},
		{"doubled quotes", "", "a,b\n\"say \"\"hi\"\"\",\"\"\"\"\n", []string{`"say \"hi\"" "\""`}},
		{"a quote within a field without quotes is a character", "", "a,b\n5\" pipe,x\"y\n", []string{`"5\" pipe" "x\"y"`}},
		{"CRLF", "", "a,b\r\n1,2\r\n3,\"4\"\r\n", []string{`"1" "2"`, `"3" "4"`}},
		{"CR alone", "", "a,b\r1,2\r3,4", []string{`"1" "2"`, `"3" "4"`}},
		{"CR alone is a character where LF is said", "newline=lf", "a,b\n1\r,2\r\n3,4\r\n", []string{`"1\r" "2"`, `"3" "4"`}},
		{"LF is a character where CR is said", "newline=cr", "a,b\r1\n,2\r", []string{`"1\n" "2"`}},
		{"U+2028 is a character", "", "a,b\n1\u20282,3\n", []string{`"1\u20282" "3"`}},
		{"a last line without an end", "", "a,b\n1,2\n3,4", []string{`"1" "2"`, `"3" "4"`}},
		{"a last quoted field without an end", "", "a,b\n1,\"2\"", []string{`"1" "2"`}},
		{"a byte order mark", "", "\xef\xbb\xbfa,b\n1,2\n", []string{`"1" "2"`}},
		{"a byte order mark before a quoted name", "", "\xef\xbb\xbf\"a\",b\n1,2\n", []string{`"1" "2"`}},
		{"NUL bytes", "", "a,b\n1\x00,2\n", []string{`"1\x00" "2"`}},
		{"too few and too many fields", "", "a,b\n1\n1,2\n1,2,3\n", []string{"!the row has 1 fields where the table has 2", `"1" "2"`, "!the row has 3 fields where the table has 2"}},
		{"empty lines are none", "", "\na,b\n\n1,2\n\n\n3,4\n\n", []string{`"1" "2"`, `"3" "4"`}},
		{"an empty line of one column is a row", "", "a\n1\n\n2\n", []string{`"1"`, `NULL`, `"2"`}},
		{"bytes behind a closing quote", "", "a,b\n\"x\"y,1\n2,3\n", []string{"!a field goes on behind its closing quote", `"2" "3"`}},
		{"an open quote at the end", "", "a,b\n1,2\n3,\"4\n5,6\n", []string{`"1" "2"`, "!the quote that begins in line 3 is never closed: everything up to the end of the file is in this row"}},
		{"backslashes", "escape=backslash", "a,b\n\"x\\\"y\",1\\,2\n\"a\\\\\",\\N\nl\\\nm,\\t\n", []string{`"x\"y" "1,2"`, `"a\\" "N"`, `"l\nm" "\t"`}},
		{"the text form of PostgreSQL", `delimiter=tab&quote=none&escape=backslash&null=\N&header=no`, "1\t\\N\n2\ta\\tb\\nc\\\\\n", []string{`"1" NULL`, `"2" "a\tb\nc\\"`}},
		{"no quotes at all", "quote=none", "a,b\n\"x\",y\"\n", []string{`"\"x\"" "y\""`}},
		{"single quotes and semicolons", "quote=single&delimiter=semicolon", "a;b\n'x;''y';1,5\n", []string{`"x;'y" "1,5"`}},
		{"blanks are trimmed when asked", "trim=true", "a,b\n  x , \" y \" \n \t ,z\n", []string{`"x" " y "`, `NULL "z"`}},
		{"blanks stay", "", "a,b\n  x , y\n", []string{`"  x " " y"`}},
		{"comments", "comment=hash", "# it's \"odd\na,b\n#x\n1,2\n\"#3\",4\n", []string{`"1" "2"`, `"#3" "4"`}},
		{"lines to skip", "skip=2", "Report \"of\n2026\na,b\n1,2\n", []string{`"1" "2"`}},
		{"without a header", "header=false", "1,2\n3,4\n", []string{`"1" "2"`, `"3" "4"`}},
		{"cp1252", "encoding=cp1252", "a,b\nM\xfcller,\x80 5\n", []string{`"Müller" "€ 5"`}},
		{"cp850", "encoding=cp850", "a,b\nM\x81ller,\"\"\"\x81\"\n", []string{`"Müller" "\"ü"`}},
		{"cp1251", "encoding=windows-1251", "a,b\n\xcf\xf0\xe8,x\n", []string{`"При" "x"`}},
		{"iso-8859-15", "encoding=ISO-8859-15", "a,b\n\xa4,x\n", []string{`"€" "x"`}},
		{"Shift JIS", "encoding=shift_jis", "a,b\n\x93\xfa\x96\x7b,x\n", []string{`"日本" "x"`}},
		{"what is no UTF-8", "", "a,b\nM\xfcller,1\n2,3\n", []string{"!the row is not valid utf-8", `"2" "3"`}},
		{"what is no ASCII", "encoding=ascii", "a,b\nM\xfcller,1\n2,3\n", []string{"!the row is not valid ascii", `"2" "3"`}},
		{"a longer row than allowed", "row_bytes=10", "a,b\n1,2\n12345678,90\n3,4\n", []string{`"1" "2"`, "!the row is longer than row_bytes allows", `"3" "4"`}},
		{"the end mark of DOS", "", "a,b\r\n1,2\r\n\x1a", []string{`"1" "2"`}},
		{"the end mark of DOS behind one column", "", "a\r\n1\r\n\x1a", []string{`"1"`}},
		{"only a header", "", "a,b\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := open(t, "csv:"+folder(t, map[string]string{"t.csv": c.file})+"?"+strings.ReplaceAll(c.query, "%", "%25"))
			tab := table(t, f, "t")
			wantRows(t, f, tab, c.want...)
			if err := checkChunks(f, tab, 1, 2); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUTF16IsReadByItsMarkOrWhenItIsSaid(t *testing.T) {
	t.Parallel()
	text := "name,n\r\n\"Zoë, 𝄞\",1\r\n日本,2\r\nx,3\r\n"
	encode := func(s string, big, mark bool) string {
		units := utf16.Encode([]rune(s))
		if mark {
			units = append([]uint16{0xfeff}, units...)
		}
		var b []byte
		for _, u := range units {
			if big {
				b = append(b, byte(u>>8), byte(u))
			} else {
				b = append(b, byte(u), byte(u>>8))
			}
		}
		return string(b)
	}
	for _, c := range []struct {
		name, query string
		big, mark   bool
	}{{"le", "", false, true}, {"be", "", true, true}, {"le said", "?encoding=utf-16le", false, false}, {"be said", "?encoding=utf-16be", true, false},
		{"wrong said", "?encoding=cp1252", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := open(t, "csv:"+folder(t, map[string]string{"t.csv": encode(text, c.big, c.mark)})+c.query)
			tab := table(t, f, "t")
			rows := wantRows(t, f, tab, `"Zoë, 𝄞" "1"`, `"日本" "2"`, `"x" "3"`)
			if want := int64(len(encode("name,n\r\n\"Zoë, 𝄞\",1\r\n", c.big, c.mark))); rows[1].key[1] != want {
				t.Errorf("the second row is at %v, want %d", rows[1].key, want)
			}
			if err := checkChunks(f, tab, 1, 1); err != nil {
				t.Error(err)
			}
		})
	}
	half := encode("a,b\n1,", false, true) + "\x00\xd8" + encode("\n2,3\n", false, false) + "x"
	f := open(t, "csv:"+folder(t, map[string]string{"t.csv": half}))
	wantRows(t, f, table(t, f, "t"), "!the row is not valid utf-16le", `"2" "3"`, "!the row has 1 fields where the table has 2")

	_, err := open(t, "csv:"+folder(t, map[string]string{"t.csv": encode(text, false, false)})).Schema(context.Background())
	wantError(t, err, "looks like UTF-16", "encoding=utf-16le")
}

func TestTypesAreGuessedWhenAsked(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"t.csv": "i,zip,d,b,day,at,z,s,none\n" +
		"1,02139,1.50,true,2024-02-29,2024-01-01 10:00:00,2024-01-01T10:00:00Z,x,\n" +
		"-20,10115,-3,FALSE,2023-01-01,2024-01-01T10:00:00.5,2024-01-01 10:00:00+02:00,1,\n"})
	f := open(t, "csv:"+dir+"?types=infer")
	tab := table(t, f, "t")
	want := []sqldb.Kind{sqldb.KindInt64, sqldb.KindText, sqldb.KindNumeric, sqldb.KindBool, sqldb.KindDate, sqldb.KindTimestamp, sqldb.KindTimestampTZ,
		sqldb.KindText, sqldb.KindText}
	for i, c := range tab.Columns {
		if c.Kind != want[i] {
			t.Errorf("%s is %s, want %s", c.Name, c.Kind, want[i])
		}
	}
	if !strings.Contains(strings.Join(tab.Notes, " "), "guessed") {
		t.Errorf("no note says that types are guessed: %q", tab.Notes)
	}
	// What the sample did not show: a database would make 2139 of 02139, and true of yes.
	rest := "; from.as in the plan says what a column holds, sample=all looks at all rows, types=text guesses nothing"
	fits := "1,1,2,True,2024-02-29,2024-02-29 23:59:59.123,2024-12-31T00:00:00-03:30,,"
	lines, asRead := []string{"i,zip,d,b,day,at,z,s,none", fits}, []string{`1 "1" "2" 1 "2024-02-29" "2024-02-29 23:59:59.123" "2024-12-31T00:00:00-03:30" NULL NULL`}
	for _, c := range []struct{ row, value, is string }{
		{"02139,,,,,,,,", "02139", "no whole number"}, {"+4711,,,,,,,,", "+4711", "no whole number"}, {"12.0,,,,,,,,", "12.0", "no whole number"},
		{"9223372036854775808,,,,,,,,", "9223372036854775808", "no whole number"}, {"\"\",,,,,,,,", "", "no whole number"}, {" 1,,,,,,,,", " 1", "no whole number"},
		{",,007.5,,,,,,", "007.5", "no decimal"}, {",,1e5,,,,,,", "1e5", "no decimal"}, {",,,yes,,,,,", "yes", "neither true nor false"},
		{",,,1,,,,,", "1", "neither true nor false"}, {",,,tRuE,,,,,", "tRuE", "neither true nor false"}, {",,,,2024-02-30,,,,", "2024-02-30", "no date"},
		{",,,,2024-02-29 10:00:00,,,,", "2024-02-29 10:00:00", "no date"}, {",,,,,2024-02-29,,,", "2024-02-29", "no timestamp without a zone"},
		{",,,,,2024-02-29 24:00:00,,,", "2024-02-29 24:00:00", "no timestamp without a zone"},
		{",,,,,,2024-02-29 10:00:00,,", "2024-02-29 10:00:00", "no timestamp with a zone"},
	} {
		lines = append(lines, c.row)
		asRead = append(asRead, fmt.Sprintf("!%q is %s, unlike the values of the sample%s", c.value, c.is, rest))
	}
	if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	rows := wantRows(t, f, tab, asRead...)
	if bad := rows[1].bad; bad == nil || bad.Column != "i" || bad.Code != "22P02" || bad.Raw != lines[2] {
		t.Errorf("the row 02139 is set aside as %+v", bad)
	}
	// Nothing is refused of what somebody has said the type of.
	said := *tab
	said.Columns = slices.Clone(tab.Columns)
	for i := range said.Columns {
		said.Columns[i].Guessed = false
	}
	if rows := readAll(t, f, &said); rows[1].String() != `"02139" NULL NULL NULL NULL NULL NULL NULL NULL` || rows[9].String() != `NULL NULL NULL "yes" NULL NULL NULL NULL NULL` {
		t.Errorf("with types that are no guess, rows are\n%s", show(rows))
	}
	for _, c := range table(t, open(t, "csv:"+dir), "t").Columns {
		if c.Kind != sqldb.KindText {
			t.Errorf("%s is %s, want text", c.Name, c.Kind)
		}
	}
}

func TestPlainCSVIsReadAsEncodingCSVReadsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "t.csv")
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.IntRange(2, 4).Draw(rt, "columns")
		cell := rapid.StringOfN(rapid.RuneFrom([]rune("ab ,\"\n;é'\\#")), 0, 8, -1)
		var want [][]string
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = rapid.Bool().Draw(rt, "crlf")
		_ = w.Write([]string{"c1", "c2", "c3", "c4"}[:columns])
		for range rapid.IntRange(0, 20).Draw(rt, "rows") {
			r := rapid.SliceOfN(cell, columns, columns).Draw(rt, "row")
			want = append(want, r)
			_ = w.Write(r)
		}
		w.Flush()
		// Go's reader is the judge of what was written: it turns CRLF within quotes into LF.
		judged, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(b.String(), "\r\n", "\n"))).ReadAll()
		if err != nil || len(judged) != len(want)+1 {
			rt.Fatalf("the oracle reads %d rows of %d: %v", len(judged)-1, len(want), err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			rt.Fatal(err)
		}
		f := open(t, "csv:"+dir)
		tab := table(t, f, "t")
		rows, err := read(f, tab, nil, nil)
		if err != nil || len(rows) != len(want) {
			rt.Fatalf("%d rows of %d: %v\n%s", len(rows), len(want), err, show(rows))
		}
		for i, r := range rows {
			for j, v := range r.values {
				got, _ := v.(string)
				if strings.ReplaceAll(got, "\r\n", "\n") != judged[i+1][j] {
					rt.Fatalf("row %d, column %d is %q, want %q", i, j, got, judged[i+1][j])
				}
			}
		}
		if err := checkChunks(f, tab, rapid.IntRange(1, 5).Draw(rt, "chunk"), rapid.IntRange(1, 3).Draw(rt, "limit")); err != nil {
			rt.Fatal(err)
		}
	})
}

// FuzzCSV holds that no bytes make the reader fail, and that rows are the same whatever borders they are read by.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a,b\r\n\"x\r\n\",\"\"\"\r\r\n", "\xff\xfea\x00,\x00\n\x00", "a\n\n\n", "#a\n'b\n\\\n", "\"", "a,b\n\"\n\n\r", " \" a\" ,b\r\"\\\"\r"} {
		for _, query := range []string{"", "escape=backslash&quote=single", "trim=1&comment=%23&newline=lf", "newline=cr&header=no", "row_bytes=5&trim=1"} {
			f.Add([]byte(seed), query, 2)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, query string, rows int) {
		if _, err := url.ParseQuery(query); err != nil || rows < 1 || strings.Contains(query, "skip") {
			t.Skip()
		}
		src, err := tryOpen("csv:" + folder(t, map[string]string{"t.csv": string(data)}) + "?" + query)
		if err != nil {
			t.Skip()
		}
		s, err := src.Schema(context.Background())
		if err != nil || len(s.Tables) == 0 {
			return // what cannot be read is an error, and no panic
		}
		if err := checkChunks(src, &s.Tables[0], rows, 2); err != nil {
			t.Error(err)
		}
	})
}

func TestARowThatIsLongerThanTheWindowIsReadWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x\ny\"\"", 200_000)
	dir := folder(t, map[string]string{"t.csv": "a,b\n1,2\n\"" + long + "\",z\n" + strings.Repeat("3,4\n", 100_000)})
	f := open(t, "csv:"+dir)
	tab := table(t, f, "t")
	rows := readAll(t, f, tab)
	if len(rows) != 100_002 || rows[1].values[0] != strings.ReplaceAll(long, `""`, `"`) {
		t.Fatalf("%d rows", len(rows))
	}
	if err := checkKeys(f, tab, 30_000); err != nil {
		t.Error(err)
	}
	// The same with a bound: the row is gone over without being kept, and what is behind it is read.
	f = open(t, "csv:"+dir+"?row_bytes=1000")
	rows = readAll(t, f, table(t, f, "t"))
	if len(rows) != 100_002 || rows[1].bad == nil || rows[2].bad != nil {
		t.Fatalf("%d rows, the second %v", len(rows), rows[1])
	}
}

// checkKeys is checkChunks for many rows: it compares how many there are in each chunk.
func checkKeys(f sqldb.Tabular, tab *sqldb.Table, n int) error {
	keys, err := borders(f, tab, n, 2)
	if err != nil {
		return err
	}
	var from sqldb.RowKey
	for _, to := range keys {
		rows, err := read(f, tab, from, to)
		if err != nil || len(rows) != n {
			return fmt.Errorf("%d rows in [%s, %s): %w", len(rows), from, to, err)
		}
		from = to
	}
	return nil
}

// testdata/csv holds files that Python's csv module has written in many dialects, and what its reader reads from them: see make.py.
func TestCSVOfPythonIsReadAsPythonReadsIt(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/csv/*.json")
	if err != nil || len(paths) != 9 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(path, ".json")
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			var want struct {
				Query string
				Rows  [][]string
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			f := open(t, "csv:"+name+".csv?"+want.Query)
			tab := table(t, f, filepath.Base(name))
			rows := readAll(t, f, tab)
			if len(rows) != len(want.Rows) {
				t.Errorf("%d rows, want %d", len(rows), len(want.Rows))
			}
			for i := range min(len(rows), len(want.Rows)) {
				got := make([]string, len(rows[i].values))
				for j, v := range rows[i].values {
					got[j], _ = v.(string) // NULL is empty
				}
				if !reflect.DeepEqual(got, want.Rows[i]) {
					t.Fatalf("row %d: got %q (%v), want %q", i, got, rows[i].bad, want.Rows[i])
				}
			}
			if err := checkChunks(f, tab, 7, 2); err != nil {
				t.Error(err)
			}
		})
	}
}
