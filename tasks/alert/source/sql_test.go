package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/firebirdtest"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// t0 is where the windows of the tests begin.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// database opens a new database for reading, in which statements were run.
func database(t *testing.T, dialect sqldb.Dialect, statements ...string) *sqldb.DB {
	t.Helper()
	var url string
	switch dialect {
	case sqldb.Postgres:
		url = pgtest.New(t)
	case sqldb.MySQL:
		url = mariadbtest.New(t)
	case sqldb.Firebird:
		url = firebirdtest.New(t, "DEFAULT CHARACTER SET UTF8")
		firebirdtest.Script(t, url, strings.Join(statements, ";\n")+";\n")
	default:
		url = "sqlite:" + filepath.Join(t.TempDir(), "events.db")
	}
	at, err := sqldb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if dialect != sqldb.Firebird {
		run(t, open(t, at, sqldb.Options{}), statements...)
	}
	return open(t, at, sqldb.Options{ReadOnly: true})
}

func open(t *testing.T, at sqldb.Location, o sqldb.Options) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), at, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, db *sqldb.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		var err error
		if db.Pool != nil {
			_, err = db.Pool.Exec(context.Background(), s)
		} else {
			_, err = db.SQL.ExecContext(context.Background(), s)
		}
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// window is (t0+from, t0+to] of a table called ev, by its column happened.
func windowOf(from, to time.Duration) source.Query {
	return source.Query{Index: "ev", Field: "happened", Type: "iso", Start: t0.Add(from), End: t0.Add(to)}
}

// searchAll returns all hits.
func searchAll(t *testing.T, src source.Source, q source.Query) []source.Hit {
	t.Helper()
	hits, _ := searched(t, src, q)
	return hits
}

func searched(t *testing.T, src source.Source, q source.Query) ([]source.Hit, source.Found) {
	t.Helper()
	var all []source.Hit
	found, err := src.Search(context.Background(), q, func(page []source.Hit) error {
		all = append(all, page...)
		return nil
	})
	if err != nil {
		t.Fatalf("search: %v (%s)", err, tasks.HintOf(err))
	}
	if found.New != int64(len(all)) {
		t.Fatalf("%d hits, and %d are said to be new", len(all), found.New)
	}
	for i, h := range all {
		if h.ID == "" || h.Doc["_id"] != h.ID || i > 0 && h.At.Before(all[i-1].At) {
			t.Fatalf("hit %d is %+v", i, h)
		}
	}
	return all, found
}

// every runs a test for each dialect that there is a server of.
func every(t *testing.T, test func(t *testing.T, d sqldb.Dialect)) {
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL, sqldb.Firebird} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			test(t, d)
		})
	}
}

// moment is a type of column that holds day and time.
func moment(d sqldb.Dialect) string {
	switch d {
	case sqldb.Postgres:
		return "timestamptz"
	case sqldb.MySQL:
		return "datetime(6)"
	case sqldb.Firebird:
		return "timestamp"
	}
	return "datetime"
}

// written is a time as a literal of SQL.
func written(d sqldb.Dialect, at time.Time) string {
	if d == sqldb.Firebird {
		return at.UTC().Format("'2006-01-02 15:04:05.0000'")
	}
	return at.UTC().Format("'2006-01-02 15:04:05.000000'")
}

func TestRowsOfATableAreTheEventsOfAWindow(t *testing.T) {
	t.Parallel()
	every(t, func(t *testing.T, d sqldb.Dialect) {
		statements := []string{"CREATE TABLE ev (id integer NOT NULL, happened " + moment(d) + ", host varchar(20), n integer, ratio double precision)"}
		for i, s := range []float64{60, 0, 61, 30, 0.5, 120} {
			statements = append(statements, fmt.Sprintf("INSERT INTO ev VALUES (%d, %s, 'web-%d', %d, 0.5)", i, written(d, t0.Add(time.Duration(s*1e9))), i%2, i))
		}
		statements = append(statements, "INSERT INTO ev (id, happened, host) VALUES (9, NULL, 'never')", "INSERT INTO ev (id, happened) VALUES (7, "+written(d, t0.Add(45*time.Second))+")")
		src := source.NewSQL(database(t, d, statements...))
		q := windowOf(0, time.Minute)
		q.IDField = "id"
		var got []string
		hits := searchAll(t, src, q)
		for _, h := range hits {
			got = append(got, h.ID)
		}
		if want := []string{"4", "3", "7", "0"}; !reflect.DeepEqual(got, want) {
			t.Fatalf("the ids are %v, want %v", got, want)
		}
		doc := lower(hits[0].Doc)
		want := map[string]any{"_id": "4", "_index": "ev", "id": json.Number("4"), "happened": "2026-03-01T12:00:00.5Z", "host": "web-0", "n": json.Number("4"), "ratio": json.Number("0.5")}
		if !reflect.DeepEqual(doc, want) {
			t.Errorf("the document is %v, want %v", doc, want)
		}
		if doc := lower(hits[2].Doc); doc["host"] != nil || len(doc) != 7 {
			t.Errorf("NULL is %v", doc)
		}
		if n, err := src.Count(context.Background(), q); err != nil || n != 4 {
			t.Errorf("the count is %d, %v", n, err)
		}
		q.Known = t0.Add(40 * time.Second)
		if rest, found := searched(t, src, q); len(rest) != 2 || found.Known != 2 {
			t.Errorf("after what is known: %d hits, %+v", len(rest), found)
		}
		q = windowOf(0, time.Minute)
		q.Index, q.Text = "", "SELECT host, min(happened) AS seen FROM ev WHERE n IS NOT NULL GROUP BY host -- by host;"
		q.Field = "seen"
		if hits := searchAll(t, src, q); len(hits) != 1 || lower(hits[0].Doc)["host"] != "web-0" || lower(hits[0].Doc)["seen"] != "2026-03-01T12:00:00.5Z" {
			t.Errorf("of a query: %v", hits)
		}
	})
}

