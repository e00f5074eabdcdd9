package migration_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// The value is held by the driver that reads it, as a row, and as a part of a batch; measured are two to four and a half times its size.
const largeBound = 600_000_000

// It is not parallel, so that it has the memory of the process to itself.
func TestAValueOf100MBPassesInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves 100 MB twice")
	}
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		t.Skip("what a process holds is read from /proc")
	}
	path := filepath.Join(t.TempDir(), "large.db")
	run(t, path, "CREATE TABLE large (id INTEGER PRIMARY KEY, b BLOB)", "INSERT INTO large VALUES (1, x'01'), (2, randomblob(100000000)), (3, x'03')")
	postgres, back := pgtest.New(t), "sqlite:"+filepath.Join(t.TempDir(), "back.db")
	for _, way := range [][2]string{{"sqlite:" + path, postgres}, {postgres, back}} {
		w := newWorld(t, way[1])
		w.from = way[0]
		var total tasks.Counters
		job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"})
		grew(t, "load", func() { total, _ = drive(t, migration.New(w.dbs), job) })
		if total.Written != 3 || total.Quarantined != 0 {
			t.Errorf("counted %+v", total)
		}
		grew(t, "verification", func() {
			if d := w.differences(t, job.ID); len(d) > 0 {
				t.Errorf("%d differences, the first: %+v", len(d), d[0])
			}
		})
	}
	w := &world{to: back}
	if got := w.answer(t, "SELECT length(b) FROM large ORDER BY id"); got != "1\n100000000\n1" {
		t.Errorf("the lengths are %s", got)
	}
}

// grew bounds by how much the process grows while something is done.
func grew(t *testing.T, what string, do func()) {
	t.Helper()
	debug.FreeOSMemory()
	before, most := resident(t), 0
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				most = max(most, resident(t))
			}
		}
	}()
	do()
	stop()
	<-ended
	t.Logf("%s: the process grew by %d MB", what, (most-before)/1_000_000)
	if most-before > largeBound {
		t.Errorf("%s: the process grew by %d bytes, more than %d", what, most-before, largeBound)
	}
}

// resident returns how many bytes of memory the process holds.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return 0
	}
	fields := bytes.Fields(text)
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		t.Error(err)
	}
	return pages * os.Getpagesize()
}
