package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// What a rolling deployment may take, at full size; a short form runs beside everything else that CI does.
const (
	rollingDrain = 3 * time.Second // from the command that drains to its end
	rollingPause = 2 * time.Second // of the job, between two batches
)

// The versions that are deployed. They differ in nothing else.
const oldVersion, newVersion = "1.0.0", "2.0.0"

// rollout is one rolling deployment with a migration in flight: three workers are replaced by three of another build.
type rollout struct {
	t        *testing.T
	old, new *rig.Rig
	job      string
	drained  time.Duration // how long the command that drains took, or the whole script
	left     int64         // rows that were not loaded when the last old worker had ended
	allRows  int64
}

// A rolling deployment: the old workers are drained and stopped while the job goes on, by each of the roads that the
// documentation shows.
func TestScoreRollingDeployment(t *testing.T) {
	t.Parallel()
	n := size(rows, 200_000, 1_000_000)
	src := rig.Legacy(t, n)
	count := size(runs, 1, 3)
	for _, road := range []struct {
		name   string
		deploy func(d *rollout, submit func(flags ...string))
	}{{"by single commands", (*rollout).byCommands}, {"by rolling.sh", (*rollout).byScript}, {"through the API", (*rollout).byAPI}} {
		t.Run(road.name, func(t *testing.T) {
			for i := range count {
				t.Run(fmt.Sprintf("run %d", i+1), func(t *testing.T) {
					target := pgtest.New(t)
					r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
					if !*long { // so few rows would be loaded before the deployment, on a machine with nothing else to do
						r.Configure("limits:\n  steps_per_second: 8\n")
					}
					d := &rollout{t: t, old: r.As(rig.BuildVersion(t, oldVersion)), new: r.As(rig.BuildVersion(t, newVersion)), allRows: src.Rows}
					d.old.Start("scheduler")
					var p *pulse
					start := time.Now()
					road.deploy(d, func(flags ...string) {
						d.job = d.old.Submit("legacy", "cloud", append([]string{"--chunk-rows", strconv.Itoa(max(n/200, 100)), "--batch-rows", strconv.Itoa(max(n/4000, 1)), "--window", "12"}, flags...)...)
						r.Until(3*time.Minute, "the job is under way", func(context.Context) (bool, error) { return r.Read(d.job) > src.Rows/20, nil })
						p = watch(t, target, src.Rows)
					})
					if d.left == 0 {
						t.Fatal("the migration has ended before the deployment: give it more rows")
					}
					r.Ended(d.job, 10*time.Minute)
					longest := p.end()
					v := equal(t, src.URL(), target, rig.LegacyTables)
					score(t, "rolling deployment %s: %v; drain %v (of rolling.sh: the whole of it); longest pause %v; %d of %d rows were left afterwards; %v in all", road.name, v,
						d.drained.Round(time.Millisecond), longest.Round(time.Millisecond), d.left, src.Rows, time.Since(start).Round(time.Millisecond))
					if most := allowed(rollingPause); longest > most {
						t.Errorf("the job stood still for %v, want at most %v", longest, most)
					}
				})
			}
		})
	}
}

// allowed is the time that something may take in the form that is played.
func allowed(d time.Duration) time.Duration {
	if *long {
		return d
	}
	return 3 * d
}

// start starts three workers of a build and waits until the fleet has them.
func (d *rollout) start(r *rig.Rig) []*rig.Process {
	crew := []*rig.Process{r.Worker(), r.Worker(), r.Worker()}
	for _, p := range crew {
		r.Ready(p)
	}
	return crew
}

// replace deploys by the one line of docs/deploy.md.
func (d *rollout) replace(old []*rig.Process, flags ...string) {
	d.start(d.new)
	asked := time.Now()
	p := d.new.Start("workers", append([]string{"drain", "--not-version", newVersion, "--wait", "--timeout", "1m"}, flags...)...)
	if code := p.Wait(2 * time.Minute); code != 0 {
		d.t.Errorf("workers drain --not-version %s --wait ended with %d\n%s", newVersion, code, p.Log())
	}
	if d.drained = time.Since(asked); d.drained > allowed(rollingDrain) {
		d.t.Errorf("the drain took %v, want at most %v", d.drained, allowed(rollingDrain))
	}
	if v := d.new.View(d.job); v != nil {
		for _, p := range old {
			if held := leased(v, p.ID); len(held) > 0 {
				d.t.Errorf("%s is safe to stop and holds %v", p.ID, held)
			}
		}
	}
	d.end(old...)
	d.left = d.allRows - d.new.Read(d.job)
}