// lower writes the names of fields in lower case, which Firebird has in upper case.
func lower(doc map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range doc {
		out[strings.ToLower(name)] = v
	}
	return out
}

func TestFiltersCountsAndMetricsOfRows(t *testing.T) {
	t.Parallel()
	statements := []string{"CREATE TABLE ev (happened timestamptz, host text, code int, took double precision, tags text[])"}
	for i := range 100 {
		statements = append(statements, fmt.Sprintf("INSERT INTO ev VALUES (%s, 'web-%d', %d, %d, '{a,b}')", written(sqldb.Postgres, t0.Add(time.Duration(i+1)*time.Second)), i%3, 200+100*(i%4), i))
	}
	src := source.NewSQL(database(t, sqldb.Postgres, statements...))
	q := windowOf(0, time.Hour)
	q.PageSize = 7
	q.Filter = []map[string]any{{"range": map[string]any{"code": map[string]any{"gte": json.Number("400")}}}, {"terms": map[string]any{"host.keyword": []any{"web-1", "web-2"}}}}
	ctx := context.Background()
	pages := 0
	found, err := src.Search(ctx, q, func(page []source.Hit) error {
		if pages++; len(page) > 7 {
			return fmt.Errorf("a page of %d", len(page))
		}
		return nil
	})
	if err != nil || found.New != 33 || pages != 5 {
		t.Errorf("%+v on %d pages, %v", found, pages, err)
	}
	if n, err := src.Count(ctx, q); err != nil || n != 33 {
		t.Errorf("the count is %d, %v", n, err)
	}
	terms, err := src.Terms(ctx, q, "host.keyword", 1, 10)
	if want := []source.Bucket{{Key: "web-2", Count: 17}, {Key: "web-1", Count: 16}}; err != nil || !reflect.DeepEqual(terms, want) {
		t.Errorf("the terms are %v, %v", terms, err)
	}
	if _, err := src.Terms(ctx, q, "host", 1, 1); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("more terms than are asked for: %v", err)
	}
	if terms, err := src.Terms(ctx, windowOf(0, time.Hour), "tags", 100, 2); err != nil || len(terms) != 2 || terms[0].Count != 100 {
		t.Errorf("the terms of lists are %v, %v", terms, err)
	}
	answer, events, err := src.Aggregate(ctx, q, map[string]any{"avg_took": map[string]any{"avg": map[string]any{"field": "took"}}})
	if err != nil || events != 33 || !strings.HasPrefix(fmt.Sprint(answer["avg_took"]), "map[value:") {
		t.Errorf("the metric is %v of %d, %v", answer, events, err)
	}
	if _, _, err := src.Aggregate(ctx, q, map[string]any{"x": map[string]any{"nonsense": map[string]any{}}}); !tasks.IsPermanent(err) {
		t.Errorf("a metric that nobody knows: %v", err)
	}
	q.Filter = []map[string]any{{"nonsense": map[string]any{}}}
	if _, err := src.Count(ctx, q); !tasks.IsPermanent(err) {
		t.Errorf("a filter that nobody knows: %v", err)
	}
	q = windowOf(0, time.Hour)
	q.Include = []string{"co*"}
	if hits := searchAll(t, src, q); len(hits) != 100 || len(hits[0].Doc) != 4 || hits[0].Doc["code"] != json.Number("200") || hits[0].Doc["happened"] != "2026-03-01T12:00:01Z" {
		t.Errorf("with some fields: %v", hits[0].Doc)
	}
}
