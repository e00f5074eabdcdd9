package source

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Options are what sources need of their process. The functions may be called at the same time.
type Options struct {
	// Locate says where a connection's name leads.
	Locate func(connection string) (sqldb.Location, error)
	// Database opens a database for reading; the same connection gives the same handle, which the process closes.
	Database func(ctx context.Context, connection string) (*sqldb.DB, error)
	// Prometheus says how the Prometheus behind a connection is reached.
	Prometheus func(connection string) (promsource.Connection, error)
	// Search opens what a connection to Elasticsearch, OpenSearch or an API that answers as they do leads to. Where what it returns has
	// a Close, Sources calls it.
	Search func(ctx context.Context, connection string) (Source, error)
}

// Sources are the sources of a process, by connection. They are opened when they are first asked for. Close them.
type Sources struct {
	o Options

	mu     sync.Mutex
	open   map[string]*opened
	closed bool
}

// opened is a source, or one that is being opened.
type opened struct {
	done   chan struct{} // closed when the rest is there
	source Source
	end    func() error
	err    error
}

// NewSources makes the sources of a process, none of them open.
func NewSources(o Options) *Sources { return &Sources{o: o, open: map[string]*opened{}} }

// errClosed is the error of sources that have been closed.
var errClosed = errors.New("the sources are closed")

// openTimeout bounds an opening, whoever waits for it.
const openTimeout = time.Minute

// Open returns the source that a connection leads to; the same connection gives the same source, which stays Sources'. Opening it once
// is enough for all who ask at the same time, and an opening that failed is tried again by the next one. Its errors have hints; one of
// a server that is away for a while is a tasks.RetryAfter.
func (s *Sources) Open(ctx context.Context, connection string) (Source, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	o := s.open[connection]
	if o == nil {
		o = &opened{done: make(chan struct{})}
		s.open[connection] = o
		// It goes on when its first caller gives up: the others wait for it too.
		go s.finish(context.WithoutCancel(ctx), connection, o)
	}
	s.mu.Unlock()
	select {
	case <-o.done:
		return o.source, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// finish opens a source.
func (s *Sources) finish(ctx context.Context, connection string, o *opened) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	o.source, o.end, o.err = s.make(ctx, connection)
	if o.err != nil {
		s.mu.Lock()
		delete(s.open, connection)
		s.mu.Unlock()
	}
	close(o.done)
}

// make chooses by what is at the place of a connection.
func (s *Sources) make(ctx context.Context, connection string) (src Source, end func() error, err error) {
	none := func() error { return nil }
	at, err := s.o.Locate(connection)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case isSQL(at.Dialect):
		db, err := s.o.Database(ctx, connection)
		if err != nil {
			return nil, nil, err
		}
		return NewSQL(db), none, nil
	case at.Dialect == sqldb.Metrics:
		c, err := s.o.Prometheus(connection)
		if err != nil {
			return nil, nil, err
		}
		client, err := promsource.New(c)
		if err != nil {
			return nil, nil, err
		}
		return NewPrometheus(client), client.Close, nil
	case at.Dialect == sqldb.Files, at.Dialect == sqldb.Redis, s.o.Search == nil:
		return nil, nil, tasks.Permanent(tasks.WithHint(nil, "name a connection to Elasticsearch, OpenSearch, Prometheus or an SQL database with source:",
			"the connection %s (%s) is no source of events", connection, at.Redacted()))
	}
	src, err = s.o.Search(ctx, connection)
	if err != nil {
		return nil, nil, err
	}
	if c, ok := src.(io.Closer); ok {
		return src, c.Close, nil
	}
	return src, none, nil
}

// isSQL reports whether a dialect is one of SQL.
func isSQL(d sqldb.Dialect) bool {
	switch d {
	case sqldb.SQLite, sqldb.Postgres, sqldb.MySQL, sqldb.Firebird, sqldb.SQLServer:
		return true
	}
	return false
}

// Close closes what Open has opened, and waits for what is being opened. Databases stay open: they are the process's.
func (s *Sources) Close() error {
	s.mu.Lock()
	s.closed = true
	all := make([]*opened, 0, len(s.open))
	for _, o := range s.open {
		all = append(all, o)
	}
	clear(s.open)
	s.mu.Unlock()
	var errs []error
	for _, o := range all {
		<-o.done
		if o.end != nil {
			errs = append(errs, o.end())
		}
	}
	return errors.Join(errs...)
}
