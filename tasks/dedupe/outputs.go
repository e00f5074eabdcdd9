package dedupe

import (
	"context"
	"errors"
	"io"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// output is a file that a job leaves behind for people and scripts.
type output struct{ name, contentType string }

var (
	analysisOutputs = []output{{fileAnalysis, "application/x-ndjson"}, {fileCSV, "text/csv"}, {fileSummary, "text/plain; charset=utf-8"}}
	deletionOutputs = []output{{fileDeletions, "application/x-ndjson"}, {fileDeleted, "text/plain; charset=utf-8"}}
)

// Outputs lists the analysis, and what was deleted where the same job deletes.
func (f *Family) Outputs(ctx context.Context, job tasks.Job) ([]tasks.Output, error) {
	return f.outputs(ctx, job.ID, append(analysisOutputs[:len(analysisOutputs):len(analysisOutputs)], deletionOutputs...))
}

// OpenOutput opens one of them.
func (f *Family) OpenOutput(ctx context.Context, job tasks.Job, name string) (io.ReadCloser, tasks.Output, error) {
	return f.openOutput(ctx, job.ID, name, append(analysisOutputs[:len(analysisOutputs):len(analysisOutputs)], deletionOutputs...))
}

// Outputs lists what was deleted.
func (d *Deletions) Outputs(ctx context.Context, job tasks.Job) ([]tasks.Output, error) {
	return d.outputs(ctx, job.ID, deletionOutputs)
}

// OpenOutput opens one of them.
func (d *Deletions) OpenOutput(ctx context.Context, job tasks.Job, name string) (io.ReadCloser, tasks.Output, error) {
	return d.openOutput(ctx, job.ID, name, deletionOutputs)
}

func (s *shared) outputs(ctx context.Context, job string, of []output) ([]tasks.Output, error) {
	store, err := s.o.Artifacts()
	if err != nil {
		return nil, err
	}
	var out []tasks.Output
	for _, o := range of {
		info, err := store.Stat(ctx, keyOf(job, o.name))
		if errors.Is(err, artifact.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, tasks.Output{Name: o.name, Size: info.Size, Digest: string(info.Digest), ContentType: o.contentType})
	}
	return out, nil
}

func (s *shared) openOutput(ctx context.Context, job, name string, of []output) (io.ReadCloser, tasks.Output, error) {
	for _, o := range of {
		if o.name != name {
			continue
		}
		store, err := s.o.Artifacts()
		if err != nil {
			return nil, tasks.Output{}, err
		}
		body, info, err := store.Get(ctx, keyOf(job, name), 0)
		if errors.Is(err, artifact.ErrNotFound) {
			err = errors.Join(tasks.ErrNoOutput, err)
		}
		return body, tasks.Output{Name: name, Size: info.Size, Digest: string(info.Digest), ContentType: o.contentType}, err
	}
	return nil, tasks.Output{}, tasks.ErrNoOutput
}

// Report adds the summaries to the job's report.
func (f *Family) Report(ctx context.Context, job tasks.Job) (tasks.FamilyReport, error) {
	return f.report(ctx, job.ID, map[string]string{fileSummary: "Analysis", fileDeleted: "Deletions"}, fileSummary, fileDeleted)
}

// Report adds the summary to the job's report.
func (d *Deletions) Report(ctx context.Context, job tasks.Job) (tasks.FamilyReport, error) {
	return d.report(ctx, job.ID, map[string]string{fileDeleted: "Deletions"}, fileDeleted)
}

// maxSummary bounds what is taken of a summary into a report, bytes.
const maxSummary = 64 << 10

func (s *shared) report(ctx context.Context, job string, titles map[string]string, names ...string) (tasks.FamilyReport, error) {
	var r tasks.FamilyReport
	store, err := s.o.Artifacts()
	if err != nil {
		return r, err
	}
	for _, name := range names {
		body, _, err := store.Get(ctx, keyOf(job, name), 0)
		if errors.Is(err, artifact.ErrNotFound) {
			continue
		}
		if err != nil {
			return r, err
		}
		text, err := io.ReadAll(io.LimitReader(body, maxSummary))
		if err := errors.Join(err, body.Close()); err != nil {
			return r, err
		}
		r.Sections = append(r.Sections, tasks.ReportSection{Title: titles[name], Text: string(text)})
	}
	return r, nil
}
