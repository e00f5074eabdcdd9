package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
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
	*crew
	dir string
	res demoResult
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
	d := &demo{crew: &crew{command: c, said: filepath.Join(dir, "workers.log"), vars: unconfigured(c.Vars),
		args: []string{"--data", c.config.Data, "--config", os.DevNull, "--concurrency", "2"}}, dir: dir}
	ctx, cancel := c.interruptible(cmd.Context())
	defer cancel()
	if d.s, err = c.join(cmd); err != nil {
		return err
	}
	defer c.leave(d.s, &err)
	defer d.dismiss()
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
		if _, err := d.hire(ctx); err != nil {
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
	drained, killed := d.members[0], d.members[1]
	d.say("4. drain %s, as a deployment would", drained.id)
	took, err := d.drain(ctx, drained)
	if err != nil {
		return err
	}
	d.res.DrainMS = took.Milliseconds()
	d.res.WorkersDrained++
	d.say("   safe to stop after %s; it is stopped, and its successor starts", short(took))
	if _, err := d.hire(ctx); err != nil {
		return err
	}
	v, err := d.until(ctx, job, p, func(v *wire.Job) bool {
		return v.State.Ended() || part(45)(v) && len(heldBy(v, killed.id)) > 0
	})
	if err != nil {
		return err
	}
	held := heldBy(v, killed.id)
	d.say("5. kill -9 %s, which holds %d steps", killed.id, len(held))
	if took, err = d.kill(ctx, killed, job, held, p); err != nil {
		return err
	}
	d.res.WorkersKilled++
	d.res.RecoveryMS = took.Milliseconds()
	d.say("   its steps run elsewhere after %s", short(took))
	_, err = d.hire(ctx)
	return err
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

// unconfigured is an environment without what is configured in it, which is not meant for the demo.
func unconfigured(vars config.Env) config.Env {
	var rest config.Env
	for _, v := range vars {
		if !strings.HasPrefix(v, "STINT_") {
			rest = append(rest, v)
		}
	}
	return rest
}
