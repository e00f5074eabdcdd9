package datasets

import (
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// archivedExpression reads a column so that nothing of its value is lost.
func archivedExpression(d sqldb.Dialect, c *sqldb.Column) string {
	name := d.Quote(c.Name)
	switch d {
	case sqldb.SQLite:
		return "+" + name // an expression has no declared type by which the driver would make times or booleans of values
	case sqldb.MySQL:
		switch mysqlClassOf(c) {
		case mysqlNumber:
			switch {
			case c.Kind == sqldb.KindFloat32:
				return "CAST(" + name + " AS DOUBLE)" // its text has six digits
			case strings.HasPrefix(c.Type, "bit"):
				return name + " + 0"
			}
		case mysqlBytes:
			if c.Kind != sqldb.KindBytes {
				return "CAST(" + name + " AS BINARY)" // as it is stored, whatever its character set
			}
		}
	}
	return name
}

// mysqlClass says how a value is written into a statement.
type mysqlClass byte

const (
	mysqlNumber mysqlClass = iota + 1 // as it is
	mysqlBytes                        // as bytes, which are stored as they are
	mysqlWord                         // as a text that the server reads
)

// mysqlClassOf returns how the values of a column are written. Days and times are words: their text form is exact, in the sessions' UTC.
func mysqlClassOf(c *sqldb.Column) mysqlClass {
	typ := strings.ToLower(c.Type)
	switch c.Kind {
	case sqldb.KindBool, sqldb.KindInt16, sqldb.KindInt32, sqldb.KindInt64, sqldb.KindFloat32, sqldb.KindFloat64, sqldb.KindNumeric:
		return mysqlNumber
	case sqldb.KindBytes:
		return mysqlBytes
	case sqldb.KindText:
		if !strings.HasPrefix(typ, "enum") && !strings.HasPrefix(typ, "set") {
			return mysqlBytes
		}
	}
	return mysqlWord
}

// isMySQLNumber reports whether a text is a number that may stand in a statement without quotes.
func isMySQLNumber(text []byte) bool {
	digits := false
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			digits = true
		case c == '.':
		case (c == 'e' || c == 'E') && digits:
		case (c == '-' || c == '+') && (i == 0 || text[i-1] == 'e' || text[i-1] == 'E'):
		default:
			return false
		}
	}
	return digits
}

// appendCell appends a value, as archivedExpression reads it, as a cell of an archive.
func appendCell(d sqldb.Dialect, dst []byte, v any) ([]byte, error) {
	if d == sqldb.SQLite {
		return appendTagged(dst, v)
	}
	switch x := v.(type) {
	case nil:
		return append(dst, '\\', 'N'), nil
	case []byte:
		return appendEscaped(dst, x), nil
	case string:
		return appendEscaped(dst, []byte(x)), nil
	}
	return appendTagged(dst, v) // an error that names the type
}

// readCell reads a cell as an argument of a statement.
func readCell(d sqldb.Dialect, c *sqldb.Column, cell []byte) (any, error) {
	if d == sqldb.SQLite {
		return readTagged(cell)
	}
	text, null, err := unescape(cell)
	if err != nil || null {
		return nil, err
	}
	if d == sqldb.MySQL && mysqlClassOf(c) == mysqlBytes {
		return append([]byte{}, text...), nil
	}
	return string(text), nil
}

// quoted returns a table as statements name it.
func quoted(d sqldb.Dialect, t *sqldb.Table) string { return d.QuoteTable(t.Schema, t.Name) }
