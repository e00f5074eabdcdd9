package fire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/internal/sqldb"
)

// Soaked is what hours of work under fire have come to.
type Soaked struct {
	Jobs   map[string]int // that ended well and were compared, by what they do
	Faults []string       // in the order in which they began
	// Series are what the processes that nobody killed, and the servers, took: by name, in the order of time.
	Series map[string][]float64
}

// Soak keeps the town at work for so long: rows from SQLite and MariaDB into fresh databases, records to an API, data sets that were uploaded
// twice, ticks each second; every job is compared when it has ended, and done anew. Each interval one of the faults begins. The first of each
// kind of member is never killed: what it takes is measured.
func (t *Town) Soak(seed uint64, faults []Fault, lasts, interval time.Duration) Soaked {
	t.T.Helper()
	t.began = time.Now()
	out := Soaked{Jobs: map[string]int{}, Series: map[string][]float64{}}
	ctx, cancel := context.WithTimeout(context.Background(), lasts)
	defer cancel()
	var mu sync.Mutex
	var streams sync.WaitGroup
	for name, once := range t.streams() {
		streams.Go(func() {
			for cycle := 1; ctx.Err() == nil; cycle++ {
				if err := once(cycle); err != nil {
					t.T.Errorf("%s, the %d. time: %v", name, cycle, err)
					return
				}
				mu.Lock()
				out.Jobs[strings.TrimRight(name, " 123456789")]++
				mu.Unlock()
			}
		})
	}
	var watch sync.WaitGroup
	stop := make(chan struct{})
	watch.Go(func() {
		tick, each := time.NewTicker(5*time.Second), time.NewTicker(time.Minute)
		defer tick.Stop()
		defer each.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				t.sample(out.Series)
			case <-each.C:
				t.hoard(out.Series)
			}
		}
	})
	out.Faults = t.hit(ctx, seed, faults, interval)
	streams.Wait()
	close(stop)
	watch.Wait()
	return out
}

// hit lets a fault begin each interval until ctx ends, and ends them all.
func (t *Town) hit(ctx context.Context, seed uint64, faults []Fault, interval time.Duration) (story []string) {
	random := rand.New(rand.NewPCG(seed, 0x50a4))
	type ending struct {
		at     time.Time
		effect Effect
	}
	var open []ending
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for next := time.Now(); ctx.Err() == nil || len(open) > 0; <-tick.C {
		open = slices.DeleteFunc(open, func(e ending) bool {
			if ctx.Err() == nil && time.Now().Before(e.at) {
				return false
			}
			if err := e.effect.End(); errors.Is(err, errNotYet) {
				return false
			} else if err != nil {
				t.T.Errorf("end of %q: %v", e.effect.What, err)
			}
			t.T.Logf("after %v is over: %s", time.Since(t.began).Round(100*time.Millisecond), e.effect.What)
			return true
		})
		t.Supervise()
		if ctx.Err() != nil || time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(interval)
		f := faults[random.IntN(len(faults))]
		effect, err := f.Begin(t, random)
		if errors.Is(err, errNobody) {
			continue
		}
		if err != nil {
			t.T.Errorf("%s: %v", f.Name, err)
			continue
		}
		t.T.Logf("after %v: %s", time.Since(t.began).Round(100*time.Millisecond), effect.What)
		story = append(story, f.Name)
		open = append(open, ending{time.Now().Add(effect.For), effect})
	}
	return story
}

// Spare keeps faults of that kind from whoever is measured: the first of each kind of member.
func Spare(f Fault) Fault {
	return Fault{Name: f.Name, Begin: func(t *Town, random *rand.Rand) (Effect, error) {
		for _, m := range t.Members {
			if m.N == 1 && !m.hurt {
				m.hurt = true
				defer func() { m.hurt = false }()
			}
		}
		return f.Begin(t, random)
	}}
}

// streams are the things that are done again and again, each by itself.
func (t *Town) streams() map[string]func(cycle int) error {
	list := map[string]func(int) error{}
	for i := range 2 {
		db := fmt.Sprintf("soak%d", i+1)
		list[fmt.Sprint("rows ", i+1)] = func(int) error { return t.moved(db, "legacy", t.source.URL(), rig.LegacyTables) }
	}
	list["goods"] = func(int) error { return t.moved("soak3", "maria", t.maria, goodsTables) }
	list["records"] = t.sent
	list["duplicates"] = t.cleaned
	return list
}

