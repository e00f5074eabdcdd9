package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/junit"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// checkout puts the files of the commit into the store of artifacts. Those of a working copy are there.
func (b *build) checkout(ctx context.Context, a *tasks.Attempt) error {
	if had, err := b.result(ctx, stageCheckout); err != nil || had != nil {
		return err
	}
	r := result{Step: stageCheckout, Agent: a.Worker, Began: time.Now().UTC()}
	if b.spec.Local != nil {
		r.Out = b.spec.Local.Files
		if _, err := b.trees.Manifest(ctx, r.Out); err != nil {
			return fmt.Errorf("find the files that are to be built: %w", err)
		}
	} else {
		space, err := take(b.f.o.Dir)
		if err != nil {
			return err
		}
		defer space.leave()
		o := repository.ExportOptions{Submodules: b.pipeline.Submodules}
		if err := b.f.o.Repositories.Export(ctx, b.spec.Repository, b.start.Commit.SHA, space.src, o); err != nil {
			return fmt.Errorf("check out: %w", err)
		}
		if r.Out, r.Stats, err = b.trees.Capture(ctx, space.src, snapshot.CaptureOptions{}); err != nil {
			return fmt.Errorf("keep the files: %w", err)
		}
	}
	a.Count(tasks.Counters{Read: r.Stats.Files, Written: r.Stats.NewFiles, Bytes: r.Stats.NewBytes})
	r.Ended = time.Now().UTC()
	return b.settle(ctx, &r)
}

// filesThatFit lists the files below a folder that fit a glob, with slashes, in order. It follows no link.
func filesThatFit(dir, glob string) (list []string, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || d.IsDir() {
			return err
		}
		if rel = filepath.ToSlash(rel); pipeline.Match(path.Clean(glob), rel) {
			list = append(list, rel)
		}
		return nil
	})
	return list, err
}

// maxTestFile bounds a file of test results, in bytes.
const maxTestFile = 100 << 20

// readTests reads the results of tests, whether they passed or not. A file that cannot be read is told in the log: the commands have
// said by their exit code whether the tests passed.
func (s *step) readTests(dir string) error {
	if len(s.JUnit) == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var all junit.Report
	for _, glob := range s.JUnit {
		list, err := filesThatFit(dir, glob)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			s.log.Note("there are no test results %s", glob)
		}
		for _, name := range list {
			f, err := root.Open(filepath.FromSlash(name))
			if err != nil {
				return err
			}
			report, err := junit.Read(f, maxTestFile)
			if err := errors.Join(err, f.Close()); err != nil {
				s.log.Note("the test results %s cannot be read: %v", name, err)
				continue
			}
			all.Add(report)
		}
	}
	s.result.Tests = &all
	s.log.Note("%d tests, %d failed, %d skipped", all.Tests, all.Failed+all.Errors, all.Skipped)
	return nil
}

// failure is what is known of a step that did not pass, for people.
type failure struct {
	Result result    `json:"result"`
	Error  string    `json:"error"`
	At     time.Time `json:"at"`
}

func (b *build) failureKey(step string) string {
	return b.key("failures", artifact.Escape(step)+".json")
}

// noteFailure writes down how the last attempt failed, in place of the one before.
func (s *step) noteFailure(ctx context.Context, err error) error {
	s.result.Key = ""
	return replaceJSON(ctx, s.files, s.failureKey(s.Name), failure{s.result, s.masked(err.Error()), time.Now().UTC()})
}
