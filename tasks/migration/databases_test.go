package migration_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// blackHole is the URL of a server that takes connections and never says a word, and counts them.
func blackHole(t *testing.T) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int64
	go func() {
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				for _, c := range held {
					c.Close()
				}
				return
			}
			taken.Add(1)
			held = append(held, c)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return "postgres://me@" + l.Addr().String() + "/x?sslmode=disable", &taken
}

func TestADatabaseThatDoesNotAnswerHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	hole, taken := blackHole(t)
	path := "sqlite:" + filepath.Join(t.TempDir(), "new.db")
	dbs := migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"hole": hole, "new": path}[name])
	}, 3)
	started := time.Now()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("the lease is lost")
	for range 5 {
		wg.Go(func() {
			if _, err := migration.Target(dbs, ctx, "hole"); !errors.Is(err, lost) {
				t.Errorf("want the cause of the context, got %v", err)
			}
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for taken.Load() == 0 {
		<-tick.C
	}
	if _, err := migration.Target(dbs, t.Context(), "new"); err != nil {
		t.Error(err)
	}
	cancel(lost)
	wg.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("%d connections for five who wait", n)
	}
	if err := dbs.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if _, err := migration.Target(dbs, t.Context(), "hole"); err == nil {
		t.Error("a database was opened after the end")
	}
}

func TestADatabaseThatCouldNotBeOpenedIsTriedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "legacy.db")
	dbs := migration.NewDatabases(func(string) (sqldb.Location, error) { return sqldb.ParseURL("sqlite:" + path) }, 1)
	t.Cleanup(func() { dbs.Close() })
	if _, err := migration.Source(dbs, t.Context(), "old"); err == nil {
		t.Fatal("a file that is not there was opened")
	}
	run(t, path, "CREATE TABLE t (a)")
	first, err := migration.Source(dbs, t.Context(), "old")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := migration.Source(dbs, t.Context(), "old"); err != nil || again != first {
		t.Errorf("opened twice: %v", err)
	}
}

func TestNoStatementWaitsForALockForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t))
	w.from = w.to
	for name, open := range map[string]func(*migration.Databases, context.Context, string) (*sqldb.DB, error){"old": migration.Source, "new": migration.Target} {
		db, err := open(w.dbs, t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		var timeout string
		if err := db.Pool.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&timeout); err != nil || timeout != "10s" {
			t.Errorf("%s: lock_timeout is %s, %v", name, timeout, err)
		}
	}
}

func TestAConnectionThatNobodyKnowsIsTheCallersToMend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	for _, names := range [][2]string{{"odl", "new"}, {"old", "nwe"}} {
		for _, p := range []*plan.Plan{nil, planOf(t, shopPlan)} {
			_, err := migration.New(w.dbs).Draft(t.Context(), w.job(t, migration.Kind, migration.Spec{Source: names[0], Target: names[1], Plan: p}))
			if !tasks.IsPermanent(err) {
				t.Errorf("from %s to %s, by a plan %v: %v", names[0], names[1], p != nil, err)
			}
		}
	}
}
