package migration

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Stages by which a migration by a plan verifies itself.
const (
	stageVerify   = "verify:"  // compares the rows of a stage, chunk by chunk
	stageVerified = "verified" // ends the migration: as failed when anything differs
)

// isCheck reports whether a stage of a migration compares.
func isCheck(stage string) bool {
	return strings.HasPrefix(stage, stageVerify) || strings.HasPrefix(stage, stageExtras) || stage == stageVerified
}

// addChecks adds the stages by which the migration verifies itself.
func (d *drafted) addChecks(b *stageList) error {
	if d.live { // the last round of catching up is followed by a comparison of its own
		return nil
	}
	first := len(b.stages)
	names, err := d.checkStages(b, stageVerify, []string{stageForeignKeys}, d.plan.Verify.Rows, "")
	if err != nil || len(names) == 0 {
		return err
	}
	b.add(stageVerified, names, checkDetail{Of: slices.Clone(b.stages[first:])}, 0)
	return nil
}

// checkingItself says for whom a migration compares.
func checkingItself(job tasks.Job, spec *Spec) checking {
	return checking{of: job, job: job.ID, migrated: spec, writable: true}
}

func (f *Family) splitCheck(ctx context.Context, job tasks.Job, spec Spec, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	c, err := f.checkOf(ctx, checkingItself(job, &spec), stage)
	if err != nil {
		return nil, nil, err
	}
	return c.split(ctx, job, stage, after, limit)
}

// runCheck compares a chunk, and keeps in the ledger whether it differs.
func (f *Family) runCheck(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	reading, cancel := a.UntilDraining(ctx)
	defer cancel()
	c, err := f.checkOf(reading, checkingItself(a.Job, &spec), a.Stage)
	if err != nil {
		return unlessDraining(a, err)
	}
	if a.Stage.Name == stageVerified {
		return unlessDraining(a, f.judge(ctx, reading, a, c))
	}
	chunk, err := chunkOf(a)
	if err != nil {
		return err
	}
	n := &named{a: a}
	r, err := c.compare(reading, f, a.Stage, chunk, n.tell)
	if err != nil {
		return unlessDraining(a, err)
	}
	c.report(a, r)
	return sqldb.KeepVerdict(ctx, c.dst, verdictOf(a, a.Stage.Name, a.Step.ID), chunk, r, n.n > 0)
}

func verdictOf(a *tasks.Attempt, stage, step string) sqldb.LoaderOptions {
	return sqldb.LoaderOptions{Job: a.Job.ID, Stage: stage, Step: step, Worker: a.Worker, Attempt: a.ID}
}

// judge compares again what differed: what was only being changed, or has been mended since, does not count. What still differs makes
// the migration fail.
func (f *Family) judge(ctx, reading context.Context, a *tasks.Attempt, c *check) error {
	names := make([]string, len(c.detail.Of))
	for i, s := range c.detail.Of {
		names[i] = s.Name
	}
	all, err := sqldb.Different(reading, c.dst, a.Job.ID, names)
	if err != nil {
		return err
	}
	left := 0
	first := ""
	for _, v := range all {
		stage := c.detail.Of[slices.Index(names, v.Stage)]
		part, err := f.checkOf(reading, c.checking, stage)
		if err != nil {
			return err
		}
		n := 0
		r, err := part.compare(reading, f, stage, v.Chunk, func(found tasks.Finding, _ sqldb.Difference) bool {
			if n++; first == "" {
				first = words(found)
			}
			return n < maxDifferences
		})
		if err != nil {
			return err
		}
		if left += n; n > 0 {
			continue
		}
		if err := sqldb.KeepVerdict(ctx, c.dst, verdictOf(a, v.Stage, v.Step), v.Chunk, r, false); err != nil {
			return err
		}
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: v.Stage, Message: "step " + v.Step + " differed, was compared again, and is equal now"})
	}
	if left == 0 {
		return nil
	}
	return tasks.Permanent(tasks.WithHint(nil, fmt.Sprintf("stint jobs report %s lists them; stint verify %s --repair mends them, and stint jobs retry %s then looks at them again", a.Job.ID, a.Job.ID, a.Job.ID),
		"source and target differ: %d or more differences, the first: %s", left, first))
}

// words puts a finding on one line.
func words(f tasks.Finding) string {
	s := f.Subject + " " + f.Key
	if f.Field != "" {
		s += " " + f.Field
	}
	return strings.TrimSpace(s) + ": " + f.Message
}
