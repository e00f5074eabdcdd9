package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
	"github.com/stint-run/stint/tasks/dedupe/signature"
)

// Deletions deletes what an analysis allows.
type Deletions struct{ *shared }

// Kind returns the family's word.
func (*Deletions) Kind() string { return KindDeletion }

// Plan lists the stages.
func (d *Deletions) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	if _, err := deletionSpecOf(job); err != nil {
		return nil, err
	}
	return inTurn([]string{stageOrders, stageDelete, stageAccount}), nil
}

// Split lists the steps of a stage.
func (d *Deletions) Split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	if stage.Name == stageDelete {
		return d.splitDeletion(ctx, job.ID, after, limit)
	}
	return []tasks.Step{{ID: stage.Name}}, nil, nil
}

// Run carries out a step.
func (d *Deletions) Run(ctx context.Context, a *tasks.Attempt) error {
	spec, err := deletionSpecOf(a.Job)
	if err != nil {
		return err
	}
	return drainedOr(a, d.runDeletion(ctx, a, spec))
}

func deletionSpecOf(job tasks.Job) (DeletionSpec, error) {
	var spec DeletionSpec
	if err := json.Unmarshal(job.Spec, &spec); err != nil {
		return spec, tasks.Permanent(fmt.Errorf("read the spec of %s: %w", job.ID, err))
	}
	return spec, nil
}

// runDeletion carries out a step of a deletion, in whichever family's job it is.
func (s *shared) runDeletion(ctx context.Context, a *tasks.Attempt, spec DeletionSpec) error {
	switch a.Stage.Name {
	case stageOrders:
		return s.order(ctx, a, spec)
	case stageAccount:
		return s.account(ctx, a, spec)
	}
	var o order
	if err := json.Unmarshal(a.Step.Body, &o); err != nil {
		return tasks.Permanent(fmt.Errorf("read step: %w", err))
	}
	head, err := s.orderHead(ctx, a.Job.ID)
	if err != nil {
		return err
	}
	store, err := s.store(ctx, spec.Store, false, head.Layout)
	if err != nil {
		return err
	}
	d := &deleting{shared: s, a: a, spec: spec, head: head, o: o, store: store, victim: o.ID, witness: datasets.ID{Customer: o.Customer, Database: o.Witness}}
	return d.run(ctx)
}

// order is one data set that is to go: a line of the orders and the body of a step.
type order struct {
	datasets.ID
	Witness     string     `json:"witness"` // the database of the data set that stays
	Fingerprint string     `json:"fingerprint"`
	LastSync    *time.Time `json:"last_sync"`
	OnlyHere    int64      `json:"only_here"`
	Rows        int64      `json:"rows"`
	OverLimit   bool       `json:"over_limit,omitempty"` // it stays this time
}

// orderHead is the first line of the orders: what each step has to know.
type orderHead struct {
	Analysis  string          `json:"analysis"` // its job
	Digest    string          `json:"digest"`
	Address   string          `json:"address"`
	Layout    datasets.Layout `json:"layout"`
	Rules     decide.Rules    `json:"rules"` // with the recency that holds for this deletion
	Limit     int             `json:"limit"`
	At        time.Time       `json:"at"`
	Templates int             `json:"templates"`
}

func (s *shared) openOrders(ctx context.Context, job string) (orderHead, *lines, error) {
	var head orderHead
	l, err := s.openLines(ctx, keyOf(job, fileOrders))
	if err != nil {
		return head, nil, err
	}
	if err := l.next(&head); err != nil {
		return head, nil, errors.Join(err, l.Close())
	}
	return head, l, nil
}

func (s *shared) orderHead(ctx context.Context, job string) (orderHead, error) {
	head, l, err := s.openOrders(ctx, job)
	if err != nil {
		return head, err
	}
	return head, l.Close()
}

// splitDeletion makes a step of each data set that is to go: there are never more of them than the limit, whatever is repeated.
func (s *shared) splitDeletion(ctx context.Context, job string, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	var skip int
	if after != nil {
		if err := json.Unmarshal(after, &skip); err != nil {
			return nil, nil, tasks.Permanent(fmt.Errorf("read cursor: %w", err))
		}
	}
	_, l, err := s.openOrders(ctx, job)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	for range skip {
		if err := l.next(nil); err != nil {
			return nil, nil, err
		}
	}
	var steps []tasks.Step
	for n := skip; ; n++ {
		var o order
		switch err := l.next(&o); {
		case errors.Is(err, io.EOF):
			return steps, nil, nil
		case err != nil:
			return nil, nil, err
		case o.OverLimit: // they stand at the end
			return steps, nil, nil
		case len(steps) == limit:
			return steps, tasks.Cursor(fmt.Append(nil, n)), nil
		}
		body, err := json.Marshal(o)
		if err != nil {
			return nil, nil, tasks.Permanent(err)
		}
		steps = append(steps, tasks.Step{ID: fmt.Sprintf("%08d", n), Body: body})
	}
}

