package source_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

func TestValuesOfEachTypeAreWhatJSONHas(t *testing.T) {
	t.Parallel()
	at := "2026-03-01T12:00:01Z"
	num := func(s string) json.Number { return json.Number(s) }
	for d, table := range map[sqldb.Dialect]struct {
		make []string
		want map[string]any
	}{
		sqldb.Postgres: {
			[]string{`CREATE TABLE ev (happened timestamptz, local timestamp, day date, clock time, big bigint, small smallint, f real, nan double precision, inf double precision,
				exact numeric(30,10), yes boolean, j jsonb, raw bytea, id uuid, list text[], numbers int[], nothing text, net inet, never timestamptz, kind char(3))`,
				`INSERT INTO ev VALUES ('2026-03-01 13:00:01+01', '2026-03-01 09:08:07.123456', '2026-03-02', '10:11:12', 9007199254740993, -3, 0.1, 'NaN', '-Infinity',
				12345678901234567890.0123456789, true, '{"a": [1, 2.50, null], "big": 9007199254740993}', '\x00ff', '6f2c1c3e-0000-4000-8000-0123456789ab', '{a,"b,c",NULL}', '{1,2}', NULL,
				'10.0.0.0/8', 'infinity', 'ab')`},
			map[string]any{"happened": at, "local": "2026-03-01T09:08:07.123456Z", "day": "2026-03-02", "clock": "10:11:12", "big": num("9007199254740993"), "small": num("-3"),
				"f": num("0.1"), "nan": nil, "inf": num("-1e300"), "exact": num("12345678901234567890.0123456789"), "yes": true,
				"j": map[string]any{"a": []any{num("1"), num("2.50"), nil}, "big": num("9007199254740993")}, "raw": "AP8=", "id": "6f2c1c3e-0000-4000-8000-0123456789ab",
				"list": []any{"a", "b,c", nil}, "numbers": []any{num("1"), num("2")}, "nothing": nil, "net": "10.0.0.0/8", "never": "infinity", "kind": "ab "},
		},
		sqldb.MySQL: {
			[]string{`CREATE TABLE ev (happened timestamp(6) NOT NULL DEFAULT '2026-03-01 12:00:01', local datetime, day date, clock time, big bigint unsigned, small tinyint, f float,
				d double, exact decimal(30,10), raw blob, text1 longtext, bits bit(10), nothing varchar(5), year1 year, kind enum('a','b')) CHARACTER SET utf8mb4`,
				`INSERT INTO ev VALUES ('2026-03-01 12:00:01', '2026-03-01 09:08:07', '2026-03-02', '10:11:12', 18446744073709551615, -3, 0.1, 2.5e10, 12345678901234567890.0123456789,
				x'00ff', 'grün', b'1000000001', NULL, 2026, 'b')`},
			map[string]any{"happened": at, "local": "2026-03-01T09:08:07Z", "day": "2026-03-02", "clock": "10:11:12", "big": num("18446744073709551615"), "small": num("-3"), "f": num("0.1"),
				"d": num("25000000000"), "exact": num("12345678901234567890.0123456789"), "raw": "AP8=", "text1": "grün", "bits": num("513"), "nothing": nil, "year1": num("2026"), "kind": "b"},
		},
		sqldb.SQLite: {
			[]string{"CREATE TABLE ev (happened datetime, day date, n integer, f real, s text, raw blob, yes boolean, price decimal(10,2), anything)",
				"INSERT INTO ev VALUES ('2026-03-01 12:00:01', '2026-03-02', 9007199254740993, 0.5, '12', x'00ff', 1, 12.5, NULL)"},
			map[string]any{"happened": at, "day": "2026-03-02", "n": num("9007199254740993"), "f": num("0.5"), "s": "12", "raw": "AP8=", "yes": true, "price": num("12.5"), "anything": nil},
		},
		sqldb.Firebird: {
			[]string{`CREATE TABLE ev (happened timestamp, "day" date, clock time, big bigint, small smallint, f double precision, exact numeric(18,4), note blob sub_type text, raw blob, yes boolean,
				name varchar(20), code char(5), nothing integer)`,
				`INSERT INTO ev VALUES ('2026-03-01 12:00:01', '2026-03-02', '10:11:12', 9007199254740993, -3, 0.5, 1234567.8901, x'6772c3bc6e', x'00ff', true, x'c3a9', 'ab', NULL)`},
			map[string]any{"happened": at, "day": "2026-03-02", "clock": "10:11:12", "big": num("9007199254740993"), "small": num("-3"), "f": num("0.5"), "exact": num("1234567.8901"),
				"note": "grün", "raw": "AP8=", "yes": true, "name": "é", "code": "ab", "nothing": nil},
		},
	} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			hits := searchAll(t, source.NewSQL(database(t, d, table.make...)), windowOf(0, time.Minute))
			if len(hits) != 1 {
				t.Fatalf("%d hits", len(hits))
			}
			got := lower(hits[0].Doc)
			for name, want := range table.want {
				if !reflect.DeepEqual(got[name], want) {
					t.Errorf("%s is %#v, want %#v", name, got[name], want)
				}
			}
			if b, err := json.Marshal(got); err != nil || len(got) != len(table.want)+2 {
				t.Errorf("the document is %s, %v", b, err)
			}
		})
	}
}

