package dedupe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/record"
	"github.com/stint-run/stint/tasks/taskstest"
)

// dialects are the stores that a test runs on, each on a server of its own.
var dialects = []struct {
	name string
	url  func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return "sqlite:" + quickDir(t) + "/store.db" }},
	{"postgres", pgtest.New},
	{"mariadb", mariadbtest.New},
}

// made opens a database with a store of data sets whose truth is known.
func made(t testing.TB, url string, spec datasetstest.Spec) (*lab, *datasetstest.Truth) {
	t.Helper()
	l := opened(t, url)
	truth, err := datasetstest.Generate(t.Context(), l.db, spec)
	if err != nil {
		t.Fatal(err)
	}
	return l, truth
}

var withComplete = datasets.Layout{Registry: datasets.Registry{Complete: "complete"}, Entity: "entity_row"}

// bold are rules that let everything go that may.
func bold() RuleSpec {
	one := 1.0
	return RuleSpec{MaxShare: &one, MaxShareCustomer: &one}
}

// pairsIn reads the pairs of an analysis.
func pairsIn(t testing.TB, text string) []datasetstest.Pair {
	t.Helper()
	r, err := record.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out []datasetstest.Pair
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := line.Pair; p != nil {
			var pair datasetstest.Pair
			if _, err := fmt.Sscan(p.Customer, &pair.Customer); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscan(p.A+" "+p.B, &pair.A, &pair.B); err != nil {
				t.Fatal(err)
			}
			if pair.A > pair.B {
				pair.A, pair.B = pair.B, pair.A
			}
			pair.Shared = p.Shared
			out = append(out, pair)
		}
	}
	slices.SortFunc(out, func(a, b datasetstest.Pair) int {
		return slices.Compare([]int64{a.Customer, a.A, a.B}, []int64{b.Customer, b.A, b.B})
	})
	return out
}

// TestThePairsAreThoseOfASelfJoin compares an analysis with the query that anybody would write, and with how the store was made.
func TestThePairsAreThoseOfASelfJoin(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l, truth := made(t, d.url(t), datasetstest.Spec{Seed: 3, Customers: 60, Rows: 10_000, Payload: 20, Children: -1})
			job := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold()})
			if _, err := l.run(job); err != nil {
				t.Fatal(err)
			}
			text := l.output(job, fileAnalysis)
			got := pairsIn(t, text)
			want, err := datasetstest.Oracle(t.Context(), l.db, 25, false)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) < 30 || !slices.Equal(got, want) {
				t.Errorf("%d pairs, the self-join has %d", len(got), len(want))
			}
			if made := truth.Pairs(25, false); !slices.Equal(got, made) {
				t.Errorf("%d pairs, and %d were made", len(got), len(made))
			}
			r, err := record.NewReader(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if found, made := int(r.Header.Templates.GUIDs), len(truth.Templates()); found != made {
				t.Errorf("%d template rows were found, and %d were made", found, made)
			}
			if again := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold()}); true {
				if _, err := l.run(again); err != nil {
					t.Fatal(err)
				}
				if sum := l.output(again, fileSummary); !strings.Contains(sum, "Compared with the analysis before") {
					t.Errorf("the second summary does not compare with the first:\n%s", sum)
				}
			}
		})
	}
}

// TestWhatGoesCanBePutBack deletes all that an analysis allows, and undoes it.
func TestWhatGoesCanBePutBack(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			l, _ := made(t, d.url(t), datasetstest.Spec{Seed: 4, Customers: 20, Rows: 4_000})
			before := l.rowsOf()
			job := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold(), Apply: &ApplySpec{Limit: 5, Batch: 100, Busy: 1}})
			if found, err := l.run(job); err != nil || len(found) > 0 {
				t.Fatal(err, found)
			}
			var rows int64
			n := 0
			for _, del := range l.deletions(job) {
				switch del.Outcome {
				case record.Deleted:
					n++
					rows += del.Tables["data_set"] + del.Tables["entity_row"]
				case record.OverLimit:
				default:
					t.Errorf("%s/%s: %s, %s", del.Customer, del.Database, del.Outcome, del.Why)
				}
			}
			after := l.rowsOf()
			if n != 5 || rows == 0 || before.total()-after.total() != rows {
				t.Errorf("%d data sets of %d rows are said to be gone; there were %d rows and are %d", n, rows, before.total(), after.total())
			}
			if found, err := l.run(l.job(KindRestoration, RestorationSpec{Job: job.ID, Store: "store"})); err != nil || len(found) > 0 {
				t.Fatal(err, found)
			}
			if got := l.rowsOf(); !slices.Equal(got, before) {
				t.Error("after undo the rows are others than before")
			}
		})
	}
}

