package sqldb

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func fingerprint(t *testing.T, db *DB, table string) (int64, string) {
	t.Helper()
	s := introspect(t, db)
	i := slices.IndexFunc(s.Tables, func(x Table) bool { return x.Name == table })
	if i < 0 {
		t.Fatalf("there is no table %s", table)
	}
	rows, sum, err := Fingerprint(context.Background(), db, &s.Tables[i])
	if err != nil {
		t.Fatal(err)
	}
	return rows, sum
}

func TestAChecksumIsThatOfTheRowsInAnyOrder(t *testing.T) {
	t.Parallel()
	for dialect, db := range map[string]*DB{"sqlite": sqliteFile(t), "postgres": postgresDB(t), "mariadb": mysqlDB(t)} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			run(t, db, "CREATE TABLE a (n int, s varchar(20), d decimal(10,2))", "CREATE TABLE b (n int, s varchar(20), d decimal(10,2))",
				"INSERT INTO a VALUES (1, 'x', 1.5), (2, NULL, 2), (2, NULL, 2), (3, 'Ødegård', NULL)",
				"INSERT INTO b VALUES (3, 'Ødegård', NULL), (2, NULL, 2), (1, 'x', 1.50), (2, NULL, 2.0)")
			rows, sum := fingerprint(t, db, "a")
			if n, other := fingerprint(t, db, "b"); n != 4 || rows != 4 || other != sum {
				t.Errorf("%d rows with %s, and %d with %s; want four and the same", rows, sum, n, other)
			}
			for _, change := range []string{"UPDATE b SET s = '' WHERE n = 2", "UPDATE b SET s = NULL", "INSERT INTO b VALUES (9, 'x', 0)", "DELETE FROM b WHERE n = 3"} {
				run(t, db, change)
				if _, other := fingerprint(t, db, "b"); other == sum {
					t.Errorf("%s: the checksum is still the same", change)
				}
			}
		})
	}
}

func TestAScratchIsMadeBesideADatabaseAndTakenAway(t *testing.T) {
	t.Parallel()
	for dialect, db := range map[string]*DB{"postgres": postgresDB(t), "mariadb": mysqlDB(t)} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			run(t, db, "CREATE TABLE theirs (id int PRIMARY KEY)", "INSERT INTO theirs VALUES (1)")
			name := "stint_rehearsal_" + dialect
			for range 2 { // one that is there is taken as it is
				s, err := MakeScratch(ctx, db, name)
				if err != nil || s.Schema {
					t.Fatalf("%+v, %v; want a database", s.Schema, err)
				}
			}
			s, _ := MakeScratch(ctx, db, name)
			t.Cleanup(func() { _ = DropScratch(ctx, db, name, s) }) // when the test fails in between
			scratch := openAt(t, s.URL, Options{})
			if tables, owner, err := ScratchOf(ctx, scratch); err != nil || len(tables) > 0 || owner != "" {
				t.Fatalf("a new scratch holds %v of %q, %v", tables, owner, err)
			}
			run(t, scratch, "CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent (id))",
				"CREATE VIEW both_of_them AS SELECT parent.id FROM parent JOIN child ON p = parent.id", "INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1, 1)")
			if err := ClaimScratch(ctx, scratch, "mine"); err != nil {
				t.Fatal(err)
			}
			if tables, owner, err := ScratchOf(ctx, scratch); err != nil || len(tables) != 1 || owner != "mine" {
				t.Fatalf("it holds %v of %q, %v; want only the mark", tables, owner, err)
			}
			if err := DropScratch(ctx, db, name, s); err != nil {
				t.Fatal(err)
			}
			if n := one(t, db, "SELECT count(*) FROM theirs"); n != "1" {
				t.Errorf("the database beside it holds %s rows, want 1", n)
			}
		})
	}
}

func TestWhoMayMakeNoDatabaseGetsASchemaThatSeesNothingElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner := postgresDB(t, "CREATE TABLE theirs (id int PRIMARY KEY)", "CREATE TYPE mood AS ENUM ('good', 'bad')")
	role := "narrow_" + strings.ToLower(one(t, owner, "SELECT current_database()"))
	run(t, owner, "CREATE ROLE "+role+" LOGIN PASSWORD 'x'", fmt.Sprintf("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %%I TO %s', current_database()); END $$", role))
	t.Cleanup(func() { run(t, owner, "DROP OWNED BY "+role, "DROP ROLE "+role) })
	u, err := url.Parse(owner.Location.dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "x")
	db := openAt(t, u.String(), Options{})
	s, err := MakeScratch(ctx, db, "stint_rehearsal_narrow")
	if err != nil || !s.Schema {
		t.Fatalf("schema: %v, %v; want a schema", s.Schema, err)
	}
	scratch := openAt(t, s.URL, Options{})
	run(t, scratch, "CREATE TYPE mood AS ENUM ('fair')", "CREATE TABLE own (id int PRIMARY KEY, m mood)")
	if tables, _, err := ScratchOf(ctx, scratch); err != nil || !slices.Equal(tables, []string{"own"}) {
		t.Fatalf("it holds %v, %v; want its own table alone", tables, err)
	}
	if err := ClaimScratch(ctx, scratch, "mine"); err != nil {
		t.Fatal(err)
	}
	if n := one(t, owner, "SELECT count(*)::text FROM pg_type WHERE typname = 'mood'"); n != "1" {
		t.Errorf("there are %s types mood, want that of the others", n)
	}
	if err := DropScratch(ctx, db, "stint_rehearsal_narrow", s); err != nil {
		t.Fatal(err)
	}
	if n := one(t, owner, "SELECT count(*)::text FROM theirs"); n != "0" {
		t.Errorf("the table of the others is gone")
	}
}
