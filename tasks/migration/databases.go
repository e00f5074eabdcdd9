package migration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Locate says where a connection's name leads, by the configuration of this process.
type Locate func(name string) (sqldb.Location, error)

// Databases keeps the databases of a process open, one handle for each name and use. Close it last.
type Databases struct {
	locate Locate
	files  Files
	api    API
	shelf  shelf
	limit  Limit
	conns  int
	bounds map[string]Bounds
	gates  map[string]*gate // of the names with Bounds.Conns
	life   context.Context  // ends with Close
	end    context.CancelFunc

	mu    sync.Mutex // is not held while a database is opened: one that does not answer must not hold up the others
	open  map[string]*opening
	idsOf map[string]*openingMaps
}

// opening is a database that is open or being opened.
type opening struct {
	done chan struct{} // closes when db or err is there
	db   *sqldb.DB
	err  error
}

// lockTimeout is how long a statement waits for a lock of somebody else before its step gives way and comes back later. A Loader
// has a shorter one of its own.
const lockTimeout = 10 * time.Second

// Files opens a folder of files as a source of tables.
type Files func(at sqldb.Location) (sqldb.Tabular, error)

// Besides says how what is no SQL database is reached, before anybody uses it: folders of files, and APIs.
func (d *Databases) Besides(files Files, api API) { d.files, d.api = files, api }

// NewDatabases makes an empty set for so many attempts at once; each may need two connections of a database. A name that locate does not
// know is nothing that a retry helps with.
func NewDatabases(locate Locate, attempts int) *Databases {
	known := func(name string) (sqldb.Location, error) {
		at, err := locate(name)
		return at, tasks.Permanent(err)
	}
	d := &Databases{locate: known, conns: 2*max(attempts, 1) + 2, open: map[string]*opening{}, bounds: map[string]Bounds{}, gates: map[string]*gate{}, idsOf: map[string]*openingMaps{}}
	d.life, d.end = context.WithCancel(context.Background())
	return d
}

// Bounds are what a connection's configuration says about how it is opened. The zero value leaves everything as it is.
type Bounds struct {
	// Conns is the most connections to the database at a time; 0 means as many as the attempts need.
	Conns int
	// ConnectTimeout is how long one may take to open; 0 means the URL's or the driver's.
	ConnectTimeout time.Duration
}

// Bound sets the bounds of a connection, before anybody uses it.
func (d *Databases) Bound(name string, b Bounds) {
	d.bounds[name] = b
	if b.Conns > 0 {
		d.gates[name] = &gate{size: b.Conns}
	}
}

// source opens a database for reading.
func (d *Databases) source(ctx context.Context, name string) (*sqldb.DB, error) {
	return d.get(ctx, name, true)
}

// target opens a database for writing.
func (d *Databases) target(ctx context.Context, name string) (*sqldb.DB, error) {
	return d.get(ctx, name, false)
}

// get returns a database that is open, or waits until it is, or until ctx ends. It is opened once for all who wait.
func (d *Databases) get(ctx context.Context, name string, readOnly bool) (*sqldb.DB, error) {
	key := handleKey(name, readOnly)
	d.mu.Lock()
	o := d.open[key]
	if o == nil {
		o = &opening{done: make(chan struct{})}
		d.open[key] = o
		go func() {
			defer close(o.done)
			if o.db, o.err = d.connect(name, readOnly); o.err != nil {
				d.mu.Lock()
				delete(d.open, key) // the next one tries again
				d.mu.Unlock()
			}
		}()
	}
	d.mu.Unlock()
	select {
	case <-o.done:
		return o.db, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the database %s: %w", name, context.Cause(ctx))
	}
}

func (d *Databases) connect(name string, readOnly bool) (*sqldb.DB, error) {
	at, err := d.locate(name)
	if err != nil {
		return nil, err
	}
	o := sqldb.Options{ReadOnly: readOnly, MaxConns: d.conns, LockTimeout: lockTimeout, ConnectTimeout: d.bounds[name].ConnectTimeout}
	if most := d.bounds[name].Conns; most > 0 {
		o.MaxConns = min(o.MaxConns, most)
	}
	if at.Dialect == sqldb.Files {
		if !readOnly || d.files == nil {
			return nil, tasks.Permanent(tasks.WithHint(nil, "choose another target", "the connection %s is a folder of files, which can only be read", name))
		}
		files, err := d.files(at)
		if err != nil {
			return nil, err
		}
		return sqldb.OpenTabular(at, files), nil
	}
	if at.Dialect == sqldb.Redis {
		return nil, tasks.Permanent(tasks.WithHint(nil, "name it with ids: in a plan", "the connection %s is a Redis, which keeps the ids of a plan and nothing else", name))
	}
	if at.Dialect == sqldb.Metrics || at.Dialect == sqldb.Search {
		return nil, tasks.Permanent(tasks.WithHint(nil, "name it with source: in an alert rule", "the connection %s is for alert rules, and has no tables", name))
	}
	db, err := sqldb.Open(d.life, at, o)
	if err != nil || readOnly {
		return db, err
	}
	if err := sqldb.UpdateLedger(d.life, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func handleKey(name string, readOnly bool) string { return fmt.Sprintf("%v:%s", readOnly, name) }

// closeHandle closes a handle that nobody uses, if it is open. One that is still being opened is waited for, until ctx ends.
func (d *Databases) closeHandle(ctx context.Context, name string, readOnly bool) error {
	key := handleKey(name, readOnly)
	d.mu.Lock()
	o := d.open[key]
	d.mu.Unlock()
	if o == nil {
		return nil
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.mu.Lock()
	if d.open[key] == o {
		delete(d.open, key)
	}
	d.mu.Unlock()
	if o.db == nil {
		return nil
	}
	return o.db.Close()
}

// Close closes every database.
func (d *Databases) Close() error {
	d.end()
	d.mu.Lock()
	all, redis := slices.Collect(maps.Values(d.open)), slices.Collect(maps.Values(d.idsOf))
	d.mu.Unlock()
	var errs []error
	for _, o := range redis {
		if <-o.done; o.maps != nil {
			errs = append(errs, o.maps.Close())
		}
	}
	for _, o := range all {
		if <-o.done; o.db != nil {
			errs = append(errs, o.db.Close())
		}
	}
	return errors.Join(append(errs, d.shelf.close())...)
}
