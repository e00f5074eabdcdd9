package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// account writes what was done: for each data set of the orders what became of it, by what the store itself remembers.
func (s *shared) account(ctx context.Context, a *tasks.Attempt, spec DeletionSpec) error {
	head, l, err := s.openOrders(ctx, a.Job.ID)
	if err != nil {
		return err
	}
	defer l.Close()
	store, err := s.store(ctx, spec.Store, false, head.Layout)
	if err != nil {
		return err
	}
	h := record.DeletionHeader{Job: a.Job.ID, Analysis: head.Analysis, Digest: head.Digest, At: head.At, Store: head.Address, Stint: s.o.Version, Limit: head.Limit,
		RecencyDays: head.Rules.Recency.Hours() / 24}
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	var done tasks.Counters
	err = s.putFirst(ctx, keyOf(a.Job.ID, fileDeletions), func(dst io.Writer) error {
		w := record.NewDeletionWriter(dst, h)
		for n := 0; ; n++ {
			var o order
			if err := l.next(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			d, err := s.became(ctx, a.Job.ID, store, fmt.Sprintf("%08d", n), o)
			if err != nil {
				return err
			}
			if err := w.Add(d); err != nil {
				return err
			}
			done.Read, done.Written, done.Bytes = done.Read+1, done.Written+d.Rows, done.Bytes+d.Bytes
			a.Count(done)
		}
		_, err := w.Close(now.UTC())
		return err
	})
	if err != nil {
		return fmt.Errorf("write the deletions: %w", err)
	}
	return s.summarizeDeletion(ctx, a.Job.ID)
}

// became says what became of a data set.
func (s *shared) became(ctx context.Context, job string, store *datasets.Store, step string, o order) (record.Deletion, error) {
	d := record.Deletion{Customer: o.Customer, Database: o.Database, Witness: o.Witness, OnlyHere: o.OnlyHere}
	if o.OverLimit {
		d.Outcome = record.OverLimit
		return d, nil
	}
	noted, err := s.noted(ctx, job, step)
	if err != nil {
		return d, err
	}
	if noted == nil {
		d.Outcome, d.Why = record.NotReached, "the job ended before its turn"
	} else {
		d.Outcome, d.Why = noted.Outcome, noted.Why
		d.Started, d.Ended = &noted.Since, &noted.Until
	}
	p, err := store.Progress(ctx, job, o.ID)
	if err != nil || p.State == datasets.None {
		return d, err
	}
	d.Started = &p.Since
	if d.Outcome == record.NotReached {
		d.Outcome, d.Why = record.Unfinished, "the job ended in the midst of it: retry the job to go on, or undo it"
	}
	if d.Outcome == record.Stopped {
		return d, nil // what was gone is there again
	}
	d.Tables = map[string]int64{}
	for _, part := range p.Parts {
		d.Rows += part.Rows
		d.Bytes += part.Bytes
		d.Tables[part.Table] += part.Rows
	}
	if n := len(p.Parts); n > 0 {
		prefix := p.Parts[0].Key[:strings.LastIndexByte(p.Parts[0].Key, '/')+1]
		d.Archive = record.ArchiveOf(prefix, p.Parts)
		ended := p.Parts[n-1].At
		d.Ended = &ended
	}
	return d, nil
}

// noted reads what became of the data set of a step; nil when nothing has been noted.
func (s *shared) noted(ctx context.Context, job, step string) (*outcome, error) {
	store, err := s.o.Artifacts()
	if err != nil {
		return nil, err
	}
	body, _, err := store.Get(ctx, doneKey(job, step), 0)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var o outcome
	if err := json.NewDecoder(body).Decode(&o); err != nil {
		return nil, fmt.Errorf("read what became of step %s: %w", step, err)
	}
	return &o, nil
}

// summarizeDeletion writes what a person reads of it.
func (s *shared) summarizeDeletion(ctx context.Context, job string) error {
	store, err := s.o.Artifacts()
	if err != nil {
		return err
	}
	body, _, err := store.Get(ctx, keyOf(job, fileDeletions), 0)
	if err != nil {
		return err
	}
	defer body.Close()
	r, err := record.NewDeletionReader(body)
	if err != nil {
		return permanently(err)
	}
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return permanently(err)
		}
	}
	return s.putFirst(ctx, keyOf(job, fileDeleted), func(w io.Writer) error { return record.DeletionSummary(w, r.Header, *r.End()) })
}

// outcome is what became of a data set: one small file each, written once, when nothing more can happen to it.
type outcome struct {
	Outcome record.Outcome `json:"outcome"`
	Why     string         `json:"why,omitempty"`
	Since   time.Time      `json:"since"`
	Until   time.Time      `json:"until"`
}

func doneKey(job, step string) string { return keyOf(job, folderDone+"/"+step+".json") }
