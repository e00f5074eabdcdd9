package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/worker"
)

// A crew is one Redis, one scheduler and some workers, each a process of its own, as they are in a fleet. The scheduler is `stint
// scheduler`; the workers are this binary again, since no family of stint has steps that do nothing.
type crew struct {
	*testing.B
	dir     string
	server  *redistest.Server
	rdb     *redis.Client
	store   *store.Store
	planner *exec.Cmd
	workers []*exec.Cmd
	files   []string // what the workers have to say about when steps came and began
	planned []noted  // what the bench itself has to say about the planning of jobs
}

// buildStint builds the program into a folder, and returns its path; STINT_BENCH_STINT says that it is built already, and where.
func buildStint(b *testing.B, dir string) string {
	if path, ok := os.LookupEnv("STINT_BENCH_STINT"); ok {
		return path
	}
	path := filepath.Join(dir, "stint")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/stint").CombinedOutput(); err != nil {
		b.Fatalf("build stint: %v\n%s", err, out)
	}
	return path
}

// newCrew starts them, on a Redis that syncs its file each second and is reached over TCP, as in a fleet.
func newCrew(b *testing.B, workers, concurrency int) *crew {
	c := &crew{B: b, dir: b.TempDir(), server: redistest.New(b, redistest.EverySecond(), redistest.TCP())}
	c.rdb = c.server.Client()
	c.store = store.New(c.rdb)
	file := filepath.Join(c.dir, "stint.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "redis:\n  url: %q\n", c.server.URL()), 0o600); err != nil {
		b.Fatal(err)
	}
	c.planner = c.start("scheduler", exec.Command(buildStint(b, c.dir), "scheduler", "--config", file))
	for range workers {
		c.workers = append(c.workers, c.worker(concurrency))
	}
	c.until(time.Minute, "the workers are there", func() bool {
		fleet, err := c.store.Living(context.Background(), time.Minute)
		return err == nil && len(fleet.Alive) == workers
	})
	return c
}

// worker starts a worker process.
func (c *crew) worker(concurrency int) *exec.Cmd {
	w := exec.Command(os.Args[0], "-test.run", "^$")
	trace := filepath.Join(c.dir, fmt.Sprint("trace", len(c.files)))
	w.Env = append(os.Environ(), "STINT_BENCH_WORKER="+c.server.URL(), "STINT_BENCH_CONCURRENCY="+strconv.Itoa(concurrency), "STINT_BENCH_TRACE="+trace)
	c.files = append(c.files, trace)
	return c.start("worker", w)
}

func (c *crew) start(name string, cmd *exec.Cmd) *exec.Cmd {
	out, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.Fatal(err)
	}
	defer out.Close() // the process has its own
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { end(cmd) })
	return cmd
}

// until asks again and again, seldom enough not to weigh on what is measured.
func (c *crew) until(limit time.Duration, what string, met func() bool) {
	c.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(limit); !met(); {
		select {
		case <-tick.C:
		case <-over:
			said, _ := filepath.Glob(filepath.Join(c.dir, "*.log"))
			for _, f := range said {
				text, _ := os.ReadFile(f)
				c.Logf("%s: %s", f, text[max(0, len(text)-2000):])
			}
			c.Fatalf("after %v not yet: %s", limit, what)
		}
	}
}

// submit creates a job and queues its planning.
func (c *crew) submit(job tasks.Job) { submit(c.B, c.rdb, c.store, job) }

// counted makes a job of so many steps that do nothing.
func counted(id string, steps, window int) tasks.Job {
	return tasks.Job{ID: id, Kind: counting{}.Kind(), Spec: json.RawMessage(strconv.Itoa(steps)), Window: window}
}

// spent is the CPU time that each part of a crew has used so far.
type spent struct{ workers, redis, planner time.Duration }

func (c *crew) spent() spent {
	s := spent{redis: redisNow(c.rdb), planner: ran(c.planner.Process.Pid)}
	for _, w := range c.workers {
		s.workers += ran(w.Process.Pid)
	}
	return s
}

func (s spent) since(t spent) spent {
	return spent{s.workers - t.workers, s.redis - t.redis, s.planner - t.planner}
}

