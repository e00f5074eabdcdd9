package alert_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/alert/rule"
)

func TestEachRuleThatIsDueIsInAStepThoughOthersAreEvaluatedBetweenTwoPages(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := alertstore.New(redistest.New(t).Client(), alertstore.Options{})
	set := alertstore.Set{Rules: map[string]json.RawMessage{}, Digest: "d", At: now}
	for i := range 350 {
		name := fmt.Sprintf("rule %03d", i)
		text, err := json.Marshal(rule.Rule{Name: name, Type: rule.Any, Index: "logs", RunEvery: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		set.Rules[name] = text
	}
	if err := store.Publish(ctx, set); err != nil {
		t.Fatal(err)
	}
	f, seen := alert.New(alert.Options{Store: store}), map[string]int{}
	job := tasks.Job{ID: "j", Kind: alert.Kind, CreatedAt: now}
	var after tasks.Cursor
	for pages := 0; ; pages++ {
		steps, next, err := f.Split(ctx, job, tasks.Stage{Name: "evaluate"}, after, 1)
		if err != nil || pages > 10 {
			t.Fatalf("after %d pages: %v", pages, err)
		}
		for _, s := range steps {
			var body struct{ Rules []string }
			if err := json.Unmarshal(s.Body, &body); err != nil {
				t.Fatal(err)
			}
			for _, name := range body.Rules {
				seen[name]++
				e := alertstore.Evaluated{Rule: alertstore.Rule{Name: name}, Health: alertstore.Health{At: now, Due: now}, Now: now}
				if err := store.Commit(ctx, 0, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		if after = next; next == nil {
			break
		}
	}
	for name := range set.Rules {
		if seen[name] != 1 {
			t.Errorf("%s is in %d steps", name, seen[name])
		}
	}
}
