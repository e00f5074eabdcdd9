package builder

import (
	"context"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

// Outputs lists the packages, and the files about them.
func (f *Family) Outputs(ctx context.Context, job tasks.Job) ([]tasks.Output, error) {
	b, begun, err := f.open(ctx, job)
	if err != nil || !begun {
		return nil, err
	}
	made, err := b.packages(ctx)
	if err != nil || made == nil {
		return nil, err
	}
	list := make([]tasks.Output, 0, len(made.Files))
	for _, p := range made.Files {
		list = append(list, tasks.Output{Name: p.Name, Size: p.Size, Digest: string(p.Digest), ContentType: p.ContentType})
	}
	return list, nil
}

// OpenOutput opens one of them.
func (f *Family) OpenOutput(ctx context.Context, job tasks.Job, name string) (io.ReadCloser, tasks.Output, error) {
	list, err := f.Outputs(ctx, job)
	if err != nil {
		return nil, tasks.Output{}, err
	}
	i := slices.IndexFunc(list, func(o tasks.Output) bool { return o.Name == name })
	if i < 0 {
		return nil, tasks.Output{}, tasks.ErrNoOutput
	}
	files, err := f.o.Artifacts()
	if err != nil {
		return nil, tasks.Output{}, err
	}
	r, _, err := files.Get(ctx, jobKey(job.ID, "packages", artifact.Escape(name)), 0)
	return r, list[i], err
}

func (b *build) logPrefix(step string) string { return b.key("logs", artifact.Escape(step)) }

// Logs names the steps of the pipeline.
func (f *Family) Logs(ctx context.Context, job tasks.Job) ([]string, error) {
	b, begun, err := f.open(ctx, job)
	if err != nil || !begun {
		return nil, err
	}
	names := make([]string, len(b.pipeline.Steps))
	for i := range names {
		names[i] = b.pipeline.Steps[i].Name
	}
	return names, nil
}

// Log reads what a step has printed. That of a step whose result was another build's is the other build's.
func (f *Family) Log(ctx context.Context, job tasks.Job, name string, from int64, follow bool) iter.Seq2[tasks.LogLine, error] {
	return func(yield func(tasks.LogLine, error) bool) {
		b, begun, err := f.open(ctx, job)
		switch {
		case err != nil:
			yield(tasks.LogLine{}, err)
			return
		case !begun && !follow:
			return
		case begun && b.pipeline.Step(name) == nil:
			yield(tasks.LogLine{}, tasks.ErrNoOutput)
			return
		}
		lines := b.lines(ctx, name, from, follow)
		for l, err := range lines {
			if err == nil && l.Seq < from {
				continue
			}
			if !yield(tasks.LogLine{Seq: l.Seq, At: l.At, Stream: l.Stream, Text: l.Text, Attempt: l.Attempt, Partial: l.Partial}, err) || err != nil {
				return
			}
		}
	}
}

// lines reads the log of this build's step; or of the other build's whose result it has.
func (b *build) lines(ctx context.Context, name string, from int64, follow bool) iter.Seq2[buildlog.Line, error] {
	if !follow {
		return buildlog.Read(ctx, b.files, b.logOf(ctx, name))
	}
	return func(yield func(buildlog.Line, error) bool) {
		cut, stop := context.WithCancel(ctx)
		defer stop()
		go func() { // a step that takes another's result has no log of its own
			tick := time.NewTicker(followEvery)
			defer tick.Stop()
			for cut.Err() == nil && b.logOf(cut, name) == b.logPrefix(name) {
				select {
				case <-tick.C:
				case <-cut.Done():
				}
			}
			stop()
		}()
		for l, err := range buildlog.Follow(cut, b.files, b.logPrefix(name), from, followEvery) {
			if err != nil && cut.Err() != nil && ctx.Err() == nil {
				break
			}
			if !yield(l, err) {
				return
			}
		}
		if prefix := b.logOf(ctx, name); prefix != b.logPrefix(name) {
			for l, err := range buildlog.Read(ctx, b.files, prefix) {
				if !yield(l, err) {
					return
				}
			}
		}
	}
}

// followEvery is how often somebody who follows a log looks for more.
const followEvery = 500 * time.Millisecond

// logOf is where the log of a step is.
func (b *build) logOf(ctx context.Context, name string) string {
	if r, err := b.result(ctx, name); err == nil && r != nil && r.Reused != "" {
		return jobKey(r.Reused, "logs", artifact.Escape(name))
	}
	return b.logPrefix(name)
}
