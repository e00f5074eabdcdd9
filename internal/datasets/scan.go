package datasets

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stint-run/stint/internal/sqldb"
)

// ErrMixed says that the GUIDs of some rows are written in another way than the bounds of a range: with dashes and without, in upper and
// in lower case. The same GUID may then stand in two ranges, and only a scan without a range sees it as one.
var ErrMixed = errors.New("GUIDs are written in more than one way")

// batchRows is how many rows a scan hands over at a time.
const batchRows = 4096

// maxList is how many customers one query names; more are read by several queries.
const maxList = 500

// reading is where a scan reads: a connection of PostgreSQL, or a pool, connection or transaction of database/sql.
type reading struct {
	pg  *pgconn.PgConn
	sql interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

// Scan reads rows of the entity and hands them over in batches, in any order; the slice of a batch is used again for the next. An error
// of each ends the scan and is returned as it is. A scan with a range may return ErrMixed, when batches have been handed over already.
func (s *Store) Scan(ctx context.Context, sc Scan, each func([]Row) error) error {
	if s.db.Pool == nil {
		return s.scanIn(ctx, reading{sql: s.db.SQL}, sc, each)
	}
	conn, err := s.db.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Entity(), sqldb.Classify(err))
	}
	defer conn.Release()
	return s.scanIn(ctx, reading{pg: conn.Conn().PgConn()}, sc, each)
}

// scanIn is Scan in a connection or a transaction of the caller's. With PostgreSQL, one that ends early breaks the connection, which is
// cheaper than to read the rest.
func (s *Store) scanIn(ctx context.Context, in reading, sc Scan, each func([]Row) error) error {
	if sc.Database != "" && len(sc.Customers) != 1 {
		return refuse("name its customer alone", "the database %s is looked for in %d customers", sc.Database, len(sc.Customers))
	}
	c := &collector{each: each, lookup: sc.Lookup, batch: make([]Row, 0, batchRows), known: map[string]int32{}}
	if err := c.expect(s, sc.Range); err != nil {
		return err
	}
	for first := 0; first < len(sc.Customers); first += maxList {
		part := sc
		part.Customers = sc.Customers[first:min(first+maxList, len(sc.Customers))]
		queries, err := s.scanQueries(part)
		if err != nil {
			return err
		}
		for _, query := range queries {
			if in.pg != nil {
				err = s.scanPostgres(ctx, in.pg, query, c)
			} else {
				err = s.scanSQL(ctx, in, query, c)
			}
			switch {
			case c.stop != nil:
				return c.stop
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				return fmt.Errorf("read %s: %w", s.Entity(), sqldb.Classify(err))
			}
		}
	}
	return c.flush()
}

// scanQueries returns the queries of a scan: without a sort, so that an index that begins with customer, database and guid is read alone
// and from one end to the other. Rows without a GUID are in the first range, by a query of their own, as an OR would not be found in
// the index.
func (s *Store) scanQueries(sc Scan) ([]string, error) {
	t, d := &s.tables[s.entity.at], s.db.Dialect
	where, err := s.whose(t, sc.Customers, sc.Database)
	if err != nil {
		return nil, err
	}
	guid := d.Quote(t.GUID)
	if s.entity.ofKind {
		where += " AND " + d.Quote(t.Kind) + " = " + d.Literal(s.entity.kind)
	}
	query := "SELECT " + d.QuoteList([]string{t.Customer, t.Database, t.GUID}) + " FROM " + t.from(d) + " WHERE " + where
	within, err := s.within(t, sc.Range)
	if err != nil {
		return nil, err
	}
	queries := []string{query + within}
	if sc.Range.From == "" && sc.Range.To != "" && !t.info.Column(t.GUID).NotNull {
		queries = append(queries, query+" AND "+guid+" IS NULL")
	}
	return queries, nil
}

// whose returns the condition that rows are of some customers, or of one data set.
func (s *Store) whose(t *table, customers []string, database string) (string, error) {
	d := s.db.Dialect
	list := make([]string, len(customers))
	for i, customer := range customers {
		id, err := s.id(t.info.Column(t.Customer), customer)
		if err != nil {
			return "", err
		}
		list[i] = id
	}
	where := d.Quote(t.Customer) + " IN (" + strings.Join(list, ", ") + ")"
	if len(list) == 1 {
		where = d.Quote(t.Customer) + " = " + list[0]
	}
	if database != "" {
		id, err := s.id(t.info.Column(t.Database), database)
		if err != nil {
			return "", err
		}
		where += " AND " + d.Quote(t.Database) + " = " + id
	}
	return where, nil
}

// id writes an id as it is compared with a column: a literal takes the column's own type, so that an index is used.
func (s *Store) id(c *sqldb.Column, value string) (string, error) {
	if idForm(c) != number {
		return s.db.Dialect.Literal(value), nil
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return value, nil
	}
	if _, err := strconv.ParseUint(value, 10, 64); err == nil {
		return value, nil
	}
	return "", refuse("take ids as the registry has them", "the id %q is no number, as those in the column %s are", value, c.Name)
}

// collector makes batches of what queries read. It is for one goroutine.
type collector struct {
	each   func([]Row) error
	lookup func(ID) int32
	batch  []Row
	stop   error // what each returned, or ErrMixed

	check bool    // GUIDs have to be written as the bounds are
	bound writing // how these are

	known map[string]int32 // by raw customer and database
	key   []byte           // of the last row
	next  []byte           // of the row before it is compared
	set   int32            // of the last row

	customer, database func([]byte) string // canonical text of raw bytes
	guid               func([]byte) (GUID, writing)
}

// expect says how GUIDs have to be written for the range to hold all rows of those that it holds.
func (c *collector) expect(s *Store, r Range) error {
	if r == (Range{}) || !s.mayMix() {
		return nil
	}
	for _, bound := range []string{r.From, r.To} {
		if bound == "" {
			continue
		}
		w, err := s.writingOf(bound)
		if err != nil {
			return err
		}
		if c.check && !w.same(c.bound) {
			return ErrMixed
		}
		c.check, c.bound = true, c.bound|w
	}
	return nil
}

// add takes a row; raw bytes are good until it returns, and a GUID that is nil is none, as is one of nothing or of zeros. It returns false when the scan is to end.
func (c *collector) add(customer, database, guid []byte) bool {
	c.next = append(binary.LittleEndian.AppendUint32(c.next[:0], uint32(len(customer))), customer...)
	c.next = append(c.next, database...)
	if len(c.key) == 0 || string(c.next) != string(c.key) {
		set, ok := c.known[string(c.next)]
		if !ok {
			set = c.lookup(ID{c.customer(customer), c.database(database)})
			c.known[string(c.next)] = set
		}
		c.set = set
		c.key, c.next = c.next, c.key
	}
	if c.set < 0 {
		return true
	}
	row := Row{Set: c.set, Null: guid == nil}
	if guid != nil {
		var w writing
		row.GUID, w = c.guid(guid)
		if c.check && w != other && !w.same(c.bound) {
			c.stop = ErrMixed
			return false
		}
		row.Null = row.GUID.none()
	}
	c.batch = append(c.batch, row)
	if len(c.batch) == cap(c.batch) {
		return c.flush() == nil
	}
	return true
}

// flush hands the batch over.
func (c *collector) flush() error {
	if len(c.batch) > 0 && c.stop == nil {
		c.stop = c.each(c.batch)
	}
	c.batch = c.batch[:0]
	return c.stop
}
