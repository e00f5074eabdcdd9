package migration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// shop is what the plans of these tests read: a tree five levels deep, whose root comes last; orders that refer to customers, one of
// them to nobody; two phones in one row; words for truth; a composite key.
const shop = `
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, boss INTEGER, country TEXT, active TEXT, phone1 TEXT, phone2 TEXT, born TEXT, deleted INTEGER NOT NULL DEFAULT 0);
INSERT INTO customer VALUES
 (1, ' Ada ', 2, 'NO', 'Y', '11', '12', '10/12/1815', 0), (2, 'Bo', 3, 'SE', 'N', '21', NULL, '01/02/1900', 0), (3, 'Cy', 4, 'XX', 'Y', NULL, NULL, NULL, 0),
 (4, 'Di', 5, NULL, 'N', '41', 'bad', '31/12/1999', 0), (5, 'Ed', NULL, 'NO', 'Y', '51', '52', NULL, 0), (6, 'Gone', NULL, 'NO', 'Y', '61', NULL, NULL, 1);
CREATE TABLE sale (id INTEGER PRIMARY KEY, customer INTEGER, total DECIMAL(10,2));
INSERT INTO sale VALUES (1, 1, 19.99), (2, 5, 1.50), (3, 99, 7), (4, NULL, 3), (5, 6, 2);
CREATE TABLE item (sale INTEGER NOT NULL, pos INTEGER NOT NULL, what TEXT, PRIMARY KEY (sale, pos));
INSERT INTO item VALUES (1, 1, 'hat'), (1, 2, 'coat'), (2, 1, 'shoe');`

// shopWorld is a world whose source is the shop.
func shopWorld(t *testing.T, to string, statements ...string) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.db")
	run(t, path, append([]string{shop}, statements...)...)
	return worldOf(t, "sqlite:"+path, to)
}

func worldOf(t *testing.T, from, to string) *world {
	t.Helper()
	w := &world{from: from, to: to}
	w.dbs = migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"old": w.from, "new": w.to}[name])
	}, 3)
	t.Cleanup(func() {
		if err := w.dbs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

func planOf(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, _, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// planned is a job by a plan, in small chunks and batches.
func (w *world) planned(t *testing.T, text string) tasks.Job {
	t.Helper()
	return w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: planOf(t, text), ChunkRows: 3, BatchRows: 2})
}

// again is a job that tries the rows of another again.
func (w *world) again(t *testing.T, job tasks.Job, text string) tasks.Job {
	t.Helper()
	return w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: planOf(t, text), Again: job.ID})
}

// one returns the only value of a query in the target, as text.
func (w *world) one(t *testing.T, query string) string {
	t.Helper()
	db := w.open(t, w.to)
	var text *string
	var err error
	if db.Pool != nil {
		err = db.Pool.QueryRow(t.Context(), query).Scan(&text)
	} else {
		err = db.SQL.QueryRowContext(t.Context(), query).Scan(&text)
	}
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if text == nil {
		return "NULL"
	}
	return *text
}

// want compares the only value of a query in the target.
func (w *world) want(t *testing.T, query, want string) {
	t.Helper()
	if got := w.one(t, query); got != want {
		t.Errorf("%s: %s, want %s", query, got, want)
	}
}

// list is an aggregate that makes one text of the rows of a query, in its order.
func (w *world) list(t *testing.T, query, want string) {
	t.Helper()
	what := "group_concat(x, ' | ')"
	if strings.HasPrefix(w.to, "postgres") {
		what = "string_agg(x, ' | ')"
	}
	w.want(t, "WITH q(x) AS (SELECT "+query+") SELECT "+what+" FROM q", want)
}

// aside returns what is set aside of a job: stage, key, column, code and reason.
func (w *world) aside(t *testing.T, job string) []string {
	t.Helper()
	rows, err := sqldb.Quarantine(t.Context(), w.open(t, w.to), job, "", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%s %s %s %s: %s", r.Stage, r.Key, r.Column, r.Code, r.Reason))
	}
	return out
}

