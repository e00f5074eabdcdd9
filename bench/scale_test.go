package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// The house in which the engine is measured at scale; STINT_BENCH_JOBS and STINT_BENCH_STEPS say less. Steps are those of all jobs
// together, and of the largest single job.
var (
	scaleJobs  = number("STINT_BENCH_JOBS", 10_000)
	scaleSteps = number("STINT_BENCH_STEPS", 1_000_000)
)

// oneWindow is the window of a job that has two workers of eight slots to itself: four times what they run at once, so that nobody
// waits for a handing out.
const oneWindow = 64

// price is what one job has cost, from its submission to its end by the job's own words.
type price struct {
	wall float64 // s
	spent
}

// all is the CPU time of everybody.
func (p price) all() time.Duration { return p.workers + p.redis + p.planner }

// one runs one job of the usual window to its end.
func (c *crew) one(id string, steps int) price { return c.within(oneWindow, id, steps) }

// within runs one job to its end.
func (c *crew) within(window int, id string, steps int) price {
	before := c.spent()
	c.submit(counted(id, steps, window))
	c.until(15*time.Minute, "job "+id+" ends", func() bool { return c.state(id) == tasks.Succeeded })
	p := price{spent: c.spent().since(before)}
	v, err := c.store.View(context.Background(), id)
	if err != nil {
		c.Fatal(err)
	}
	if v.Counters.StepsDone != int64(steps) {
		c.Fatalf("job %s: %d steps done of %d", id, v.Counters.StepsDone, steps)
	}
	p.wall = v.EndedAt.Sub(v.CreatedAt).Seconds()
	return p
}

func (c *crew) state(id string) tasks.State {
	return tasks.State(c.rdb.HGet(context.Background(), "stint:{"+id+"}", "state").Val())
}

// perStep is what a step costs: the job's cost less that of a job of one step, which is planned, split and ended like any other, by
// the steps that it has more.
func perStep(p, least float64, steps int) float64 { return (p - least) / float64(steps-1) }

func secs(d time.Duration) float64 { return d.Seconds() }

// BenchmarkScaleOfOneJob runs one job of 10^3, 10^4, 10^5 and 10^6 steps that do nothing: what does a step cost in each?
func BenchmarkScaleOfOneJob(b *testing.B) {
	r := &results{name: "scale-one-job"}
	c := newCrew(b, 2, 8)
	var sizes []int
	for n := 1_000; n <= scaleSteps; n *= 10 {
		sizes = append(sizes, n)
	}
	prices := map[int][]price{}
	run := func(steps int) {
		prices[steps] = append(prices[steps], c.one(fmt.Sprintf("one-%d-%d", steps, len(prices[steps])), steps))
	}
	c.one("warm", 20_000)
	// Small and large in turn; the small ones are run more often, as noise is a larger part of what they cost.
	for round := range often() {
		for i, n := range sizes {
			for range 1 << (2 * max(0, 2-i)) {
				run(1)
				run(n)
			}
			if n == sizes[len(sizes)-1] && round >= 2 && n >= 1_000_000 {
				break
			}
		}
	}
	cost := func(n int, of func(price) float64) float64 {
		var all []float64
		for _, p := range prices[n] {
			all = append(all, of(p))
		}
		return median(all)
	}
	parts := []struct {
		name string
		of   func(price) float64
	}{
		{"wall", func(p price) float64 { return p.wall }},
		{"CPU of all", func(p price) float64 { return secs(p.all()) }},
		{"CPU of workers", func(p price) float64 { return secs(p.workers) }},
		{"CPU of Redis", func(p price) float64 { return secs(p.redis) }},
		{"CPU of the scheduler", func(p price) float64 { return secs(p.planner) }},
	}
	for _, part := range parts {
		least := cost(1, part.of)
		line := fmt.Sprintf("%-22s a job of one step %6.0f µs; a step of", part.name, least*1e6)
		var steps []float64
		for _, n := range sizes {
			us := perStep(cost(n, part.of), least, n) * 1e6
			steps = append(steps, us)
			line += fmt.Sprintf("  %d: %.1f µs (%d runs)", n, us, len(prices[n]))
		}
		r.add("%s;  greatest : 10^3 = %.2f", line, slices.Max(steps)/steps[0])
		if part.name == "CPU of all" {
			r.ofOneJob(sizes, steps, prices)
		}
	}
	r.commands(c.rdb)
	c.stop()
	r.write(b)
}

