package datasets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
)

const (
	guidA = "0f8fad5b-d9cb-469f-a165-70867728950e"
	guidB = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
)

// typesOfStores are types of columns in which a data set's id and its GUIDs are kept: registry, then rows, then GUID, and how GUIDs are
// written as literals.
var typesOfStores = map[string][][]string{
	"PostgreSQL": {
		{"bigint", "bigint", "int", "smallint", "uuid", "'%s'"},
		{"int", "smallint", "bigint", "bigint", "text", "'%s'"},
		{"text", "uuid", "varchar(40)", "uuid", "char(40)", "'%s'"},
		{"varchar(20)", "char(36)", "char(30)", "text", "varchar(50)", "'{%s}'"},
		{"uuid", "text", "uuid", "char(40)", "bytea", "uuid_send('%s')"},
	},
	"MariaDB": {
		{"bigint", "bigint unsigned", "int", "smallint", "uuid", "'%s'"},
		{"varchar(40)", "char(36)", "char(40)", "varchar(40)", "char(36)", "upper('%s')"},
		{"uuid", "uuid", "uuid", "uuid", "binary(16)", "UNHEX(REPLACE('%s', '-', ''))"},
		{"int", "varchar(36) CHARACTER SET latin1", "bigint", "varchar(40) CHARACTER SET utf8mb4", "varchar(60)", "' {%s}'"},
	},
	"SQLite": {
		{"INTEGER", "INTEGER", "INT", "BIGINT", "TEXT", "'%s'"},
		{"TEXT", "TEXT", "VARCHAR(36)", "CHAR(36)", "BLOB", "CAST('%s' AS BLOB)"},
		{"TEXT", "INTEGER", "TEXT", "INTEGER", "BLOB", "unhex(replace('%s', '-', ''))"},
	},
}

// value returns an id as a column of that type takes it, and as it is to be read.
func idValue(typ string, n int) (literal, canonical string) {
	switch {
	case strings.Contains(strings.ToLower(typ), "int"):
		return fmt.Sprint(n), fmt.Sprint(n)
	case strings.HasPrefix(typ, "uuid") || strings.Contains(typ, "36"):
		id := fmt.Sprintf("%08d-aaaa-4aaa-8aaa-aaaaaaaaaaaa", n)
		return "'" + id + "'", id
	}
	id := fmt.Sprintf("%08d-aaaa-4aaa-8aaa-aaaaaaaaaaaa", n)
	if strings.Contains(typ, "20") || strings.Contains(typ, "30") {
		id = fmt.Sprintf("Kunde %d'", n)
	}
	return "'" + strings.ReplaceAll(id, "'", "''") + "'", id
}

