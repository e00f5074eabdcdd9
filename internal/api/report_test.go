package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// proving is a family that has something to add to reports.
type proving struct {
	enginetest.Family
	err error
}

func (*proving) Kind() string { return "proving" }

func (f *proving) Report(_ context.Context, job tasks.Job) (tasks.FamilyReport, error) {
	return tasks.FamilyReport{Target: "postgres://db/cloud", Stages: []tasks.StageProof{{Stage: "s0", Hash: "abc of " + job.ID, Rows: 30}, {Stage: "nowhere", Hash: "x"}},
		Sections: []tasks.ReportSection{{Title: "Rounding", Text: "none"}}}, f.err
}

// verifying stands for the family of verifications.
type verifying struct{ enginetest.Family }

func (*verifying) Kind() string { return "verification" }

// take begins the step of a handout on a worker.
func (h *house) take(r store.Ref, worker string) string {
	h.t.Helper()
	attempt := store.RandomID()
	b, err := h.st.Begin(h.t.Context(), r, attempt, worker, "1.0.0")
	if err != nil || b.Code != store.Begun {
		h.t.Fatalf("begin %v: %d, %v", r, b.Code, err)
	}
	return attempt
}

// run carries a job of one stage and one step to its end, with what it found. Its planning is the first of a handout.
func (h *house) run(job tasks.Job, by string, findings ...tasks.Finding) {
	h.t.Helper()
	ctx := h.t.Context()
	next := func(out store.Handout, err error) store.Ref {
		h.t.Helper()
		if err != nil || len(out.Enqueue) == 0 {
			h.t.Fatalf("%+v, %v", out, err)
		}
		return out.Enqueue[0]
	}
	out, _, err := h.st.CreateBy(ctx, job, by)
	r := next(out, err)
	r = next(h.st.PlanDone(ctx, r, h.take(r, "w1"), []tasks.Stage{{Name: "s0"}}))
	r = next(h.st.SplitDone(ctx, r, h.take(r, "w1"), []tasks.Step{{ID: "0"}}, nil))
	if _, err := h.st.End(ctx, r, h.take(r, "w1"), tasks.Counters{Read: 30, Written: 29, Quarantined: 1}, findings); err != nil {
		h.t.Fatal(err)
	}
}

func TestAReportIsGivenInTheFormatThatIsAskedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	h.run(tasks.Job{ID: "tes-1", Kind: "test", Tenant: "<script>", Spec: json.RawMessage(`{"source":"legacy","target":"mysql://app:secret@db/x?password=y"}`)}, "ada")
	at := s.at("/v1/jobs/tes-1/report")
	for _, c := range []struct{ query, accept, kind, begins string }{
		{"", "", "application/json", "{"},
		{"", "*/*", "application/json", "{"},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"", "text/markdown", "text/markdown; charset=utf-8", "# Report"},
		{"", "text/html;q=0.1, text/markdown;q=0.5", "text/markdown; charset=utf-8", "# Report"},
		{"", "text/html;q=0, image/png", "application/json", "{"},
		{"?format=markdown", "text/html", "text/markdown; charset=utf-8", "# Report"},
		{"?format=html", "application/json", "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"?format=json", "text/html", "application/json", "{"},
	} {
		a := h.send("GET", at+c.query, nil, "Accept", c.accept)
		if a.status != 200 || a.header.Get("Content-Type") != c.kind || !strings.HasPrefix(string(a.body), c.begins) {
			t.Errorf("%+v: %d %s %.40s", c, a.status, a.header.Get("Content-Type"), a.body)
		}
		if html := strings.HasPrefix(c.kind, "text/html"); html != strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%+v: policy %q", c, a.header.Get("Content-Security-Policy"))
		}
		if c.begins != "{" && strings.Contains(string(a.body), "<script>") {
			t.Errorf("%+v: the name of the tenant is a tag", c)
		}
	}
	if p := h.send("GET", at+"?format=pdf", nil).problem(t); p.Status != 422 {
		t.Errorf("%+v", p)
	}
	if p := h.send("GET", s.at("/v1/jobs/nope/report"), nil).problem(t); p.Status != 404 {
		t.Errorf("%+v", p)
	}
	r := as[wire.Report](t, h.send("GET", at, nil))
	if r.Target != "mysql://app@db/x" || r.Source != "legacy" {
		t.Errorf("from %q to %q", r.Source, r.Target)
	}
}

