package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// Three workers, one scheduler. Five workers are killed and two drained and replaced, each at a random moment: nothing is
// lost, and nothing comes twice.
func TestScoreKillsAndDrainsOfWorkers(t *testing.T) {
	t.Parallel()
	n := size(rows, 60_000, 1_000_000)
	src := rig.Legacy(t, n)
	random := moments(t)
	count := size(runs, 1, 20)
	good := 0
	for i := range count {
		t.Run(fmt.Sprintf("run %d", i+1), func(t *testing.T) {
			start := time.Now()
			target := pgtest.New(t)
			r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
			lost := disturbed(t, r, src, random, n)
			v := equal(t, src.URL(), target, rig.LegacyTables)
			t.Logf("run %d: %v; %d steps were lost with their workers; %v", i+1, v, lost, time.Since(start).Round(time.Millisecond))
			if v.Equal() && !t.Failed() {
				good++
			}
		})
	}
	score(t, "kills and drains: %d of %d runs equal, of %d rows, each with 5 SIGKILLs and 2 drains", good, count, src.Rows)
}

// disturbed plays one migration and returns how many steps were lost with killed workers.
func disturbed(t *testing.T, r *rig.Rig, src rig.Source, random *rand.Rand, n int) (lost int) {
	r.Start("scheduler")
	crew := []*rig.Process{r.Worker(), r.Worker(), r.Worker()}
	for _, w := range crew {
		r.Ready(w)
	}
	chunk := max(n/300, 100)
	job := r.Submit("legacy", "cloud", "--chunk-rows", strconv.Itoa(chunk), "--batch-rows", strconv.Itoa(max(chunk/4, 1)),
		"--window", "12") // enough for each of the three to be in the middle of two steps
	kinds := []string{"kill", "kill", "kill", "kill", "kill", "drain", "drain"}
	random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	at := make([]int64, len(kinds)) // each at a share of the rows, so that it hits on any machine
	for i := range at {
		at[i] = src.Rows * int64(2+random.IntN(90)) / 100
	}
	slices.Sort(at)
	for i, kind := range kinds {
		r.Until(3*time.Minute, "the job goes on", func(ctx context.Context) (bool, error) { return r.Read(job) >= at[i], nil })
		victim := random.IntN(len(crew))
		old := crew[victim]
		if kind == "kill" {
			old.Kill()
		} else {
			if code := r.Start("workers", "drain", old.ID, "--wait", "--timeout", "1m").Wait(2 * time.Minute); code != 0 {
				t.Errorf("workers drain --wait ended with %d, want 0", code)
			}
			if old.Signal(syscall.SIGTERM) != nil {
				t.Fatal("cannot signal a worker")
			}
			if code := old.Wait(time.Minute); code != 0 {
				t.Errorf("a drained worker ended with %d, want 0", code)
			}
		}
		crew[victim] = r.Worker()
		r.Ready(crew[victim])
	}
	r.Ended(job, 10*time.Minute)
	events, err := r.Store.Events(t.Context(), job, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == "lost" {
			lost++
		}
	}
	return lost
}

// The one process that does everything is killed at random moments, and the same command is run again until it ends.
func TestScoreKillsOfTheEmbeddedProcess(t *testing.T) {
	t.Parallel()
	n := size(rows, 60_000, 1_000_000)
	src := rig.Legacy(t, n)
	count := size(runs, 1, 20)
	for _, mode := range []struct{ name, path string }{{"redis-server", ""}, {"in-process", "PATH=/nowhere"}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			random := moments(t)
			good, kills := 0, 0
			for i := range count {
				t.Run(fmt.Sprintf("run %d", i+1), func(t *testing.T) {
					start := time.Now()
					target := pgtest.New(t)
					var env []string
					if mode.path != "" {
						env = []string{mode.path}
					}
					k := killed(t, src, target, env, random, n)
					v := equal(t, src.URL(), target, rig.LegacyTables)
					t.Logf("run %d: %v; %d kills; %v", i+1, v, k, time.Since(start).Round(time.Millisecond))
					if kills += k; v.Equal() && !t.Failed() {
						good++
					}
				})
			}
			score(t, "kills of the embedded process, queue %s: %d of %d runs equal, of %d rows, %d kills in all", mode.name, good, count, src.Rows, kills)
		})
	}
}

// killed plays one migration by one process and returns how often it was killed.
func killed(t *testing.T, src rig.Source, target string, env []string, random *rand.Rand, n int) (kills int) {
	r := rig.New(t, nil)
	db, err := rig.Look(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	args := []string{"--from", src.URL(), "--to", target, "--chunk-rows", strconv.Itoa(max(n/100, 100)), "--batch-rows", strconv.Itoa(max(n/400, 50))}
	done := int64(0)
	for kills < 6 {
		p := r.StartEnv(env, "migrate", args...)
		// Once within the start, else at some share of the rows.
		next := done + src.Rows*int64(random.IntN(25))/100
		if kills == 1 {
			next = -1
		}
		moment := time.NewTimer(time.Duration(random.IntN(300)) * time.Millisecond)
		err := rig.Poll(3*time.Minute, 5*time.Millisecond, func(ctx context.Context) (bool, error) {
			select {
			case <-p.Exited():
				return true, nil
			default:
			}
			if next < 0 {
				select {
				case <-moment.C:
					return true, nil
				default:
					return false, nil
				}
			}
			read, err := db.Number(ctx, "SELECT coalesce(sum(rows_read), 0) FROM stint_ledger")
			done = read
			return err == nil && read >= next && read > 0, nil
		})
		if err != nil {
			t.Fatalf("the migration does not go on: %v\n%s", err, p.Log())
		}
		if !p.Running() {
			break
		}
		p.Kill()
		kills++
	}
	p := r.StartEnv(env, "migrate", args...)
	if code := p.Wait(10 * time.Minute); code != 0 {
		t.Fatalf("the last run ended with %d\n%s", code, p.Log())
	}
	return kills
}
