package datasets

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// Borders returns the GUIDs of every n-th row of a data set within a range, but for the first row: what cuts the range into ranges of
// so many rows of this data set. They are in the store's own order, without repeats. It returns ErrMixed where they are not all written
// alike, and ranges would not do.
//
// A border is written as a Range has it: text as it is, bytes as \x and hexadecimal digits; in SQLite, where a column may hold both, a
// text that begins with a backslash has another in front.
func (s *Store) Borders(ctx context.Context, id ID, r Range, every int64) ([]string, error) {
	t := &s.tables[s.entity.at]
	where, err := s.whose(t, []string{id.Customer}, id.Database)
	if err != nil {
		return nil, err
	}
	if s.entity.ofKind {
		where += " AND " + s.db.Dialect.Quote(t.Kind) + " = " + s.db.Dialect.Literal(s.entity.kind)
	}
	within, err := s.within(t, r)
	if err != nil {
		return nil, err
	}
	// An empty text would be no bound; its rows are in the first range, as it is the least of all.
	present := " IS NOT NULL"
	if kind := t.info.Column(t.GUID).Kind; kind == sqldb.KindText || s.db.Dialect == sqldb.SQLite {
		present = " > ''"
	}
	where += " AND " + s.db.Dialect.Quote(t.GUID) + present + within
	every = max(1, every)
	var borders []string
	if s.db.Dialect == sqldb.Postgres {
		borders, err = s.windowBorders(ctx, t, where, every)
	} else {
		borders, err = s.walkBorders(ctx, t, where, every)
	}
	if err != nil {
		return nil, fmt.Errorf("find ranges of %s: %w", id, sqldb.Classify(err))
	}
	borders = slices.Compact(borders)
	if len(borders) > 0 && s.mayMix() {
		first, err := s.writingOf(borders[0])
		for _, b := range borders[1:] {
			w, bad := s.writingOf(b)
			if err == nil && bad == nil && !w.same(first) {
				return nil, ErrMixed
			}
			first |= w
		}
		if err != nil {
			return nil, err
		}
	}
	return borders, nil
}

// windowBorders finds borders by one query. It sorts by the column itself: the name of an output column would mean the text of it.
func (s *Store) windowBorders(ctx context.Context, t *table, where string, every int64) ([]string, error) {
	var borders []string
	err := s.each(ctx, s.windowQuery(t, where, every), nil, func(scan func(...any) error) error {
		var b string
		if err := scan(&b); err != nil {
			return err
		}
		borders = append(borders, b)
		return nil
	})
	return borders, err
}

func (s *Store) windowQuery(t *table, where string, every int64) string {
	guid := s.db.Dialect.Quote(t.GUID)
	return fmt.Sprintf("SELECT %s AS stint_border FROM (SELECT %s, row_number() OVER (ORDER BY %s) AS stint_n FROM %s WHERE %s) AS stint_t "+
		"WHERE stint_n > 1 AND (stint_n - 1) %% %d = 0 ORDER BY stint_t.%s", s.border(t, "stint_t."+guid), guid, guid, t.from(s.db.Dialect), where, every, guid)
}

// walkBorders finds borders from one to the next: MariaDB would sort all rows for a window, and SQLite counts them slowly in one.
func (s *Store) walkBorders(ctx context.Context, t *table, where string, every int64) ([]string, error) {
	var borders []string
	for last := ""; ; last = borders[len(borders)-1] {
		found, err := s.nthGUID(ctx, t, where, last, " >= ", every)
		if err == nil && found != "" && found == last { // more rows than that have one GUID
			found, err = s.nthGUID(ctx, t, where, last, " > ", 0)
		}
		if err != nil || found == "" {
			return borders, err
		}
		borders = append(borders, found)
	}
}

// nthGUID returns the GUID of the row that stands n behind the first after a border; "" when there is none.
func (s *Store) nthGUID(ctx context.Context, t *table, where, after, compare string, n int64) (string, error) {
	if after != "" {
		border, err := s.boundLiteral(t, after)
		if err != nil {
			return "", err
		}
		where += " AND " + s.db.Dialect.Quote(t.GUID) + compare + border
	}
	found := ""
	err := s.each(ctx, s.nthQuery(t, where, n), nil, func(scan func(...any) error) error { return scan(&found) })
	return found, err
}

func (s *Store) nthQuery(t *table, where string, n int64) string {
	guid := s.db.Dialect.Quote(t.GUID)
	return fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT 1 OFFSET %d", s.border(t, guid), t.from(s.db.Dialect), where, guid, n)
}

// border returns an expression that writes the column of GUIDs as a border.
func (s *Store) border(t *table, column string) string {
	bytes := t.info.Column(t.GUID).Kind == sqldb.KindBytes
	switch {
	case s.db.Dialect == sqldb.Postgres:
		return column + "::text"
	case s.db.Dialect == sqldb.SQLite:
		return "CASE WHEN typeof(" + column + ") = 'blob' THEN '\\x' || hex(" + column + ") WHEN substr(" + column + ", 1, 1) = '\\' THEN '\\' || " + column +
			" ELSE " + column + " END"
	case bytes:
		return `concat('\x', hex(` + column + `))`
	}
	return column
}

// bound reads a border: the bytes of a GUID, and whether the column holds them as bytes and not as text.
func (s *Store) bound(t *table, border string) (raw []byte, bytes bool, err error) {
	lite, inBytes := s.db.Dialect == sqldb.SQLite, t.info.Column(t.GUID).Kind == sqldb.KindBytes
	if !inBytes && !lite {
		return []byte(border), false, nil
	}
	digits, ok := strings.CutPrefix(border, `\x`)
	if !ok {
		return []byte(strings.TrimPrefix(border, `\`)), false, nil
	}
	if raw, err = hex.DecodeString(digits); err != nil {
		return nil, false, refuse("take ranges as Borders gives them", "the range border %q cannot be read", border)
	}
	return raw, true, nil
}

// boundLiteral writes a border as it is compared with the column.
func (s *Store) boundLiteral(t *table, border string) (string, error) {
	raw, bytes, err := s.bound(t, border)
	switch {
	case err != nil:
		return "", err
	case bytes && s.db.Dialect != sqldb.Postgres:
		return fmt.Sprintf("X'%x'", raw), nil
	case bytes:
		return s.db.Dialect.Literal(border), nil
	}
	return s.db.Dialect.Literal(string(raw)), nil
}

// within returns the condition of a range, with AND in front, and "" for no bounds.
func (s *Store) within(t *table, r Range) (string, error) {
	where := ""
	for _, x := range [][2]string{{r.From, " >= "}, {r.To, " < "}} {
		if x[0] == "" {
			continue
		}
		literal, err := s.boundLiteral(t, x[0])
		if err != nil {
			return "", err
		}
		where += " AND " + s.db.Dialect.Quote(t.GUID) + x[1] + literal
	}
	return where, nil
}

// mayMix reports whether the column may hold one GUID in several ways: not one of the database's own type.
func (s *Store) mayMix() bool {
	t := &s.tables[s.entity.at]
	return s.db.Dialect == sqldb.SQLite || t.info.Column(t.GUID).Kind != sqldb.KindUUID
}

// writingOf returns how the GUID of a border is written.
func (s *Store) writingOf(border string) (writing, error) {
	raw, bytes, err := s.bound(&s.tables[s.entity.at], border)
	var w writing
	if bytes {
		_, w = bytesGUID(raw)
	} else {
		_, w = parseGUID(raw)
	}
	return w, err
}
