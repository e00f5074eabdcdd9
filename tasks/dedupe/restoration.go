package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
)

// Restorations puts back what a deletion took.
type Restorations struct{ *shared }

// Kind returns the family's word.
func (*Restorations) Kind() string { return KindRestoration }

// Plan lists the one stage.
func (r *Restorations) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	if _, err := restorationSpecOf(job); err != nil {
		return nil, err
	}
	return inTurn([]string{stageRestore}), nil
}

func restorationSpecOf(job tasks.Job) (RestorationSpec, error) {
	var spec RestorationSpec
	if err := json.Unmarshal(job.Spec, &spec); err != nil {
		return spec, tasks.Permanent(fmt.Errorf("read the spec of %s: %w", job.ID, err))
	}
	return spec, nil
}

// Split makes a step of each data set that the deletion was to delete, in its order, or of each that is asked for.
func (r *Restorations) Split(ctx context.Context, job tasks.Job, _ tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	spec, err := restorationSpecOf(job)
	if err != nil {
		return nil, nil, err
	}
	var skip int
	if after != nil {
		if err := json.Unmarshal(after, &skip); err != nil {
			return nil, nil, tasks.Permanent(fmt.Errorf("read cursor: %w", err))
		}
	}
	_, l, err := r.openOrders(ctx, spec.Job)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil, tasks.Permanent(tasks.WithHint(err, "name the job that deleted: `stint dedupe list` has them", "%s has deleted nothing", spec.Job))
	}
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	var steps []tasks.Step
	for n := 0; ; n++ {
		var o order
		switch err := l.next(&o); {
		case errors.Is(err, io.EOF) || err == nil && o.OverLimit:
			return steps, nil, nil
		case err != nil:
			return nil, nil, err
		case n < skip || len(spec.Sets) > 0 && !slices.Contains(spec.Sets, o.ID):
			continue
		case len(steps) == limit:
			return steps, tasks.Cursor(fmt.Append(nil, n)), nil
		}
		body, err := json.Marshal(o.ID)
		if err != nil {
			return nil, nil, tasks.Permanent(err)
		}
		steps = append(steps, tasks.Step{ID: fmt.Sprintf("%08d", n), Body: body})
	}
}

// Run puts one data set back.
func (r *Restorations) Run(ctx context.Context, a *tasks.Attempt) error {
	spec, err := restorationSpecOf(a.Job)
	if err != nil {
		return err
	}
	var id datasets.ID
	if err := json.Unmarshal(a.Step.Body, &id); err != nil {
		return tasks.Permanent(fmt.Errorf("read step: %w", err))
	}
	head, err := r.orderHead(ctx, spec.Job)
	if err != nil {
		return err
	}
	store, err := r.store(ctx, spec.Store, false, head.Layout)
	if err != nil {
		return err
	}
	if got := store.Address(); got != head.Address {
		return tasks.Permanent(tasks.WithHint(nil, "name the store that it was deleted from", "%s was deleted from %s, and this is %s", id, head.Address, got))
	}
	_, err = r.restore(ctx, a, store, spec.Job, id, false)
	if tasks.IsPermanent(err) { // the others go on
		a.Report(tasks.Finding{Level: tasks.LevelDifference, Subject: id.String(), Message: err.Error() + hintAfter(err)})
		return nil
	}
	return drainedOr(a, err)
}

func hintAfter(err error) string {
	if hint := tasks.HintOf(err); hint != "" {
		return "; " + hint
	}
	return ""
}

// restore puts the parts of a data set back, in the reverse of the order in which they went: what others refer to first. Each part is
// one transaction of the store, which remembers it. With missingOnly, rows that are there again stay as they are, and are counted.
func (s *shared) restore(ctx context.Context, a *tasks.Attempt, store *datasets.Store, job string, id datasets.ID, missingOnly bool) (left int64, err error) {
	files, err := s.o.Artifacts()
	if err != nil {
		return 0, err
	}
	p, err := store.Progress(ctx, job, id)
	if err != nil {
		return 0, err
	}
	if p.State == datasets.Held { // the job was cancelled, or failed, in the midst of it
		if err := store.Release(ctx, job, id, "it is put back"); err != nil {
			return 0, err
		}
	}
	var done tasks.Counters
	for i := len(p.Parts) - 1; i >= 0; i-- {
		if a.IsDraining() {
			return left, tasks.ErrDrained
		}
		part := p.Parts[i]
		restored, there, err := store.RestorePart(ctx, job, id, part.Number, datasets.RestoreOptions{Artifacts: files, MissingOnly: missingOnly})
		if errors.Is(err, artifact.ErrNotFound) {
			err = tasks.Permanent(tasks.WithHint(err, "archives are kept as long as keep_archives says; ask for a copy of the artifact store", "the archive of %s is no longer there, so it cannot be put back", id))
		}
		if err != nil {
			return left, err
		}
		left += there
		if !missingOnly {
			done.Read, done.Written, done.Bytes = done.Read+part.Rows, done.Written+restored, done.Bytes+part.Bytes
			a.Count(done)
		}
	}
	return left, nil
}
