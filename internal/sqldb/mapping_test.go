package sqldb

import (
	"strings"
	"testing"
)

func TestTypesOfSQLiteBecomeTypesThatLoseNothing(t *testing.T) {
	t.Parallel()
	for declared, want := range map[string]string{
		"INT": "bigint", "tinyint": "bigint", "UNSIGNED BIG INT": "bigint", "INTEGER": "bigint", "smallint": "bigint",
		"BOOLEAN": "boolean", "REAL": "double precision", "FLOAT": "double precision", "DOUBLE PRECISION": "double precision",
		"DECIMAL(10,2)": "numeric(10,2)", "NUMERIC( 5 )": "numeric(5,0)", "NUMERIC": "numeric", "DECIMAL(2,5)": "numeric",
		"VARCHAR(5)": "text", "NVARCHAR(160)": "text", "CHARACTER VARYING(3)": "text", "CLOB": "text", "": "text", "BLOB": "bytea",
		"VARBINARY(16)": "bytea", "DATE": "date", "DATETIME": "timestamp without time zone", "timestamp": "timestamp without time zone",
		"TIMESTAMP(3) WITH TIME ZONE": "timestamp with time zone", "TIME": "time without time zone", "UNIQUEIDENTIFIER": "uuid",
		"JSON": "json", "POINT": "text", "INTERVAL": "text", "FLOATING POINT": "double precision",
	} {
		var c Column
		c.Type = declared
		c.Kind, c.Precision, c.Scale, c.Length = kindOfSQLite(declared)
		if toPostgresType(&c, false); c.Type != want {
			t.Errorf("%s becomes %s, want %s", declared, c.Type, want)
		}
	}
}

func TestTypesOfPostgresBecomeTypesThatSQLiteLeavesAlone(t *testing.T) {
	t.Parallel()
	source := postgresDB(t, `CREATE TYPE level AS ENUM ('1.0', '2.0')`, `CREATE TABLE v (b boolean, s smallint, i integer, l bigint,
		n15 numeric(15,2), n30 numeric(30,10), n numeric, neg numeric(3,-2), t text, vc varchar(5), c char(3), y bytea, d date, ti time,
		ts timestamp(3), tz timestamptz, u uuid, j json, jb jsonb, e level, a integer[], iv interval, bits bit(4), m money, r real, f float8)`)
	target, notes := MapSchema(introspect(t, source), SQLite)
	lite := sqliteFile(t, CreateTable(&target.Tables[0], SQLite)...)
	// Each value is one that SQLite would rewrite if it took it for a number.
	for column, value := range map[string]string{"n15": "1", "n30": "12345678901234567.0123456789", "n": "0.10", "t": "1.0", "vc": "01", "c": "1  ",
		"d": "2024-01-01", "ti": "10:00:00", "ts": "2024-01-01 00:00:00", "tz": "2024-01-01 00:00:00+00", "u": "11111111-1111-1111-1111-111111111111",
		"j": "1.50", "jb": "12345678901234567890", "e": "1.0", "a": "{1,2}", "iv": "1", "bits": "0101", "m": "1.0"} {
		run(t, lite, "DELETE FROM v", "INSERT INTO v ("+column+") VALUES ("+SQLite.Literal(value)+")")
		if got := one(t, lite, "SELECT CAST("+column+" AS TEXT) FROM v"); got != value {
			t.Errorf("%s (%s): wrote %s, read %s", column, target.Tables[0].Column(column).Type, value, got)
		}
	}
	if !hasNote(notes, "Column iv", "interval") {
		t.Errorf("no note about interval in %q", notes)
	}
}

