package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/redistest"
)

// alertMinutes is over how many windows of each rule the benches of alerts measure.
func alertMinutes() int { return number("STINT_BENCH_ALERT_MINUTES", 3) }

// alertBench is what those who evaluate rules share: a search server that gets events all the time, and rule files that both read.
type alertBench struct {
	*testing.B
	dir, stint string
	search     *searchProcess
	logs       int // of processes
}

func newAlertBench(b *testing.B) *alertBench {
	dir := b.TempDir()
	a := &alertBench{B: b, dir: dir, stint: filepath.Join(dir, "stint"), search: startSearch(b)}
	if out, err := exec.Command("go", "build", "-o", a.stint, "../cmd/stint").CombinedOutput(); err != nil {
		b.Fatalf("build stint: %v\n%s", err, out)
	}
	return a
}

// write writes a file below the folder of the bench, and returns its path.
func (a *alertBench) write(name, text string) string {
	path := filepath.Join(a.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		a.Fatal(err)
	}
	return path
}

// The rules: a quarter of each, no two of which ask the same. OTHER tells a rule from others of its kind and service.
var alertRules = []struct{ kind, text string }{
	{"any", "filter: [{term: {service: SERVICE}}, {term: {level: fatal}}, {range: {took_ms: {gte: 1OTHER}}}]\n"},
	{"frequency", "num_events: 20\ntimeframe: {minutes: 5}\nquery_key: host\nfilter: [{term: {service: SERVICE}}, {range: {status: {gte: 5OTHER}}}]\n"},
	{"flatline", "threshold: 1\ntimeframe: {minutes: 5}\nuse_count_query: true\ndoc_type: _doc\nfilter: [{term: {service: SERVICE}}, {range: {took_ms: {gte: 1OTHER}}}]\n"},
	{"metric_aggregation", "metric_agg_key: took_ms\nmetric_agg_type: avg\nmax_threshold: 990\nquery_key: host\nuse_run_every_query_size: true\nfilter: [{term: {service: SERVICE}}, {range: {took_ms: {gte: 1OTHER}}}]\n"},
}

// rules writes n rules as ElastAlert reads them, too, and returns their folder and their names.
func (a *alertBench) rules(n int) (dir string, names []string) {
	dir = fmt.Sprintf("rules%d", n)
	for i := range n {
		r, of := alertRules[i%len(alertRules)], i/len(alertRules)
		name := fmt.Sprintf("%s %d", r.kind, of)
		text := strings.NewReplacer("SERVICE", fmt.Sprintf("s%d", of%benchServices), "OTHER", fmt.Sprintf("%02d", of/benchServices)).Replace(r.text)
		a.write(filepath.Join(dir, fmt.Sprintf("%05d.yaml", i)), "name: "+name+"\ntype: "+r.kind+"\nindex: logs-*\nalert: [debug]\n"+text)
		names = append(names, name)
	}
	return filepath.Join(a.dir, dir), names
}

// start starts a process whose output goes into a file.
func (a *alertBench) start(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	a.logs++
	out, err := os.Create(filepath.Join(a.dir, fmt.Sprintf("log%d", a.logs)))
	if err != nil {
		a.Fatal(err)
	}
	defer out.Close() // the process has its own
	c.Stdout, c.Stderr, c.SysProcAttr = out, out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		a.Fatal(err)
	}
	return c
}

// said is what the processes have said last.
func (a *alertBench) said() string {
	var all strings.Builder
	for i := range a.logs {
		text, _ := os.ReadFile(filepath.Join(a.dir, fmt.Sprintf("log%d", i+1)))
		all.Write(text[max(0, len(text)-2000):])
	}
	return all.String()
}

// end ends a process.
func end(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait() // it was killed
}

// peak is the most memory that a process has had, in MiB; 0 where the system does not say.
func peak(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseFloat(kib, 64)
	return n / 1024
}

// until waits for something; what says how far it is.
func (a *alertBench) until(limit time.Duration, done func() (what string, ok bool)) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(limit); ; {
		what, ok := done()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			a.Fatalf("after %v: %s\n%s", limit, what, a.said())
		}
	}
}

