package sqldb

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// pgColumn makes a target column from its type as PostgreSQL writes it.
func pgColumn(typ string) *Column {
	c := &Column{Name: "c", Type: typ}
	base, args := splitType(typ)
	for name, kind := range map[string]Kind{"SMALLINT": KindInt16, "INTEGER": KindInt32, "BIGINT": KindInt64, "REAL": KindFloat32,
		"DOUBLE PRECISION": KindFloat64, "NUMERIC": KindNumeric, "TEXT": KindText, "CHARACTER VARYING": KindText, "CHARACTER": KindText,
		"BYTEA": KindBytes, "DATE": KindDate, "TIME WITHOUT TIME ZONE": KindTime, "TIMESTAMP WITHOUT TIME ZONE": KindTimestamp,
		"TIMESTAMP WITH TIME ZONE": KindTimestampTZ, "UUID": KindUUID, "JSON": KindJSON, "JSONB": KindJSON, "BOOLEAN": KindBool} {
		if base == name {
			c.Kind = kind
		}
	}
	switch {
	case c.Kind == KindNumeric && len(args) == 2:
		c.Precision, c.Scale = args[0], args[1]
	case c.Kind == KindText && len(args) == 1:
		c.Length = args[0]
	}
	return c
}

// valueCases say what becomes of a value of SQLite in a column of PostgreSQL: want is what the server prints; a want that begins
// with "!" is the SQLSTATE it is refused with.
var valueCases = []struct {
	typ   string
	value any
	want  string
}{
	{"text", "", ""},
	{"text", "Müller\t\\ \"x\" 'y'\n", "Müller\t\\ \"x\" 'y'\n"},
	{"text", "a\x00b", "!22021"},
	{"text", "M\xfcller", "!22021"},
	{"text", []byte("bytes that are text"), "bytes that are text"},
	{"text", []byte{0xff, 0xfe}, "!22021"},
	{"text", int64(-42), "-42"},
	{"text", 0.1, "0.1"},
	{"character varying(3)", "äöü", "äöü"},
	{"character varying(3)", "äöüß", "!22001"},
	{"character varying(3)", "ab  ", "!22001"},
	{"character varying(3)", int64(1234), "!22001"},
	{"character(3)", "a", "a  "},

	{"smallint", int64(32767), "32767"},
	{"smallint", int64(32768), "!22003"},
	{"integer", int64(-2147483648), "-2147483648"},
	{"integer", int64(2147483648), "!22003"},
	{"bigint", int64(math.MinInt64), "-9223372036854775808"},
	{"bigint", 3.0, "3"},
	{"bigint", 3.5, "!22P02"},
	{"bigint", 1e19, "!22003"},
	{"bigint", math.Inf(1), "!22P02"},
	{"bigint", "12", "12"},
	{"bigint", " +7 ", "7"},
	{"bigint", "7.00", "7"},
	{"bigint", "99999999999999999999", "!22003"},
	{"bigint", "twelve", "!22P02"},
	{"bigint", "", "!22P02"},
	{"bigint", "1_000", "!22P02"},
	{"bigint", "0x10", "!22P02"},
	{"bigint", []byte("12"), "!42804"},

	{"double precision", 0.1, "0.1"},
	{"double precision", math.MaxFloat64, "1.7976931348623157e+308"},
	{"double precision", 5e-324, "5e-324"},
	{"double precision", math.Inf(-1), "-Infinity"},
	{"double precision", int64(1 << 53), "9007199254740992"},
	{"double precision", int64(1<<53 + 1), "!22003"},
	{"double precision", int64(math.MaxInt64), "!22003"},
	{"double precision", "1.5e3", "1500"},
	{"double precision", "NaN", "!22P02"},
	{"double precision", "Infinity", "!22P02"},
	{"double precision", "0x1p3", "!22P02"},
	{"double precision", "1e999", "!22003"},
	{"double precision", "1e-999", "!22003"},
	{"double precision", "1,5", "!22P02"},
	{"double precision", "0.1", "0.1"},
	{"double precision", "-0.100000000000000000000000", "-0.1"},
	{"double precision", "0.10000000000000001", "0.1"}, // 17 digits, as some write floats
	{"double precision", "123456789012.345", "123456789012.345"},
	{"double precision", "9007199254740992.5", "!22003"},
	{"double precision", "9007199254740993", "!22003"},
	{"double precision", "1152921504606846976.0", "1152921504606846976"}, // a power of two
	{"double precision", "1152921504606846977", "!22003"},
	{"double precision", "0.1000000000000000055511151231257827021181583404541015625", "0.1"}, // the float itself
	{"double precision", "0.10000000000000000555", "!22003"},
	{"double precision", "-1.2345678901234567891", "!22003"},
	{"double precision", "5.0000000000000001", "!22003"},
	{"double precision", "4.9406564584124654e-324", "5e-324"},
	{"double precision", "4.9e-324", "4.9e-324"},
	{"double precision", "0.00", "0"},
	{"real", "0.1", "0.1"},
	{"real", "0.10000000000000000555", "!22003"},
	{"real", 0.1, "0.1"},
	{"real", 0.123456789012, "!22003"},
	{"real", 1e300, "!22003"},

	{"numeric(12,2)", 0.99, "0.99"},
	{"numeric(12,2)", 19.99, "19.99"},
	{"numeric(12,2)", 1.15, "1.15"},
	{"numeric(12,2)", 0.29, "0.29"},
	{"numeric(12,2)", -0.01, "-0.01"},
	{"numeric(12,2)", 0.0, "0.00"},
	{"numeric(12,2)", math.Copysign(0, -1), "0.00"},
	{"numeric(12,2)", 9999999999.99, "9999999999.99"},
	{"numeric(12,2)", 1e10, "!22003"},
	{"numeric(12,2)", 1.005, "!22003"},
	{"numeric(12,2)", int64(7), "7.00"},
	{"numeric(12,2)", int64(-120), "-120.00"},
	{"numeric(12,2)", int64(10_000_000_000), "!22003"},
	{"numeric(12,2)", "1.500", "1.50"},
	{"numeric(12,2)", "-.5", "-0.50"},
	{"numeric(12,2)", "1e2", "100.00"},
	{"numeric(12,2)", "12e-2", "0.12"},
	{"numeric(12,2)", "1,50", "!22P02"},
	{"numeric(12,2)", "NaN", "!22P02"},
	{"numeric(12,2)", "1.", "1.00"},
	{"numeric(12,2)", ".", "!22P02"},
	{"numeric(12,2)", "", "!22P02"},
	{"numeric(12,2)", "1e+-2", "!22P02"},
	{"numeric(12,2)", "1 2", "!22P02"},
	{"numeric(12,2)", math.Inf(1), "!22003"},
	{"numeric(12,2)", []byte("1"), "!42804"},
	{"numeric(5,5)", "0.00001", "0.00001"},
	{"numeric(5,5)", "1", "!22003"},
	{"numeric(20,4)", "12345678901234.5678", "12345678901234.5678"},
	{"numeric", "1.50", "1.50"},
	{"numeric", "12345678901234567890123456789012345678901234567890.000000000000000000001", "12345678901234567890123456789012345678901234567890.000000000000000000001"},
	{"numeric", "0.0000", "0.0000"},
	{"numeric", "100000000", "100000000"},
	{"numeric", "10000.0001", "10000.0001"},
	{"numeric", "0.00010002", "0.00010002"},
	{"numeric", 1e22, "10000000000000000000000"},
	{"numeric", 1e-7, "0.0000001"},
	{"numeric", 123456.789, "123456.789"},
	{"numeric", int64(math.MinInt64), "-9223372036854775808"},
	{"numeric", "1e200000", "!22003"},
	{"numeric", "1e99999999999", "!22P02"},

	{"boolean", int64(0), "false"},
	{"boolean", int64(1), "true"},
	{"boolean", int64(2), "!22P02"},
	{"boolean", 1.0, "true"},
	{"boolean", "t", "true"},
	{"boolean", "FALSE", "false"},
	{"boolean", "yes", "true"},
	{"boolean", "no", "false"},
	{"boolean", "", "!22P02"},
	{"boolean", "maybe", "!22P02"},

	{"date", "0001-01-01", "0001-01-01"},
	{"date", "0009-12-04", "0009-12-04"},
	{"date", "1999-12-31", "1999-12-31"},
	{"date", "2000-02-29", "2000-02-29"},
	{"date", "1900-02-29", "!22008"},
	{"date", "2020-02-30", "!22008"},
	{"date", "0000-00-00", "!22008"},
	{"date", "2020-00-10", "!22008"},
	{"date", "", "!22007"},
	{"date", "30.12.1999", "!22007"},
	{"date", "2020-1-1", "!22007"},
	{"date", "2020-01-01 00:00:00", "2020-01-01"},
	{"date", "2020-01-01 10:00", "!22007"},
	{"date", "12020-01-01", "12020-01-01"},
	{"date", "5874898-01-01", "!22008"},
	{"date", int64(20200101), "!22007"},
	{"date", "infinity", "!22007"},

	{"timestamp without time zone", "2020-02-29 23:59:59.123456", "2020-02-29 23:59:59.123456"},
	{"timestamp without time zone", "2020-02-29T23:59", "2020-02-29 23:59:00"},
	{"timestamp without time zone", "2020-02-29", "2020-02-29 00:00:00"},
	{"timestamp without time zone", "1969-12-31 23:59:59.5", "1969-12-31 23:59:59.5"},
	{"timestamp without time zone", "0001-01-01 00:00:00", "0001-01-01 00:00:00"},
	{"timestamp without time zone", "2020-01-01T00:00:00Z", "2020-01-01 00:00:00"},
	{"timestamp without time zone", "2020-01-01T00:00:00+02:00", "!22007"},
	{"timestamp without time zone", "2020-01-01 00:00:00.123456000", "2020-01-01 00:00:00.123456"},
	{"timestamp without time zone", "2020-01-01 00:00:00.1234567", "!22008"},
	{"timestamp without time zone", "2020-01-01 24:00:00", "!22008"},
	{"timestamp without time zone", "2020-01-01 23:59:60", "!22008"},
	{"timestamp without time zone", "2020-01-01 00:60", "!22008"},
	{"timestamp without time zone", "0000-00-00 00:00:00", "!22008"},
	{"timestamp without time zone", "294277-01-01", "!22008"},
	{"timestamp without time zone", "2020-01-01 ", "!22007"},
	{"timestamp without time zone", "2020-01-01 00:00:00.", "!22007"},
	{"timestamp without time zone", "2020-01-01 00:00:00 Europe/Oslo", "!22007"},
	{"timestamp without time zone", 2459000.5, "!22007"},
	{"timestamp(3) without time zone", "2020-01-01 00:00:00.123", "2020-01-01 00:00:00.123"},
	{"timestamp(3) without time zone", "2020-01-01 00:00:00.1234", "!22008"},
	{"timestamp with time zone", "2020-07-01 12:00:00+02:00", "2020-07-01 10:00:00+00"},
	{"timestamp with time zone", "2020-07-01 12:00:00", "2020-07-01 12:00:00+00"},
	{"timestamp with time zone", "2020-07-01T12:00:00.5-0330", "2020-07-01 15:30:00.5+00"},
	{"timestamp with time zone", "2020-07-01T12:00:00+02:75", "!22007"},
	{"time without time zone", "23:59:59.999999", "23:59:59.999999"},
	{"time without time zone", "24:00:00", "24:00:00"},
	{"time without time zone", "25:00", "!22008"},
	{"time without time zone", "2020-01-01 10:00", "!22007"},
	{"time without time zone", "", "!22007"},

	{"uuid", "{0011AAFF-0000-4000-8000-000000000001}", "0011aaff-0000-4000-8000-000000000001"},
	{"uuid", "0011aaff000040008000000000000001", "0011aaff-0000-4000-8000-000000000001"},
	{"uuid", []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, "00010203-0405-0607-0809-0a0b0c0d0e0f"},
	{"uuid", "0011aaff-0000-4000-8000-00000000000", "!22P02"},
	{"uuid", "0011aaff-0000-4000-8000-00000000000g", "!22P02"},
	{"uuid", "0011aaff_0000_4000_8000_000000000001", "!22P02"},
	{"uuid", "", "!22P02"},

	{"bytea", []byte{0, 255}, `\x00ff`},
	{"bytea", []byte{}, `\x`},
	{"bytea", "text", `\x74657874`},
	{"bytea", int64(1), "!42804"},

	{"jsonb", `{"b": 1, "a": [true, null]}`, `{"a": [true, null], "b": 1}`},
	{"json", `{"b": 1,  "a": 2}`, `{"b": 1,  "a": 2}`},
	{"jsonb", `{"a": }`, "!22P02"},
	{"jsonb", ``, "!22P02"},
	{"jsonb", `"\u0000"`, "!22P05"},
	{"json", `"\u0000"`, "!22P05"},
	{"jsonb", `"\\u0000"`, `"\\u0000"`},
	{"jsonb", "\"\xff\"", "!22021"},
	{"jsonb", int64(5), "5"},
	{"jsonb", 0.5, "0.5"},

	{"text", nil, "NULL"},
	{"bigint", nil, "NULL"},
}

