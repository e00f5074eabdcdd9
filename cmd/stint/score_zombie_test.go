package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

var zombieSays = regexp.MustCompile(`stale|given up as lost`)

// A worker is frozen in the middle of a chunk, given up as lost, and goes on when others have done its work: it changes
// nothing, and says what happened to it.
func TestScoreZombie(t *testing.T) {
	t.Parallel()
	frozen := 5 * time.Second
	if *long {
		frozen = 15 * time.Second
	}
	for _, within := range []string{"between two batches", "inside of a COPY"} {
		t.Run(within, func(t *testing.T) {
			t.Parallel()
			src := rig.Plain(t, size(rows, 300_000, 3_000_000))
			target := pgtest.New(t)
			r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
			r.Start("scheduler")
			zombie, other := r.Worker(), r.Worker()
			r.Ready(zombie)
			r.Ready(other)
			job := r.Submit("legacy", "cloud", "--chunk-rows", "100000")
			db, err := pgx.Connect(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close(context.Background())

			held := freeze(t, r, db, job, zombie, within == "inside of a COPY")
			stopped := time.Now()
			limit := time.NewTimer(frozen)
			r.Until(time.Minute, "others run the zombie's steps", func(context.Context) (bool, error) {
				v := r.View(job)
				return v != nil && len(heldBy(v, zombie.ID)) == 0 && v.Counters.Read == src.Rows, nil
			})
			v := r.Ended(job, time.Minute)
			done := time.Since(stopped)
			<-limit.C
			var asOf time.Time
			if err := db.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&asOf); err != nil {
				t.Fatal(err)
			}
			if err := zombie.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			r.Until(30*time.Second, "the zombie says that it is one", func(context.Context) (bool, error) {
				return zombieSays.MatchString(zombie.Log()), nil
			})
			// Drained, it has nothing on its way any more.
			if err := zombie.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := zombie.Wait(time.Minute); code != 0 {
				t.Errorf("the zombie ended with %d, want 0\n%s", code, zombie.Log())
			}
			var late int
			if err := db.QueryRow(t.Context(), "SELECT count(*) FROM stint_ledger WHERE committed_at > $1", asOf).Scan(&late); err != nil {
				t.Fatal(err)
			}
			if late > 0 {
				t.Errorf("%d batches were committed after the zombie went on, want none", late)
			}
			verdict := equal(t, src.URL(), target, rig.PlainTables)
			score(t, "zombie frozen %s for %v with %d steps: job %s after %v; %v; %d batches by it afterwards", within, frozen, held, v.State,
				done.Round(time.Millisecond), verdict, late)
		})
	}
}

// freeze stops a worker in the middle of a chunk, and returns how many steps it holds. With inside, a session of its has a
// transaction open that nobody but the worker could end.
func freeze(t *testing.T, r *rig.Rig, db *pgx.Conn, job string, zombie *rig.Process, inside bool) int {
	t.Helper()
	open := func(ctx context.Context) (n int, err error) {
		err = db.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE $1 "+
			"AND (state = 'active' AND query LIKE '%COPY%' OR state = 'idle in transaction')", "stint/"+zombie.ID+"/%").Scan(&n)
		return n, err
	}
	for range 100 {
		r.Until(time.Minute, "the worker is in the middle of a chunk", func(ctx context.Context) (bool, error) {
			if len(heldBy(r.View(job), zombie.ID)) == 0 {
				return false, nil
			}
			if !inside {
				return true, nil
			}
			n, err := open(ctx)
			return n > 0, err
		})
		if err := zombie.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if !inside {
			return len(heldBy(r.View(job), zombie.ID))
		}
		// What the server can end by itself it has ended soon; what is still open then waits for the worker.
		settled := time.NewTimer(500 * time.Millisecond)
		<-settled.C
		if n, err := open(t.Context()); err != nil {
			t.Fatal(err)
		} else if n > 0 {
			return len(heldBy(r.View(job), zombie.ID))
		}
		if err := zombie.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the worker was never caught inside of a COPY")
	return 0
}

// What the queue holds is lost in the middle of a job; then all of Redis. The job ends right, and nothing that the ledger
// has is read again.
func TestScoreLossOfRedis(t *testing.T) {
	t.Parallel()
	src := rig.Legacy(t, size(rows, 60_000, 1_000_000))
	for _, lost := range []string{"asynq:*", "*"} {
		t.Run("keys "+strings.TrimSuffix(lost, ":*"), func(t *testing.T) {
			t.Parallel()
			target := pgtest.New(t)
			server := redistest.New(t)
			r := rig.New(t, server, rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
			p := r.Start("migrate", "--from", "legacy", "--to", "cloud", "--chunk-rows", fmt.Sprint(src.Rows/100), "--batch-rows", fmt.Sprint(src.Rows/400))
			db, err := pgx.Connect(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close(context.Background())
			r.Until(time.Minute, "a third is done", func(ctx context.Context) (bool, error) {
				var read int64
				err := db.QueryRow(ctx, "SELECT coalesce(sum(rows_read), 0) FROM stint_ledger").Scan(&read)
				return read > src.Rows/3, err
			})
			n := remove(t, server, lost)
			before := ledger(t, db)
			if code := p.Wait(3 * time.Minute); code != 0 {
				t.Fatalf("migrate ended with %d\n%s", code, p.Log())
			}
			after := ledger(t, db)
			for row := range before {
				if !after[row] {
					t.Errorf("a batch of the ledger was loaded again: %s", row)
				}
			}
			v := equal(t, src.URL(), target, rig.LegacyTables)
			score(t, "loss of %d keys of Redis (%s) in mid-job: %v; %d batches before, %d after, none of them anew", n, lost, v, len(before), len(after))
		})
	}
}

// remove deletes the keys of a pattern at once, as FLUSHALL does.
func remove(t *testing.T, server *redistest.Server, pattern string) int {
	t.Helper()
	n, err := server.Client().Eval(t.Context(), "local k = redis.call('KEYS', ARGV[1]) for _, x in ipairs(k) do redis.call('DEL', x) end return #k", nil, pattern).Int()
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatalf("there was no key %s to lose", pattern)
	}
	return n
}

// ledger reads who committed which batch, and when.
func ledger(t *testing.T, db *pgx.Conn) map[string]bool {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT concat_ws(' ', stage, step, from_key, to_key, attempt, committed_at) FROM stint_ledger")
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for _, row := range list {
		set[row] = true
	}
	return set
}