// ofOneJob keeps what a step costs in each size of job, in µs.
func (r *results) ofOneJob(sizes []int, steps []float64, prices map[int][]price) {
	var bars []bar
	var words, runs []string
	for i, n := range sizes {
		bars = append(bars, bar{Name: thousands(float64(n)) + " steps", Value: steps[i], Text: fmt.Sprintf("%.0f µs", steps[i]), Ours: true})
		words, runs = append(words, fmt.Sprintf("%.0f", steps[i])), append(runs, fmt.Sprint(len(prices[n])))
	}
	r.take("one-job", taken{Figure: slices.Max(steps) / steps[0], Measured: strings.Join(words, ", ") + " µs", Peer: fmt.Sprintf("%.0f µs", steps[0]),
		Size: fmt.Sprintf("1,000 to %s steps by powers of ten", thousands(float64(sizes[len(sizes)-1]))), Note: "medians of " + strings.Join(runs, ", ") + " runs, less the cost of a job of one step"})
	r.draw("one-job", 1.2*steps[0], bars...)
}

// BenchmarkScaleOfJobs has 10,000 jobs of 100 steps each at once on one Redis, with and without a backlog.
func BenchmarkScaleOfJobs(b *testing.B) {
	r := &results{name: "scale-jobs"}
	ctx := context.Background()
	c := newCrew(b, 2, 8)
	c.one("warm", 20_000)
	_ = c.rdb.ConfigResetStat(ctx) // a Redis without it shows more commands
	steps := scaleSteps / scaleJobs
	before, empty, begin := c.spent(), memory(c.rdb, "used_memory"), time.Now()
	for i := range scaleJobs {
		c.submit(counted("all-"+strconv.Itoa(i), steps, 0))
	}
	submitted := time.Since(begin)
	probes := c.probes("probe")
	wall, spent := time.Since(begin), c.spent().since(before)
	n := float64(scaleJobs * steps)
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / wall.Seconds() }
	r.add("%d jobs of %d steps, all submitted within %.1f s, two workers of 8: %.0f steps/s; %.1f s", scaleJobs, steps, submitted.Seconds(), n/wall.Seconds(), wall.Seconds())
	r.add("  share of a core: workers %.0f %%, Redis %.0f %%, scheduler %.0f %%", share(spent.workers), share(spent.redis), share(spent.planner))
	r.add("  CPU of a step: workers %.1f µs, Redis %.1f µs, scheduler %.1f µs", secs(spent.workers)/n*1e6, secs(spent.redis)/n*1e6, secs(spent.planner)/n*1e6)
	peak := memory(c.rdb, "used_memory_peak")
	r.add("  Redis at its peak %.1f MiB, %.1f KiB a job; when all have ended %.1f MiB", peak/(1<<20), (peak-empty)/1024/float64(scaleJobs), memory(c.rdb, "used_memory")/(1<<20))
	size := fmt.Sprintf("%s jobs of %d steps, two workers of 8", thousands(float64(scaleJobs)), steps)
	r.take("jobs-rate", taken{Figure: n / wall.Seconds(), Measured: thousands(n/wall.Seconds()) + " steps/s", Size: size, Note: fmt.Sprintf("CPU of a step: workers %.0f µs, scheduler %.0f µs", secs(spent.workers)/n*1e6, secs(spent.planner)/n*1e6)})
	r.take("jobs-redis", taken{Figure: secs(spent.redis) / n * 1e6, Measured: fmt.Sprintf("%.0f µs, %.0f %% of a core", secs(spent.redis)/n*1e6, share(spent.redis)), Size: size})
	r.take("jobs-memory", taken{Figure: (peak - empty) / 1024 / float64(scaleJobs), Measured: fmt.Sprintf("%.1f KiB; %.0f MiB in all", (peak-empty)/1024/float64(scaleJobs), peak/(1<<20)), Size: size})
	r.commands(c.rdb)
	// Now at half of that rate: what a step waits for that need not wait for others.
	paced := c.paced("half", n/wall.Seconds()/2/float64(steps), steps)
	waits := waiting(append(c.stop(), c.planned...))
	r.waits(fmt.Sprintf("all at once: a step in the backlog of %d steps that are out", min(scaleJobs*tasks.DefaultWindow, int(n))), waits, "all-")
	r.take("jobs-first", r.waits(fmt.Sprintf("  meanwhile a job of high priority, each of its planning, split and step (%d jobs)", probes), waits, "probe"))
	r.take("jobs-half", r.waits(fmt.Sprintf("%d jobs at half of that rate", paced), waits, "half-"))
	r.write(b)
}

