package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/signature"
)

// Options are what the families need of their process. Both functions may be called at the same time; what they return belongs to the
// process, which closes it.
type Options struct {
	// Open opens a connection, for reading alone or for writing too; the same one gives the same handle.
	Open func(ctx context.Context, connection string, readOnly bool) (*sqldb.DB, error)
	// Artifacts opens the store of artifacts, where analyses and archives are.
	Artifacts func() (artifact.Store, error)
	// Version is this build's, for the head of an analysis.
	Version string
}

// Families makes the three families.
func Families(o Options) []tasks.Family {
	s := &shared{o: o, open: map[string]*opening{}, counters: sync.Pool{New: func() any { return signature.NewCounter(0) }}, turns: map[string]chan struct{}{}}
	return []tasks.Family{&Family{s}, &Deletions{s}, &Restorations{s}}
}

// shared is what the families of a process have in common.
type shared struct {
	o        Options
	counters sync.Pool // of *signature.Counter: a table each

	mu    sync.Mutex
	open  map[string]*opening      // by connection, use and layout
	turns map[string]chan struct{} // one deletion at a time in this process, by address
	kept  struct {                 // the template rows of one analysis; nobody changes them
		job string
		set signature.Templates
	}
}

// opening is a store whose layout has been resolved.
type opening struct {
	once  sync.Once
	store *datasets.Store
	err   error
}

// store opens a store of data sets. To resolve a layout costs some queries, so it is done once for each.
func (s *shared) store(ctx context.Context, connection string, readOnly bool, layout datasets.Layout) (*datasets.Store, error) {
	db, err := s.o.Open(ctx, connection, readOnly)
	if err != nil {
		return nil, err
	}
	words, err := json.Marshal(layout)
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	key := fmt.Sprintf("%v %s %s", readOnly, connection, words)
	s.mu.Lock()
	o := s.open[key]
	if o == nil {
		if len(s.open) >= maxOpen {
			clear(s.open) // the handles are the process'; what is lost is what the layouts were resolved to
		}
		o = &opening{}
		s.open[key] = o
	}
	s.mu.Unlock()
	o.once.Do(func() { o.store, o.err = datasets.Open(ctx, db, layout) })
	if o.err != nil {
		s.mu.Lock()
		if s.open[key] == o {
			delete(s.open, key) // the next one tries again
		}
		s.mu.Unlock()
	}
	return o.store, o.err
}

// maxOpen is how many resolved layouts a process remembers.
const maxOpen = 64

// counter gives a counter for so many data sets; give it back with s.counters.Put.
func (s *shared) counter(sets int) *signature.Counter {
	c := s.counters.Get().(*signature.Counter)
	c.Reset(sets)
	return c
}

// Family analyses a store, and deletes what an analysis allows where its spec says so.
type Family struct{ *shared }

// Kind returns the family's word.
func (*Family) Kind() string { return Kind }

// The stages of the families.
const (
	stageSurvey    = "survey"    // lists the data sets
	stageTemplates = "templates" // finds the rows that the product ships
	stageCount     = "count"     // counts which GUIDs stand where, some customers a step
	stageDecide    = "decide"    // writes the analysis
	stageOrders    = "orders"    // says what goes, out of an analysis
	stageDelete    = "delete"    // deletes, a data set a step, a batch a transaction
	stageAccount   = "account"   // writes what was done
	stageExpire    = "expire"    // removes old archives
	stageRestore   = "restore"   // puts back, a data set a step
)

// Plan lists the stages.
func (f *Family) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	spec, err := specOf(job)
	if err != nil {
		return nil, err
	}
	names := []string{stageSurvey, stageTemplates, stageCount, stageDecide}
	if spec.Apply != nil {
		names = append(names, stageOrders, stageDelete, stageAccount)
	}
	if spec.KeepArchives != "" {
		names = append(names, stageExpire)
	}
	return inTurn(names), nil
}

// inTurn makes stages that follow one another.
func inTurn(names []string) []tasks.Stage {
	stages := make([]tasks.Stage, len(names))
	for i, name := range names {
		stages[i].Name = name
		if i > 0 {
			stages[i].After = names[i-1 : i]
		}
	}
	return stages
}

// Split lists the steps of a stage.
func (f *Family) Split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	switch stage.Name {
	case stageCount:
		return f.splitCount(ctx, job, after, limit)
	case stageDelete:
		return f.splitDeletion(ctx, job.ID, after, limit)
	}
	return []tasks.Step{{ID: stage.Name}}, nil, nil
}

// Run carries out a step.
func (f *Family) Run(ctx context.Context, a *tasks.Attempt) error {
	spec, err := specOf(a.Job)
	if err != nil {
		return err
	}
	ctx, stop := a.UntilDraining(ctx) // all of it but the commits of deletions may be cut off
	defer stop()
	switch a.Stage.Name {
	case stageSurvey:
		err = f.survey(ctx, a, spec)
	case stageTemplates:
		err = f.findTemplates(ctx, a, spec)
	case stageCount:
		err = f.count(ctx, a, spec)
	case stageDecide:
		err = f.decide(ctx, a, spec)
	case stageExpire:
		err = f.expire(ctx, a, spec)
	default:
		err = f.runDeletion(ctx, a, DeletionSpec{Job: a.Job.ID, Store: spec.Store, Apply: *spec.Apply})
	}
	return drainedOr(a, err)
}

// drainedOr returns ErrDrained for an error that is only the interruption by a drain.
func drainedOr(a *tasks.Attempt, err error) error {
	if err != nil && a.IsDraining() && !errors.Is(err, tasks.ErrStale) && !tasks.IsPermanent(err) {
		return tasks.ErrDrained
	}
	return err
}