// adds fails unless each row that was read has been written, set aside or skipped.
func adds(t *testing.T, c tasks.Counters, read, written, quarantined, skipped int64) {
	t.Helper()
	if c.Read != read || c.Written != written || c.Quarantined != quarantined || c.Skipped != skipped {
		t.Errorf("counted %+v, want read %d, written %d, quarantined %d, skipped %d", c, read, written, quarantined, skipped)
	}
}

const shopPlan = `
lookups:
  countries: {NO: Norway, SE: Sweden}
stages:
  - name: customers
    from: {table: customer, where: id < 100, as: {active: bool}}
    filter: deleted == 0
    map:
      id: id + 1000
      name: trim(name)
      boss: ref("customers", boss)
      country: lookup("countries", country) ?? country
      active: active
      born: parse_date(born, "02/01/2006")
      kind: "'person'"
      level: 7
    to: {table: customers, key: [id]}
  - name: sales
    from: {table: sale}
    map: {id: id, customer_id: 'ref("customers", customer)', cents: int(total * 100)}
    to: {table: sales, key: [id]}
`

func TestAPlanComputesFiltersAndRefers(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		job := w.planned(t, shopPlan)
		total, _ := drive(t, migration.New(w.dbs), job)
		adds(t, total, 11, 8, 2, 1) // set aside: the sales of nobody and of a customer who was left out
		text := func(column string) string { return "CAST(" + column + " AS TEXT)" }
		for id, want := range map[int][]string{1001: {"Ada", "1002", "Norway", "1815-12-10"}, 1003: {"Cy", "1004", "XX", "NULL"}, 1005: {"Ed", "NULL", "Norway", "NULL"}} {
			for i, column := range []string{"name", "boss", "country", "born"} {
				w.want(t, fmt.Sprintf("SELECT %s FROM customers WHERE id = %d", text(column), id), want[i])
			}
		}
		w.want(t, "SELECT "+text("count(*)")+" FROM customers WHERE kind = 'person' AND level = 7", "5")
		w.want(t, "SELECT "+text("sum(cents)")+" FROM sales", "2449")
		w.want(t, "SELECT "+text("customer_id")+" FROM sales WHERE id = 1", "1001")
		w.want(t, "SELECT "+text("customer_id")+" FROM sales WHERE id = 4", "NULL")
		got := strings.Join(w.aside(t, job.ID), "\n")
		if strings.Count(got, "\n") != 1 || strings.Count(got, "customer_id 23503") != 2 || !strings.Contains(got, "99") {
			t.Errorf("set aside: %s", got)
		}
		again, _ := drive(t, migration.New(w.dbs), job)
		if again != total {
			t.Errorf("run again it counts %+v, and did %+v", again, total)
		}
	})
}

func TestAPlanWritesIntoMariaDB(t *testing.T) {
	t.Parallel()
	w := shopWorld(t, mariadbtest.New(t))
	job := w.planned(t, "stages: [{name: c, from: {table: customer}, filter: deleted == 0, map: {id: id, name: trim(name), n: int(phone2)}, to: {table: c, key: id}}]")
	total, _ := drive(t, migration.New(w.dbs), job)
	adds(t, total, 6, 4, 1, 1)
	w.want(t, "SELECT group_concat(name ORDER BY id) FROM c", "Ada,Bo,Cy,Ed")
	total, _ = drive(t, migration.New(w.dbs), w.planned(t, shopPlan))
	adds(t, total, 11, 8, 2, 1)
}

func TestAPlanReadsMariaDBAndPostgreSQL(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]func(t *testing.T) string{
		"PostgreSQL": func(t *testing.T) string { return pgtest.New(t) }, "MariaDB": func(t *testing.T) string { return mariadbtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			moved := shopWorld(t, from(t))
			drive(t, migration.New(moved.dbs), moved.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}))
			to := pgtest.New
			w := worldOf(t, moved.to, to(t))
			total, _ := drive(t, migration.New(w.dbs), w.planned(t, shopPlan))
			adds(t, total, 11, 8, 2, 1)
			w.list(t, "name || coalesce(boss, 0) || born FROM customers WHERE born IS NOT NULL ORDER BY id", "Ada10021815-12-10 | Bo10031900-02-01 | Di10051999-12-31")
		})
	}
}

