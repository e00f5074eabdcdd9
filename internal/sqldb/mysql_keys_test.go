package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/tasks"
)

func TestEachKindOfKeyOfMySQLIsWalkedWithoutLoss(t *testing.T) {
	t.Parallel()
	keys := map[string]string{
		"bigint_unsigned": "bigint unsigned|seq * 400000000000000000", "decimals": "decimal(40,20)|seq * 1.00000000000000000001 + 10000000000000000000", "doubles": "double|sqrt(seq) * if(seq % 2, 1, -1)",
		"floats": "float|seq / 7", "dates": "date|adddate('2020-01-01', seq)", "moments": "datetime(6)|adddate('2020-01-01', interval seq * 1.000001 second)",
		"stamps": "timestamp(3)|adddate('2020-03-29', interval seq * 100 second)", "times": "time|sec_to_time(seq * 50000)", "bins": "binary(8)|unhex(md5(seq))", "varbins": "varbinary(8)|char(seq using binary)",
		"bits": "bit(40)|seq * 10000000", "enums": "enum('z','y','x','b','a')|elt(seq % 5 + 1, 'z','y','x','b','a')", "years": "year|1950 + seq", "uuids": "uuid|insert('00000000-0000-0000-0000-000000000000', seq % 8 + 1, 1, 'f')",
		"latin": "varchar(20) CHARACTER SET latin1 COLLATE latin1_german2_ci|concat(char(192 + seq using latin1), seq)", "folded": "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci|concat(if(seq % 2, 'a', 'B'), seq)",
		"padded": "char(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin|concat(repeat('x', seq), ' y')", "ints": "int|CAST(seq AS SIGNED) - 25", "tiny": "tinyint(1)|seq % 2",
	}
	var create []string
	for name, def := range keys {
		typ, value, _ := strings.Cut(def, "|")
		create = append(create, fmt.Sprintf("CREATE TABLE %s (k %s NOT NULL, n int NOT NULL, PRIMARY KEY (k, n))", name, typ), fmt.Sprintf("INSERT INTO %s SELECT %s, seq %% 3 FROM seq_1_to_40", name, value))
	}
	slices.Sort(create) // CREATE before INSERT
	src := mysqlDB(t)
	for _, s := range create {
		if err := tryRun(src, s); err != nil && !strings.Contains(s, "INSERT") {
			t.Fatal(s, err)
		} else if err != nil {
			run(t, src, strings.Replace(s, "INSERT", "INSERT IGNORE", 1)) // tiny, enums and uuids repeat themselves
		}
	}
	for _, dst := range []*DB{postgresDB(t), mysqlDB(t), sqliteFile(t)} {
		_, bad := migrate(t, src, dst)
		for _, q := range bad {
			if q.Table != "times" || dst.Dialect != Postgres {
				t.Errorf("%s: %+v", dst.Dialect, q)
			}
		}
		for name := range keys {
			table := dst.Dialect.Quote(name)
			want := one(t, src, "SELECT count(*) FROM "+name)
			if got := one(t, dst, "SELECT count(*) FROM "+table); got != want && name != "times" {
				t.Errorf("%s: %s has %s rows, want %s", dst.Dialect, name, got, want)
			}
		}
	}
}

