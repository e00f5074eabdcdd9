package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// The house that the dashboard is measured in.
const (
	dashboardJobs    = 10_000 // of which each tenth has not ended
	dashboardWorkers = 200    // two versions, one of which drains
	dashboardEvents  = 5_000  // a second
	dashboardPages   = 50     // that are open
)

// crowd fills a house and keeps it going until ctx ends.
func (a *apiBench) crowd(ctx context.Context) *sync.WaitGroup {
	st := store.New(a.rdb)
	var live []string
	for i := range dashboardJobs {
		job := tasks.Job{ID: fmt.Sprintf("job-%05d", i), Kind: "migration", Tenant: fmt.Sprintf("tenant%d", i%20), Labels: map[string]string{"team": "billing"}, Spec: []byte(`{"source":"legacy","target":"cloud"}`)}
		if _, _, err := st.Create(ctx, job); err != nil {
			a.Fatal(err)
		}
		if i%10 == 0 {
			live = append(live, job.ID)
			continue
		}
		if _, err := st.Control(ctx, job.ID, store.Cancel, "bench", ""); err != nil {
			a.Fatal(err)
		}
	}
	beat := func() {
		for i := range dashboardWorkers {
			w := wire.Worker{ID: fmt.Sprintf("worker-%03d", i), Version: "1.0.0", Protocol: tasks.Protocol, State: wire.WorkerActive, Host: "host", Labels: map[string]string{"zone": "a"},
				Queues: []string{tasks.DefaultQueue}, Kinds: []string{"migration"}, Concurrency: 8, InFlight: i % 8, StartedAt: time.Now().Add(-time.Hour)}
			if i%2 == 0 {
				w.Version, w.State = "2.0.0", wire.WorkerDraining
			}
			if _, err := st.Beat(ctx, w); err != nil && ctx.Err() == nil {
				a.Error(err)
			}
		}
	}
	beat()
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				beat()
			}
		}
	})
	all.Go(func() { // as the scripts write them
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_, _ = a.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				for range dashboardEvents / 50 {
					n++
					p.XAdd(ctx, &redis.XAddArgs{Stream: "stint:{" + live[n%len(live)] + "}:events", MaxLen: 1000, Approx: true, Values: []string{"type", "given_back", "at", strconv.FormatInt(time.Now().UnixMilli(), 10), "step", "0/" + strconv.Itoa(n), "reason", "drained", "worker", "worker-001"}})
				}
				return nil
			})
		}
	})
	return &all
}

// reader is a browser that is logged in.
func (a *apiBench) reader() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	resp, err := c.PostForm(a.url+"/login", url.Values{"token": {a.token}})
	if err != nil || resp.StatusCode != http.StatusOK {
		a.Fatalf("log in: %v, %+v", err, resp)
	}
	_ = resp.Body.Close()
	return c
}

// load reads a page to its end.
func load(c *http.Client, at string) (took time.Duration, size int64, err error) {
	start := time.Now()
	resp, err := c.Get(at)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	size, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", at, resp.Status)
	}
	return time.Since(start), size, err
}

// memoryOf is what a process holds in memory, in KiB; 0 where the system does not say.
func memoryOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return n
}

// BenchmarkDashboard measures the pages of a server process before 10,000 jobs, 200 workers and 5,000 events a second: how long each takes when it is loaded first, and what
// fifty pages that stay open cost for STINT_BENCH_MINUTES (2).
func BenchmarkDashboard(b *testing.B) {
	a := newAPIBench(b)
	ctx, cancel := context.WithCancel(context.Background())
	all := a.crowd(ctx)
	defer all.Wait()
	defer cancel()
	r := &results{name: "dashboard"}
	c := a.reader()
	paths := []string{"/", "/jobs", "/jobs?state=accepted", "/jobs/job-00000", "/fleet", "/fleet/worker-001", "/queues", "/schedules", "/alerts", "/dedupe", "/builds", "/audit", "/access"}
	var slowest time.Duration
	for _, path := range paths {
		var took []time.Duration
		var size int64
		for range 20 {
			<-time.After(800 * time.Millisecond) // so that nothing is remembered of the last one
			d, n, err := load(c, a.url+path)
			if err != nil {
				b.Error(err)
				break
			}
			took, size = append(took, d), n
		}
		if len(took) > 0 {
			slowest = max(slowest, percentile(took, .5))
			r.add("%-22s first page p50 %v, slowest of 20 %v, %d KiB", path, percentile(took, .5).Round(time.Millisecond), slices.Max(took).Round(time.Millisecond), size>>10)
		}
	}
	r.take("api-page", taken{Figure: 1000 * secs(slowest), Runs: 20, Measured: fmt.Sprintf("%.0f ms", 1000*secs(slowest)), Size: fmt.Sprintf("%s jobs, %d workers", thousands(dashboardJobs), dashboardWorkers)})
	a.openPages(ctx, r, c, paths)
	r.write(b)
}

// openPages keeps pages open and looks at what the server needs for them.
func (a *apiBench) openPages(ctx context.Context, r *results, c *http.Client, paths []string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var bytes atomic.Int64
	var open sync.WaitGroup
	for i := range dashboardPages {
		at := a.url + paths[i%len(paths)]
		sep := "?"
		if strings.Contains(at, "?") {
			sep = "&"
		}
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, at+sep+"live=1", nil)
		if err != nil {
			a.Fatal(err)
		}
		resp, err := c.Do(q)
		if err != nil || resp.StatusCode != http.StatusOK {
			a.Fatalf("open %s: %v, %+v", at, err, resp)
		}
		open.Go(func() {
			defer resp.Body.Close()
			buf := make([]byte, 32<<10)
			for {
				n, err := resp.Body.Read(buf)
				bytes.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	minutes := numberFrom("STINT_BENCH_MINUTES", 2)
	pid := a.server.Process.Pid
	begin, start := cpuOf(pid), time.Now()
	var held []int64
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for time.Since(start) < time.Duration(minutes)*time.Minute {
		<-tick.C
		held = append(held, memoryOf(pid))
	}
	share := (cpuOf(pid) - begin).Seconds() / time.Since(start).Seconds()
	third := len(held) / 3
	mean := func(list []int64) int64 {
		sum := int64(0)
		for _, v := range list {
			sum += v
		}
		return sum / int64(max(len(list), 1)) >> 10
	}
	r.add("%d open pages for %d min: %.0f %% of a core, %.1f MiB/s of news; memory of the server %d MiB in the first third, %d in the second, %d in the last, at most %d", dashboardPages, minutes, share*100,
		float64(bytes.Load())/(1<<20)/time.Since(start).Seconds(), mean(held[:third]), mean(held[third:2*third]), mean(held[2*third:]), slices.Max(held)>>10)
	cancel()
	open.Wait()
}
