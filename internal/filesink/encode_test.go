package filesink_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/filesink"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
)

func TestMain(m *testing.M) {
	child()
	pgtest.Main(m)
}

func encode(t testing.TB, f filesink.Format, rows ...[]any) string {
	t.Helper()
	var out bytes.Buffer
	e, err := filesink.Encode(&out, f, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := e.WriteRow(row); err != nil {
			t.Fatalf("write %v: %v", row, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e.Rows() != int64(len(rows)) {
		t.Fatalf("%d rows were counted", e.Rows())
	}
	return out.String()
}

func columns(names ...string) []string { return names }

func no() *bool { return new(bool) }

func TestRowsAreWrittenAsTheFormatSays(t *testing.T) {
	t.Parallel()
	values := [][]any{
		{int64(-7), "plain", nil, true},
		{1.5, "", []byte("\x00\xff"), false},
		{json.Number("12345678901234567890.10"), "a,b\"c\r\nd", json.RawMessage(`{ "a": [1, "x y"] }`), nil},
		{1e-7, " padded", []byte{}, "€uro"},
		{1e21, "NULL", json.RawMessage("null"), `\.`},
	}
	abcd := columns("a", "b c", "d,", "e")
	for name, c := range map[string]struct {
		format filesink.Format
		want   []string // lines without their ends
		end    string
	}{
		"csv": {filesink.Format{Type: "csv"}, []string{
			`a,b c,"d,",e`,
			`-7,plain,,true`,
			`1.5,"",AP8=,false`,
			"12345678901234567890.10,\"a,b\"\"c\r\nd\",\"{\"\"a\"\":[1,\"\"x y\"\"]}\",",
			`1e-7," padded","",€uro`,
			`1e+21,NULL,null,"\."`,
		}, "\r\n"},
		"csv of another taste": {filesink.Format{Type: "csv", Header: no(), Delimiter: ";", Terminator: "lf", Null: "NULL", Bytes: "hex"}, []string{
			`-7;plain;NULL;true`,
			`1.5;"";00ff;false`,
			"12345678901234567890.10;\"a,b\"\"c\r\nd\";\"{\"\"a\"\":[1,\"\"x y\"\"]}\";NULL",
			`1e-7;" padded";"";€uro`,
			`1e+21;"NULL";null;"\."`,
		}, "\n"},
		"csv all quoted": {filesink.Format{Type: "csv", Quote: "all", Terminator: "lf", Encoding: "utf-8-bom"}, []string{
			"\ufeff" + `"a","b c","d,","e"`,
			`"-7","plain",,"true"`,
			`"1.5","","AP8=","false"`,
			"\"12345678901234567890.10\",\"a,b\"\"c\r\nd\",\"{\"\"a\"\":[1,\"\"x y\"\"]}\",",
			`"1e-7"," padded","","€uro"`,
			`"1e+21","NULL","null","\."`,
		}, "\n"},
		"ndjson": {filesink.Format{Type: "ndjson"}, []string{
			`{"a":-7,"b c":"plain","d,":null,"e":true}`,
			`{"a":1.5,"b c":"","d,":"AP8=","e":false}`,
			`{"a":12345678901234567890.10,"b c":"a,b\"c\r\nd","d,":{"a":[1,"x y"]},"e":null}`,
			`{"a":1e-7,"b c":" padded","d,":"","e":"€uro"}`,
			`{"a":1e+21,"b c":"NULL","d,":null,"e":"\\."}`,
		}, "\n"},
	} {
		c.format.Columns = abcd
		want := strings.Join(c.want, c.end) + c.end
		if got := encode(t, c.format, values...); got != want {
			t.Errorf("%s: got\n%q\nwant\n%q", name, got, want)
		}
		if again := encode(t, c.format, values...); again != want {
			t.Errorf("%s: the same rows give other bytes", name)
		}
	}
}

func TestWindows1252HasItsCharactersAndRefusesOthers(t *testing.T) {
	t.Parallel()
	f := filesink.Format{Type: "csv", Columns: columns("größe", "b"), Encoding: "windows-1252", Terminator: "lf"}
	got := encode(t, f, []any{"€ \"ÿ\" – ’", "Ž"})
	decoded, err := charmap.Windows1252.NewDecoder().String(got)
	if want := "größe,b\n\"€ \"\"ÿ\"\" – ’\",Ž\n"; err != nil || decoded != want {
		t.Errorf("got %q, %v; want %q", decoded, err, want)
	}
	var out bytes.Buffer
	e, err := filesink.Encode(&out, f, false)
	if err != nil {
		t.Fatal(err)
	}
	err = e.WriteRow([]any{"fits", "日"})
	if bad := (*filesink.CellError)(nil); !errors.As(err, &bad) || bad.Column != "b" || !strings.Contains(err.Error(), "U+65E5") || tasks.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if err := e.WriteRow([]any{"next", "x"}); err != nil || out.String() != "next,x\n" || e.Rows() != 1 {
		t.Errorf("after a bad row there is %q, %v", out.String(), err)
	}
}

func TestAValueThatCannotBeWrittenIsAnErrorOfItsColumn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind  string
		value any
		want  string
	}{
		{"csv", "a\xff", "not UTF-8"}, {"ndjson", "a\xff", "not UTF-8"}, {"ndjson", json.RawMessage("\"\xff\""), "not UTF-8"},
		{"csv", json.Number("1,5"), "not a number"}, {"ndjson", json.Number(""), "not a number"}, {"ndjson", json.Number("NaN"), "not a number"},
		{"ndjson", json.Number(" 1"), "not a number"}, {"ndjson", json.Number("1\n"), "not a number"}, {"ndjson", json.Number("01"), "not a number"},
		{"ndjson", json.Number("true"), "not a number"}, {"ndjson", json.RawMessage("{"), "not JSON"}, {"csv", json.RawMessage(""), "not JSON"},
		{"ndjson", math.NaN(), "no NaN"}, {"ndjson", math.Inf(-1), "no NaN"}, {"csv", struct{}{}, "cannot write a struct"}, {"ndjson", int32(1), "cannot write a int32"},
	} {
		e, err := filesink.Encode(io.Discard, filesink.Format{Type: c.kind, Columns: columns("a", "b")}, true)
		if err != nil {
			t.Fatal(err)
		}
		err = e.WriteRow([]any{"x", c.value})
		if bad := (*filesink.CellError)(nil); !errors.As(err, &bad) || bad.Column != "b" || !strings.Contains(err.Error(), c.want) || tasks.HintOf(err) == "" {
			t.Errorf("%s of %#v: got %v", c.kind, c.value, err)
		}
		if err := e.WriteRow([]any{"x"}); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("a short row: %v", err)
		}
	}
	if got := encode(t, filesink.Format{Type: "csv", Columns: columns("a", "b"), Header: no(), Terminator: "lf"}, []any{math.NaN(), math.Inf(-1)}); got != "NaN,-Infinity\n" {
		t.Errorf("csv: got %q", got)
	}
}

func TestAFormatThatCannotBeReadBackIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                                   `type is ""`,
		`{"type": "xlsx"}`:                     `type is "xlsx"`,
		`{"type": "csv"}`:                      "columns is empty",
		`{"type": "csv", "columns":["a","a"]}`: "twice",
		`{"type": "csv", "columns":["a"]}`:     "empty line",
		`{"type": "csv", "columns":["a","日"], "encoding": "windows-1252"}`:       "has no",
		`{"type": "csv", "columns":["a","b"], "delimiter": ";;"}`:                "no delimiter",
		`{"type": "csv", "columns":["a","b"], "delimiter": "\""}`:                "no delimiter",
		`{"type": "csv", "columns":["a","b"], "delimiter": "a"}`:                 "no delimiter",
		`{"type": "csv", "columns":["a","b"], "null": "a,b"}`:                    "take apart",
		`{"type": "csv", "columns":["a","b"], "null": " "}`:                      "take apart",
		`{"type": "csv", "columns":["a","b"], "null": "ÿþ"}`:                     "another kind",
		`{"type": "csv", "columns":["a","b"], "terminator": "cr"}`:               `terminator is "cr"`,
		`{"type": "csv", "columns":["a","b"], "compress": "bzip2"}`:              `compress is "bzip2"`,
		`{"type": "csv", "columns":["a","b"], "quote": "none"}`:                  `quote is "none"`,
		`{"type": "csv", "columns":["a","b"], "bytes": "raw"}`:                   `bytes is "raw"`,
		`{"type": "ndjson", "columns":["a"], "encoding": "utf-8-bom"}`:           "always utf-8",
		`{"type": "ndjson", "columns":["a"], "header": true}`:                    "header is for csv",
		`{"type": "ndjson", "columns":["a"], "terminator": "crlf"}`:              "end with lf",
		`{"type": "ndjson", "columns":["a"], "null": "x"}`:                       "null is for csv",
		`{"type": "ndjson", "columns":["a"], "compress":"zstd","single":true}`:   "",
		`{"type": "csv", "columns":["a"], "null": "\\N", "delimiter":"\t"}`:      "",
		`{"type": "csv", "columns":["a","b"], "header":false, "quote":"all"}`:    "",
		`{"type": "csv", "columns":["a","b"], "encoding":"utf-8","quote":"all"}`: "",
	} {
		var f filesink.Format
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		err := f.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestCompressedFilesUnpackToTheSameAndAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	rows := make([][]any, 20_000)
	for i := range rows {
		rows[i] = []any{int64(i), fmt.Sprintf("name %d", i*7919%1000)}
	}
	f := filesink.Format{Type: "ndjson", Columns: columns("id", "name")}
	plain := encode(t, f, rows...)
	for compress, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		f.Compress = compress
		packed := encode(t, f, rows...)
		r, err := open(strings.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != plain || len(packed)*3 > len(plain) {
			t.Errorf("%s: %d bytes of %d, %v", compress, len(packed), len(plain), err)
		}
		if encode(t, f, rows...) != packed {
			t.Errorf("%s: the same rows give other bytes", compress)
		}
	}
}