func TestIDsAndGUIDsAreTheSameWhateverTheirTypes(t *testing.T) {
	t.Parallel()
	for name, all := range typesOfStores {
		for _, types := range all {
			t.Run(name+"/"+strings.Join(types, ","), func(t *testing.T) {
				t.Parallel()
				db := openURL(t, stores[name](t))
				makeTables(t, db, types[0], types[1], types[2], types[3], types[4])
				customer, wantCustomer := idValue(types[0], 12)
				database, wantDatabase := idValue(types[1], 34)
				otherDatabase, _ := idValue(types[1], 35)
				guid := func(g string) string { return fmt.Sprintf(types[5], g) }
				run(t, db, fmt.Sprintf(`INSERT INTO data_set VALUES (%s, %s, NULL), (%s, %s, NULL);
					INSERT INTO entity_row VALUES (1, %s, %s, %s), (2, %s, %s, %s), (3, %s, %s, NULL), (4, %s, %s, %s)`, customer, database, customer, otherDatabase,
					customer, database, guid(guidA), customer, database, guid(guidB), customer, database, customer, otherDatabase, guid(guidA)))
				s := mustOpen(t, db, Layout{})
				id := ID{wantCustomer, wantDatabase}
				sets := setsOf(t, s)
				if len(sets) != 2 || !slices.ContainsFunc(sets, func(x Set) bool { return x.ID == id }) {
					t.Errorf("the registry has %+v, want %q", sets, id)
				}
				for _, sc := range []Scan{{Customers: []string{id.Customer}}, {Customers: []string{id.Customer}, Database: id.Database}} {
					rows, nulls, err := contents(t.Context(), s, sc)
					if err != nil {
						t.Fatal(err)
					}
					if got := rows[id]; len(got) != 2 || got[ParseGUID([]byte(guidA))] != 1 || got[ParseGUID([]byte(guidB))] != 1 || nulls[id] != 1 {
						t.Errorf("%+v: read %v, and %v without a GUID", sc, rows, nulls)
					}
					if want := 2; sc.Database == "" && len(rows) != want || sc.Database != "" && len(rows) != 1 {
						t.Errorf("%+v: rows of %d data sets", sc, len(rows))
					}
				}
				borders, err := s.Borders(t.Context(), id, Range{}, 1)
				if err != nil || len(borders) != 1 {
					t.Fatalf("borders %q: %v", borders, err)
				}
				first, nulls, err := contents(t.Context(), s, Scan{Customers: []string{id.Customer}, Range: Range{To: borders[0]}})
				second, noNulls, errSecond := contents(t.Context(), s, Scan{Customers: []string{id.Customer}, Range: Range{From: borders[0]}})
				if err != nil || errSecond != nil || len(first[id])+len(second[id]) != 2 || len(first[id]) != 1 || nulls[id] != 1 || len(noNulls) != 0 {
					t.Errorf("below %s: %v (%v); from there on: %v (%v); %v, %v", borders[0], first, nulls, second, noNulls, err, errSecond)
				}
			})
		}
	}
}

func TestRangesAreRefusedWhereOneGUIDMayStandInTwo(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		makeTables(t, db, "int", "int", "int", "int", "varchar(40)")
		run(t, db, fmt.Sprintf("INSERT INTO entity_row VALUES (1, 1, 1, '%s'), (2, 1, 1, '%s'), (3, 1, 2, '%s'), (4, 2, 3, 'x'), (5, 2, 3, 'y')",
			guidA, guidB, strings.ToUpper(guidB)))
		s := mustOpen(t, db, Layout{})
		borders, err := s.Borders(t.Context(), ID{"1", "1"}, Range{}, 1)
		if err != nil || len(borders) != 1 {
			t.Fatalf("%q: %v", borders, err)
		}
		mixed := 0
		for _, r := range []Range{{To: borders[0]}, {From: borders[0]}} {
			if _, _, err := contents(t.Context(), s, Scan{Customers: []string{"1"}, Range: r}); errors.Is(err, ErrMixed) {
				mixed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if mixed != 1 {
			t.Errorf("%d of the two ranges were refused", mixed)
		}
		if rows, _, err := contents(t.Context(), s, Scan{Customers: []string{"1"}}); err != nil || len(rows) != 2 {
			t.Errorf("without a range: %v, %v", rows, err)
		}
		if borders, err := s.Borders(t.Context(), ID{"2", "3"}, Range{}, 1); err != nil || !slices.Equal(borders, []string{"y"}) {
			t.Errorf("texts that are no GUIDs are all alike: %q, %v", borders, err)
		}
		run(t, db, fmt.Sprintf("INSERT INTO entity_row VALUES (6, 3, 1, '%s'), (7, 3, 1, '%s'), (8, 3, 1, '{%s}')", guidA, strings.ToUpper(guidB), guidB))
		if borders, err := s.Borders(t.Context(), ID{"3", "1"}, Range{}, 1); !errors.Is(err, ErrMixed) {
			t.Errorf("got the borders %q: %v", borders, err)
		}
	})
}

