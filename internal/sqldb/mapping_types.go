package sqldb

import (
	"fmt"
	"slices"
	"strings"
)

// mapColumns gives the columns of table i their types in the target.
func (m *schemaMap) mapColumns(i int) {
	t := &m.dst.Tables[i]
	for j := range t.Columns {
		c := &t.Columns[j]
		if c.Generated {
			c.Generated = false
			m.note("Column %s of table %s is computed in the source; it becomes a plain column and keeps its values.", c.Name, t.FullName())
		}
		if !m.same() {
			c.Unordered, c.Guessed = false, false
			m.to.words().mapColumn(m, i, j)
		}
	}
}

// toPostgresType sets the type of a column that comes from elsewhere. A source that does not enforce lengths and widths of integers
// holds values beyond them, so the target has none.
func toPostgresType(c *Column, enforced bool) {
	if !enforced {
		c.Length = 0
		switch c.Kind {
		case KindInt16, KindInt32:
			c.Kind = KindInt64
		case KindFloat32:
			c.Kind = KindFloat64
		}
	}
	switch c.Kind {
	case KindBool:
		c.Type = "boolean"
	case KindInt16:
		c.Type = "smallint"
	case KindInt32:
		c.Type = "integer"
	case KindInt64:
		c.Type = "bigint"
	case KindFloat32:
		c.Type = "real"
	case KindFloat64:
		c.Type = "double precision"
	case KindText:
		c.Type = "text"
		if c.Length > 0 {
			c.Type = fmt.Sprintf("character varying(%d)", c.Length)
		}
	case KindNumeric:
		c.Type = "numeric"
		if c.Precision > 0 && c.Precision <= 1000 && c.Scale >= 0 && c.Scale <= c.Precision {
			c.Type = fmt.Sprintf("numeric(%d,%d)", c.Precision, c.Scale)
		} else {
			c.Precision, c.Scale = 0, 0
		}
	case KindBytes:
		c.Type = "bytea"
	case KindDate:
		c.Type = "date"
	case KindTime:
		c.Type = "time without time zone"
	case KindTimestamp:
		c.Type = "timestamp without time zone"
	case KindTimestampTZ:
		c.Type = "timestamp with time zone"
	case KindUUID:
		c.Type = "uuid"
	case KindJSON:
		c.Type = "json" // not jsonb, which forgets the order of keys, doubled keys and the writing of numbers
	default:
		c.Kind, c.Type, c.Length = KindText, "text", 0
	}
}

// toSQLiteType sets the type of a column that comes from elsewhere. The affinity of a declared type rewrites values: what
// looks like a number becomes one. Types whose values may look so, and are not safe as a 64-bit number, have a name with
// TEXT in it, which leaves them alone.
func toSQLiteType(c *Column) {
	switch c.Kind {
	case KindBool:
		c.Type = "BOOLEAN"
	case KindInt16:
		c.Type = "SMALLINT"
	case KindInt32:
		c.Type = "INT" // not INTEGER: as a key of one column that would be the rowid, which numbers itself
	case KindInt64:
		c.Type = "BIGINT"
	case KindFloat32:
		c.Type = "FLOAT"
	case KindFloat64:
		c.Type = "DOUBLE PRECISION"
	case KindNumeric:
		switch {
		case c.Precision > 0 && c.Precision <= 15 && c.Scale >= 0:
			c.Type = fmt.Sprintf("DECIMAL(%d,%d)", c.Precision, c.Scale) // 15 digits survive a float64
		case c.Precision > 0:
			c.Type = fmt.Sprintf("DECIMAL_TEXT(%d,%d)", c.Precision, c.Scale)
		default:
			c.Type = "DECIMAL_TEXT"
		}
	case KindText:
		c.Type = "TEXT"
		if c.Length > 0 {
			c.Type = fmt.Sprintf("VARCHAR(%d)", c.Length)
		}
	case KindBytes:
		c.Type = "BLOB"
	case KindDate:
		c.Type = "DATE"
	case KindTime:
		c.Type = "TIME"
	case KindTimestamp:
		c.Type = "TIMESTAMP"
	case KindTimestampTZ:
		c.Type = "TIMESTAMPTZ"
	case KindUUID:
		c.Type = "UUID"
	case KindJSON:
		c.Type = "JSON_TEXT"
	default:
		c.Type = "TEXT"
	}
}

// knownInSQLite reports whether a declared type says what it holds.
func knownInSQLite(declared string) bool {
	kind, _, _, _ := kindOfSQLite(declared)
	name, _ := splitType(declared)
	return kind != KindText || sqliteKinds[name] == KindText ||
		slices.ContainsFunc([]string{"CHAR", "TEXT", "CLOB"}, func(part string) bool { return strings.Contains(name, part) })
}

// isIndexed reports whether a key, an index or a foreign key holds a column.
func isIndexed(t *Table, column string) bool {
	if t.PrimaryKey != nil && slices.Contains(t.PrimaryKey.Columns, column) {
		return true
	}
	for _, k := range t.Uniques {
		if slices.Contains(k.Columns, column) {
			return true
		}
	}
	for _, fk := range t.ForeignKeys {
		if slices.Contains(fk.Columns, column) {
			return true
		}
	}
	for _, ix := range t.Indexes {
		if slices.ContainsFunc(ix.Columns, func(p IndexPart) bool { return p.Column == column }) {
			return true
		}
	}
	return false
}
