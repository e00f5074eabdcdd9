package datasets

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// Now returns the time of the database's clock, UTC.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var micros int64
	query := map[sqldb.Dialect]string{
		sqldb.Postgres: "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
		sqldb.MySQL:    "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
		sqldb.SQLite:   "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS integer) * 1000",
	}[s.db.Dialect]
	err := s.each(ctx, query, nil, func(scan func(...any) error) error { return scan(&micros) })
	if err != nil {
		return time.Time{}, fmt.Errorf("ask %s for the time: %w", s.Address(), sqldb.Classify(err))
	}
	return time.UnixMicro(micros).UTC(), nil
}

// EachSet calls each for every data set of the registry; those of one customer follow one another. A row that names no customer or no
// database is none. An error of each ends it and is returned as it is; a data set that is there twice is a permanent error, since it
// would be its own copy.
func (s *Store) EachSet(ctx context.Context, each func(Set) error) error {
	d, r := s.db.Dialect, s.layout.Registry
	query := "SELECT " + s.registryColumns() + " FROM " + d.QuoteTable(s.registry.Schema, s.registry.Name) +
		" WHERE " + d.Quote(r.Customer) + " IS NOT NULL AND " + d.Quote(r.Database) + " IS NOT NULL ORDER BY " + d.QuoteList([]string{r.Customer, r.Database})
	var last *ID
	var stop error
	err := s.each(ctx, query, nil, func(scan func(...any) error) error {
		set, err := s.scanSet(scan)
		if err != nil {
			return err
		}
		if last != nil && *last == set.ID {
			stop = refuse("give the registry a unique key over both columns, and take one of the two away", "the registry %s has the data set %s twice",
				r.Table, set.ID)
			return stop
		}
		last = &set.ID
		stop = each(set)
		return stop
	})
	switch {
	case stop != nil:
		return stop
	case err != nil:
		return fmt.Errorf("read the registry %s: %w", r.Table, sqldb.Classify(err))
	}
	return nil
}

// registryColumns are the expressions that scanSet reads, in its order.
func (s *Store) registryColumns() string {
	r, d := s.layout.Registry, s.db.Dialect
	customer, database, sync := d.Quote(r.Customer), d.Quote(r.Database), d.Quote(r.LastSync)
	if d == sqldb.Postgres {
		customer, database = customer+"::text", database+"::text" // which takes the spaces from a char
		switch s.registry.Column(r.LastSync).Kind {
		case sqldb.KindTimestampTZ, sqldb.KindTimestamp, sqldb.KindDate: // sessions speak UTC; infinity says nothing
			sync = "CASE WHEN isfinite(" + sync + ") THEN (extract(epoch FROM " + sync + ") * 1000000)::int8::text END"
		default:
			sync += "::text"
		}
	}
	return strings.Join([]string{customer, database, sync, s.completeness()}, ", ")
}

// completeness is the expression for whether the first upload has ended.
func (s *Store) completeness() string {
	name := s.layout.Registry.Complete
	if name == "" {
		return "1 = 1"
	}
	column := s.db.Dialect.Quote(name)
	switch kind := s.registry.Column(name).Kind; {
	case kind == sqldb.KindBool && s.db.Dialect == sqldb.Postgres:
		return "coalesce(" + column + ", false)"
	case kind == sqldb.KindBool, kind == sqldb.KindInt16, kind == sqldb.KindInt32, kind == sqldb.KindInt64:
		return "coalesce(" + column + " <> 0, 1 = 0)"
	}
	return column + " IS NOT NULL" // the time when it ended
}

// scanSet reads a row of registryColumns.
func (s *Store) scanSet(scan func(...any) error) (Set, error) {
	var set Set
	var sync any
	if err := scan(&set.Customer, &set.Database, &sync, &set.Complete); err != nil {
		return set, err
	}
	micros := false
	if s.db.Dialect == sqldb.Postgres {
		switch s.registry.Column(s.layout.Registry.LastSync).Kind {
		case sqldb.KindTimestampTZ, sqldb.KindTimestamp, sqldb.KindDate:
			micros = true
		}
	}
	set.LastSync = syncTime(sync, micros)
	return set, nil
}

// syncTime reads the time of a last sync: a time, a number since 1970 in seconds, milliseconds or microseconds (by its size, unless it
// is known to be micros), or a text, which is UTC where it names no zone. What it cannot read is unknown, which counts as recent.
func syncTime(value any, micros bool) *time.Time {
	var at time.Time
	switch v := value.(type) {
	case time.Time:
		at = v
	case int64:
		at = epoch(v, micros)
	case float64:
		if math.Abs(v) > 1e8 && math.Abs(v) < 1e11 {
			at = time.UnixMicro(int64(v * 1e6))
		}
	case []byte:
		return syncTime(string(v), micros)
	case string:
		v = strings.TrimSpace(v)
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			at = epoch(n, micros)
			break
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02T15:04:05.999999999",
			time.DateTime, "2006-01-02 15:04", time.DateOnly} {
			if t, err := time.Parse(layout, v); err == nil {
				at = t
				break
			}
		}
	}
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Truncate(time.Microsecond)
	return &at
}

// epoch reads a number since 1970; 0 is how some write that it never was, which is unknown.
func epoch(n int64, micros bool) time.Time {
	switch size := max(n, -n); {
	case micros || size >= 1e14:
		return time.UnixMicro(n)
	case n == 0:
		return time.Time{}
	case size >= 1e11:
		return time.UnixMilli(n)
	}
	return time.Unix(n, 0)
}