// TestEveryValueArrivesExactlyOrIsRefused sends each value through binary COPY and reads what the server makes of it.
func TestEveryValueArrivesExactlyOrIsRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := postgresDB(t)
	for i, tc := range valueCases {
		column := pgColumn(tc.typ)
		if column.Kind == "" {
			t.Fatalf("no kind for %s", tc.typ)
		}
		c := codec{src: &Column{Name: "c"}, dst: column, from: SQLite, to: Postgres, grain: grainOf(tc.typ)}
		v := cellOf(tc.value)
		field, bad := c.appendField(nil, &v)
		if strings.HasPrefix(tc.want, "!") {
			if bad == nil {
				t.Errorf("%s %#v: want it refused with %s", tc.typ, tc.value, tc.want)
			} else if "!"+bad.Code != tc.want || bad.Column != "c" || bad.Reason == "" {
				t.Errorf("%s %#v: %v, want %s", tc.typ, tc.value, bad, tc.want)
			}
			continue
		}
		if bad != nil {
			t.Errorf("%s %#v: %v", tc.typ, tc.value, bad)
			continue
		}
		table := fmt.Sprintf("v%d", i)
		run(t, db, "CREATE TABLE "+table+" (c "+tc.typ+")")
		conn, err := db.Pool.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		r := newCopyReader(append(binary.BigEndian.AppendUint16(nil, 1), field...), false)
		_, err = conn.Conn().PgConn().CopyFrom(ctx, r, "COPY "+table+" FROM STDIN (FORMAT binary)")
		conn.Release()
		if err != nil {
			t.Errorf("%s %#v: the server refuses what we encoded: %v", tc.typ, tc.value, err)
			continue
		}
		// Text in the form of format() keeps the blanks of character(n), which a cast would drop.
		got := one(t, db, "SELECT coalesce(format('%s', c), 'NULL') FROM "+table+" WHERE true")
		if tc.value == nil {
			got = one(t, db, "SELECT CASE WHEN c IS NULL THEN 'NULL' ELSE 'a value' END FROM "+table)
		}
		if tc.typ == "boolean" {
			got = map[string]string{"t": "true", "f": "false"}[got]
		}
		if got != tc.want && !sameNumber(got, tc.want, column.Kind) {
			t.Errorf("%s %#v: the server shows %q, want %q", tc.typ, tc.value, got, tc.want)
		}
	}
}

