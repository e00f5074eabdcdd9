package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// note writes what became of the data set.
func (d *deleting) note(ctx context.Context, o outcome) error {
	o.Since, o.Until = d.since, time.Now().UTC()
	return d.putFirst(ctx, doneKey(d.a.Job.ID, d.a.Step.ID), func(w io.Writer) error { return json.NewEncoder(w).Encode(o) })
}

func (d *deleting) isNoted(ctx context.Context) (bool, error) {
	store, err := d.shared.o.Artifacts()
	if err != nil {
		return false, err
	}
	_, err = store.Stat(ctx, doneKey(d.a.Job.ID, d.a.Step.ID))
	if errors.Is(err, artifact.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// failed decides what an error means: one that no retry can help concerns this data set alone, and the others go on.
func (d *deleting) failed(ctx context.Context, err error) error {
	if !tasks.IsPermanent(err) {
		return err
	}
	why := err.Error() + hintAfter(err)
	d.a.Report(tasks.Finding{Level: tasks.LevelDifference, Subject: d.victim.String(), Message: why})
	return d.note(ctx, outcome{Outcome: record.Failed, Why: why})
}

// finish ends the deletion of a data set that is gone.
func (d *deleting) finish(ctx context.Context) error {
	files, err := d.shared.o.Artifacts()
	if err != nil {
		return err
	}
	if _, err := d.store.SweepOrphans(ctx, d.a.Job.ID, d.victim, files, archiveOf(d.a.Job.ID)); err != nil {
		return err
	}
	return d.note(ctx, outcome{Outcome: record.Deleted})
}

// putBack undoes what has been deleted of a data set that somebody writes to.
func (d *deleting) putBack(ctx context.Context, why string) error {
	left, err := d.restore(ctx, d.a, d.store, d.a.Job.ID, d.victim, true)
	if err != nil {
		return d.failed(ctx, err)
	}
	if left > 0 {
		why += fmt.Sprintf("; %d rows had been written again by then and stay as they are", left)
	}
	return d.note(ctx, outcome{Outcome: record.Stopped, Why: why})
}

// countOf takes what earlier attempts have deleted into the counters.
func (d *deleting) countOf(p datasets.Progress) {
	var c tasks.Counters
	for _, part := range p.Parts {
		c.Read, c.Written, c.Bytes = c.Read+part.Rows, c.Written+part.Rows, c.Bytes+part.Bytes
	}
	d.a.Count(c)
}

// wait waits for the turn of this deletion: in one process one data set of a store goes at a time, so that the pace that was asked for
// is that of all of them. Whoever has waited a while gives its place to other work, and comes back. Call done when it is over.
func (d *deleting) wait(ctx context.Context) (done func(), err error) {
	key := d.head.Address
	d.mu.Lock()
	turn := d.turns[key]
	if turn == nil {
		turn = make(chan struct{}, 1)
		d.turns[key] = turn
	}
	d.mu.Unlock()
	patience := time.NewTimer(turnPatience)
	defer patience.Stop()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-patience.C:
		return nil, tasks.RetryAfter(errors.New("another data set of this store is being deleted"), turnPatience)
	case <-d.a.Draining:
		return nil, tasks.ErrDrained
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// turnPatience is how long a step waits for its turn, and how long it is away when it has waited in vain.
const turnPatience = time.Second

// archiveOf returns what the keys of a job's archive begin with.
func archiveOf(job string) string { return keyOf(job, folderArchive) + "/" }
