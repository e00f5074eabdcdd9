package sqldb

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func introspect(t *testing.T, db *DB, only ...string) *Schema {
	t.Helper()
	s, err := Introspect(context.Background(), db, only)
	if err != nil {
		t.Fatalf("%v (%s)", err, tasks.HintOf(err))
	}
	return s
}

func tableNames(s *Schema) []string {
	var names []string
	for _, t := range s.Tables {
		names = append(names, t.FullName())
	}
	return names
}

func tableOf(t *testing.T, s *Schema, name string) *Table {
	t.Helper()
	for i := range s.Tables {
		if s.Tables[i].FullName() == name {
			return &s.Tables[i]
		}
	}
	t.Fatalf("there is no table %s among %v", name, tableNames(s))
	return nil
}

// equal compares two values by the form a person can read.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	gs, ws := strings.Split(string(g), "\n"), strings.Split(string(w), "\n")
	at := 0
	for at < min(len(gs), len(ws)) && gs[at] == ws[at] {
		at++
	}
	near := func(lines []string) string { return strings.Join(lines[max(0, at-12):min(len(lines), at+12)], "\n") }
	t.Errorf("%s, near line %d:\ngot  %s\nwant %s", what, at, near(gs), near(ws))
}

func hasNote(notes []string, parts ...string) bool {
	return slices.ContainsFunc(notes, func(n string) bool {
		for _, p := range parts {
			if !strings.Contains(n, p) {
				return false
			}
		}
		return true
	})
}

func TestSQLiteTablesAreReadWithAllThatHoldsThemTogether(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t,
		`CREATE TABLE child (id integer primary key autoincrement, a TEXT NOT NULL DEFAULT 'x', b NUMERIC(10,2),
			up INTEGER REFERENCES Parent ON DELETE CASCADE, other REFERENCES "Odd ""Name" ("The Key") ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED,
			self INT REFERENCES child(ID) NOT DEFERRABLE, twice INT GENERATED ALWAYS AS (up * 2) STORED,
			lost INT REFERENCES nowhere, UNIQUE (a, b), CHECK (up > 0) -- CHECK of no importance
		)`,
		`CREATE TABLE parent (id INTEGER PRIMARY KEY, rowid TEXT, n VARCHAR(30) DEFAULT NULL)`,
		`CREATE TABLE "Odd ""Name" ("The Key" TEXT COLLATE NOCASE PRIMARY KEY, flag BOOLEAN DEFAULT 0) WITHOUT ROWID`,
		`CREATE TABLE pair (x INT, y INT, PRIMARY KEY (y, x))`,
		`CREATE TABLE stint_ledger (job TEXT)`,
		`CREATE UNIQUE INDEX by_n ON parent (n DESC)`,
		`CREATE INDEX part ON child (a, b DESC) WHERE b IS NOT NULL AND a <> 'where'`,
		`CREATE INDEX expr ON child (lower(a))`,
		`CREATE VIEW seen AS SELECT 1`,
		`CREATE TRIGGER ping AFTER INSERT ON parent BEGIN SELECT 1; END`,
		`CREATE VIRTUAL TABLE words USING fts5(body)`,
		`INSERT INTO parent (id) VALUES (1), (2)`, `INSERT INTO child (id, up) VALUES (41, 1)`, `DELETE FROM child`,
	)
	s := introspect(t, db)
	equal(t, "tables", tableNames(s), []string{"parent", `Odd "Name`, "child", "pair"})
	equal(t, "views", s.Views, []string{"seen"})
	if !hasNote(s.Notes, "virtual table words") || !hasNote(s.Notes, "words_data", "virtual") {
		t.Errorf("notes: %q", s.Notes)
	}
	child := tableOf(t, s, "child")
	last := int64(41)
	want := &Table{Name: "child", Columns: []Column{
		{Name: "id", Type: "INTEGER", Kind: KindInt64, Identity: true, NotNull: true},
		{Name: "a", Type: "TEXT", Kind: KindText, NotNull: true, Default: "'x'"},
		{Name: "b", Type: "NUMERIC(10,2)", Kind: KindNumeric, Precision: 10, Scale: 2},
		{Name: "up", Type: "INTEGER", Kind: KindInt64},
		{Name: "other", Type: "", Kind: KindText},
		{Name: "self", Type: "INT", Kind: KindInt64},
		{Name: "twice", Type: "INT", Kind: KindInt64, Generated: true},
		{Name: "lost", Type: "INT", Kind: KindInt64},
	}, PrimaryKey: &Key{Columns: []string{"id"}}, Uniques: []Key{{Columns: []string{"a", "b"}}},
		Indexes: []Index{{Name: "part", Columns: []IndexPart{{"a", false}, {"b", true}}, Where: "b IS NOT NULL AND a <> 'where'"}},
		ForeignKeys: []ForeignKey{
			{Columns: []string{"up"}, RefTable: "parent", RefColumns: []string{"id"}, OnDelete: "CASCADE"},
			{Columns: []string{"other"}, RefTable: `Odd "Name`, RefColumns: []string{"The Key"}, OnUpdate: "SET NULL", Deferrable: true, Deferred: true},
			{Columns: []string{"self"}, RefTable: "child", RefColumns: []string{"id"}},
		}, RowID: "rowid", Autoincr: true, LastValue: &last, Notes: child.Notes}
	// SQLite itself writes the type of a rowid key as the statement did.
	want.Columns[0].Type = child.Columns[0].Type
	equal(t, "child", child, want)
	if !hasNote(child.Notes, "CHECK", ": 1") || !hasNote(child.Notes, "index expr") || !hasNote(child.Notes, "nowhere") {
		t.Errorf("notes of child: %q", child.Notes)
	}
	parent := tableOf(t, s, "parent")
	equal(t, "parent's rows", parent.Rows, int64(2))
	equal(t, "parent's rowid", parent.RowID, "_rowid_")
	equal(t, "parent's uniques", parent.Uniques, []Key{{"by_n", []string{"n"}}})
	equal(t, "parent's length", parent.Columns[2].Length, 30)
	equal(t, "parent's key is the rowid", parent.Columns[0].Identity, true)
	if !hasNote(parent.Notes, "trigger ping") {
		t.Errorf("notes of parent: %q", parent.Notes)
	}
	odd := tableOf(t, s, `Odd "Name`)
	equal(t, "no rowid", odd.RowID, "")
	equal(t, "NOT NULL of a WITHOUT ROWID key", odd.Columns[0].NotNull, true)
	if !hasNote(odd.Notes, "NOCASE") {
		t.Errorf("notes of odd: %q", odd.Notes)
	}
	equal(t, "a composite key keeps its order", tableOf(t, s, "pair").PrimaryKey.Columns, []string{"y", "x"})
}

