package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// demoResult is what the demo proves; its JSON is a contract.
type demoResult struct {
	Equal          bool  `json:"equal"`
	Rows           int64 `json:"rows"`
	RowsLost       int64 `json:"rows_lost"`
	RowsTwice      int64 `json:"rows_twice"`
	DrainMS        int64 `json:"drain_ms"`
	RecoveryMS     int64 `json:"recovery_ms"`
	WorkersKilled  int   `json:"workers_killed"`
	WorkersDrained int   `json:"workers_drained"`
}

func (c *command) demo() *cobra.Command {
	var rows int
	var keep string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a migration whose workers are drained and killed on the way",
		Long: `Makes a legacy database, migrates it with three worker processes, drains one of them and kills another with SIGKILL in
the middle of the job, replaces it, and then proves row by row that source and target are equal. Needs nothing but this
program: without a redis-server on this machine it uses a queue within the process.`,
		Example: "  stint demo\n  stint demo --rows 2000000\n  stint demo --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if rows < 10_000 {
				return usage(fmt.Errorf("--rows %d: give at least 10000, or the job ends before anybody can be killed", rows))
			}
			return c.runDemo(cmd, rows, keep)
		},
	}
	cmd.Flags().IntVar(&rows, "rows", 500_000, "rows of the legacy database, about")
	cmd.Flags().StringVar(&keep, "keep", "", "leave databases and logs in this `DIR`")
	return cmd
}

// demo is one run of the demonstration.
type demo struct {
	*command
	dir  string
	s    *session
	crew []*demoWorker
	res  demoResult
}

func (c *command) runDemo(cmd *cobra.Command, rows int, keep string) (err error) {
	dir := keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "stint-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage(fmt.Errorf("--keep: %w", err))
	}
	c.file, c.environment = os.DevNull, ""
	if err := c.load(cmd); err != nil {
		return err
	}
	c.config.Data = filepath.Join(dir, "data")
	c.config.Connections = nil
	c.config.Server, c.config.Redis, c.config.Log.Level = config.URL{}, config.Default(nil).Redis, "warn"
	c.log = c.logger(c.config.Log)
	d := &demo{command: c, dir: dir}
	ctx, cancel := c.interruptible(cmd.Context())
	defer cancel()
	if d.s, err = c.join(cmd); err != nil {
		return err
	}
	defer c.leave(d.s, &err)
	defer d.stopWorkers()
	if err := d.s.app.StartScheduler(ctx); err != nil {
		return err
	}
	if err := d.play(ctx, rows); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	if err := c.print(d.res, d.write); err != nil {
		return err
	}
	if !d.res.Equal {
		return errReported
	}
	return nil
}

// play is the demonstration from beginning to end.
func (d *demo) play(ctx context.Context, rows int) error {
	legacy := filepath.Join(d.dir, "legacy.db")
	d.say("1. a legacy database of about %s rows: %s", thousands(int64(rows)), legacy)
	if err := makeLegacy(ctx, legacy, rows); err != nil {
		return fmt.Errorf("make the legacy database: %w", err)
	}
	m := &move{from: "sqlite:" + legacy, to: "sqlite:" + filepath.Join(d.dir, "new.db"), chunkRows: min(5000, rows/60), window: 8}
	from, to, err := d.both(m)
	if err != nil {
		return err
	}
	sub, err := d.submission(m, from, to)
	if err != nil {
		return err
	}
	d.say("2. three worker processes")
	for range 3 {
		if err := d.startWorker(ctx); err != nil {
			return err
		}
	}
	job, err := d.s.Submit(ctx, "", sub)
	if err != nil {
		return err
	}
	d.say("3. the migration: %s", job.ID)
	p := d.newProgress()
	defer p.end()
	if err := d.disturb(ctx, job.ID, p); err != nil {
		return err
	}
	view, err := d.until(ctx, job.ID, p, func(v *wire.Job) bool { return v.State.Ended() })
	if err != nil {
		return err
	}
	p.end()
	if err := failed(view); err != nil {
		return err
	}
	d.say("6. the proof: every row of the source against the target")
	return d.prove(ctx, migration.VerifySpec{Source: from.name, Target: to.name, Job: job.ID})
}

