package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe"
)

// filer is a family whose jobs have left files behind.
type filer struct {
	enginetest.Family
	kind  string
	files map[string][]byte // by job/name
	err   error             // of every question
	short bool              // a file ends too soon
}

func (f *filer) Kind() string { return f.kind }

func (f *filer) Outputs(_ context.Context, job tasks.Job) ([]tasks.Output, error) {
	var list []tasks.Output
	for _, name := range []string{dedupe.OutputAnalysis, dedupe.OutputSummary} {
		if b, ok := f.files[job.ID+"/"+name]; ok {
			list = append(list, about(name, b))
		}
	}
	return list, f.err
}

func about(name string, b []byte) tasks.Output {
	return tasks.Output{Name: name, Size: int64(len(b)), Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(b)), ContentType: "application/x-ndjson"}
}

func (f *filer) OpenOutput(_ context.Context, job tasks.Job, name string) (io.ReadCloser, tasks.Output, error) {
	b, ok := f.files[job.ID+"/"+name]
	switch {
	case f.err != nil:
		return nil, tasks.Output{}, f.err
	case !ok:
		return nil, tasks.Output{}, tasks.ErrNoOutput
	case f.short:
		return io.NopCloser(io.MultiReader(bytes.NewReader(b[:len(b)/2]), broken{})), about(name, b), nil
	}
	return io.NopCloser(bytes.NewReader(b)), about(name, b), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the store is gone") }

// analysts are the kinds of jobs that dedupe has, without what they do.
func (h *house) analysts(files map[string][]byte) (*filer, func(*Options)) {
	f := &filer{Family: enginetest.Family{Effects: h.rdb}, kind: dedupe.Kind, files: files}
	return f, func(o *Options) {
		o.Families = append(o.Families, f, &filer{Family: f.Family, kind: dedupe.KindDeletion}, &filer{Family: f.Family, kind: dedupe.KindRestoration})
	}
}

func TestTheFilesOfAJobAreListedAndReadWithWhatProvesThatTheyAreWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text := bytes.Repeat([]byte("a line\n"), 200_000)
	f, with := h.analysts(map[string][]byte{"ded-1/analysis.jsonl": text})
	s := h.serve(with)
	h.run(tasks.Job{ID: "ded-1", Kind: "dedupe", Spec: json.RawMessage(`{"store":"sync"}`)}, "ada")
	h.job("tes-1", "")
	sum := sha256.Sum256(text)
	list := as[wire.Outputs](t, h.send("GET", s.at("/v1/jobs/ded-1/outputs"), nil))
	if len(list.Outputs) != 1 || list.Outputs[0] != about("analysis.jsonl", text) {
		t.Errorf("%+v", list)
	}
	at := s.at("/v1/jobs/ded-1/outputs/analysis.jsonl")
	got := h.send("GET", at, nil)
	for name, want := range map[string]string{"Content-Type": "application/x-ndjson", "Content-Disposition": "attachment; filename=analysis.jsonl", "Content-Length": fmt.Sprint(len(text)),
		"Etag": fmt.Sprintf(`"sha256:%x"`, sum), "Repr-Digest": "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.status != 200 || !bytes.Equal(got.body, text) {
		t.Errorf("%d, %d bytes", got.status, len(got.body))
	}
	if got := h.send("GET", at, nil, "If-None-Match", `"x", `+fmt.Sprintf(`W/"sha256:%x"`, sum)); got.status != 304 || len(got.body) > 0 {
		t.Errorf("of what is known already: %s", got)
	}
	if got := h.send("HEAD", at, nil); got.status != 200 || got.header.Get("Etag") == "" || len(got.body) > 0 {
		t.Errorf("of HEAD: %s", got)
	}
	if p := h.send("GET", at+"x", nil).problem(t); p.Status != 404 || p.Hint == "" {
		t.Errorf("of a file that is not there: %+v", p)
	}
	if p := h.send("GET", s.at("/v1/jobs/tes-1/outputs"), nil).problem(t); p.Status != 422 || p.Hint == "" {
		t.Errorf("of a kind without files: %+v", p)
	}
	f.short = true
	if got, err := h.try("GET", at, nil); err == nil {
		t.Errorf("half a file looks like the whole: %d, %d of %d bytes", got.status, len(got.body), len(text))
	}
	f.err = errors.New("the bucket does not answer")
	for _, path := range []string{at, s.at("/v1/jobs/ded-1/outputs"), s.at("/v1/analyses/ded-1")} {
		if p := h.send("GET", path, nil).problem(t); p.Status != 503 {
			t.Errorf("%s while the artifacts are away: %+v", path, p)
		}
	}
}

func TestTheClientReadsTheFilesOfAJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, with := h.analysts(map[string][]byte{"ded-1/analysis.jsonl": []byte("abc"), "ded-1/summary.txt": []byte("d")})
	c := h.dial(h.serve(with).at(""), "")
	h.run(tasks.Job{ID: "ded-1", Kind: "dedupe", Spec: json.RawMessage(`{"store":"sync"}`)}, "ada")
	list, err := c.Outputs(t.Context(), "ded-1")
	if err != nil || len(list) != 2 || list[1].Name != "summary.txt" {
		t.Errorf("%+v %v", list, err)
	}
	body, o, err := c.Output(t.Context(), "ded-1", "analysis.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil || string(text) != "abc" || o != about("analysis.jsonl", text) {
		t.Errorf("%q %+v %v", text, o, err)
	}
	var p *wire.Problem
	if _, _, err := c.Output(t.Context(), "ded-1", "x/y"); !errors.As(err, &p) || p.Code != wire.CodeNotFound {
		t.Errorf("of a file that is not there: %v", err)
	}
}

func TestAnAnalysisIsAppliedAsItWasSeenByAnOperatorWhoseNameTheJobHas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text := []byte("{}\n")
	_, with := h.analysts(map[string][]byte{"ded-1/analysis.jsonl": text})
	s := h.serve(with)
	h.run(tasks.Job{ID: "ded-1", Kind: "dedupe", Tenant: "acme", Spec: json.RawMessage(`{"store":"sync","layout":{"registry":{}},"rules":{}}`)}, "ada")
	ada := bearer(h.token(wire.NewToken{Name: "ada", Role: "operator", Tenants: []string{"acme"}}))
	at := s.at("/v1/analyses/ded-1/apply")

	for _, body := range []string{`{}`, `{"limit":-1}`, `{"limit":1,"digest":"x"}`, `{"limit":1,"busy":2}`, `{"limit":1,"limits":2}`} {
		if got := h.send("POST", at, body, ada...); got.status != 422 {
			t.Errorf("%s: %s", body, got)
		}
	}
	other := about("", []byte("x")).Digest
	if p := h.send("POST", at, `{"limit":1,"digest":"`+other+`"}`, ada...).problem(t); p.Status != 409 || !strings.Contains(p.Detail, "not the one that was seen") {
		t.Errorf("another digest: %+v", p)
	}
	done := h.send("POST", at, `{"limit":3,"recency_days":10,"max_lag":"5s","labels":{"approved_by":"nobody","team":"data"}}`, ada...)
	d := as[wire.Submitted](t, done)
	if done.status != 202 || done.header.Get("Location") != "/v1/jobs/"+d.ID || !strings.HasPrefix(d.ID, "del-") {
		t.Fatalf("%s", done)
	}
	v := as[wire.Job](t, h.send("GET", s.at("/v1/jobs/"+d.ID), nil, ada...))
	want := `{"job":"ded-1","store":"sync","digest":"` + about("", text).Digest + `","apply":{"limit":3,"recency_days":10,"max_lag":"5s"}}`
	if string(v.Spec) != want || v.Kind != "deletion" || v.Tenant != "acme" || v.Labels["approved_by"] != "ada" || v.Labels["team"] != "data" {
		t.Errorf("%+v\n%s\nwant\n%s", v, v.Spec, want)
	}
	again := h.send("POST", at, `{"limit":3,"recency_days":10,"max_lag":"5s","digest":"`+about("", text).Digest+`","labels":{"team":"data"}}`, ada...)
	if a := as[wire.Submitted](t, again); a.ID != d.ID || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same once more: %s", again)
	}
	if a := as[wire.Submitted](t, h.send("POST", at, `{"limit":4}`, ada...)); a.ID == d.ID {
		t.Error("another limit is the same job")
	}
	if a := as[wire.Submitted](t, h.send("POST", at, `{"limit":3}`, append(ada, "Idempotency-Key", "mine")...)); a.ID == d.ID {
		t.Error("another key is the same job")
	}
	shown := as[wire.Analysis](t, h.send("GET", s.at("/v1/analyses/ded-1"), nil, ada...))
	if shown.Job.ID != "ded-1" || len(shown.Outputs) != 1 || len(shown.Deletions) != 3 {
		t.Errorf("%+v", shown)
	}
	if list := as[wire.Jobs](t, h.send("GET", s.at("/v1/analyses?limit=10"), nil, ada...)); len(list.Jobs) != 1 || list.Jobs[0].ID != "ded-1" {
		t.Errorf("%+v", list)
	}
	stranger := bearer(h.token(wire.NewToken{Role: "operator", Tenants: []string{"other"}}))
	if got := h.send("POST", at, `{"limit":1}`, stranger...); got.status != 404 {
		t.Errorf("of another tenant: %s", got)
	}
	if list := as[wire.Jobs](t, h.send("GET", s.at("/v1/analyses"), nil, stranger...)); len(list.Jobs) != 0 {
		t.Errorf("another tenant sees %+v", list)
	}
}

