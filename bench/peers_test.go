package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// peerTasks is how many tasks that do nothing each peer runs; STINT_BENCH_TASKS says otherwise.
var peerTasks = number("STINT_BENCH_TASKS", 20_000)

// peer is one way to run many tasks that do nothing: first all are enqueued, then they run.
type peer struct {
	name string
	// missing says how to get it; "" when it is here.
	missing string
	// command is what runs n of them, and prints {"enqueue_s": ..., "work_s": ...}.
	command func(p *peers, n int) *exec.Cmd
	pg      bool // on PostgreSQL instead of Redis
	took    []peerRun
}

// peerRun is what n tasks have cost.
type peerRun struct {
	Enqueue float64 `json:"enqueue_s"`
	Work    float64 `json:"work_s"`
	client  time.Duration
	server  time.Duration
	n       float64
}

func (r peerRun) working() float64 { return r.n / r.Work }
func (r peerRun) whole() float64   { return r.n / (r.Work + r.Enqueue) }

// clientUS and serverUS are the CPU time of one task, in µs.
func (r peerRun) clientUS() float64 { return secs(r.client) / r.n * 1e6 }
func (r peerRun) serverUS() float64 { return secs(r.server) / r.n * 1e6 }

// peers are the servers that they share.
type peers struct {
	*testing.B
	dir    string
	redis  *redistest.Server
	rdb    *redis.Client
	pg     *pgtest.Server
	master int // the process id of PostgreSQL
	n      int
	url    string // of the present database
}

func newPeers(b *testing.B) *peers {
	p := &peers{B: b, dir: b.TempDir(), redis: redistest.New(b, redistest.EverySecond(), redistest.TCP())}
	p.rdb = p.redis.Client()
	var err error
	if p.pg, err = pgtest.Start("", pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "512MB", "max_wal_size": "8GB", "max_connections": "200"}}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.pg.Stop() })
	conn, err := pgx.Connect(context.Background(), p.pg.URL("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	var folder string
	if err := conn.QueryRow(context.Background(), "SHOW data_directory").Scan(&folder); err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "postmaster.pid"))
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if p.master, err = strconv.Atoi(first); err != nil {
		b.Fatal(err)
	}
	return p
}

// family is the CPU time of a process, of its children that live, and of those that have ended.
func family(pid int) time.Duration {
	all := cpuOf(pid) + cpuOfEnded(pid)
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(list)) {
		if n, err := strconv.Atoi(child); err == nil {
			all += cpuOf(n)
		}
	}
	return all
}

// cpuOfEnded is the CPU time of the children of a process that have ended.
func cpuOfEnded(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(fields[13])
	system, _ := strconv.Atoi(fields[14])
	return time.Duration(user+system) * (time.Second / 100)
}

func (p *peers) serverCPU(pg bool) time.Duration {
	if pg {
		return family(p.master)
	}
	return redisNow(p.rdb)
}

// run has a peer run n tasks, on a server that has nothing else in it.
func (p *peers) run(x *peer, n int) {
	if x.pg {
		p.n++
		name := fmt.Sprintf("peer%d", p.n)
		if err := p.pg.CreateDatabase(context.Background(), name); err != nil {
			p.Fatal(err)
		}
		defer func() { _ = p.pg.DropDatabase(context.Background(), name) }()
		p.url = p.pg.URL(name)
	} else if err := p.rdb.FlushAll(context.Background()).Err(); err != nil {
		p.Fatal(err)
	}
	cmd := x.command(p, n)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &out, &said, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	before := p.serverCPU(x.pg)
	if err := cmd.Run(); err != nil {
		p.Fatalf("%s: %v\n%s%s", x.name, err, out.String(), said.String())
	}
	r := peerRun{server: p.serverCPU(x.pg) - before, client: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), n: float64(n)}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		p.Fatalf("%s: %v in %q", x.name, err, out.String())
	}
	x.took = append(x.took, r)
}