// fresh makes an empty database in the place of the one of that name.
func (t *Town) fresh(db string) error {
	return t.stubborn(func(ctx context.Context) error {
		return errors.Join(t.Post.DropDatabase(ctx, db), t.Post.CreateDatabase(ctx, db))
	})
}

// stubborn does something that does not need stint until it works: the servers are under fire, too.
func (t *Town) stubborn(do func(ctx context.Context) error) error {
	return rig.Poll(2*time.Minute, 500*time.Millisecond, func(ctx context.Context) (bool, error) {
		err := do(ctx)
		return err == nil, err
	})
}

// ended submits a job and waits until it has ended well.
func (t *Town) ended(args ...string) error {
	var answer struct{ ID string }
	if err := t.stubborn(func(context.Context) error {
		out, err := t.command(time.Minute, args...)
		if err == nil {
			err = json.Unmarshal(out, &answer)
		}
		return err
	}); err != nil {
		return err
	}
	return t.await(answer.ID)
}

func (t *Town) await(job string) error {
	var v, last *wire.Job
	var problem error
	if err := rig.Poll(5*time.Minute, 200*time.Millisecond, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		var err error
		if v, err = t.Client(0).Job(ctx, job); err == nil {
			last = v
		} else if ctx.Err() == nil {
			problem = err
		}
		return err == nil && v.State.Ended(), err
	}); err != nil {
		return fmt.Errorf("job %s: %w; it was %+v, and asking said %v\n%s", job, err, last, problem, t.stuck(&Job{ID: job}))
	}
	if v.State != "succeeded" {
		return fmt.Errorf("job %s %s: %+v", job, v.State, v.Error)
	}
	return nil
}

// moved moves a source into a fresh database and compares.
func (t *Town) moved(db, from, source string, tables []rig.Table) error {
	if err := t.fresh(db); err != nil {
		return err
	}
	if err := t.ended("migrate", "--from", from, "--to", db, "--tenant", db, "--chunk-rows", "200", "--batch-rows", "50", "--window", "6", "--wait=false"); err != nil {
		return err
	}
	return t.stubborn(func(ctx context.Context) error {
		v, err := rig.Compare(ctx, source, t.Post.URL(db), tables)
		if err == nil && !v.Equal() {
			t.T.Errorf("%s into %s: %v", from, db, v)
		}
		return err
	})
}

// sent sends the records once more, under names of that cycle.
func (t *Town) sent(cycle int) error {
	file := filepath.Join(t.R.Dir, "records.yaml")
	if err := os.WriteFile(file, []byte(recordText(fmt.Sprintf("c%d-", cycle))), 0o600); err != nil {
		return err
	}
	// A tenant's record is sent once, whichever job does it.
	if err := t.ended("migrate", file, "--tenant", fmt.Sprint("umbrella-", cycle), "--wait=false"); err != nil {
		return err
	}
	s := t.API.State()
	n := 0
	for name := range s.Effects {
		if strings.HasPrefix(name, fmt.Sprintf("c%d-", cycle)) {
			n++
		}
	}
	if twice := s.Twice(); n != records || len(twice) > 0 {
		t.T.Errorf("cycle %d: %d of %d records took effect, and %v more than once", cycle, n, records, twice)
	}
	return nil
}