// ran is the CPU time of a process in nanoseconds, where /proc/PID/stat counts hundredths of a second. Threads that have ended are
// not in it; Go keeps its own.
func ran(pid int) (all time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread that ends just now
		ns, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		all += time.Duration(n)
	}
	return all
}

// stop ends the workers as a deployment does, and reads what they have noted.
func (c *crew) stop() []noted {
	var all []noted
	for i, w := range c.workers {
		_ = w.Process.Signal(syscall.SIGTERM)
		if err := w.Wait(); err != nil {
			c.Fatalf("a worker: %v", err)
		}
		f, err := os.Open(c.files[i])
		if err != nil {
			c.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var n noted
			if _, err := fmt.Sscan(lines.Text(), &n.what, &n.step, &n.at); err == nil {
				all = append(all, n)
			}
		}
		f.Close()
	}
	return all
}

// noted is one moment of one step: asked is when the call was sent that handed it out, told when its answer was there, began when the
// step ran. Times are ns of the machine's clock, which all processes share.
type noted struct {
	what, step string
	at         int64
}

// notes keeps moments of one step in `each`, and of every step of a job whose name begins with "probe".
type notes struct {
	mu   sync.Mutex
	each uint32
	out  *bufio.Writer
}

func (n *notes) add(what, job, key string, at time.Time) {
	if h := fnv.New32a(); !strings.HasPrefix(job, "probe") {
		_, _ = h.Write([]byte(job + key))
		if h.Sum32()%n.each != 0 {
			return
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.out, "%s %s/%s %d\n", what, job, key, at.UnixNano())
}

// hook sees the answers of the scripts that hand steps out: code, state, epoch, [key, delivery, ...], queue.
type hook struct{ notes *notes }

func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		asked := time.Now()
		err := next(ctx, cmd)
		c, ok := cmd.(*redis.Cmd)
		if !ok || err != nil {
			return err
		}
		answer, _ := c.Val().([]any)
		if len(answer) < 5 || len(c.Args()) < 4 {
			return nil
		}
		told := time.Now()
		job, _ := c.Args()[3].(string)
		job = strings.TrimSuffix(strings.TrimPrefix(job, "stint:{"), "}")
		list, _ := answer[3].([]any)
		for i := 0; i+1 < len(list); i += 2 {
			key, _ := list[i].(string)
			h.notes.add("asked", job, key, asked)
			h.notes.add("told", job, key, told)
		}
		return nil
	}
}

// counting is a family whose jobs have as many steps as their spec says, which do nothing.
type counting struct{ notes *notes }

func (counting) Kind() string { return "counting" }

func (f counting) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	f.notes.add("began", job.ID, "p", time.Now())
	return []tasks.Stage{{Name: "all"}}, nil
}

func (f counting) Split(_ context.Context, job tasks.Job, _ tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	all, err := strconv.Atoi(string(job.Spec))
	if err != nil {
		return nil, nil, tasks.Permanent(err)
	}
	from, _ := strconv.Atoi(string(after))
	if from == 0 {
		f.notes.add("began", job.ID, "x0.0", time.Now())
	}
	to := min(from+limit, all)
	var steps []tasks.Step
	for i := from; i < to; i++ {
		steps = append(steps, tasks.Step{ID: strconv.Itoa(i)})
	}
	if to == all {
		return steps, nil, nil
	}
	return steps, tasks.Cursor(strconv.Itoa(to)), nil
}

func (f counting) Run(_ context.Context, a *tasks.Attempt) error {
	f.notes.add("began", a.Job.ID, "0/"+a.Step.ID, time.Now())
	return nil
}

// serveWorker is a worker process of a crew: it runs until SIGTERM, then drains.
func serveWorker(url string) error {
	trace, _ := os.LookupEnv("STINT_BENCH_TRACE")
	file, err := os.Create(trace)
	if err != nil {
		return err
	}
	defer file.Close()
	n := &notes{each: 64, out: bufio.NewWriterSize(file, 1<<20)}
	options, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()
	rdb.AddHook(hook{n})
	w := worker.New(rdb, store.New(rdb), worker.Options{Concurrency: number("STINT_BENCH_CONCURRENCY", 8), Families: []tasks.Family{counting{n}, holding{counting{n}}}, Log: quiet})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := w.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	if _, err := w.Stop(context.Background()); err != nil {
		return err
	}
	return n.out.Flush()
}
