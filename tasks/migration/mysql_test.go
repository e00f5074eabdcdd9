package migration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	mariadbtest.Stop()
	os.Exit(code)
}

// fromMariaDB is the world of newWorld whose source has been moved to MariaDB before.
func fromMariaDB(t *testing.T, to string, statements ...string) *world {
	t.Helper()
	moved := newWorld(t, mariadbtest.New(t))
	drive(t, migration.New(moved.dbs), moved.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}))
	moved.inTarget(t, statements...)
	w := &world{from: moved.to, to: to}
	w.dbs = migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"old": w.from, "new": w.to}[name])
	}, 3)
	t.Cleanup(func() {
		if err := w.dbs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

func TestAMigrationIntoMariaDBKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject { return subject(t, newWorld(t, mariadbtest.New(t), dirty), 1) })
}

func TestAMigrationFromMariaDBKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		return subject(t, fromMariaDB(t, pgtest.New(t), "UPDATE customer SET since = '2020-00-15' WHERE id = 7", "UPDATE line SET text = concat('a', char(0), 'b') WHERE pos = 2 AND invoice = 'R-003'"), 2)
	})
}

func TestAMigrationFromMariaDBToMariaDBKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		return subject(t, fromMariaDB(t, mariadbtest.New(t), "UPDATE customer SET since = '0000-00-00' WHERE id = 7"), 0)
	})
}

// kills ends the sessions of a database, again and again, until the test says so; it returns how many that were.
func kills(t *testing.T, url string) (stop func() int) {
	t.Helper()
	at, err := sqldb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), at, sqldb.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		n := 0
		defer func() { db.Close(); ended <- n }()
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var id int64
			if db.SQL.QueryRowContext(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID() ORDER BY RAND() LIMIT 1").Scan(&id) != nil {
				continue // nobody is there
			}
			if _, err := db.SQL.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id)); err == nil {
				n++
			}
		}
	}()
	return func() int { cancel(); return <-ended }
}

func TestASessionThatIsKilledAtAnyMomentLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "legacy.db")
	run(t, path, "CREATE TABLE many (id INTEGER PRIMARY KEY, v TEXT)",
		"INSERT INTO many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT i, 'v' FROM n")
	w := newWorld(t, mariadbtest.New(t))
	w.from = "sqlite:" + path
	f, job := migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 5000, BatchRows: 50})
	stages := runStages(t, f, job, "schema")
	failed, killed := 0, 0
	for _, st := range stages {
		if st.Name != "load:many" {
			continue
		}
		steps, _, err := f.Split(t.Context(), job, st, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		stop := kills(t, w.to)
		for _, step := range steps {
			for try := 0; ; try++ {
				err := f.Run(t.Context(), attemptAt(job, st, step, make(chan struct{})))
				if err == nil {
					break
				}
				if _, passes := tasks.RetryAfterOf(err); !passes {
					t.Fatalf("a killed session is no passing error: %v", err)
				}
				if failed++; try == 40 { // it has been shown: let it come to its end
					killed += stop()
					stop = func() int { return 0 }
				}
			}
		}
		killed += stop()
	}
	if failed == 0 || killed == 0 {
		t.Errorf("%d sessions were killed, %d attempts failed", killed, failed)
	}
	v := migration.NewVerifier(w.dbs)
	if _, found := drive(t, v, w.job(t, migration.VerifyKind, migration.VerifySpec{Source: "old", Target: "new"})); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

func TestAPlanMakesSeveralRowsOfOneInMariaDB(t *testing.T) {
	t.Parallel()
	w := shopWorld(t, mariadbtest.New(t))
	total, _ := drive(t, migration.New(w.dbs), w.planned(t, `
stages:
  - name: phones
    from: {table: customer}
    each: [phone1, phone2]
    map: {customer: id, pos: index, number: int(item)}
    to: {table: phones, key: [customer, pos]}
`))
	adds(t, total, 6, 6, 1, 1)
	w.want(t, "SELECT group_concat(number ORDER BY number) FROM phones", "11,12,21,51,52,61")
}