func TestDefaultsAreTranslatedWhenTheyMeanTheSame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from Dialect
		expr string
		kind Kind
		want string
	}{
		{SQLite, "0", KindBool, "false"}, {SQLite, "'1'", KindBool, "true"}, {SQLite, "TRUE", KindBool, "true"},
		{SQLite, "-1.50", KindNumeric, "-1.50"}, {SQLite, "'12'", KindInt64, "12"}, {SQLite, "'x'", KindInt64, ""},
		{SQLite, "0", KindText, "'0'"}, {SQLite, `"it's"`, KindText, "'it''s'"}, {SQLite, "active", KindText, "'active'"},
		{SQLite, "X'00ff'", KindBytes, `'\x00ff'::bytea`}, {SQLite, "0x10", KindInt64, "16"},
		{SQLite, "CURRENT_TIMESTAMP", KindTimestamp, "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"},
		{SQLite, "datetime( 'now' )", KindTimestampTZ, "CURRENT_TIMESTAMP"}, {SQLite, "CURRENT_DATE", KindDate, "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')::date"},
		{SQLite, "'0000-00-00'", KindDate, ""}, {SQLite, "'2024-02-29'", KindDate, "'2024-02-29'"}, {SQLite, "'{}'", KindJSON, "'{}'"},
		{SQLite, "random()", KindInt64, ""}, {SQLite, "'a' || 'b'", KindText, ""}, {SQLite, "strftime('%s','now')", KindInt64, ""},
		{Postgres, "'x'::character varying", KindText, "'x'"}, {Postgres, "'-1'::integer", KindInt32, "-1"},
		{Postgres, "('a::b'::text)::character varying(5)", KindText, "'a::b'"}, {Postgres, "true", KindBool, "1"},
		{Postgres, "now()", KindTimestampTZ, "CURRENT_TIMESTAMP"}, {Postgres, "(now() AT TIME ZONE 'utc'::text)", KindTimestamp, "CURRENT_TIMESTAMP"},
		{Postgres, "'{}'::jsonb", KindJSON, "'{}'"}, {Postgres, "gen_random_uuid()", KindUUID, ""}, {Postgres, "CURRENT_USER", KindText, ""},
		{Postgres, `'\x00ff'::bytea`, KindBytes, "X'00ff'"}, {Postgres, "'{1,2}'::integer[]", KindOther, "'{1,2}'"}, {Postgres, "0.00", KindNumeric, "0.00"},
	} {
		to := Postgres
		if c.from == Postgres {
			to = SQLite
		}
		if got := parseDefault(c.from, c.expr).in(to, c.kind); got != c.want {
			t.Errorf("%s default %s of a %s becomes %q, want %q", c.from, c.expr, c.kind, got, c.want)
		}
	}
}

func TestAColumnThatRefersTakesTheTypeItRefersTo(t *testing.T) {
	t.Parallel()
	s := introspect(t, sqliteFile(t,
		"CREATE TABLE a (id INTEGER PRIMARY KEY)",
		"CREATE TABLE b (a_id TEXT PRIMARY KEY REFERENCES a)",
		"CREATE TABLE c (b_id DECIMAL(5,2) REFERENCES b, other TEXT REFERENCES d)",
		"CREATE TABLE d (code VARCHAR(3) PRIMARY KEY, j JSON UNIQUE)",
		"CREATE TABLE e (id INTEGER PRIMARY KEY REFERENCES d, n INT REFERENCES a (missing), m INT REFERENCES c (b_id))"))
	m, notes := MapSchema(s, Postgres)
	equal(t, "b.a_id", tableOf(t, m, "b").Columns[0].Type, "bigint")
	equal(t, "c.b_id, at the end of a chain", tableOf(t, m, "c").Columns[0].Kind, KindInt64)
	equal(t, "c.other", tableOf(t, m, "c").Columns[1].Type, "text")
	equal(t, "json under a key", tableOf(t, m, "d").Columns[1].Type, "text")
	equal(t, "keys that cannot be", tableOf(t, m, "e").ForeignKeys, []ForeignKey{})
	for _, parts := range [][]string{{"a_id", "bigint instead of text"}, {"b_id", "numeric"}, {"e", "(id)", "bigint"}, {"e", "do not exist"}, {"e", "no key there"}} {
		if !hasNote(notes, parts...) {
			t.Errorf("no note about %q in %q", parts, notes)
		}
	}
}