// late is how long before a minute the measuring begins and ends: by then the minute's windows should be evaluated.
const late = 5 * time.Second

// minute waits until shortly before the next minute, and returns the one that is under way.
func minute() time.Time {
	now := time.Now()
	at := now.Truncate(time.Minute)
	if now.After(at.Add(time.Minute - late)) {
		at = at.Add(time.Minute)
	}
	<-time.After(time.Until(at.Add(time.Minute - late)))
	return at
}

// stintRun evaluates n rules a minute by one worker process.
func (a *alertBench) stintRun(r *results, n int) {
	rdb := redistest.New(a.B, redistest.EverySecond())
	dir, names := a.rules(n)
	file := a.write(fmt.Sprintf("stint%d.yaml", n), fmt.Sprintf("redis:\n  url: %q\nalerts:\n  rules: %q\n  source: logs\n  buffer_time: 2m\nconnections:\n- {name: logs, url: %q}\n", rdb.URL(), dir, "elasticsearch://"+a.search.host()))
	worker, planner := a.start(a.stint, "worker", "--config", file), a.start(a.stint, "scheduler", "--config", file)
	defer end(worker)
	defer end(planner)
	client := rdb.Client()
	st := alertstore.New(client, alertstore.Options{})
	health := func() map[string]alertstore.Health {
		healths, err := st.Healths(context.Background(), names)
		if err != nil {
			a.Fatal(err)
		}
		return healths
	}
	a.until(4*time.Minute, func() (string, bool) {
		begun := 0
		for _, h := range health() {
			if !h.Due.IsZero() {
				begun++
			}
		}
		return fmt.Sprintf("%d of %d rules have been evaluated", begun, n), begun == n
	})
	minute()
	before, redisCPU, requests := [2]time.Duration{cpuOf(worker.Process.Pid), cpuOf(planner.Process.Pid)}, redisNow(client), a.search.requests()
	searchCPU, start := cpuOf(a.search.pid()), time.Now()
	var lags []time.Duration
	hits := int64(0)
	for range alertMinutes() {
		at := minute()
		for name, h := range health() {
			if h.Error != nil {
				a.Fatalf("rule %s: %s", name, h.Error.Message)
			}
			if h.Due.Equal(at) {
				lags, hits = append(lags, h.At.Sub(at)), hits+h.Hits
			}
		}
	}
	wall := time.Since(start)
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / wall.Seconds() }
	asked := a.search.requests().since(requests)
	r.add("%d rules a minute, stint: worker %.1f %% of a core, scheduler %.1f %%, redis %.1f %%; the search server %.1f %%", n, share(cpuOf(worker.Process.Pid)-before[0]), share(cpuOf(planner.Process.Pid)-before[1]), share(redisNow(client)-redisCPU), share(cpuOf(a.search.pid())-searchCPU))
	if n == 10_000 {
		size := fmt.Sprintf("%s rules, %d minutes", thousands(float64(n)), alertMinutes())
		worked := share(cpuOf(worker.Process.Pid) - before[0])
		r.take("alerts-rules", taken{Figure: worked, Runs: 1, Measured: fmt.Sprintf("%.1f %%", worked), Size: size})
		r.take("alerts-missed", taken{Figure: float64(n*alertMinutes() - len(lags)), Runs: 1, Measured: fmt.Sprintf("%d of %s", n*alertMinutes()-len(lags), thousands(float64(n*alertMinutes()))), Size: size})
	}
	r.add("  requests to the search server a minute: %.0f (%s)", float64(asked.total())/wall.Minutes(), asked)
	r.add("  evaluated after the minute: p50 %v  p99 %v  max %v; %d of %d windows; %.0f events a window", percentile(lags, .5).Round(time.Millisecond), percentile(lags, .99).Round(time.Millisecond), percentile(lags, 1).Round(time.Millisecond), len(lags), n*alertMinutes(), float64(hits)/float64(max(1, len(lags))))
	r.add("  peak memory: worker %.0f MiB, scheduler %.0f MiB", peak(worker.Process.Pid), peak(planner.Process.Pid))
}

