package flatfile_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/filesink"
	"github.com/stint-run/stint/internal/sqldb"
)

// pick takes one of some words by a number, and returns what is left of the number.
func pick(n uint64, words ...string) (string, uint64) {
	count := uint64(len(words))
	return words[n%count], n / count
}

// writtenFormat makes a format, and the query of the URL by which its files are read, of a number.
func writtenFormat(n uint64) (f filesink.Format, query url.Values) {
	query = url.Values{}
	f.Type, n = pick(n, filesink.CSV, filesink.NDJSON)
	f.Compress, n = pick(n, "", "gzip", "zstd")
	f.Bytes, n = pick(n, "", "hex")
	if f.Type == filesink.NDJSON {
		types, _ := pick(n, "text", "infer")
		query.Set("types", types)
		query.Set("sample", "all")
		return f, query
	}
	f.Delimiter, n = pick(n, "", ";", "|", "\t", ":", "^", "~", "!", "#", "%", "&", "*", "/", "_")
	f.Terminator, n = pick(n, "", "lf")
	f.Encoding, n = pick(n, "", filesink.UTF8BOM, filesink.Windows1252)
	f.Null, n = pick(n, "", `\N`, "NULL", "0", "ø")
	f.Quote, n = pick(n, "", "all")
	header, _ := pick(n, "true", "false")
	on := header == "true"
	f.Header = &on
	query.Set("header", header)
	query.Set("null", f.Null)
	query.Set("delimiter", f.Delimiter)
	query.Set("encoding", "utf-8") // else texts with NUL in them look like UTF-16
	if f.Encoding == filesink.Windows1252 {
		query.Set("encoding", "cp1252")
	}
	return f, query
}

