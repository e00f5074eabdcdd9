package migration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// bounded is a set of databases of which "a" and "b" have a pool of so many.
func bounded(t *testing.T, pool int) *Databases {
	t.Helper()
	d := NewDatabases(func(string) (sqldb.Location, error) { return sqldb.Location{}, errors.New("nobody opens it") }, 4)
	d.Bound("a", Bounds{Conns: pool})
	d.Bound("b", Bounds{Conns: pool})
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// entering begins to enter, and returns where the end of it arrives.
func entering(ctx context.Context, d *Databases, uses ...use) <-chan func() {
	in := make(chan func(), 1)
	go func() {
		if leave, err := d.enter(ctx, uses...); err == nil {
			in <- leave
		} else {
			close(in)
		}
	}()
	return in
}

// queued waits until so many wait at a gate.
func queued(t *testing.T, g *gate, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		g.mu.Lock()
		waiting := len(g.waiting)
		g.mu.Unlock()
		if waiting == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", waiting, n)
		}
	}
}

func TestReadingAndWritingTakeTurnsInTheOrderInWhichTheyCame(t *testing.T) {
	t.Parallel()
	d := bounded(t, 2)
	first := <-entering(t.Context(), d, use{"a", true, 1})
	writer := entering(t.Context(), d, use{"a", false, 1})
	queued(t, d.gates["a"], 1)
	reader := entering(t.Context(), d, use{"a", true, 1}) // there is room, but not before its turn
	queued(t, d.gates["a"], 2)
	first()
	leave := <-writer
	queued(t, d.gates["a"], 1)
	leave()
	(<-reader)()
}

func TestWhoGivesUpWaitingLetsThoseBehindIn(t *testing.T) {
	t.Parallel()
	d := bounded(t, 3)
	first := <-entering(t.Context(), d, use{"a", true, 2})
	ctx, cancel := context.WithCancel(t.Context())
	large := entering(ctx, d, use{"b", true, 1}, use{"a", true, 2})
	queued(t, d.gates["a"], 1)
	small := entering(t.Context(), d, use{"a", true, 1})
	queued(t, d.gates["a"], 2)
	cancel()
	if leave, ok := <-large; ok {
		leave()
		t.Error("it entered")
	}
	(<-small)()
	first()
	(<-entering(t.Context(), d, use{"b", true, 3}))() // it took nothing of b with it
}

func TestAPoolThatIsTooSmallForAStepIsAnErrorAndNotAWaitForEver(t *testing.T) {
	t.Parallel()
	d := bounded(t, 1)
	for want, uses := range map[string][]use{
		"a step takes up to 2 connections of b, whose pool is 1": {{"a", true, 1}, {"b", true, 2}},
		"a step takes up to 2 connections of a, whose pool is 1": {{"a", true, 1}, {"a", true, 1}},
		"to be read and written by one step":                     {{"a", true, 1}, {"a", false, 1}},
	} {
		_, err := d.enter(t.Context(), uses...)
		if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
			t.Errorf("%v: %v", uses, err)
		}
		(<-entering(t.Context(), d, use{"a", true, 1}, use{"b", true, 1}))() // nothing is held
	}
}
