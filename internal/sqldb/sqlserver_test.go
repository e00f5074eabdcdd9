package sqldb

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/stint-run/stint/tasks"
)

// No server of SQL Server can be had for these tests. They hold what can be held without one: what is asked, and what becomes
// of the answers.

func TestEachTypeOfSQLServerHasItsKind(t *testing.T) {
	t.Parallel()
	const coll = "Latin1_General_CI_AS"
	for _, c := range []struct {
		f    msField
		want Column
	}{
		{msField{typ: "bit", length: 1}, Column{Type: "bit", Kind: KindBool}},
		{msField{typ: "tinyint", length: 1}, Column{Type: "tinyint", Kind: KindInt16}},
		{msField{typ: "int", length: 4, precision: 10}, Column{Type: "int", Kind: KindInt32}},
		{msField{typ: "bigint", length: 8, precision: 19}, Column{Type: "bigint", Kind: KindInt64}},
		{msField{typ: "decimal", precision: 18, scale: 4}, Column{Type: "decimal(18,4)", Kind: KindNumeric, Precision: 18, Scale: 4}},
		{msField{typ: "money", precision: 19, scale: 4}, Column{Type: "money", Kind: KindNumeric, Precision: 19, Scale: 4}},
		{msField{typ: "smallmoney", precision: 10, scale: 4}, Column{Type: "smallmoney", Kind: KindNumeric, Precision: 10, Scale: 4}},
		{msField{typ: "real"}, Column{Type: "real", Kind: KindFloat32}},
		{msField{typ: "float"}, Column{Type: "float", Kind: KindFloat64}},
		{msField{typ: "nvarchar", length: 100, collation: coll}, Column{Type: "nvarchar(50) COLLATE " + coll, Kind: KindText, Length: 50}},
		{msField{typ: "nvarchar", length: -1, collation: coll}, Column{Type: "nvarchar(max) COLLATE " + coll, Kind: KindText}},
		{msField{typ: "varchar", length: 20, collation: coll}, Column{Type: "varchar(20) COLLATE " + coll, Kind: KindText, Length: 20}},
		{msField{typ: "nchar", length: 10, collation: coll}, Column{Type: "nchar(5) COLLATE " + coll, Kind: KindText, Length: 5}},
		{msField{typ: "text", length: 16, collation: coll}, Column{Type: "text COLLATE " + coll, Kind: KindText}},
		{msField{typ: "varbinary", length: -1}, Column{Type: "varbinary(max)", Kind: KindBytes}},
		{msField{typ: "image", length: 16}, Column{Type: "image", Kind: KindBytes}},
		{msField{typ: "timestamp", length: 8}, Column{Type: "rowversion", Kind: KindBytes}},
		{msField{typ: "date"}, Column{Type: "date", Kind: KindDate}},
		{msField{typ: "time", scale: 3}, Column{Type: "time(3)", Kind: KindTime}},
		{msField{typ: "datetime", scale: 3}, Column{Type: "datetime", Kind: KindTimestamp}},
		{msField{typ: "datetime2", scale: 6}, Column{Type: "datetime2(6)", Kind: KindTimestamp}},
		{msField{typ: "smalldatetime"}, Column{Type: "smalldatetime", Kind: KindTimestamp}},
		{msField{typ: "datetimeoffset", scale: 7}, Column{Type: "datetimeoffset(7)", Kind: KindTimestampTZ}},
		{msField{typ: "uniqueidentifier", length: 16}, Column{Type: "uniqueidentifier", Kind: KindUUID}},
		{msField{typ: "xml", length: -1}, Column{Type: "xml", Kind: KindText}},
		{msField{typ: "sql_variant"}, Column{Type: "sql_variant", Kind: KindOther}},
		{msField{typ: "geography", length: -1}, Column{Type: "geography", Kind: KindOther}},
		{msField{typ: "hierarchyid"}, Column{Type: "hierarchyid", Kind: KindOther}},
	} {
		var got Column
		if c.f.column(&got); got != c.want {
			t.Errorf("%+v is %+v, want %+v", c.f, got, c.want)
		}
	}
}