// lines of a store, each a row as text.
type tableRows []string

func (r tableRows) total() int64 { return int64(len(r)) }

// rowsOf reads the tables of a generated store.
func (l *lab) rowsOf() tableRows {
	l.t.Helper()
	var out tableRows
	concat := map[sqldb.Dialect]string{
		sqldb.SQLite:   "SELECT '%[1]s' || quote(t.%[2]s) FROM %[1]s t",
		sqldb.Postgres: "SELECT '%[1]s ' || t::text FROM %[1]s t",
		sqldb.MySQL:    "SELECT concat_ws('|', '%[1]s', %[2]s) FROM %[1]s t",
	}[l.db.Dialect]
	schema, err := sqldb.Introspect(l.t.Context(), l.db, []string{"data_set", "entity_row"})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, t := range schema.Tables {
		var cols []string
		for _, c := range t.Columns {
			cols = append(cols, c.Name)
		}
		list := strings.Join(cols, ", ")
		if l.db.Dialect == sqldb.SQLite {
			list = strings.Join(cols, ") || quote(t.")
		}
		l.texts(fmt.Sprintf(concat, t.Name, list), func(s string) { out = append(out, s) })
	}
	slices.Sort(out)
	return out
}

func (l *lab) texts(query string, each func(string)) {
	l.t.Helper()
	if l.db.Pool == nil {
		l.query(query, func(scan func(...any) error) error {
			var s string
			err := scan(&s)
			each(s)
			return err
		})
		return
	}
	rows, err := l.db.Pool.Query(l.t.Context(), query)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			l.t.Fatal(err)
		}
		each(s)
	}
	if rows.Err() != nil {
		l.t.Fatal(rows.Err())
	}
}

// TestTheFamiliesKeepTheirPromises holds the three families to the suite of all families, on a store that is another process.
func TestTheFamiliesKeepTheirPromises(t *testing.T) {
	t.Parallel()
	keepPromises(t, pgtest.New)
}

// TestTheFamiliesKeepTheirPromisesInSQLite is the same on a store within this process.
func TestTheFamiliesKeepTheirPromisesInSQLite(t *testing.T) {
	t.Parallel()
	keepPromises(t, dialects[0].url)
}

func keepPromises(t *testing.T, url func(t testing.TB) string) {
	spec := datasetstest.Spec{Seed: 5, Customers: 6, Rows: 1_000, Payload: 20, Children: -1}
	fresh := func(t *testing.T) (*lab, *datasetstest.Truth) { return made(t, url(t), spec) }
	t.Run("dedupe", func(t *testing.T) {
		t.Parallel()
		taskstest.Run(t, func(t *testing.T) taskstest.Subject {
			l, truth := fresh(t)
			job := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold()})
			return taskstest.Subject{Family: l.kinds[Kind], Job: job, Check: func(t *testing.T) {
				if got, want := pairsIn(t, l.output(job, fileAnalysis)), truth.Pairs(25, false); !slices.Equal(got, want) {
					t.Errorf("%d pairs, want %d", len(got), len(want))
				}
			}}
		})
	})
	t.Run("deletion", func(t *testing.T) {
		t.Parallel()
		taskstest.Run(t, func(t *testing.T) taskstest.Subject {
			l, _ := fresh(t)
			before := l.rowsOf()
			analysis := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold()})
			if _, err := l.run(analysis); err != nil {
				t.Fatal(err)
			}
			digest := digestIn(t, l.output(analysis, fileAnalysis))
			job := l.job(KindDeletion, DeletionSpec{Job: analysis.ID, Store: "store", Digest: digest, Apply: ApplySpec{Limit: 2, Batch: 60, Busy: 1}})
			return taskstest.Subject{Family: l.kinds[KindDeletion], Job: job, Check: func(t *testing.T) { l.gone(job, before, 2) }}
		})
	})
	t.Run("restoration", func(t *testing.T) {
		t.Parallel()
		taskstest.Run(t, func(t *testing.T) taskstest.Subject {
			l, _ := fresh(t)
			before := l.rowsOf()
			deletion := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold(), Apply: &ApplySpec{Limit: 2, Batch: 60, Busy: 1}})
			if _, err := l.run(deletion); err != nil {
				t.Fatal(err)
			}
			l.gone(deletion, before, 2)
			return taskstest.Subject{Family: l.kinds[KindRestoration], Job: l.job(KindRestoration, RestorationSpec{Job: deletion.ID, Store: "store"}), Check: func(t *testing.T) {
				if got := l.rowsOf(); !slices.Equal(got, before) {
					t.Error("after undo the rows are others than before")
				}
			}}
		})
	})
}