// sameNumber forgives the exponent in which the server prints a float.
func sameNumber(got, want string, k Kind) bool {
	if k != KindFloat64 && k != KindFloat32 {
		return false
	}
	var a, b float64
	_, err1 := fmt.Sscan(got, &a)
	_, err2 := fmt.Sscan(want, &b)
	return err1 == nil && err2 == nil && a == b
}

func TestNULLIsRefusedWhereTheColumnIsNotNull(t *testing.T) {
	t.Parallel()
	for _, to := range []Dialect{SQLite, Postgres} {
		c := codec{src: &Column{Name: "c"}, dst: &Column{Name: "c", Type: "text", Kind: KindText, NotNull: true}, from: SQLite, to: to}
		var bad *BadValue
		if to == SQLite {
			_, bad = c.driverValue(&cell{})
		} else {
			_, bad = c.appendField(nil, &cell{})
		}
		if bad == nil || bad.Code != codeNull {
			t.Errorf("%s: %v", to, bad)
		}
	}
}

// TestWhatPostgresWritesInBinaryIsReadAsItPrintsIt reads values of PostgreSQL in both forms.
func TestWhatPostgresWritesInBinaryIsReadAsItPrintsIt(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := postgresDB(t)
	for _, expr := range []string{
		"1::smallint", "(-1)::integer", "9223372036854775807::bigint", "0.1::real", "1e20::real", "0.1::double precision", "'NaN'::float8",
		"1.50::numeric", "0::numeric", "0.00::numeric(12,2)", "'-12345678901234567890.000100'::numeric", "100000000::numeric", "0.0001::numeric",
		"0.00012::numeric", "10000.0000::numeric", "99999999.9999::numeric", "'NaN'::numeric", "'Infinity'::numeric", "'-Infinity'::numeric",
		"'0001-01-01'::date", "'2000-02-29'::date", "'infinity'::date", "'-infinity'::date", "'0044-03-15 BC'::date", "'4713-01-01 BC'::date",
		"'12345-06-07'::date", "'2020-01-01 00:00:00.5'::timestamp", "'1969-12-31 23:59:59.999999'::timestamp", "'0001-01-01'::timestamp",
		"'0044-03-15 12:00 BC'::timestamp", "'infinity'::timestamp", "'294276-12-31 23:59:59.999999'::timestamp", "'24:00:00'::time",
		"'00:00:00.000001'::time", "'0011aaff-0000-4000-8000-000000000001'::uuid", "'{\"a\": 1}'::jsonb", "'{\"a\":1}'::json", "'x'::char(3)",
		"'é'::varchar(3)", "''::text", "'abc'::name", "42::oid",
	} {
		cols := []selected{{binary: true}, {}}
		s, err := queryPostgres(ctx, db, "SELECT "+expr+", "+expr+"::text", nil, cols)
		if err != nil {
			t.Fatal(expr, err)
		}
		cells := make([]cell, 2)
		if ok, err := s.next(cells); err != nil || !ok {
			t.Fatal(expr, err)
		}
		got, _, err := decodePostgres(cols[0].oid, cells[0].s, nil)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
		}
		if g, w := fmt.Sprint(got.value()), cells[1].s; strings.TrimRight(g, " ") != w && !sameNumber(g, w, KindFloat64) {
			t.Errorf("%s: %q, want %q", expr, g, w)
		}
		s.close()
	}
}