// wantOf is the text that a value is in a file; nil is NULL.
func wantOf(f filesink.Format, value any) any {
	switch v := value.(type) {
	case string:
		return v
	case bool, int64, json.Number:
		return fmt.Sprint(v)
	case []byte:
		switch {
		case v == nil:
			return nil
		case f.Bytes == "hex":
			return hex.EncodeToString(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	case json.RawMessage:
		var b bytes.Buffer
		if v == nil || json.Compact(&b, v) != nil {
			return nil
		}
		if f.Type == filesink.NDJSON {
			return textOfJSON(b.String())
		}
		return b.String()
	}
	return nil
}

// textOfJSON is a value of JSON as a cell has it: a text without quotes, and null as NULL.
func textOfJSON(raw string) any {
	var text string
	switch {
	case raw == "null":
		return nil
	case strings.HasPrefix(raw, `"`) && json.Unmarshal([]byte(raw), &text) == nil:
		return text
	}
	return raw
}

// sameCell reports whether a cell that was read is the value that was written.
func sameCell(f filesink.Format, kind sqldb.Kind, got, value any) bool {
	switch x := got.(type) {
	case int64:
		got = strconv.FormatInt(x, 10)
		if kind == sqldb.KindBool {
			got = strconv.FormatBool(x != 0)
		}
	case string:
		if kind == sqldb.KindJSON {
			got = textOfJSON(x)
		}
	}
	if want, ok := value.(float64); ok {
		text, _ := got.(string)
		x, err := strconv.ParseFloat(text, 64)
		return err == nil && (x == want && math.Signbit(x) == math.Signbit(want) || x != x && want != want)
	}
	return got == wantOf(f, value)
}

// FuzzRowsThatAreWrittenAreTheRowsThatAreRead holds that what filesink writes, in whichever form, is read here row by row and value by
// value, NULL and the empty text told apart; a row that it refuses is not there, and those beside it are.
func FuzzRowsThatAreWrittenAreTheRowsThatAreRead(f *testing.F) {
	texts := []string{"", "plain", " padded ", "a,b\"c\r\nd", "\r", "\n", `\N`, `\.`, "NULL", "\"", "€uro", "\ufeffmark", "ÿþ", "\x00", "\x1a", "\u2028", "\u00a0x", "\xff", "日", "#", "0", "true", "1e5", "{}", "[", "_rest", "\\", "PAR1", "PK\x03\x04", "\x1f‹", "(µ/ý", "a\x00b\x00", "ø", "\u0081", "a\tb;c|d:e"}
	for i, text := range texts {
		for n := range uint64(24) {
			f.Add(n*7919+uint64(i), text, texts[(i+1)%len(texts)], int64(i)-3, float64(i)*1e-7, []byte(text), n%3 == 0)
		}
	}
	for _, x := range []float64{math.NaN(), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1), 1e21, 1e-6} {
		f.Add(uint64(0), "x", "", int64(math.MinInt64), x, []byte(`{ "a": [1, "x y", null] }`), false)
		f.Add(uint64(7), "x", "", int64(math.MaxInt64), x, []byte(` "a\u0000\ud83d\ude00" `), false)
	}
	f.Fuzz(func(t *testing.T, form uint64, text, name string, number int64, real float64, raw []byte, alone bool) {
		var half string
		if json.Unmarshal(raw, &half) == nil && strings.Contains(half, "\ufffd") {
			return // half a pair of surrogates is no text: it is read as it is, for the target to set aside
		}
		format, query := writtenFormat(form)
		format.Columns = []string{"text", "x" + name, "number", "real", "flag", "bytes", "json", "decimal", "mixed"}
		decimal := json.Number(strconv.FormatInt(number, 10) + ".50")
		rows := [][]any{
			{text, name, number, real, number%2 == 0, raw, json.RawMessage(raw), decimal, number},
			{nil, nil, nil, nil, nil, nil, nil, nil, nil},
			{name, text, -1 - number, -real, number%2 != 0, []byte{}, json.RawMessage(`[1, "é"]`), json.Number("0"), text},
			{"", format.Null, int64(0), 0.0, true, []byte(text), nil, decimal, real},
			{format.Null, "", number, 1.0, false, nil, json.RawMessage("true"), decimal, true},
		}
		if alone {
			format.Columns = format.Columns[:1]
			for i := range rows {
				rows[i] = rows[i][:1]
			}
		}
		var out bytes.Buffer
		e, err := filesink.Encode(&out, format, true)
		if err != nil {
			t.Skip() // a form that the sink does not have
		}
		var written [][]any
		for _, row := range rows {
			err := e.WriteRow(row)
			if bad := (*filesink.CellError)(nil); err != nil && !errors.As(err, &bad) {
				t.Fatal(err)
			}
			if err == nil {
				written = append(written, row)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		file := "t." + format.Type + map[string]string{"gzip": ".gz", "zstd": ".zst"}[format.Compress]
		src := open(t, format.Type+":"+folder(t, map[string]string{file: out.String()})+"?"+query.Encode())
		s, err := src.Schema(context.Background())
		if err != nil || len(s.Tables) != 1 {
			t.Fatalf("%+v: %v\n%q", format, err, out.String())
		}
		tab := &s.Tables[0]
		got := readAll(t, src, tab)
		if len(got) != len(written) {
			t.Fatalf("%+v %v: %d rows were written, and read are\n%s", format, query, len(written), show(got))
		}
		for i, row := range written {
			if got[i].bad != nil || len(got[i].values) < len(row) {
				t.Fatalf("%+v %v: row %d is %s", format, query, i, got[i])
			}
			for c, value := range row {
				if !sameCell(format, tab.Columns[c].Kind, got[i].values[c], value) {
					t.Errorf("%+v %v: row %d, column %d: written was %#v, read is %#v", format, query, i, c, value, got[i].values[c])
				}
			}
		}
		if format.Type == filesink.NDJSON || format.Header == nil || *format.Header {
			for c, column := range format.Columns {
				if want := strings.TrimSpace(column); tab.Columns[c].Name != want && (format.Type == filesink.CSV || tab.Columns[c].Name != column) {
					t.Errorf("%+v: column %d is %q, want %q", format, c, tab.Columns[c].Name, column)
				}
			}
		}
	})
}
