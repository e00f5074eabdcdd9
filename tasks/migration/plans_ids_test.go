package migration_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

// intoAPIByCache is intoAPI with its ids in a Redis. What a sale is called in the API has the id of its customer in it.
const intoAPIByCache = `
ids: {connection: cache, max_ids: 1000}
stages:
  - name: customers
    from: {table: customer}
    filter: deleted == 0
    map: {legacy_id: '"c" + text(id)', name: trim(name)}
    to: {http: {path: /v1/records, id: $.data.id}}
  - name: sales
    from: {table: sale, where: id >= 10}
    map: {legacy_id: 'text(id) + "-" + text(ref("customers", customer))'}
    to: {http: {path: /v1/records/batch, batch: 7, partial: {items: $.results, status: $.status, id: $.id, error: $.error, match: $.legacy_id}}}
`

func stateFile(t *testing.T) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "state.db")
}

// exact fails unless each customer and each of n sales took effect once, and each sale with the id that its customer has in the API.
func exact(t *testing.T, server *apitest.Server, n int) {
	t.Helper()
	s := server.State()
	if len(s.Effects) != 5+n || len(s.Twice()) > 0 {
		t.Errorf("%d records took effect, want %d; twice: %v", len(s.Effects), 5+n, s.Twice())
	}
	for id := 10; id < 10+n; id++ {
		if name := fmt.Sprintf("%d-%d", id, s.IDs[fmt.Sprintf("c%d", 1+id%5)]); s.Effects[name] != 1 {
			t.Errorf("%s took effect %d times", name, s.Effects[name])
		}
	}
}

func TestAMigrationWithItsIDsInRedisKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		cache := redistest.New(t)
		w, server := cachedWorld(t, stateFile(t), cache.URL(), apitest.Options{Partial: true}, many(100))
		job := w.toAPI(t, intoAPIByCache)
		return taskstest.Subject{Family: migration.New(w.dbs), Job: job, Check: func(t *testing.T) {
			exact(t, server, 100)
			if got := w.aside(t, job.ID); len(got) > 0 {
				t.Errorf("set aside: %v", got)
			}
			w.want(t, "SELECT CAST(count(*) AS TEXT) FROM stint_ids WHERE entity <> '/map'", "0") // nothing is left of what was on its way
			if n, err := cache.Client().HGet(t.Context(), "stint:ids:{t:}", "ids").Int(); n != 105 || err != nil {
				t.Errorf("%d ids: %v", n, err)
			}
		}}
	})
}

func TestAnAPIThatFailsInEveryWayGetsEachRecordOnceByTheIDsInRedis(t *testing.T) {
	t.Parallel()
	for name, state := range map[string]func(*testing.T) string{"postgres": func(t *testing.T) string { return pgtest.New(t) }, "sqlite": stateFile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache := redistest.New(t, redistest.EverySecond())
			w, server := cachedWorld(t, state(t), cache.URL(), apitest.Options{Faults: apitest.Faults{Error: 0.1, Busy: 0.03, Cut: 0.1, Item: 0.02}, Seed: 7, Partial: true,
				RetryAfter: time.Millisecond}, many(300))
			job := w.toAPI(t, intoAPIByCache)
			total := insist(t, migration.New(w.dbs), job)
			adds(t, total, 306, 305, 0, 1)
			exact(t, server, 300)
			edited := w.toAPI(t, strings.Replace(intoAPIByCache, "trim(name)", "name", 1))
			total = insist(t, migration.New(w.dbs), edited) // another job of the same tenant finds what is there
			if total.Written != 0 || total.Skipped != 306 {
				t.Errorf("a second job counts %+v", total)
			}
			exact(t, server, 300)
			// A job of one stage finds what another has made, of its own tenant.
			only := `
ids: cache
verify: {rows: none}
stages:
  - {name: customers, from: {table: customer}, filter: "false", map: {legacy_id: id}, to: {http: {path: /v1/records, id: $.data.id}}}
  - {name: notes, from: {table: sale, where: id = 2}, map: {legacy_id: '"n" + text(ref("customers", customer))'}, to: {http: {path: /v1/records}}}
`
			insist(t, migration.New(w.dbs), w.toAPI(t, only))
			if s := server.State(); s.Effects[fmt.Sprintf("n%d", s.IDs["c5"])] != 1 {
				t.Error("a later job has not found the id of a customer")
			}
			other := w.toAPI(t, only)
			other.Tenant, other.ID = "other", other.ID+"-other"
			insist(t, migration.New(w.dbs), other)
			if got := w.aside(t, other.ID); len(got) != 1 || !strings.Contains(got[0], "23503") {
				t.Errorf("of another tenant's customers it has set aside %v", got)
			}
		})
	}
}