// list says which peers there are, and makes those ready that have to be built.
func (p *peers) list() []*peer {
	host, port, err := net.SplitHostPort(p.redis.Addr())
	if err != nil {
		p.Fatal(err)
	}
	river := func(workers, cooldown string) func(p *peers, n int) *exec.Cmd {
		return func(p *peers, n int) *exec.Cmd {
			return exec.Command(filepath.Join(p.dir, "river"), p.url, strconv.Itoa(n), workers, cooldown)
		}
	}
	all := []*peer{
		{name: "asynq 0.26, bare", command: func(p *peers, n int) *exec.Cmd {
			cmd := exec.Command(os.Args[0], "-test.run", "^$")
			cmd.Env = append(os.Environ(), "STINT_BENCH_ASYNQ="+p.redis.URL(), "STINT_BENCH_TASKS="+strconv.Itoa(n))
			return cmd
		}},
		{name: "River 0.51, as it comes", pg: true, command: river("100", "100ms")},
		{name: "River 0.51, tuned", pg: true, command: river("2000", "2ms")},
		{name: "BullMQ 6.7", command: func(_ *peers, n int) *exec.Cmd {
			return exec.Command("node", "peers/bullmq/work.js", host, port, strconv.Itoa(n), "100")
		}},
		{name: "Sidekiq", command: func(p *peers, n int) *exec.Cmd {
			return exec.Command("/usr/bin/ruby", "-W0", "peers/sidekiq/work.rb", p.redis.URL(), strconv.Itoa(n), "10")
		}},
		{name: "Celery", command: func(p *peers, n int) *exec.Cmd {
			cmd := exec.Command("/usr/bin/python3", "-W", "ignore", "peers/celery/work.py", p.redis.URL(), strconv.Itoa(n), "2")
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			return cmd
		}},
	}
	build := exec.Command("go", "build", "-o", filepath.Join(p.dir, "river"), ".")
	build.Dir, build.Env = filepath.Join("peers", "river"), append(os.Environ(), "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		why := fmt.Sprintf("cannot be built: `cd bench/peers/river && go build`: %v, %s", err, bytes.TrimSpace(out))
		all[1].missing, all[2].missing = why, why
	}
	if _, err := exec.LookPath("node"); err != nil {
		all[3].missing = "not installed: Node.js, then `npm install --prefix bench/peers/bullmq`"
	} else if _, err := os.Stat("peers/bullmq/node_modules/bullmq"); err != nil {
		all[3].missing = "not installed: `npm install --prefix bench/peers/bullmq`"
	}
	if out, err := exec.Command("/usr/bin/ruby", "-W0", "-e", "require 'sidekiq'; print Sidekiq::VERSION").Output(); err != nil {
		all[4].missing = "not installed: `apt-get install ruby-sidekiq`"
	} else {
		all[4].name += " " + string(out)
	}
	if out, err := exec.Command("/usr/bin/python3", "-c", "import celery, redis; print(celery.__version__)").Output(); err != nil {
		all[5].missing = "not installed: `apt-get install python3-celery python3-redis`"
	} else {
		all[5].name += " " + strings.TrimSpace(string(out))
	}
	return all
}

// own is stint with so many slots, beside which peers are put.
type own struct {
	name    string
	slots   int
	crew    *crew
	took    []price
	rates   []float64 // steps a second, of each run
	us      float64   // CPU of a step, workers and scheduler
	redisUS float64
}

func newOwn(b *testing.B, name string, slots int) *own {
	o := &own{name: name, slots: slots, crew: newCrew(b, 1, slots)}
	o.run("warm")
	o.took = nil
	return o
}

// run runs a job, of which four times as many steps are out as there are slots.
func (o *own) run(id string) {
	o.took = append(o.took, o.crew.within(4*o.slots, id, peerTasks))
}

// sum makes figures of what was run.
func (o *own) sum() {
	n := float64(peerTasks)
	var us, redisUS []float64
	for _, t := range o.took {
		o.rates, us, redisUS = append(o.rates, n/t.wall), append(us, secs(t.workers+t.planner)/n*1e6), append(redisUS, secs(t.redis)/n*1e6)
	}
	o.us, o.redisUS = median(us), median(redisUS)
}