func TestManyRowsOfOneGUIDMakeOneBorder(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		makeTables(t, db, "int", "int", "int", "int", "varchar(40)")
		for i := range 40 {
			guid := fmt.Sprintf("g%d", min(2, i/5))
			if i >= 30 {
				guid = ""
			}
			run(t, db, fmt.Sprintf("INSERT INTO entity_row VALUES (%d, 1, 1, '%s')", i, guid))
		}
		s := mustOpen(t, db, Layout{})
		borders, err := s.Borders(t.Context(), ID{"1", "1"}, Range{}, 4)
		if err != nil || !slices.Equal(borders, []string{"g0", "g1", "g2"}) && !slices.Equal(borders, []string{"g1", "g2"}) {
			t.Errorf("got %q: %v", borders, err)
		}
		_, nulls, err := contents(t.Context(), s, Scan{Customers: []string{"1"}, Range: Range{To: borders[0]}})
		if n := nulls[ID{"1", "1"}]; err != nil || n != 10 {
			t.Errorf("%d rows with an empty GUID are in the first range, and have none: %v", n, err)
		}
	})
}

func TestAScanAsksForEachDataSetOnceAndLeavesOutWhatIsNotWanted(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		makeTables(t, db, "int", "int", "int", "int", "varchar(40)")
		for i := range 40 { // interleaved
			run(t, db, fmt.Sprintf("INSERT INTO entity_row VALUES (%d, 1, %d, 'g%d')", i, i%2, i))
		}
		run(t, db, "INSERT INTO entity_row VALUES (100, NULL, 1, 'x'), (101, 1, NULL, 'x'), (102, 2, 1, 'x')")
		s := mustOpen(t, db, Layout{})
		asked, rows := map[ID]int{}, 0
		err := s.Scan(t.Context(), Scan{Customers: []string{"1", "404"}, Lookup: func(id ID) int32 {
			asked[id]++
			if id.Database == "1" {
				return -1
			}
			return 7
		}}, func(batch []Row) error {
			rows += len(batch)
			for _, r := range batch {
				if r.Set != 7 {
					t.Errorf("a row of data set %d", r.Set)
				}
			}
			return nil
		})
		if err != nil || rows != 20 || len(asked) != 2 || asked[ID{"1", "0"}] != 1 || asked[ID{"1", "1"}] != 1 {
			t.Errorf("%d rows, asked %v: %v", rows, asked, err)
		}
	})
}

func TestAScanEndsAtOnceWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		makeTables(t, db, "int", "int", "int", "int", "varchar(40)")
		series := map[sqldb.Dialect]string{
			sqldb.Postgres: "SELECT n, 1, 1, 'g' || n FROM generate_series(1, 100000) n",
			sqldb.MySQL:    "SELECT seq, 1, 1, concat('g', seq) FROM seq_1_to_100000",
			sqldb.SQLite:   "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT n, 1, 1, 'g' || n FROM s",
		}
		run(t, db, "INSERT INTO entity_row "+series[db.Dialect])
		s := mustOpen(t, db, Layout{})
		sc := Scan{Customers: []string{"1"}, Lookup: func(ID) int32 { return 0 }}
		enough := errors.New("enough")
		batches := 0
		if err := s.Scan(t.Context(), sc, func([]Row) error { batches++; return enough }); err != enough || batches != 1 { //nolint:errorlint // as it is
			t.Errorf("%d batches, then %v", batches, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		batches = 0
		if err := s.Scan(ctx, sc, func([]Row) error { batches++; cancel(); return nil }); !errors.Is(err, context.Canceled) || batches > 20 {
			t.Errorf("%d batches, then %v", batches, err)
		}
		rows := 0
		if err := s.Scan(t.Context(), sc, func(b []Row) error { rows += len(b); return nil }); err != nil || rows != 100000 {
			t.Errorf("afterwards: %d rows, %v", rows, err)
		}
		if _, _, err := contents(t.Context(), s, Scan{Customers: []string{"x"}}); err == nil || !strings.Contains(err.Error(), "is no number") {
			t.Errorf("an id that is no number: %v", err)
		}
	})
}

