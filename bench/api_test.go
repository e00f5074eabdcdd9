package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/worker"
)

// clients is how many submit at once, each on a connection that it keeps.
const clients = 8

// apiBench is a stint serve process, on a Redis that syncs its file each second.
type apiBench struct {
	*testing.B
	rdb    *redis.Client
	server *exec.Cmd
	url    string
	token  string
	http   *http.Client
}

var answering = regexp.MustCompile(`"the API answers".*"address":"([^"]+)"`)

func newAPIBench(b *testing.B) *apiBench {
	b.Helper()
	dir := b.TempDir()
	redis := redistest.New(b, redistest.EverySecond())
	a := &apiBench{B: b, rdb: redis.Client(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}}}
	program := filepath.Join(dir, "stint")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/stint").CombinedOutput(); err != nil {
		b.Fatalf("build stint: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "stint.yaml")
	text := fmt.Sprintf("redis:\n  url: %q\nlog:\n  format: json\napi:\n  requests_per_second: 0\n", redis.URL())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	a.server = exec.Command(program, "serve", "--config", file, "--listen", "127.0.0.1:0")
	log, err := a.server.StderrPipe()
	if err == nil {
		err = a.server.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = a.server.Process.Kill()
		_ = a.server.Wait() // it was killed
	})
	lines := bufio.NewScanner(log)
	for a.url == "" && lines.Scan() {
		if m := answering.FindSubmatch(lines.Bytes()); m != nil {
			a.url = "http://" + string(m[1])
		}
	}
	if a.url == "" {
		b.Fatal("stint serve has ended")
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	c, err := client.New(client.Options{Server: a.url})
	if err != nil {
		b.Fatal(err)
	}
	made, err := c.MakeToken(context.Background(), wire.NewToken{Name: "bench", Role: "admin"})
	if err != nil {
		b.Fatal(err)
	}
	a.token = made.Secret
	return a
}

// do sends a request and returns the status; the answer is read to its end, so that the connection is kept.
func (a *apiBench) do(method, path, token, key string, body []byte) (int, error) {
	r, err := http.NewRequest(method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// want is do, with the status that it must have.
func (a *apiBench) want(status int, method, path, token, key string, body []byte) {
	code, err := a.do(method, path, token, key, body)
	if err != nil || code != status {
		a.Errorf("%s %s: status %d, want %d: %v", method, path, code, status, err)
	}
}

// together has the clients do something n times in all, and returns how often a second.
func together(n int, do func(i int)) float64 {
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range clients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				do(int(i))
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(start).Seconds()
}

var spec = []byte(`{"kind":"migration","tenant":"acme","spec":{"source":"legacy","target":"cloud","tables":["customer","invoice"],"chunk_rows":10000}}`)

// submissions compares POST /v1/jobs with enqueuing a bare task, and with a request that does nothing.
func (a *apiBench) submissions(r *results) {
	const n = 5000
	queue := asynq.NewClientFromRedisClient(a.rdb)
	var ours, keyed, theirs, single, empty []float64
	var ourCost, theirCost string
	var server time.Duration
	for round := range rounds {
		before, busy := cpuNow(a.rdb), cpuOf(a.server.Process.Pid)
		ours = append(ours, together(n, func(int) { a.want(http.StatusAccepted, http.MethodPost, "/v1/jobs", a.token, "", spec) }))
		ourCost, server = before.since(a.rdb, n), (cpuOf(a.server.Process.Pid)-busy)/n
		before = cpuNow(a.rdb)
		theirs = append(theirs, together(2*n, func(int) {
			if _, err := queue.Enqueue(asynq.NewTask("bench", spec)); err != nil {
				a.Error(err)
			}
		}))
		theirCost = before.since(a.rdb, 2*n)
		start := time.Now()
		for range n {
			if _, err := queue.Enqueue(asynq.NewTask("bench", spec)); err != nil {
				a.Error(err)
			}
		}
		single = append(single, n/time.Since(start).Seconds())
		keyed = append(keyed, together(n, func(i int) {
			a.want(http.StatusAccepted, http.MethodPost, "/v1/jobs", a.token, fmt.Sprintf("%d-%d", round, i), spec)
		}))
		empty = append(empty, together(n, func(int) { a.want(http.StatusOK, http.MethodGet, "/livez", "", "", nil) }))
	}
	r.ratio("POST /v1/jobs beside GET /livez", ours, empty, "/s")
	r.ratio("POST /v1/jobs, 8 clients, beside asynq's Enqueue by one", ours, single, "/s")
	r.take("api-submit", ratioOf(ours, single, "a second"))
	r.ratio("POST /v1/jobs beside asynq's Enqueue, 8 clients each", ours, theirs, "/s")
	r.ratio("  the same with an Idempotency-Key", keyed, theirs, "/s")
	r.add("  ours: %s, the server %v; theirs: %s", ourCost, server.Round(time.Microsecond), theirCost)
}

// staged is a family of three stages of one step.
type staged struct{ done atomic.Int64 }

func (*staged) Kind() string { return "staged" }

func (*staged) Plan(context.Context, tasks.Job) ([]tasks.Stage, error) {
	return []tasks.Stage{{Name: "schema"}, {Name: "load", After: []string{"schema"}}, {Name: "finish", After: []string{"load"}}}, nil
}

func (*staged) Split(context.Context, tasks.Job, tasks.Stage, tasks.Cursor, int) ([]tasks.Step, tasks.Cursor, error) {
	return []tasks.Step{{ID: "0"}}, nil, nil
}

func (f *staged) Run(context.Context, *tasks.Attempt) error {
	f.done.Add(1)
	return nil
}

// fill has n jobs of three stages run to their end, and returns their ids.
func (a *apiBench) fill(n int) []string {
	a.Helper()
	ctx := context.Background()
	f, st := &staged{}, store.New(a.rdb)
	tokens, err := st.Tokens(ctx)
	if err == nil {
		err = a.rdb.FlushAll(ctx).Err()
	}
	for _, t := range tokens {
		err = errors.Join(err, st.PutToken(ctx, t))
	}
	if err != nil {
		a.Fatal(err)
	}
	w := worker.New(a.rdb, st, worker.Options{Concurrency: 16, Families: []tasks.Family{f}, Log: quiet})
	s := scheduler.New(a.rdb, st, scheduler.Options{Log: quiet})
	s.Start()
	defer s.Stop()
	if err := w.Start(ctx); err != nil {
		a.Fatal(err)
	}
	defer w.Stop(ctx)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "sta-" + strconv.Itoa(i)
		submit(a.B, a.rdb, st, tasks.Job{ID: ids[i], Kind: "staged", Tenant: "acme", Spec: json.RawMessage(`{"source":"legacy","target":"cloud"}`)})
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(5 * time.Minute); f.done.Load() < int64(3*n); {
		select {
		case <-tick.C:
		case <-limit:
			a.Fatalf("only %d of %d steps were done after 5 minutes", f.done.Load(), 3*n)
		}
	}
	return ids
}

// paced sends requests at a rate for a while. A request that begins late because others are slow counts from when it was due.
func (a *apiBench) paced(perSecond int, d time.Duration, path func() string) []time.Duration {
	due := make(chan time.Time, perSecond*int(d/time.Second)+1)
	took := make(chan time.Duration, cap(due))
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for at := range due {
				a.want(http.StatusOK, http.MethodGet, path(), a.token, "", nil)
				took <- time.Since(at)
			}
		})
	}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	for range cap(due) - 1 {
		due <- <-tick.C
	}
	tick.Stop()
	close(due)
	all.Wait()
	close(took)
	var list []time.Duration
	for t := range took {
		list = append(list, t)
	}
	return list
}

