package flatfile_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"pgregory.net/rapid"
)

func TestNDJSONLosesNothing(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"t.ndjson": `{"id": 1, "price": 0.10, "big": 1, "name": "Zo\u00eb \ud834\udd1e\n", "ok": true, "tags": ["a", {"b": "]"}], "mixed": 1}
{"id":9223372036854775807,"big":9223372036854775808,"ok":null,"tags":"x","mixed":"1","name":"\"\\\/"}
 	
{ "id" : -2 , "price" : 1e3 , "ok" : false }
`})
	f := open(t, "ndjson:"+dir)
	tab := table(t, f, "t")
	want := map[string]sqldb.Kind{"id": sqldb.KindInt64, "price": sqldb.KindNumeric, "big": sqldb.KindNumeric, "name": sqldb.KindText, "ok": sqldb.KindBool,
		"tags": sqldb.KindJSON, "mixed": sqldb.KindText, "_rest": sqldb.KindJSON}
	got := map[string]sqldb.Kind{}
	for _, c := range tab.Columns {
		got[c.Name] = c.Kind
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got the kinds %v, want %v", got, want)
	}
	wantRows(t, f, tab,
		`1 "0.10" "1" "Zoë 𝄞\n" 1 "[\"a\", {\"b\": \"]\"}]" "1" NULL`,
		`9223372036854775807 NULL "9223372036854775808" "\"\\/" NULL "\"x\"" "1" NULL`,
		`-2 "1e3" NULL NULL 0 NULL NULL NULL`)

	// Rows that the sample did not show.
	const rest = ", unlike the values of the sample; from.as in the plan says what a column holds, sample=all looks at all rows, types=text guesses nothing"
	if err := os.WriteFile(filepath.Join(dir, "t.ndjson"), []byte(`{"new":{"a":[1]},"n\"w":null,"_rest":1,"":2}
{"id":1,"price":-2E-3,"big":5,"name":{"first":"A"}}
{"id":"02139"}
{"id":1.0}
{"price":"0.10"}
{"big":true}
{"ok":"yes"}
{"ok":1}
{"id":[1]}
{"id":1,"id":2}
{"new":1,"new":2}
[1]
{"id":1
{"name":"half \ud800 a pair","id":1}
{}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	wantRows(t, f, tab,
		`NULL NULL NULL NULL NULL NULL NULL "{\"new\":{\"a\":[1]},\"n\\\"w\":null,\"_rest\":1,\"\":2}"`,
		`1 "-2E-3" "5" "{\"first\":\"A\"}" NULL NULL NULL NULL`,
		`!"02139" is no whole number`+rest, `!1.0 is no whole number`+rest, `!"0.10" is no decimal`+rest, `!true is no decimal`+rest,
		`!"yes" is neither true nor false`+rest, `!1 is neither true nor false`+rest, `![1] is no whole number`+rest,
		`!the member "id" is there twice`,
		`NULL NULL NULL NULL NULL NULL NULL "{\"new\":1,\"new\":2}"`,
		`!the row is JSON, but no object`,
		`!the row is no JSON: unexpected end of JSON input`,
		`1 NULL NULL "half \xed\xa0\x80 a pair" NULL NULL NULL NULL`,
		`NULL NULL NULL NULL NULL NULL NULL NULL`)
	reject := open(t, "ndjson:"+dir+"?rest=reject")
	short := *tab
	short.Columns = tab.Columns[:len(tab.Columns)-1]
	if rows := readAll(t, reject, &short); rows[0].bad == nil || rows[0].bad.Reason != `the member "new" is no column of the table` {
		t.Errorf("rest=reject gives %v", rows[0])
	}
}

func TestWhatIsNoNDJSONSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := open(t, "ndjson:"+folder(t, map[string]string{"t.json": "[\n  {\"id\": 1}\n]\n"})).Schema(context.Background())
	wantError(t, err, "t.json is no NDJSON", "jq -c '.[]'")
	// A single bad row does not make a file bad.
	f := open(t, "ndjson:"+folder(t, map[string]string{"t.jsonl": "oops\n{\"id\": 1}\n"}))
	wantRows(t, f, table(t, f, "t"), "!the row is no JSON: invalid character 'o' looking for beginning of value", "1 NULL")
}

func TestNDJSONIsReadAsEncodingJSONReadsIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"a", "b", "é", `q"`, "a.b"})
		value := rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.String(), func(s string) any { return strings.ToValidUTF8(s, "") }),
			rapid.Map(rapid.Int64(), func(i int64) any { return i }), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.SliceOf(rapid.StringMatching(`[\[\]{}",\\]*`)), func(s []string) any { return s }))
		var lines []string
		for range rapid.IntRange(1, 15).Draw(rt, "rows") {
			line, err := json.Marshal(rapid.MapOf(name, value).Draw(rt, "row"))
			if err != nil {
				rt.Fatal(err)
			}
			lines = append(lines, string(line))
		}
		if err := os.WriteFile(filepath.Join(dir, "t.ndjson"), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			rt.Fatal(err)
		}
		f := open(t, "ndjson:"+dir+"?sample=5")
		s, err := f.Schema(context.Background())
		if err != nil || len(s.Tables) == 0 {
			return // no members at all
		}
		tab := &s.Tables[0]
		rows, err := read(f, tab, nil, nil)
		if err != nil || len(rows) != len(lines) {
			rt.Fatalf("%d rows of %d: %v", len(rows), len(lines), err)
		}
		for i, r := range rows {
			var want map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &want); err != nil {
				rt.Fatal(err)
			}
			if fit := fitting(tab, want); fit != (r.bad == nil) {
				rt.Fatalf("row %d, %s, is %s", i, lines[i], r)
			} else if !fit {
				continue
			}
			got := map[string]any{}
			for j, c := range tab.Columns {
				text, isText := r.values[j].(string)
				switch {
				case r.values[j] == nil:
				case c.Name == "_rest":
					if err := json.Unmarshal([]byte(text), &got); err != nil {
						rt.Fatal(err)
					}
				default:
					got[c.Name] = r.values[j]
					if isText {
						got[c.Name] = text
					}
				}
			}
			for k, w := range want {
				if g := got[k]; !sameJSON(g, w) {
					rt.Fatalf("row %d, %s is %#v, want %#v", i, k, g, w)
				}
			}
		}
		if err := checkChunks(f, tab, rapid.IntRange(1, 5).Draw(rt, "chunk"), 2); err != nil {
			rt.Fatal(err)
		}
	})
}