func TestAReportSaysWhoAskedForWhatAndWhatCameOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	h.run(tasks.Job{ID: "tes-1", Kind: "test", Tenant: "acme", Spec: json.RawMessage(`{"b":1.50,"a":"x"}`)}, "ada")
	first := h.send("GET", s.at("/v1/jobs/tes-1/report"), nil)
	r := as[wire.Report](t, first)
	if r.Form != 1 || r.SubmittedBy != "ada" || r.Policy != (wire.ReportPolicy{Retries: tasks.DefaultRetries, OnFailure: "stop"}) || r.Made.Version != "1.2.3" || r.Made.At.IsZero() {
		t.Errorf("%+v", r)
	}
	if r.SpecSHA256 != "099f4bcf556f24a56bad74cab2ccce1a7c040735ddb42f2a0df2043a865b5271" { // printf %s '{"a":"x","b":1.5}' | sha256sum
		t.Errorf("%s is not the sum of the canonical form", r.SpecSHA256)
	}
	if len(r.Workers) != 1 || r.Workers[0].ID != "w1" || r.Workers[0].Done != 1 || r.Workers[0].Planned != 2 || len(r.Versions) != 1 || len(r.Gaps) != 0 || len(r.History) == 0 || r.History[0].By != "ada" {
		t.Errorf("%+v", r)
	}
	if sum, err := report.Digest(first.body); err != nil || sum != r.Digest {
		t.Errorf("the digest is %s, of what was sent %s, %v", r.Digest, sum, err)
	}
	again := as[wire.Report](t, h.send("GET", s.at("/v1/jobs/tes-1/report"), nil))
	if again.Digest != r.Digest {
		t.Error("the same job has another digest when it is asked for again")
	}
	for _, list := range []string{`"drains": []`, `"losses": []`, `"reasons": []`, `"verifications": []`, `"sections": []`, `"gaps": []`, `"findings": []`, `"failed_steps": []`} {
		if !strings.Contains(string(first.body), list) {
			t.Errorf("an empty list is not %s", list)
		}
	}
}

func TestAJobThatFailedHasTheSameDigestEachTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	ctx := t.Context()
	job := tasks.Job{ID: "tes-1", Kind: "test", Spec: json.RawMessage(`{}`)}
	out, _, err := h.st.Create(ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	plan := out.Enqueue[0]
	if out, err = h.st.PlanDone(ctx, plan, h.take(plan, "w1"), []tasks.Stage{{Name: "s0", Rows: 1000}}); err != nil {
		t.Fatal(err)
	}
	split := out.Enqueue[0]
	if out, err = h.st.SplitDone(ctx, split, h.take(split, "w1"), []tasks.Step{{ID: "0"}}, nil); err != nil {
		t.Fatal(err)
	}
	step := out.Enqueue[0]
	attempt := h.take(step, "w1")
	if _, err := h.st.Save(ctx, step, attempt, nil, true, tasks.Counters{Read: 500, Written: 500}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.st.Fail(ctx, step, attempt, "w1", store.Failure{Reason: "broken", Permanent: true}); err != nil {
		t.Fatal(err)
	}
	first := as[wire.Report](t, h.send("GET", s.at("/v1/jobs/tes-1/report"), nil))
	if first.Job.State != tasks.Failed || first.Job.Stages[0].State != "open" || first.Job.Stages[0].Rate == 0 || first.Job.Stages[0].ETA != nil {
		t.Fatalf("%+v", first.Job)
	}
	var later wire.Report
	enginetest.Eventually(t, "some time has passed", func() bool {
		later = as[wire.Report](t, h.send("GET", s.at("/v1/jobs/tes-1/report"), nil))
		return later.Made.At.Sub(first.Made.At) > 50*time.Millisecond
	})
	if later.Digest != first.Digest {
		t.Errorf("%+v\n%+v", first, later)
	}
}

func TestWhatAFamilyKnowsIsPartOfTheReportAndWhereItIsMissingThatIsSaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	f := &proving{}
	s := h.serve(func(o *Options) { o.Families = append(o.Families, f) })
	h.run(tasks.Job{ID: "pro-1", Kind: "proving", Spec: json.RawMessage(`{"source":"a","target":"b"}`)}, "")
	read := func() wire.Report { return as[wire.Report](t, h.send("GET", s.at("/v1/jobs/pro-1/report"), nil)) }
	r := read()
	if len(r.Stages) != 1 || r.Stages[0].Proof == nil || r.Stages[0].Proof.Hash != "abc of pro-1" || r.Source != "a" || r.Target != "postgres://db/cloud" || len(r.Sections) != 1 || len(r.Gaps) != 0 {
		t.Errorf("%+v", r)
	}
	f.err = errors.New("the target cannot be reached")
	if r = read(); r.Stages[0].Proof != nil || len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0], "the target cannot be reached") || r.Digest == "" {
		t.Errorf("%+v", r)
	}
}

func TestAJobAndItsVerificationLeadToOneAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(func(o *Options) { o.Families = append(o.Families, &verifying{}) })
	old := time.Now().Add(-time.Hour)
	h.run(tasks.Job{ID: "mig-1", Kind: "test", Tenant: "acme", Spec: json.RawMessage(`{"source":"a","target":"b"}`)}, "")
	about := json.RawMessage(`{"source":"a","target":"b","job":"mig-1"}`)
	h.run(tasks.Job{ID: "ver-1", Kind: "verification", Tenant: "acme", Spec: about, CreatedAt: old}, "", tasks.Finding{Level: tasks.LevelNote, Message: "n"}, tasks.Finding{Level: tasks.LevelDifference, Message: "d"})
	h.run(tasks.Job{ID: "ver-2", Kind: "verification", Tenant: "acme", Spec: about}, "", tasks.Finding{Level: tasks.LevelNote, Message: "n"})
	h.run(tasks.Job{ID: "ver-3", Kind: "verification", Tenant: "rival", Spec: about}, "")
	h.run(tasks.Job{ID: "oth-1", Kind: "test", Tenant: "acme", Spec: about}, "") // about it, but no verification
	secret := bearer(h.token(wire.NewToken{Role: "viewer", Tenants: []string{"acme"}}))
	r := as[wire.Report](t, h.send("GET", s.at("/v1/jobs/mig-1/report"), nil, secret...))
	if len(r.Verifications) != 2 || r.Verifications[0].ID != "ver-2" || !r.Verifications[0].Equal || r.Verifications[1].Equal || r.Verifications[1].Differences != 1 || r.Verifications[0].Rows != 29 || r.Verifications[0].Quarantined != 1 {
		t.Errorf("%+v", r.Verifications)
	}
	r = as[wire.Report](t, h.send("GET", s.at("/v1/jobs/ver-2/report"), nil, secret...))
	if r.About == nil || r.About.ID != "mig-1" || r.About.Kind != "test" || r.About.State != tasks.Succeeded {
		t.Errorf("%+v", r.About)
	}
	if err := h.st.Forget(t.Context(), "mig-1"); err != nil {
		t.Fatal(err)
	}
	r = as[wire.Report](t, h.send("GET", s.at("/v1/jobs/ver-2/report"), nil, secret...))
	if r.About == nil || r.About.ID != "mig-1" || r.About.Kind != "" {
		t.Errorf("%+v", r.About)
	}
	h.run(tasks.Job{ID: "ver-4", Kind: "verification", Tenant: "acme", Spec: about}, "")                                                       // of a job that is gone: nothing is left behind of it
	keys := slices.DeleteFunc(h.rdb.Keys(t.Context(), "stint:{mig-1}*").Val(), func(k string) bool { return strings.HasSuffix(k, ":outbox") }) // which expires
	if len(keys) != 0 {
		t.Errorf("left: %v", keys)
	}
}

func TestTheTokenThatSubmittedAJobAndTheOneThatDrainedAWorkerAreNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	ada, eve := h.token(wire.NewToken{Name: "ada", Role: "submitter"}), h.token(wire.NewToken{Name: "eve", Role: "operator"})
	done := as[wire.Submitted](t, h.send("POST", s.at("/v1/jobs"), submission(1), bearer(ada)...))
	r := as[wire.Report](t, h.send("GET", s.at("/v1/jobs/"+done.ID+"/report"), nil, bearer(ada)...))
	if r.SubmittedBy != "ada" || r.Job.State != tasks.Accepted || r.DurationMS != 0 {
		t.Errorf("%+v", r)
	}
	h.beat(wire.Worker{ID: "w1"})
	if a := h.send("POST", s.at("/v1/workers/drain"), wire.Selection{All: true, Force: true}, bearer(eve)...); a.status != 202 {
		t.Fatal(a)
	}
	heard, err := h.st.Beat(t.Context(), wire.Worker{ID: "w1", State: wire.WorkerActive})
	if err != nil || heard.Wanted != wire.WantDrain || heard.WantedBy != "eve" {
		t.Errorf("%+v, %v", heard, err)
	}
}
