package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// times is how often workers are killed, and drained: a p99 wants a hundred.
var times = number("STINT_BENCH_TIMES", 100)

// holding is a family whose steps go on until their worker wants them back.
type holding struct{ counting }

func (holding) Kind() string { return "holding" }

func (holding) Run(ctx context.Context, a *tasks.Attempt) error {
	select {
	case <-a.Draining:
		return tasks.ErrDrained
	case <-ctx.Done():
		return ctx.Err()
	}
}

// held lists the steps of a job by who holds them; "" is nobody.
func (c *crew) held(job string) map[string][]wire.Out {
	v, err := c.store.View(context.Background(), job)
	if err != nil {
		c.Fatal(err)
	}
	by := map[string][]wire.Out{}
	for _, o := range v.Out {
		by[o.Worker] = append(by[o.Worker], o)
	}
	return by
}

// id finds the worker that a process is.
func (c *crew) id(pid int) string {
	ws, err := c.store.Workers(context.Background(), time.Minute)
	if err != nil {
		c.Fatal(err)
	}
	for _, w := range ws {
		if w.PID == pid {
			return w.ID
		}
	}
	return ""
}

// kills kills the worker that holds the steps of a job, again and again, and returns how long it took each time until another one had
// all of them.
func (c *crew) kills(n int) (took []time.Duration) {
	const steps = 8
	job := tasks.Job{ID: fmt.Sprint("held-", len(c.files)), Kind: holding{}.Kind(), Spec: []byte(strconv.Itoa(steps)), Window: steps}
	c.submit(job)
	for range n {
		var victim *exec.Cmd
		c.until(time.Minute, "each step is held", func() bool {
			by := c.held(job.ID)
			if len(by) == 0 || len(by[""]) > 0 {
				return false
			}
			most := 0
			for _, w := range c.workers {
				if id := c.id(w.Process.Pid); len(by[id]) > most {
					victim, most = w, len(by[id])
				}
			}
			return most > 0 && held(by) == steps
		})
		id := c.id(victim.Process.Pid)
		killed := time.Now()
		end(victim)
		c.until(10*time.Minute, "the lost steps run elsewhere", func() bool {
			by := c.held(job.ID)
			return len(by[id]) == 0 && len(by[""]) == 0 && held(by) == steps
		})
		took = append(took, time.Since(killed))
		for i, w := range c.workers {
			if w == victim {
				c.workers[i] = c.worker(8)
			}
		}
	}
	if _, err := c.store.Control(context.Background(), job.ID, store.Cancel, "bench", ""); err != nil {
		c.Fatal(err)
	}
	return took
}

func held(by map[string][]wire.Out) (n int) {
	for _, list := range by {
		n += len(list)
	}
	return n
}

func (r *results) durations(what string, took []time.Duration) {
	r.add("%s: p50 %.2f s, p99 %.2f s, longest %.2f s (%d times)", what, secs(percentile(took, .5)), secs(percentile(took, .99)), secs(percentile(took, 1)), len(took))
}

// BenchmarkRecovery kills workers with SIGKILL, alone and with 10,000 other jobs that wait, and the workers of peers; and drains workers.
func BenchmarkRecovery(b *testing.B) {
	r := &results{name: "recovery"}
	peers := killPeers(b) // they take minutes and next to no CPU
	c := newCrew(b, 2, 8)
	alone := c.kills(times)
	r.durations("kill -9 to running again, 8 steps held, default settings", alone)
	bars := []bar{{Name: "stint", Value: secs(percentile(alone, .99)), Ours: true}}
	for i := range scaleJobs {
		job := counted(fmt.Sprint("crowd-", i), 1, 0)
		job.Queue = "nobody" // serves it
		c.submit(job)
	}
	crowd := c.kills(max(3, times/5))
	r.durations(fmt.Sprintf("the same with %d other jobs that wait", scaleJobs), crowd)
	bars = append(bars, bar{Name: fmt.Sprintf("stint, %s jobs wait", thousands(float64(scaleJobs))), Value: secs(percentile(crowd, .99)), Ours: true})
	kill, among := durationOf(alone, .99), durationOf(crowd, .99)
	among.Size = thousands(float64(scaleJobs)) + " jobs"
	for _, p := range peers() {
		if p.missing != "" {
			r.add("kill -9 to running again, %s: %s", p.name, p.missing)
			continue
		}
		r.durations("kill -9 to running again, "+p.name, p.took)
		bars = append(bars, bar{Name: p.name, Value: secs(percentile(p.took, .99))})
		kill.Peer = strings.TrimPrefix(fmt.Sprintf("%s; %s %.0f s (%d kills)", kill.Peer, p.name, secs(percentile(p.took, .99)), len(p.took)), "; ")
	}
	for i := range bars {
		bars[i].Text = fmt.Sprintf("%.1f s", bars[i].Value)
	}
	r.take("kill", kill)
	r.take("kill-crowd", among)
	r.draw("kill", 5, bars...)
	r.write(b)
}

// killed is how long a peer took to run again what a killed worker had.
type killed struct {
	name, missing string
	took          []time.Duration
}