func TestSQLiteMayKeepGUIDsAsTextAndAsBytesInOneColumn(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"TEXT", "BLOB"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			db := openURL(t, stores["SQLite"](t))
			makeTables(t, db, "int", "int", "int", "int", typ)
			values := []string{"x''", "x'00'", "x'ff00'", "'x'", `'\x41'`, `'\\x41'`, `'\'`, "'it''s'", "'" + guidA + "'", "NULL"}
			for i, v := range values {
				run(t, db, fmt.Sprintf("INSERT INTO entity_row VALUES (%d, 1, 1, %s)", i, v))
			}
			s := mustOpen(t, db, Layout{})
			id := ID{"1", "1"}
			if rows, nulls, err := contents(t.Context(), s, Scan{Customers: []string{"1"}}); err != nil || len(rows[id]) != len(values)-2 || nulls[id] != 2 { // the empty one is none
				t.Errorf("read %d rows and %d without a GUID: %v", len(rows[id]), nulls[id], err)
			}
			table := &s.tables[s.entity.at]
			found := ""
			for n := range int64(len(values) - 1) {
				query := s.nthQuery(table, "guid IS NOT NULL", n)
				if err := s.each(t.Context(), query, nil, func(scan func(...any) error) error { return scan(&found) }); err != nil {
					t.Fatal(err)
				}
				for compare, want := range map[string]int64{" < ": n, " >= ": int64(len(values)) - 1 - n} {
					literal, err := s.boundLiteral(table, found)
					if err != nil {
						t.Fatal(err)
					}
					rows := int64(-1)
					query := "SELECT count(*) FROM entity_row WHERE guid" + compare + literal
					if err := s.each(t.Context(), query, nil, func(scan func(...any) error) error { return scan(&rows) }); err != nil || rows != want {
						t.Errorf("%q: %d rows%sit, want %d: %v", found, rows, compare, want, err)
					}
				}
			}
		})
	}
}

func TestADatabaseIsLookedForInItsCustomerAlone(t *testing.T) {
	t.Parallel()
	db := openURL(t, stores["SQLite"](t))
	run(t, db, usual)
	s := mustOpen(t, db, Layout{})
	if _, _, err := contents(t.Context(), s, Scan{Customers: []string{"1", "2"}, Database: "1"}); err == nil || !strings.Contains(err.Error(), "in 2 customers") {
		t.Errorf("got %v", err)
	}
}

func TestRowsAreCountedWhereThereAreNoStatistics(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		makeTables(t, db, "varchar(20)", "int", "char(20)", "int", "varchar(40)")
		run(t, db, "INSERT INTO entity_row VALUES (1, 'Mr. A', 1, 'x'), (2, 'Mr. A', 2, 'y'), (3, 'B', 3, 'z')")
		sizes, err := mustOpen(t, db, Layout{}).Sizes(t.Context(), []string{"Mr. A", "B", "none"})
		if err != nil || sizes["B"] < 1 || db.Dialect != sqldb.MySQL && (sizes["Mr. A"] != 2 || sizes["B"] != 1 || len(sizes) != 2) {
			t.Errorf("got %v: %v", sizes, err)
		}
	})
}

func TestAnyNumberOfCustomersIsReadTogether(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		makeTables(t, db, "int", "int", "int", "int", "varchar(40)")
		const n = 2*maxList + 7
		var values, customers []string
		for i := range n {
			values = append(values, fmt.Sprintf("(%d, %d, 1, 'g%d')", i, i, i))
			customers = append(customers, fmt.Sprint(i))
		}
		run(t, db, "INSERT INTO entity_row VALUES "+strings.Join(values, ", "))
		s := mustOpen(t, db, Layout{})
		rows, _, err := contents(t.Context(), s, Scan{Customers: customers})
		if err != nil || len(rows) != n {
			t.Errorf("rows of %d customers: %v", len(rows), err)
		}
		sizes, err := s.Sizes(t.Context(), customers)
		if err != nil || len(sizes) != n {
			t.Errorf("sizes of %d customers: %v", len(sizes), err)
		}
		if err := s.Scan(t.Context(), Scan{}, func([]Row) error { return errors.New("a row of nobody") }); err != nil {
			t.Errorf("no customers: %v", err)
		}
	})
}
