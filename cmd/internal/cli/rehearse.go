package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// rehearsalRounds bounds how often the disturbed run is made anew to reach the number of kills: a migration of a moment ends
// before anybody can be killed often.
const rehearsalRounds = 10

// rehearsal is one run of stint rehearse.
type rehearsal struct {
	*crew
	m       *move
	scratch string // --to
	kills   int
	drains  int
	workers int
	seed    uint64
	keep    bool

	id        string // of the scratch and the queue
	name      string
	from      database
	model     *database     // the plan's own target, whose tables the scratch gets
	expected  []string      // the tables that a run makes
	api       *rehearsedAPI // nil for a plan that writes into tables
	leftOut   map[string][]string
	calm      *place
	disturbed *place
	r         *rand.Rand
	job       string // the one that runs, for who is interrupted
	calmJob   string
	total     int64 // rows that the calm run has read
	res       rehearsalResult
}

func (c *command) rehearse() *cobra.Command {
	re := &rehearsal{m: &move{}}
	cmd := &cobra.Command{
		Use:   "rehearse [PLAN] [--from SOURCE] [--to SCRATCH] --kills N",
		Short: "Run a migration into a scratch target while its workers are killed, and prove that it comes out the same",
		Long: `Runs the migration of a plan, or without one that of all tables, twice into scratch targets: once undisturbed, and once while
worker processes are killed with SIGKILL (--kills) and drained (--drains) at random moments. Then it compares the two, table
by table: rows, and a checksum that does not depend on their order. Ends with 0 when they are equal, with 1 when they differ.

The source is only read. The target of the plan is only looked at: a scratch gets its tables, without foreign keys and without
rows. --to names the scratch; it must hold no tables, or those of an earlier rehearsal of the same name. Without it the
scratch is made: databases stint_rehearsal_... on the server of the plan's target (schemas, where this user may not make
databases), else SQLite files in the data folder. What was made is taken away afterwards, unless the runs differ, or with
--keep.

A plan that sends to an API does not reach it: an API within this process takes the records in its place, answers as the plan
expects it, and compares what has come in the two runs, record by record. With --to URL the disturbed run goes to that API, a
sandbox, once; what it has taken is compared by its answers. A stage that writes files cannot be rehearsed.`,
		Example: "  stint rehearse plan.yaml --kills 10\n  stint rehearse plan.yaml --to postgres://me@localhost/scratch --kills 20 --drains 5\n" +
			"  stint rehearse --from sqlite:legacy.db --kills 5 --output json\n  stint rehearse into-api.yaml --kills 10\n" +
			"  stint rehearse into-api.yaml --to https://sandbox.example.com --kills 3",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(cmd); err != nil {
				return err
			}
			re.crew = &crew{command: c}
			if err := re.read(args); err != nil {
				return err
			}
			return re.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&re.m.from, "from", "", "the `SOURCE`: a connection's name or a URL (default: the plan's)")
	f.StringVar(&re.scratch, "to", "", "the `SCRATCH`: an empty database, or a sandbox of the API (default: one is made)")
	f.StringSliceVar(&re.m.tables, "tables", nil, "without a plan: only these tables, separated by commas")
	f.IntVar(&re.kills, "kills", 3, "how many worker processes are killed with SIGKILL")
	f.IntVar(&re.drains, "drains", 1, "how many are drained, as a deployment does")
	f.IntVar(&re.workers, "workers", 3, "worker processes at a time")
	f.Uint64Var(&re.seed, "seed", 0, "of the random moments; 0 takes another one each time")
	f.IntVar(&re.m.chunkRows, "chunk-rows", 2000, "rows of a step, where the plan does not say")
	f.StringVar(&re.name, "name", "", "of this rehearsal, which may empty what an earlier one of that name has left (default: the plan's)")
	f.BoolVar(&re.keep, "keep", false, "leave the scratch targets")
	return cmd
}