// fitting reports whether all values of a row are of the kinds of their columns.
func fitting(tab *sqldb.Table, row map[string]any) bool {
	for _, c := range tab.Columns {
		ok := true
		switch v := row[c.Name]; c.Kind {
		case sqldb.KindBool:
			_, ok = v.(bool)
		case sqldb.KindInt64, sqldb.KindNumeric:
			_, ok = v.(float64)
		}
		if !ok && row[c.Name] != nil {
			return false
		}
	}
	return true
}

// sameJSON reports whether a cell holds what a value is: as itself, or as the text of it.
func sameJSON(got, want any) bool {
	if reflect.DeepEqual(got, want) {
		return true
	}
	switch w := want.(type) {
	case bool:
		if n, ok := got.(int64); ok {
			return (n == 1) == w
		}
	case float64:
		if n, ok := got.(int64); ok {
			return float64(n) == w
		}
	}
	text, ok := got.(string)
	if !ok {
		return false
	}
	var v any
	return json.Unmarshal([]byte(text), &v) == nil && reflect.DeepEqual(v, want)
}

// FuzzNDJSON holds that no bytes make the reader fail, and that rows are the same whatever borders they are read by.
func FuzzNDJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, "{\"a\":\"\\ud800\\u0000\"}\n{\"b\":[{\"]\":\"}\"}]}\r\n\n{}", "{\"\":{\"a\":1e5}}\n[\n", "{\"a\":1,\"a\":2}"} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, data []byte, rows int) {
		if rows < 1 {
			t.Skip()
		}
		src := open(t, "ndjson:"+folder(t, map[string]string{"t.ndjson": string(data)})+"?sample=2&row_bytes=200")
		s, err := src.Schema(context.Background())
		if err != nil || len(s.Tables) == 0 {
			return // what cannot be read is an error, and no panic
		}
		if err := checkChunks(src, &s.Tables[0], rows, 2); err != nil {
			t.Error(err)
		}
	})
}