func TestTimesAreReadInTheFormThatTheRuleNames(t *testing.T) {
	t.Parallel()
	second := func(s float64) time.Time { return t0.Add(time.Duration(s * 1e9)) }
	for name, c := range map[string]struct {
		typ, of string
		write   func(at time.Time) string
	}{
		"whole seconds":           {"bigint", "unix", func(at time.Time) string { return fmt.Sprint(at.Unix()) }},
		"seconds with a fraction": {"decimal(20,3)", "unix", func(at time.Time) string { return fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000) }},
		"milliseconds":            {"bigint", "unix_ms", func(at time.Time) string { return fmt.Sprint(at.UnixMilli()) }},
		"texts":                   {"varchar(40)", "iso", func(at time.Time) string { return at.Format("'2006-01-02T15:04:05.000Z'") }},
		"texts with a gap":        {"varchar(40)", "iso", func(at time.Time) string { return at.Format("'2006-01-02 15:04:05.000'") }},
		"texts of another zone": {"varchar(40)", "iso", func(at time.Time) string {
			return at.In(time.FixedZone("", -11*3600)).Format("'2006-01-02T15:04:05.000-0700'")
		}},
		"texts of several forms": {"varchar(40)", "iso", func(at time.Time) string {
			if at.Second()%2 == 0 {
				return at.In(time.FixedZone("", 10*3600)).Format("'2006-01-02T15:04:05.000000-07:00'")
			}
			return at.Format("'2006-01-02 15:04:05.000'")
		}},
	} {
		for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
			t.Run(name+" in "+string(d), func(t *testing.T) {
				t.Parallel()
				statements := []string{"CREATE TABLE ev (id integer, happened " + c.typ + ")"}
				for i := range 120 { // each second from t0 - 29 s
					statements = append(statements, fmt.Sprintf("INSERT INTO ev VALUES (%d, %s)", i, c.write(second(float64(i-29)))))
				}
				statements = append(statements, "INSERT INTO ev VALUES (200, NULL)")
				src := source.NewSQL(database(t, d, statements...))
				q := windowOf(0, 30*time.Second)
				q.Type, q.IDField = c.of, "id"
				hits := searchAll(t, src, q)
				if len(hits) != 30 || hits[0].ID != "30" || hits[29].ID != "59" || !hits[0].At.Equal(second(1)) {
					t.Fatalf("%d hits: %+v", len(hits), hits)
				}
				for i, h := range hits {
					text, _ := h.Doc["happened"].(string)
					if at, err := time.Parse(time.RFC3339Nano, text); err != nil || !at.Equal(h.At) || !at.Equal(second(float64(i+1))) {
						t.Errorf("hit %d is at %v, %q", i, h.At, text)
					}
				}
				q.Start, q.End = second(0.4), second(2.6) // between the whole seconds
				if n, err := src.Count(context.Background(), q); err != nil || n != 2 {
					t.Errorf("the count is %d, %v", n, err)
				}
			})
		}
	}
}