func TestTheValuesOfTheDriverOfSQLServerBecomeCells(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 2, 29, 23, 59, 58, 3_000_000, time.UTC)
	for _, c := range []struct {
		f    msField
		from any
		want any
	}{
		{msField{typ: "tinyint"}, int64(255), int64(255)},
		{msField{typ: "bit"}, true, int64(1)},
		{msField{typ: "real"}, float64(float32(0.1)), 0.1},
		{msField{typ: "decimal", precision: 18, scale: 4}, []byte("-0.0500"), "-0.0500"},
		{msField{typ: "money"}, []byte("922337203685477.5807"), "922337203685477.5807"},
		{msField{typ: "varchar", length: 9, collation: "Latin1_General_CI_AS"}, "é  ", "é  "},
		{msField{typ: "varchar", length: 9, collation: "Latin1_General_CI_AS"}, "a\uFFFDb", "a\xffb"},
		{msField{typ: "varchar", length: 9, collation: "Latin1_General_100_CI_AS_SC_UTF8"}, "a\uFFFDb", "a\uFFFDb"},
		{msField{typ: "nvarchar", length: 9, collation: "Latin1_General_CI_AS"}, "a\uFFFDb", "a\uFFFDb"},
		{msField{typ: "char", length: 9, collation: "Latin1_General_CI_AS"}, " é  ", " é"},
		{msField{typ: "nchar", length: 9, collation: "Latin1_General_CI_AS"}, " é  ", " é"},
		{msField{typ: "binary", length: 3}, []byte{0, 32, 32}, []byte{0, 32, 32}},
		{msField{typ: "uniqueidentifier"}, []byte{0xff, 0x19, 0x96, 0x6f, 0x86, 0x8b, 0x11, 0xd0, 0xb4, 0x2d, 0x00, 0xc0, 0x4f, 0xc9, 0x64, 0xff}, "6f9619ff-8b86-d011-b42d-00c04fc964ff"},
		{msField{typ: "datetime"}, at, "2024-02-29 23:59:58.003"},
		{msField{typ: "date"}, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), "0001-01-01"},
		{msField{typ: "time", scale: 7}, time.Date(1, 1, 1, 23, 59, 59, 999_999_900, time.UTC), "23:59:59.9999999"},
		{msField{typ: "datetimeoffset", scale: 7}, at.In(time.FixedZone("", -3600)), "2024-02-29 23:59:58.003+00:00"},
		{msField{typ: "geography"}, "POINT (1 2)", "POINT (1 2)"},
		{msField{typ: "xml"}, nil, nil},
	} {
		col := Column{Name: "c"}
		c.f.column(&col)
		var got cell
		s := cellScanner{column: &col, cell: &got, convert: msConverter(&col)}
		if err := s.Scan(c.from); err != nil || !reflect.DeepEqual(got.value(), c.want) {
			t.Errorf("%v as %s became %#v (%v), want %#v", c.from, col.Type, got.value(), err, c.want)
		}
	}
	if _, err := msUUID(&Column{}, []byte("short")); err == nil {
		t.Error("five bytes were taken for a uniqueidentifier")
	}
	if mssqlOrder := (&mssql.UniqueIdentifier{}); mssqlOrder.Scan([]byte{0xff, 0x19, 0x96, 0x6f, 0x86, 0x8b, 0x11, 0xd0, 0xb4, 0x2d, 0x00, 0xc0, 0x4f, 0xc9, 0x64, 0xff}) != nil ||
		!strings.EqualFold(mssqlOrder.String(), "6f9619ff-8b86-d011-b42d-00c04fc964ff") {
		t.Errorf("the driver itself reads %s", mssqlOrder)
	}
}

// msTable is a table as introspection describes it.
func msTable() *Table {
	t := &Table{Schema: "sales", Name: "odd]name", Rows: 1000, PrimaryKey: &Key{Columns: []string{"code", "at"}}}
	for name, f := range map[string]msField{"code": {typ: "varchar", length: 20, collation: "Cyrillic_General_CI_AS"}, "at": {typ: "datetime"},
		"g": {typ: "uniqueidentifier"}, "n": {typ: "nvarchar", length: 20, collation: "Latin1_General_CI_AS"}, "m": {typ: "money"}, "f": {typ: "float"},
		"v": {typ: "sql_variant"}, "p": {typ: "geography"}} {
		c := Column{Name: name, NotNull: true}
		f.column(&c)
		t.Columns = append(t.Columns, c)
	}
	return t
}