// end stops processes as a platform does.
func (d *rollout) end(crew ...*rig.Process) {
	d.t.Helper()
	for _, p := range crew {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			d.t.Fatal(err)
		}
	}
	for _, p := range crew {
		if code := p.Wait(time.Minute); code != 0 {
			d.t.Errorf("%s ended with %d, want 0\n%s", p.Name, code, p.Log())
		}
	}
}

func (d *rollout) byCommands(submit func(flags ...string)) {
	old := d.start(d.old)
	submit()
	d.replace(old)
}

// The API is deployed, too: the job is submitted at the old server, and drained is at the new one.
func (d *rollout) byAPI(submit func(flags ...string)) {
	before := serve(d.t, d.old, "token")
	old := d.start(d.old)
	submit(before.flags...)
	after := serve(d.t, d.new, "token")
	d.end(before.Process)
	d.replace(old, after.flags...)
}

func (d *rollout) byScript(submit func(flags ...string)) {
	script, err := filepath.Abs("../../deploy/rolling.sh")
	if err != nil {
		d.t.Fatal(err)
	}
	dir := filepath.Join(d.old.Dir, "run")
	killWith(d.t, dir)
	if p := d.old.Program("rolling", "sh", script, "-n", "3", "-d", dir, rig.BuildVersion(d.t, oldVersion)); p.Wait(2*time.Minute) != 0 {
		d.t.Fatalf("the first deployment: %s", p.Log())
	}
	submit("--batch-rows", strconv.FormatInt(max(d.allRows/40_000, 1), 10)) // for longer: the script looks once a second
	asked := time.Now()
	p := d.new.Program("rolling", "sh", script, "-d", dir, rig.BuildVersion(d.t, newVersion))
	if code := p.Wait(2 * time.Minute); code != 0 {
		d.t.Fatalf("the second deployment ended with %d\n%s", code, p.Log())
	}
	d.drained, d.left = time.Since(asked), d.allRows-d.new.Read(d.job)
	if !strings.Contains(p.Log(), "done: 3 workers of version "+newVersion) {
		d.t.Errorf("rolling.sh says\n%s", p.Log())
	}
	d.new.Until(time.Minute, "the old workers have said good-bye", func(ctx context.Context) (bool, error) {
		ws, err := d.new.Store.Workers(ctx, time.Minute)
		stopped := 0
		for _, w := range ws {
			if w.Version == oldVersion && w.State == "stopped" {
				stopped++
			}
		}
		return stopped == 3, err
	})
}

// killWith kills the processes that rolling.sh has noted in a folder when the test ends, however that ends: they are nobody's
// children.
func killWith(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", `cat >/dev/null; for note in "$0"/*.pid; do read -r pid rest <"$note" && kill -9 "$pid"; done`, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	lifeline, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = lifeline.Close()
		_ = cmd.Wait() // what was gone already is no error
	})
}

// pulse looks at the ledger of a target again and again for how long no batch was committed while rows were left.
type pulse struct {
	t       *testing.T
	stop    context.CancelFunc
	done    chan struct{}
	longest time.Duration
	err     error
}

// watch begins to look, until all rows are loaded.
func watch(t *testing.T, target string, all int64) *pulse {
	t.Helper()
	db, err := rig.Look(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &pulse{t: t, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer db.Close()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		last, since := int64(-1), time.Now()
		for {
			read, err := db.Number(ctx, "SELECT coalesce(sum(rows_read), 0) FROM stint_ledger")
			if err != nil {
				p.err = err
				return
			}
			if read > last {
				p.longest = max(p.longest, time.Since(since))
				last, since = read, time.Now()
			}
			if read >= all {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				p.err = context.Cause(ctx)
				return
			}
		}
	}()
	t.Cleanup(p.stop)
	return p
}

// end waits until all rows are loaded and returns the longest pause until then.
func (p *pulse) end() time.Duration {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.stop()
		<-p.done
	}
	if p.err != nil {
		p.t.Errorf("watch the ledger: %v", p.err)
	}
	return p.longest
}
