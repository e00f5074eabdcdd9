package builder

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
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

func TestWhatLiesAmongPromotionsAndIsNoneStopsNobody(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	releases(t, l)
	f := l.agent("a", nil)
	var said bytes.Buffer
	f.o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	job := l.job(Spec{})
	if err := l.carryOut(f, job); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a-job/stage/manifest.json", "hello/00/parts/x.csv", "hello/1.json", "hello/00000000.json", "hello/99999999.csv", "z/records/000000.json"} {
		if _, err := l.files.Put(t.Context(), "environments/ci/"+key, strings.NewReader("{"), artifact.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := f.Promoted(t.Context(), "", ""); err != nil || len(list) != 0 {
		t.Errorf("before anything is promoted: %+v, %v", list, err)
	}
	if _, err := f.Promote(t.Context(), job, "ci", "ann"); err != nil {
		t.Errorf("promote: %v", err)
	}
	if list, err := f.Promoted(t.Context(), "", ""); err != nil || len(list) != 1 || list[0].Version != "1.5.1" || list[0].Job != job.ID {
		t.Errorf("%+v, %v", list, err)
	}
	if b, err := f.Build(t.Context(), job); err != nil || len(b.Gates) != 2 || b.Gates[0].Stands != "1.5.1" {
		t.Errorf("the build: %+v, %v", b, err)
	}
	a := tasks.NewAttempt(&tasks.Attempt{ID: "r", Job: tasks.Job{ID: "ret-1", Kind: KindRetention, Spec: json.RawMessage(`{"keep_builds": 1, "keep_for": "0s"}`)}, Draining: make(chan struct{})}, unsaved{}, nil, tasks.Counters{})
	if err := NewRetention(f).Run(t.Context(), a); err != nil {
		t.Errorf("retention: %v", err)
	}
	for _, key := range []string{"environments/ci/a ", "environments/ci/a-job/stage/manifest.json", "environments/ci/hello/00/parts/x.csv", "environments/ci/z/records/000000.json"} {
		if !strings.Contains(said.String(), "level=WARN") || !strings.Contains(said.String(), "key="+key) {
			t.Errorf("nothing is said of %s in %s", key, said.String())
		}
	}
}