func TestRangesOfSQLServerAreAskedForByTheTypesOfTheirColumns(t *testing.T) {
	t.Parallel()
	of := msTable()
	w := WalkOf(of)
	where, args, err := w.where(SQLServer, of, RowKey{"д'\\\n", "2024-02-29 23:59:58.003"}, nil)
	code := "CAST(CAST(0x340427005c000a00 AS nvarchar(4000)) COLLATE Cyrillic_General_CI_AS AS varchar(8000))"
	at := "CAST('2024-02-29T23:59:58.003' AS datetime)"
	want := " WHERE [code] >= " + code + " AND ([code] > " + code + " OR [code] = " + code + " AND [at] >= " + at + ")"
	if err != nil || where != want || len(args) != 0 {
		t.Errorf("got  %s %v %v\nwant %s", where, args, err, want)
	}
	if got, want := w.orderBy(SQLServer, of), " ORDER BY stint_t.[code], stint_t.[at]"; got != want {
		t.Errorf("ordered%s", got)
	}
	if got, want := of.from(SQLServer), "[sales].[odd]]name]"; got != want {
		t.Errorf("from %s", got)
	}
	if head, tail := (sqlserverDialect{}).page(1, 42); head != "" || tail != " OFFSET 42 ROWS FETCH NEXT 1 ROWS ONLY" {
		t.Errorf("paged by %q and %q", head, tail)
	}
	cond, args := keyList(SQLServer, of, []string{"f"}, []RowKey{{0.1}, {2.5}})
	if want := "[f] IN (CAST(@p1 AS float),CAST(@p2 AS float))"; cond != want || fmt.Sprint(args) != "[0.1 2.5]" {
		t.Errorf("got %s %v", cond, args)
	}
	for _, c := range []struct {
		column string
		value  any
		want   string
	}{
		{"g", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "CAST('6f9619ff-8b86-d011-b42d-00c04fc964ff' AS uniqueidentifier)"},
		{"n", "a😀", "CAST(0x61003dd800de AS nvarchar(4000))"},
		{"m", "-12.5000", "CAST(-12.5000 AS money)"},
		{"m", int64(3), "3"},
	} {
		if got, ok := (sqlserverDialect{}).keyLiteral(of.Column(c.column), c.value); !ok || got != c.want {
			t.Errorf("%s: %v is written %s, want %s", c.column, c.value, got, c.want)
		}
	}
	for column, want := range map[string]string{"p": "[p].ToString()", "n": "[n]", "v": "CASE CAST(SQL_VARIANT_PROPERTY([v], 'BaseType') AS nvarchar(128)) WHEN 'float' THEN"} {
		if got := (sqlserverDialect{}).expression(selected{column: of.Column(column)}, of); !strings.HasPrefix(got, want) {
			t.Errorf("%s is read as %s", column, got)
		}
	}
	heap := &Table{Name: "heap", RowID: msPlace}
	where, _, err = WalkOf(heap).where(SQLServer, heap, RowKey{[]byte{1, 2}}, RowKey{[]byte{255}})
	if want := " WHERE %%physloc%% >= 0x0102 AND %%physloc%% < 0xff"; err != nil || where != want || WalkOf(heap).orderBy(SQLServer, heap) != " ORDER BY %%physloc%%" {
		t.Errorf("a table without a key is read by%s", where)
	}
}

