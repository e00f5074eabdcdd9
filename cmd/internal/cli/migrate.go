package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// move is what migrate, plan and verify are told.
type move struct {
	from, to  string
	plan      *plan.Plan   // nil: tables as they are
	places    *plan.Places // of the plan's entries in its file
	planned   planned
	again     string // the migration whose rows are tried again
	tables    []string
	tenant    string
	chunkRows int
	batchRows int
	window    int
	dryRun    bool
	wait      bool
	keep      bool // what becomes of rows is kept, for a catch-up
	live      catchUp
}

// planned says which ends of a move are the plan's and not those of flags, so that errors name the place.
type planned struct{ from, to bool }

func (m *move) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.from, "from", "", "the `SOURCE`: a connection's name, or a URL: sqlite:FILE, postgres://, mysql://, firebird://, sqlserver://, csv:DIR, tsv:DIR, ndjson:DIR, dbf:DIR")
	f.StringVar(&m.to, "to", "", "the `TARGET`: a connection's name, or a URL: sqlite:FILE, postgres://, mysql://; with a plan also https://, or artifacts for files")
	f.StringSliceVar(&m.tables, "tables", nil, "only these tables, separated by commas")
}

func (c *command) migrate() *cobra.Command {
	m := &move{}
	cmd := &cobra.Command{
		Use:   "migrate [PLAN] --from SOURCE --to TARGET",
		Short: "Move a database into another, exactly once, through any number of interruptions",
		Long: `Moves tables, rows, keys, indexes, foreign keys and sequences from one database into another.

Each batch of rows commits in one transaction together with its row of the ledger (the table stint_ledger in the target),
so it takes effect once, whatever dies. Interrupt it, kill it, lose the queue: the same command goes on where the ledger
says. Run again after the end it changes nothing. Rows that the target cannot hold are set aside in stint_quarantine, with
the reason, and counted.

A PLAN says what is moved instead of everything: stages, expressions for each column, references between rows, an API as the
target (docs/plans.md; stint plan writes one to begin with). --from and --to are then those of the plan unless they are given.
With --dry-run the first rows of each stage are mapped and shown, with every mistake, and nothing is written.

With --catch-up people may go on working in the source: when its rows are there, the command brings over what was inserted, updated and
deleted meanwhile, in rounds, until stint cutover JOB does the last one (docs/catch-up.md).

Without a Redis in the configuration the command runs its own queue and its own worker in the data folder.`,
		Example: "  stint migrate --from sqlite:legacy.db --to postgres://me@localhost/new\n" +
			"  stint migrate --from legacy --to cloud --tables customer,invoice\n" +
			"  stint migrate --from sqlite:a.db --to sqlite:b.db --dry-run\n" +
			"  stint migrate plan.yaml --from csv:export --to https://api.example.com\n" +
			"  stint migrate plan.yaml --catch-up",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(cmd); err != nil {
				return err
			}
			if len(args) == 1 {
				if err := m.read(args[0]); err != nil {
					return err
				}
			}
			if m.live.on {
				return c.runCatchUp(cmd, m)
			}
			return c.runMigrate(cmd, m)
		},
	}
	m.flags(cmd)
	m.live.flags(cmd)
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
	if m.chunkRows < 1 || m.batchRows < 0 || m.window < 0 {
		return usage(fmt.Errorf("--chunk-rows, --batch-rows and --window: give a positive number"))
	}
	from, to, err := c.both(m)
	if err != nil {
		return err
	}
	sub, err := c.submission(m, from, to)
	if err != nil {
		return err
	}
	if m.dryRun && m.plan != nil {
		return c.dryRun(cmd, m, sub)
	}
	if m.dryRun {
		return c.withDraft(cmd, sub, from, to, writePlan)
	}
	if !c.remote() && m.plan == nil {
		if err := reachable(cmd.Context(), from, to, m.tables); err != nil {
			return err
		}
	}
	s, err := c.join(cmd)
	if err != nil {
		return err
	}
	defer c.leave(s, &err)
	if m.plan != nil { // a plan that does not fit is refused before a job is made of it
		if _, err := m.tryPlan(cmd.Context(), s, sub); err != nil {
			return err
		}
	}
	if m.wait && s.app != nil {
		if err := engine(cmd.Context(), s.app); err != nil {
			return err
		}
	}
	id, err := c.begin(cmd.Context(), s, sub)
	if err != nil {
		return err
	}
	if !m.wait {
		return c.print(map[string]string{"id": id}, func(w io.Writer) { fmt.Fprintln(w, id) })
	}
	return c.follow(cmd.Context(), s, &asked{id: id, again: &sub})
}

// both resolves the two databases of a move, which must not be one.
func (c *command) both(m *move) (from, to database, err error) {
	if from, err = c.source(m); err != nil {
		return
	}
	if to, err = c.target(m); err != nil {
		return
	}
	same := ""
	switch {
	case c.remote() && from.name == to.name:
		same = "connection: " + from.name
	case !c.remote() && (from.at.ID() == to.at.ID() || sameFile(from.at.Path(), to.at.Path())):
		same = "database: " + from.at.Redacted()
	}
	switch {
	case same != "" && m.planned.from && m.planned.to:
		err = m.wrong("target", "source and target are the same "+same, "name two databases")
	case same != "":
		err = usage(tasks.WithHint(nil, "name two databases", "--from and --to are the same %s", same))
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

// submission asks for a migration. The same databases and tables are the same job, which goes on with the same ledger, even when
// everything but the target was lost.
func (c *command) submission(m *move, from, to database) (wire.Submission, error) {
	tables := slices.Clone(m.tables)
	slices.Sort(tables)
	tables = slices.Compact(tables)
	s := migration.Spec{Source: from.name, Target: to.name, Tables: tables, ChunkRows: m.chunkRows, BatchRows: m.batchRows, Plan: m.plan, Again: m.again, KeepRows: m.keep}
	if err := c.stateOf(m, to, &s); err != nil {
		return wire.Submission{}, err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return wire.Submission{}, fmt.Errorf("encode spec: %w", err)
	}
	window := m.window
	if window <= 0 && m.plan != nil {
		window = m.plan.Window
	}
	if window <= 0 {
		window = 2 * c.config.Worker.Concurrency
	}
	sub := wire.Submission{Kind: migration.Kind, Tenant: m.tenant, Spec: spec, Window: window, Continue: true}
	if m.plan != nil && m.plan.Policy.Retries != 0 {
		sub.Policy = &tasks.Policy{Retries: m.plan.Policy.Retries}
	}
	return sub, nil
}

// engine runs a worker and a scheduler in this process.
func engine(ctx context.Context, a *app.App) error {
	if err := a.StartScheduler(ctx); err != nil {
		return err
	}
	return a.StartWorker(ctx)
}

// begin submits a job that may have been submitted before, and says what became of it.
func (c *command) begin(ctx context.Context, s *session, sub wire.Submission) (string, error) {
	done, err := s.Submit(ctx, "", sub)
	if err != nil {
		return "", err
	}
	switch done.Outcome {
	case wire.OutcomeCreated:
		c.say("job %s", done.ID)
	case wire.OutcomeRestarted:
		c.say("job %s ended before; the ledger says what is left", done.ID)
	case wire.OutcomeResumed:
		c.say("job %s was paused; it goes on", done.ID)
	default:
		c.say("job %s goes on", done.ID)
	}
	if done.Held != "" {
		c.say("it is held (%s) and begins when that is over", done.Held)
	}
	return done.ID, nil
}
