package sqldb

import (
	"fmt"
	"strconv"
	"strings"
)

// msField is what sys.columns says of the type of a column. The type is that of the system beneath a type of the user's.
type msField struct {
	typ              string
	length           int // in bytes; -1 for (max)
	precision, scale int
	collation        string
}

// msKinds are the types of SQL Server that have a kind of their own. All others travel as text.
var msKinds = map[string]Kind{
	"bit": KindBool, "tinyint": KindInt16, "smallint": KindInt16, "int": KindInt32, "bigint": KindInt64,
	"real": KindFloat32, "float": KindFloat64, "decimal": KindNumeric, "numeric": KindNumeric, "money": KindNumeric, "smallmoney": KindNumeric,
	"char": KindText, "varchar": KindText, "text": KindText, "nchar": KindText, "nvarchar": KindText, "ntext": KindText, "xml": KindText,
	"binary": KindBytes, "varbinary": KindBytes, "image": KindBytes, "timestamp": KindBytes, "rowversion": KindBytes,
	"date": KindDate, "time": KindTime, "datetime": KindTimestamp, "datetime2": KindTimestamp, "smalldatetime": KindTimestamp,
	"datetimeoffset": KindTimestampTZ, "uniqueidentifier": KindUUID, "json": KindJSON,
}

// msCollate goes before the collation in the type of a column.
const msCollate = " COLLATE "

// column sets type and kind of a column.
func (f msField) column(c *Column) {
	c.Type, c.Kind = f.typ, KindOther
	if kind, ok := msKinds[f.typ]; ok {
		c.Kind = kind
	}
	switch f.typ {
	case "decimal", "numeric":
		c.Type = fmt.Sprintf("%s(%d,%d)", f.typ, f.precision, f.scale)
		c.Precision, c.Scale = f.precision, f.scale
	case "money":
		c.Precision, c.Scale = 19, 4
	case "smallmoney":
		c.Precision, c.Scale = 10, 4
	case "char", "varchar", "nchar", "nvarchar", "binary", "varbinary":
		n := f.length
		if f.typ[0] == 'n' && n > 0 {
			n /= 2
		}
		if n < 0 {
			c.Type += "(max)"
			break
		}
		c.Type += "(" + strconv.Itoa(n) + ")"
		if c.Kind == KindText {
			c.Length = n
		}
	case "time", "datetime2", "datetimeoffset":
		c.Type += "(" + strconv.Itoa(f.scale) + ")"
	case "timestamp":
		c.Type = "rowversion"
	}
	if f.collation != "" && c.Kind == KindText {
		c.Type += msCollate + f.collation
	}
}

// msTypeOf returns the parts of a type that column wrote: its name alone, the type without its collation, and the collation.
func msTypeOf(typ string) (name, full, collation string) {
	full, collation, _ = strings.Cut(typ, msCollate)
	name, _, _ = strings.Cut(full, "(")
	return name, full, collation
}

// msExpression returns a column as a query names it. What the driver cannot read, or reads without saying as what, is written
// out by the server; a float within a sql_variant with the 17 digits that tell it from all others.
func msExpression(c *Column) string {
	name, _, _ := msTypeOf(c.Type)
	quoted := SQLServer.Quote(c.Name)
	switch {
	case c.Kind != KindOther:
		return quoted
	case name == "geography" || name == "geometry" || name == "hierarchyid":
		return quoted + ".ToString()"
	case name == "sql_variant":
		return strings.ReplaceAll("CASE CAST(SQL_VARIANT_PROPERTY(@, 'BaseType') AS nvarchar(128))"+
			" WHEN 'float' THEN CONVERT(nvarchar(4000), CAST(@ AS float), 3) WHEN 'real' THEN CONVERT(nvarchar(4000), CAST(@ AS real), 3)"+
			" WHEN 'varbinary' THEN CONVERT(nvarchar(4000), CAST(@ AS varbinary(8000)), 1) WHEN 'binary' THEN CONVERT(nvarchar(4000), CAST(@ AS varbinary(8000)), 1)"+
			" WHEN 'date' THEN CONVERT(nvarchar(4000), CAST(@ AS date), 126) WHEN 'datetime' THEN CONVERT(nvarchar(4000), CAST(@ AS datetime), 126)"+
			" WHEN 'datetime2' THEN CONVERT(nvarchar(4000), CAST(@ AS datetime2(7)), 126) WHEN 'datetimeoffset' THEN CONVERT(nvarchar(4000), CAST(@ AS datetimeoffset(7)), 126)"+
			" WHEN 'money' THEN CONVERT(nvarchar(4000), CAST(@ AS money), 2) WHEN 'smallmoney' THEN CONVERT(nvarchar(4000), CAST(@ AS smallmoney), 2)"+
			" ELSE CAST(@ AS nvarchar(4000)) END", "@", quoted)
	}
	return "CAST(" + quoted + " AS nvarchar(max))"
}

// msConverter returns what turns the driver's values of a column into ours, nil where they are the same.
func msConverter(c *Column) func(c *Column, v any) (any, error) {
	name, _, collation := msTypeOf(c.Type)
	switch {
	case c.Kind == KindFloat32:
		return func(_ *Column, v any) (any, error) {
			if f, ok := v.(float64); ok {
				return float32(f), nil
			}
			return v, nil
		}
	case c.Kind == KindUUID:
		return msUUID
	case name == "char" || name == "varchar" || name == "text" || name == "nchar":
		pad := name == "char" || name == "nchar"
		// A code page has no U+FFFD: the driver has put it where the bytes are no character. Not so where the bytes are UTF-8.
		coded := name != "nchar" && !strings.Contains(collation, "_UTF8")
		return func(_ *Column, v any) (any, error) {
			s, ok := v.(string)
			if !ok {
				return v, nil
			}
			if pad {
				s = strings.TrimRight(s, " ")
			}
			if coded && strings.ContainsRune(s, '\uFFFD') {
				s = strings.ReplaceAll(s, "\uFFFD", "\xff") // no longer valid UTF-8, so that the row is set aside
			}
			return s, nil
		}
	}
	return nil
}

// msUUID writes out a uniqueidentifier. Its first three groups are little-endian numbers.
func msUUID(c *Column, v any) (any, error) {
	b, ok := v.([]byte)
	if !ok {
		return v, nil
	}
	if len(b) != 16 {
		return nil, fmt.Errorf("column %s: a uniqueidentifier of %d bytes", c.Name, len(b))
	}
	order := [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}
	var turned [16]byte
	for i, at := range order {
		turned[i] = b[at]
	}
	return string(appendUUIDText(nil, turned[:])), nil
}