func TestATableOfSQLServerIsMadeInPostgreSQLAndSQLite(t *testing.T) {
	t.Parallel()
	s := &Schema{Dialect: SQLServer, Tables: []Table{{Name: "Order", Rows: 1, PrimaryKey: &Key{Columns: []string{"Id"}}}}}
	of := &s.Tables[0]
	last := int64(7)
	of.LastValue = &last
	for _, c := range []struct {
		name, value string
		f           msField
		identity    bool
	}{
		{"Id", "", msField{typ: "int"}, true}, {"Flag", "((1))", msField{typ: "bit"}, false}, {"Name", "(N'it''s')", msField{typ: "nvarchar", length: 40}, false},
		{"Made", "(getdate())", msField{typ: "datetime"}, false}, {"Zone", "(sysdatetimeoffset())", msField{typ: "datetimeoffset", scale: 7}, false},
		{"Price", "((0.00))", msField{typ: "money"}, false}, {"Guid", "(newid())", msField{typ: "uniqueidentifier"}, false}, {"Geo", "", msField{typ: "geography"}, false},
	} {
		col := Column{Name: c.name, Default: c.value, NotNull: true, Identity: c.identity}
		c.f.column(&col)
		of.Columns = append(of.Columns, col)
	}
	(&msIndex{name: "IX_x", typ: 2, filter: "([Name] IS NOT NULL)", unique: 1, parts: []IndexPart{{Column: "Name", Desc: true}}, included: []string{"Price"}}).addTo(of)
	(&msIndex{name: "UQ_x", typ: 2, unique: 1, constraint: 1, unnamed: 1, parts: []IndexPart{{Column: "Guid"}}}).addTo(of)
	(&msIndex{name: "CS_x", typ: 6}).addTo(of)
	(&msIndex{name: "IX_off", typ: 2, off: 1, parts: []IndexPart{{Column: "Guid"}}}).addTo(of)
	there, notes := MapSchema(s, Postgres)
	made := strings.Join(CreateTable(&there.Tables[0], Postgres), "\n")
	for _, want := range []string{`"Id" integer NOT NULL GENERATED BY DEFAULT AS IDENTITY`, `"Flag" boolean NOT NULL DEFAULT true`, `"Name" character varying(20) NOT NULL DEFAULT 'it''s'`,
		`"Made" timestamp without time zone NOT NULL DEFAULT (CURRENT_TIMESTAMP`, `"Zone" timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP`,
		`"Price" numeric(19,4) NOT NULL DEFAULT 0.00`, `"Guid" uuid NOT NULL,`, `"Geo" text NOT NULL`} {
		if !strings.Contains(made, want) {
			t.Errorf("%s is not in %s", want, made)
		}
	}
	for _, want := range []string{"The default of column Guid of table Order is left out: (newid())", "holds Price beside its key", "CS_x of table Order, a columnstore index", "IX_off of table Order, which is disabled"} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("%s is not in %q", want, notes)
		}
	}
	if ix := there.Tables[0].Indexes; len(ix) != 1 || !ix[0].Unique || ix[0].Where != `( "Name" IS NOT NULL )` {
		t.Errorf("the indexes are %+v", ix)
	}
	for _, dst := range []*DB{postgresDB(t), sqliteFile(t)} {
		there, _ := MapSchema(s, dst.Dialect)
		for _, statement := range CreateTable(&there.Tables[0], dst.Dialect) {
			run(t, dst, statement)
		}
		for _, statement := range CreateIndexes(&there.Tables[0], dst.Dialect) {
			run(t, dst, statement.SQL)
		}
	}
}

func TestTheURLOfSQLServerNamesItsDatabaseAndKeepsItsPassword(t *testing.T) {
	t.Parallel()
	at, err := ParseURL("sqlserver://sa:S3cret%2F@db.example:1444?database=Shop&TrustServerCertificate=true")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := at.String(), "sqlserver://sa@db.example:1444?TrustServerCertificate=true&database=Shop"; got != want {
		t.Errorf("it is shown as %s, want %s", got, want)
	}
	if other, err := ParseURL("sqlserver://other:word@DB.example:1444?database=shop"); err != nil || other.ID() != at.ID() {
		t.Errorf("the same database has the IDs %s and %s, %v", at.ID(), other.ID(), err)
	}
	if other, err := ParseURL("sqlserver://other:word@db.example/SQLEXPRESS?database=shop"); err != nil || other.ID() == at.ID() {
		t.Errorf("an instance is the same as the server, %v", err)
	}
	for _, bad := range []string{"sqlserver:x", "sqlserver://sa:S3cret@h", "sqlserver://h:port?database=d", "sqlserver://sa:S3cret/@h?database=d", "sqlserver://sa:S3cret@h?database=d&encrypt=maybe"} {
		if _, err := ParseURL(bad); err == nil || tasks.HintOf(err) == "" || strings.Contains(fmt.Sprintf("%+v %s", err, tasks.HintOf(err)), "S3cret") {
			t.Errorf("%s: %v (hint %q)", bad, err, tasks.HintOf(err))
		}
	}
	closed, err := ParseURL("sqlserver://sa:S3cret@127.0.0.1:1?database=d")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), closed, Options{ReadOnly: true, ConnectTimeout: 5 * time.Second})
	if _, passes := tasks.RetryAfterOf(err); !passes || !strings.Contains(err.Error(), "nothing accepts connections") || strings.Contains(err.Error(), "S3cret") {
		t.Errorf("a closed port: %v", err)
	}
}

