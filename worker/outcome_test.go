package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
)

func TestWhatHappensAfterRunIsWhatTheTableSays(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	for _, c := range []struct {
		name       string
		err, cause error
		want       outcome
	}{
		{"complete", nil, nil, outcome{action: endStep, word: wordDone}},
		{"complete although cut", nil, errCut, outcome{action: endStep, word: wordDone}},
		{"complete although stale: the store says so", nil, tasks.ErrStale, outcome{action: endStep, word: wordDone}},
		{"stale", fmt.Errorf("save: %w", tasks.ErrStale), nil, outcome{action: leaveStep, word: wordStale}},
		{"any error once the lease is gone", bad, tasks.ErrStale, outcome{action: leaveStep, word: wordStale}},
		{"permanent, but the lease is gone", tasks.Permanent(bad), tasks.ErrStale, outcome{action: leaveStep, word: wordStale}},
		{"drained", fmt.Errorf("x: %w", tasks.ErrDrained), nil, outcome{action: giveBack, word: wordDrained, reason: "drained"}},
		{"drained and cut", tasks.ErrDrained, errCut, outcome{action: giveBack, word: wordDrained, reason: "drained"}},
		{"cut", context.Canceled, errCut, outcome{action: giveBack, word: wordCut, reason: "cut"}},
		{"permanent, but cut: tried once more", tasks.Permanent(bad), errCut, outcome{action: giveBack, word: wordCut, reason: "cut"}},
		{"patience", tasks.RetryAfter(bad, time.Minute), nil, outcome{action: giveBack, word: wordPostponed, after: time.Minute, reason: "bad"}},
		{"patience, wrapped", fmt.Errorf("x: %w", tasks.RetryAfter(bad, 0)), nil, outcome{action: giveBack, word: wordPostponed, reason: "x: bad"}},
		{"permanent", tasks.Permanent(tasks.WithHint(bad, "mend it", "broken")), nil, outcome{action: failStep, word: wordFailed, reason: "broken: bad", hint: "mend it", permanent: true}},
		{"any other", tasks.WithHint(bad, "mend it", "broken"), nil, outcome{action: failStep, word: wordRetried, reason: "broken: bad", hint: "mend it"}},
		{"its own time limit", context.DeadlineExceeded, nil, outcome{action: failStep, word: wordRetried, reason: "context deadline exceeded"}},
	} {
		got := decide(c.err, c.cause, 3)
		if c.want.action == failStep && !c.want.permanent {
			if got.after < 100*time.Millisecond || got.after > 8100*time.Millisecond {
				t.Errorf("%s: tried again after %v", c.name, got.after)
			}
			got.after = 0
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestBackoffGrowsToTwoMinutesAtMost(t *testing.T) {
	t.Parallel()
	for failed, limit := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 6: 64 * time.Second, 7: 2 * time.Minute, 1000: 2 * time.Minute} {
		longest := time.Duration(0)
		for range 1000 {
			d := backoff(failed)
			if d < 100*time.Millisecond || d > limit+100*time.Millisecond {
				t.Fatalf("after %d failures: %v", failed, d)
			}
			longest = max(longest, d)
		}
		if longest < limit/2 {
			t.Errorf("after %d failures never more than %v", failed, longest)
		}
	}
}
