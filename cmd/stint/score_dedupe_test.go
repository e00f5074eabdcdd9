package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// A process that deletes is killed at random moments, and the same command is run again until it ends: its file says what is gone, all
// of that and nothing else is, and undo brings back each row as it was.
func TestScoreKillsOfADeletion(t *testing.T) {
	t.Parallel()
	store := pgtest.New(t)
	at, err := sqldb.ParseURL(store)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), at, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = datasetstest.Generate(t.Context(), db, datasetstest.Spec{Seed: 9, Customers: size(rows, 20, 400), Rows: size(rows, 10_000, 1_000_000)})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before := textsOf(t, store)
	r := rig.New(t, nil)
	dir := t.TempDir()
	analysis, deletions := filepath.Join(dir, "analysis.jsonl"), filepath.Join(dir, "deletions.jsonl")
	env := []string{"STINT_DEDUPE_APPLY_BUSY=1", "STINT_DEDUPE_APPLY_BATCH=" + strconv.Itoa(size(rows, 100, 500))}
	run := func(command string, args ...string) *rig.Process {
		return r.StartEnv(env, "dedupe", append([]string{command}, args...)...)
	}
	if p := run("analyze", "-c", store, "-a", analysis, "--max-share", "1", "--max-share-customer", "1"); p.Wait(10*time.Minute) != 0 {
		t.Fatalf("the analysis failed\n%s", p.Log())
	}
	apply := []string{analysis, "-c", store, "-d", deletions, "--limit-deletions", "100000"}
	kills := killedAtRandom(t, moments(t), size(runs, 2, 50), func() *rig.Process { return run("apply", apply...) }, store)

	told, archived := whatWent(t, deletions)
	after := textsOf(t, store)
	var rows int64
	for _, d := range told {
		if d.Outcome != record.Deleted {
			t.Errorf("%s/%s: %s, %s", d.Customer, d.Database, d.Outcome, d.Why)
		}
		rows += d.Tables["data_set"] + d.Tables["entity_row"]
	}
	if lost := int64(len(before) - len(after)); lost != rows || rows == 0 {
		t.Errorf("%d rows are said to be gone, and %d are", rows, lost)
	}
	if p := run("undo", deletions, "-c", store); p.Wait(10*time.Minute) != 0 {
		t.Fatalf("undo failed\n%s", p.Log())
	}
	back := textsOf(t, store)
	if !slices.Equal(back, before) {
		t.Error("after undo the rows are others than before")
	}
	score(t, "kills of a deletion: %d kills, %d data sets of %d rows gone in %d parts, the file says the same; after undo equal: %v", kills, len(told), rows, archived, slices.Equal(back, before))
}

// killedAtRandom starts a process again and again, kills it each time when some more parts of the archive have been committed, or at a
// random moment of its start, and lets the last one end.
func killedAtRandom(t *testing.T, random *rand.Rand, most int, start func() *rig.Process, store string) (kills int) {
	t.Helper()
	db, err := rig.Look(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	parts := func(ctx context.Context) int64 {
		n, err := db.Number(ctx, "SELECT count(*) FROM stint_deletion_parts")
		if err != nil {
			return 0 // the table is not there yet
		}
		return n
	}
	for kills < most {
		p := start()
		next := parts(t.Context()) + int64(random.IntN(8))
		moment := time.NewTimer(time.Duration(random.IntN(400)) * time.Millisecond)
		early := kills%5 == 4 // within the start
		err := rig.Poll(3*time.Minute, 3*time.Millisecond, func(ctx context.Context) (bool, error) {
			select {
			case <-p.Exited():
				return true, nil
			case <-moment.C:
				return early, nil
			default:
			}
			return !early && parts(ctx) > next, nil
		})
		if err != nil {
			t.Fatalf("the deletion does not go on: %v\n%s", err, p.Log())
		}
		if !p.Running() {
			break
		}
		p.Kill()
		kills++
	}
	if p := start(); p.Wait(10*time.Minute) != 0 {
		t.Fatalf("the last run failed\n%s", p.Log())
	}
	return kills
}

// whatWent reads a deletions file to its end, and counts the parts of its archives.
func whatWent(t *testing.T, file string) (told []record.Deletion, parts int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := record.NewDeletionReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return told, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if line.Set != nil {
			told = append(told, *line.Set)
			parts += line.Set.Archive.Parts
		}
	}
}

// textsOf reads all rows of a generated store, in the order of their texts.
func textsOf(t *testing.T, store string) []string {
	t.Helper()
	db, err := rig.Look(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out []string
	for _, table := range []string{"data_set", "entity_row"} {
		err := db.Texts(t.Context(), "SELECT '"+table+" ' || t::text FROM "+table+" t", func(s string) {
			out = append(out, string(artifact.DigestOf([]byte(s)))) // short, whatever the row
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}