// streams keeps so many streams of events open on jobs that wait, and returns the server's share of a core.
func (a *apiBench) streams(n int, d time.Duration) float64 {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var open sync.WaitGroup
	for i := range n {
		job := tasks.Job{ID: "wait-" + strconv.Itoa(i), Kind: "staged"}
		if _, _, err := store.New(a.rdb).Create(ctx, job); err != nil {
			a.Fatal(err)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/v1/jobs/"+job.ID+"/events", nil)
		if err != nil {
			a.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		r.Header.Set("Authorization", "Bearer "+a.token)
		resp, err := a.http.Do(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			a.Fatalf("open a stream: %v, %+v", err, resp)
		}
		open.Go(func() {
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // until it is cancelled
		})
	}
	begin, start := cpuOf(a.server.Process.Pid), time.Now()
	<-time.After(d)
	share := (cpuOf(a.server.Process.Pid) - begin).Seconds() / time.Since(start).Seconds()
	cancel()
	open.Wait()
	return share
}

// strangers compares how long the same refusal takes for no token, for one of an id that there is not, and for a wrong secret of
// one that there is.
func (a *apiBench) strangers(r *results) {
	id, _, _ := strings.Cut(strings.TrimPrefix(a.token, "stint_"), "_")
	kinds := []struct{ name, token string }{{"no token", ""}, {"an unknown id", "stint_000000000000_" + strings.Repeat("A", 43)}, {"a wrong secret", "stint_" + id + "_" + strings.Repeat("A", 43)}}
	took := make([][]time.Duration, len(kinds))
	tick := time.NewTicker(time.Second / 8) // strangers may not ask much more often
	defer tick.Stop()
	for range 40 {
		for i, k := range kinds {
			<-tick.C
			start := time.Now()
			a.want(http.StatusUnauthorized, http.MethodGet, "/v1/jobs", k.token, "", nil)
			took[i] = append(took[i], time.Since(start))
		}
	}
	for i, k := range kinds {
		r.add("refused, %-16s  p50 %v  p90 %v (40)", k.name, percentile(took[i], .5).Round(time.Microsecond), percentile(took[i], .9).Round(time.Microsecond))
	}
}

// cpuOf is the CPU time that a process has used; 0 where the system does not say.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * (time.Second / 100)
}

// BenchmarkAPI measures the HTTP API of a server process, over loopback.
func BenchmarkAPI(b *testing.B) {
	r := &results{name: "api"}
	a := newAPIBench(b)
	a.submissions(r)
	a.strangers(r)
	ids := a.fill(10_000)
	one := a.paced(500, 10*time.Second, func() string { return "/v1/jobs/" + ids[rand.IntN(len(ids))] })
	r.add("GET /v1/jobs/{id}, 500/s of 10,000 jobs      p50 %v  p99 %v  max %v (%d)", percentile(one, .5), percentile(one, .99), percentile(one, 1), len(one))
	r.take("api-get", taken{Figure: 1000 * secs(percentile(one, .99)), Runs: len(one), Measured: fmt.Sprintf("%.1f ms; p50 %.1f ms", 1000*secs(percentile(one, .99)), 1000*secs(percentile(one, .5)))})
	page := a.paced(20, 10*time.Second, func() string { return "/v1/jobs" })
	r.add("GET /v1/jobs, first page of 50, 20/s         p50 %v  p99 %v  max %v (%d)", percentile(page, .5), percentile(page, .99), percentile(page, 1), len(page))
	streams := 100 * a.streams(50, 10*time.Second)
	r.add("50 streams of events, idle                   %.1f %% of a core in the server", streams)
	r.take("api-streams", taken{Figure: streams, Runs: 1, Measured: fmt.Sprintf("%.1f %%", streams)})
	r.write(b)
}
