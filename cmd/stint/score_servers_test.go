package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// Redis is killed in the middle of a job and comes back later, with its append-only file: everybody waits, and goes on.
func TestScoreRedisIsAway(t *testing.T) {
	t.Parallel()
	away := 3 * time.Second
	if *long {
		away = 20 * time.Second
	}
	src := rig.Legacy(t, size(rows, 60_000, 1_000_000))
	target := pgtest.New(t)
	server := redistest.New(t, redistest.EverySecond())
	r := rig.New(t, server, rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
	r.Ready(r.Worker())
	p := r.Start("migrate", "--from", "legacy", "--to", "cloud", "--chunk-rows", fmt.Sprint(src.Rows/200))
	committed(t, r, target, src.Rows/3)
	server.Kill()
	back := time.NewTimer(away)
	<-back.C
	if !p.Running() {
		t.Fatalf("migrate ended while Redis was away\n%s", p.Log())
	}
	server.Restart()
	came := time.Now()
	if code := p.Wait(5 * time.Minute); code != 0 {
		t.Fatalf("migrate ended with %d\n%s", code, p.Log())
	}
	v := equal(t, src.URL(), target, rig.LegacyTables)
	score(t, "redis killed and away for %v in mid-job: %v; ended %v after it was back", away, v, time.Since(came).Round(time.Millisecond))
}

// PostgreSQL is shut down or killed in the middle of a job and starts again. One that was killed with synchronous_commit=off
// has forgotten the last commits that it had confirmed: that is seen, and the same command mends it.
func TestScorePostgresRestarts(t *testing.T) {
	t.Parallel()
	src := rig.Legacy(t, size(rows, 60_000, 1_000_000))
	for _, how := range []string{"shut down", "killed", "killed and forgetful"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			post, err := pgtest.Start("", pgtest.Options{Fsync: how == "killed"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := post.Stop(); err != nil {
					t.Error(err)
				}
			})
			if err := post.CreateDatabase(t.Context(), "cloud"); err != nil {
				t.Fatal(err)
			}
			target := post.URL("cloud")
			r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
			args := []string{"--from", "legacy", "--to", "cloud", "--chunk-rows", fmt.Sprint(src.Rows / 200)}
			p := r.Start("migrate", args...)
			committed(t, r, target, src.Rows/3)
			if how != "shut down" {
				if err := post.Kill(); err != nil {
					t.Fatal(err)
				}
				away := time.NewTimer(time.Second)
				<-away.C
			}
			if err := post.Restart(); err != nil {
				t.Fatal(err)
			}
			came := time.Now()
			code := p.Wait(5 * time.Minute)
			again := 0
			for ; code == 1 && how == "killed and forgetful" && again < 3; again++ {
				code = r.Start("migrate", args...).Wait(5 * time.Minute)
			}
			if code != 0 {
				t.Fatalf("migrate ended with %d\n%s", code, p.Log())
			}
			v := equal(t, src.URL(), target, rig.LegacyTables)
			score(t, "postgres %s in mid-job: %v; run again %d times; ended %v after it was back", how, v, again, time.Since(came).Round(time.Millisecond))
		})
	}
}

// committed waits until the ledger in the target has that many rows.
func committed(t *testing.T, r *rig.Rig, target string, want int64) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(context.Background())
	r.Until(time.Minute, "rows are committed", func(ctx context.Context) (bool, error) {
		var read int64
		err := db.QueryRow(ctx, "SELECT coalesce(sum(rows_read), 0) FROM stint_ledger").Scan(&read)
		return read >= want, err
	})
}

// Redis is frozen while a worker is told to end: it ends in order before Kubernetes, which waits for 30 s, would kill it. So does one
// that is not ready yet.
func TestAWorkerWhoseRedisIsFrozenEndsBeforeItsPlatformKillsIt(t *testing.T) {
	t.Parallel()
	said := func(text string) func(r *rig.Rig, w *rig.Process) {
		return func(r *rig.Rig, w *rig.Process) {
			r.Until(time.Minute, "it says "+text, func(context.Context) (bool, error) { return strings.Contains(w.Log(), text), nil })
		}
	}
	for name, when := range map[string]struct {
		freeze, end func(r *rig.Rig, w *rig.Process)
	}{
		"while it starts":     {freeze: func(r *rig.Rig, w *rig.Process) { r.Ready(w) }},
		"once it is ready":    {freeze: said("worker is ready")},
		"when it has noticed": {freeze: said("worker is ready"), end: said("redis cannot be reached")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.New(t)
			r := rig.New(t, server)
			w := r.Worker()
			when.freeze(r, w)
			server.Pause()
			defer server.Resume()
			if when.end != nil {
				when.end(r, w)
			}
			if err := w.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := w.Wait(30 * time.Second); code != 0 {
				t.Errorf("it ended with %d (-2: not yet)\n%s", code, w.Log())
			}
		})
	}
}
