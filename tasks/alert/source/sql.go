package source

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// NewSQL makes a source of a database that is open for reading; it stays the caller's. The events of a rule are the rows of a table
// (Query.Index) or of a SELECT (Query.Text), the columns their fields, and the column Query.Field their time.
//
// The window is asked for in the database: as a timestamp where the column is one, taken for UTC where it has no zone; as seconds or
// milliseconds since 1970 where the rule's timestamp_type says so; a column of text is read as ISO 8601, where the database narrows
// the window to days, and the rest is done here. Rows whose time is NULL are in no window. Filters and metrics are looked at here.
//
// A row's id is what Query.IDField has, or else a hash of the row: a row that is changed is another event then. Each query runs in
// a transaction that may only read, where the database has such, and ends after two minutes at most.
func NewSQL(db *sqldb.DB) Source {
	return &scanned{&sqlFeed{db: db, shapes: map[string]*shape{}}}
}

// maxShapes is how many queries' columns are remembered.
const maxShapes = 1000

// sqlFeed reads rows.
type sqlFeed struct {
	db *sqldb.DB

	mu     sync.Mutex
	shapes map[string]*shape // by what is asked
}

// shape is what has to be known of the columns of a table or query before its window can be asked for.
type shape struct {
	from  string // what goes behind FROM
	time  string // the database's names
	id    string // "" without one
	clock sqlClock
}

// each implements feed.
func (s *sqlFeed) each(ctx context.Context, q Query, event func(Hit) error) error {
	sh, err := s.shapeOf(ctx, q)
	if err != nil {
		return err
	}
	var args []any
	statement := "SELECT * FROM " + sh.from + " WHERE " + sh.window(s.db.Dialect, q, &args)
	if sh.clock.exact {
		statement += " ORDER BY " + s.column(sh.time)
	}
	var given error // of who is given the events
	order := &inTime{sorted: sh.clock.exact, event: func(h Hit) error {
		given = event(h)
		return given
	}}
	err = readRows(ctx, s.db, statement, args, func(columns []sqlColumn, values []any) error {
		hit, err := sh.event(columns, values, q)
		if err != nil || hit == nil || !sh.clock.exact && !inWindow(hit.At, q) {
			return err
		}
		return order.add(*hit)
	})
	if err == nil {
		err = order.end()
	}
	if given != nil {
		return given
	}
	if err != nil {
		s.forget(q)
		return fmt.Errorf("read events of %s: %w", s.db.Location, err)
	}
	return nil
}

// count implements feed: the database counts where it knows the window exactly.
func (s *sqlFeed) count(ctx context.Context, q Query) (n int64, ok bool, err error) {
	sh, err := s.shapeOf(ctx, q)
	if err != nil || !sh.clock.exact {
		return 0, false, err
	}
	var args []any
	err = readRows(ctx, s.db, "SELECT COUNT(*) FROM "+sh.from+" WHERE "+sh.window(s.db.Dialect, q, &args), args, func(_ []sqlColumn, values []any) error {
		n, err = wholeNumber(values[0])
		return err
	})
	if err != nil {
		s.forget(q)
		return 0, false, fmt.Errorf("count events of %s: %w", s.db.Location, err)
	}
	return n, true, nil
}

func inWindow(at time.Time, q Query) bool { return at.After(q.Start) && !at.After(q.End) }

// column names a column of what is read.
func (s *sqlFeed) column(name string) string { return "stint_q." + s.db.Dialect.Quote(name) }

func shapeKey(q Query) string {
	return strings.Join([]string{q.Index, q.Text, q.Field, q.Type, q.IDField}, "\x00")
}

// forget drops what is known of a query that failed: its table may have another shape now.
func (s *sqlFeed) forget(q Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shapes, shapeKey(q))
}

