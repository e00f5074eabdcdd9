package migration

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
)

// typeOf says what expressions see of a column. SQLite keeps no dates: what it has is text, in whatever form.
func typeOf(d sqldb.Dialect, kind sqldb.Kind) expression.Type {
	switch kind {
	case sqldb.KindBool:
		return expression.Bool
	case sqldb.KindInt16, sqldb.KindInt32, sqldb.KindInt64:
		return expression.Int
	case sqldb.KindFloat32, sqldb.KindFloat64:
		return expression.Float
	case sqldb.KindNumeric:
		return expression.Decimal
	case sqldb.KindBytes:
		return expression.Bytes
	case sqldb.KindUUID:
		return expression.UUID
	case sqldb.KindJSON:
		return expression.JSON
	case sqldb.KindDate, sqldb.KindTime, sqldb.KindTimestamp, sqldb.KindTimestampTZ:
		if d == sqldb.SQLite {
			return expression.Text
		}
		return momentTypes[kind]
	}
	return expression.Text
}

var momentTypes = map[sqldb.Kind]expression.Type{sqldb.KindDate: expression.Date, sqldb.KindTime: expression.Time,
	sqldb.KindTimestamp: expression.Timestamp, sqldb.KindTimestampTZ: expression.Moment}

// kindOf is the kind of column that a type is at home in.
func kindOf(t expression.Type) sqldb.Kind {
	switch t {
	case expression.Bool:
		return sqldb.KindBool
	case expression.Int:
		return sqldb.KindInt64
	case expression.Decimal:
		return sqldb.KindNumeric
	case expression.Float:
		return sqldb.KindFloat64
	case expression.Bytes:
		return sqldb.KindBytes
	case expression.Date:
		return sqldb.KindDate
	case expression.Time:
		return sqldb.KindTime
	case expression.Timestamp:
		return sqldb.KindTimestamp
	case expression.Moment:
		return sqldb.KindTimestampTZ
	case expression.UUID:
		return sqldb.KindUUID
	case expression.JSON:
		return sqldb.KindJSON
	}
	return sqldb.KindText
}

// SQLSTATEs of values that are not what their column says.
const (
	codeSyntax   = "22P02"
	codeRange    = "22003"
	codeEncoding = "22021"
)

// notOfType says that a value is not of the type that its column has.
func notOfType(column string, c *sqldb.Cell, t expression.Type, code string) *sqldb.BadValue {
	return &sqldb.BadValue{Column: column, Code: code, Reason: preview(c) + " is no " + t.String() + "; read the column as text (from.as) to look into it"}
}

func preview(c *sqldb.Cell) string {
	switch v := c.Value().(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return strconv.QuoteToASCII(v[:min(len(v), 60)])
	}
	return "a value of another type"
}

// toValue turns a cell into the value that expressions see. Text is valid as long as the cell is.
func toValue(column string, c *sqldb.Cell, t expression.Type) (expression.Value, *sqldb.BadValue) {
	if c.Kind() == sqldb.CellNull {
		return expression.Value{}, nil
	}
	switch t {
	case expression.Text:
		return toText(column, c)
	case expression.Int:
		return toInt(column, c)
	case expression.Decimal, expression.Float:
		return toNumber(column, c, t)
	case expression.Bool:
		return toBool(column, c)
	case expression.Bytes:
		if k := c.Kind(); k == sqldb.CellBytes || k == sqldb.CellText {
			return expression.OfBytes([]byte(c.Text())), nil
		}
	case expression.JSON:
		if c.Kind() == sqldb.CellText {
			return expression.OfJSONText(c.Text()), nil
		}
	case expression.UUID:
		if u, ok := sqldb.ParseUUID(c.Text()); ok && c.Kind() == sqldb.CellText {
			return expression.OfUUID(u), nil
		}
		if s := c.Text(); c.Kind() == sqldb.CellBytes && len(s) == 16 {
			return expression.OfUUID([16]byte([]byte(s))), nil
		}
	default:
		return toMoment(column, c, t)
	}
	return expression.Value{}, notOfType(column, c, t, codeSyntax)
}

func toText(column string, c *sqldb.Cell) (expression.Value, *sqldb.BadValue) {
	switch c.Kind() {
	case sqldb.CellText, sqldb.CellBytes:
		if !utf8.ValidString(c.Text()) {
			return expression.Value{}, &sqldb.BadValue{Column: column, Code: codeEncoding, Reason: preview(c) + " is not valid UTF-8; read the column as bytes (from.as) and decode() it"}
		}
		return expression.OfText(c.Text()), nil
	case sqldb.CellInt:
		return expression.OfText(strconv.FormatInt(c.Int(), 10)), nil
	case sqldb.CellFloat:
		return expression.OfText(strconv.FormatFloat(c.Float(), 'g', -1, 64)), nil
	case sqldb.CellDecimal:
		return expression.OfText(c.Value().(string)), nil
	}
	return expression.Value{}, notOfType(column, c, expression.Text, codeSyntax)
}

func toInt(column string, c *sqldb.Cell) (expression.Value, *sqldb.BadValue) {
	switch c.Kind() {
	case sqldb.CellInt:
		return expression.OfInt(c.Int()), nil
	case sqldb.CellFloat:
		if f := c.Float(); f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
			return expression.OfInt(int64(f)), nil
		}
	case sqldb.CellDecimal:
		if c.Scale() == 0 {
			return expression.OfInt(c.Int()), nil
		}
	case sqldb.CellText:
		if n, err := strconv.ParseInt(strings.TrimSpace(c.Text()), 10, 64); err == nil {
			return expression.OfInt(n), nil
		}
	}
	return expression.Value{}, notOfType(column, c, expression.Int, codeSyntax)
}

