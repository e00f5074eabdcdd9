package dedupe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// decide writes the analysis out of what the parts have counted, whole, before anything else may happen. What is there already stays:
// somebody may have approved it.
func (f *Family) decide(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	there, err := f.isWritten(ctx, a.Job.ID)
	if err != nil {
		return err
	}
	if !there {
		if err := f.writeAnalysis(ctx, a, spec); err != nil {
			// A rival that was faster has removed the counts.
			if there, again := f.isWritten(ctx, a.Job.ID); again != nil || !there {
				return fmt.Errorf("write the analysis: %w", err)
			}
		}
	}
	if err := f.derive(ctx, a.Job.ID); err != nil {
		return err
	}
	return f.removeCounts(ctx, a.Job.ID)
}

func (f *Family) isWritten(ctx context.Context, job string) (bool, error) {
	there, err := f.outputs(ctx, job, analysisOutputs[:1])
	return len(there) > 0, err
}

// writeAnalysis decides of each customer, in the order of the survey.
func (f *Family) writeAnalysis(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	foreign, err := f.foreignGUIDs(ctx, a.Job.ID)
	if err != nil {
		return err
	}
	head, l, err := f.readSurvey(ctx, a.Job.ID)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	h, err := f.header(ctx, a.Job.ID, head, spec)
	if err != nil {
		return err
	}
	done := a.Counters()
	return f.putFirst(ctx, keyOf(a.Job.ID, fileAnalysis), func(dst io.Writer) error {
		w := record.NewWriter(dst, h)
		m := &merger{next: f.counts(ctx, a.Job.ID), foreign: foreign}
		defer m.next.close()
		_, err := f.eachSurveyed(ctx, a.Job.ID, func(_ surveyHead, c surveyed) error {
			customer, err := m.join(c)
			if err != nil {
				return err
			}
			done.Read, done.Written = done.Read+1, done.Written+1
			a.Count(done)
			return w.Add(customer, decide.Decide(customer, h.Rules))
		})
		if err != nil {
			return err
		}
		_, err = w.Close()
		return err
	})
}

// header is the head of the analysis.
func (f *Family) header(ctx context.Context, job string, head surveyHead, spec Spec) (record.Header, error) {
	t, list, _, err := f.templates(ctx, job)
	if err != nil {
		return record.Header{}, err
	}
	h := record.Header{Job: job, At: head.Now, Store: head.Address, Layout: head.Layout, Entity: head.Entity, Rules: spec.Rules.rules(head.Now), Stint: f.o.Version, Notes: head.Notes}
	for _, t := range head.Layout.Tables {
		h.Tables = append(h.Tables, t.Table)
	}
	h.Templates = record.Templates{Customers: int64(t.Looked), GUIDs: int64(len(list)),
		How: fmt.Sprintf("GUIDs that at least %d of %d customers hold, in one data set of each, up to %d rows of it", t.Customers, t.Looked, sampleRows)}
	for _, l := range list[:min(len(list), record.MaxTemplates)] {
		h.Templates.List = append(h.Templates.List, l.GUID)
	}
	switch {
	case t.Looked < 2:
		h.Notes = append(h.Notes, "there is one customer only: nobody can tell template rows from others")
	case t.Cut:
		h.Notes = append(h.Notes, fmt.Sprintf("more than %d GUIDs stand with several customers, and only so many are left out: is a database registered with several customers?", maxTemplates))
	}
	return h, nil
}

// merger joins what the registry and what the rows say about customers.
type merger struct {
	next    *counts
	foreign map[uint64]struct{}
}

