package sqldb

import (
	"fmt"
	"strconv"
	"strings"
)

// mysqlColumn is a column as information_schema describes it.
type mysqlColumn struct {
	name, data, full         string // data is the type's name, full the type as it is written
	length, precision, scale int64
	notNull                  bool
	def                      *string
	extra, generated         string
}

// setKind says what a column holds, by its type.
func (m *mysqlColumn) setKind(c *Column) {
	unsigned := strings.Contains(m.full, "unsigned")
	wider := func(signed, without Kind) Kind {
		if unsigned {
			return without
		}
		return signed
	}
	switch m.data {
	case "tinyint":
		c.Kind = KindInt16
		if strings.HasPrefix(m.full, "tinyint(1)") {
			c.Kind = KindBool
		}
	case "smallint":
		c.Kind = wider(KindInt16, KindInt32)
	case "mediumint":
		c.Kind = KindInt32
	case "int":
		c.Kind = wider(KindInt32, KindInt64)
	case "bigint":
		if c.Kind = wider(KindInt64, KindNumeric); unsigned {
			c.Precision = 20
		}
	case "year":
		c.Kind = KindInt16
	case "bit":
		switch {
		case m.precision <= 1:
			c.Kind = KindBool
		case m.precision < 64:
			c.Kind = KindInt64
		default:
			c.Kind, c.Precision = KindNumeric, 20
		}
	case "decimal":
		c.Kind, c.Precision, c.Scale = KindNumeric, int(m.precision), int(m.scale)
	case "float":
		c.Kind, c.Unordered = KindFloat32, true
	case "double":
		c.Kind = KindFloat64
	case "char", "varchar":
		c.Kind, c.Length = KindText, int(m.length)
	case "tinytext", "text", "mediumtext", "longtext":
		c.Kind = KindText
	case "enum", "set":
		c.Kind, c.Unordered = KindText, true
	case "binary", "varbinary":
		c.Kind, c.Length = KindBytes, int(m.length)
	case "date":
		c.Kind = KindDate
	case "time":
		c.Kind = KindTime
	case "datetime":
		c.Kind = KindTimestamp
	case "timestamp":
		c.Kind = KindTimestampTZ
	case "json":
		c.Kind, c.Unordered = KindJSON, true
	case "uuid":
		c.Kind = KindUUID
	case "tinyblob", "blob", "mediumblob", "longblob":
		c.Kind = KindBytes
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "vector":
		c.Kind, c.Unordered = KindBytes, true // in the server's own form
	default:
		c.Kind, c.Unordered = KindOther, true
	}
}

// defaultOf returns a default as an expression. MariaDB tells expressions; MySQL tells plain values, unless it says otherwise.
func (m *mysqlColumn) defaultOf(c *Column, def string, maria bool) string {
	upper := strings.ToUpper(def)
	switch {
	case upper == "NULL" && maria:
		return ""
	case maria:
		if strings.HasPrefix(def, "'") && strings.Contains(def, `\`) {
			return quoteSingle(unescape(strings.ReplaceAll(def[1:len(def)-1], "''", "'")))
		}
		return def
	case strings.Contains(m.extra, "DEFAULT_GENERATED"), strings.HasPrefix(upper, "CURRENT_TIMESTAMP"), strings.HasPrefix(def, "b'"):
		return def
	case number.MatchString(def) && c.Kind != KindText:
		return def
	}
	return quoteSingle(def)
}

// unescape reads the backslashes in a literal.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case '0':
			b.WriteByte(0)
		case 'b':
			b.WriteByte('\b')
		case 'Z':
			b.WriteByte(0x1a)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// The most that MySQL and MariaDB can hold, each the smaller of the two.
const (
	maxMySQLDigits = 65
	maxMySQLScale  = 30
	maxMySQLKey    = 3072  // bytes of a key
	maxMySQLRow    = 65535 // bytes of a row, but for long values
	maxUTF8        = 4     // bytes of a character
	plainVarchar   = 255   // characters up to which a text of a known length is a varchar
)

// toMySQLType sets the type of a column that comes from elsewhere, but for its part in keys.
func toMySQLType(c *Column) {
	switch c.Kind {
	case KindBool:
		c.Type = "tinyint(1)"
	case KindInt16:
		c.Type = "smallint"
	case KindInt32:
		c.Type = "int"
	case KindInt64:
		c.Type = "bigint"
	case KindFloat32:
		c.Type, c.Unordered = "float", true
	case KindFloat64:
		c.Type = "double"
	case KindNumeric:
		if c.Precision < 1 || c.Precision > maxMySQLDigits || c.Scale < 0 || c.Scale > maxMySQLScale || c.Scale > c.Precision {
			c.Precision, c.Scale = maxMySQLDigits, maxMySQLScale
		}
		c.Type = fmt.Sprintf("decimal(%d,%d)", c.Precision, c.Scale)
	case KindBytes:
		c.Type, c.Length = "longblob", 0
	case KindDate:
		c.Type = "date"
	case KindTime:
		c.Type = "time(6)"
	case KindTimestamp, KindTimestampTZ:
		c.Type = "datetime(6)"
	case KindUUID:
		c.Type = "char(36)"
	case KindJSON:
		c.Type = "longtext" // with a check, see mysqlColumnSQL: the json of MySQL itself forgets the order of keys and doubled ones
	case KindText:
		if c.Type = "longtext"; c.Length > 0 && c.Length <= plainVarchar {
			c.Type = "varchar(" + strconv.Itoa(c.Length) + ")"
		} else {
			c.Length = 0
		}
	default:
		c.Kind, c.Type, c.Length = KindText, "longtext", 0
	}
}

// mysqlKeyBytes returns how many bytes a column takes in a key, 0 when it cannot be part of one as a whole.
func mysqlKeyBytes(c *Column) int {
	name, args := splitType(c.Type)
	n := 0
	if len(args) > 0 {
		n = args[0]
	}
	switch name {
	case "VARCHAR", "CHAR", "ENUM", "SET":
		return max(n, 1) * maxUTF8
	case "VARBINARY", "BINARY":
		return n
	case "DECIMAL":
		return 32
	}
	if strings.HasSuffix(name, "TEXT") || strings.HasSuffix(name, "BLOB") {
		return 0
	}
	return 8
}
