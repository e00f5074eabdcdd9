package builder

import (
	"context"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/junit"
	"github.com/stint-run/stint/tasks/builder/publish"
)

// Bounds of what is shown of tests.
const (
	shownFailures = 50
	shownText     = 4000 // characters
)

// Build says what a build is of, and what has become of its steps.
func (f *Family) Build(ctx context.Context, job tasks.Job) (tasks.Build, error) {
	out := tasks.Build{Steps: []tasks.BuildStep{}, Gates: []tasks.BuildGate{}}
	b, begun, err := f.open(ctx, job)
	if err != nil {
		return out, err
	}
	out.Repository, out.Ref, out.Commit = b.spec.Repository, b.spec.Ref, b.spec.Commit
	if !begun {
		return out, nil
	}
	v := b.start.Version
	out.Product, out.Version, out.File, out.Channel, out.Why, out.Number = b.pipeline.Name, v.Version, v.File, string(v.Channel), v.Why, b.start.Number
	out.Ref, out.Commit = b.start.Commit.Ref, b.start.Commit.SHA
	for i := range b.pipeline.Steps {
		s, err := b.showStep(ctx, b.pipeline.Steps[i].Name)
		if err != nil {
			return out, err
		}
		s.Needs = b.pipeline.Steps[i].Needs
		out.Steps = append(out.Steps, s)
	}
	out.Gates, err = b.gates(ctx)
	return out, err
}

// showStep is a step of the pipeline with its result, or how its last attempt failed.
func (b *build) showStep(ctx context.Context, name string) (tasks.BuildStep, error) {
	s := tasks.BuildStep{Name: name, State: tasks.BuildPending}
	r, err := b.result(ctx, name)
	if err != nil {
		return s, err
	}
	switch {
	case r == nil:
		var bad failure
		found, err := getJSON(ctx, b.files, b.failureKey(name), &bad)
		if err != nil || !found {
			return s, err
		}
		s.State, s.Error, r = tasks.BuildFailed, bad.Error, &bad.Result
	case r.Reused != "":
		s.State, s.Reused = tasks.BuildCached, r.Reused
	default:
		s.State = tasks.BuildPassed
	}
	s.Agent, s.Changed = r.Agent, int64(r.Stats.NewFiles)
	if !r.Began.IsZero() {
		s.Began = &r.Began
	}
	if !r.Ended.IsZero() {
		s.Ended = &r.Ended
	}
	if r.Tests != nil {
		s.Tests = showTests(r.Tests)
	}
	return s, nil
}

func showTests(r *junit.Report) *tasks.BuildTests {
	failed := r.Failed + r.Errors
	t := &tasks.BuildTests{Tests: r.Tests, Passed: r.Tests - failed - r.Skipped, Failed: failed, Skipped: r.Skipped, Incomplete: r.Incomplete}
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			if c.Flaky {
				t.Flaky++
			}
			if (c.Outcome == junit.Failed || c.Outcome == junit.Errored) && len(t.Failures) < shownFailures {
				t.Failures = append(t.Failures, tasks.BuildFailure{Name: strings.TrimPrefix(c.Class+"."+c.Name, "."), Message: cut(c.Message), Text: cut(c.Text)})
			}
		}
	}
	return t
}

// cut keeps the beginning of a text.
func cut(text string) string {
	if len(text) <= shownText {
		return text
	}
	return strings.ToValidUTF8(text[:shownText], "") + "…"
}

// gates says of each environment whether it takes the build; nothing as long as there is nothing to take.
func (b *build) gates(ctx context.Context) ([]tasks.BuildGate, error) {
	list := []tasks.BuildGate{}
	if b.f.o.Environments == nil || b.spec.Local != nil {
		return list, nil
	}
	made, err := b.packages(ctx)
	if err != nil || made == nil {
		return list, err
	}
	all, err := publish.NewEnvironments(b.files, *b.f.o.Environments).Look(ctx, b.product(b.pipeline.Name), b.start.Version.Version)
	if err != nil {
		return list, err
	}
	for _, g := range all {
		x := tasks.BuildGate{Environment: g.Environment, Stands: g.Stands, State: tasks.GateOpen}
		switch {
		case g.Here:
			x.State = tasks.GateHere
		case g.Shut != nil:
			x.State, x.Why, x.Hint = tasks.GateShut, strings.TrimSuffix(g.Shut.Error(), ": "+publish.ErrGate.Error()), tasks.HintOf(g.Shut)
		}
		list = append(list, x)
	}
	return list, nil
}
