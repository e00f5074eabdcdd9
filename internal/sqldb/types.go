package sqldb

import (
	"slices"
	"strconv"
	"strings"
)

// kindOfSQLite says what a column with this declared type is meant to hold. SQLite itself enforces little of it. A type
// that nobody knows holds text.
func kindOfSQLite(declared string) (kind Kind, precision, scale, length int) {
	name, args := splitType(declared)
	if kind, ok := sqliteKinds[name]; ok {
		if kind == KindNumeric && len(args) > 0 {
			precision = args[0]
			if len(args) > 1 {
				scale = args[1]
			}
		}
		if kind == KindText && len(args) > 0 {
			length = args[0]
		}
		return kind, precision, scale, length
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '_' })
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
	}
	switch {
	case has("CHAR", "TEXT", "CLOB"):
		if len(args) > 0 {
			length = args[0]
		}
		return KindText, 0, 0, length
	case has("BLOB", "BINARY"):
		return KindBytes, 0, 0, 0
	case has("FLOA", "DOUB", "REAL"):
		return KindFloat64, 0, 0, 0
	case slices.ContainsFunc(words, func(w string) bool { return sqliteKinds[w] == KindInt64 }):
		return KindInt64, 0, 0, 0 // UNSIGNED BIG INT
	}
	return KindText, 0, 0, 0
}

// sqliteKinds are the declared types that people use in SQLite files, by name without arguments.
var sqliteKinds = map[string]Kind{
	"INT": KindInt64, "INTEGER": KindInt64, "BIGINT": KindInt64, "SMALLINT": KindInt64, "TINYINT": KindInt64,
	"MEDIUMINT": KindInt64, "INT2": KindInt64, "INT4": KindInt64, "INT8": KindInt64, "SERIAL": KindInt64, "BIGSERIAL": KindInt64,
	"BOOL": KindBool, "BOOLEAN": KindBool, "BIT": KindBool,
	"REAL": KindFloat64, "FLOAT": KindFloat64, "DOUBLE": KindFloat64, "DOUBLE PRECISION": KindFloat64,
	"DECIMAL": KindNumeric, "NUMERIC": KindNumeric, "DEC": KindNumeric, "NUMBER": KindNumeric, "MONEY": KindNumeric,
	"SMALLMONEY": KindNumeric, "CURRENCY": KindNumeric, "DECIMAL_TEXT": KindNumeric,
	"TEXT": KindText, "VARCHAR": KindText, "CHAR": KindText, "CLOB": KindText, "": KindText,
	"BLOB": KindBytes, "BYTEA": KindBytes, "IMAGE": KindBytes,
	"DATE": KindDate, "TIME": KindTime,
	"DATETIME": KindTimestamp, "DATETIME2": KindTimestamp, "SMALLDATETIME": KindTimestamp, "TIMESTAMP": KindTimestamp,
	"TIMESTAMP WITHOUT TIME ZONE": KindTimestamp,
	"TIMESTAMPTZ":                 KindTimestampTZ, "TIMESTAMP WITH TIME ZONE": KindTimestampTZ, "DATETIMEOFFSET": KindTimestampTZ,
	"UUID": KindUUID, "GUID": KindUUID, "UNIQUEIDENTIFIER": KindUUID,
	"JSON": KindJSON, "JSONB": KindJSON, "JSON_TEXT": KindJSON,
}

// splitType returns the name of a type, in upper case with single spaces, and its arguments as far as they are numbers.
func splitType(declared string) (name string, args []int) {
	before, rest, found := strings.Cut(declared, "(")
	if found {
		inside, after, _ := strings.Cut(rest, ")")
		before += " " + after // TIMESTAMP(3) WITH TIME ZONE
		for part := range strings.SplitSeq(inside, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil {
				break
			}
			args = append(args, n)
		}
	}
	return strings.ToUpper(strings.Join(strings.Fields(before), " ")), args
}

// postgresKinds are the types of pg_catalog that have a kind of their own, by typname. All others are KindOther.
var postgresKinds = map[string]Kind{
	"bool": KindBool, "int2": KindInt16, "int4": KindInt32, "int8": KindInt64, "float4": KindFloat32, "float8": KindFloat64,
	"numeric": KindNumeric, "text": KindText, "varchar": KindText, "bpchar": KindText, "name": KindText, "bytea": KindBytes,
	"date": KindDate, "time": KindTime, "timestamp": KindTimestamp, "timestamptz": KindTimestampTZ, "uuid": KindUUID,
	"json": KindJSON, "jsonb": KindJSON,
}

// kindOfPostgres says what a type of pg_catalog holds, by its name and the modifier of the column (-1 for none).
func kindOfPostgres(typname string, modifier int32) (kind Kind, precision, scale, length int) {
	kind, ok := postgresKinds[typname]
	switch {
	case !ok:
		return KindOther, 0, 0, 0
	case kind == KindNumeric && modifier >= 4:
		// Packed as precision and an 11-bit signed scale; the 4 is a header that no longer exists.
		m := modifier - 4
		return kind, int(m>>16) & 0xffff, int((m&0x7ff)^1024) - 1024, 0
	case kind == KindText && modifier >= 4:
		return kind, 0, 0, int(modifier - 4)
	}
	return kind, 0, 0, 0
}
