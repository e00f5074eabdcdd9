package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

func (c *command) verify() *cobra.Command {
	m := &move{}
	cmd := &cobra.Command{
		Use:   "verify [JOB] | --from SOURCE --to TARGET",
		Short: "Prove row by row that target and source are equal",
		Long: `Compares every row of the source with the target: of a migration that was run, or of any two databases. Ends with 0 when
they are equal, and with 1 and a list of tables, keys and columns where they differ. Rows that the migration has set aside
are counted and not expected in the target.`,
		Example: "  stint verify mig-4f0h2n\n  stint verify --from sqlite:legacy.db --to postgres://me@localhost/new --tables customer",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := c.load(cmd); err != nil {
				return err
			}
			spec, err := c.verifySpec(cmd.Context(), m, args)
			if err != nil {
				return err
			}
			s, err := c.join(cmd)
			if err != nil {
				return err
			}
			defer c.leave(s, &err)
			if len(args) == 1 {
				if spec, err = verifyJob(cmd.Context(), s, args[0]); err != nil {
					return err
				}
			}
			if s.app != nil {
				if err := engine(cmd.Context(), s.app); err != nil {
					return err
				}
			}
			return c.runVerify(cmd.Context(), s, spec)
		},
		ValidArgsFunction: c.complete(1, jobIDs),
	}
	m.flags(cmd)
	cmd.Flags().Int("concurrency", 0, "steps that this process runs at once")
	return cmd
}

// verifySpec reads the databases from the flags; with a job they are the job's.
func (c *command) verifySpec(ctx context.Context, m *move, args []string) (migration.VerifySpec, error) {
	if len(args) == 1 {
		if m.from != "" || m.to != "" {
			return migration.VerifySpec{}, usage(fmt.Errorf("a job knows its databases: give a job, or --from and --to"))
		}
		return migration.VerifySpec{}, nil
	}
	from, to, err := c.both(m)
	if err != nil {
		return migration.VerifySpec{}, err
	}
	if !c.remote() {
		if err := reachable(ctx, from, to, m.tables); err != nil {
			return migration.VerifySpec{}, err
		}
	}
	return migration.VerifySpec{Source: from.name, Target: to.name, Tables: m.tables, AnyJob: true}, nil
}

func verifyJob(ctx context.Context, s *session, id string) (migration.VerifySpec, error) {
	job, err := s.Job(ctx, id)
	if err != nil {
		return migration.VerifySpec{}, err
	}
	var spec migration.Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil || job.Kind != migration.Kind {
		return migration.VerifySpec{}, usage(tasks.WithHint(err, "give the id of a migration", "job %s is a %s", id, job.Kind))
	}
	return migration.VerifySpec{Source: spec.Source, Target: spec.Target, Tables: spec.Tables, Job: id}, nil
}

// verification is the answer; its JSON is a contract.
type verification struct {
	Equal       bool            `json:"equal"`
	Rows        int64           `json:"rows"`
	Quarantined int64           `json:"rows_quarantined"`
	Differences int64           `json:"differences"`
	List        []tasks.Finding `json:"list"` // at most store.KeptFindings
	Notes       []string        `json:"notes,omitempty"`
}

func (c *command) runVerify(ctx context.Context, s *session, spec migration.VerifySpec) error {
	v, err := c.verifyNow(ctx, s, spec)
	if err != nil {
		if errors.Is(err, errInterrupted) {
			c.say("interrupted: the comparison is cancelled; nothing was changed")
			if s.app != nil {
				go c.secondSignal(s.app)
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
	body, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	sub := wire.Submission{Kind: migration.VerifyKind, Spec: body, Window: 2 * c.config.Worker.Concurrency}
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
	v := &verification{Rows: view.Counters.Read - view.Counters.Quarantined, Quarantined: view.Counters.Quarantined, List: []tasks.Finding{}}
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

func (v *verification) write(w io.Writer) {
	for _, f := range v.List {
		fmt.Fprintln(w, printable(findingText(f)))
	}
	for _, n := range v.Notes {
		fmt.Fprintln(w, "note: "+printable(n))
	}
	switch {
	case v.Equal && v.Quarantined > 0:
		fmt.Fprintf(w, "equal: %s rows compared, besides %s in quarantine\n", thousands(v.Rows), thousands(v.Quarantined))
	case v.Equal:
		fmt.Fprintf(w, "equal: %s rows compared, no difference\n", thousands(v.Rows))
	default:
		fmt.Fprintf(w, "different: %s in %s rows\n", plural(int(v.Differences), "difference"), thousands(v.Rows))
	}
}
