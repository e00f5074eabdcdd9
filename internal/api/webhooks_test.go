package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func (h *house) hooks(list ...wire.WebhookDefinition) {
	h.t.Helper()
	if err := h.st.SetWebhooks(h.t.Context(), list); err != nil {
		h.t.Fatal(err)
	}
}

func TestASubmissionNamesWebhooksThatAreThereForItsTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hooks(wire.WebhookDefinition{Name: "all"}, wire.WebhookDefinition{Name: "acme", Tenants: []string{"acme"}}, wire.WebhookDefinition{Name: "other", Tenants: []string{"other"}})
	s := h.serve()
	acme := bearer(h.token(wire.NewToken{Role: "submitter", Tenants: []string{"acme"}}))
	for _, w := range []struct {
		notify string
		labels string
		status int
		want   string
	}{
		{`["all"]`, `{}`, 202, "all"},
		{`["all","acme","all"]`, `{"team":"x"}`, 202, "acme,all"},
		{`[]`, `{"notify":"whatever"}`, 202, "whatever"},
		{`["other"]`, `{}`, 422, ""},
		{`["nothing"]`, `{}`, 422, ""},
		{`["https://internal.example.com/"]`, `{}`, 422, ""},
		{`["all"]`, `{"notify":"acme"}`, 422, ""},
	} {
		got := h.send("POST", s.at("/v1/jobs"), fmt.Sprintf(`{"kind":"test","spec":{"stages":[1]},"notify":%s,"labels":%s}`, w.notify, w.labels), acme...)
		if got.status != w.status {
			t.Errorf("%s %s: %s", w.notify, w.labels, got)
			continue
		}
		if w.status == 422 {
			if p := got.problem(t); p.Hint == "" {
				t.Errorf("%s: no hint: %s", w.notify, got)
			}
			continue
		}
		v, err := h.st.View(t.Context(), as[wire.Submitted](t, got).ID)
		if err != nil || v.Labels[wire.NotifyLabel] != w.want {
			t.Errorf("%s: labels %v, %v", w.notify, v.Labels, err)
		}
	}
	one, two := h.send("POST", s.at("/v1/jobs"), `{"kind":"test","spec":{},"notify":["other"]}`, acme...), h.send("POST", s.at("/v1/jobs"), `{"kind":"test","spec":{},"notify":["elsewhere"]}`, acme...)
	if strings.ReplaceAll(one.problem(t).Detail, "other", "elsewhere") != two.problem(t).Detail {
		t.Errorf("a webhook of another tenant is told from none: %s, %s", one, two)
	}
}

func TestATokenOfOneTenantSeesAndTestsItsOwnWebhooksAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hooks(wire.WebhookDefinition{Name: "all", URL: "https://ops.example.com"}, wire.WebhookDefinition{Name: "acme", Tenants: []string{"acme"}, URL: "https://acme.example.com"},
		wire.WebhookDefinition{Name: "both", Tenants: []string{"acme", "other"}})
	s := h.serve()
	acme, boss := bearer(h.token(wire.NewToken{Role: "operator", Tenants: []string{"acme"}})), bearer(h.token(wire.NewToken{Role: "operator"}))
	if got := as[wire.Webhooks](t, h.send("GET", s.at("/v1/webhooks"), nil, acme...)); len(got.Webhooks) != 1 || got.Webhooks[0].Name != "acme" || got.Webhooks[0].URL != "https://acme.example.com" {
		t.Errorf("acme sees %+v", got)
	}
	if got := as[wire.Webhooks](t, h.send("GET", s.at("/v1/webhooks"), nil, boss...)); len(got.Webhooks) != 3 {
		t.Errorf("the operator sees %+v", got)
	}
	made := as[wire.Delivery](t, h.send("POST", s.at("/v1/webhooks/all/test"), nil, boss...))
	for _, name := range []string{"all", "both", "nothing"} {
		for _, r := range [][2]string{{"GET", "/deliveries"}, {"GET", "/deliveries/" + made.ID}, {"POST", "/deliveries/" + made.ID + "/redeliver"}, {"POST", "/test"}} {
			got := h.send(r[0], s.at("/v1/webhooks/"+name+r[1]), nil, acme...)
			if p := got.problem(t); got.status != 404 || p.Detail != fmt.Sprintf("there is no webhook %q", name) {
				t.Errorf("%s %s%s: %s", r[0], name, r[1], got)
			}
		}
	}
	own := h.send("POST", s.at("/v1/webhooks/acme/test"), nil, acme...)
	d := as[wire.Delivery](t, own)
	if own.status != 202 || d.Event != wire.EventTest || d.State != wire.DeliveryPending || d.NextAt == nil {
		t.Fatalf("test: %s", own)
	}
	if got := h.send("POST", s.at("/v1/webhooks/acme/deliveries/"+made.ID+"/redeliver"), nil, acme...); got.status != 404 {
		t.Errorf("a delivery of another webhook: %s", got)
	}
	if got := h.send("POST", s.at("/v1/webhooks/acme/deliveries/"+d.ID+"/redeliver"), nil, acme...); got.status != 202 {
		t.Errorf("redeliver: %s", got)
	}
	if got := as[wire.Deliveries](t, h.send("GET", s.at("/v1/webhooks/acme/deliveries?state=pending&limit=5"), nil, acme...)); len(got.Deliveries) != 1 || got.Deliveries[0].ID != d.ID {
		t.Errorf("deliveries: %+v", got)
	}
	if got := as[wire.Deliveries](t, h.send("GET", s.at("/v1/webhooks/acme/deliveries?state=gave_up"), nil, acme...)); len(got.Deliveries) != 0 {
		t.Errorf("deliveries: %+v", got)
	}
}

