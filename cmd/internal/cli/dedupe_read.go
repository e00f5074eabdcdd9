package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// analysisAnswer is what is told of an analysis; its JSON is a contract.
type analysisAnswer struct {
	Job       string      `json:"job"`
	File      string      `json:"file,omitempty"`
	CSV       string      `json:"csv,omitempty"`
	Digest    string      `json:"digest"`
	At        time.Time   `json:"at"`
	Store     string      `json:"store"`
	Entity    string      `json:"entity"`
	Stopped   string      `json:"stopped"` // why nothing of it may be carried out; "" is that it may
	Customers int64       `json:"customers"`
	All       countAnswer `json:"all"`
	MayGo     countAnswer `json:"may_go"`
	Held      countAnswer `json:"held"`
	Share     float64     `json:"share"`      // of all that may go, 0 to 1
	OnlyThere int64       `json:"only_there"` // rows of what may go that stand in nothing that stays
	Pairs     int64       `json:"pairs"`

	header record.Header
	orders []record.Order
}

// countAnswer counts data sets and their rows of the entity.
type countAnswer struct {
	Sets int64 `json:"data_sets"`
	Rows int64 `json:"rows"`
}

func countOf(t decide.Tally) countAnswer { return countAnswer{t.Sets, t.Rows} }

// readAnalysis reads an analysis to its end, which checks that it is whole. With a limit of 0 or more it has the orders too: what would go.
func readAnalysis(from io.Reader, limit int) (*analysisAnswer, error) {
	r, err := record.NewReader(from)
	if err != nil {
		return nil, err
	}
	a := &analysisAnswer{}
	if limit >= 0 {
		a.orders, _, err = record.Orders(r, limit)
		if errors.Is(err, record.ErrStopped) {
			err = nil
		}
	} else {
		for err == nil {
			_, err = r.Next()
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	h, end := r.Header, r.End()
	t := end.Totals
	a.Job, a.Digest, a.At, a.Store, a.Entity, a.Stopped = h.Job, "sha256:"+r.Digest(), h.At, h.Store, h.Entity, end.Stop
	a.Customers, a.All, a.MayGo, a.Held = t.Customers, countOf(t.All), countOf(t.Of(decide.Delete)), countOf(t.Of(decide.Hold))
	a.Share, a.OnlyThere, a.Pairs, a.header = t.Share(), t.Lost, t.Pairs, h
	return a, nil
}

// readAnalysisFile reads an analysis that somebody has approved. One that was changed, or is none, is a mistake of whoever gave it.
func readAnalysisFile(name string) (*analysisAnswer, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usage(tasks.WithHint(err, "name the file that stint dedupe analyze has written, or the job of an analysis", "the analysis cannot be read"))
	}
	defer func() { _ = file.Close() }()
	a, err := readAnalysis(file, -1)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", name, err))
	}
	a.File = name
	return a, nil
}

// wouldGo is a data set that a deletion would delete; its JSON is a contract.
type wouldGo struct {
	Customer string `json:"customer"`
	Database string `json:"database"`
	Witness  string `json:"witness"`
	Rows     int64  `json:"rows"`
	OnlyHere int64  `json:"only_here"`
}

func wouldGoOf(orders []record.Order) []wouldGo {
	list := []wouldGo{}
	for _, o := range orders {
		list = append(list, wouldGo{o.Customer, o.Set.Database, o.Witness, o.Set.Rows, o.OnlyHere})
	}
	return list
}

// deletionAnswer is what is told of a deletion; its JSON is a contract.
type deletionAnswer struct {
	Job      string                     `json:"job"`
	Analysis string                     `json:"analysis"` // the job that made it
	File     string                     `json:"file,omitempty"`
	Digest   string                     `json:"digest"`
	At       time.Time                  `json:"at"`
	Ended    time.Time                  `json:"ended_at"`
	Store    string                     `json:"store"`
	Limit    int                        `json:"limit"`
	Outcomes map[record.Outcome]outcome `json:"outcomes"`
	Archived int64                      `json:"archived_bytes"`

	sets []record.Deletion // those of which something is gone
}