// cleaned finds and deletes what was uploaded twice in a store that is made anew each time.
func (t *Town) cleaned(cycle int) error {
	if err := t.stubborn(func(ctx context.Context) error {
		if err := errors.Join(t.Post.DropDatabase(ctx, "sync"), t.Post.CreateDatabase(ctx, "sync")); err != nil {
			return err
		}
		at, err := sqldb.ParseURL(t.Post.URL("sync"))
		if err != nil {
			return err
		}
		db, err := sqldb.Open(ctx, at, sqldb.Options{})
		if err != nil {
			return err
		}
		_, err = datasetstest.Generate(ctx, db, datasetstest.Spec{Seed: uint64(cycle), Customers: 12, Rows: 3_000})
		return errors.Join(err, db.Close())
	}); err != nil {
		return err
	}
	before, err := t.dataSets()
	if err != nil {
		return err
	}
	var id string
	if err := t.stubborn(func(ctx context.Context) error {
		done, err := t.Client(0).Submit(ctx, fmt.Sprintf("dedupe-%d-%d", t.began.UnixNano(), cycle), wire.Submission{Kind: "dedupe", Tenant: "initech",
			Spec: []byte(`{"store":"sync","layout":{"registry":{}},"rules":{"recency_days":7,"max_share":1,"max_share_customer":1},"apply":{"limit":100,"batch":50}}`)})
		if err == nil {
			id = done.ID
		}
		return err
	}); err != nil {
		return err
	}
	if err := t.await(id); err != nil {
		return err
	}
	after, err := t.dataSets()
	if err != nil {
		return err
	}
	for set, rows := range after {
		if before[set] != rows {
			t.T.Errorf("cycle %d: the data set %s had %s rows and has %s", cycle, set, before[set], rows)
		}
	}
	if len(after) >= len(before) || len(after) == 0 {
		t.T.Errorf("cycle %d: of %d data sets %d are left", cycle, len(before), len(after))
	}
	return nil
}

// dataSets are the data sets of the store that is cleaned, each with how many rows it has.
func (t *Town) dataSets() (map[string]string, error) {
	sets := map[string]string{}
	err := t.stubborn(func(ctx context.Context) error {
		db, err := rig.Look(ctx, t.Post.URL("sync"))
		if err != nil {
			return err
		}
		defer db.Close()
		return db.Texts(ctx, "SELECT customer_id || '/' || database_id || ' ' || count(*) FROM entity_row GROUP BY customer_id, database_id", func(text string) {
			set, rows, _ := strings.Cut(text, " ")
			sets[set] = rows
		})
	})
	return sets, err
}

// sample adds what everybody takes at this moment to the series.
func (t *Town) sample(series map[string][]float64) {
	add := func(name string, v float64) { series[name] = append(series[name], v) }
	for _, m := range t.Members {
		if m.N != 1 {
			continue
		}
		pid := m.P.PID()
		if kb := procStatus(pid, "VmRSS:"); kb > 0 {
			add(m.Kind+" RSS MiB", kb/1024)
		}
		if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
			add(m.Kind+" open files", float64(len(files)))
		}
		address := t.admin
		if m.Kind == "serve" {
			address = t.ports[0]
		}
		if n, ok := goroutines(address); m.Kind != "scheduler" && ok {
			add(m.Kind+" goroutines", n)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if info, err := t.Redis.Client().Info(ctx, "memory", "clients").Result(); err == nil {
		for name, field := range map[string]string{"Redis memory MiB": "used_memory:", "Redis clients": "connected_clients:"} {
			if _, rest, ok := strings.Cut(info, field); ok {
				word, _, _ := strings.Cut(rest, "\r")
				if v, err := strconv.ParseFloat(word, 64); err == nil {
					if strings.HasSuffix(name, "MiB") {
						v /= 1 << 20
					}
					add(name, v)
				}
			}
		}
	}
	if db, err := rig.Look(ctx, t.Post.URL("postgres")); err == nil {
		if n, err := db.Number(ctx, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"); err == nil {
			add("PostgreSQL sessions", float64(n))
		}
		db.Close()
	}
}

var scraper = http.Client{Timeout: 2 * time.Second}

// goroutines asks a process how many it has.
func goroutines(address string) (float64, bool) {
	resp, err := scraper.Get("http://" + address + "/metrics")
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if word, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			n, err := strconv.ParseFloat(word, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// procStatus reads a number out of /proc/PID/status; 0 is none.
func procStatus(pid int, field string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), field)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseFloat(words[0], 64)
	return n
}

// Growth compares the median of the last third of a series with that of its second third, after it has warmed up in the first.
func Growth(series []float64) (second, last float64) {
	third := len(series) / 3
	if third == 0 {
		return 0, 0
	}
	return median(series[third : 2*third]), median(series[len(series)-third:])
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
