package sqldb

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
)

// mysqlDB makes a new database on a MariaDB server, runs statements in it and returns it open.
func mysqlDB(t *testing.T, statements ...string) *DB {
	t.Helper()
	db := openAt(t, mariadbtest.New(t), Options{})
	run(t, db, statements...)
	return db
}

// migrate carries all tables of a database over, verifies each, and returns what was set aside and what differs.
func migrate(t *testing.T, src, dst *DB) (*Schema, []Quarantined) {
	t.Helper()
	ctx := context.Background()
	from := introspect(t, src)
	to, _ := MapSchema(from, dst.Dialect)
	if err := EnsureLedger(ctx, dst); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTypes(ctx, dst, to.Enums); err != nil {
		t.Fatal(err)
	}
	mapping := func(i int) *Mapping {
		m := &Mapping{Source: &from.Tables[i], Target: &to.Tables[i]}
		for j := range from.Tables[i].Columns {
			m.Columns = append(m.Columns, ColumnPair{from.Tables[i].Columns[j].Name, to.Tables[i].Columns[j].Name})
		}
		return m
	}
	for i := range from.Tables {
		if err := EnsureTable(ctx, dst, &to.Tables[i]); err != nil {
			t.Fatal(err)
		}
		if err := CheckLoadable(ctx, dst, &to.Tables[i]); err != nil {
			t.Fatal(err)
		}
		loadTable(t, src, dst, mapping(i))
	}
	for i := range from.Tables {
		if _, err := FinishTable(ctx, dst, &to.Tables[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range from.Tables {
		if orphans, err := ReferTable(ctx, dst, &to.Tables[i]); err != nil || len(orphans) > 0 {
			t.Fatal(orphans, err)
		}
		m, w := mapping(i), WalkOf(&from.Tables[i])
		got, err := CompareRange(ctx, src, dst, m, w, nil, nil, "job", func(d Difference) bool {
			t.Errorf("%s to %s, table %s: %+v", src.Dialect, dst.Dialect, from.Tables[i].Name, d)
			return true
		})
		if err != nil {
			t.Fatalf("%s to %s: %v", src.Dialect, dst.Dialect, err)
		}
		if got.SourceRows != got.TargetRows+got.Quarantined {
			t.Errorf("%s to %s, table %s: %+v", src.Dialect, dst.Dialect, from.Tables[i].Name, got)
		}
	}
	bad, err := Quarantine(ctx, dst, "job", "", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return to, bad
}

// loadTable loads a table in chunks of some rows and batches of fewer.
func loadTable(t *testing.T, src, dst *DB, m *Mapping) {
	t.Helper()
	ctx := context.Background()
	w := WalkOf(m.Source)
	borders, err := Boundaries(ctx, src, m.Source, w, nil, 7, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var from RowKey
	for i := 0; i <= len(borders); i++ {
		c := Chunk{From: from}
		if i < len(borders) {
			c.To = borders[i]
		}
		o := LoaderOptions{Job: "job", Stage: m.Source.FullName(), Step: fmt.Sprint(i), Worker: "w", Attempt: "a"}
		if err := attemptOnce(ctx, src, dst, m, c, o, Limits{Rows: 3}); err != nil {
			t.Fatalf("%s to %s, table %s: %v", src.Dialect, dst.Dialect, m.Source.Name, err)
		}
		from = c.To
	}
}

// awkward is a table of MariaDB with what its types have in store.
var awkward = []string{
	`CREATE TABLE parent (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, name varchar(40) NOT NULL, UNIQUE KEY by_name (name)) DEFAULT CHARSET latin1`,
	`CREATE TABLE v (a int NOT NULL, b varchar(20) NOT NULL, ti tinyint(1), t tinyint unsigned, s smallint unsigned, m mediumint, i int unsigned, bu bigint unsigned,
		bi bit(1), bits bit(12), b64 bit(64), d decimal(30,10) unsigned, f float, db double, c char(5), vb varbinary(8), bin binary(4), bl blob, tx text, lt longtext CHARACTER SET utf8mb4,
		e enum('x','y','') DEFAULT 'x', st set('p','q','r'), y year, da date, dt datetime(6), ts timestamp(3) NULL, tm time(2), j json, u uuid, ip inet6,
		l1 varchar(10) CHARACTER SET latin1 DEFAULT 'it''s', g int GENERATED ALWAYS AS (a * 2) STORED, p bigint unsigned,
		PRIMARY KEY (a, b), KEY part (tx(10)), FULLTEXT KEY words (lt), UNIQUE KEY half (tx(5)), KEY two (s, m), CONSTRAINT positive CHECK (a < 1000),
		CONSTRAINT of_parent FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)`,
	`CREATE TABLE nokey (x int, y varchar(10), f float)`,
	"CREATE TABLE `we``ird \"name` (`select` int PRIMARY KEY, `a b` varchar(10) DEFAULT '\\\\')",
	`CREATE VIEW seen AS SELECT 1`,
	`CREATE TRIGGER tr BEFORE INSERT ON nokey FOR EACH ROW SET NEW.x = NEW.x`,
	`INSERT INTO parent (name) VALUES ('A'), ('b'), ('ü'), ('x ')`,
	`ALTER TABLE parent AUTO_INCREMENT = 100`,
	`INSERT INTO nokey VALUES (1, 'a', 0.1), (1, 'a', 0.1), (1, 'a', 0.1), (1, 'a', 0.1), (NULL, NULL, NULL), (NULL, NULL, NULL), (2, 'A', 16777217), (3, '', 3.4e38), (4, 'b', -1.5), (5, 'c', 0.7)`,
	"INSERT INTO `we``ird \"name` VALUES (1, '\\\\'), (2, '''')",
	`INSERT INTO v (a, b) VALUES (1, 'a'), (1, 'B'), (1, 'c'), (2, ''), (2, 'Ä'), (2, 'x y'), (3, '1'), (3, '10'), (3, '9')`,
	`INSERT INTO v VALUES (4, 'max', 1, 255, 65535, 8388607, 4294967295, 18446744073709551615, b'1', b'101010101010', b'1111111111111111111111111111111111111111111111111111111111111111',
		12345678901234567890.0123456789, 3.40282e38, 1.7976931348623157e308, 'ab', x'00ff27', x'0027', x'005c27220a0d1a25ff', 'it''s \\ "quoted"', 'long', 'y', 'p,r', 2155, '9999-12-31',
		'9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999', '23:59:59.99', '{"b": 1.0, "a": [1, 2, 3]}', '123e4567-e89b-12d3-a456-426614174000', '::1', 'äöü€', DEFAULT, 1)`,
	`INSERT INTO v VALUES (5, 'min', 0, 0, 0, -8388608, 0, 0, b'0', b'0', b'0', 0, 1.17549e-38, 2.2250738585072014e-308, '', '', '', '', '', '', '', '', 1901, '1000-01-01',
		'0001-01-01 00:00:00', '1970-01-01 00:00:01', '00:00:00', '[]', '00000000-0000-0000-0000-000000000000', '::', '', DEFAULT, NULL)`,
	`INSERT INTO v (a, b, f, db, dt) VALUES (6, 'f', 0.1, 0.1, '2024-03-31 02:30:00'), (7, 'f', 16777216, 0.30000000000000004, '2024-10-27 02:30:00'), (8, 'emoji', 1, 1, NULL)`,
	`UPDATE v SET lt = '😀 line\nend', tx = repeat('x', 60000) WHERE a = 8`,
}

func TestWhatMariaDBHoldsArrivesInEachDialectAsItIs(t *testing.T) {
	t.Parallel()
	src := mysqlDB(t, awkward...)
	for _, dst := range []*DB{sqliteFile(t), postgresDB(t), mysqlDB(t)} {
		schema, bad := migrate(t, src, dst)
		for _, q := range bad {
			t.Errorf("%s: set aside: %+v", dst.Dialect, q)
		}
		for query, want := range map[string]string{
			"SELECT f FROM v WHERE a = 6": "0.1", "SELECT bits FROM v WHERE a = 4": "2730", "SELECT count(*) FROM nokey": "10",
			"SELECT e FROM v WHERE a = 1 AND b = 'B'": "x", "SELECT CAST(d AS char(40)) FROM v WHERE a = 4": "12345678901234567890.0123456789",
		} {
			if dst.Dialect == MySQL && strings.Contains(query, "bits") {
				query = strings.Replace(query, "bits", "bits + 0", 1)
			}
			if dst.Dialect == Postgres {
				query = strings.Replace(strings.Replace(query, "SELECT ", "SELECT (", 1), " FROM", ")::text FROM", 1)
			}
			if got := strings.TrimRight(one(t, dst, query), " "); got != want {
				t.Errorf("%s: %s gives %s, want %s", dst.Dialect, query, got, want)
			}
		}
		if dst.Dialect != Postgres {
			continue
		}
		types := map[string]string{}
		for _, c := range schema.Tables[len(schema.Tables)-1].Columns {
			types[c.Name] = c.Type
		}
		t.Log(types)
	}
}

func TestAQueryOfMySQLHasTheTypesOfItsColumns(t *testing.T) {
	t.Parallel()
	src := mysqlDB(t, awkward...)
	q, err := Describe(context.Background(), src, "q", "SELECT a, b, ti, bu, bits, d, f, db, c, vb, tx, e, y, da, dt, ts, tm, u FROM v WHERE a > 3")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range q.Columns {
		got = append(got, c.Name+" "+string(c.Kind))
	}
	if want := "a int32, b text, ti int16, bu numeric, bits int64, d numeric, f float32, db float64, c text, vb bytes, tx text, e text, y int16, da date, dt timestamp, ts timestamptz, tm time, u text"; strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	q.PrimaryKey = &Key{Columns: []string{"a", "b"}}
	for _, name := range q.PrimaryKey.Columns {
		q.Column(name).NotNull = true
	}
	if borders, err := Boundaries(context.Background(), src, q, WalkOf(q), nil, 2, 10); err != nil || len(borders) != 2 {
		t.Errorf("%v, %v", borders, err)
	}
	rows, err := Read(context.Background(), src, q, WalkOf(q), RowKey{int64(6), "f"}, RowKey{int64(7), "f"})
	if err != nil || !rows.Next() {
		t.Fatal(err, rows)
	}
	defer rows.Close()
	if v, err := rows.Values(); err != nil || v[0] != int64(6) || v[6] != 0.1 {
		t.Errorf("%v, %v", v, err)
	}
}
