package datasets

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// plan returns the plan of a query, as the database shows it.
func planOf(t *testing.T, db *sqldb.DB, query string) string {
	t.Helper()
	var plan strings.Builder
	if db.Pool != nil {
		rows, err := db.Pool.Query(t.Context(), "EXPLAIN (COSTS OFF) "+query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		return plan.String()
	}
	word := "EXPLAIN QUERY PLAN "
	if db.Dialect == sqldb.MySQL {
		word = "EXPLAIN "
	}
	rows, err := db.SQL.QueryContext(t.Context(), word+query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, places := make([]*string, len(names)), make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if v != nil {
				fmt.Fprintf(&plan, "%s=%s ", names[i], *v)
			}
		}
		plan.WriteString("\n")
	}
	return plan.String()
}

// bulk makes a table of 60,000 rows, in 20 customers of 3 data sets, with a type of GUIDs.
func bulk(t *testing.T, db *sqldb.DB, guid string) *Store {
	t.Helper()
	series, made := "generate_series(1, 60000) n", "md5(n::text)::uuid"
	switch db.Dialect {
	case sqldb.MySQL:
		series, made = "(SELECT seq AS n FROM seq_1_to_60000) s", "UUID()"
	case sqldb.SQLite:
		series, made = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 60000) SELECT n FROM s)", "hex(randomblob(16))"
	}
	if guid == "text" && db.Dialect == sqldb.Postgres {
		made += "::text"
	}
	run(t, db, `CREATE TABLE data_set (customer_id int, database_id int, last_synced_at timestamp NULL);
		CREATE TABLE entity_row (customer_id int, database_id int, guid `+guid+` NOT NULL, payload text, PRIMARY KEY (customer_id, database_id, guid));
		INSERT INTO entity_row SELECT n % 20, n % 3, `+made+`, '`+strings.Repeat("x", 100)+`' FROM `+series)
	switch db.Dialect {
	case sqldb.Postgres:
		// Rows of a commit that is not on disk yet are not known to be visible to all: the first VACUUM waits for nothing.
		all := false
		for deadline := time.Now().Add(30 * time.Second); !all && time.Now().Before(deadline); {
			run(t, db, "VACUUM (ANALYZE) entity_row")
			if err := db.Pool.QueryRow(t.Context(), "SELECT relallvisible = relpages FROM pg_class WHERE relname = 'entity_row'").Scan(&all); err != nil {
				t.Fatal(err)
			}
		}
	case sqldb.MySQL:
		run(t, db, "ANALYZE TABLE entity_row")
	}
	return mustOpen(t, db, Layout{})
}

func TestScansAndBordersReadTheKeyAloneAndNeverSort(t *testing.T) {
	t.Parallel()
	for name, guids := range map[string][]string{"PostgreSQL": {"uuid", "text"}, "MariaDB": {"char(36)", "uuid"}, "SQLite": {"text"}} {
		for _, guid := range guids {
			t.Run(name+"/"+guid, func(t *testing.T) {
				t.Parallel()
				db := openURL(t, stores[name](t))
				s := bulk(t, db, guid)
				borders, err := s.Borders(t.Context(), ID{"1", "1"}, Range{}, 400)
				if err != nil || len(borders) != 2 {
					t.Fatalf("%q: %v", borders, err)
				}
				for _, sc := range []Scan{
					{Customers: []string{"1"}},
					{Customers: []string{"1", "7", "12"}},
					{Customers: []string{"1"}, Database: "2"},
					{Customers: []string{"1"}, Database: "2", Range: Range{From: borders[0], To: borders[1]}},
				} {
					queries, err := s.scanQueries(sc)
					if err != nil || len(queries) != 1 {
						t.Fatal(queries, err)
					}
					readsTheKey(t, db, queries[0])
				}
				table := &s.tables[s.entity.at]
				where, err := s.whose(table, []string{"1"}, "1")
				if err != nil {
					t.Fatal(err)
				}
				if db.Dialect == sqldb.Postgres {
					readsTheKey(t, db, s.windowQuery(table, where, 100))
				} else {
					readsTheKey(t, db, s.nthQuery(table, where, 100))
				}
			})
		}
	}
}

// readsTheKey checks a plan.
func readsTheKey(t *testing.T, db *sqldb.DB, query string) {
	t.Helper()
	plan := planOf(t, db, query)
	ok := false
	switch db.Dialect {
	case sqldb.Postgres:
		ok = strings.Contains(plan, "Index Only Scan using entity_row_pkey") && !strings.Contains(plan, "Sort") && !strings.Contains(plan, "Filter: (customer_id")
	case sqldb.MySQL:
		ok = strings.Contains(plan, "key=PRIMARY") && !strings.Contains(plan, "filesort") && !strings.Contains(plan, "type=ALL")
	case sqldb.SQLite:
		ok = strings.Contains(plan, "USING COVERING INDEX") && !strings.Contains(plan, "TEMP B-TREE")
	}
	if !ok {
		t.Errorf("%s\nis planned as\n%s", query, plan)
	}
}