func TestTheClientSeesAndSendsMessages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hooks(wire.WebhookDefinition{Name: "crm"})
	c, err := client.New(client.Options{Server: h.serve().at(""), HTTP: h.client})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Webhooks(t.Context())
	if err != nil || len(list) != 1 || list[0].State != wire.WebhookActive {
		t.Errorf("%+v %v", list, err)
	}
	d, err := c.TestWebhook(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Deliveries(t.Context(), "crm", wire.DeliveryPending, 10)
	if err != nil || len(all) != 1 || all[0].ID != d.ID {
		t.Errorf("%+v %v", all, err)
	}
	if one, err := c.Delivery(t.Context(), "crm", d.ID); err != nil || one.Event != wire.EventTest {
		t.Errorf("%+v %v", one, err)
	}
	if again, err := c.Redeliver(t.Context(), "crm", d.ID); err != nil || again.ID != d.ID {
		t.Errorf("%+v %v", again, err)
	}
	var p *wire.Problem
	if _, err := c.Delivery(t.Context(), "crm", "msg_none"); !errors.As(err, &p) || p.Code != wire.CodeNotFound {
		t.Errorf("%v", err)
	}
}

func TestASubmitterOfOneTenantSteersItsOwnJobsWithEachVerbAndNoOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	mine := bearer(h.token(wire.NewToken{Role: "submitter", Tenants: []string{"acme"}}))
	id := as[wire.Submitted](t, h.send("POST", s.at("/v1/jobs"), submission(1), mine...)).ID
	h.job("job-other", "other")
	before, err := h.st.View(t.Context(), "job-other")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		verb  string
		state tasks.State
	}{{"pause", tasks.Paused}, {"resume", tasks.Accepted}, {"cancel", tasks.Cancelled}, {"restart", tasks.Accepted}} {
		got := h.send("POST", s.at("/v1/jobs/"+id+"/"+step.verb), nil, mine...)
		if c := as[wire.Controlled](t, got); got.status != 200 || c.State != step.state {
			t.Errorf("%s: %s", step.verb, got)
		}
		if got := h.send("POST", s.at("/v1/jobs/job-other/"+step.verb), nil, mine...); got.status != 404 {
			t.Errorf("%s of another tenant's: %s", step.verb, got)
		}
	}
	h.fail(id)
	if got := h.send("POST", s.at("/v1/jobs/"+id+"/retry"), nil, mine...); got.status != 200 {
		t.Errorf("retry: %s", got)
	}
	if got := h.send("POST", s.at("/v1/jobs/job-other/retry"), nil, mine...); got.status != 404 {
		t.Errorf("retry of another tenant's: %s", got)
	}
	for _, path := range []string{"", "/report", "/events"} {
		if got := h.send("GET", s.at("/v1/jobs/"+id+path), nil, append(slices.Clone(mine), "Accept", "application/json")...); got.status != 200 {
			t.Errorf("GET %s: %s", path, got)
		}
	}
	if after, err := h.st.View(t.Context(), "job-other"); err != nil || after.State != before.State || after.Epoch != before.Epoch {
		t.Errorf("the job of another tenant was touched: %+v %v", after, err)
	}
}

