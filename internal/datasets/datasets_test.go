package datasets

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestMain(m *testing.M) {
	defer mariadbtest.Stop()
	pgtest.Main(m)
}

// stores are the databases that data sets are kept in.
var stores = map[string]func(t testing.TB) string{
	"PostgreSQL": func(t testing.TB) string { return pgtest.New(t) },
	"MariaDB":    func(t testing.TB) string { return mariadbtest.New(t) },
	"SQLite":     func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "store.db") },
}

// inEachStore runs a test on an empty database of each kind.
func inEachStore(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openURL(t, url(t)))
		})
	}
}

func openURL(t testing.TB, url string) *sqldb.DB {
	t.Helper()
	at, err := sqldb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), at, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// run runs statements, which are separated by semicolons.
func run(t *testing.T, db *sqldb.DB, statements string) {
	t.Helper()
	for statement := range strings.SplitSeq(statements, ";") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		var err error
		if db.Pool != nil {
			_, err = db.Pool.Exec(t.Context(), statement)
		} else {
			_, err = db.SQL.ExecContext(t.Context(), statement)
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func mustOpen(t *testing.T, db *sqldb.DB, l Layout) *Store {
	t.Helper()
	s, err := Open(t.Context(), db, l)
	if err != nil {
		t.Fatalf("%v (%s)", err, tasks.HintOf(err))
	}
	return s
}

// setsOf lists the registry.
func setsOf(t *testing.T, s *Store) []Set {
	t.Helper()
	var sets []Set
	if err := s.EachSet(t.Context(), func(x Set) error { sets = append(sets, x); return nil }); err != nil {
		t.Fatal(err)
	}
	return sets
}

// contents reads rows, by data set and GUID: how often each is there. What has no GUID is counted by data set.
func contents(ctx context.Context, s *Store, sc Scan) (rows map[ID]map[GUID]int, nulls map[ID]int, err error) {
	rows, nulls = map[ID]map[GUID]int{}, map[ID]int{}
	var ids []ID
	sc.Lookup = func(id ID) int32 {
		if at := slices.Index(ids, id); at >= 0 {
			return int32(at)
		}
		ids = append(ids, id)
		rows[id] = map[GUID]int{}
		return int32(len(ids) - 1)
	}
	err = s.Scan(ctx, sc, func(batch []Row) error {
		for _, r := range batch {
			if r.Null {
				nulls[ids[r.Set]]++
			} else {
				rows[ids[r.Set]][r.GUID]++
			}
		}
		return nil
	})
	return rows, nulls, err
}

// tables makes a registry and a table of rows with columns of some types.
func makeTables(t *testing.T, db *sqldb.DB, customer, database, rowCustomer, rowDatabase, guid string) {
	t.Helper()
	run(t, db, fmt.Sprintf(`CREATE TABLE data_set (customer_id %s, database_id %s, last_synced_at timestamp NULL, PRIMARY KEY (customer_id, database_id));
		CREATE TABLE entity_row (id bigint PRIMARY KEY, customer_id %s, database_id %s, guid %s)`, customer, database, rowCustomer, rowDatabase, guid))
}

// refused checks that a layout is refused for good, with words in the message and in the hint.
func refused(t *testing.T, db *sqldb.DB, l Layout, message, hint string) {
	t.Helper()
	_, err := Open(t.Context(), db, l)
	switch {
	case err == nil:
		t.Errorf("%+v was opened", l)
	case !tasks.IsPermanent(errors.Unwrap(err)) && !tasks.IsPermanent(err):
		t.Errorf("a retry would not help: %v", err)
	case !strings.Contains(err.Error(), message) || !strings.Contains(tasks.HintOf(err), hint):
		t.Errorf("got %q (hint %q), want %q (%q)", err, tasks.HintOf(err), message, hint)
	}
}
