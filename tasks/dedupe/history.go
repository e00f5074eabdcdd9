package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// past is what stays on record of an analysis, however long: a small file each, by store and time.
type past struct {
	Job    string        `json:"job"`
	At     time.Time     `json:"at"`
	Store  string        `json:"store"`
	Totals decide.Totals `json:"totals"`
}

func historyOf(store string) string {
	return folderHistory + "/" + artifact.DigestOf([]byte(store)).Hex()[:16] + "/"
}

func pastKey(p past) string {
	return historyOf(p.Store) + p.At.UTC().Format("20060102-150405") + "-" + artifact.Escape(p.Job) + ".json"
}

// before returns the analysis of the same store before one; nil when there is none.
func (s *shared) before(ctx context.Context, p past) (*past, error) {
	store, err := s.o.Artifacts()
	if err != nil {
		return nil, err
	}
	mine, last := pastKey(p), ""
	for after := ""; ; {
		page, err := store.List(ctx, historyOf(p.Store), after, listPage)
		if err != nil {
			return nil, err
		}
		for _, info := range page {
			if info.Key < mine {
				last = info.Key
			}
			after = info.Key
		}
		if len(page) < listPage {
			break
		}
	}
	if last == "" {
		return nil, nil
	}
	body, _, err := store.Get(ctx, last, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var out past
	if err := json.NewDecoder(body).Decode(&out); err != nil {
		return nil, fmt.Errorf("read %s: %w", last, err)
	}
	return &out, nil
}

// summarize writes what a person reads of an analysis, compared with the one before, and puts it on record.
func (f *Family) summarize(ctx context.Context, job string, r *record.Reader) error {
	end := r.End()
	if end == nil {
		return errors.New("the analysis has not been read to its end")
	}
	p := past{Job: job, At: r.Header.At, Store: r.Header.Store, Totals: end.Totals}
	before, err := f.before(ctx, p)
	if err != nil {
		return err
	}
	var was *decide.Totals
	if before != nil {
		was = &before.Totals
	}
	err = f.putFirst(ctx, keyOf(job, fileSummary), func(w io.Writer) error { return record.Summary(w, r.Header, end.Totals, was) })
	if err != nil {
		return err
	}
	return f.putFirst(ctx, pastKey(p), func(w io.Writer) error { return json.NewEncoder(w).Encode(p) })
}