// fail lets the planning of a job fail for good.
func (h *house) fail(id string) {
	h.t.Helper()
	ctx := h.t.Context()
	v, err := h.st.View(ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	var delivery int64
	for n := int64(1); n < 20; n++ { // the delivery that is out
		b, err := h.st.Begin(ctx, store.Ref{Job: id, Epoch: v.Epoch, Key: "p", Delivery: n}, "attempt", "w", "v")
		if err != nil {
			h.t.Fatal(err)
		}
		if b.Code == store.Begun {
			delivery = n
			break
		}
	}
	if _, _, err := h.st.Fail(ctx, store.Ref{Job: id, Epoch: v.Epoch, Key: "p", Delivery: delivery}, "attempt", "w", store.Failure{Reason: "broken", Permanent: true}); err != nil {
		h.t.Fatal(err)
	}
}

func TestATenantGetsAroundItsLimitByNothingThatItCanSay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	if err := h.st.SetLimits(t.Context(), "acme", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	mine := bearer(h.token(wire.NewToken{Role: "submitter", Tenants: []string{"acme"}}))
	bodies := []string{
		`{"kind":"test","spec":{"stages":[1]}}`, `{"kind":"test","spec":{"stages":[1]},"priority":100}`, `{"kind":"test","spec":{"stages":[1]},"window":10000}`,
		`{"kind":"test","spec":{"stages":[1]},"labels":{"schedule":"x","tenant":"other"}}`, `{"kind":"other","spec":{"stages":[1]},"queue":"fast"}`,
		`{"kind":"test","spec":{"stages":[1]},"tenant":"acme","continue":true}`,
	}
	var ids []string
	for _, body := range bodies {
		got := h.send("POST", s.at("/v1/jobs"), body, mine...)
		if got.status != 202 {
			t.Fatalf("%s: %s", body, got)
		}
		ids = append(ids, as[wire.Submitted](t, got).ID)
	}
	h.oneRuns(ids)
	for _, verb := range []string{"cancel", "restart"} {
		for _, id := range ids {
			if got := h.send("POST", s.at("/v1/jobs/"+id+"/"+verb), nil, mine...); got.status != 200 {
				t.Errorf("%s: %s", verb, got)
			}
		}
	}
	h.oneRuns(ids)
	for range 3 { // whoever looks after the counts
		if _, err := h.st.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.oneRuns(ids)
	// The jobs that wait come in one after the other as those before them end.
	for left := len(ids); left > 0; left-- {
		running := h.oneRuns(ids)
		if got := h.send("POST", s.at("/v1/jobs/"+running+"/cancel"), nil, mine...); got.status != 200 {
			t.Fatalf("cancel: %s", got)
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == running })
	}
	// Another tenant's key stands for another job.
	if err := h.st.SetLimits(t.Context(), "acme", wire.Limits{}); err != nil {
		t.Fatal(err)
	}
	other := bearer(h.token(wire.NewToken{Role: "submitter", Tenants: []string{"other"}}))
	one := as[wire.Submitted](t, h.send("POST", s.at("/v1/jobs"), submission(1), append(slices.Clone(mine), "Idempotency-Key", "k")...))
	got := h.send("POST", s.at("/v1/jobs"), submission(2), append(slices.Clone(other), "Idempotency-Key", "k")...)
	if two := as[wire.Submitted](t, got); got.status != 202 || two.Outcome != wire.OutcomeCreated || one.ID == two.ID {
		t.Errorf("the key of another tenant: %s", got)
	}
	if got := h.send("POST", s.at("/v1/jobs"), `{"kind":"test","spec":{"stages":[2]},"tenant":"acme","continue":true}`, append(slices.Clone(other), "Idempotency-Key", "k")...); got.status != 403 {
		t.Errorf("for another tenant: %s", got)
	}
}

// oneRuns fails the test unless exactly one of the jobs is held by nothing, and returns it.
func (h *house) oneRuns(ids []string) string {
	h.t.Helper()
	var running []string
	for _, id := range ids {
		v, err := h.st.View(h.t.Context(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		if v.Held == "" {
			running = append(running, id)
		}
	}
	if len(running) != 1 {
		h.t.Fatalf("%d jobs run, want 1 of %d", len(running), len(ids))
	}
	return running[0]
}

// drafting is a kind of jobs that can be drafted, and whose drafts have sizes.
type drafting struct {
	enginetest.Family
	draft string
}

func (*drafting) Kind() string { return "drafting" }

func (d *drafting) Draft(context.Context, tasks.Job) (json.RawMessage, error) {
	return json.RawMessage(d.draft), nil
}

func TestADraftSaysHowLongTheJobWillTakeByWhatOthersHaveReached(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := &drafting{draft: `{"stages":[{"rows":1000,"bytes":500},{"rows":3000},{"rows":-1}]}`}
	s := h.serve(func(o *Options) { o.Families = append(o.Families, d) })
	ask := func(target string) wire.Draft {
		t.Helper()
		got := h.send("POST", s.at("/v1/drafts"), `{"kind":"drafting","spec":{"target":"`+target+`"}}`)
		if got.status != 200 {
			t.Fatalf("%s", got)
		}
		return as[wire.Draft](t, got)
	}
	if e := ask("cloud").Estimate; e == nil || e.Rows != 4000 || e.Bytes == nil || *e.Bytes != 500 || e.Seconds != nil || e.Basis != wire.BasisUnknown {
		t.Errorf("without a job before it: %+v", e)
	}
	h.past("cloud", 2000, 10*time.Second)
	if e := ask("cloud").Estimate; e == nil || e.Seconds == nil || *e.Seconds < 19.9 || *e.Seconds > 60 || e.Basis != wire.BasisHistory || e.Jobs != 1 {
		t.Errorf("after a job of 200 rows a second: %+v", e)
	}
	if e := ask("elsewhere").Estimate; e == nil || e.Seconds != nil {
		t.Errorf("into another target: %+v", e)
	}
	d.draft = `{"stages":[{"rows_estimated":500},{"rows_estimated":300}]}`
	if e := ask("cloud").Estimate; e == nil || e.Rows != 800 {
		t.Errorf("of a plan that was tried: %+v", e)
	}
	d.draft = `{"stages":[{"rows_estimated":500},{"rows_estimated":0}]}`
	if e := ask("cloud").Estimate; e != nil {
		t.Errorf("of a plan of which nobody knows how many rows a stage has: %+v", e)
	}
	d.draft = `{"pairs":3}`
	if e := ask("cloud").Estimate; e != nil {
		t.Errorf("of a family that says nothing of rows: %+v", e)
	}
}

// past lets a job of the kind drafting succeed that read so many rows in so much time.
func (h *house) past(target string, rows int64, took time.Duration) {
	h.t.Helper()
	ctx := h.t.Context()
	out, _, err := h.st.Create(ctx, tasks.Job{ID: "dra-" + store.RandomID(), Kind: "drafting", Spec: json.RawMessage(`{"target":"` + target + `"}`)})
	if err != nil {
		h.t.Fatal(err)
	}
	run := func(settle func(r store.Ref) (store.Handout, error)) {
		h.t.Helper()
		r := out.Enqueue[0]
		if b, err := h.st.Begin(ctx, r, "attempt", "w", "v"); err != nil || b.Code != store.Begun {
			h.t.Fatal(b, err)
		}
		if out, err = settle(r); err != nil {
			h.t.Fatal(err)
		}
	}
	run(func(r store.Ref) (store.Handout, error) {
		return h.st.PlanDone(ctx, r, "attempt", []tasks.Stage{{Name: "load"}})
	})
	run(func(r store.Ref) (store.Handout, error) {
		return h.st.SplitDone(ctx, r, "attempt", []tasks.Step{{ID: "1"}}, nil)
	})
	id := out.Enqueue[0].Job
	now := time.Now()
	h.rdb.HSet(ctx, "stint:{"+id+"}", "started", now.Add(-took).UnixMilli())
	run(func(r store.Ref) (store.Handout, error) {
		return h.st.End(ctx, r, "attempt", tasks.Counters{Read: rows}, nil)
	})
	if _, err := h.st.Gather(ctx, id, nil); err != nil {
		h.t.Fatal(err)
	}
}

func TestAJobThatMayNotUseItsConnectionsIsRefusedWhereverItComesIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := &drafting{draft: `{}`}
	s := h.serve(func(o *Options) {
		o.Families = append(o.Families, d)
		o.Allow = func(job tasks.Job, stranger bool) error {
			if job.Tenant != "other" && strings.Contains(string(job.Spec), "theirs") || stranger && strings.Contains(string(job.Spec), "url-") {
				return tasks.WithHint(errors.New("not for you"), "name another", "refused")
			}
			return nil
		}
	})
	mine, boss := bearer(h.token(wire.NewToken{Role: "operator", Tenants: []string{"acme"}})), bearer(h.token(wire.NewToken{Role: "operator"}))
	for _, r := range []struct{ method, path, body string }{
		{"POST", "/v1/jobs", `{"kind":"test","tenant":"acme","spec":{"target":"%s"}}`},
		{"POST", "/v1/drafts", `{"kind":"drafting","tenant":"acme","spec":{"target":"%s"}}`},
		{"PUT", "/v1/schedules/s", `{"every":"1h","job":{"kind":"test","tenant":"acme","spec":{"target":"%s"}}}`},
	} {
		for target, want := range map[string][2]bool{"theirs": {false, false}, "url-1": {false, true}, "cloud": {true, true}} {
			for i, who := range [][]string{mine, boss} {
				got := h.send(r.method, s.at(r.path), fmt.Sprintf(r.body, target), who...)
				if ok := got.status < 300; ok != want[i] || !ok && (got.status != http.StatusUnprocessableEntity || got.problem(t).Hint == "") {
					t.Errorf("%s %s %s by %d: %s", r.method, r.path, target, i, got)
				}
			}
		}
	}
}