// shapeOf finds out about the columns of a query, once.
func (s *sqlFeed) shapeOf(ctx context.Context, q Query) (*shape, error) {
	s.mu.Lock()
	sh := s.shapes[shapeKey(q)]
	s.mu.Unlock()
	if sh != nil {
		return sh, nil
	}
	from, columns, err := s.describe(ctx, q)
	if err != nil {
		return nil, err
	}
	sh = &shape{from: from}
	if err := sh.find(s.db.Dialect, columns, q); err != nil {
		return nil, tasks.Permanent(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shapes) >= maxShapes {
		clear(s.shapes)
	}
	s.shapes[shapeKey(q)] = sh
	return sh, nil
}

// notUnderstood marks an error of a query that was asked for no rows as permanent, unless it is known for one that passes.
func notUnderstood(ctx context.Context, err error) error {
	if _, again := tasks.RetryAfterOf(err); again || ctx.Err() != nil || tasks.HintOf(err) != "" {
		return err // it has been recognised: a lock, a disk that is full, a table that is not there
	}
	return tasks.Permanent(tasks.WithHint(err, "try the rule's query in the database's own shell; a query must be able to stand in FROM (...), "+
		"with a name for each column", "the database does not take the query"))
}

// describe returns what is read, as it stands behind FROM, and its columns.
func (s *sqlFeed) describe(ctx context.Context, q Query) (string, []sqlColumn, error) {
	text := strings.TrimRight(strings.TrimSpace(q.Text), "; \t\r\n")
	var ways []string
	switch {
	case text != "":
		ways = []string{"(\n" + text + "\n)"} // on lines of its own: its last one may be a comment
	case q.Index == "":
		return "", nil, tasks.Permanent(tasks.WithHint(nil, "name a table with index:, or write a SELECT with query:", "the rule does not say where its events are"))
	default:
		schema, table := "", q.Index
		if before, after, ok := strings.Cut(q.Index, "."); ok {
			schema, table = before, after
		}
		ways = []string{s.db.Dialect.QuoteTable(schema, table)}
		if plainName.MatchString(q.Index) { // it may be known in another case, which the database gives to names without quotes
			ways = append(ways, q.Index)
		}
	}
	var first error
	for _, from := range ways {
		from += " stint_q"
		columns, err := describe(ctx, s.db, "SELECT * FROM "+from+" WHERE 1 = 0")
		if err == nil {
			return from, columns, nil
		}
		if first == nil {
			first = notUnderstood(ctx, fmt.Errorf("ask %s for events: %w", s.db.Location, err))
		}
		if !tasks.IsPermanent(first) {
			break
		}
	}
	return "", nil, first
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// find chooses the columns that are asked by.
func (sh *shape) find(d sqldb.Dialect, columns []sqlColumn, q Query) error {
	names := make([]string, len(columns))
	for i, c := range columns {
		if slices.Contains(names[:i], c.name) {
			return tasks.WithHint(nil, "give each column a name of its own (AS)", "the query has two columns %s", c.name)
		}
		names[i] = c.name
	}
	at, err := chooseColumn(names, q.Field, "timestamp_field")
	if err != nil {
		return err
	}
	sh.time = names[at]
	if sh.clock, err = sqlClockOf(d, columns[at], q); err != nil {
		return err
	}
	if q.IDField == "" {
		return nil
	}
	if at, err = chooseColumn(names, q.IDField, "id_field"); err != nil {
		return err
	}
	sh.id = names[at]
	return nil
}

// chooseColumn finds a column by its name, or by its name in another case where only one has that.
func chooseColumn(names []string, name, option string) (int, error) {
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	found := -1
	for i, n := range names {
		if strings.EqualFold(n, name) {
			if found >= 0 {
				return 0, tasks.WithHint(nil, "write it as the database does", "%s could be %s or %s", name, names[found], n)
			}
			found = i
		}
	}
	if found < 0 {
		return 0, tasks.WithHint(nil, fmt.Sprintf("name one with %s; there are: %s", option, strings.Join(names, ", ")), "there is no column %s", name)
	}
	return found, nil
}

// window returns the condition that a row lies in the window, or may do so where the clock is not exact.
func (sh *shape) window(d sqldb.Dialect, q Query, args *[]any) string {
	place := func(v any) string {
		*args = append(*args, v)
		switch d {
		case sqldb.Postgres:
			return fmt.Sprintf("$%d", len(*args))
		case sqldb.SQLServer:
			return fmt.Sprintf("@p%d", len(*args))
		}
		return "?"
	}
	return sh.clock.between("stint_q."+d.Quote(sh.time), q, place)
}

// event makes an event of a row; nil where it has no time.
func (sh *shape) event(columns []sqlColumn, values []any, q Query) (*Hit, error) {
	doc := make(map[string]any, len(columns)+2)
	hit := &Hit{Index: q.Index, Doc: doc}
	timed := false
	for i, c := range columns {
		v := values[i]
		switch c.name {
		case sh.time:
			if v == nil {
				return nil, nil
			}
			at, err := sh.clock.read(v)
			if err != nil {
				return nil, tasks.WithHint(nil, "make a timestamp of it with query:, or correct timestamp_type", "column %s has no time in %v: %v", c.name, v, err)
			}
			hit.At, v, timed = at.UTC(), timeText(at), true
			doc[q.Field] = v
			if c.name != q.Field {
				continue
			}
		case sh.id:
			if v != nil {
				hit.ID = idText(v)
			}
		}
		doc[c.name] = v
	}
	if !timed {
		return nil, fmt.Errorf("the column %s is gone: has the table changed?", sh.time)
	}
	return hit, nil
}