// text draws what breaks writers of CSV.
var text = rapid.OneOf(
	rapid.StringOfN(rapid.SampledFrom([]rune("a\"',;|\t\r\n \\.N\ufeff\u00a0\u2028é€日")), 0, 12, -1),
	rapid.String().Filter(func(s string) bool { return !strings.Contains(s, "\x00") }),
	rapid.SampledFrom([]string{"", `\N`, "NULL", `\.`, `"`, `""`, "\r", "\n", "\r\n", "=1+1", "#"}),
)

// table draws rows of texts and NULLs.
func table(t *rapid.T, columns int) [][]any {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []any {
		row := make([]any, columns)
		for i := range row {
			if !rapid.Bool().Draw(t, "null") {
				row[i] = text.Draw(t, "text")
			}
		}
		return row
	}), 0, 8).Draw(t, "rows")
}

// csvFormat draws a format of columns a, b, c.
func csvFormat(t *rapid.T) filesink.Format {
	return filesink.Format{Type: "csv", Columns: columns("a", "b", "c"),
		Delimiter:  rapid.SampledFrom([]string{"", ",", ";", "|", "\t"}).Draw(t, "delimiter"),
		Terminator: rapid.SampledFrom([]string{"", "lf", "crlf"}).Draw(t, "terminator"),
		Null:       rapid.SampledFrom([]string{"", `\N`, "NULL"}).Draw(t, "null"),
		Quote:      rapid.SampledFrom([]string{"", "needed", "all"}).Draw(t, "quote")}
}

func TestWhatIsWrittenAsCSVIsReadByEncodingCSV(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, rows := csvFormat(rt), table(rt, 3)
		want := [][]string{f.Columns}
		for _, row := range rows {
			line := make([]string, len(row))
			for i, v := range row {
				if line[i] = f.Null; v != nil {
					line[i] = strings.ReplaceAll(v.(string), "\r\n", "\n") // which this reader makes of it
				}
			}
			want = append(want, line)
		}
		r := csv.NewReader(strings.NewReader(encode(t, f, rows...)))
		if f.Delimiter != "" {
			r.Comma = rune(f.Delimiter[0])
		}
		got, err := r.ReadAll()
		if err != nil || !reflect.DeepEqual(got, want) {
			rt.Fatalf("got %q, %v; want %q", got, err, want)
		}
	})
}

func TestWhatIsWrittenAsJSONIsReadByEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s, n, x := rapid.String().Draw(rt, "s"), rapid.Int64().Draw(rt, "n"), rapid.Float64().Draw(rt, "x")
		if math.IsInf(x, 0) || math.IsNaN(x) {
			x = 0
		}
		name := rapid.String().Filter(func(s string) bool { return s != "n" && s != "x" }).Draw(rt, "name")
		line := encode(t, filesink.Format{Type: "ndjson", Columns: columns(name, "n", "x")}, []any{s, n, x})
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		for i, part := range []any{name, s, "n", n, "x", x} {
			want.WriteByte("{:,:,:"[i])
			if err := e.Encode(part); err != nil {
				rt.Fatal(err)
			}
			want.Truncate(want.Len() - 1)
		}
		want.WriteString("}\n")
		// The library writes these two in short since Go 1.22; both are the same text.
		short := strings.NewReplacer(`\u0008`, `\b`, `\u000c`, `\f`)
		if short.Replace(line) != short.Replace(want.String()) {
			rt.Fatalf("got %q, want %q", line, want.String())
		}
	})
}

// PostgreSQL tells an empty field from an empty text in quotes, as no other reader here does.
func TestPostgreSQLReadsNULLAndTheEmptyTextApart(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t (n int, a text, b text, c text)"); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		f, rows := csvFormat(rt), table(rt, 3)
		f.Columns = columns("n", "a", "b", "c")
		for i := range rows {
			rows[i] = slices.Insert(rows[i], 0, any(int64(i)))
		}
		delimiter := f.Delimiter
		if delimiter == "" {
			delimiter = ","
		}
		sql := fmt.Sprintf("COPY t FROM STDIN (FORMAT csv, HEADER, DELIMITER E'%s', NULL '%s')", delimiter, f.Null)
		if _, err := conn.Exec(t.Context(), "TRUNCATE t"); err != nil {
			rt.Fatal(err)
		}
		if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(encode(t, f, rows...)), sql); err != nil {
			rt.Fatalf("%s: %v", sql, err)
		}
		found, err := conn.Query(t.Context(), "SELECT n::bigint, a, b, c FROM t ORDER BY n")
		if err != nil {
			rt.Fatal(err)
		}
		got, err := pgx.CollectRows(found, func(r pgx.CollectableRow) ([]any, error) { return r.Values() })
		if err != nil || len(got) != len(rows) {
			rt.Fatalf("got %d rows of %d, %v", len(got), len(rows), err)
		}
		for i := range rows {
			if !reflect.DeepEqual(got[i], rows[i]) {
				rt.Fatalf("got %q, want %q", got[i], rows[i])
			}
		}
	})
}
