package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// move is what migrate, plan and verify are told.
type move struct {
	from, to  string
	tables    []string
	tenant    string
	chunkRows int
	batchRows int
	window    int
	dryRun    bool
	wait      bool
}

func (m *move) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.from, "from", "", "the `SOURCE`: a connection's name, sqlite:FILE or postgres://...")
	f.StringVar(&m.to, "to", "", "the `TARGET`: a connection's name, sqlite:FILE or postgres://...")
	f.StringSliceVar(&m.tables, "tables", nil, "only these tables, separated by commas")
}

func (c *command) migrate() *cobra.Command {
	m := &move{}
	cmd := &cobra.Command{
		Use:   "migrate --from SOURCE --to TARGET",
		Short: "Move a database into another, exactly once, through any number of interruptions",
		Long: `Moves tables, rows, keys, indexes, foreign keys and sequences from one database into another.

Each batch of rows commits in one transaction together with its row of the ledger (the table stint_ledger in the target),
so it takes effect once, whatever dies. Interrupt it, kill it, lose the queue: the same command goes on where the ledger
says. Run again after the end it changes nothing. Rows that the target cannot hold are set aside in stint_quarantine, with
the reason, and counted.

Without a Redis in the configuration the command runs its own queue and its own worker in the data folder.`,
		Example: "  stint migrate --from sqlite:legacy.db --to postgres://me@localhost/new\n" +
			"  stint migrate --from legacy --to cloud --tables customer,invoice\n" +
			"  stint migrate --from sqlite:a.db --to sqlite:b.db --dry-run",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.runMigrate(cmd, m) },
	}
	m.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&m.tenant, "tenant", "", "whose data it is")
	f.IntVar(&m.chunkRows, "chunk-rows", migration.DefaultChunkRows, "rows of a step")
	f.IntVar(&m.batchRows, "batch-rows", 0, "rows of a transaction (default: 10,000 or 4 MiB)")
	f.IntVar(&m.window, "window", 0, "steps that are out at once (default: twice the worker's concurrency)")
	f.Int("concurrency", 0, "steps that this process runs at once")
	f.BoolVar(&m.dryRun, "dry-run", false, "say what would be done, and write nothing")
	f.BoolVar(&m.wait, "wait", true, "stay until the job has ended; with --wait=false the work needs a worker elsewhere")
	return cmd
}

func (c *command) runMigrate(cmd *cobra.Command, m *move) (err error) {
	if err := c.load(cmd); err != nil {
		return err
	}
	if m.chunkRows < 1 || m.batchRows < 0 || m.window < 0 {
		return usage(fmt.Errorf("--chunk-rows, --batch-rows and --window: give a positive number"))
	}
	from, to, err := c.both(m)
	if err != nil {
		return err
	}
	if m.dryRun {
		return c.dryRun(cmd.Context(), from, to, m.tables)
	}
	if err := reachable(cmd.Context(), from, to, m.tables); err != nil {
		return err
	}
	job, err := c.migrationJob(m, from, to)
	if err != nil {
		return err
	}
	a, err := app.New(cmd.Context(), c.appOptions())
	if err != nil {
		return err
	}
	defer c.close(a, &err)
	if m.wait {
		if err := engine(cmd.Context(), a); err != nil {
			return err
		}
	}
	if err := c.begin(cmd.Context(), a, job); err != nil {
		return err
	}
	if !m.wait {
		return c.print(map[string]string{"id": job.ID}, func(w io.Writer) { fmt.Fprintln(w, job.ID) })
	}
	return c.follow(cmd.Context(), a, job)
}

// both resolves the two databases of a move, which must not be one.
func (c *command) both(m *move) (from, to database, err error) {
	if from, err = c.database("--from", m.from); err != nil {
		return
	}
	if to, err = c.database("--to", m.to); err != nil {
		return
	}
	if from.at.ID() == to.at.ID() || sameFile(from.at.Path(), to.at.Path()) {
		err = usage(tasks.WithHint(nil, "name two databases", "--from and --to are the same database: %s", from.at))
	}
	return
}

// sameFile reports whether two paths lead to one file, by links or otherwise.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// reachable opens both databases once, so that what is wrong with them is said before anything starts.
func reachable(ctx context.Context, from, to database, tables []string) error {
	src, err := from.open(ctx, true)
	if err != nil {
		return err
	}
	defer src.Close()
	if len(tables) > 0 {
		if _, err := sqldb.Introspect(ctx, src, tables); err != nil {
			return typo(err)
		}
	}
	dst, err := to.open(ctx, false)
	if err != nil {
		return err
	}
	return dst.Close()
}

