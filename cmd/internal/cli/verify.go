package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// proof is what verify is told, besides the databases.
type proof struct {
	move
	rows   string
	repair string
}

func (c *command) verify() *cobra.Command {
	m := &proof{}
	cmd := &cobra.Command{
		Use:   "verify [JOB | PLAN] | --from SOURCE --to TARGET",
		Short: "Prove row by row that target and source are equal",
		Long: `Compares every row of the source with the target: of a migration that was run, by its plan if it had one; of a plan; or of any
two databases, whose tables have the same names. Rows go through the plan's filters and expressions again, and what comes out is
compared with what the target has, cell by cell. Ends with 0 when they are equal, and with 1 and a list of stages or tables, keys and
columns where they differ. Rows that the migration has set aside are counted and not expected in the target.

With --repair rows that are missing are inserted and rows that differ are overwritten; with --repair=delete rows that only the target
has are deleted too, in tables that a migration has made. What is mended is compared again, and 0 means that all is equal now.`,
		Example: "  stint verify mig-4f0h2n\n  stint verify --from sqlite:legacy.db --to postgres://me@localhost/new --tables customer\n" +
			"  stint verify plan.yaml --from legacy --to cloud --rows 'sample: 1%'\n  stint verify mig-4f0h2n --repair",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := c.load(cmd); err != nil {
				return err
			}
			byJob := len(args) == 1 && !isPlanFile(args[0])
			var spec migration.VerifySpec
			if byJob {
				if m.from != "" || m.to != "" || m.tenant != "" {
					return usage(fmt.Errorf("a job knows its databases: give a job, or --from and --to"))
				}
			} else if spec, err = c.verifySpec(cmd.Context(), m, args); err != nil {
				return err
			}
			s, err := c.join(cmd)
			if err != nil {
				return err
			}
			defer c.leave(s, &err)
			if byJob {
				if spec, err = m.ofJob(cmd.Context(), s, args[0]); err != nil {
					return err
				}
			}
			spec.Rows, spec.Repair = m.rows, m.repair
			if spec.Rows != "" && spec.Plan == nil {
				return usage(tasks.WithHint(nil, "leave --rows away", "without a plan all rows are compared"))
			}
			if s.app != nil {
				if err := engine(cmd.Context(), s.app); err != nil {
					return err
				}
			}
			return c.runVerify(cmd.Context(), s, spec, m.tenant)
		},
		ValidArgsFunction: c.complete(1, jobIDs),
	}
	m.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&m.rows, "rows", "", "how much of what a plan has loaded: `all`, 'sample: 1%' or count")
	f.StringVar(&m.repair, "repair", "", "mend the target: `rows`, or delete to delete what only the target has as well")
	f.Lookup("repair").NoOptDefVal = migration.RepairRows
	f.StringVar(&m.tenant, "tenant", "", "whose data it is; of a job it is known")
	f.Int("concurrency", 0, "steps that this process runs at once")
	return cmd
}

// isPlanFile tells the file of a plan from the id of a job.
func isPlanFile(arg string) bool {
	switch filepath.Ext(arg) {
	case ".yaml", ".yml", ".json":
		return true
	}
	info, err := os.Stat(arg)
	return err == nil && info.Mode().IsRegular()
}

// verifySpec reads the databases from the flags, or from a plan.
func (c *command) verifySpec(ctx context.Context, m *proof, args []string) (migration.VerifySpec, error) {
	if len(args) == 1 {
		if err := m.read(args[0]); err != nil {
			return migration.VerifySpec{}, err
		}
	}
	from, to, err := c.both(&m.move)
	if err != nil {
		return migration.VerifySpec{}, err
	}
	if !c.remote() && m.plan == nil {
		if err := reachable(ctx, from, to, m.tables); err != nil {
			return migration.VerifySpec{}, err
		}
	}
	of := migration.Spec{}
	if err := c.stateOf(&m.move, to, &of); err != nil {
		return migration.VerifySpec{}, err
	}
	return migration.VerifySpec{Source: from.name, Target: to.name, Tables: m.tables, AnyJob: true, Plan: m.plan, State: of.State, IDs: of.IDs}, nil
}

// ofJob reads what a migration has done from its job.
func (m *proof) ofJob(ctx context.Context, s *session, id string) (migration.VerifySpec, error) {
	job, err := s.Job(ctx, id)
	if err != nil {
		return migration.VerifySpec{}, err
	}
	var spec migration.Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil || job.Kind != migration.Kind {
		return migration.VerifySpec{}, usage(tasks.WithHint(err, "give the id of a migration", "job %s is a %s", id, job.Kind))
	}
	if spec.Again != "" { // it is the first one's rows that were tried again
		id = spec.Again
	}
	m.tenant = job.Tenant // whose ids references lead to
	v := migration.VerifySpec{Source: spec.Source, Target: spec.Target, Tables: spec.Tables, Job: id, Plan: spec.Plan, State: spec.State, IDs: spec.IDs}
	if spec.Again != "" {
		switch _, err := s.Job(ctx, id); {
		case isNotFound(err): // it is not kept any more, and what it has set aside is
			v.Job, v.AnyJob = "", true
		case err != nil:
			return v, err
		}
	}
	return v, nil
}

