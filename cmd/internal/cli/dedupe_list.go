package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

func (c *command) dedupeList() *cobra.Command {
	var limit int
	var tenant string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List analyses, deletions and what was put back, newest first",
		Long: `Lists what was analysed, deleted and put back: when, how much of the data was duplicate, compared with the analysis before of the
same store, and how many data sets and rows went.`,
		Example: "  stint dedupe list\n  stint dedupe list --limit 30 --output json",
		Args:    cobra.NoArgs,
		RunE: c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
			list, err := dedupeHistory(cmd.Context(), s, tenant, limit)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeHistory(w, list) })
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 10, "how many")
	cmd.Flags().StringVar(&tenant, "tenant", "", "of this tenant alone")
	return cmd
}

// pastRun is one entry of the history; its JSON is a contract.
type pastRun struct {
	Job        string          `json:"job"`
	Kind       string          `json:"kind"`
	State      tasks.State     `json:"state"`
	At         time.Time       `json:"at"`
	ApprovedBy string          `json:"approved_by,omitempty"`
	Analysis   *analysisAnswer `json:"analysis,omitempty"`
	// Change is how much larger the share is than that of the analysis before, of the same store, in the list; null when there is none.
	Change   *float64        `json:"share_change,omitempty"`
	Deletion *deletionAnswer `json:"deletion,omitempty"`
	Restored int64           `json:"rows_restored,omitempty"`
}

// dedupeHistory reads the newest jobs of all three kinds, and what their files say.
func dedupeHistory(ctx context.Context, s *session, tenant string, limit int) ([]*pastRun, error) {
	var jobs []*wire.Job
	for _, kind := range []string{dedupe.Kind, dedupe.KindDeletion, dedupe.KindRestoration} {
		some, err := paged(limit, mostOfAPage, func(cursor string, n int) ([]*wire.Job, string, error) {
			page, err := s.Jobs(ctx, client.Filter{Kind: kind, Tenant: tenant, Cursor: cursor, Limit: n})
			if err != nil {
				return nil, "", err
			}
			return page.Jobs, page.Next, nil
		})
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, some...)
	}
	slices.SortStableFunc(jobs, func(a, b *wire.Job) int { return b.CreatedAt.Compare(a.CreatedAt) })
	list := []*pastRun{}
	for _, v := range jobs[:min(limit, len(jobs))] {
		p := &pastRun{Job: v.ID, Kind: v.Kind, State: v.State, At: v.CreatedAt, ApprovedBy: v.Labels[wire.LabelApprovedBy]}
		if v.Kind == dedupe.KindRestoration {
			p.Restored = v.Counters.Written
		} else if err := p.read(ctx, s); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	compare(list)
	return list, nil
}

// read reads what the job has left behind.
func (p *pastRun) read(ctx context.Context, s *session) error {
	files, err := s.Outputs(ctx, p.Job)
	if err != nil {
		return err
	}
	for _, o := range files {
		var read func(from io.Reader) error
		switch o.Name {
		case dedupe.OutputAnalysis:
			read = func(from io.Reader) (err error) { p.Analysis, err = readAnalysis(from, -1); return err }
		case dedupe.OutputDeletions:
			read = func(from io.Reader) (err error) { p.Deletion, err = readDeletions(from); return err }
		default:
			continue
		}
		body, _, err := s.Output(ctx, p.Job, o.Name)
		if err != nil {
			return err
		}
		err = read(body)
		_ = body.Close()
		if err != nil {
			return fmt.Errorf("%s of job %s: %w", o.Name, p.Job, err)
		}
	}
	return nil
}

// compare fills in how each share differs from that of the analysis before.
func compare(list []*pastRun) {
	before := map[string]float64{}
	for _, p := range slices.Backward(list) {
		a := p.Analysis
		if a == nil {
			continue
		}
		if was, ok := before[a.Store]; ok {
			change := a.Share - was
			p.Change = &change
		}
		before[a.Store] = a.Share
	}
}

func writeHistory(w io.Writer, list []*pastRun) {
	t := newTable("WHEN", "JOB", "KIND", "STATE", "DATA SETS", "MAY GO", "SHARE", "CHANGE", "WENT", "ROWS", "APPROVED BY")
	for _, p := range list {
		all, may, share, change, went, rows := "", "", "", "", "", ""
		if a := p.Analysis; a != nil {
			all, may, share = thousands(a.All.Sets), thousands(a.MayGo.Sets), fmt.Sprintf("%.1f %%", 100*a.Share)
			if a.Stopped != "" {
				may += " (stopped)"
			}
			if p.Change != nil {
				change = fmt.Sprintf("%+.1f", 100**p.Change)
			}
		}
		if d := p.Deletion; d != nil {
			gone := d.Outcomes[record.Deleted]
			went, rows = thousands(gone.Sets), thousands(gone.Rows)
		}
		if p.Kind == dedupe.KindRestoration {
			rows = "+" + thousands(p.Restored)
		}
		t.row(p.At.UTC().Format("2006-01-02 15:04"), p.Job, p.Kind, string(p.State), all, may, share, change, went, rows, p.ApprovedBy)
	}
	t.write(w)
}