// read checks what was typed, and reads the plan.
func (re *rehearsal) read(args []string) error {
	switch {
	case re.remote():
		return usage(tasks.WithHint(nil, "leave --server and STINT_SERVER away; it may share the Redis of a server", "rehearse starts and kills worker processes on this machine, not on a server"))
	case re.kills < 0 || re.drains < 0 || re.kills+re.drains == 0:
		return usage(tasks.WithHint(nil, "write --kills 3", "nobody is to be killed or drained: give --kills or --drains a positive number"))
	case re.workers < 2:
		return usage(tasks.WithHint(nil, "write --workers 3", "--workers %d: what one worker leaves, another must take up", re.workers))
	case re.m.chunkRows < 1:
		return usage(fmt.Errorf("--chunk-rows: give a positive number"))
	}
	if len(args) == 1 {
		if err := re.m.read(args[0]); err != nil {
			return err
		}
		if err := re.whereTo(); err != nil {
			return err
		}
	}
	re.m.to = ""
	if re.name == "" {
		re.name = "tables"
		if re.m.plan != nil {
			re.name = re.m.plan.Name
		}
	}
	if len(re.name) > 100 {
		return usage(fmt.Errorf("--name: give at most 100 characters"))
	}
	if re.seed == 0 {
		re.seed = rand.Uint64N(1<<53-1) + 1 // exact in all JSON readers
	}
	re.r = rand.New(rand.NewPCG(re.seed, 0))
	return nil
}

// whereTo finds out what the plan writes into, and refuses what a trial cannot have without an effect. Its own tables are the
// scratch's as well.
func (re *rehearsal) whereTo() error {
	p := *re.m.plan
	p.State = ""
	re.m.plan = &p
	if p.Stages[0].To.HTTP != nil {
		re.api = &rehearsedAPI{}
	}
	for i := range p.Stages {
		switch s := &p.Stages[i]; {
		case re.api != nil && s.To.HTTP != nil:
			re.api.endpoints = append(re.api.endpoints, *s.To.HTTP)
		case re.api == nil && s.To.Table != "":
			re.expected = append(re.expected, s.To.Table)
		default:
			return usage(tasks.WithHint(nil, "rehearse a copy of the plan whose stages all write into tables, or all into an API; stint migrate --dry-run shows what would be written",
				"the stage %s cannot be rehearsed: its rows would be written for good", s.Name))
		}
	}
	return nil
}

func (re *rehearsal) run(cmd *cobra.Command) (err error) {
	ctx, cancel := re.interruptible(cmd.Context())
	defer cancel()
	if re.from, err = re.source(re.m); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(re.name + "\n" + re.from.at.ID()))
	re.id = hex.EncodeToString(sum[:4])
	if err := re.look(ctx); err != nil {
		return err
	}
	if err := re.places(ctx); err != nil {
		return err
	}
	if re.api != nil {
		defer re.api.close()
	}
	defer func() {
		re.leavePlaces(ctx, &err)
	}()
	if err := re.gather(cmd); err != nil {
		return err
	}
	defer re.leave(re.s, &err)
	defer re.dismiss()
	if err := re.s.app.StartScheduler(ctx); err != nil {
		return err
	}
	if err := re.play(ctx); err != nil {
		if ctx.Err() != nil {
			re.giveUp(ctx)
			return context.Cause(ctx)
		}
		return err
	}
	re.res.finish(re)
	if err := re.print(re.res, re.res.write); err != nil {
		return err
	}
	if !re.res.Equal || re.res.Kills < re.kills || re.res.Drains < re.drains {
		return errReported
	}
	return nil
}

// gather makes the crew's place to work: a queue that no other worker serves.
func (re *rehearsal) gather(cmd *cobra.Command) (err error) {
	re.said = filepath.Join(re.config.Data, "rehearsal-"+re.id+".log")
	re.vars = re.Vars
	re.args = []string{"--data", re.config.Data, "--concurrency", "2", "--queue", re.queue()}
	if re.file != "" {
		re.args = append(re.args, "--config", re.file)
	}
	if re.environment != "" {
		re.args = append(re.args, "--environment", re.environment)
	}
	if err := os.Remove(re.said); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	re.s, err = re.join(cmd)
	return err
}

func (re *rehearsal) queue() string { return "rehearsal-" + re.id }