// disturb drains one worker and kills another while the job runs.
func (d *demo) disturb(ctx context.Context, job string, p progress) error {
	part := func(percent int64) func(*wire.Job) bool {
		return func(v *wire.Job) bool {
			done, total, _ := sums(v)
			return v.State.Ended() || (total > 0 && done*100 >= total*percent)
		}
	}
	if _, err := d.until(ctx, job, p, part(20)); err != nil {
		return err
	}
	drained, killed := d.crew[0], d.crew[1]
	d.say("4. drain %s, as a deployment would", drained.id)
	start := time.Now()
	if err := d.drain(ctx, drained.id); err != nil {
		return err
	}
	if err := d.safeToStop(ctx, drained.id); err != nil {
		return err
	}
	d.res.DrainMS = time.Since(start).Milliseconds()
	d.res.WorkersDrained++
	drained.stop()
	d.say("   safe to stop after %s; it is stopped, and its successor starts", short(msec(d.res.DrainMS)))
	if err := d.startWorker(ctx); err != nil {
		return err
	}
	var held []wire.Out
	holding := func(v *wire.Job) bool {
		held = nil
		for _, o := range v.Out {
			if o.Worker == killed.id {
				held = append(held, o)
			}
		}
		return v.State.Ended() || (part(45)(v) && len(held) > 0)
	}
	if _, err := d.until(ctx, job, p, holding); err != nil {
		return err
	}
	d.say("5. kill -9 %s, which holds %d steps", killed.id, len(held))
	start = time.Now()
	killed.kill()
	d.res.WorkersKilled++
	_, err := d.until(ctx, job, p, func(v *wire.Job) bool {
		for _, o := range v.Out {
			if o.Worker == killed.id {
				return false
			}
			for _, h := range held {
				if o.Stage == h.Stage && o.Step == h.Step && o.Worker == "" {
					return false // on the queue, not yet running
				}
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	d.res.RecoveryMS = time.Since(start).Milliseconds()
	d.say("   its steps run elsewhere after %s", short(msec(d.res.RecoveryMS)))
	return d.startWorker(ctx)
}

// until shows progress until the job is as wanted.
func (d *demo) until(ctx context.Context, job string, p progress, wanted func(*wire.Job) bool) (*wire.Job, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		v, err := d.s.Job(ctx, job)
		if err != nil {
			return nil, err
		}
		if i%10 == 0 || v.State.Ended() {
			p.show(v)
		}
		if wanted(v) {
			return v, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (d *demo) drain(ctx context.Context, worker string) error {
	_, err := d.s.Drain(ctx, wire.Selection{IDs: []string{worker}})
	return err
}

func (d *demo) safeToStop(ctx context.Context, worker string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ws, err := d.s.Workers(ctx)
		if err != nil {
			return err
		}
		for _, w := range ws {
			if w.ID == worker && w.SafeToStop {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// prove compares source and target, with the workers that are left.
func (d *demo) prove(ctx context.Context, spec migration.VerifySpec) error {
	v, err := d.verifyNow(ctx, d.s, spec)
	if err != nil {
		return err
	}
	d.res.Equal, d.res.Rows = v.Equal, v.Rows
	for _, f := range v.List {
		switch f.Message {
		case migration.MissingRow:
			d.res.RowsLost++
		case migration.ExtraRow:
			d.res.RowsTwice++
		}
	}
	if !v.Equal {
		for _, f := range v.List[:min(len(v.List), 20)] {
			d.say("%s", findingText(f))
		}
	}
	return nil
}

func (d *demo) write(w io.Writer) {
	r := d.res
	word := "EQUAL"
	if !r.Equal {
		word = "DIFFERENT"
	}
	fmt.Fprintf(w, "\nsource and target are %s: %s rows compared\n", word, thousands(r.Rows))
	t := newTable("WHAT", "MEASURED")
	t.row("rows lost", fmt.Sprint(r.RowsLost))
	t.row("rows twice", fmt.Sprint(r.RowsTwice))
	t.row("drain: asked to safe to stop", short(msec(r.DrainMS)))
	t.row("kill -9 to running elsewhere", short(msec(r.RecoveryMS)))
	t.row("workers drained, killed", fmt.Sprintf("%d, %d", r.WorkersDrained, r.WorkersKilled))
	t.write(w)
}

func (d *demo) stopWorkers() {
	for _, w := range d.crew {
		w.stop()
	}
}

// startWorker starts a worker process and waits until the fleet knows it.
func (d *demo) startWorker(ctx context.Context) error {
	known := map[string]bool{}
	ws, err := d.s.Workers(ctx)
	if err != nil {
		return err
	}
	for _, w := range ws {
		known[w.ID] = true
	}
	w, err := startDemoWorker(d.Self, d.config.Data, filepath.Join(d.dir, "workers.log"), d.Vars)
	if err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	d.crew = append(d.crew, w)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ws, err := d.s.Workers(ctx)
		if err != nil {
			return err
		}
		for _, x := range ws {
			if x.PID == w.pid() && !known[x.ID] && x.State == wire.WorkerActive {
				w.id = x.ID
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-w.exited:
			return tasks.WithHint(errors.New("it ended at once"), "run stint worker by hand to see why", "a worker process did not start")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