func TestAJobThatNeedsMoreIDsThanThereIsRoomForFailsBeforeItSendsThem(t *testing.T) {
	t.Parallel()
	cache := redistest.New(t)
	w, server := cachedWorld(t, stateFile(t), cache.URL(), apitest.Options{Partial: true}, many(300))
	job := w.toAPI(t, strings.Replace(intoAPIByCache, "1000", "90", 1))
	_, _, err := try(t, migration.New(w.dbs), job)
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "the map of ids cache is full") || !strings.Contains(tasks.HintOf(err), "ids.max_ids") {
		t.Fatalf("a full map: %v", err)
	}
	if s := server.State(); len(s.Effects) != 85 { // five customers and two steps of forty sales
		t.Errorf("%d records took effect", len(s.Effects))
	}
	total := insist(t, migration.New(w.dbs), w.toAPI(t, intoAPIByCache)) // with more room another job goes on
	if total.Written != 220 || total.Skipped != 86 {
		t.Errorf("with more room: %+v", total)
	}
	exact(t, server, 300)
}

func TestARedisThatWouldLoseIDsIsRefusedWhenTheJobIsPlanned(t *testing.T) {
	t.Parallel()
	cache := redistest.New(t, redistest.Lines("maxmemory 100mb", "maxmemory-policy allkeys-lru"))
	w, server := cachedWorld(t, stateFile(t), cache.URL(), apitest.Options{})
	for what, act := range map[string]func() error{
		"a plan": func() error { _, err := migration.New(w.dbs).Plan(t.Context(), w.toAPI(t, intoAPIByCache)); return err },
		"a dry run": func() error {
			_, err := migration.New(w.dbs).Draft(t.Context(), w.toAPI(t, intoAPIByCache))
			return err
		},
	} {
		if err := act(); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "maxmemory-policy allkeys-lru") || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s := server.State(); len(s.Effects) > 0 {
		t.Errorf("%d records took effect", len(s.Effects))
	}
}

func TestIDsThatAreGoneFailTheJobAndAnotherDatabaseGetsThemAgain(t *testing.T) {
	t.Parallel()
	cache := redistest.New(t)
	w, server := cachedWorld(t, stateFile(t), cache.URL(), apitest.Options{Partial: true}, many(100))
	f := migration.New(w.dbs)
	insist(t, f, w.toAPI(t, intoAPIByCache))
	if err := cache.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	edited := w.toAPI(t, strings.Replace(intoAPIByCache, "sales", "bills", 1))
	if _, _, err := try(t, f, edited); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "does not have the ids that it was given") || tasks.HintOf(err) == "" {
		t.Fatalf("after FLUSHALL: %v", err)
	}
	w.dbs = cachedDatabases(t, w, server, w.to, strings.TrimSuffix(cache.URL(), "?")+"?db=1")
	total := insist(t, migration.New(w.dbs), w.toAPI(t, strings.Replace(intoAPIByCache, "max_ids: 1000", "max_ids: 2000", 1)))
	adds(t, total, 106, 105, 0, 1)
	exact(t, server, 100) // the API knew all of it by its keys
}