func TestWhatIsLeftOutOfMySQLIsSaid(t *testing.T) {
	t.Parallel()
	s := introspect(t, mysqlDB(t, append(awkward, "CREATE SEQUENCE seq", "CREATE PROCEDURE p() SELECT 1", "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2",
		"CREATE TABLE upd (id int PRIMARY KEY, at timestamp DEFAULT current_timestamp() ON UPDATE current_timestamp(), KEY down (at DESC))",
		"CREATE TABLE old (id int PRIMARY KEY) WITH SYSTEM VERSIONING")...))
	var notes []string
	notes = append(notes, s.Notes...)
	for _, table := range s.Tables {
		notes = append(notes, table.Notes...)
	}
	all := strings.Join(append(notes, s.Views...), "\n")
	for _, want := range []string{"seen", "The sequence seq", "Stored routines are left out: 1", "trigger tr of table nokey", "nokey has no key", "index part of table v, over a part", "index words of table v, by fulltext",
		"unique key half of table v, over a part", "CHECK constraint positive of table v", "table parts is partitioned", "column at of table upd changes with each update", "history of table old"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	parent := tableNamed(t, s, "parent")
	if parent.LastValue == nil || *parent.LastValue != 99 || !parent.Column("id").Identity || parent.Column("id").Kind != KindInt64 || len(parent.Uniques) != 1 {
		t.Errorf("%+v", parent)
	}
	if v := tableNamed(t, s, "v"); len(v.ForeignKeys) != 1 || v.ForeignKeys[0].OnDelete != "CASCADE" || v.Column("p").Kind != KindInt64 || v.Column("l1").Default != "'it''s'" ||
		v.Column("j").Kind != KindJSON || !v.Column("g").Generated || v.Column("e").Default != "'x'" {
		t.Errorf("%+v", v)
	}
	if w := tableNamed(t, s, "we`ird \"name"); w.Column("a b").Default != `'\\'` {
		t.Errorf("%+v", w)
	}
}

func tableNamed(t *testing.T, s *Schema, name string) *Table {
	t.Helper()
	for i := range s.Tables {
		if s.Tables[i].Name == name {
			return &s.Tables[i]
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

func TestDefaultsAndNumberingOfMySQLGoOn(t *testing.T) {
	t.Parallel()
	src := mysqlDB(t, "CREATE TABLE t (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, a int DEFAULT 7, s varchar(10) DEFAULT 'x''y', b tinyint(1) NOT NULL DEFAULT 1, bt bit(1) DEFAULT b'1', "+
		"ts timestamp DEFAULT current_timestamp(), d date DEFAULT curdate(), n decimal(5,2) DEFAULT 1.50, tx text DEFAULT 'long')", "INSERT INTO t (id) VALUES (5)", "ALTER TABLE t AUTO_INCREMENT = 50")
	for _, dst := range []*DB{postgresDB(t), mysqlDB(t), sqliteFile(t)} {
		migrate(t, src, dst)
		run(t, dst, "INSERT INTO t (a) VALUES (8)")
		cast := func(c string) string { return "CAST(" + c + " AS char(20))" }
		if dst.Dialect == Postgres {
			cast = func(c string) string { return "trim(CAST(" + c + " AS char(20)))" }
		}
		want := "50|8|x'y|1|1|1.50|long"
		got := one(t, dst, "SELECT "+strings.Join([]string{cast("id"), cast("a"), cast("s"), cast("b"), cast("bt"), cast("n"), cast("tx")}, "||'|'||")+" FROM t WHERE a = 8 AND ts IS NOT NULL AND d IS NOT NULL")
		got = strings.NewReplacer("true", "1", "|1.5|", "|1.50|", "\x01", "1").Replace(got)
		if got != want {
			t.Errorf("%s: %q, want %q", dst.Dialect, got, want)
		}
	}
}

func TestForeignKeysAndOrphansInMySQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE p (code TEXT PRIMARY KEY NOT NULL)", "CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p(code) ON DELETE CASCADE, self INTEGER REFERENCES c(id))",
		"INSERT INTO p VALUES ('a'), ('A'), ('a ')", "INSERT INTO c VALUES (1, 'a', NULL), (2, 'A', 1), (3, 'gone', 2), (4, NULL, 99)")
	dst := mysqlDB(t)
	to, _ := MapSchema(introspect(t, src), MySQL)
	if err := EnsureLedger(ctx, dst); err != nil {
		t.Fatal(err)
	}
	for i := range to.Tables {
		if err := EnsureTable(ctx, dst, &to.Tables[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"p", "c"} {
		m := pair(t, src, dst, name)
		loadTable(t, src, dst, m)
	}
	var found []Orphans
	for range 2 { // the second time does nothing, and says the same
		found = nil
		for i := range to.Tables {
			if _, err := FinishTable(ctx, dst, &to.Tables[i]); err != nil {
				t.Fatal(err)
			}
			o, err := ReferTable(ctx, dst, &to.Tables[i])
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, o...)
		}
	}
	if len(found) != 2 || found[0].Rows != 1 || found[1].Rows != 1 || !found[0].Enforced {
		t.Errorf("%+v", found)
	}
	if err := tryRun(dst, "INSERT INTO c (p) VALUES ('nobody')"); mysqlNumber(err) != 1452 {
		t.Errorf("a new orphan came in: %v", err)
	}
	if err := CheckLoadable(ctx, dst, tableNamed(t, to, "c")); !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "DROP FOREIGN KEY") {
		t.Errorf("%v", err)
	}
	run(t, dst, "CREATE TABLE isam (id int PRIMARY KEY) ENGINE=MyISAM")
	if err := CheckLoadable(ctx, dst, &Table{Name: "isam"}); !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "ENGINE=InnoDB") {
		t.Errorf("%v", err)
	}
}

