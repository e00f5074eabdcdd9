package cleanup_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/cleanup"
	"github.com/stint-run/stint/tasks/taskstest"
)

// shelf holds jobs, oldest first, and refuses to forget what it has forgotten.
type shelf struct {
	mu      sync.Mutex
	left    int
	largest int
	keepFor time.Duration
}

func (s *shelf) retire(ctx context.Context, keepFor time.Duration, keep, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := max(0, min(limit, s.left-keep))
	s.left -= n
	s.largest = max(s.largest, n)
	s.keepFor = keepFor
	return n, nil
}

func TestCleanupKeepsThePromisesOfAFamily(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(*testing.T) taskstest.Subject {
		s := &shelf{left: 2345}
		return taskstest.Subject{
			Family: cleanup.New(s.retire),
			Job:    tasks.Job{ID: "cle-1", Kind: cleanup.Kind, Spec: json.RawMessage(`{"keep_for": "24h", "keep": 10}`)},
			Check: func(t *testing.T) {
				if s.left != 10 || s.largest > 100 || s.keepFor != 24*time.Hour {
					t.Errorf("%d are left of which 10 are kept, up to %d went at once, kept for %s", s.left, s.largest, s.keepFor)
				}
			},
		}
	})
}

func TestASpecThatSaysNothingKeepsWhatTheDocumentationSays(t *testing.T) {
	t.Parallel()
	s := &shelf{left: 1250}
	a := tasks.NewAttempt(&tasks.Attempt{Job: tasks.Job{Spec: json.RawMessage(`{}`)}, Draining: make(chan struct{})}, noSaver{}, nil, tasks.Counters{})
	if err := cleanup.New(s.retire).Run(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if s.left != cleanup.DefaultKeep || s.keepFor != cleanup.DefaultKeepFor || a.Counters().Written != 250 {
		t.Errorf("%d are left, kept for %s, %d were counted", s.left, s.keepFor, a.Counters().Written)
	}
}

type noSaver struct{}

func (noSaver) Save(context.Context, tasks.Cursor, tasks.Counters) error { return nil }

func TestASpecThatCannotBeRightFailsForGoodAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{`{"keep_for": "a month"}`, `{"keep_for": "-1h"}`, `{"keep": -1}`, `[]`} {
		_, err := cleanup.New(nil).Plan(t.Context(), tasks.Job{ID: "cle-1", Spec: json.RawMessage(spec)})
		if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("%s: want a permanent error with a hint, got %v", spec, err)
		}
	}
}