// play is the rehearsal from beginning to end.
func (re *rehearsal) play(ctx context.Context) error {
	start := time.Now()
	re.say("1. undisturbed, into %s", re.into(re.calm))
	view, err := re.migrate(ctx, re.calm, nil)
	if err != nil {
		return err
	}
	re.calmJob = view.ID
	re.total, _, _ = sums(view)
	re.res.CalmMS = time.Since(start).Milliseconds()
	rounds := rehearsalRounds
	if re.api != nil && re.api.sandbox != nil {
		rounds = 1 // what it has taken cannot be taken back
	}
	for re.res.Rounds < rounds && (re.res.Kills < re.kills || re.res.Drains < re.drains || re.res.Rounds == 0) {
		re.res.Rounds++
		re.say("2. disturbed, into %s", re.into(re.disturbed))
		start = time.Now()
		view, err := re.migrate(ctx, re.disturbed, newDisturbance(re))
		if err != nil {
			return err
		}
		re.res.DisturbedMS = time.Since(start).Milliseconds()
		re.say("3. the proof: every row of the one against the other")
		if err := re.compare(ctx, view.ID); err != nil {
			return err
		}
		if !re.res.Equal {
			return nil
		}
	}
	return nil
}

// migrate runs the migration into a place that is made ready for it, with workers of its own.
func (re *rehearsal) migrate(ctx context.Context, to *place, d *disturbance) (*wire.Job, error) {
	if err := re.prepare(ctx, to); err != nil {
		return nil, err
	}
	m, target := re.m, to.database
	if re.api != nil {
		var err error
		if m, target, err = re.api.begin(m, to, d != nil); err != nil {
			return nil, err
		}
	}
	sub, err := re.submission(m, re.from, target)
	if err != nil {
		return nil, err
	}
	sub.Queue = re.queue()
	if re.m.window <= 0 && (re.m.plan == nil || re.m.plan.Window <= 0) {
		sub.Window = 4 * re.workers
	}
	if re.m.plan != nil {
		if _, err := m.tryPlan(ctx, re.s, sub); err != nil {
			return nil, err
		}
	}
	for range re.workers {
		if _, err := re.hire(ctx); err != nil {
			return nil, err
		}
	}
	defer re.dismiss()
	job, err := re.s.Submit(ctx, "", sub)
	if err != nil {
		return nil, err
	}
	re.job = job.ID
	p := re.newProgress()
	defer p.end()
	if d != nil {
		if err := d.play(ctx, job.ID, p); err != nil {
			return nil, err
		}
	}
	view, err := re.until(ctx, job.ID, p, func(v *wire.Job) bool {
		if d != nil {
			d.observe(v)
		}
		return v.State.Ended()
	})
	if err != nil {
		return nil, err
	}
	p.end()
	if re.api != nil {
		if err := re.api.strange(); err != nil {
			return nil, err
		}
	}
	return view, failed(view)
}

// expectTables says which tables a run of all tables makes.
func (re *rehearsal) expectTables(ctx context.Context, to sqldb.Dialect) error {
	src, err := re.from.open(ctx, true)
	if err != nil {
		return err
	}
	defer src.Close()
	schema, err := sqldb.Introspect(ctx, src, re.m.tables)
	if err != nil {
		return typo(err)
	}
	target := schema
	if schema.Dialect != to {
		target, _ = sqldb.MapSchema(schema, to)
	}
	for i := range target.Tables {
		re.expected = append(re.expected, target.Tables[i].FullName())
	}
	return nil
}

// namesSchema returns a table of the scratch that would be in a schema of its own; "" when all are in the default one.
func (re *rehearsal) namesSchema() string {
	i := slices.IndexFunc(re.expected, func(t string) bool { return strings.Contains(t, ".") })
	if i < 0 {
		return ""
	}
	return re.expected[i]
}

// rehearsedTable is one table of a rehearsal.
type rehearsedTable struct {
	Table        string   `json:"table"`
	Rows         int64    `json:"rows"`
	RowsCalm     int64    `json:"rows_calm"`
	Checksum     string   `json:"checksum"`
	ChecksumCalm string   `json:"checksum_calm"`
	Equal        bool     `json:"equal"`
	LeftOut      []string `json:"columns_left_out,omitempty"`
}