// typo marks an error that follows from what was typed: a table that is not there.
func typo(err error) error {
	if tasks.IsPermanent(err) {
		return usage(err)
	}
	return err
}

// migrationJob is the job of a migration. The same databases and tables give the same id, so that the same command goes on
// with the same ledger, even when everything but the target was lost.
func (c *command) migrationJob(m *move, from, to database) (tasks.Job, error) {
	tables := slices.Clone(m.tables)
	slices.Sort(tables)
	tables = slices.Compact(tables)
	spec, err := json.Marshal(migration.Spec{Source: from.name, Target: to.name, Tables: tables, ChunkRows: m.chunkRows, BatchRows: m.batchRows})
	if err != nil {
		return tasks.Job{}, fmt.Errorf("encode spec: %w", err)
	}
	window := m.window
	if window <= 0 {
		window = 2 * c.config.Worker.Concurrency
	}
	key := strings.Join(append([]string{from.at.ID(), to.at.ID()}, tables...), "\x00")
	return tasks.Job{ID: store.JobID(migration.Kind, m.tenant, key), Kind: migration.Kind, Tenant: m.tenant, Spec: spec, Window: window}, nil
}

// engine runs a worker and a scheduler in this process.
func engine(ctx context.Context, a *app.App) error {
	a.StartScheduler()
	return a.StartWorker(ctx)
}

// begin submits a job that may have been submitted before: one that runs goes on, one that is paused is resumed, and one that
// has ended begins anew, which the ledger makes cheap and harmless.
func (c *command) begin(ctx context.Context, a *app.App, job tasks.Job) error {
	state, created, err := a.Submit(ctx, job)
	if errors.Is(err, store.ErrConflict) {
		// The same databases with other settings. Settings change nothing in the ledger, so an ended job may take them.
		v, e := a.Store.View(ctx, job.ID)
		if e != nil {
			return e
		}
		switch {
		case v.State.Ended():
			if err := a.Store.Forget(ctx, job.ID); err != nil {
				return err
			}
			state, created, err = a.Submit(ctx, job)
		case bytes.Equal(v.Spec, job.Spec): // only the window differs, which may come from this machine's number of processors
			state, err = v.State, nil
		default:
			return tasks.WithHint(err, fmt.Sprintf("wait for it, or stop it with: stint jobs cancel %s", job.ID), "this migration is %s with other settings", v.State)
		}
	}
	switch {
	case err != nil:
		return err
	case created:
		c.say("job %s", job.ID)
		return nil
	case state.Ended():
		c.say("job %s ended before, %s; the ledger says what is left", job.ID, state)
		_, err = a.Control(ctx, job.ID, store.Restart)
	case state == tasks.Paused:
		c.say("job %s was paused; it goes on", job.ID)
		_, err = a.Control(ctx, job.ID, store.Resume)
	default:
		c.say("job %s goes on", job.ID)
	}
	return err
}

// dryRun says what a migration would do.
func (c *command) dryRun(ctx context.Context, from, to database, tables []string) error {
	p, err := c.draft(ctx, from, to, tables)
	if err != nil {
		return err
	}
	return c.print(planView(p, from, to), func(w io.Writer) { writePlan(w, p, from, to) })
}

// draft reads the source and, where it can be without making it, the target.
func (c *command) draft(ctx context.Context, from, to database, tables []string) (*migration.Plan, error) {
	src, err := from.open(ctx, true)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if path := to.at.Path(); path != "" {
		if _, err := os.Stat(path); err != nil {
			p, err := migration.Draft(ctx, src, to.at.Dialect, tables)
			return p, typo(err)
		}
	}
	dst, err := to.open(ctx, true)
	if err != nil {
		return nil, err
	}
	defer dst.Close()
	p, err := migration.Draft(ctx, src, to.at.Dialect, tables)
	if err != nil {
		return nil, typo(err)
	}
	for _, t := range p.Tables {
		if there, err := sqldb.HasTable(ctx, dst, &t.Target); err != nil {
			return nil, err
		} else if !there {
			continue
		}
		if err := sqldb.CheckTarget(ctx, dst, &t.Target); err != nil {
			return nil, err
		}
	}
	return p, nil
}
