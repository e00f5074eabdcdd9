package migration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/migration"
)

// A sample is a database that nobody made for these tests. Its rows are many and of types that people seldom use.
type sample struct {
	from  func(t *testing.T) string // "" where it is not to be had
	least int64                     // rows
	aside map[string]bool           // whether there are rows that a target cannot hold, by its scheme
}

var realSamples = map[string]sample{
	"a record shop":                     {from: chinook, least: 15607},
	"the catalogue of PostgreSQL":       {from: postgresCatalogue, least: 8000, aside: map[string]bool{"postgres": true}}, // names of functions that several have
	"the catalogue and help of MariaDB": {from: mariadbCatalogue, least: 1000},
	"the tables of pgbench":             {from: pgbench, least: 20011},
	"SQL and databases of SQLite's fuzzer": {from: fuzzdata, least: 1000,
		aside: map[string]bool{"postgres": true, "mysql": true}}, // malformed UTF-8, and NUL characters
	"tables of dBase, Clipper and FoxPro": {from: dbfFiles, least: 10},
}

func TestASampleOfTheRealWorldArrivesAndIsEqual(t *testing.T) {
	t.Parallel()
	for name, s := range realSamples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := s.from(t)
			inEach(t, func(t *testing.T, to string) {
				w := newWorld(t, to)
				w.from = from
				w.dbs.Besides(func(at sqldb.Location) (sqldb.Tabular, error) { return flatfile.Open(at, flatfile.Options{}) }, nil)
				job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 20_000})
				total, _ := drive(t, migration.New(w.dbs), job)
				if total.Read < s.least || total.Read != total.Written+total.Quarantined {
					t.Errorf("counted %+v, want %d rows at least", total, s.least)
				}
				scheme, _, _ := strings.Cut(to, ":")
				if (total.Quarantined != 0) != s.aside[scheme] {
					bad, err := sqldb.Quarantine(t.Context(), w.open(t, to), job.ID, "", 0, 3)
					t.Errorf("%d rows are set aside: %+v, %v", total.Quarantined, bad, err)
				}
				if d := w.differences(t, job.ID); len(d) > 0 {
					t.Errorf("%d differences, the first: %+v", len(d), d[0])
				}
			})
		})
	}
}

func chinook(t *testing.T) string {
	return copied(t, filepath.Join("..", "..", "..", "shared", "samples", "chinook.sqlite"))
}

// copied returns a copy of an SQLite file, and skips the test where there is none.
func copied(t *testing.T, from string) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Skip("this sample is not here")
	}
	path := filepath.Join(t.TempDir(), "sample.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// fuzzdata is what the driver of SQLite is tested with.
func fuzzdata(t *testing.T) string {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "modernc.org/sqlite").Output()
	if err != nil {
		t.Skip("where modules are is not known")
	}
	return copied(t, filepath.Join(strings.TrimSpace(string(dir)), "testdata", "tcl", "fuzzdata6.db"))
}

func dbfFiles(t *testing.T) string { return "dbf:../../internal/flatfile/testdata/dbf" }

// postgresCatalogue is what PostgreSQL knows of itself, as tables: its own types, arrays of them, and ACLs. Types without a form to
// read them from are text.
func postgresCatalogue(t *testing.T) string {
	url := pgtest.New(t)
	db := (&world{}).open(t, url)
	if _, err := db.Pool.Exec(t.Context(), `DO $$
		DECLARE r record;
		BEGIN
			FOR r IN SELECT c.relname, n.nspname, string_agg(CASE WHEN t.typtype = 'p' OR t.typname IN ('pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list')
					THEN format('%I::text', a.attname) WHEN t.typtype = 'd' THEN format('%I::%s', a.attname, format_type(t.typbasetype, t.typtypmod)) ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum) AS cols
				FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 JOIN pg_type t ON t.oid = a.atttypid
				WHERE (n.nspname, c.relname) IN (('pg_catalog', 'pg_class'), ('pg_catalog', 'pg_type'), ('pg_catalog', 'pg_attribute'), ('pg_catalog', 'pg_proc'), ('pg_catalog', 'pg_description'),
					('pg_catalog', 'pg_timezone_names'), ('pg_catalog', 'pg_settings'), ('pg_catalog', 'pg_aggregate'), ('information_schema', 'columns'), ('information_schema', 'sql_features'))
				GROUP BY 1, 2
			LOOP EXECUTE format('CREATE TABLE %I AS SELECT %s FROM %I.%I', 'a_' || r.relname, r.cols, r.nspname, r.relname); END LOOP;
		END $$;
		ALTER TABLE a_pg_class ADD PRIMARY KEY (oid);
		ALTER TABLE a_pg_attribute ADD PRIMARY KEY (attrelid, attname);
		ALTER TABLE a_pg_proc ADD PRIMARY KEY (oid);
		ALTER TABLE a_pg_timezone_names ADD PRIMARY KEY (name);`); err != nil {
		t.Fatal(err)
	}
	return url
}

// mariadbCatalogue is the help of MariaDB, its zones of time, and what it knows of itself.
func mariadbCatalogue(t *testing.T) string {
	url := mariadbtest.New(t)
	w := &world{to: url}
	for _, name := range []string{"help_topic", "help_keyword", "help_relation", "help_category", "time_zone_leap_second", "time_zone_name", "time_zone_transition", "time_zone_transition_type"} {
		w.inTarget(t, "CREATE TABLE a_"+name+" LIKE mysql."+name, "INSERT INTO a_"+name+" SELECT * FROM mysql."+name)
	}
	for _, name := range []string{"COLUMNS", "COLLATIONS", "SYSTEM_VARIABLES", "TABLES"} {
		w.inTarget(t, "CREATE TABLE i_"+name+" AS SELECT * FROM information_schema."+name)
	}
	return url
}

// pgbench is its tables in the smallest size.
func pgbench(t *testing.T) string {
	url := pgtest.New(t)
	if out, err := exec.CommandContext(t.Context(), "pgbench", "-i", "-q", "-s", "1", "-n", url).CombinedOutput(); err != nil {
		t.Skipf("pgbench: %v\n%s", err, out)
	}
	(&world{to: url}).inTarget(t, "DELETE FROM pgbench_accounts WHERE aid > 20000") // the rest is the same
	return url
}
