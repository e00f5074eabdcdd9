package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// mostRounds is how many rounds a cutover tries before it says that the source is not quiet.
const mostRounds = 5

func (c *command) cutover() *cobra.Command {
	fast := false
	overlap := migration.DefaultOverlap
	cmd := &cobra.Command{
		Use:   "cutover JOB",
		Short: "Bring over the last changes of a source that is quiet, and compare",
		Long: `Ends a migration that was started with stint migrate --catch-up. See first that nobody writes into the source any more. It brings over
what is left, in rounds that compare every row, until one finds nothing: then the target is on its own, and no later round can
write into it. Then source and target are compared row by row.

Ends with 0 when they are equal, and with 1 when they differ, or when the source is still written to: then nothing has ended, and
the command may be given again.`,
		Example: "  stint cutover mig-4f0h2n\n  stint cutover mig-4f0h2n --trust-changed",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			s, err := c.connect(cmd)
			if err != nil {
				return err
			}
			defer c.leave(s, &err)
			r, err := c.roundsOf(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			r.fast, r.overlap = fast, overlap
			if s.app != nil {
				if err := engine(cmd.Context(), s.app); err != nil {
					return err
				}
			}
			return c.interrupted(s, r.cut(cmd.Context()))
		},
		ValidArgsFunction: c.complete(1, jobIDs),
	}
	f := cmd.Flags()
	f.BoolVar(&fast, "trust-changed", false, "where the plan names from.changed, go by that column instead of comparing every row")
	f.DurationVar(&overlap, "overlap", migration.DefaultOverlap, "with --trust-changed: the longest that a transaction of the source takes")
	f.Int("concurrency", 0, "steps that this process runs at once")
	return cmd
}

// roundsOf finds the migration that a cutover is to end.
func (c *command) roundsOf(ctx context.Context, s *session, id string) (*rounds, error) {
	job, err := s.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	var spec migration.Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil || job.Kind != migration.Kind || !spec.KeepRows {
		return nil, usage(tasks.WithHint(err, "give the id of a migration that was started with stint migrate --catch-up", "job %s does not catch up", id))
	}
	if job.State != tasks.Succeeded {
		return nil, tasks.WithHint(nil, "wait for its end; stint jobs watch "+id+" shows it", "the first pass of job %s is %s", id, job.State)
	}
	return &rounds{c: c, s: s, first: job, overlap: migration.DefaultOverlap, answer: caughtUp{Job: id}}, nil
}

// cut brings what is left, until a round finds nothing, and compares.
func (r *rounds) cut(ctx context.Context) error {
	over, err := r.cutOver(ctx)
	for n := 0; err == nil && !over; n++ {
		if n == mostRounds {
			return tasks.WithHint(nil, "see that nobody writes into it, then give the same command again; stint jobs report has what a round has found",
				"%d rounds have not found the source quiet", n)
		}
		if _, _, err = r.round(ctx, func(s *migration.CatchUpSpec) { s.CutOver, s.Full = true, !r.fast }); err == nil {
			over, err = r.cutOver(ctx)
		}
	}
	if err != nil {
		return err
	}
	r.answer.CutOver = true
	if err := r.verify(ctx); err != nil {
		return err
	}
	return r.print()
}

// verify compares source and target.
func (r *rounds) verify(ctx context.Context) error {
	p := &proof{}
	spec, err := p.ofJob(ctx, r.s, r.first.ID)
	if err != nil {
		return err
	}
	var first migration.Spec
	if err := json.Unmarshal(r.first.Spec, &first); err != nil {
		return err
	}
	if tables, ok := asTheyAre(first.Plan); ok {
		spec.Plan, spec.Tables = nil, tables
	}
	r.c.say("comparing every row")
	r.answer.Verified, err = r.c.verifyAs(ctx, r.s, spec, p.tenant)
	return err
}

// asTheyAre returns the tables of a plan that moves tables as they are; false when it does anything else.
func asTheyAre(p *plan.Plan) (tables []string, ok bool) {
	for _, s := range p.Stages {
		if s.From.Table == "" || s.From.Table != s.To.Table || s.From.Where != "" || s.Filter != "" || s.Each != "" {
			return nil, false
		}
		for _, a := range s.Map {
			if a.Expr != expression.Name(a.Column) {
				return nil, false
			}
		}
		tables = append(tables, s.From.Table)
	}
	return tables, true
}