// outcome counts the data sets of one outcome, and the rows of all their tables that are gone.
type outcome struct {
	Sets  int64 `json:"data_sets"`
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// readDeletions reads a deletions file to its end, which checks that it is whole.
func readDeletions(from io.Reader) (*deletionAnswer, error) {
	r, err := record.NewDeletionReader(from)
	if err != nil {
		return nil, err
	}
	d := &deletionAnswer{Outcomes: map[record.Outcome]outcome{}}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if line.Set != nil && line.Set.Archive.Parts > 0 {
			set := *line.Set
			set.Tables = nil
			d.sets = append(d.sets, set)
		}
	}
	h, end := r.Header, r.End()
	d.Job, d.Analysis, d.Digest, d.At, d.Ended, d.Store, d.Limit, d.Archived = h.Job, h.Analysis, "sha256:"+r.Digest(), h.At, end.At, h.Store, h.Limit, end.Totals.Archived
	for _, o := range record.Outcomes {
		if n, ok := end.Totals.Outcomes[o]; ok {
			d.Outcomes[o] = outcome{n.Sets, n.Rows, n.Bytes}
		}
	}
	return d, nil
}

// wrong says what of a deletion is for a person to look at; nil when all that was to go is gone, or was spared for a reason.
func (d *deletionAnswer) wrong() error {
	if n := d.Outcomes[record.Failed].Sets + d.Outcomes[record.NotReached].Sets; n > 0 {
		return tasks.WithHint(nil, "see: stint jobs report "+d.Job, "%s could not be deleted", plural(int(n), "data set"))
	}
	return nil
}

// getAnalysis reads the analysis of a job that has ended. With a name for the file it is kept there, and the CSV beside it, each whole
// or not at all.
func (c *command) getAnalysis(ctx context.Context, s *session, id, file string, limit int) (*analysisAnswer, error) {
	f, err := fetchOutput(ctx, s, id, dedupe.OutputAnalysis, file)
	if err != nil {
		return nil, err
	}
	defer f.drop()
	a, err := readAnalysis(f.file, limit)
	if err != nil {
		return nil, fmt.Errorf("the analysis of job %s: %w", id, err)
	}
	if file == "" {
		return a, nil
	}
	a.File, a.CSV = file, csvBeside(file)
	table, err := fetchOutput(ctx, s, id, dedupe.OutputCSV, a.CSV)
	if err != nil {
		return nil, err
	}
	defer table.drop()
	return a, errors.Join(table.keep(a.CSV), f.keep(file))
}

// getDeletions is getAnalysis for the file that says what a deletion has done.
func (c *command) getDeletions(ctx context.Context, s *session, id, file string) (*deletionAnswer, error) {
	f, err := fetchOutput(ctx, s, id, dedupe.OutputDeletions, file)
	if err != nil {
		return nil, err
	}
	defer f.drop()
	d, err := readDeletions(f.file)
	if err != nil {
		return nil, fmt.Errorf("the deletions of job %s: %w", id, err)
	}
	if file == "" {
		return d, nil
	}
	d.File = file
	return d, f.keep(file)
}

// summary shows the summary of a job to people.
func (c *command) summary(ctx context.Context, s *session, id, name string) error {
	if c.output == "json" {
		return nil
	}
	f, err := fetchOutput(ctx, s, id, name, "")
	if err != nil {
		return err
	}
	defer f.drop()
	_, err = io.Copy(c.Stdout, f.file)
	return err
}

// hasOutput reports whether a job has left a file behind.
func hasOutput(ctx context.Context, s *session, id, name string) (bool, error) {
	list, err := s.Outputs(ctx, id)
	return slices.ContainsFunc(list, func(o tasks.Output) bool { return o.Name == name }), err
}
