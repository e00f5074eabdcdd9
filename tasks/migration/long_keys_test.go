package migration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// longKeys are tables whose keys no index of a server holds. One page has no number yet.
const longKeys = `
CREATE TABLE page (url TEXT PRIMARY KEY NOT NULL, n INTEGER, note TEXT);
INSERT INTO page SELECT hex(randomblob(5000)), value, 'note ' || value FROM generate_series(1, 12);
INSERT INTO page VALUES (hex(randomblob(6000)), NULL, 'no number');
CREATE TABLE link (id INTEGER PRIMARY KEY, page TEXT);
INSERT INTO link SELECT rowid, url FROM page WHERE n IS NOT NULL;
INSERT INTO link VALUES (99, hex(randomblob(5000)));`

// longKeyPlan makes rows with short keys of those with long ones.
const longKeyPlan = `source: old
target: new
policy: {max_rejects: 10}
stages:
  - name: pages
    from: {table: page, key: [url]}
    map: {n: n, note: note}
    to: {table: page, mode: upsert, key: [n], id: n}
  - name: links
    after: [pages]
    from: {table: link, key: [id]}
    map: {id: id, page: 'ref("pages", page)'}
    to: {table: link, mode: upsert, key: [id]}
verify: {rows: all}
`

// longKeyWorld is a world with long keys in the source, and tables in the target.
func longKeyWorld(t *testing.T, to string) (w *world, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "long.db")
	run(t, path, strings.ReplaceAll(longKeys, "generate_series(1, 12)", "(WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 12) SELECT value FROM s)"))
	w = worldOf(t, "sqlite:"+path, to)
	w.inTarget(t, "CREATE TABLE page (n integer NOT NULL PRIMARY KEY, note varchar(100))", "CREATE TABLE link (id integer NOT NULL PRIMARY KEY, page integer NOT NULL)")
	return w, path
}

func TestRowsOfKeysThatNoIndexHoldsArriveAreReferredToAndSentAgain(t *testing.T) {
	t.Parallel()
	for to, make := range map[string]func(t testing.TB) string{"postgres": pgtest.New, "mariadb": mariadbtest.New} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			to := make(t)
			w, path := longKeyWorld(t, to)
			job := w.planned(t, longKeyPlan)
			drive(t, migration.New(w.dbs), job)
			w.want(t, "SELECT CAST(count(*) AS CHAR(2)) FROM page JOIN link ON link.page = page.n AND link.id = page.n", "12")
			set, err := sqldb.Quarantine(t.Context(), w.open(t, to), job.ID, "page", 0, 10)
			if err != nil || len(set) != 1 || len(set[0].Key[0].(string)) != 12_000 {
				t.Fatalf("%d rows of pages in quarantine, %v", len(set), err)
			}
			run(t, path, "UPDATE page SET n = 99 WHERE n IS NULL", "UPDATE link SET page = (SELECT url FROM page WHERE n = 99) WHERE id = 99")
			drive(t, migration.New(w.dbs), w.again(t, job, longKeyPlan))
			w.want(t, "SELECT CAST(count(*) AS CHAR(2)) FROM page JOIN link ON link.page = page.n AND link.id = page.n", "13")
			if set := w.aside(t, job.ID); len(set) != 0 {
				t.Errorf("left in quarantine: %d rows", len(set))
			}
		})
	}
}

func TestARoundFindsWhatHasBecomeOfRowsOfLongKeys(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w, path := longKeyWorld(t, to)
		l := begin(t, w, planOf(t, longKeyPlan))
		run(t, path, "DELETE FROM link WHERE id IN (3, 99)", "DELETE FROM page WHERE n = 3", "UPDATE page SET note = 'other' WHERE n = 4", "UPDATE page SET n = 98 WHERE n IS NULL",
			"INSERT INTO page VALUES (hex(randomblob(7000)), 50, 'new')")
		if got, _ := l.catchUp(t, nil); got.Quarantined != 0 {
			t.Errorf("the round counted %+v", got)
		}
		w.want(t, "SELECT CAST(sum(n) AS CHAR(3)) FROM page", "223")
		w.want(t, "SELECT note FROM page WHERE n = 4", "other")
		w.want(t, "SELECT CAST(count(*) AS CHAR(2)) FROM link", "11")
		if set := w.aside(t, l.first.ID); len(set) != 0 {
			t.Errorf("left in quarantine: %d rows", len(set))
		}
		if got, _ := l.catchUp(t, nil); got != (tasks.Counters{Read: got.Read, Bytes: got.Bytes}) {
			t.Errorf("the next round counted %+v, want nothing written", got)
		}
	})
}