// gone compares what a deletion says with what is no longer there.
func (l *lab) gone(job tasks.Job, before tableRows, sets int) {
	l.t.Helper()
	var rows int64
	n := 0
	for _, d := range l.deletions(job) {
		if d.Outcome == record.Deleted {
			n++
			rows += d.Tables["data_set"] + d.Tables["entity_row"]
		}
	}
	if left := l.rowsOf().total(); n != sets || before.total()-left != rows {
		l.t.Errorf("%d data sets of %d rows are said to be gone; there were %d rows and are %d", n, rows, before.total(), left)
	}
}

// TestALargeCustomerIsCountedInBoundedMemory counts one customer with more GUIDs than a counter takes, where nobody has estimated it.
func TestALargeCustomerIsCountedInBoundedMemory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it writes a million rows")
	}
	l := newLab(t, nil)
	l.exec(`CREATE TABLE data_set (customer_id INTEGER, database_id INTEGER, last_synced_at TEXT, PRIMARY KEY (customer_id, database_id))`)
	l.exec(`CREATE TABLE entity_row (customer_id INTEGER, database_id INTEGER, guid BLOB, PRIMARY KEY (customer_id, database_id, guid)) WITHOUT ROWID`)
	l.exec(`INSERT INTO data_set VALUES (1, 1, '2020-01-01 00:00:00'), (1, 2, '2024-01-01 00:00:00'), (2, 1, '2020-01-01 00:00:00'), (2, 2, '2024-01-01 00:00:00')`)
	// The second is the first but for 1,000 rows, and 2,000 new ones; customer 2 follows in the same step.
	const insert = `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO entity_row SELECT ?, ?, CAST(printf('%08x%08x', (i * 2654435761) & 4294967295, i) AS BLOB) FROM n ORDER BY 3`
	l.exec(insert, 1, 480_000, 1, 1)
	l.exec(insert, 1_001, 482_000, 1, 2)
	l.exec(insert, 1, 100, 2, 1)
	l.exec(insert, 1, 100, 2, 2)
	job := l.job(Kind, Spec{Store: "store", Rules: bold()})
	if _, err := l.run(job); err != nil {
		t.Fatal(err)
	}
	want := []datasetstest.Pair{{Customer: 1, A: 1, B: 2, Shared: 479_000}, {Customer: 2, A: 1, B: 2, Shared: 100}}
	if got := pairsIn(t, l.output(job, fileAnalysis)); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestSplittingGoesOnWhereItEnded lists the steps of a survey with every page size.
func TestSplittingGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	f := l.kinds[Kind].(*Family)
	job := l.job(Kind, Spec{Store: "store"})
	sets := func(customer string, n int) (out []datasets.Set) {
		for i := range n {
			out = append(out, datasets.Set{ID: datasets.ID{Customer: customer, Database: fmt.Sprint(i)}})
		}
		return out
	}
	err := f.putLines(t.Context(), keyOf(job.ID, fileSurvey), func(line func(any) error) error {
		list := []any{surveyHead{}}
		for i := range 300 {
			c := surveyed{Customer: fmt.Sprint("c", i), Sets: sets(fmt.Sprint("c", i), 1+i%4), Size: int64(i * 1000)}
			if i%17 == 0 {
				c.Size, c.Borders = 5_000_000, []string{"a", "b", "c", "d"}
			}
			list = append(list, c)
		}
		for _, v := range append(list, surveyed{}) {
			if err := line(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := func(limit int) (ids []string) {
		var cursor tasks.Cursor
		for {
			steps, next, err := f.Split(context.Background(), job, tasks.Stage{Name: stageCount}, cursor, limit)
			if err != nil || len(steps) > limit {
				t.Fatalf("%d steps, %v", len(steps), err)
			}
			for _, s := range steps {
				ids = append(ids, s.ID+" "+string(s.Body))
			}
			if cursor = next; next == nil {
				return ids
			}
		}
	}
	want := all(1000)
	customers := 0
	for _, id := range want {
		customers += strings.Count(id, `"id"`)
	}
	if small, large := customers, len(want); small < 225 || large < 60 {
		t.Errorf("%d customers in %d steps", small, large)
	}
	for _, limit := range []int{1, 2, 3, 7, 50} {
		if got := all(limit); !slices.Equal(got, want) {
			t.Errorf("pages of %d give %d steps, want %d", limit, len(got), len(want))
		}
	}
}