func TestDaysOfTheCalendarGoBothWays(t *testing.T) {
	t.Parallel()
	day := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for day.Year() < 2500 {
		n := int64(day.Unix()-epoch.Unix()) / 86400
		if got := dayNumber(int64(day.Year()), int(day.Month()), day.Day()); got != n {
			t.Fatalf("%v is day %d, want %d", day, got, n)
		}
		y, m, d := civil(n)
		if y != int64(day.Year()) || m != int(day.Month()) || d != day.Day() {
			t.Fatalf("day %d is %d-%d-%d, want %v", n, y, m, d, day)
		}
		day = day.AddDate(0, 0, 1)
	}
}

func TestSQLiteRefusesWhatItsAffinityWouldChange(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind  Kind
		typ   string
		value cell
		ok    bool
	}{
		{KindNumeric, "DECIMAL(20,4)", textCell("1.50"), true},
		{KindNumeric, "DECIMAL(20,4)", textCell("12345678901234567.8901"), false},
		{KindNumeric, "DECIMAL_TEXT(20,4)", textCell("12345678901234567.8901"), true},
		{KindNumeric, "NUMERIC", textCell("9223372036854775807"), true},
		{KindNumeric, "NUMERIC", textCell("9223372036854775808"), false},
		{KindNumeric, "REAL", textCell("9223372036854775807"), false},
		{KindNumeric, "NUMERIC", textCell("NaN"), true},
		{KindText, "INTEGER", textCell("007"), false},
		{KindText, "INTEGER", textCell("7"), true},
		{KindText, "DATETIME", textCell("2020-01-01 00:00:00"), true},
		{KindText, "TEXT", textCell("007"), true},
		{KindFloat64, "REAL", floatCell(math.NaN()), false},
		{KindFloat64, "REAL", floatCell(math.Inf(1)), true},
		{KindInt64, "REAL", intCell(1<<53 + 1), false},
		{KindInt64, "INTEGER", intCell(math.MaxInt64), true},
	} {
		c := codec{src: &Column{Name: "c", Kind: tc.kind}, dst: &Column{Name: "c", Type: tc.typ}, from: Postgres, to: SQLite, typed: true, affinity: affinityOf(tc.typ)}
		if _, bad := c.driverValue(&tc.value); (bad == nil) != tc.ok {
			t.Errorf("%s %v into %s: %v", tc.kind, tc.value.value(), tc.typ, bad)
		}
	}
}

func TestAFloatBecomesItsShortestDecimal(t *testing.T) {
	t.Parallel()
	for cents := int64(-100_000); cents <= 100_000; cents++ {
		f := float64(cents) / 100
		var fast, slow decimal
		fast.setFloat(f, 2)
		slow.setFloat(f, -1)
		if !fast.equal(&slow) {
			t.Fatalf("%v: %s e%d, want %s e%d", f, fast.digits(), fast.point, slow.digits(), slow.point)
		}
	}
}
