package worker

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/internal/telemetry/telemetrytest"
	"github.com/stint-run/stint/tasks"
)

func TestEachAttemptIsASpanOfItsJobsTraceThatSaysWhatCameOfItAndNotInWords(t *testing.T) {
	t.Parallel()
	c := telemetrytest.Start(t)
	tel, err := telemetry.Start(t.Context(), telemetry.Options{Endpoint: c.GRPC()})
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, 0)
	var mu sync.Mutex
	before := map[string]bool{}
	f.family.Do = func(_ context.Context, a *tasks.Attempt) error {
		mu.Lock()
		defer mu.Unlock()
		again := before[a.Step.ID]
		before[a.Step.ID] = true
		switch {
		case a.Step.ID == "2":
			return tasks.Permanent(errors.New("canary"))
		case again:
			return nil
		case a.Step.ID == "1":
			return tasks.RetryAfter(errors.New("canary"), 10*time.Millisecond)
		}
		return errors.New("canary")
	}
	w := f.worker("a", func(o *Options) { o.Telemetry = tel })
	for id, trace := range map[string]string{"traced": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "untraced": ""} {
		job := enginetest.Job(id, 3)
		job.Trace, job.Policy.OnFailure = trace, tasks.OnFailureSkip
		f.submit(job)
		enginetest.WaitState(t, f.st, id, tasks.Succeeded)
		mu.Lock()
		clear(before)
		mu.Unlock()
	}
	if _, err := w.Stop(t.Context()); err != nil { // its last spans have ended
		t.Fatal(err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, s := range c.Spans() {
		line := s.Name + " " + s.Attributes["stint.step"] + " " + s.Attributes["stint.outcome"]
		if s.Failed {
			line += " FAILED"
		}
		got[line+" "+s.Attributes["error.type"]]++
		if s.Attributes["stint.job"] != "traced" || s.Parent != "00f067aa0ba902b7" || s.Kind != "CONSUMER" || strings.Contains(s.String(), "canary") {
			t.Errorf("the span %s", s)
		}
	}
	for _, want := range []string{"plan  done ", "split s0  done ", "attempt s0 0 retried FAILED *errors.errorString", "attempt s0 0 done ", "attempt s0 1 postponed *errors.errorString",
		"attempt s0 1 done ", "attempt s0 2 failed FAILED *errors.errorString"} {
		if got[want] != 1 {
			t.Errorf("%d spans %q", got[want], want)
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Errorf("more spans: %v", got)
	}
}

func TestRowsAreCountedOnceHoweverOftenTheirCountersAreTold(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	tel, err := telemetry.Start(t.Context(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		a.Count(tasks.Counters{Read: 4, Written: 4})
		if err := a.Checkpoint(ctx, tasks.Cursor("c")); err != nil {
			return err
		}
		if !a.Resumed {
			return errors.New("once more")
		}
		return a.Checkpoint(ctx, tasks.Cursor("d"))
	}
	f.worker("a", func(o *Options) { o.Telemetry = tel })
	f.submit(enginetest.Job("j", 3))
	f.ends("j", 3)
	enginetest.Eventually(t, "30 rows are counted", func() bool {
		text := metricsOf(t, tel)
		return strings.Contains(text, `stint_rows_total{kind="test",what="read"} 30`) && strings.Contains(text, `stint_steps_in_flight{kind="test"} 0`) &&
			strings.Contains(text, `stint_steps_total{kind="test",outcome="retried"} 3`)
	})
}

func metricsOf(t *testing.T, tel *telemetry.Telemetry) string {
	t.Helper()
	answer := httptest.NewRecorder()
	tel.MetricsHandler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}
