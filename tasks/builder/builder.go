// Package builder is the family of builds: a product's repository becomes packages with a version, by the steps of its pipeline file.
//
//	checkout ─▶ STEP ─▶ STEP ─▶ … ─▶ package ─▶ publish ─▶ tag
//	    │        ▲ │     ▲ │               ▲ │
//	    ▼        │ ▼     │ ▼               │ ▼
//	   files ────┘ files─┘ files ──────────┘ packages          in the store of artifacts: nothing stays on an agent
//
// Each box is one step of the engine, and runs whole on one agent. It starts with the files that the boxes before it have left, which
// are named by their content, and when it has ended its own are kept in the same way. So an agent can be drained, replaced or killed at
// any moment: the box that it was in starts again from its clean files, somewhere, and those that have ended are never run again.
//
// What has been found out once, such as the commit behind a branch, the number and the version, stands in the build's start record,
// which is written once, before anything else.
package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/publish"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/sandbox"
	"github.com/stint-run/stint/tasks/builder/snapshot"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// Kind is the word by which jobs name this family.
const Kind = "build"

// The stages that are not steps of a pipeline.
const (
	stageCheckout = "checkout"
	stagePackage  = "package"
	stagePublish  = "publish"
	stageTag      = "tag"
)

// Agent is a living worker, as the fleet knows it.
type Agent struct {
	ID     string
	Labels map[string]string
}

// Options are what the family needs of its process. The functions may be called at the same time.
type Options struct {
	// Dir is this machine's folder for workspaces, mirrors and caches; several processes may share it.
	Dir string
	// Artifacts opens the store of artifacts. What it returns belongs to the process, which closes it.
	Artifacts func() (artifact.Store, error)
	// Fleet: this process belongs to a fleet, and its builds get numbers. Without it they are local builds.
	Fleet bool
	// Labels are this agent's: what steps require.
	Labels map[string]string
	// Agents lists the living workers.
	Agents func(ctx context.Context) ([]Agent, error)
	// Number gives a build its number: the same build the same one, at least so high.
	Number func(ctx context.Context, product, build string, least int64) (int64, error)
	// Claim takes, keeps (again) or gives back (0) what one attempt at a time may do, and returns who has it.
	Claim        func(ctx context.Context, name, who string, d time.Duration) (holder string, err error)
	Repositories *repository.Repositories
	Tools        *tools.Store
	// Environment is what every command gets of the machine: PATH at least.
	Environment map[string]string
	// Secret returns a secret of the configuration.
	Secret func(name string) (string, bool)
	// Target returns a place where packages are published.
	Target func(name string) (publish.Target, error)
	// Environments are where builds are promoted to; nil is nowhere.
	Environments *publish.EnvironmentsOptions
	// Signer signs checksums and provenance; nil signs nothing.
	Signer *pack.Signer
	// Limits are those of steps that say nothing of their own, and the most that one may ask for.
	Limits sandbox.Limits
	// Log is how many bytes of a step's log are kept; 0 is the default.
	Log int64
	// Logger takes what those who run the process should know; nil is slog's default.
	Logger *slog.Logger
	// Version is this build of stint.
	Version string
}

// Family carries out builds.
type Family struct{ o Options }

// New makes the family.
func New(o Options) *Family {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Family{o}
}

// Kind returns the family's word.
func (*Family) Kind() string { return Kind }

// Check says what is wrong with a spec.
func (f *Family) Check(spec json.RawMessage) error {
	s, err := parseSpec(spec)
	if err != nil {
		return err
	}
	if f.o.Fleet && s.Local != nil {
		return errLocal
	}
	return s.check(f.o.Repositories)
}

// errLocal: the files of a working copy are named by what is in them, and whoever knows the name of somebody else's could have them built.
var errLocal = tasks.WithHint(nil, "push it and build the commit, or run stint build run without a server", "a fleet builds repositories, and no files of a working copy")

// Connections lists none: what a build may reach is configured for its agents.
func (*Family) Connections(json.RawMessage) ([]string, error) { return nil, nil }

// Plan lists the stages of a build's pipeline. It finds out what the build is of, and writes it down, once.
func (f *Family) Plan(ctx context.Context, job tasks.Job) ([]tasks.Stage, error) {
	b, err := f.begin(ctx, job)
	if err != nil {
		return nil, err
	}
	stages := []tasks.Stage{{Name: stageCheckout}}
	for _, st := range b.pipeline.Stages() {
		after := []string{stageCheckout}
		if len(st.Needs) > 0 {
			after = st.Needs
		}
		stages = append(stages, tasks.Stage{Name: st.Name, After: after})
	}
	last := b.pipeline.Last()
	for _, name := range b.after() {
		stages = append(stages, tasks.Stage{Name: name, After: last})
		last = []string{name}
	}
	return stages, nil
}

// Split lists the one step of a stage.
func (*Family) Split(_ context.Context, _ tasks.Job, stage tasks.Stage, _ tasks.Cursor, _ int) ([]tasks.Step, tasks.Cursor, error) {
	return []tasks.Step{{ID: stage.Name}}, nil, nil
}

// Run carries out a step of a build. One that is to come back is cut off, and starts again from its clean files.
func (f *Family) Run(ctx context.Context, a *tasks.Attempt) error {
	ctx, stop := a.UntilDraining(ctx)
	defer stop()
	err := f.run(ctx, a)
	if err != nil && a.IsDraining() && !errors.Is(err, tasks.ErrStale) && !tasks.IsPermanent(err) {
		return tasks.ErrDrained
	}
	return err
}

func (f *Family) run(ctx context.Context, a *tasks.Attempt) error {
	b, err := f.begin(ctx, a.Job)
	if err != nil {
		return err
	}
	switch a.Stage.Name {
	case stageCheckout:
		return b.checkout(ctx, a)
	case stagePackage:
		return b.pack(ctx, a)
	case stagePublish:
		return b.publish(ctx, a)
	case stageTag:
		return b.tag(ctx, a)
	}
	if st := b.pipeline.Step(a.Stage.Name); st != nil {
		s := &step{build: b, a: a, Step: st}
		return s.run(ctx)
	}
	return tasks.Permanent(fmt.Errorf("the pipeline of build %s has no step %q", a.Job.ID, a.Stage.Name))
}

// build is one build as this process sees it.
type build struct {
	f        *Family
	job      string
	tenant   string
	spec     Spec
	start    start
	pipeline *pipeline.Pipeline
	files    artifact.Store
	trees    *snapshot.Store
}

// after lists the stages that follow the steps.
func (b *build) after() (names []string) {
	p := b.pipeline
	if len(p.Packages) > 0 {
		names = append(names, stagePackage)
	}
	if b.spec.Local == nil && len(b.publications()) > 0 {
		names = append(names, stagePublish)
	}
	if b.tagName() != "" {
		names = append(names, stageTag)
	}
	return names
}