func TestWhatSQLServerSaysDecidesWhatHappensNext(t *testing.T) {
	t.Parallel()
	wrapped := func(number int32) error {
		return fmt.Errorf("read t: %w", mssql.Error{Number: number, Message: "said"})
	}
	for _, number := range []int32{1205, 1222, 3960, 40613, 10054} {
		if _, passes := tasks.RetryAfterOf(Classify(wrapped(number))); !passes {
			t.Errorf("%d does not pass by itself", number)
		}
	}
	for _, number := range []int32{229, 208, 207, 3952} {
		if err := Classify(wrapped(number)); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("%d is not for good, or has no hint: %v", number, err)
		}
	}
	if err := Classify(wrapped(8115)); tasks.IsPermanent(err) || !errors.As(err, new(mssql.Error)) {
		t.Errorf("an error that nobody knows became %v", err)
	}
	at, err := ParseURL("sqlserver://sa:S3cret@h?database=d")
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[int32]string{18456: "refuses the password", 4060: "does not exist", 40615: "firewall", 17: "refuses the connection"} {
		if err := explainSQLServer(at, wrapped(number)); !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
			t.Errorf("%d: %v (hint %q)", number, err, tasks.HintOf(err))
		}
	}
}

func TestNothingIsWrittenToAFirebirdOrASQLServer(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{Firebird, SQLServer} {
		db := &DB{Dialect: d}
		if err := EnsureLedger(context.Background(), db); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("%s: a ledger was made: %v", d, err)
		}
	}
}

func TestAMomentOfAKeyIsWrittenAsTheSourceReadsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		to   Dialect
		kind Kind
		typ  string
		text string
		want any
	}{
		{Firebird, KindTimestamp, "TIMESTAMP", "2025-03-25 00:00:00.000100", "2025-03-25 00:00:00.0001"},
		{Firebird, KindTimestamp, "TIMESTAMP", "2025-03-25 00:00:00.000123", nil},
		{Firebird, KindTimestamp, "TIMESTAMP", "12025-03-25 00:00:00", nil},
		{Firebird, KindTime, "TIME", "10:00:00.000000", "10:00:00"},
		{Firebird, KindDate, "DATE", "2025-03-25", "2025-03-25"},
		{Firebird, KindDate, "DATE", "infinity", nil},
		{SQLServer, KindTimestamp, "datetime", "2025-03-25 10:20:30.003000", "2025-03-25 10:20:30.003"},
		{SQLServer, KindTimestamp, "datetime", "2025-03-25 10:20:30.003300", nil},
		{SQLServer, KindTimestamp, "smalldatetime", "2025-03-25 10:20:30", nil},
		{SQLServer, KindTimestampTZ, "datetimeoffset(7)", "2025-03-25 10:20:30.120000+00", "2025-03-25 10:20:30.12+00"},
	} {
		codec := codec{dst: &Column{Kind: c.kind, Type: c.typ}, src: &Column{}, from: Postgres, to: c.to}
		v := textCell(c.text)
		if got, ok := codec.writtenKey(&v); ok != (c.want != nil) || ok && got != c.want {
			t.Errorf("%s: %s is written %v, want %v", c.typ, c.text, got, c.want)
		}
	}
}