func TestEachMakesRowsOfOneRowOrNoneOfThem(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		job := w.planned(t, `
stages:
  - name: phones
    from: {table: customer}
    each: [phone1, phone2]
    map: {customer: id, pos: index, number: int(item)}
    to: {table: phones, key: [customer, pos]}
`)
		total, _ := drive(t, migration.New(w.dbs), job)
		adds(t, total, 6, 6, 1, 1) // of the fourth, whose second phone is none, the first is not written either
		w.list(t, "CAST(customer * 1000 + pos * 100 + number AS TEXT) FROM phones ORDER BY customer, pos", "1011 | 1112 | 2021 | 5051 | 5152 | 6061")
		if got := w.aside(t, job.ID); len(got) != 1 || !strings.HasPrefix(got[0], "load:phones [4] number 22P02") {
			t.Errorf("set aside: %v", got)
		}
	})
}

func TestWhatTheTargetRefusesOfOneOfSeveralRowsSetsTheSourceRowAside(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		w.inTarget(t, "CREATE TABLE phones (customer bigint NOT NULL, number text NOT NULL CHECK (number <> 'bad'), PRIMARY KEY (customer, number))")
		job := w.planned(t, `
stages:
  - {name: phones, from: {table: customer}, each: [phone1, phone2], map: {customer: id, number: text(item)}, to: {table: phones}}
`)
		total, _ := drive(t, migration.New(w.dbs), job)
		adds(t, total, 6, 6, 1, 1)
		w.want(t, "SELECT CAST(count(*) AS TEXT) FROM phones WHERE customer = 4", "0")
	})
}

func TestModesMeetRowsThatAreThere(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		for _, mode := range []string{"insert", "upsert", "replace"} { // insert first: it comes after no other
			want := map[string]string{"insert": "1old5 | 2Bo0", "upsert": "1Ada5 | 2Bo0", "replace": "1Ada0 | 2Bo0"}[mode]
			w := shopWorld(t, to)
			w.inTarget(t, "DROP TABLE IF EXISTS c", "CREATE TABLE c (id bigint PRIMARY KEY, name text, extra integer DEFAULT 0)", "INSERT INTO c VALUES (1, 'old', 5)")
			job := w.planned(t, `
stages:
  - {name: c, from: {table: customer, where: id < 3}, map: {id: id, name: trim(name)}, to: {table: c, key: id, mode: `+mode+`}}
`)
			total, _ := drive(t, migration.New(w.dbs), job)
			aside := map[string]int64{"insert": 1}[mode]
			adds(t, total, 2, 2-aside, aside, 0)
			w.list(t, "id || name || extra FROM c ORDER BY id", want)
		}
	})
}

func TestIDsThatTheTargetGivesAreReferredTo(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		id := "INTEGER PRIMARY KEY"
		if strings.HasPrefix(to, "postgres") {
			id = "bigint GENERATED ALWAYS AS IDENTITY (START 500) PRIMARY KEY"
		}
		w.inTarget(t, "CREATE TABLE c (id "+id+", legacy bigint UNIQUE, name text)", "INSERT INTO c (legacy) VALUES (-1)")
		total, _ := drive(t, migration.New(w.dbs), w.planned(t, `
stages:
  - {name: sales, from: {table: sale}, map: {id: id, c: 'ref("c", customer)'}, to: {table: sales, key: id}}
  - {name: c, from: {table: customer}, map: {legacy: id, name: name}, to: {table: c, key: legacy, mode: upsert, id: id}}
`))
		adds(t, total, 11, 10, 1, 0) // the sales come first, and wait for their customers
		w.list(t, "s.id || ':' || c.legacy FROM sales s JOIN c ON c.id = s.c ORDER BY s.id", "1:1 | 2:5 | 5:6")
	})
}

