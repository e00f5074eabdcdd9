package dedupe

import (
	"context"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// expire removes archives of deletions that are older than the spec keeps them, of all jobs. What was decided and what was deleted
// stays on record; only undo is no longer possible. It may stop between any two of them.
func (f *Family) expire(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	store, err := f.o.Artifacts()
	if err != nil {
		return err
	}
	before := time.Now().Add(-duration(spec.KeepArchives, 0))
	var done tasks.Counters
	for after := ""; ; {
		page, err := store.List(ctx, artifact.OwnDedupe+"/", after, listPage)
		if err != nil {
			return err
		}
		for _, info := range page {
			if after = info.Key; !isArchive(info) || !info.Modified.Before(before) {
				continue
			}
			if err := store.Delete(ctx, info.Key); err != nil {
				return err
			}
			done.Read, done.Written, done.Bytes = done.Read+1, done.Written+1, done.Bytes+info.Size
			a.Count(done)
		}
		if len(page) < listPage {
			return nil
		}
	}
}

// isArchive reports whether an artifact is a part of an archive: dedupe/JOB/archive/...
func isArchive(info artifact.Info) bool {
	words := strings.SplitN(info.Key, "/", 4)
	return len(words) == 4 && words[2] == folderArchive
}

// removeCounts removes what the parts have counted, once the analysis is whole.
func (s *shared) removeCounts(ctx context.Context, job string) error {
	store, err := s.o.Artifacts()
	if err != nil {
		return err
	}
	for {
		page, err := store.List(ctx, folderOfCounts(job), "", listPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, info := range page {
			if err := store.Delete(ctx, info.Key); err != nil {
				return err
			}
		}
	}
}