func TestAKeyOfOneIntegerColumnIsTheRowIDOnlyWhereSQLiteSaysSo(t *testing.T) {
	t.Parallel()
	s := introspect(t, sqliteFile(t, "CREATE TABLE a (id INTEGER PRIMARY KEY DESC)", "CREATE TABLE b (id INT PRIMARY KEY)",
		"CREATE TABLE c (id INTEGER PRIMARY KEY) WITHOUT ROWID", "CREATE TABLE d (id INTEGER, PRIMARY KEY (id))"))
	for name, want := range map[string]bool{"a": false, "b": false, "c": false, "d": true} {
		equal(t, name, tableOf(t, s, name).Columns[0].Identity, want)
	}
}

func TestPostgresTablesAreReadWithAllThatHoldsThemTogether(t *testing.T) {
	t.Parallel()
	db := postgresDB(t,
		`CREATE SCHEMA "Other"`,
		`CREATE TYPE mood AS ENUM ('sad', 'ok')`,
		`CREATE DOMAIN euro AS numeric(12,2) DEFAULT 0 NOT NULL CHECK (VALUE >= 0)`,
		`CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`CREATE TABLE child (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "A b" varchar(20) NOT NULL DEFAULT 'x', up int,
			other int, m mood, ms mood[], price euro, n numeric, at timestamptz DEFAULT now(), j jsonb, small smallint, r real,
			o int DEFAULT own(), twice int GENERATED ALWAYS AS (up * 2) STORED, ip inet, gone int,
			CONSTRAINT ab UNIQUE ("A b", up), CHECK (up > 0))`,
		`ALTER TABLE child DROP COLUMN gone`,
		`CREATE TABLE "Other".parent (id serial PRIMARY KEY, code text UNIQUE)`,
		`CREATE TABLE grand (x int, y int, PRIMARY KEY (y, x))`,
		`ALTER TABLE child ADD CONSTRAINT up_fk FOREIGN KEY (up) REFERENCES "Other".parent ON DELETE CASCADE ON UPDATE RESTRICT DEFERRABLE`,
		`ALTER TABLE child ADD CONSTRAINT two FOREIGN KEY (other, up) REFERENCES grand (x, y) NOT VALID`,
		`CREATE TABLE parted (id int, day date) PARTITION BY RANGE (day)`,
		`CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')`,
		`CREATE TABLE stint_chunks (job text)`,
		`CREATE UNIQUE INDEX u ON child (at)`, `CREATE INDEX part ON child (up DESC, "A b") WHERE up IS NOT NULL`,
		`CREATE INDEX expr ON child (lower("A b"))`, `CREATE INDEX gin ON child USING gin (j)`,
		`CREATE VIEW seen AS SELECT 1 AS one`, `CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one`,
		`INSERT INTO "Other".parent (code) VALUES ('a'), ('b')`, `INSERT INTO parted VALUES (1, '2024-05-01')`,
	)
	s := introspect(t, db)
	equal(t, "tables", tableNames(s), []string{"grand", "Other.parent", "child", "parted"})
	equal(t, "views", s.Views, []string{"seen", "kept"})
	equal(t, "enums", s.Enums, []Enum{{Name: "mood", Labels: []string{"sad", "ok"}}})
	child := tableOf(t, s, "child")
	want := &Table{Name: "child", Columns: []Column{
		{Name: "id", Type: "bigint", Kind: KindInt64, NotNull: true, Identity: true},
		{Name: "A b", Type: "character varying(20)", Kind: KindText, Length: 20, NotNull: true, Default: "'x'::character varying"},
		{Name: "up", Type: "integer", Kind: KindInt32},
		{Name: "other", Type: "integer", Kind: KindInt32},
		{Name: "m", Type: "mood", Kind: KindOther},
		{Name: "ms", Type: "mood[]", Kind: KindOther},
		{Name: "price", Type: "numeric(12,2)", Kind: KindNumeric, Precision: 12, Scale: 2, NotNull: true, Default: "0"},
		{Name: "n", Type: "numeric", Kind: KindNumeric},
		{Name: "at", Type: "timestamp with time zone", Kind: KindTimestampTZ, Default: "now()"},
		{Name: "j", Type: "jsonb", Kind: KindJSON},
		{Name: "small", Type: "smallint", Kind: KindInt16},
		{Name: "r", Type: "real", Kind: KindFloat32},
		{Name: "o", Type: "integer", Kind: KindInt32},
		{Name: "twice", Type: "integer", Kind: KindInt32, Generated: true},
		{Name: "ip", Type: "inet", Kind: KindOther},
	}, PrimaryKey: &Key{Name: "child_pkey", Columns: []string{"id"}},
		Uniques: []Key{{"ab", []string{"A b", "up"}}, {"u", []string{"at"}}},
		Indexes: []Index{{Name: "part", Columns: []IndexPart{{"up", true}, {"A b", false}}, Where: "(up IS NOT NULL)"}},
		ForeignKeys: []ForeignKey{
			{Name: "up_fk", Columns: []string{"up"}, RefSchema: "Other", RefTable: "parent", RefColumns: []string{"id"}, OnDelete: "CASCADE", OnUpdate: "RESTRICT", Deferrable: true},
			{Name: "two", Columns: []string{"other", "up"}, RefTable: "grand", RefColumns: []string{"x", "y"}},
		}, Only: true, Notes: child.Notes}
	equal(t, "child", child, want)
	for _, parts := range [][]string{{"CHECK"}, {"domain euro"}, {"own"}, {"index expr"}, {"index gin"}, {"two", "validated"}} {
		if !hasNote(child.Notes, parts...) {
			t.Errorf("no note about %q in %q", parts, child.Notes)
		}
	}
	parent := tableOf(t, s, "Other.parent")
	two := int64(2)
	equal(t, "serial", parent.Columns[0], Column{Name: "id", Type: "integer", Kind: KindInt32, NotNull: true, Identity: true})
	equal(t, "last value", parent.LastValue, &two)
	equal(t, "rows", parent.Rows, two)
	equal(t, "rows of a partitioned table", tableOf(t, s, "parted").Rows, int64(1))
}

