package dedupe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// order reads an analysis, refuses one that is not to be carried out, and writes what goes: the limit is kept here, before the first
// row is touched, and there are as many steps as orders.
func (s *shared) order(ctx context.Context, a *tasks.Attempt, spec DeletionSpec) error {
	files, err := s.o.Artifacts()
	if err != nil {
		return err
	}
	body, _, err := files.Get(ctx, keyOf(spec.Job, fileAnalysis), 0)
	if errors.Is(err, artifact.ErrNotFound) {
		return tasks.Permanent(tasks.WithHint(err, "analyse first: `stint dedupe analyze`", "there is no analysis of job %s", spec.Job))
	}
	if err != nil {
		return err
	}
	defer body.Close()
	r, err := record.NewReader(body)
	if err != nil {
		return permanently(err)
	}
	first, over, err := record.Orders(r, spec.Apply.Limit)
	if err != nil {
		return permanently(err)
	}
	head := orderHead{Analysis: spec.Job, Digest: r.Digest(), Address: r.Header.Store, Layout: r.Header.Layout, Rules: r.Header.Rules, Limit: spec.Apply.Limit}
	if err := s.allowed(ctx, &head, r, spec); err != nil {
		return err
	}
	err = s.putLines(ctx, keyOf(a.Job.ID, fileOrders), func(line func(any) error) error {
		if err := line(head); err != nil {
			return err
		}
		for i, o := range append(first, over...) {
			l := order{ID: datasets.ID{Customer: o.Customer, Database: o.Set.Database}, Witness: o.Witness, Fingerprint: o.Set.Fingerprint,
				LastSync: o.Set.LastSync, OnlyHere: o.OnlyHere, Rows: o.Set.Rows, OverLimit: i >= len(first)}
			if err := line(l); err != nil {
				return err
			}
		}
		return nil
	})
	a.Count(tasks.Counters{Read: int64(len(first) + len(over)), Written: int64(len(first))})
	return err
}

// allowed says why an analysis may not be carried out: it is not the one that was seen, too old, or of another store.
func (s *shared) allowed(ctx context.Context, head *orderHead, r *record.Reader, spec DeletionSpec) error {
	if want := strings.TrimPrefix(spec.Digest, "sha256:"); want != "" && want != r.Digest() {
		return tasks.Permanent(tasks.WithHint(record.ErrChanged, "apply the analysis as it was written, or make a new one",
			"the analysis of job %s is not the one that was approved: its digest is %s, and was to be %s", spec.Job, r.Digest(), want))
	}
	store, err := s.store(ctx, spec.Store, false, head.Layout)
	if err != nil {
		return err
	}
	if got := store.Address(); got != head.Address {
		return tasks.Permanent(tasks.WithHint(nil, "name the store that was analysed", "the analysis is of %s, and %s is %s", head.Address, spec.Store, got))
	}
	if err := store.Deletable(ctx); err != nil {
		return tasks.Permanent(err)
	}
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	if err := r.Header.Fresh(now, duration(spec.Apply.MaxAge, defaultMaxAge)); err != nil {
		return permanently(err)
	}
	if d := spec.Apply.RecencyDays; d != nil {
		if days(*d) < head.Rules.Recency {
			return tasks.Permanent(tasks.WithHint(nil, "analyse again with the shorter one", "a deletion cannot go by fewer days (%v) than its analysis, which went by %v", *d, head.Rules.Recency))
		}
		head.Rules.Recency = days(*d)
	}
	head.At = now.UTC()
	if err := store.Prepare(ctx); err != nil {
		return fmt.Errorf("prepare the store: %w", err)
	}
	return nil
}
