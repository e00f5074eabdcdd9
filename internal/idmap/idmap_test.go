package idmap_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/idmap"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func open(t *testing.T, url string) *idmap.Maps {
	t.Helper()
	m, err := idmap.Open(t.Context(), url, idmap.Options{Name: "cache"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

// begun is the map of a tenant, with its token.
func begun(t *testing.T, m *idmap.Maps, tenant string, most int64) *idmap.Scope {
	t.Helper()
	token, err := m.Begin(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return m.Of(tenant, tenant+"/old/crm", token, most)
}

func pairs(from, to int) []idmap.Pair {
	var out []idmap.Pair
	for i := from; i < to; i++ {
		out = append(out, idmap.Pair{Key: fmt.Sprintf(`["%d"]`, i), ID: fmt.Sprint(1_000_000 + i)})
	}
	return out
}

func keysOf(pairs []idmap.Pair) []string {
	var keys []string
	for _, p := range pairs {
		keys = append(keys, p.Key)
	}
	return keys
}

func keep(t *testing.T, s *idmap.Scope, entity string, pairs ...idmap.Pair) {
	t.Helper()
	if err := s.Keep(t.Context(), entity, pairs); err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, s *idmap.Scope, entity string, keys ...string) (map[string]string, int64) {
	t.Helper()
	found, n, err := s.Look(t.Context(), entity, keys)
	if err != nil {
		t.Fatal(err)
	}
	return found, n
}

func TestWhatIsKeptIsFoundAsItWasWhateverItsForm(t *testing.T) {
	t.Parallel()
	s := begun(t, open(t, redistest.New(t).URL()), "acme", 0)
	long := strings.Repeat("long ", 30)
	all := map[string]string{
		`["7"]`: "12", `["007"]`: `"12"`, `[""]`: "null", `["a\"b"]`: `"x"`, `["[x]"]`: "1.50", `["1","2"]`: `"` + long + `"`, `["1\",\"2"]`: "-5",
		`["` + long + `"]`: "1", `["` + long + `","2"]`: "2", `["` + long + `2"]`: "3", `["Øre \u0001"]`: `"Øre"`, `["\u0001"]`: "8",
		`["550e8400-e29b-41d4-a716-446655440000"]`: `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, `["550E8400-E29B-41D4-A716-446655440000"]`: `"6BA7B810-9DAD-11D1-80B4-00C04FD430C8"`,
		`["550e8400e29b41d4a716446655440000"]`: `""`, `["9223372036854775808"]`: "9223372036854775808",
	}
	var list []idmap.Pair
	for key, id := range all {
		list = append(list, idmap.Pair{Key: key, ID: id})
	}
	keep(t, s, "customers", list...)
	keep(t, s, "customers", list...) // once more is once
	found, n := look(t, s, "customers", append(keysOf(list), `["8"]`, `["1"]`, `["1","2","3"]`)...)
	if !maps.Equal(found, all) || n != int64(len(all)) {
		t.Errorf("%d ids, found %v", n, found)
	}
	walked := map[string]string{}
	err := s.Walk(t.Context(), "customers", func(name, id string) (bool, error) {
		walked[name] = id
		return true, nil
	})
	if err != nil || len(walked) != len(all) {
		t.Errorf("walked %d of %d: %v", len(walked), len(all), err)
	}
	for key, id := range all {
		name := s.Name(key)
		if walked[name] != id {
			t.Errorf("%s is walked with %q, want %q", key, walked[name], id)
		}
		if back := s.Key(name); back != key && !strings.Contains(back, "SHA-256") {
			t.Errorf("%s comes back as %s", key, back)
		}
	}
}

func TestTheFirstIDOfARecordHoldsAndAnotherIsAnError(t *testing.T) {
	t.Parallel()
	s := begun(t, open(t, redistest.New(t).URL()), "acme", 0)
	keep(t, s, "customers", idmap.Pair{`["1"]`, "5"}, idmap.Pair{`["2"]`, "null"})
	keep(t, s, "customers", idmap.Pair{`["1"]`, `"5"`}, idmap.Pair{`["1"]`, "null"}, idmap.Pair{`["2"]`, "6"}) // the same, none, and the first that was given
	err := s.Keep(t.Context(), "customers", []idmap.Pair{{`["1"]`, "7"}, {`["3"]`, "8"}})
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), `the record ["1"] of customers has the id 5, and now the API says 7`) || tasks.HintOf(err) == "" {
		t.Errorf("another id: %v", err)
	}
	found, n := look(t, s, "customers", `["1"]`, `["2"]`, `["3"]`)
	if want := map[string]string{`["1"]`: "5", `["2"]`: "6", `["3"]`: "8"}; !maps.Equal(found, want) || n != 3 {
		t.Errorf("%d ids, found %v, want %v", n, found, want)
	}
}

func TestAtItsBoundTheMapRefusesAllOfACallAndLetsGoOfNothing(t *testing.T) {
	t.Parallel()
	m := open(t, redistest.New(t).URL())
	s := begun(t, m, "acme", 1_000)
	keep(t, s, "customers", pairs(0, 600)...)
	keep(t, s, "invoices", pairs(0, 390)...)
	err := s.Keep(t.Context(), "invoices", pairs(385, 401)) // 5 are there, 11 are one too many
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "the map of ids cache is full: 990 ids of the tenant, and the plan allows 1000") || !strings.Contains(tasks.HintOf(err), "ids.max_ids") {
		t.Errorf("beyond the bound: %v", err)
	}
	keep(t, s, "invoices", pairs(385, 400)...)
	keep(t, s, "customers", pairs(0, 600)...) // what is there needs no room
	if err := s.Room(1_000, 0); err != nil {
		t.Errorf("nothing new needs no room: %v", err)
	}
	if err := s.Room(999, 2); err == nil {
		t.Error("there is room for two at 999 of 1000")
	}
	found, n := look(t, s, "customers", keysOf(pairs(0, 600))...)
	others, _ := look(t, s, "invoices", keysOf(pairs(0, 500))...)
	if n != 1_000 || len(found) != 600 || len(others) != 400 {
		t.Errorf("%d ids, found %d and %d", n, len(found), len(others))
	}
	keep(t, begun(t, m, "other", 1_000), "customers", pairs(0, 1_000)...) // the bound is each tenant's own
	keep(t, begun(t, m, "acme", 1_001), "customers", pairs(600, 601)...)  // and a higher one goes on
	if n, err := m.Forget(t.Context(), "acme", "acme/old/crm/customers"); n != 601 || err != nil {
		t.Errorf("forgot %d: %v", n, err)
	}
	if found, n := look(t, s, "customers", keysOf(pairs(0, 600))...); n != 400 || len(found) > 0 {
		t.Errorf("%d ids after the map was forgotten, %d found", n, len(found))
	}
}

func TestTenantsSourcesAndStagesDoNotSeeEachOthersIDs(t *testing.T) {
	t.Parallel()
	m := open(t, redistest.New(t).URL())
	tenants := []string{"", "acme", "acme}", "{acme", "ac%7Dme", "acme}x{"}
	for i, tenant := range tenants {
		keep(t, begun(t, m, tenant, 0), "customers", idmap.Pair{`["1"]`, fmt.Sprint(i)})
	}
	for i, tenant := range tenants {
		s := begun(t, m, tenant, 0)
		if found, n := look(t, s, "customers", `["1"]`); n != 1 || found[`["1"]`] != fmt.Sprint(i) {
			t.Errorf("tenant %q finds %v of %d", tenant, found, n)
		}
		if found, _ := look(t, s, "invoices", `["1"]`); len(found) > 0 {
			t.Errorf("another stage finds %v", found)
		}
	}
	token, err := m.Begin(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := look(t, m.Of("acme", "acme/other/crm", token, 0), "customers", `["1"]`); len(found) > 0 {
		t.Errorf("another source finds %v", found)
	}
}

func TestARedisThatEvictsKeysIsRefused(t *testing.T) {
	t.Parallel()
	for policy, refused := range map[string]bool{"allkeys-lru": true, "allkeys-random": true, "volatile-lru": false, "noeviction": false} {
		m, err := idmap.Open(t.Context(), redistest.New(t, redistest.Lines("maxmemory-policy "+policy)).URL(), idmap.Options{Name: "cache"})
		if refused != (err != nil) || refused && (!tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "noeviction")) {
			t.Errorf("%s: %v", policy, err)
		}
		if err == nil {
			if m.Durable() {
				t.Error("a Redis without an append-only file is taken to be durable")
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if m := open(t, redistest.New(t, redistest.EverySecond()).URL()); !m.Durable() {
		t.Error("a Redis with an append-only file is taken not to be durable")
	}
}

func TestAnEmptiedRedisIsToldFromOneThatNeverHadTheIDs(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	m := open(t, server.URL())
	s := begun(t, m, "acme", 0)
	keep(t, s, "customers", pairs(0, 10)...)
	if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Look(t.Context(), "customers", []string{`["1"]`})
	if !errors.Is(err, idmap.ErrLost) || !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("look: %v", err)
	}
	if err := s.Keep(t.Context(), "customers", pairs(0, 1)); !errors.Is(err, idmap.ErrLost) {
		t.Errorf("keep: %v", err)
	}
	if err := s.Walk(t.Context(), "customers", nil); !errors.Is(err, idmap.ErrLost) {
		t.Errorf("walk: %v", err)
	}
	begun(t, m, "acme", 0) // somebody begins anew: another token
	if _, _, err := s.Look(t.Context(), "customers", []string{`["1"]`}); !errors.Is(err, idmap.ErrLost) {
		t.Errorf("look in another's: %v", err)
	}
}

func TestARedisThatIsAwayIsWaitedForAndOneThatIsFullSaysSo(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, redistest.FsyncAlways())
	s := begun(t, open(t, server.URL()), "acme", 0)
	keep(t, s, "customers", pairs(0, 10)...)
	server.Kill()
	_, _, err := s.Look(t.Context(), "customers", []string{`["1"]`})
	if _, patient := tasks.RetryAfterOf(err); !patient {
		t.Errorf("away: %v", err)
	}
	server.Restart()
	if found, _ := look(t, s, "customers", keysOf(pairs(0, 10))...); len(found) != 10 {
		t.Errorf("%d of 10 ids have outlived a kill", len(found))
	}
	if err := server.Client().ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	err = s.Keep(t.Context(), "customers", pairs(10, 20))
	if err == nil || tasks.IsPermanent(err) || !strings.Contains(err.Error(), "is full") {
		t.Errorf("full: %v", err)
	}
}

// TestTheMapGrowsWhileManyWriteAndOthersWalk also is the test of linear hashing: every id is found at every size, and walked once.
func TestTheMapGrowsWhileManyWriteAndOthersWalk(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	m := open(t, server.URL())
	s := begun(t, m, "acme", 20_000)
	keep(t, s, "customers", pairs(0, 3_000)...)
	ctx, cancel := context.WithCancel(t.Context())
	var writers, walker sync.WaitGroup
	errs := make(chan error, 20)
	for w := range 4 {
		writers.Go(func() {
			for from := 3_000; from < 20_000; from += 100 { // each of them all: who is second finds them there
				if err := s.Keep(ctx, "customers", pairs(from, from+100)); err != nil {
					errs <- fmt.Errorf("writer %d: %w", w, err)
					return
				}
			}
		})
	}
	walker.Go(func() {
		for ctx.Err() == nil {
			seen := map[string]int{}
			if err := s.Walk(ctx, "customers", func(name, _ string) (bool, error) { seen[name]++; return true, nil }); err != nil {
				if ctx.Err() == nil {
					errs <- err
				}
				return
			}
			for _, p := range pairs(0, 3_000) {
				if seen[s.Name(p.Key)] == 0 {
					errs <- fmt.Errorf("%s was not walked", p.Key)
				}
			}
			for name, n := range seen {
				if n > 1 {
					errs <- fmt.Errorf("%s was walked %d times", name, n)
				}
			}
		}
	})
	writers.Wait()
	cancel()
	walker.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	all := pairs(0, 20_000)
	found, n := look(t, s, "customers", keysOf(all)...)
	for _, p := range all {
		if found[p.Key] != p.ID {
			t.Fatalf("%s has %q, want %q", p.Key, found[p.Key], p.ID)
		}
	}
	if n != 20_000 || len(found) != 20_000 {
		t.Errorf("%d ids, %d found", n, len(found))
	}
	if err := s.Keep(t.Context(), "customers", pairs(20_000, 20_001)); err == nil {
		t.Error("there is one more than the bound")
	}
	client := server.Client()
	keys, err := client.Keys(t.Context(), "stint:ids:*:*/*").Result()
	if err != nil || len(keys) != 20_000/200 {
		t.Errorf("%d buckets: %v", len(keys), err)
	}
	for _, key := range keys {
		if form, err := client.ObjectEncoding(t.Context(), key).Result(); form != "listpack" {
			t.Errorf("%s is a %s: %v", key, form, err)
		}
	}
}

func TestAClusterKeepsEachTenantOnOneOfItsNodes(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t, 3)
	m := open(t, cluster.Nodes[0].URL()) // one address is enough
	used := map[int]bool{}
	for _, tenant := range []string{"", "a", "b", "c", "d", "e", "f"} {
		s := begun(t, m, tenant, 0)
		keep(t, s, "customers", pairs(0, 900)...)
		if found, n := look(t, s, "customers", keysOf(pairs(0, 900))...); n != 900 || len(found) != 900 {
			t.Errorf("tenant %q finds %d of %d", tenant, len(found), n)
		}
	}
	for i, node := range cluster.Nodes {
		n, err := node.Client().DBSize(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		used[i] = n > 0
	}
	if !used[0] || !used[1] || !used[2] {
		t.Errorf("used: %v", used)
	}
}

// TestAnIDTakesAFewBytes measures what is said in docs/plans.md.
func TestAnIDTakesAFewBytes(t *testing.T) {
	t.Parallel()
	uuid := func(a, b int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", a*2654435761%(1<<32), b) }
	for name, c := range map[string]struct {
		pair func(i int) idmap.Pair
		most int64
	}{
		"numbers": {func(i int) idmap.Pair {
			return idmap.Pair{Key: fmt.Sprintf(`["%d"]`, i), ID: fmt.Sprint(5_000_000 + i)}
		}, 20},
		"numbers to UUIDs": {func(i int) idmap.Pair { return idmap.Pair{Key: fmt.Sprintf(`["%d"]`, i), ID: `"` + uuid(i, i) + `"`} }, 40},
		"texts to UUIDs": {func(i int) idmap.Pair {
			return idmap.Pair{Key: fmt.Sprintf(`["KUNDE-%07d"]`, i), ID: `"` + uuid(i, i) + `"`}
		}, 50},
		"two parts": {func(i int) idmap.Pair {
			return idmap.Pair{Key: fmt.Sprintf(`["R-%06d","%d"]`, i/5, i%5), ID: fmt.Sprint(5_000_000 + i)}
		}, 35},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 100_000
			server := redistest.New(t)
			s := begun(t, open(t, server.URL()), "acme", 0)
			keep(t, s, "customers", c.pair(n))
			before := used(t, server.Client())
			var all []idmap.Pair
			for i := range n {
				all = append(all, c.pair(i))
			}
			for part := range slices.Chunk(all, 200) {
				keep(t, s, "customers", part...)
			}
			each := (used(t, server.Client()) - before) / n
			t.Logf("%d bytes an id", each)
			if each > c.most {
				t.Errorf("%d bytes an id, want at most %d", each, c.most)
			}
		})
	}
}

func used(t *testing.T, c *redis.Client) int64 {
	t.Helper()
	text, err := c.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "used_memory:"); ok {
			var n int64
			if _, err := fmt.Sscan(v, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the server does not say what it uses")
	return 0
}