func TestWhatAColumnCannotBeIsSaidBeforeItIsAskedFor(t *testing.T) {
	t.Parallel()
	src := source.NewSQL(database(t, sqldb.Postgres, `CREATE TABLE ev (happened timestamptz, n int, s text, yes boolean, "Twice" int, "TWICE" int)`,
		"INSERT INTO ev VALUES (now(), 1, 'no time', true)"))
	for name, c := range map[string]struct {
		change func(q *source.Query)
		want   string
	}{
		"no such column":     {func(q *source.Query) { q.Field = "@timestamp" }, "there is no column @timestamp"},
		"no such id":         {func(q *source.Query) { q.IDField = "uid" }, "there is no column uid"},
		"two that could be":  {func(q *source.Query) { q.IDField = "twice" }, "twice could be"},
		"numbers":            {func(q *source.Query) { q.Field = "n" }, "does not say what its numbers count"},
		"no time at all":     {func(q *source.Query) { q.Field = "yes" }, "holds no time"},
		"texts as numbers":   {func(q *source.Query) { q.Field, q.Type = "s", "unix" }, "holds no numbers"},
		"a form of its own":  {func(q *source.Query) { q.Field, q.Type = "s", "custom" }, "custom is not known"},
		"no such table":      {func(q *source.Query) { q.Index = "gone" }, "is not there"},
		"nothing":            {func(q *source.Query) { q.Index = "" }, "does not say where its events are"},
		"no SQL":             {func(q *source.Query) { q.Text = "SELEKT 1" }, "does not take the query"},
		"two of one name":    {func(q *source.Query) { q.Text = "SELECT happened, n, n FROM ev" }, "two columns n"},
		"two statements":     {func(q *source.Query) { q.Text = "SELECT happened FROM ev) x; DROP TABLE ev; SELECT (1" }, ""},
		"a write in a query": {func(q *source.Query) { q.Text = "WITH w AS (DELETE FROM ev RETURNING *) SELECT * FROM w" }, ""},
	} {
		q := windowOf(0, time.Minute)
		c.change(&q)
		_, err := src.Count(context.Background(), q)
		if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%s)", name, err, tasks.HintOf(err))
		}
	}
	if n, err := src.Count(context.Background(), source.Query{Index: "public.ev", Field: "HAPPENED", End: time.Now().Add(time.Hour)}); err != nil || n != 1 {
		t.Errorf("the table has %d rows, %v", n, err)
	}
	texts := source.NewSQL(database(t, sqldb.Postgres, "CREATE TABLE ev (happened text)", "INSERT INTO ev VALUES ('2026-03-01 at noon')"))
	if _, err := texts.Count(context.Background(), windowOf(-time.Hour, time.Hour)); err == nil || !strings.Contains(err.Error(), "has no time in 2026-03-01 at noon") || tasks.HintOf(err) == "" {
		t.Errorf("a text that is no time: %v", err)
	}
	numbers := source.NewSQL(database(t, sqldb.SQLite, "CREATE TABLE ev (happened)", "INSERT INTO ev VALUES (1772366400)"))
	if _, err := numbers.Count(context.Background(), windowOf(-time.Hour, time.Hour)); err == nil || !strings.Contains(err.Error(), "it is no text") {
		t.Errorf("a number where texts are: %v", err)
	}
}

func TestRowsThatAreEqualAreEventsOfTheirOwn(t *testing.T) {
	t.Parallel()
	every(t, func(t *testing.T, d sqldb.Dialect) {
		row := "INSERT INTO ev VALUES (" + written(d, t0.Add(time.Second)) + ", 'same')"
		src := source.NewSQL(database(t, d, "CREATE TABLE ev (happened "+moment(d)+", s varchar(10))", row, row, row,
			"INSERT INTO ev VALUES ("+written(d, t0.Add(2*time.Second))+", 'same')"))
		ids := map[string]bool{}
		for range 2 {
			for _, h := range searchAll(t, src, windowOf(0, time.Minute)) {
				ids[h.ID] = true
			}
		}
		if len(ids) != 4 {
			t.Errorf("the ids are %v", ids)
		}
	})
}

func TestATableThatHasChangedIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	at, err := sqldb.ParseURL("sqlite:" + t.TempDir() + "/x.db")
	if err != nil {
		t.Fatal(err)
	}
	writer := open(t, at, sqldb.Options{})
	run(t, writer, "CREATE TABLE ev (happened datetime)")
	src := source.NewSQL(open(t, at, sqldb.Options{ReadOnly: true}))
	q := windowOf(0, time.Minute)
	if hits := searchAll(t, src, q); len(hits) != 0 {
		t.Fatal(hits)
	}
	run(t, writer, "DROP TABLE ev", "CREATE TABLE ev (HAPPENED datetime, more integer)", "INSERT INTO ev VALUES ('2026-03-01 12:00:05', 1)")
	if _, err := src.Search(context.Background(), q, func([]source.Hit) error { return nil }); err == nil || tasks.IsPermanent(err) {
		t.Errorf("the shape of before is taken for the one of now: %v", err)
	}
	if hits := searchAll(t, src, q); len(hits) != 1 || hits[0].Doc["more"] != json.Number("1") {
		t.Errorf("got %v", hits)
	}
}