// join makes a customer of what the survey says, and of what was counted: of those with a single data set nothing was.
func (m *merger) join(c surveyed) (decide.Customer, error) {
	out := decide.Customer{ID: c.Customer}
	if len(c.Sets) < 2 {
		for _, s := range c.Sets {
			out.Sets = append(out.Sets, decide.Set{Database: s.Database, LastSync: s.LastSync, Complete: s.Complete, Rows: c.Size, GUIDs: c.Size})
		}
		return out, nil
	}
	counted, err := m.next.read()
	if err != nil {
		return out, err
	}
	if counted == nil || counted.Customer != c.Customer || len(counted.Sets) != len(c.Sets) {
		return out, tasks.Permanent(fmt.Errorf("customer %s has not been counted", c.Customer))
	}
	alone := make([]int64, len(c.Sets))
	for i, sh := range counted.Shared {
		for _, s := range sh.Sets {
			alone[s] += sh.GUIDs
		}
		out.Signatures = append(out.Signatures, decide.Signature{Sets: sh.Sets, GUIDs: sh.GUIDs, Samples: sh.Samples})
		if found := m.found(sh.Sketch); found > 0 {
			if out.Foreign == nil {
				out.Foreign = map[int]decide.Foreign{}
			}
			out.Foreign[i] = decide.Foreign{Looked: int64(len(sh.Sketch)), Found: found}
		}
	}
	for i, s := range c.Sets {
		n := counted.Sets[i]
		if n.Database != s.Database {
			return out, tasks.Permanent(fmt.Errorf("customer %s has data set %s where %s was counted", c.Customer, s.Database, n.Database))
		}
		out.Sets = append(out.Sets, decide.Set{Database: s.Database, LastSync: s.LastSync, Complete: s.Complete, Rows: n.Tally.Rows, GUIDs: alone[i],
			Templates: n.Templates, Nulls: n.Tally.Nulls, Fingerprint: n.Tally.Fingerprint()})
	}
	return out, nil
}

func (m *merger) found(sketch []uint64) (n int64) {
	for _, h := range sketch {
		if _, ok := m.foreign[h]; ok {
			n++
		}
	}
	return n
}

// maxSketched is how many hashes are compared between customers at most, 16 bytes each.
const maxSketched = 1 << 20

// foreignGUIDs compares samples of what data sets share between all customers. A GUID that two customers share rows by was made by
// neither: the search for template rows, which looks at some customers only, has missed it. Where there is too much to compare, fewer
// of each signature are.
func (f *Family) foreignGUIDs(ctx context.Context, job string) (map[uint64]struct{}, error) {
	type sketched struct {
		hash     uint64
		customer uint32
		rank     uint32
	}
	var list []sketched
	most, customer := uint32(1<<31), uint32(0)
	all := f.counts(ctx, job)
	defer all.close()
	for {
		c, err := all.read()
		if err != nil {
			return nil, err
		}
		if c == nil {
			break
		}
		customer++
		for _, sh := range c.Shared {
			for rank, h := range sh.Sketch {
				if uint32(rank) < most {
					list = append(list, sketched{h, customer, uint32(rank)})
				}
			}
		}
		for len(list) > maxSketched && most > 1 {
			most = min(most, 128) / 2
			list = slices.DeleteFunc(list, func(s sketched) bool { return s.rank >= most })
		}
	}
	slices.SortFunc(list, func(a, b sketched) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.customer, b.customer))
	})
	found := map[uint64]struct{}{}
	for i := 1; i < len(list); i++ {
		if list[i].hash == list[i-1].hash && list[i].customer != list[i-1].customer {
			found[list[i].hash] = struct{}{}
		}
	}
	return found, nil
}

// derive makes of the analysis what people read: a CSV, and a summary.
func (f *Family) derive(ctx context.Context, job string) error {
	store, err := f.o.Artifacts()
	if err != nil {
		return err
	}
	body, _, err := store.Get(ctx, keyOf(job, fileAnalysis), 0)
	if err != nil {
		return err
	}
	defer body.Close()
	r, err := record.NewReader(body)
	if err != nil {
		return permanently(err)
	}
	err = f.putFirst(ctx, keyOf(job, fileCSV), func(w io.Writer) error { return record.WriteCSV(w, r) })
	if err != nil {
		return err
	}
	for { // to the end, where the CSV was there already
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return permanently(err)
		}
	}
	return f.summarize(ctx, job, r)
}

// permanently marks what is wrong with a file itself, which no retry can mend.
func permanently(err error) error {
	for _, known := range []error{record.ErrChanged, record.ErrCutOff, record.ErrForm, record.ErrVersion, record.ErrStale, record.ErrStopped, artifact.ErrNotFound} {
		if errors.Is(err, known) {
			return tasks.Permanent(err)
		}
	}
	return err
}