func TestOnlySelectedTablesAreReadAndATypoIsAnswered(t *testing.T) {
	t.Parallel()
	lite := sqliteFile(t, "CREATE TABLE Customers (id INTEGER PRIMARY KEY)", "CREATE TABLE orders (c REFERENCES customers)")
	post := postgresDB(t, "CREATE TABLE customers (id int)", "CREATE SCHEMA s", "CREATE TABLE s.orders (c int)")
	equal(t, "SQLite, any case", tableNames(introspect(t, lite, "ORDERS")), []string{"orders"})
	equal(t, "a key to a table that was not selected", len(introspect(t, lite, "orders").Tables[0].ForeignKeys), 1)
	equal(t, "PostgreSQL", tableNames(introspect(t, post, "s.orders")), []string{"s.orders"})
	for _, db := range []*DB{lite, post} {
		_, err := Introspect(context.Background(), db, []string{"custommers"})
		if err == nil || !strings.Contains(strings.ToLower(tasks.HintOf(err)), "customers") {
			t.Errorf("%s: %v, hint %q", db.Dialect, err, tasks.HintOf(err))
		}
	}
}

func TestParentsComeBeforeChildrenAndCirclesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	table := func(name string, parents ...string) Table {
		x := Table{Name: name}
		for _, p := range parents {
			x.ForeignKeys = append(x.ForeignKeys, ForeignKey{RefTable: p})
		}
		return x
	}
	for _, c := range []struct {
		tables []Table
		want   []string
	}{
		{[]Table{table("a"), table("b"), table("c")}, []string{"a", "b", "c"}},
		{[]Table{table("a", "c"), table("b"), table("c", "d"), table("d")}, []string{"d", "c", "a", "b"}},
		{[]Table{table("a", "a"), table("b", "elsewhere")}, []string{"a", "b"}},
		{[]Table{table("late", "x"), table("x", "y"), table("y", "x", "root"), table("root")}, []string{"root", "x", "y", "late"}},
	} {
		equal(t, "order", tableNames(&Schema{Tables: SortTables(c.tables)}), c.want)
	}
	chain := make([]Table, 20000)
	for i := range chain {
		chain[i] = table(strconv.Itoa(i), strconv.Itoa(i+1))
	}
	if sorted := SortTables(chain); sorted[0].Name != chain[len(chain)-1].Name {
		t.Error("a long chain was not turned round")
	}
}