// killPeers starts to kill workers of peers, all at once, since they mostly wait; the answer waits for the end.
func killPeers(b *testing.B) func() []killed {
	var all sync.WaitGroup
	var mu sync.Mutex
	list := []killed{{name: "asynq 0.26"}, {name: "BullMQ 6.7"}}
	if _, err := os.Stat("peers/bullmq/node_modules/bullmq"); err != nil {
		list[1].missing = "not installed: `npm install --prefix bench/peers/bullmq`"
	}
	for i := range list {
		if list[i].missing != "" {
			continue
		}
		for range number("STINT_BENCH_PEER_KILLS", 5) {
			server := redistest.New(b, redistest.EverySecond(), redistest.TCP())
			all.Go(func() {
				d, err := killPeer(i, server)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					b.Errorf("%s: %v", list[i].name, err)
					return
				}
				list[i].took = append(list[i].took, d)
			})
		}
	}
	return func() []killed { all.Wait(); return list }
}

// killPeer has one worker begin a task, starts another worker, kills the first, and waits for the second to begin the same task.
func killPeer(i int, server *redistest.Server) (time.Duration, error) {
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		return 0, err
	}
	start := func(first bool) (*exec.Cmd, *bufio.Reader, error) {
		cmd := exec.Command(os.Args[0], "-test.run", "^$")
		cmd.Env = append(os.Environ(), "STINT_BENCH_HOLD="+server.URL(), "STINT_BENCH_FIRST="+strconv.FormatBool(first))
		if i == 1 {
			cmd = exec.Command("node", "peers/bullmq/hold.js", host, port)
			if first {
				cmd.Args = append(cmd.Args, "add")
			}
		}
		cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		return cmd, bufio.NewReader(out), cmd.Start()
	}
	one, began, err := start(true)
	if err != nil {
		return 0, err
	}
	defer end(one)
	if _, err := began.ReadString('\n'); err != nil {
		return 0, fmt.Errorf("the task does not begin: %w", err)
	}
	two, again, err := start(false)
	if err != nil {
		return 0, err
	}
	defer end(two)
	<-time.After(5 * time.Second) // it is there, and would have taken what is on the queue
	at := time.Now()
	if err := one.Process.Kill(); err != nil {
		return 0, err
	}
	over := time.AfterFunc(10*time.Minute, func() { _ = two.Process.Kill() })
	defer over.Stop()
	if _, err := again.ReadString('\n'); err != nil {
		return 0, fmt.Errorf("it does not run again: %w", err)
	}
	return time.Since(at), nil
}

// holdAsynq is a worker of asynq with its defaults whose tasks take an hour.
func holdAsynq(url string) error {
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	if first, _ := os.LookupEnv("STINT_BENCH_FIRST"); first == "true" {
		if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("hold", nil), asynq.Timeout(time.Hour)); err != nil {
			return err
		}
	}
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 1, LogLevel: asynq.FatalLevel})
	return server.Run(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		fmt.Println("began")
		<-time.After(time.Hour)
		return nil
	}))
}

// BenchmarkDrain drains workers in the middle of chunks of 100,000 rows, and says when they were safe to stop.
func BenchmarkDrain(b *testing.B) {
	r := &results{name: "drain"}
	m := newMigrationBench(b)
	makeBenchLegacy(b, m.legacy)
	c := &crew{B: b, dir: b.TempDir(), server: redistest.New(b, redistest.EverySecond(), redistest.TCP())}
	c.rdb = c.server.Client()
	c.store = store.New(c.rdb)
	const targets = 40
	text := fmt.Sprintf("data: %q\nworker:\n  concurrency: 2\nredis:\n  url: %q\nconnections:\n- {name: legacy, url: %q}\n", filepath.Join(c.dir, "data"), c.server.URL(), "sqlite:"+m.legacy)
	for i := range targets {
		text += fmt.Sprintf("- {name: cloud%d, url: %q}\n", i, m.fresh(false))
	}
	file := filepath.Join(c.dir, "stint.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	c.start("scheduler", exec.Command(m.stint, "scheduler", "--config", file))
	for range 2 {
		c.workers = append(c.workers, c.start("worker", exec.Command(m.stint, "worker", "--config", file)))
	}
	before, used := "", 0
	job := func() string { // that is under way
		if before != "" && !c.state(before).Ended() {
			return before
		}
		if used == targets {
			b.Fatal("the migrations have ended too soon: more rows are needed")
		}
		out, err := exec.Command(m.stint, "migrate", "--config", file, "--quiet", "--output", "json", "--wait=false", "--chunk-rows", "100000", "--from", "legacy", "--to", fmt.Sprint("cloud", used)).Output()
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(out), `"id": "`)
		before, _, _ = strings.Cut(rest, `"`)
		used++
		return before
	}
	var took []time.Duration
	for i := range times {
		worker := ""
		c.until(2*time.Minute, "a worker is in the middle of a chunk", func() bool {
			worker = c.id(c.workers[i%2].Process.Pid)
			for _, o := range c.held(job())[worker] {
				if worker != "" && strings.HasPrefix(o.Stage, "load:") && o.Step != "split" {
					return true
				}
			}
			return false
		})
		asked := time.Now()
		c.want(worker, true)
		c.until(time.Minute, "the drained worker is safe to stop", func() bool {
			ws, err := c.store.Workers(context.Background(), 3*time.Second)
			for _, w := range ws {
				if w.ID == worker {
					return err == nil && w.SafeToStop
				}
			}
			return false
		})
		took = append(took, time.Since(asked))
		c.want(worker, false)
	}
	r.durations("drain to safe to stop, chunks of 100,000 rows", took)
	r.take("drain", durationOf(took, .99))
	r.write(b)
}

func (c *crew) want(worker string, drain bool) {
	if err := c.store.Want(context.Background(), worker, drain, "bench"); err != nil {
		c.Fatal(err)
	}
}