func TestCompositeKeysAreReferredTo(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to, "CREATE TABLE note (id INTEGER PRIMARY KEY, sale INTEGER, pos TEXT)", "INSERT INTO note VALUES (1, 1, '2'), (2, 2, '1'), (3, 2, '9')")
		total, _ := drive(t, migration.New(w.dbs), w.planned(t, `
stages:
  - {name: items, from: {table: item}, map: {id: sale * 10 + pos, what: what}, to: {table: items, key: id}}
  - {name: notes, from: {table: note}, map: {id: id, item: 'ref("items", sale, pos)'}, to: {table: notes, key: id}}
`))
		adds(t, total, 6, 5, 1, 0)
		w.list(t, "id || ':' || item FROM notes ORDER BY id", "1:12 | 2:21")
	})
}

func TestAQueryIsReadByItsKey(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		total, _ := drive(t, migration.New(w.dbs), w.planned(t, `
stages:
  - name: lines
    from:
      query: |
        SELECT i.sale AS sale, i.pos AS pos, upper(i.what) AS what, s.customer AS customer
        FROM item i JOIN sale s ON s.id = i.sale -- a comment
      key: [sale, pos]
    map: {sale: sale, pos: pos, what: text(what), customer: int(customer)}
    to: {table: lines, key: [sale, pos]}
`))
		adds(t, total, 3, 3, 0, 0)
		w.list(t, "what || customer FROM lines ORDER BY sale, pos", "HAT1 | COAT1 | SHOE5")
	})
}

func TestATableThatIsMadeKeepsKeysIndexesAndForeignKeysUnderTheirNewNames(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		total, _ := drive(t, migration.New(w.dbs), w.planned(t, `
stages:
  - {name: invoice, from: {table: invoice}, map: {number: "no", client: customer, total: total}, to: {table: bill}}
  - {name: customer, from: {table: customer}, map: {client_id: id, name: name, boss: boss}, to: {table: client}}
  - {name: line, from: {table: line}, map: {bill: invoice, pos: pos, text: upper(text)}, to: {table: bill_line}}
`))
		adds(t, total, 200, 200, 0, 0)
		keys := "(SELECT group_concat(\"table\" || '.' || \"from\" || '>' || \"to\") FROM pragma_foreign_key_list('bill'))"
		index := "(SELECT count(*) || '' FROM pragma_index_list('bill') WHERE origin = 'c')"
		if strings.HasPrefix(to, "postgres") {
			keys = "(SELECT string_agg(pg_get_constraintdef(oid), '') FROM pg_constraint WHERE contype = 'f' AND conrelid = 'bill'::regclass AND convalidated)"
			index = "(SELECT count(*)::text FROM pg_indexes WHERE tablename = 'bill' AND indexdef LIKE '%(client)%')"
			w.want(t, "SELECT "+keys, "FOREIGN KEY (client) REFERENCES client(client_id)")
			w.want(t, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'bill'::regclass AND attname = 'total'", "numeric(10,2)")
		} else {
			w.want(t, "SELECT "+keys, "client.client>client_id")
		}
		w.want(t, "SELECT "+index, "1")
		if _, err := tryInTarget(t, w, "INSERT INTO bill (number) SELECT number FROM bill WHERE number = 'R-001'"); err == nil {
			t.Error("a number comes twice: the primary key is gone")
		}
	})
}

func tryInTarget(t *testing.T, w *world, statement string) (any, error) {
	t.Helper()
	db := w.open(t, w.to)
	if db.Pool != nil {
		return db.Pool.Exec(t.Context(), statement)
	}
	return db.SQL.ExecContext(t.Context(), statement)
}

func TestPlansThatDoNotFitSayAllThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ plan, want string }{
		{`stages: [{name: a, from: {table: custmer}, map: {id: id}, to: {table: a}}]`, "stages[0].from.table: the source has no table custmer (did you mean customer?)"},
		{`stages: [{name: a, from: {table: customer}, map: {id: idd}, to: {table: a}}]`, "stages[0].map.id: column 1:"},
		{`stages: [{name: a, from: {table: customer, key: nam}, map: {id: id}, to: {table: a}}]`, "stages[0].from.key[0]: customer has no column nam (did you mean name?)"},
		{`stages: [{name: a, from: {table: customer, key: boss}, map: {id: id}, to: {table: a}}]`, "stages[0].from.key: 2 rows have NULL in (boss)"},
		{`stages: [{name: a, from: {table: customer}, filter: name, map: {id: id}, to: {table: a}}]`, "stages[0].filter: is text, and must be true or false"},
		{`stages: [{name: a, from: {table: customer}, each: name, map: {id: id}, to: {table: a}}]`, "stages[0].each: is text, and must be a list"},
		{`stages: [{name: a, from: {table: customer, as: {nam: text}}, map: {id: id}, to: {table: a}}]`, "stages[0].from.as.nam: customer has no column nam"},
		{`stages: [{name: a, from: {query: SELECT nothing, key: x}, map: {id: id}, to: {table: a}}]`, "stages[0].from.query: look at the query of a"},
		{`stages: [{name: a, from: {table: customer}, map: {idd: id}, to: {table: there}}]`, "stages[0].map.idd: the target there has no column idd (did you mean id?)"},
		{`stages: [{name: a, from: {table: customer}, map: {name: name}, to: {table: there}}]`, "stages[0].map: the target's column must (bigint) needs a value and gets none (give it an expression)"},
		{`stages: [{name: a, from: {table: customer}, map: {must: name}, to: {table: there}}]`, "stages[0].map.must: name is TEXT, and the target's must is bigint (int(...) makes a whole number"},
		{`stages: [{name: a, from: {table: customer}, map: {must: id, name: name}, to: {table: there, mode: upsert, key: name}}]`, "stages[0].to.key: (name) is no key of there"},
		{`stages: [{name: a, from: {table: customer}, map: {must: id}, to: {table: there, id: id}}]`, "stages[0].to.key: the target gives the ids of a"},
		{`stages: [{name: a, from: {table: customer}, map: {id: id}, to: {http: {path: /x}}}]`, "the target is no API"},
		{`stages: [{name: a, after: [b], from: {table: customer}, map: {id: id}, to: {table: a, key: id}}, {name: b, from: {table: sale}, map: {id: id, c: 'ref("a", customer)'}, to: {table: b, key: id}}]`,
			"these stages wait for each other: a, b"},
	} {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			w := shopWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
			w.inTarget(t, "CREATE TABLE there (id INTEGER PRIMARY KEY, must bigint NOT NULL, name text)")
			_, err := migration.New(w.dbs).Plan(t.Context(), w.planned(t, c.plan))
			if err == nil || !tasks.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestMaxRejectsStopsEarly(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to, "INSERT INTO sale WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50) SELECT 100 + i, 98, 1 FROM n")
		text := func(most int) string {
			return fmt.Sprintf("policy: {max_rejects: %d}\nstages: [{name: s, from: {table: sale}, map: {id: id, n: '100 / (customer - 98)'}, to: {table: s, key: id}}]", most)
		}
		job := w.planned(t, text(5))
		_, _, err := try(t, migration.New(w.dbs), job)
		refused(t, err, "rows are set aside, and the plan allows 5", "stint jobs rejects "+job.ID)
		if n := len(w.aside(t, job.ID)); n < 6 || n > 8 {
			t.Errorf("%d rows were set aside before it stopped", n)
		}
		drive(t, migration.New(w.dbs), w.planned(t, strings.Replace(text(50), "table: s, key", "table: s2, key", 1)))
		_, _, err = try(t, migration.New(w.dbs), w.planned(t, `
policy: {max_rejects: 0}
stages:
  - {name: c, from: {table: customer}, map: {id: id}, to: {table: c3, key: id}}
  - {name: s, from: {table: sale}, map: {id: id, c: 'ref("c", customer)'}, to: {table: s3, key: id}}`))
		refused(t, err, "rows are set aside, and the plan allows 0")
	})
}

