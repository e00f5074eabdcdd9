package builder

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestOldBuildsGoAndWhatIsNewestOrInAnEnvironmentStays(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	releases(t, l)
	f := l.agent("a", nil)
	var jobs []tasks.Job
	for i := range 4 {
		l.commit("main", map[string]string{"other.txt": strings.Repeat("x", i)})
		job := l.job(Spec{})
		if err := l.carryOut(f, job); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	if _, err := f.Promote(t.Context(), jobs[1], "ci", "ann"); err != nil {
		t.Fatal(err)
	}
	r := NewRetention(f)
	for _, wrong := range []string{`{"keep_builds": 0}`, `{"keep_for": "soon"}`, `{"keep": 1}`} {
		if err := r.Check(json.RawMessage(wrong)); err == nil {
			t.Errorf("%s is let in", wrong)
		}
	}
	spec := json.RawMessage(`{"keep_builds": 1, "keep_for": "0s"}`)
	a := tasks.NewAttempt(&tasks.Attempt{ID: "r", Job: tasks.Job{ID: "ret-1", Kind: KindRetention, Spec: spec}, Draining: make(chan struct{})}, unsaved{}, nil, tasks.Counters{})
	if err := r.Run(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false, true} {
		list, err := f.Outputs(t.Context(), jobs[i])
		if err != nil || (len(list) > 0) != want {
			t.Errorf("build %d has left %d files: %v", i, len(list), err)
		}
	}
	if text := l.output(f, jobs[3], "hello-1.5.4.zip"); len(text) == 0 {
		t.Error("the newest has lost its package")
	}
	left, err := l.files.List(t.Context(), jobKey(jobs[0].ID)+"/", "", 10)
	if err != nil || len(left) > 0 {
		t.Errorf("of a build that is gone there is %v: %v", left, err)
	}
	l.commit("main", map[string]string{"other.txt": "next"})
	if b := l.built(f, Spec{}); b.start.Number != 5 {
		t.Errorf("the next build has the number %d", b.start.Number)
	}
}