// verification is the answer; its JSON is a contract.
type verification struct {
	Equal       bool            `json:"equal"`
	Rows        int64           `json:"rows"`
	Quarantined int64           `json:"rows_quarantined"`
	Skipped     int64           `json:"rows_skipped"`
	Differences int64           `json:"differences"`
	Repaired    *repaired       `json:"repaired,omitempty"`
	List        []tasks.Finding `json:"list"` // at most store.KeptFindings
	Notes       []string        `json:"notes,omitempty"`
}

// repaired says how many rows were mended.
type repaired struct {
	Inserted    int64 `json:"inserted"`
	Overwritten int64 `json:"overwritten"`
	Deleted     int64 `json:"deleted"`
}

func (c *command) runVerify(ctx context.Context, s *session, spec migration.VerifySpec, tenant string) error {
	v, err := c.verifyAs(ctx, s, spec, tenant)
	if err != nil {
		if errors.Is(err, errInterrupted) {
			c.say("interrupted: the comparison is cancelled")
			if s.app != nil {
				c.cutAtTheNext(s.app)
			}
		}
		return err
	}
	err = c.print(v, func(w io.Writer) { v.write(w) })
	if err == nil && !v.Equal {
		err = errReported
	}
	return err
}

// verifyNow runs a verification to its end.
func (c *command) verifyNow(ctx context.Context, s *session, spec migration.VerifySpec) (*verification, error) {
	return c.verifyAs(ctx, s, spec, "")
}

// verifyAs is verifyNow for the data of a tenant.
func (c *command) verifyAs(ctx context.Context, s *session, spec migration.VerifySpec, tenant string) (*verification, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	sub := wire.Submission{Kind: migration.VerifyKind, Tenant: tenant, Spec: body, Window: 2 * c.config.Worker.Concurrency}
	done, err := s.Submit(ctx, "", sub)
	if err != nil {
		return nil, err
	}
	view, err := c.watch(ctx, s, &asked{id: done.ID})
	if err != nil {
		if errors.Is(err, errInterrupted) { // nobody asks for its answer any more, and no later command goes on with it
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if _, e := s.Control(short, done.ID, client.Cancel); e != nil {
				c.log.Warn("the comparison could not be cancelled", "job", done.ID, "err", e)
			}
		}
		return nil, err
	}
	if err := failed(view); err != nil {
		return nil, err
	}
	report, err := s.Report(ctx, done.ID)
	if err != nil {
		return nil, err
	}
	v := &verification{Rows: view.Counters.Read - view.Counters.Quarantined - view.Counters.Skipped, Quarantined: view.Counters.Quarantined,
		Skipped: view.Counters.Skipped, List: []tasks.Finding{}, Repaired: repairedBy(report.Sections)}
	v.Differences = view.Findings
	for _, f := range report.Findings {
		if f.Level == tasks.LevelNote {
			v.Notes = append(v.Notes, findingText(f))
			v.Differences--
			continue
		}
		v.List = append(v.List, f)
	}
	v.Equal = v.Differences == 0
	return v, nil
}

// repairedBy reads from a report what was mended; nil when nothing was to be.
func repairedBy(sections []tasks.ReportSection) *repaired {
	i := slices.IndexFunc(sections, func(s tasks.ReportSection) bool { return s.Title == migration.RepairSection })
	if i < 0 {
		return nil
	}
	r := &repaired{}
	for _, row := range sections[i].Rows {
		for j, n := range []*int64{&r.Inserted, &r.Overwritten, &r.Deleted} {
			if j+1 < len(row) {
				k, _ := strconv.ParseInt(row[j+1], 10, 64)
				*n += k
			}
		}
	}
	return r
}

func (v *verification) write(w io.Writer) {
	for _, f := range v.List {
		fmt.Fprintln(w, printable(findingText(f)))
	}
	for _, n := range v.Notes {
		fmt.Fprintln(w, "note: "+printable(n))
	}
	if r := v.Repaired; r != nil {
		fmt.Fprintf(w, "repaired: %s inserted, %s overwritten, %s deleted\n", thousands(r.Inserted), thousands(r.Overwritten), thousands(r.Deleted))
	}
	besides := ""
	if v.Quarantined > 0 {
		besides = fmt.Sprintf(", besides %s in quarantine", thousands(v.Quarantined))
	}
	if v.Skipped > 0 {
		besides += fmt.Sprintf(", %s left out by the plan", thousands(v.Skipped))
	}
	switch {
	case v.Equal && besides != "":
		fmt.Fprintf(w, "equal: %s rows compared%s\n", thousands(v.Rows), besides)
	case v.Equal:
		fmt.Fprintf(w, "equal: %s rows compared, no difference\n", thousands(v.Rows))
	default:
		fmt.Fprintf(w, "different: %s in %s rows\n", plural(int(v.Differences), "difference"), thousands(v.Rows))
	}
}