func TestOnRejectStopFailsAtTheFirstRow(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		for name, c := range map[string]struct{ stage, want string }{
			"by an expression": {`{name: s, from: {table: sale}, map: {id: id, n: '1 / (customer - 5)'}, to: {table: s, key: id}}`, "row [2] cannot be loaded"},
			"by the target":    {`{name: s, from: {table: sale}, map: {id: 1}, to: {table: s, key: id}}`, "cannot be loaded"},
			"by a reference": {`{name: s, from: {table: sale}, map: {id: id, c: 'ref("c", customer)'}, to: {table: s, key: id}}, {name: c, from: {table: customer}, map: {id: id}, to: {table: c, key: id}}`,
				"row [3] cannot be loaded"},
		} {
			t.Run(name, func(t *testing.T) {
				w := shopWorld(t, to)
				table := "s" + strings.ReplaceAll(name, " ", "_") // each has one of its own
				job := w.planned(t, "policy: {on_reject: stop}\nstages: ["+strings.Replace(c.stage, "{table: s,", "{table: "+table+",", 1)+"]")
				_, _, err := try(t, migration.New(w.dbs), job)
				refused(t, err, c.want, "on_reject: quarantine")
			})
		}
	})
}

func TestRowsThatWereSetAsideAreLoadedByAMendedPlan(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		text := `
stages:
  - {name: c, from: {table: customer}, map: {id: id, n: 'int(phone2)'}, to: {table: c, key: id}}
  - {name: s, from: {table: sale}, map: {id: id, c: 'ref("c", customer)'}, to: {table: s, key: id}}
`
		job := w.planned(t, text)
		total, _ := drive(t, migration.New(w.dbs), job)
		adds(t, total, 11, 9, 2, 0)
		again := w.again(t, job, strings.Replace(text, "int(phone2)", `phone2 == "bad" ? nil : int(phone2)`, 1))
		total, _ = drive(t, migration.New(w.dbs), again)
		adds(t, total, 2, 1, 1, 0)
		w.want(t, "SELECT CAST(count(*) AS TEXT) FROM c", "6")
		if got := w.aside(t, job.ID); len(got) != 1 || !strings.Contains(got[0], "load:s [3] c 23503") {
			t.Errorf("set aside: %v", got)
		}
		path := strings.TrimPrefix(w.from, "sqlite:")
		run(t, path, "UPDATE sale SET customer = 4 WHERE id = 3") // mended in the source
		total, _ = drive(t, migration.New(w.dbs), w.again(t, job, text))
		adds(t, total, 1, 1, 0, 0)
		w.want(t, "SELECT CAST(c AS TEXT) FROM s WHERE id = 3", "4")
	})
}

func TestADryRunShowsRowsAndWritesNothing(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "new.db")
	w := shopWorld(t, "sqlite:"+to)
	body, err := migration.New(w.dbs).Draft(t.Context(), w.planned(t, shopPlan))
	if err != nil {
		t.Fatal(err)
	}
	var d migration.DryRun
	if err := json.Unmarshal(body, &d); err != nil || len(d.Problems) != 0 || len(d.Stages) != 2 {
		t.Fatalf("%s: %v", body, err)
	}
	c, s := d.Stages[0], d.Stages[1]
	if c.Read != 6 || c.Written != 5 || c.Skipped != 1 || c.Rejected != 0 || !c.Made || len(c.Columns) != 8 || len(c.Refers) != 1 || s.Written != 5 {
		t.Errorf("%+v\n%+v", c, s)
	}
	if row := string(c.Sample[0].Row); !strings.Contains(row, "Norway") || !strings.Contains(row, `"Ada"`) {
		t.Errorf("the first row is %s", row)
	}
	body, err = migration.New(w.dbs).Draft(t.Context(), w.planned(t, strings.Replace(shopPlan, "trim(name)", "trim(nam)", 1)))
	if err != nil {
		t.Fatal(err)
	}
	d = migration.DryRun{}
	if err := json.Unmarshal(body, &d); err != nil || len(d.Problems) != 1 || d.Problems[0].Path != "stages[0].map.name" || len(d.Stages) != 0 {
		t.Errorf("%s: %v", body, err)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has made the target: %v", err)
	}
}
