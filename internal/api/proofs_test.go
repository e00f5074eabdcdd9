package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func TestAVerificationProvesNoJobOfAnotherTenantOrOfOtherDatabases(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(func(o *Options) { o.Families = append(o.Families, &verifying{}) })
	root := bearer(h.token(wire.NewToken{Role: "admin"}))
	h.run(tasks.Job{ID: "mig-1", Kind: "test", Tenant: "acme", Spec: json.RawMessage(`{"source":"a","target":"b","plan":{"name":"x","stages":[{"name":"t"}],"verify":{"rows":"none"}}}`)}, "")
	for id, v := range map[string]struct{ tenant, spec string }{
		"ver-plain":  {"acme", `{"source":"a","target":"b","job":"mig-1"}`},
		"ver-plan":   {"acme", `{"source":"a","target":"b","job":"mig-1","plan":{"stages":[{"name":"t"}],"verify":{"rows":"all"},"window":3}}`},
		"ver-other":  {"acme", `{"source":"a","target":"b","job":"mig-1","plan":{"stages":[{"name":"t","filter":"false"}]}}`},
		"ver-source": {"acme", `{"source":"c","target":"b","job":"mig-1"}`},
		"ver-target": {"acme", `{"source":"a","target":"c","job":"mig-1"}`},
		"ver-none":   {"acme", `{"job":"mig-1"}`},
		"ver-rival":  {"rival", `{"source":"a","target":"b","job":"mig-1"}`},
	} {
		h.run(tasks.Job{ID: id, Kind: "verification", Tenant: v.tenant, Spec: json.RawMessage(v.spec)}, "") // as a schedule does, whom nobody asks
	}
	r := as[wire.Report](t, h.send("GET", s.at("/v1/jobs/mig-1/report"), nil, root...))
	got := map[string]bool{}
	for _, v := range r.Verifications {
		got[v.ID] = true
	}
	if len(got) != 2 || !got["ver-plain"] || !got["ver-plan"] {
		t.Errorf("proved by %v", got)
	}
	for id, kind := range map[string]string{"ver-plain": "test", "ver-rival": ""} {
		if r := as[wire.Report](t, h.send("GET", s.at("/v1/jobs/"+id+"/report"), nil, root...)); r.About == nil || r.About.Kind != kind {
			t.Errorf("%s is about %+v", id, r.About)
		}
	}
}

func TestAVerificationThatNamesAJobWhichItCannotProveIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(func(o *Options) { o.Families = append(o.Families, &verifying{}) })
	root, acme := bearer(h.token(wire.NewToken{Role: "admin"})), bearer(h.token(wire.NewToken{Role: "submitter", Tenants: []string{"acme"}}))
	for id, tenant := range map[string]string{"mig-mine": "acme", "mig-rival": "rival"} {
		h.run(tasks.Job{ID: id, Kind: "test", Tenant: tenant, Spec: json.RawMessage(`{"source":"a","target":"b"}`)}, "")
	}
	submit := func(header []string, job, more string) answered {
		return h.send("POST", s.at("/v1/verifications"), `{"tenant":"acme","spec":{"job":"`+job+`",`+more+`}}`, header...)
	}
	gone, rival := submit(acme, "mig-gone", `"source":"a","target":"b"`), submit(acme, "mig-rival", `"source":"a","target":"b"`)
	said := func(a answered) string {
		var p wire.Problem
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		return p.Title + p.Detail + p.Hint
	}
	if gone.status != 404 || rival.status != 404 || strings.ReplaceAll(said(rival), "mig-rival", "mig-gone") != said(gone) || !strings.Contains(said(gone), "any_job") {
		t.Errorf("another tenant's job is told from none: %d %s, %d %s", gone.status, gone.body, rival.status, rival.body)
	}
	if got := submit(acme, "mig-rival", `"job":null,"source":"a","target":"b"`); got.status != 404 { // null leaves what was there
		t.Errorf("a job that is there twice: %d %s", got.status, got.body)
	}
	for _, c := range []struct {
		header          []string
		job, more, want string
	}{
		{acme, "mig-mine", `"source":"c","target":"b"`, "job mig-mine is of another source or target"},
		{acme, "mig-mine", `"source":"a","target":"c"`, "job mig-mine is of another source or target"},
		{root, "mig-rival", `"source":"a","target":"b"`, `job mig-rival is of the tenant \"rival\", and the verification of \"acme\"`},
	} {
		if got := submit(c.header, c.job, c.more); got.status != 422 || !strings.Contains(string(got.body), c.want) {
			t.Errorf("%s %s: %d %s", c.job, c.more, got.status, got.body)
		}
	}
	again := append([]string{"Idempotency-Key", "k"}, acme...)
	first := as[wire.Submitted](t, submit(again, "mig-mine", `"source":"a","target":"b"`))
	if err := h.st.Forget(t.Context(), "mig-mine"); err != nil {
		t.Fatal(err)
	}
	if got := as[wire.Submitted](t, submit(again, "mig-mine", `"source":"a","target":"b"`)); got.ID != first.ID {
		t.Errorf("the same request again: %+v, and was %+v", got, first)
	}
	if _, err := h.st.Control(t.Context(), first.ID, store.Cancel, "me", ""); err != nil {
		t.Fatal(err)
	}
	signs := `"source":"a","target":"b","plan":{"stages":[{"name":"t","filter":"a < 1 && b > 2"}]}`
	h.run(tasks.Job{ID: "mig-signs", Kind: "test", Tenant: "acme", Spec: json.RawMessage(`{` + signs + `}`)}, "")
	other := append([]string{"Idempotency-Key", "signs"}, acme...)
	written := as[wire.Submitted](t, submit(other, "mig-signs", signs))
	if err := h.st.Forget(t.Context(), "mig-signs"); err != nil {
		t.Fatal(err)
	}
	if got := submit(other, "mig-signs", signs); got.status/100 != 2 || as[wire.Submitted](t, got).ID != written.ID {
		t.Errorf("the same request again, with signs that JSON may write in two ways: %d %s", got.status, got.body)
	}
	// One that has ended takes other words when it is gone on with: they are looked at like those of a new one.
	if got := h.send("POST", s.at("/v1/verifications"), `{"tenant":"acme","continue":true,"spec":{"job":"mig-rival","source":"a","target":"b"}}`, again...); got.status != 404 {
		t.Errorf("gone on with for another tenant's job: %d %s", got.status, got.body)
	}
	if got := submit(acme, "*", `"source":"a","target":"b"`); got.status != 202 {
		t.Errorf("any job: %d %s", got.status, got.body)
	}
}
