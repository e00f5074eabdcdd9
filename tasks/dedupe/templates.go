package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/signature"
)

// templatesHead is the first line of the list of template rows; a templateLine follows for each.
type templatesHead struct {
	Looked    int  `json:"looked"`        // customers that were looked at
	Customers int  `json:"customers"`     // customers that must hold a GUID
	Cut       bool `json:"cut,omitempty"` // there were more than maxTemplates
}

type templateLine struct {
	GUID      string `json:"guid"`
	Customers int    `json:"customers"`
	Hex       []byte `json:"bytes"`
}

// Bounds of the search for template rows.
const (
	sampleRows   = 100_000 // of one data set: the product's rows came with the first upload, and are among them all the same
	maxTemplates = 100_000
)

// defaultTemplateCustomers is how many customers must hold a GUID when the spec does not say: two may be the same business.
const defaultTemplateCustomers = 3

// findTemplates looks at a data set each of many customers. A GUID that several customers hold was not made by any of them.
func (f *Family) findTemplates(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	samples, err := f.eachSurveyed(ctx, a.Job.ID, nil)
	if err != nil {
		return err
	}
	store, err := f.surveyedStore(ctx, a.Job.ID, spec.Store, true)
	if err != nil {
		return err
	}
	want := defaultTemplateCustomers
	if spec.Rules.TemplateCustomers != nil {
		want = *spec.Rules.TemplateCustomers
	} else if len(samples) == 2 {
		want = 2
	}
	frequency := signature.NewFrequency(want)
	looked := 0
	var read int64
	for i, id := range samples {
		rows, err := sample(ctx, store, id, uint16(i), frequency)
		read += rows
		a.Count(tasks.Counters{Read: read})
		if errors.Is(err, signature.ErrFull) {
			break
		}
		if err != nil {
			return fmt.Errorf("look for template rows: %w", err)
		}
		looked++
	}
	found := frequency.Found()
	head := templatesHead{Looked: looked, Customers: want, Cut: len(found) > maxTemplates}
	found = found[:min(len(found), maxTemplates)]
	err = f.putLines(ctx, keyOf(a.Job.ID, fileTemplates), func(line func(any) error) error {
		if err := line(head); err != nil {
			return err
		}
		for _, t := range found {
			if err := line(templateLine{t.GUID.String(), t.Sets, t.GUID[:]}); err != nil {
				return err
			}
		}
		return nil
	})
	a.Count(tasks.Counters{Read: read, Written: int64(len(found))})
	return err
}

var errEnough = errors.New("enough has been read")

// sample counts a data set, up to a bound.
func sample(ctx context.Context, store *datasets.Store, id datasets.ID, number uint16, frequency *signature.Frequency) (rows int64, err error) {
	scan := datasets.Scan{Customers: []string{id.Customer}, Database: id.Database, Lookup: func(datasets.ID) int32 { return 0 }}
	err = store.Scan(ctx, scan, func(list []datasets.Row) error {
		rows += int64(len(list))
		if err := frequency.Add(number, list); err != nil {
			return err
		}
		if rows >= sampleRows {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return rows, err
}

// templates reads the list of template rows.
func (s *shared) templates(ctx context.Context, job string) (templatesHead, []templateLine, signature.Templates, error) {
	var head templatesHead
	l, err := s.openLines(ctx, keyOf(job, fileTemplates))
	if err != nil {
		return head, nil, nil, err
	}
	defer l.Close()
	if err := l.next(&head); err != nil {
		return head, nil, nil, err
	}
	var list []templateLine
	set := signature.Templates{}
	for {
		var t templateLine
		switch err := l.next(&t); {
		case errors.Is(err, io.EOF):
			return head, list, set, nil
		case err != nil:
			return head, nil, nil, err
		}
		list = append(list, t)
		set[datasets.GUID(t.Hex)] = struct{}{}
	}
}

// templatesOf returns the template rows of an analysis. Each data set that goes is counted without them, so those of the last analysis
// asked for are kept.
func (s *shared) templatesOf(ctx context.Context, job string) (signature.Templates, error) {
	s.mu.Lock()
	kept := s.kept
	s.mu.Unlock()
	if kept.job == job {
		return kept.set, nil
	}
	_, _, set, err := s.templates(ctx, job)
	if err == nil {
		s.mu.Lock()
		s.kept.job, s.kept.set = job, set
		s.mu.Unlock()
	}
	return set, err
}

// surveyedStore opens the store as the survey has found it.
func (s *shared) surveyedStore(ctx context.Context, job, connection string, readOnly bool) (*datasets.Store, error) {
	head, l, err := s.readSurvey(ctx, job)
	if err != nil {
		return nil, err
	}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return s.store(ctx, connection, readOnly, head.Layout)
}

// specOf reads the spec of a dedupe job.
func specOf(job tasks.Job) (Spec, error) {
	var spec Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil {
		return spec, tasks.Permanent(fmt.Errorf("read the spec of %s: %w", job.ID, err))
	}
	return spec, nil
}