// deleting is the deletion of one data set.
type deleting struct {
	*shared
	a       *tasks.Attempt
	spec    DeletionSpec
	head    orderHead
	o       order
	store   *datasets.Store
	victim  datasets.ID
	witness datasets.ID
	since   time.Time
}

// run deletes the data set, or spares it, and notes what became of it. The store itself remembers how far it is; so it does not matter
// when it is interrupted, and the file of what became of it is written when nothing more can happen.
func (d *deleting) run(ctx context.Context) error {
	d.since = time.Now().UTC()
	if ended, err := d.isNoted(ctx); err != nil || ended {
		return err
	}
	done, err := d.wait(ctx)
	if err != nil {
		return err
	}
	defer done()
	p, err := d.store.Progress(ctx, d.a.Job.ID, d.victim)
	if err != nil {
		return err
	}
	d.countOf(p)
	pace := newPace(d.spec.Apply)
	switch p.State {
	case datasets.None:
		if err := pace.wait(ctx, d.a, d.store); err != nil {
			return err
		}
		began := time.Now()
		spared, err := d.hold(ctx)
		pace.took(time.Since(began))
		if err != nil {
			return d.failed(ctx, err)
		}
		if spared != "" {
			if err := pace.settle(ctx, d.a); err != nil {
				return err
			}
			return d.note(ctx, outcome{Outcome: record.Spared, Why: spared})
		}
	case datasets.Gone:
		return d.finish(ctx)
	case datasets.Stopped, datasets.Restored:
		return d.putBack(ctx, p.Reason)
	}
	return d.batches(ctx, pace)
}

// hold checks the data set once more, under locks, and marks it.
func (d *deleting) hold(ctx context.Context) (spared string, err error) {
	templates, err := d.templatesOf(ctx, d.head.Analysis)
	if err != nil {
		return "", err
	}
	cut, stop := d.a.UntilDraining(ctx)
	defer stop()
	return d.store.Hold(cut, d.a.Job.ID, d.victim, d.witness, func(now time.Time, victim, witness *datasets.Set, scan func(datasets.Scan, func([]datasets.Row) error) error) (string, error) {
		if why := d.sparedBy(now, victim, witness); why != "" {
			return why, nil
		}
		return d.compare(cut, templates, scan)
	})
}

// compare counts both data sets as they are now.
func (d *deleting) compare(ctx context.Context, templates signature.Templates, scan func(datasets.Scan, func([]datasets.Row) error) error) (spared string, err error) {
	p := part{Customers: []partCustomer{{ID: d.victim.Customer, Databases: []string{d.victim.Database, d.witness.Database}}}}
	sc := newScanner(func(_ context.Context, s datasets.Scan, each func([]datasets.Row) error) error { return scan(s, each) }, d.store, p)
	sc.apart = true
	counter := d.counter(sc.sets)
	defer d.counters.Put(counter)
	sum, err := sc.whole(ctx, counter, templates)
	if err != nil {
		return "", err
	}
	var victim, shared int64
	for _, sh := range sum.Shared {
		switch {
		case len(sh.Sets) == 2:
			shared += sh.GUIDs
			victim += sh.GUIDs
		case sh.Sets[0] == 0:
			victim += sh.GUIDs
		}
	}
	if got := sum.Sets[0].Tally.Fingerprint(); got != d.o.Fingerprint {
		return "its rows have changed since the analysis: their fingerprint is another", nil
	}
	return d.tooLittle(shared, victim+sum.Sets[0].Tally.Nulls), nil
}

// batches deletes batch by batch until the data set is gone, is stopped, or the worker wants the attempt back.
func (d *deleting) batches(ctx context.Context, pace *pace) error {
	files, err := d.shared.o.Artifacts()
	if err != nil {
		return err
	}
	o := datasets.BatchOptions{Rows: d.spec.Apply.Batch, Artifacts: files, Prefix: archiveOf(d.a.Job.ID)}
	if o.Rows == 0 {
		o.Rows = defaultBatch
	}
	for {
		if err := pace.wait(ctx, d.a, d.store); err != nil {
			return err
		}
		began := time.Now()
		b, err := d.store.DeleteBatch(ctx, d.a.Job.ID, d.victim, d.witness, o)
		if err != nil {
			return d.failed(ctx, err)
		}
		pace.took(time.Since(began))
		if b.Part != nil {
			c := d.a.Counters()
			c.Read, c.Written, c.Bytes = c.Read+b.Part.Rows, c.Written+b.Part.Rows, c.Bytes+b.Part.Bytes
			d.a.Count(c)
		}
		switch {
		case b.Stopped != "":
			return d.putBack(ctx, b.Stopped)
		case b.Done:
			if err := pace.settle(ctx, d.a); err != nil {
				return err
			}
			return d.finish(ctx)
		}
	}
}