func TestDifferencesToMySQLAreNamed(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE k (id INTEGER PRIMARY KEY, v TEXT)", "CREATE TABLE s (code VARCHAR(20) PRIMARY KEY NOT NULL, v DECIMAL(10,2))",
		"INSERT INTO k WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 30) SELECT i, 'v'||i FROM g", "INSERT INTO s SELECT 'c'||id, id * 1.5 FROM k")
	dst := mysqlDB(t)
	migrate(t, src, dst)
	run(t, dst, "UPDATE k SET v = 'V7' WHERE id = 7", "DELETE FROM k WHERE id = 9", "INSERT INTO k VALUES (99, 'x')", "UPDATE s SET v = v + 0.01 WHERE code = 'c3'", "DELETE FROM s WHERE code = 'c4'", "INSERT INTO s VALUES ('new', 1)")
	var got []string
	for _, name := range []string{"k", "s"} {
		m := pair(t, src, dst, name)
		report := func(d Difference) bool {
			got = append(got, fmt.Sprint(d.Table, d.Key, d.Column, d.Kind))
			return true
		}
		if _, err := CompareRange(context.Background(), src, dst, m, WalkOf(m.Source), nil, nil, "job", report); err != nil {
			t.Fatal(err)
		}
		if ModeOf(m, WalkOf(m.Source)) == CompareLookup {
			if _, err := FindExtra(context.Background(), src, dst, m, WalkOf(m.Source), report); err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(got)
	if want := `[k[7]vdiffers k[99]extra k[9]missing s["c3"]vdiffers s["c4"]missing s["new"]extra]`; fmt.Sprint(got) != want {
		t.Errorf("%v\nwant %s", got, want)
	}
}

func TestASourceThatIsLeftInTheMiddleIsBrokenOffAndNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	at := mariadbtest.New(t)
	db := openAt(t, at, Options{})
	run(t, db, "CREATE TABLE t (id int PRIMARY KEY, v longtext)", "INSERT INTO t SELECT seq, repeat('x', 1000) FROM seq_1_to_50000")
	src := openAt(t, at, Options{ReadOnly: true, MaxConns: 1})
	table := tableIn(t, src, "t")
	for range 3 {
		rows, err := Read(context.Background(), src, table, WalkOf(table), nil, nil)
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := tryRun(src, "INSERT INTO t VALUES (0, '')"); mysqlNumber(err) != 1792 {
		t.Errorf("a source could be written: %v", err)
	}
}

func TestWhyAMySQLServerCannotBeOpenedIsSaid(t *testing.T) {
	t.Parallel()
	s := mariadbtest.Shared(t)
	for _, statement := range []string{"CREATE USER IF NOT EXISTS guarded@'%' IDENTIFIED BY 'right'", "CREATE DATABASE IF NOT EXISTS forbidden"} {
		if err := s.Run(statement); err != nil {
			t.Fatal(err)
		}
	}
	url := s.URL("nowhere")
	for _, c := range []struct{ url, message, hint string }{
		{url, "does not exist", "CREATE DATABASE"},
		{strings.Replace(url, "root@", "guarded:wrong@", 1), "does not let this user in", "percent-encoded"},
		{strings.Replace(s.URL("forbidden"), "root@", "guarded:right@", 1), "no permission", "GRANT"},
		{"mysql://root@127.0.0.1:1/db", "nothing accepts connections", "port"},
		{"mysql://root@/db?socket=/no/such/socket", "no such socket", "socket"},
		{s.URL("nowhere") + "?tls=true", "no encrypted connection", "tls"},
	} {
		at, err := ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(context.Background(), at, Options{})
		if err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(tasks.HintOf(err), c.hint) {
			t.Errorf("%s: %v, hint %q", c.url, err, tasks.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error()+tasks.HintOf(err), "wrong@") {
			t.Errorf("the password is in %v", err)
		}
	}
	db := openAt(t, s.SocketURL("forbidden"), Options{})
	if got := one(t, db, "SELECT @@character_set_client||' '||@@time_zone||' '||@@net_write_timeout"); got != "utf8mb4 +00:00 3600" {
		t.Error(got)
	}
}