func TestAnAnalysisThatIsNotWholeIsNotApplied(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, with := h.analysts(map[string][]byte{"ded-both/analysis.jsonl": []byte("{}\n")})
	s := h.serve(with)
	for id, spec := range map[string]string{"ded-gone": `{"store":"sync"}`, "ded-both": `{"store":"sync","apply":{"limit":1}}`} {
		h.run(tasks.Job{ID: id, Kind: "dedupe", Spec: json.RawMessage(spec)}, "ada")
	}
	h.run(tasks.Job{ID: "tes-1", Kind: "test"}, "ada")
	enginetest.Submit(t, h.rdb, h.st, tasks.Job{ID: "ded-runs", Kind: "dedupe", Spec: json.RawMessage(`{"store":"sync"}`)})
	for id, want := range map[string]int{"ded-runs": 409, "ded-gone": 409, "ded-both": 409, "tes-1": 404, "nothing": 404} {
		if p := h.send("POST", s.at("/v1/analyses/"+id+"/apply"), `{"limit":1}`).problem(t); p.Status != want || want == 409 && p.Hint == "" {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if p := h.send("GET", s.at("/v1/analyses/tes-1"), nil).problem(t); p.Status != 404 {
		t.Errorf("a job of another kind as an analysis: %+v", p)
	}
}

func TestWhatWasDeletedIsPutBackForTheTenantItWasDeletedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, with := h.analysts(nil)
	s := h.serve(with)
	h.run(tasks.Job{ID: "del-1", Kind: "deletion", Tenant: "acme", Spec: json.RawMessage(`{"job":"ded-1","store":"sync"}`)}, "ada")
	h.run(tasks.Job{ID: "ded-both", Kind: "dedupe", Spec: json.RawMessage(`{"store":"sync","apply":{"limit":1}}`)}, "ada")
	h.run(tasks.Job{ID: "ded-look", Kind: "dedupe", Spec: json.RawMessage(`{"store":"sync"}`)}, "ada")
	enginetest.Submit(t, h.rdb, h.st, tasks.Job{ID: "del-runs", Kind: "deletion", Spec: json.RawMessage(`{"job":"ded-1","store":"sync"}`)})
	got := h.send("POST", s.at("/v1/deletions/del-1/undo"), `{"sets":[{"customer":"7","database":"b"}]}`)
	v := as[wire.Job](t, h.send("GET", s.at("/v1/jobs/"+as[wire.Submitted](t, got).ID), nil))
	if want := `{"job":"del-1","store":"sync","sets":[{"customer":"7","database":"b"}]}`; got.status != 202 || string(v.Spec) != want || v.Kind != "restoration" || v.Tenant != "acme" || v.Labels["approved_by"] != "loopback" {
		t.Errorf("%s\n%+v\n%s", got, v, v.Spec)
	}
	again := as[wire.Submitted](t, h.send("POST", s.at("/v1/deletions/del-1/undo"), `{"sets":[{"customer":"7","database":"b"}]}`))
	if again.ID == v.ID {
		t.Error("what is asked for without a key a second time is the first job, which may have ended before the rows were deleted again")
	}
	for id, want := range map[string]int{"ded-both": 202, "ded-look": 404, "del-runs": 409, "nothing": 404} {
		if got := h.send("POST", s.at("/v1/deletions/"+id+"/undo"), `{}`); got.status != want {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestOnlyAnOperatorLetsInWhatDeletesByWhicheverRoute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, with := h.analysts(map[string][]byte{"ded-1/analysis.jsonl": []byte("{}\n")})
	s := h.serve(with)
	h.run(tasks.Job{ID: "ded-1", Kind: "dedupe", Spec: json.RawMessage(`{"store":"sync"}`)}, "ada")
	h.run(tasks.Job{ID: "del-1", Kind: "deletion", Spec: json.RawMessage(`{"job":"ded-1","store":"sync"}`)}, "ada")
	submitter, boss := bearer(h.token(wire.NewToken{Role: "submitter"})), bearer(h.token(wire.NewToken{Name: "boss", Role: "operator"}))
	for _, c := range []struct {
		path, body string
		submitter  int
	}{
		{"/v1/jobs", `{"kind":"dedupe","spec":{"store":"sync"}}`, 202},
		{"/v1/dedupes", `{"spec":{"store":"sync","apply":null}}`, 202},
		{"/v1/dedupes", `{"spec":{"store":"sync","apply":{"limit":1}}}`, 403},
		{"/v1/dedupes", `{"spec":{"store":"sync","APPLY":{"limit":1}}}`, 403},
		{"/v1/dedupes", `{"spec":{"store":"sync","keep_archives":"1s"}}`, 403},
		{"/v1/jobs", `{"kind":"deletion","spec":{"job":"ded-1","store":"sync"}}`, 403},
		{"/v1/jobs", `{"kind":"restoration","spec":{"job":"del-1","store":"sync"}}`, 403},
		{"/v1/analyses/ded-1/apply", `{"limit":1}`, 403},
		{"/v1/deletions/del-1/undo", `{}`, 403},
		{"/v1/jobs/del-1/restart", ``, 403},
	} {
		if got := h.send("POST", s.at(c.path), c.body, submitter...); got.status != c.submitter || c.submitter == 403 && got.problem(t).Hint == "" {
			t.Errorf("a submitter, %s %s: %s", c.path, c.body, got)
		}
		if got := h.send("POST", s.at(c.path), c.body, boss...); got.status != 202 && got.status != 200 {
			t.Errorf("an operator, %s %s: %s", c.path, c.body, got)
		}
	}
	list := as[wire.Jobs](t, h.send("GET", s.at("/v1/jobs?label=approved_by=boss"), nil, boss...))
	if len(list.Jobs) != 7 {
		t.Errorf("%d jobs say that boss has let them in, want 7", len(list.Jobs))
	}
}