// rehearsalResult is what a rehearsal proves; its JSON is a contract.
type rehearsalResult struct {
	Equal       bool             `json:"equal"`
	Name        string           `json:"name"`
	Seed        uint64           `json:"seed"`
	Rounds      int              `json:"rounds"`
	Kills       int              `json:"workers_killed"`
	Drains      int              `json:"workers_drained"`
	Rows        int64            `json:"rows"`
	Quarantined int64            `json:"rows_quarantined"`
	Lost        int64            `json:"rows_lost"`
	Twice       int64            `json:"rows_twice"`
	Repeats     int64            `json:"records_repeated,omitempty"` // requests and records that an API got again, without effect
	RecoveryMS  []int64          `json:"recovery_ms"`
	DrainMS     []int64          `json:"drain_ms"`
	CalmMS      int64            `json:"calm_ms"`
	DisturbedMS int64            `json:"disturbed_ms"`
	Tables      []rehearsedTable `json:"tables"`
	Differences []string         `json:"differences"`
	Notes       []string         `json:"notes"`
	Kept        []string         `json:"kept"`

	api bool
}

// finish says what the numbers alone do not.
func (r *rehearsalResult) finish(re *rehearsal) {
	r.Name, r.Seed, r.api = re.name, re.seed, re.api != nil
	if r.Kills < re.kills || r.Drains < re.drains {
		r.Notes = append(r.Notes, fmt.Sprintf("%d of %d kills and %d of %d drains took place: the migration ended too soon; rehearse with more rows, or smaller --chunk-rows",
			r.Kills, re.kills, r.Drains, re.drains))
	}
	for _, p := range []*place{re.disturbed, re.calm} {
		if re.keep || !r.Equal {
			r.Kept = append(r.Kept, p.at.String())
		}
	}
	for _, list := range []*[]string{&r.Differences, &r.Notes, &r.Kept} {
		if *list == nil {
			*list = []string{}
		}
	}
}

func (r *rehearsalResult) write(w io.Writer) {
	what := "TABLE"
	if r.api {
		what = "STAGE"
	}
	t := newTable(what, "ROWS", "UNDISTURBED", "CHECKSUM", "")
	for _, x := range r.Tables {
		word := "equal"
		if !x.Equal {
			word = "DIFFERENT"
		}
		t.row(x.Table, thousands(x.Rows), thousands(x.RowsCalm), x.Checksum, word)
	}
	t.write(w)
	for _, d := range r.Differences {
		fmt.Fprintln(w, printable(d))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note: "+printable(n))
	}
	fmt.Fprintln(w)
	t = newTable("WHAT", "MEASURED")
	t.row("rows lost", thousands(r.Lost))
	t.row("rows twice", thousands(r.Twice))
	if r.api {
		t.row("repeated, without effect", thousands(r.Repeats))
	}
	t.row("rows set aside", thousands(r.Quarantined))
	t.row("workers killed, drained", fmt.Sprintf("%d, %d", r.Kills, r.Drains))
	t.row("kill -9 to running elsewhere", spread(r.RecoveryMS))
	t.row("drain: asked to safe to stop", spread(r.DrainMS))
	t.row("undisturbed, disturbed", short(msec(r.CalmMS))+", "+short(msec(r.DisturbedMS)))
	t.write(w)
	for _, k := range r.Kept {
		fmt.Fprintln(w, "kept: "+k)
	}
	word := "EQUAL"
	if !r.Equal {
		word = "DIFFERENT"
	}
	fmt.Fprintf(w, "\nthe disturbed run and the undisturbed one are %s: %s rows compared (--seed %d)\n", word, thousands(r.Rows), r.Seed)
}

// spread says in which range durations were.
func spread(ms []int64) string {
	if len(ms) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(ms))
	return fmt.Sprintf("%s median, %s at most", short(msec(sorted[len(sorted)/2])), short(msec(sorted[len(sorted)-1])))
}

// ownColumns names the columns of a plan's stage that the target fills in by itself, otherwise in each run.
func ownColumns(s *plan.Stage, t *sqldb.Table) []string {
	var own []string
	for _, c := range t.Columns {
		_, given := s.Map.Get(c.Name)
		moves := c.Identity || strings.Contains(c.Default, "(") || strings.Contains(strings.ToUpper(c.Default), "CURRENT")
		if !given && moves && !c.Generated {
			own = append(own, c.Name)
		}
	}
	return own
}