// BenchmarkPeers runs as many tasks that do nothing by stint and by each of its peers, in turn: by stint with eight slots, and with a hundred, which is
// what stands beside peers that have as many or more.
func BenchmarkPeers(b *testing.B) {
	r := &results{name: "peers"}
	p := newPeers(b)
	all := p.list()
	few, many := newOwn(b, "stint", 8), newOwn(b, "stint, 100 slots", 100)
	for i := range often() {
		for _, o := range []*own{few, many} {
			o.run(fmt.Sprint("peers-", i))
		}
		for _, x := range all {
			if x.missing == "" {
				p.run(x, peerTasks)
			}
		}
	}
	r.add("%d tasks, one process, medians of %d runs in turn", peerTasks, len(few.took))
	var bars []bar
	for _, o := range []*own{few, many} {
		o.sum()
		r.add("%-26s %8.0f a second in all            CPU of one: client %4.0f µs, server %4.0f µs", o.name, median(o.rates), o.us, o.redisUS)
		bars = append(bars, bar{Name: o.name, Value: median(o.rates), Ours: true})
	}
	beside := map[string]struct {
		id string
		o  *own
	}{"asynq": {"engine-asynq", few}, "River": {"engine-river", many}, "BullMQ": {"engine-bullmq", many}, "Sidekiq": {"engine-sidekiq", few}, "Celery": {"engine-celery", few}}
	for _, x := range all {
		word, _, _ := strings.Cut(x.name, " ")
		of := beside[word]
		if strings.HasSuffix(x.name, "as it comes") { // the other River is the one that counts
			of.id = ""
		}
		if x.missing != "" {
			r.add("%-26s %s", x.name, x.missing)
			if of.id != "" {
				r.take(of.id, taken{Missing: x.missing})
			}
			continue
		}
		bars = append(bars, bar{Name: x.name, Value: median(x.of(peerRun.whole))})
		x.beside(r, of.id, of.o, few, many)
	}
	for i := range bars {
		bars[i].Text = thousands(bars[i].Value)
	}
	r.draw("throughput", bars[2].Value/2, bars...)
	r.write(b)
}

func (x *peer) of(f func(peerRun) float64) (list []float64) {
	for _, t := range x.took {
		list = append(list, f(t))
	}
	return list
}

// beside writes a peer's line, and keeps under an id, unless it is "", what it is beside one of ours.
func (x *peer) beside(r *results, id string, counts, few, many *own) {
	working, whole := x.of(peerRun.working), x.of(peerRun.whole)
	client, server := median(x.of(peerRun.clientUS)), median(x.of(peerRun.serverUS))
	ids := map[string][]float64{id: whole}
	if id == "engine-asynq" {
		ids[id+"-alone"] = working
	}
	for id, theirs := range ids {
		if id == "" {
			continue
		}
		t := ratioOf(counts.rates, theirs, "a second")
		t.Size = thousands(float64(peerTasks)) + " tasks"
		t.Note = fmt.Sprintf("CPU of one, client and server: %s %.0f and %.0f µs, %s %.0f and %.0f µs", counts.name, counts.us, counts.redisUS, x.name, client, server)
		r.take(id, t)
	}
	line := fmt.Sprintf("%-26s %8.0f a second in all, %7.0f run alone  CPU of one: client %4.0f µs, server %4.0f µs", x.name, median(whole), median(working), client, server)
	for _, o := range []*own{few, many} {
		ratios := pairs(o.rates, whole)
		line += fmt.Sprintf("   %s has %.2f (%.2f-%.2f) of the one, %.2f of the other", o.name, median(ratios), slices.Min(ratios), slices.Max(ratios), median(pairs(o.rates, working)))
	}
	r.add("%s", line)
}

// pairs are the ratios of what was run in turn.
func pairs(ours, theirs []float64) (ratios []float64) {
	for i := range ours {
		ratios = append(ratios, ours[i]/theirs[i])
	}
	return ratios
}

// serveAsynq is the peer asynq, in a process of its own like the others: it enqueues and runs tasks one by one, as its users do.
func serveAsynq(url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	client := asynq.NewClientFromRedisClient(rdb)
	begin := time.Now()
	for i := range peerTasks {
		if _, err := client.Enqueue(asynq.NewTask("noop", []byte("peers:1:1:0/"+strconv.Itoa(i)))); err != nil {
			return err
		}
	}
	enqueued := time.Since(begin)
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 8, LogLevel: asynq.FatalLevel})
	var ran atomic.Int64
	done := make(chan struct{})
	begin = time.Now()
	err = server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if ran.Add(1) == int64(peerTasks) {
			close(done)
		}
		return nil
	}))
	if err != nil {
		return err
	}
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		return errors.New("the tasks did not run within 10 minutes")
	}
	worked := time.Since(begin)
	server.Shutdown()
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"enqueue_s": secs(enqueued), "work_s": secs(worked)})
}