func TestIDsMoveFromTheStateDatabaseIntoRedis(t *testing.T) {
	t.Parallel()
	w, server := cachedWorld(t, stateFile(t), redistest.New(t).URL(), apitest.Options{Partial: true}, many(100))
	before := strings.Replace(intoAPIByCache, "ids: {connection: cache, max_ids: 1000}", "", 1)
	insist(t, migration.New(w.dbs), w.toAPI(t, before))
	w.want(t, "SELECT CAST(count(*) AS TEXT) FROM stint_ids", "105")
	total := insist(t, migration.New(w.dbs), w.toAPI(t, intoAPIByCache))
	adds(t, total, 106, 0, 0, 106)
	w.want(t, "SELECT CAST(count(*) AS TEXT) FROM stint_ids WHERE entity <> '/map'", "0")
	exact(t, server, 100)
}

func TestADryRunAndAVerificationUseTheIDsInRedis(t *testing.T) {
	t.Parallel()
	cache := redistest.New(t)
	w, server := cachedWorld(t, stateFile(t), cache.URL(), apitest.Options{Partial: true}, many(100))
	f := migration.New(w.dbs)
	job := w.toAPI(t, intoAPIByCache)
	sample := func() string {
		body, err := f.Draft(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		var d migration.DryRun
		if err := json.Unmarshal(body, &d); err != nil || len(d.Problems) > 0 {
			t.Fatalf("%v %v", d.Problems, err)
		}
		if !slices.ContainsFunc(d.Notes, func(n string) bool { return strings.Contains(n, "append-only") }) {
			t.Errorf("notes: %v", d.Notes)
		}
		return string(d.Stages[1].Sample[0].Row)
	}
	if got := sample(); !strings.Contains(got, `"10-0"`) { // no id yet
		t.Errorf("before: %s", got)
	}
	if n, err := cache.Client().DBSize(t.Context()).Result(); n != 0 || err != nil {
		t.Errorf("a dry run has written %d keys: %v", n, err)
	}
	insist(t, f, job)
	if got, want := sample(), fmt.Sprintf(`"10-%d"`, server.State().IDs["c1"]); !strings.Contains(got, want) {
		t.Errorf("afterwards: %s, want %s", got, want)
	}
	spec := migration.VerifySpec{Plan: planOf(t, intoAPIByCache), Job: job.ID, State: "state"}
	c, differ, notes := w.verified(t, spec)
	if len(differ) > 0 || c.Read != 106 || c.Written != 105 || !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "has confirmed 100 of 100 records") }) {
		t.Errorf("counted %+v, found %v, noted %v", c, differ, notes)
	}
	run(t, strings.TrimPrefix(w.from, "sqlite:"), "DELETE FROM sale WHERE id = 20", "INSERT INTO sale VALUES (900, 1, 1)")
	_, differ, _ = w.verified(t, spec)
	wantFound(t, differ, `sales ["20"] : the API has confirmed a record whose row the source does not have`, `sales [900] : the API has not confirmed the record`)
}

func TestWhatIsWrongWithIDsIsSaidWithItsPlace(t *testing.T) {
	t.Parallel()
	w, _ := cachedWorld(t, stateFile(t), stateFile(t), apitest.Options{})
	_, err := migration.New(w.dbs).Plan(t.Context(), w.toAPI(t, intoAPIByCache))
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "ids: the connection cache is no Redis but sqlite:") {
		t.Errorf("a database for ids: %v", err)
	}
	w, _ = cachedWorld(t, redistest.New(t).URL(), redistest.New(t).URL(), apitest.Options{})
	_, err = migration.New(w.dbs).Plan(t.Context(), w.toAPI(t, intoAPIByCache))
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "which state: is for") || !strings.Contains(tasks.HintOf(err), "the Redis with ids:") {
		t.Errorf("a Redis for stint's own tables: %v", err)
	}
}