// probes submits jobs of one step and the highest priority, five a second, until all jobs have ended; it returns how many.
func (c *crew) probes(name string) int {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	next, last := 0, 0
	for over := time.After(30 * time.Minute); ; {
		select {
		case <-tick.C:
		case <-over:
			c.Fatal("the jobs do not end")
		}
		for next < scaleJobs && c.state("all-"+strconv.Itoa(next)).Ended() { // they end about in the order in which they came
			next++
		}
		if next == scaleJobs {
			c.until(time.Minute, "the probes end", func() bool { return last == 0 || c.state(fmt.Sprint(name, "-", last-1)) == tasks.Succeeded })
			return last
		}
		job := counted(fmt.Sprint(name, "-", last), 1, 0)
		job.Priority = tasks.MaxPriority
		asked := time.Now().UnixNano()
		c.submit(job)
		c.planned = append(c.planned, noted{"asked", job.ID + "/p", asked}, noted{"told", job.ID + "/p", time.Now().UnixNano()})
		last++
	}
}

// paced submits so many jobs a second for half a minute, and waits for their end; it returns how many.
func (c *crew) paced(name string, rate float64, steps int) int {
	jobs := max(1, int(30*rate))
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i := range jobs {
		<-tick.C
		c.submit(counted(fmt.Sprint(name, "-", i), steps, 0))
	}
	for i := range jobs {
		c.until(time.Minute, "the paced jobs end", func() bool { return c.state(fmt.Sprint(name, "-", i)) == tasks.Succeeded })
	}
	return jobs
}

// wait is how long a step waited: at least from when a worker was told that it was handed out, at most from when the call was sent
// that did it.
type wait struct {
	step        string
	least, most time.Duration
}

// waiting puts the moments of each step together.
func waiting(all []noted) (waits []wait) {
	at := map[string][3]int64{}
	for _, n := range all {
		m := at[n.step]
		for i, what := range []string{"asked", "told", "began"} {
			if n.what == what && m[i] == 0 {
				m[i] = n.at
			}
		}
		at[n.step] = m
	}
	for step, m := range at {
		if m[0] > 0 && m[1] > 0 && m[2] > 0 {
			waits = append(waits, wait{step, time.Duration(max(0, m[2]-m[1])), time.Duration(m[2] - m[0])})
		}
	}
	return waits
}

// waits says how long the steps of some jobs have waited; as a figure it is the p99 of the most, in ms.
func (r *results) waits(what string, all []wait, of string) taken {
	var least, most []time.Duration
	for _, w := range all {
		if strings.HasPrefix(w.step, of) {
			least, most = append(least, w.least), append(most, w.most)
		}
	}
	ms := func(d time.Duration) float64 { return math.Round(d.Seconds()*1e5) / 100 }
	r.add("%s: handed out to begun, p50 %v to %v ms, p99 %v to %v ms (%d samples)", what, ms(percentile(least, .5)), ms(percentile(most, .5)), ms(percentile(least, .99)), ms(percentile(most, .99)), len(least))
	return taken{Figure: ms(percentile(most, .99)), Runs: len(most), Measured: fmt.Sprintf("%v ms; p50 %v ms", ms(percentile(most, .99)), ms(percentile(most, .5)))}
}

// commands says what Redis spent its time on.
func (r *results) commands(rdb *redis.Client) {
	type stat struct {
		name        string
		calls, usec float64
	}
	var all []stat
	for line := range strings.SplitSeq(rdb.Info(context.Background(), "commandstats").Val(), "\r\n") {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		if !ok {
			continue
		}
		s := stat{name: name}
		if _, err := fmt.Sscanf(rest, "calls=%f,usec=%f", &s.calls, &s.usec); err == nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b stat) int { return int(b.usec - a.usec) })
	for _, s := range all[:min(8, len(all))] {
		r.add("  redis: %-12s %9.0f calls, %.1f s, %.1f µs each", s.name, s.calls, s.usec/1e6, s.usec/s.calls)
	}
}

// memory is a number of INFO memory, in bytes.
func memory(rdb *redis.Client, name string) float64 {
	_, rest, _ := strings.Cut(rdb.Info(context.Background(), "memory").Val(), "\r\n"+name+":")
	text, _, _ := strings.Cut(rest, "\r")
	n, _ := strconv.ParseFloat(text, 64)
	return n
}