func TestNamesThatCollideInTheTargetAreChangedAndSaid(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 40) // 80 bytes
	lite := sqliteFile(t, `CREATE TABLE "`+long+`1" (id INTEGER PRIMARY KEY, "`+long+`a" TEXT, "`+long+`b" TEXT, xmin INT, "" TEXT)`,
		`CREATE TABLE "`+long+`2" (id INTEGER PRIMARY KEY REFERENCES "`+long+`1")`,
		"CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", "CREATE INDEX t_pkey ON t (n)", "CREATE INDEX t_id_seq ON t (n)")
	m, notes := MapSchema(introspect(t, lite), Postgres)
	first, second := m.Tables[0], m.Tables[1]
	if len(first.Name) > 63 || len(second.Name) > 63 || first.Name == second.Name || second.ForeignKeys[0].RefTable != first.Name {
		t.Errorf("names %q, %q", first.Name, second.Name)
	}
	equal(t, "a system column's name", first.Columns[3].Name, "xmin_")
	equal(t, "an empty name", first.Columns[4].Name, "unnamed")
	third := m.Tables[2]
	if third.Indexes[0].Name == "t_pkey" || third.Indexes[1].Name == "t_id_seq" {
		t.Errorf("indexes take the names of key or sequence: %v", third.Indexes)
	}
	if !hasNote(notes, "63 bytes") || !hasNote(notes, "t_pkey") {
		t.Errorf("notes: %q", notes)
	}
	make1 := postgresDB(t)
	createAll(t, make1, m)

	post := postgresDB(t, `CREATE TABLE users (id int PRIMARY KEY, "ID" int)`, `CREATE TABLE "Users" (x int)`, "CREATE SCHEMA crm",
		"CREATE TABLE crm.users (u int REFERENCES public.users)", "CREATE INDEX i ON users (id)", "CREATE INDEX i ON crm.users (u)")
	m, _ = MapSchema(introspect(t, post), SQLite)
	equal(t, "tables", tableNames(m), []string{"users", "Users_2", "crm_users"})
	equal(t, "columns", m.Tables[0].Columns[1].Name, "ID_2")
	equal(t, "references", m.Tables[2].ForeignKeys[0].RefTable, "users")
	createAll(t, sqliteFile(t), m)
}

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	t.Parallel()
	lite := sqliteFile(t, "CREATE TABLE a (n INT CHECK (n > 0), g INT AS (n + 1), d INT DEFAULT (random()), f BOOLEAN)", "CREATE VIEW v AS SELECT 1",
		"CREATE INDEX p ON a (n) WHERE f = 1", "CREATE UNIQUE INDEX q ON a (n) WHERE f = 1", "CREATE INDEX r ON a (n) WHERE F IS NOT NULL AND (n IS NULL)")
	m, notes := MapSchema(introspect(t, lite), Postgres)
	for _, parts := range [][]string{{"CHECK"}, {"view v"}, {"g", "computed"}, {"default", "random"}, {"index p", "all rows"}, {"unique index q"}} {
		if !hasNote(notes, parts...) {
			t.Errorf("no note about %q in %q", parts, notes)
		}
	}
	equal(t, "indexes", m.Tables[0].Indexes, []Index{{Name: "p", Columns: []IndexPart{{Column: "n"}}},
		{Name: "r", Columns: []IndexPart{{Column: "n"}}, Where: `"f" IS NOT NULL AND ( "n" IS NULL )`}})
	createAll(t, postgresDB(t), m)
}

func TestATableThatWasNotSelectedIsNotReferredTo(t *testing.T) {
	t.Parallel()
	lite := sqliteFile(t, "CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (a INT REFERENCES a)")
	m, notes := MapSchema(introspect(t, lite, "b"), Postgres)
	if len(m.Tables[0].ForeignKeys) != 0 || !hasNote(notes, "not part of this migration") {
		t.Errorf("%v, %q", m.Tables[0].ForeignKeys, notes)
	}
}
