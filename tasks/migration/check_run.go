package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// planChecks turns the plan of a verification into stages.
func (f *Verifier) planChecks(ctx context.Context, job tasks.Job, spec VerifySpec, src, state *sqldb.DB) ([]tasks.Stage, error) {
	to, err := f.dbs.locate(spec.Target)
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	dialect, dst := sqldb.Records, (*sqldb.DB)(nil)
	if to.IsDatabase() {
		dialect, dst = to.Dialect, state
	}
	d, err := draftPlan(ctx, spec.Plan, src, dst, dialect, spec.Job)
	var problems plan.Problems
	if errors.As(err, &problems) {
		return nil, tasks.Permanent(tasks.WithHint(nil, "verify by the plan that the migration had", "the plan does not fit: %s", problems))
	}
	if err != nil {
		return nil, err
	}
	for i := range d.stages {
		t := &d.stages[i].detail.Target
		if d.plan.Stages[i].To.Table == "" {
			continue
		}
		if there, err := sqldb.HasTable(ctx, dst, t); err != nil {
			return nil, err
		} else if !there {
			return nil, tasks.Permanent(tasks.WithHint(nil, "migrate it first", "the target has no table %s", t.FullName()))
		}
	}
	b := &stageList{}
	_, err = d.checkStages(b, stageRows, nil, spec.Rows, spec.Repair)
	return b.stages, errors.Join(err, b.err)
}

// checking says for whom a verification compares.
func (s *VerifySpec) checking(job tasks.Job) checking {
	m := s.migration()
	return checking{of: job, job: s.Job, migrated: &m, writable: s.Repair != "", repair: s.Repair}
}

func (f *Verifier) splitChecks(ctx context.Context, job tasks.Job, spec VerifySpec, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	c, err := f.plans.checkOf(ctx, spec.checking(job), stage)
	if err != nil {
		return nil, nil, err
	}
	return c.split(ctx, job, stage, after, limit)
}

// runCheck compares a chunk of what a plan has made, and mends it if it is to.
func (f *Verifier) runCheck(ctx, reading context.Context, a *tasks.Attempt, spec VerifySpec) error {
	c, err := f.plans.checkOf(reading, spec.checking(a.Job), a.Stage)
	if err != nil {
		return err
	}
	if spec.Repair != "" {
		return c.mend(ctx, reading, f.plans, a)
	}
	n := &named{a: a}
	chunk, err := chunkOf(a)
	if err != nil {
		return err
	}
	r, err := c.compare(reading, f.plans, a.Stage, chunk, n.tell)
	if err != nil {
		return err
	}
	c.report(a, r)
	return nil
}

// named tells the first differences of a step.
type named struct {
	a *tasks.Attempt
	n int
}

func (n *named) tell(f tasks.Finding, _ sqldb.Difference) bool {
	if n.n++; n.n <= maxDifferences {
		n.a.Report(f)
	}
	return n.n < maxDifferences
}

// report says what a step has compared, and what not. The counters of a migration are of what it has moved, and stay as they are.
func (c *check) report(a *tasks.Attempt, r sqldb.CompareResult) {
	subject := a.Stage.Name
	if c.stage != nil {
		subject = c.stage.Name
	}
	if r.Stopped {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: subject, Message: fmt.Sprintf("more than %d differences in one chunk; the rest of it was not compared", maxDifferences)})
	}
	if a.Step.ID == "0" {
		for _, n := range c.detail.Notes {
			a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: subject, Message: n})
		}
	}
	if c.stage != nil && c.stage.To.HTTP != nil {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: subject, Message: fmt.Sprintf("the API has confirmed %d of %d records", r.Equal, r.SourceRows-r.Quarantined-r.Skipped)})
	}
	if a.Job.Kind == VerifyKind {
		a.Count(tasks.Counters{Read: r.SourceRows, Written: r.Equal, Quarantined: r.Quarantined, Skipped: r.Skipped + r.Merged})
	}
}

func chunkOf(a *tasks.Attempt) (sqldb.Chunk, error) {
	var chunk sqldb.Chunk
	if err := json.Unmarshal(a.Step.Body, &chunk); err != nil {
		return chunk, tasks.Permanent(fmt.Errorf("read chunk: %w", err))
	}
	return chunk, nil
}
