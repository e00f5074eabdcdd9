package datasets

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// Sizes returns how many rows of the entity customers have, about; one that cannot be estimated is absent. They are hints: a wrong one
// costs time, never truth. PostgreSQL's statistics and MariaDB's index say so without reading rows. Where there are no statistics, as in
// SQLite and in a table that was never analysed, the rows are counted, in the index where one begins with the customer.
func (s *Store) Sizes(ctx context.Context, customers []string) (map[string]int64, error) {
	sizes := make(map[string]int64, len(customers))
	var err error
	if s.db.Dialect == sqldb.Postgres {
		err = s.sizesPostgres(ctx, customers, sizes)
	}
	for first := 0; first < len(customers) && err == nil && len(sizes) < len(customers); first += maxList {
		part := customers[first:min(first+maxList, len(customers))]
		if s.db.Dialect == sqldb.MySQL {
			err = s.sizesMySQL(ctx, part, sizes)
		} else {
			err = s.sizesCounted(ctx, part, sizes)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("estimate %s: %w", s.Entity(), sqldb.Classify(err))
	}
	return sizes, nil
}

// sizesPostgres takes them from the statistics of the customer column: the most common customers by name, all others alike. A table that
// was never analysed has none, and leaves sizes as they are.
func (s *Store) sizesPostgres(ctx context.Context, customers []string, sizes map[string]int64) error {
	t := &s.tables[s.entity.at]
	share := 1.0
	if s.entity.ofKind {
		err := s.frequencies(ctx, t, t.Kind, func(common map[string]float64, rest float64) {
			var ok bool
			if share, ok = common[s.entity.kind]; !ok {
				share = rest
			}
		})
		if err != nil {
			return err
		}
	}
	return s.frequencies(ctx, t, t.Customer, func(common map[string]float64, rest float64) {
		for _, customer := range customers {
			f, ok := common[customer]
			if !ok {
				f = rest
			}
			sizes[customer] = max(1, int64(f*share*float64(t.info.Rows)))
		}
	})
}

// frequencies calls f with the shares of the most common values of a column, and of each other value. It does not where nobody knows.
func (s *Store) frequencies(ctx context.Context, t *table, column string, f func(common map[string]float64, rest float64)) error {
	return s.each(ctx, `SELECT coalesce(most_common_vals::text::text[], '{}'), coalesce(most_common_freqs, '{}')::float8[], n_distinct::float8, null_frac::float8
		FROM pg_stats WHERE schemaname = coalesce(nullif($1, ''), current_schema()) AND tablename = $2 AND attname = $3
		ORDER BY inherited DESC LIMIT 1`, []any{t.info.Schema, t.info.Name, column}, func(scan func(...any) error) error {
		var values []string
		var freqs []float64
		var distinct, nulls float64
		if err := scan(&values, &freqs, &distinct, &nulls); err != nil {
			return err
		}
		if distinct < 0 { // a share of the rows
			distinct *= -float64(t.info.Rows)
		}
		common, rest := make(map[string]float64, len(values)), 1-nulls
		for i, v := range values[:min(len(values), len(freqs))] {
			common[strings.TrimRight(v, " ")] = freqs[i]
			rest -= freqs[i]
		}
		f(common, max(0, rest)/max(1, distinct-float64(len(common))))
		return nil
	})
}

// sizesMySQL asks the optimizer, who looks into the index: one EXPLAIN says it of many customers.
func (s *Store) sizesMySQL(ctx context.Context, customers []string, sizes map[string]int64) error {
	t, d := &s.tables[s.entity.at], s.db.Dialect
	const together = 50 // a statement has at most 61 tables
	for first := 0; first < len(customers); first += together {
		part := customers[first:min(first+together, len(customers))]
		parts := make([]string, len(part))
		for i, customer := range part {
			where, err := s.whose(t, []string{customer}, "")
			if err != nil {
				return err
			}
			parts[i] = "SELECT " + d.QuoteList([]string{t.Database, t.GUID}) + " FROM " + t.from(d) + " WHERE " + where
		}
		if err := s.explainMySQL(ctx, "EXPLAIN "+strings.Join(parts, " UNION ALL "), part, sizes); err != nil {
			return err
		}
	}
	return nil
}

// explainMySQL reads the rows of an EXPLAIN, whose columns differ from server to server; the id counts the parts of the union from 1.
func (s *Store) explainMySQL(ctx context.Context, query string, customers []string, sizes map[string]int64) error {
	rows, err := s.db.SQL.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values, places := make([]*string, len(names)), make([]any, len(names))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		part, estimate := 0, int64(-1)
		for i, name := range names {
			switch {
			case values[i] == nil:
			case name == "id":
				part, _ = strconv.Atoi(*values[i])
			case name == "rows":
				estimate, _ = strconv.ParseInt(*values[i], 10, 64)
			}
		}
		if part >= 1 && part <= len(customers) && estimate >= 0 {
			sizes[customers[part-1]] = estimate
		}
	}
	return rows.Err()
}

// sizesCounted counts, which costs a small part of reading the rows: nothing leaves the database. A customer without rows is absent.
func (s *Store) sizesCounted(ctx context.Context, customers []string, sizes map[string]int64) error {
	t, d := &s.tables[s.entity.at], s.db.Dialect
	where, err := s.whose(t, customers, "")
	if err != nil {
		return err
	}
	customer := d.Quote(t.Customer)
	return s.each(ctx, "SELECT CAST("+customer+" AS text), count(*) FROM "+t.from(d)+" WHERE "+where+" GROUP BY "+customer, nil,
		func(scan func(...any) error) error {
			var id string
			var n int64
			if err := scan(&id, &n); err != nil {
				return err
			}
			sizes[id] = n
			return nil
		})
}
