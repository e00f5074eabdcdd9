package web

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
)

// buildBody is one build.
type buildBody struct {
	Job      *wire.Job
	Build    tasks.Build
	Spec     builder.Spec
	Steps    []buildStep
	Graph    graph
	Tests    tasks.BuildTests
	Failing  []failing
	Packages []tasks.Output
	Open     []string // environments that take it
	Ended    bool
}

// buildStep is a stage of a build: a step of its pipeline, or what stint does before and after them.
type buildStep struct {
	tasks.BuildStep
	State  string
	Worker string // that has it now
	Took   string
	HasLog bool
}

// failing is a test that failed, with its step.
type failing struct {
	Step string
	tasks.BuildFailure
}

func (b *buildPages) show(v *visit) (content, error) {
	id := v.PathValue("id")
	j, err := v.client.Job(v.ctx, id)
	if err != nil {
		return content{}, err
	}
	x, err := v.client.Build(sinceEnd(v.ctx, j), id)
	if err != nil {
		return content{}, err
	}
	body := buildBody{Job: j, Build: *x, Tests: testsOf(*x), Ended: j.State.Ended()}
	_ = json.Unmarshal(j.Spec, &body.Spec) // the form of a newer version is shown as far as it is known
	if body.Packages, err = v.client.Outputs(sinceEnd(v.ctx, j), id); err != nil {
		return content{}, err
	}
	now := time.Now()
	parts := make([]part, 0, len(j.Stages))
	for _, st := range j.Stages {
		s := stepOf(j, st, *x, now)
		body.Steps = append(body.Steps, s)
		parts = append(parts, part{Name: st.Name, State: s.State, Note: s.Took, After: st.After, Done: -1})
		if s.Tests != nil {
			for _, f := range s.Tests.Failures {
				body.Failing = append(body.Failing, failing{st.Name, f})
			}
		}
	}
	body.Graph = graphOf(parts)
	for _, g := range x.Gates {
		if g.State == tasks.GateOpen && j.State == tasks.Succeeded {
			body.Open = append(body.Open, g.Environment)
		}
	}
	title := "Build " + id
	if x.Version != "" {
		title = x.Product + " " + x.Version
	}
	return content{Title: title, Body: body}, nil
}

// stepOf puts together what the engine knows of a stage and what the build's records do.
func stepOf(j *wire.Job, st wire.Stage, x tasks.Build, now time.Time) buildStep {
	s := buildStep{BuildStep: tasks.BuildStep{Name: st.Name, Needs: st.After}}
	for _, r := range x.Steps {
		if r.Name == st.Name {
			s.BuildStep, s.HasLog = r, true
		}
	}
	queued := false
	for _, o := range j.Out {
		if o.Stage == st.Name {
			s.Worker, queued = o.Worker, o.Worker == ""
		}
	}
	known := s.BuildStep.State
	switch {
	case known == tasks.BuildPassed || known == tasks.BuildCached:
		s.State = known
	case s.Worker != "":
		s.State = "running"
	case st.State == "done":
		s.State = tasks.BuildPassed
	case st.Counters.StepsFailed > 0 || known == tasks.BuildFailed && j.State.Ended():
		s.State = tasks.BuildFailed
	case j.State.Ended():
		s.State = "not run"
	case known == tasks.BuildFailed:
		s.State = "to be tried again"
	case queued:
		s.State = "queued"
	default:
		s.State = "not yet"
	}
	if s.State == "not run" {
		s.HasLog = false
	}
	switch {
	case s.State == tasks.BuildCached || s.State == "not run" || s.State == "not yet":
	case s.Began != nil && s.Ended != nil && s.State != "running":
		s.Took = took(s.Began, s.Ended, now)
	case st.StartedAt != nil && (st.EndedAt != nil || !j.State.Ended()):
		s.Took = took(st.StartedAt, st.EndedAt, now)
	}
	return s
}

// refName is a ref as people say it.
func refName(ref string) string {
	for _, prefix := range []string{"refs/heads/", "refs/tags/", "refs/"} {
		if name, ok := strings.CutPrefix(ref, prefix); ok {
			return name
		}
	}
	return ref
}