func toNumber(column string, c *sqldb.Cell, t expression.Type) (expression.Value, *sqldb.BadValue) {
	text := c.Text()
	switch c.Kind() {
	case sqldb.CellInt:
		if n := c.Int(); t == expression.Float && n > -1<<53 && n < 1<<53 {
			return expression.OfFloat(float64(n)), nil
		}
		return expression.OfDecimal(c.Int(), 0), nil
	case sqldb.CellDecimal:
		return expression.OfDecimal(c.Int(), int32(c.Scale())), nil
	case sqldb.CellFloat:
		f := c.Float()
		if t == expression.Float {
			return expression.OfFloat(f), nil
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return expression.Value{}, notOfType(column, c, t, codeRange)
		}
		if n, scale, ok := sqldb.ShortDecimal(f); ok {
			return expression.OfDecimal(n, int32(scale)), nil
		}
		text = strconv.FormatFloat(f, 'f', -1, 64)
	case sqldb.CellText:
		text = strings.TrimSpace(text)
		if f, err := strconv.ParseFloat(text, 64); t == expression.Float && err == nil {
			return expression.OfFloat(f), nil
		}
	default:
		return expression.Value{}, notOfType(column, c, t, codeSyntax)
	}
	v, err := expression.ParseDecimal(text)
	if err != nil {
		return expression.Value{}, notOfType(column, c, t, codeSyntax)
	}
	return v, nil
}

func toBool(column string, c *sqldb.Cell) (expression.Value, *sqldb.BadValue) {
	switch c.Kind() {
	case sqldb.CellInt:
		if n := c.Int(); n == 0 || n == 1 {
			return expression.OfBool(n == 1), nil
		}
	case sqldb.CellText:
		switch strings.ToLower(c.Text()) {
		case "t", "true", "1", "y", "yes", "on":
			return expression.OfBool(true), nil
		case "f", "false", "0", "n", "no", "off":
			return expression.OfBool(false), nil
		}
	}
	return expression.Value{}, notOfType(column, c, expression.Bool, codeSyntax)
}

// microsPerDay is how many microseconds a day has.
const microsPerDay = 86400 * 1_000_000

func toMoment(column string, c *sqldb.Cell, t expression.Type) (expression.Value, *sqldb.BadValue) {
	var us int64
	switch c.Kind() {
	case sqldb.CellMicros:
		us = c.Int()
	case sqldb.CellText:
		var bad *sqldb.BadValue
		if us, bad = sqldb.ParseMicros(kindOf(t), c.Text()); bad != nil {
			bad.Column = column
			return expression.Value{}, bad
		}
	default:
		return expression.Value{}, notOfType(column, c, t, codeSyntax)
	}
	switch t {
	case expression.Date:
		if us%microsPerDay != 0 {
			return expression.Value{}, &sqldb.BadValue{Column: column, Code: "22007",
				Reason: string(expression.OfTimestamp(us).AppendText(nil)) + " has a time of day, which a date would lose; read the column as text (from.as) to look into it"}
		}
		return expression.OfDate(us / microsPerDay), nil
	case expression.Time:
		if us < 0 || us > microsPerDay {
			return expression.Value{}, notOfType(column, c, t, "22007")
		}
		return expression.OfTime(us), nil
	case expression.Timestamp:
		return expression.OfTimestamp(us), nil
	}
	return expression.OfMoment(us), nil
}

// toCell turns a value into a cell for a column of a kind. What has to be written is appended to buf, where it must stay as long as
// the cell is used.
func toCell(v expression.Value, kind sqldb.Kind, buf []byte) (sqldb.Cell, []byte) {
	written := func() (sqldb.Cell, []byte) {
		start := len(buf)
		buf = v.AppendText(buf) // should it move, the old one lives on with the cells that point into it
		return sqldb.WrittenCell(buf[start:]), buf
	}
	text := kind == sqldb.KindText || kind == sqldb.KindOther || kind == sqldb.KindJSON
	switch v.Kind() {
	case expression.Null:
		return sqldb.Cell{}, buf
	case expression.Text:
		return sqldb.TextCell(v.Text()), buf
	case expression.Int:
		return sqldb.IntCell(v.Int64()), buf
	case expression.Float:
		return sqldb.FloatCell(v.Float64()), buf
	case expression.Bytes:
		return sqldb.BytesCell(v.Bytes()), buf
	case expression.Decimal:
		if n, scale, ok := v.Decimal(); ok {
			return sqldb.DecimalCell(n, int(scale)), buf
		}
		return written()
	}
	if text {
		return written()
	}
	switch v.Kind() {
	case expression.Bool:
		if v.Bool() {
			return sqldb.IntCell(1), buf
		}
		return sqldb.IntCell(0), buf
	case expression.Date:
		return sqldb.MicrosCell(v.Int64() * microsPerDay), buf
	case expression.Time, expression.Timestamp, expression.Moment:
		return sqldb.MicrosCell(v.Int64()), buf
	case expression.UUID:
		if kind == sqldb.KindUUID {
			u := v.UUID()
			buf = append(buf, u[:]...)
			return sqldb.BytesCell(buf[len(buf)-len(u):]), buf
		}
	}
	return written()
}
