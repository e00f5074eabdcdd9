package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// service is two API servers, two schedulers and three workers, as processes on one Redis.
type service struct {
	t       *testing.T
	r       *rig.Rig
	ports   []string
	clients []*client.Client

	mu    sync.Mutex
	procs map[string]*rig.Process // "serve 0", "scheduler 1", "worker 2"
}

// beats are the schedules of the score, one for each policy of missed ticks and some more.
var beats = []string{"all-1", "all-2", "last-1", "skip-1", "skip-2"}

func newService(t *testing.T) *service {
	t.Helper()
	src := rig.Plain(t, 20)
	same := filepath.Join(t.TempDir(), "same.db")
	rows, err := os.ReadFile(src.Path)
	if err == nil {
		err = os.WriteFile(same, rows, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := rig.New(t, redistest.New(t, redistest.EverySecond()), rig.Connection{Name: "old", URL: src.URL()}, rig.Connection{Name: "new", URL: "sqlite:" + same})
	var b strings.Builder
	b.WriteString("schedules:\n")
	for _, name := range beats {
		missed, _, _ := strings.Cut(name, "-")
		fmt.Fprintf(&b, "  - {name: %s, every: 1s, missed: %s, deadline: 5s, overlap: allow, kind: verification, spec: {source: old, target: new}}\n", name, missed)
	}
	r.Configure(b.String())
	s := &service{t: t, r: r, procs: map[string]*rig.Process{}}
	for i := range 2 {
		s.ports = append(s.ports, freeAddress(t))
		c, err := client.New(client.Options{Server: "http://" + s.ports[i]})
		if err != nil {
			t.Fatal(err)
		}
		s.clients = append(s.clients, c)
	}
	for kind, n := range map[string]int{"serve": 2, "scheduler": 2, "worker": 3} {
		for i := range n {
			s.start(kind, i)
		}
	}
	return s
}

func (s *service) start(kind string, i int) {
	var args []string
	if kind == "serve" {
		args = []string{"--listen", s.ports[i]}
	}
	p := s.r.Start(kind, args...)
	s.mu.Lock()
	s.procs[kind+" "+strconv.Itoa(i)] = p
	s.mu.Unlock()
}

// kill ends one of each kind by SIGKILL and starts it again.
func (s *service) kill(round int) {
	for kind, n := range map[string]int{"serve": 2, "scheduler": 2, "worker": 3} {
		i := round % n
		s.mu.Lock()
		p := s.procs[kind+" "+strconv.Itoa(i)]
		s.mu.Unlock()
		p.Kill()
		s.start(kind, i)
	}
}

// submit sends a job through one server until that has answered, and returns its id.
func (s *service) submit(ctx context.Context, server int, key string) (string, error) {
	var id string
	err := rig.Poll(time.Minute, 50*time.Millisecond, func(context.Context) (bool, error) {
		done, err := s.clients[server].Submit(ctx, key, wire.Submission{Kind: "verification", Spec: []byte(`{"source":"old","target":"new"}`)})
		if err != nil {
			return false, err
		}
		id = done.ID
		return true, nil
	})
	return id, err
}

// submitted sends jobs through either server in turn until ctx ends, each of which must then be seen by the other one.
func (s *service) submitted(ctx context.Context) (ids []string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		id, err := s.submit(context.WithoutCancel(ctx), n%2, fmt.Sprint("order-", n))
		if err != nil {
			s.t.Errorf("job %d could not be submitted: %v", n, err)
			return ids
		}
		ids = append(ids, id)
		err = rig.Poll(time.Minute, 20*time.Millisecond, func(pctx context.Context) (bool, error) {
			v, err := s.clients[(n+1)%2].Job(pctx, id)
			return err == nil && v.ID == id, err
		})
		if err != nil {
			s.t.Errorf("job %d is not seen by the other server: %v", n, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ids
		}
	}
}

// ticks reads the whole history of a schedule and fails the test unless each due time of it is there once. It returns how
// often each outcome was.
func (s *service) ticks(name string, from, to time.Time) map[string]int {
	s.t.Helper()
	list, err := s.clients[0].Ticks(s.t.Context(), name, 2000)
	if err != nil {
		s.t.Fatal(err)
	}
	seen, jobs, outcomes := map[int64]int{}, map[string]bool{}, map[string]int{}
	for _, k := range list {
		last := k.DueAt
		if k.Until != nil {
			last = *k.Until
		}
		for due := k.DueAt; !due.After(last); due = due.Add(time.Second) {
			seen[due.Unix()]++
			outcomes[k.Outcome]++
		}
		switch {
		case k.Outcome == wire.TickFired && jobs[k.Job]:
			s.t.Errorf("%s: the job %s was started by two ticks", name, k.Job)
		case k.Outcome == wire.TickFired:
			jobs[k.Job] = true
			v, err := s.clients[1].Job(s.t.Context(), k.Job)
			if err != nil || v.State != tasks.Succeeded {
				s.t.Errorf("%s, %s: fired job %s is %+v, %v", name, k.DueAt, k.Job, v, err)
			}
		case k.Reason == "":
			s.t.Errorf("%s, %s: %s for no reason", name, k.DueAt, k.Outcome)
		}
	}
	for at := from.Unix(); at <= to.Unix(); at++ {
		if seen[at] != 1 {
			s.t.Errorf("%s: the tick of %s is there %d times", name, time.Unix(at, 0).UTC(), seen[at])
		}
	}
	return outcomes
}

// Each tick fires once or is listed with its reason, and each job is seen by both servers, whatever is killed on the way.
func TestScoreService(t *testing.T) {
	t.Parallel()
	lasts, each := time.Duration(size(runs, 24, 600))*time.Second, 5*time.Second // -runs: for so many seconds
	if *long {
		each = 20 * time.Second
	}
	s := newService(t)
	s.r.Until(time.Minute, "every schedule has fired", func(ctx context.Context) (bool, error) {
		all, err := s.clients[0].Schedules(ctx)
		fired := slices.DeleteFunc(slices.Clone(all), func(sc wire.Schedule) bool { return sc.LastAt == nil })
		return len(fired) >= len(beats), err
	})
	from := time.Now().Add(time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var ids []string
	var work sync.WaitGroup
	work.Go(func() { ids = s.submitted(ctx) })
	kills, tick := 0, time.NewTicker(each)
	for alive := true; alive; {
		select {
		case <-tick.C:
			s.kill(kills)
			kills++
		case <-ctx.Done():
			alive = false
		}
	}
	tick.Stop()
	work.Wait()
	to := time.Now()
	s.quiet(ctx)
	total := map[string]int{}
	for _, name := range beats {
		for outcome, n := range s.ticks(name, from, to.Add(-2*time.Second)) {
			total[outcome] += n
		}
	}
	for i, id := range ids {
		for k, c := range s.clients {
			v, err := c.Job(t.Context(), id)
			if err != nil || v.State != tasks.Succeeded {
				t.Errorf("job %d, seen by server %d: %+v, %v", i, k, v, err)
			}
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(ids)))) != len(ids) {
		t.Error("two orders are one job")
	}
	score(t, "%v, %d rounds of kills: %d ticks of %d schedules (%s), %d jobs through two servers", lasts, kills, total[wire.TickFired]+total[wire.TickMissed]+total[wire.TickSkipped],
		len(beats), outcomesText(total), len(ids))
}

// quiet stops the schedules and waits until every job has ended.
func (s *service) quiet(ctx context.Context) {
	s.t.Helper()
	ctx = context.WithoutCancel(ctx)
	err := rig.Poll(5*time.Minute, 200*time.Millisecond, func(context.Context) (bool, error) {
		for _, name := range beats {
			if _, err := s.clients[0].PauseSchedule(ctx, name); err != nil {
				return false, err
			}
		}
		active, err := s.r.Store.Active(ctx)
		if err != nil || len(active) == 0 {
			return err == nil, err
		}
		var left []string
		for _, id := range active[:min(len(active), 5)] {
			v, err := s.r.Store.View(ctx, id)
			if err != nil {
				return false, err
			}
			left = append(left, fmt.Sprintf("%s %s since %v, out %+v, stages %+v", id, v.State, v.StartedAt, v.Out, v.Stages))
		}
		return false, fmt.Errorf("%d jobs have not ended, such as\n%s", len(active), strings.Join(left, "\n"))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func outcomesText(m map[string]int) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(words, ", ")
}