// redisNow is the CPU time that Redis has used.
func redisNow(rdb *redis.Client) time.Duration { return cpuNow(rdb).redis }

// startElastAlert is its own main function. The package that Debian has of it knows an older client than Debian has, which fails at
// each query of a metric; what is in its way is taken out.
const startElastAlert = `
import sys, elastalert, elastalert.elastalert as original
elastalert.ElasticSearchClient.deprecated_search = lambda self, doc_type=None, **k: self.search(**k)
original.main(sys.argv[1:])
`

// elastAlertRun has the original evaluate the same rules, where it is installed.
func (a *alertBench) elastAlertRun(r *results, n int) {
	python, err := exec.LookPath("/usr/bin/python3") // for which Debian installs it
	if err != nil || exec.Command(python, "-c", "import elastalert").Run() != nil {
		r.add("%d rules a minute, ElastAlert: not installed, not measured", n)
		return
	}
	host, port, _ := strings.Cut(a.search.host(), ":")
	dir, _ := a.rules(n)
	file := a.write(fmt.Sprintf("elastalert%d.yaml", n), fmt.Sprintf("rules_folder: %s\nrun_every: {minutes: 1}\nbuffer_time: {minutes: 2}\nes_host: %s\nes_port: %s\nwriteback_index: elastalert_status\nwriteback_alias: elastalert_alerts\nalert_time_limit: {days: 2}\n", dir, host, port))
	began := time.Now()
	p := a.start(python, "-c", startElastAlert, "--config", file)
	defer end(p)
	first := a.statuses()
	a.until(6*time.Minute, func() (string, bool) {
		done := a.statuses() - first
		if err := p.Process.Signal(syscall.Signal(0)); err != nil {
			err = errors.Join(err, p.Wait())
			a.Fatalf("elastalert has ended: %v", err)
		}
		return fmt.Sprintf("%d of %d rules have been evaluated", done, n), done >= n
	})
	r.add("%d rules a minute, ElastAlert: all rules have been evaluated once %v after its start", n, time.Since(began).Round(time.Second))
	minute()
	first = a.statuses()
	before, requests, searchCPU, start := cpuOf(p.Process.Pid), a.search.requests(), cpuOf(a.search.pid()), time.Now()
	for range alertMinutes() {
		minute()
	}
	wall, asked := time.Since(start), a.search.requests().since(requests)
	done := a.statuses() - first
	r.add("  process %.1f %% of a core; the search server %.1f %%", 100*(cpuOf(p.Process.Pid)-before).Seconds()/wall.Seconds(), 100*(cpuOf(a.search.pid())-searchCPU).Seconds()/wall.Seconds())
	r.add("  requests to the search server a minute: %.0f (%s)", float64(asked.total())/wall.Minutes(), asked)
	r.add("  evaluations: %d of %d", done, n*alertMinutes())
	r.add("  peak memory: %.0f MiB", peak(p.Process.Pid))
}

// statuses counts the evaluations of ElastAlert, each of which writes a status.
func (a *alertBench) statuses() int {
	resp, err := http.Get(a.search.url + "/elastalert_status_status/_count")
	if err != nil {
		a.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Count int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		a.Fatal(err)
	}
	return answer.Count
}

// BenchmarkAlerts evaluates rules that are all due in the same second of each minute, by one worker process, beside ElastAlert.
func BenchmarkAlerts(b *testing.B) {
	for _, c := range []struct {
		name string
		run  func(a *alertBench, r *results)
	}{
		{"1000", func(a *alertBench, r *results) { a.stintRun(r, 1000) }},
		{"1000-ElastAlert", func(a *alertBench, r *results) { a.elastAlertRun(r, 1000) }},
		{"10000", func(a *alertBench, r *results) { a.stintRun(r, 10_000) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := &results{name: "alerts-" + c.name}
			a := newAlertBench(b)
			defer a.search.stop()
			c.run(a, r)
			r.write(b)
		})
	}
}

// host is where the search server is, as host:port.
func (s *searchProcess) host() string {
	u, err := url.Parse(s.url)
	if err != nil {
		panic(err) // it is of this program
	}
	return u.Host
}
