package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stint-run/stint/tasks"
)

// use is what an attempt takes of one database.
type use struct {
	name     string
	readOnly bool
	conns    int // the most connections that it holds at a time
}

// enter waits until the attempt may open all the connections that it takes at most, and returns how it gives them back. An
// attempt holds a connection of its source while it waits for one of its target, so that attempts which shared too few of
// them could wait for one another for ever: whoever has entered finds all of its own. The databases without a bound have
// enough for everybody.
func (d *Databases) enter(ctx context.Context, uses ...use) (leave func(), err error) {
	slices.SortFunc(uses, func(a, b use) int { return cmp.Compare(a.name, b.name) }) // all in one order: no circle
	if len(uses) == 2 && uses[0].name == uses[1].name && uses[0].readOnly == uses[1].readOnly {
		uses = []use{{uses[0].name, uses[0].readOnly, uses[0].conns + uses[1].conns}}
	}
	var entered []func()
	leave = func() {
		for _, f := range entered {
			f()
		}
	}
	for i, u := range uses {
		g := d.gates[u.name]
		switch {
		case g == nil:
			continue
		case i > 0 && uses[i-1].name == u.name:
			err = tasks.Permanent(tasks.WithHint(nil, "take its pool away from the configuration", "the connection %s has a pool and is to be read and written by one step", u.name))
		case u.conns > g.size:
			err = tasks.Permanent(tasks.WithHint(nil, fmt.Sprintf("set its pool to %d or more in the configuration of every worker", u.conns),
				"a step takes up to %d connections of %s, whose pool is %d", u.conns, u.name, g.size))
		default:
			err = g.enter(ctx, u.readOnly, u.conns, func() error { return d.closeHandle(ctx, u.name, !u.readOnly) })
		}
		if err != nil {
			leave()
			return nil, err
		}
		entered = append(entered, func() { g.leave(u.conns) })
	}
	return leave, nil
}

// gate lets as many attempts at a database as its connections suffice for, in the order in which they came. Reading and
// writing have a handle each, so they take turns: the other handle is closed when the turn changes.
type gate struct {
	size int

	mu       sync.Mutex
	readOnly bool // the turn
	used     int
	waiting  []*waiter

	turning sync.Mutex // held while the other handle is closed
	stale   bool       // the other handle may be open; changes with both mutexes or with used == 0
}

type waiter struct {
	readOnly bool
	conns    int
	granted  chan struct{}
}

func (g *gate) enter(ctx context.Context, readOnly bool, conns int, closeOther func() error) error {
	w := &waiter{readOnly, conns, make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	g.grant()
	g.mu.Unlock()
	select {
	case <-w.granted:
	case <-ctx.Done():
		g.mu.Lock()
		i := slices.Index(g.waiting, w)
		if i >= 0 {
			g.waiting = slices.Delete(g.waiting, i, i+1)
			g.grant() // those behind may fit
		}
		g.mu.Unlock()
		if i < 0 { // granted at the same moment
			g.leave(conns)
		}
		return fmt.Errorf("wait for a connection: %w", context.Cause(ctx))
	}
	if err := g.turn(closeOther); err != nil {
		g.leave(conns)
		return err
	}
	return nil
}

// turn closes the other handle once after each change of turns. Nobody uses it, and who enters waits for its end.
func (g *gate) turn(closeOther func() error) error {
	g.turning.Lock()
	defer g.turning.Unlock()
	if !g.stale {
		return nil
	}
	if err := closeOther(); err != nil {
		return errors.Join(errors.New("close the other handle of the database"), err)
	}
	g.stale = false
	return nil
}

// grant lets in whoever is next and fits. g.mu is held.
func (g *gate) grant() {
	for len(g.waiting) > 0 {
		w := g.waiting[0]
		if g.used > 0 && (w.readOnly != g.readOnly || g.used+w.conns > g.size) {
			return
		}
		if w.readOnly != g.readOnly {
			g.readOnly, g.stale = w.readOnly, true // used is 0: nobody is in turn
		}
		g.used += w.conns
		g.waiting = g.waiting[1:]
		close(w.granted)
	}
}

func (g *gate) leave(conns int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= conns
	g.grant()
}