func TestARealFileIsRead(t *testing.T) {
	t.Parallel()
	db := openAt(t, "sqlite:"+chinook(t), Options{ReadOnly: true})
	s := introspect(t, db)
	var rows int64
	for _, x := range s.Tables {
		rows += x.Rows
	}
	if len(s.Tables) != 11 || rows != 15607 {
		t.Errorf("%d tables, %d rows", len(s.Tables), rows)
	}
}

// chinook returns a copy of the sample database, and skips the test where the samples are not.
func chinook(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "samples", "chinook.sqlite"))
	if err != nil {
		t.Skip("the sample database is not here")
	}
	path := filepath.Join(t.TempDir(), "chinook.sqlite")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAVirtualTableOfAnUnknownModuleIsNoObstacle(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t, "CREATE TABLE a (n)", "PRAGMA writable_schema = 1",
		"INSERT INTO sqlite_schema VALUES ('table', 'shapes', 'shapes', 0, 'CREATE VIRTUAL TABLE shapes USING spatial_thing(x)')")
	s := introspect(t, openAt(t, "sqlite:"+db.Location.Path(), Options{ReadOnly: true}))
	equal(t, "tables", tableNames(s), []string{"a"})
	if !hasNote(s.Notes, "virtual table shapes") {
		t.Errorf("notes: %q", s.Notes)
	}
}

func TestAReaderNeedsNoMoreThanTheRightToRead(t *testing.T) {
	t.Parallel()
	admin := postgresDB(t, "CREATE ROLE reader_of_one LOGIN", "CREATE TABLE open (id serial PRIMARY KEY)", "CREATE TABLE shut (id int)",
		"GRANT SELECT ON open TO reader_of_one", "INSERT INTO open DEFAULT VALUES")
	t.Cleanup(func() { run(t, admin, "DROP OWNED BY reader_of_one", "DROP ROLE reader_of_one") })
	db := openAt(t, strings.Replace(admin.Location.dsn, "postgres@", "reader_of_one@", 1), Options{ReadOnly: true})
	s := introspect(t, db, "open")
	if s.Tables[0].LastValue != nil || !hasNote(s.Tables[0].Notes, "sequence of column id") {
		t.Errorf("%v, %q", s.Tables[0].LastValue, s.Tables[0].Notes)
	}
	if _, err := Introspect(context.Background(), db, nil); err == nil || !strings.Contains(tasks.HintOf(err), "GRANT SELECT") {
		t.Errorf("a table that cannot be read gives %v, hint %q", err, tasks.HintOf(err))
	}
}

func TestRowsHiddenByAPolicyAreAnErrorAndNotMissing(t *testing.T) {
	t.Parallel()
	admin := postgresDB(t, "CREATE ROLE half_blind LOGIN", "CREATE TABLE secret (id int)", "INSERT INTO secret VALUES (1), (2)",
		"ALTER TABLE secret ENABLE ROW LEVEL SECURITY", "CREATE POLICY visible ON secret USING (id = 1)", "GRANT SELECT ON secret TO half_blind")
	t.Cleanup(func() { run(t, admin, "DROP OWNED BY half_blind", "DROP ROLE half_blind") })
	db := openAt(t, strings.Replace(admin.Location.dsn, "postgres@", "half_blind@", 1), Options{ReadOnly: true})
	if _, err := Introspect(context.Background(), db, nil); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("got %v", err)
	}
}
