package source

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/sqldb"
)

// infinite stands for infinity, which JSON does not have: greater than all that is measured, and small enough to be added up.
const infinite = "1e300"

// floatValue writes a float as JSON can: NaN is null, and infinity a very great number.
func floatValue(f float64) any {
	switch {
	case math.IsNaN(f):
		return nil
	case math.IsInf(f, 1):
		return json.Number(infinite)
	case math.IsInf(f, -1):
		return json.Number("-" + infinite)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return json.Number(strconv.FormatFloat(f, 'e', -1, 64))
	}
	return json.Number(strconv.FormatFloat(f, 'f', -1, 64)) // as JSON is usually written
}

// timeText writes a time as documents have it: with the offset that it has, or Z.
func timeText(t time.Time) string {
	if _, offset := t.Zone(); offset == 0 {
		t = t.UTC()
	}
	return t.Format(time.RFC3339Nano)
}

// jsonValue decodes JSON; what is none is text.
func jsonValue(b []byte) any {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return plainText(string(b))
	}
	return v
}

func plainText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// numberText makes a number of a text that is one.
func numberText(s string) any {
	s = strings.TrimSpace(s)
	if f, err := strconv.ParseFloat(s, 64); err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return floatValue(f)
	}
	if json.Valid([]byte(s)) && s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') {
		return json.Number(s)
	}
	return plainText(s)
}

// momentText makes RFC 3339 of a text of ISO 8601; what is outside of the calendar stays as it is.
func momentText(s string) any {
	if t, err := readISO(s); err == nil {
		return timeText(t.UTC())
	}
	return plainText(s)
}

// postgresValue makes a JSON value of PostgreSQL's text form.
func postgresValue(types *pgtype.Map, c sqlColumn, raw []byte) any {
	if raw == nil {
		return nil
	}
	switch c.kind {
	case kindBool:
		return string(raw) == "t"
	case kindInteger, kindFloat, kindDecimal:
		return numberText(string(raw))
	case kindMoment:
		return momentText(string(raw))
	case kindJSON:
		return jsonValue(raw)
	case kindBytes:
		if b, err := hex.DecodeString(strings.TrimPrefix(string(raw), `\x`)); err == nil {
			return base64.StdEncoding.EncodeToString(b)
		}
	case kindArray:
		if t, ok := types.TypeForOID(c.oid); ok {
			if v, err := t.Codec.DecodeValue(types, c.oid, pgtype.TextFormatCode, raw); err == nil {
				return goValue(v)
			}
		}
	}
	return plainText(string(raw))
}

// otherValue makes a JSON value of what a driver of database/sql returns.
func otherValue(d sqldb.Dialect, c sqlColumn, v any) any {
	var text string
	switch x := v.(type) {
	case time.Time:
		switch {
		case c.kind == kindDay && x.Equal(x.Truncate(24*time.Hour)): // a DATE of SQLite may have an hour all the same
			return x.Format(time.DateOnly)
		case c.kind == kindClock:
			return x.Format("15:04:05.999999999")
		}
		return timeText(x)
	case []byte:
		switch {
		case c.kind == kindBits:
			return bitsValue(x)
		case c.kind == kindGUID && len(x) == 16:
			return fmt.Sprintf("%x-%x-%x-%x-%x", []byte{x[3], x[2], x[1], x[0]}, []byte{x[5], x[4]}, []byte{x[7], x[6]}, x[8:10], x[10:])
		case d == sqldb.SQLite, c.kind == kindBytes && (d != sqldb.Firebird || !utf8.Valid(x)):
			return base64.StdEncoding.EncodeToString(x)
		}
		text = string(x)
	case string:
		text = x
	case int64:
		if d == sqldb.SQLite && c.kind == kindBool && (x == 0 || x == 1) {
			return x == 1
		}
		return goValue(x)
	default:
		return goValue(v)
	}
	if d == sqldb.SQLite { // a text is a text, whatever the column is declared as
		return plainText(text)
	}
	switch c.kind {
	case kindInteger, kindFloat, kindDecimal:
		return numberText(text)
	case kindMoment:
		return momentText(text)
	case kindJSON:
		return jsonValue([]byte(text))
	}
	return plainText(text)
}

// bitsValue reads the bytes of a BIT column as the number that they are.
func bitsValue(b []byte) any {
	var n uint64
	for _, x := range b[max(0, len(b)-8):] {
		n = n<<8 | uint64(x)
	}
	return json.Number(strconv.FormatUint(n, 10))
}

// goValue makes a JSON value of a Go value.
func goValue(v any) any {
	switch x := v.(type) {
	case nil, bool, json.Number:
		return x
	case string:
		return plainText(x)
	case float64:
		return floatValue(x)
	case float32:
		f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64) // what it reads as
		return floatValue(f)
	case time.Time:
		return timeText(x)
	case []byte:
		return base64.StdEncoding.EncodeToString(x)
	case pgtype.Numeric:
		b, err := x.MarshalJSON()
		if err != nil {
			return nil
		}
		return numberText(strings.Trim(string(b), `"`))
	case []any:
		list := make([]any, len(x))
		for i, e := range x {
			list[i] = goValue(e)
		}
		return list
	case [16]byte:
		return fmt.Sprintf("%x-%x-%x-%x-%x", x[:4], x[4:6], x[6:8], x[8:10], x[10:])
	}
	if r := reflect.ValueOf(v); r.CanInt() {
		return json.Number(strconv.FormatInt(r.Int(), 10))
	} else if r.CanUint() {
		return json.Number(strconv.FormatUint(r.Uint(), 10))
	}
	return numberText(fmt.Sprint(v)) // a decimal of the driver's own
}

// wholeNumber reads a count.
func wholeNumber(v any) (int64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("a count is %v", v)
	}
	return n.Int64()
}

// idText writes an id.
func idText(v any) string { return document.Text(v) }
