package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
)

// rights says who may do what: the least role of each operation, and whether it is for tokens of all tenants only. It is written
// by hand, and a route that does not stand here fails.
var rights = map[string]needs{
	"about": {role: viewer}, "list-kinds": {role: viewer}, "list-tenants": {role: viewer}, "list-queues": {role: viewer}, "get-queue": {role: viewer},
	"list-jobs": {role: viewer}, "count-jobs": {role: viewer}, "get-job": {role: viewer}, "report-job": {role: viewer}, "list-rejects": {role: viewer}, "job-events": {role: viewer},
	"list-logs": {role: viewer}, "get-log": {role: viewer}, "list-outputs": {role: viewer}, "get-output": {role: viewer}, "list-analyses": {role: viewer}, "get-analysis": {role: viewer},
	"list-webhooks": {role: viewer}, "list-deliveries": {role: viewer}, "get-delivery": {role: viewer}, "redeliver": {role: operator}, "test-webhook": {role: operator},
	"list-schedules": {role: viewer}, "get-schedule": {role: viewer}, "list-ticks": {role: viewer}, "list-fences": {role: viewer},
	"list-workers": {role: viewer}, "get-worker": {role: viewer}, "worker-drained": {role: viewer},

	"submit-job": {role: submitter}, "draft-job": {role: submitter}, "pause-job": {role: submitter}, "resume-job": {role: submitter},
	"cancel-job": {role: submitter}, "retry-job": {role: submitter}, "restart-job": {role: submitter},

	"list-alerts": {role: viewer, fleet: true}, "get-alert": {role: viewer, fleet: true}, "list-alert-rules": {role: viewer, fleet: true}, "list-alert-silences": {role: viewer, fleet: true},
	"acknowledge-alert": {role: operator, fleet: true}, "release-alert": {role: operator, fleet: true}, "silence-alert": {role: operator, fleet: true}, "resolve-alert": {role: operator, fleet: true},
	"silence-alert-rules": {role: operator, fleet: true}, "end-alert-silence": {role: operator, fleet: true},
	"get-build": {role: viewer}, "promote-build": {role: operator}, "list-environments": {role: viewer}, "apply-analysis": {role: operator}, "undo-deletion": {role: operator},
	"put-schedule": {role: operator}, "delete-schedule": {role: operator}, "pause-schedule": {role: operator}, "resume-schedule": {role: operator},
	"run-schedule": {role: operator}, "set-fence": {role: operator, fleet: true}, "lift-fences": {role: operator, fleet: true},
	"drain-worker": {role: operator, fleet: true}, "undrain-worker": {role: operator, fleet: true}, "drain-workers": {role: operator, fleet: true},
	"undrain-workers": {role: operator, fleet: true}, "begin-maintenance": {role: operator, fleet: true}, "end-maintenance": {role: operator, fleet: true},

	"set-limits": {role: admin, fleet: true}, "list-tokens": {role: admin, fleet: true}, "make-token": {role: admin, fleet: true},
	"revoke-token": {role: admin, fleet: true}, "audit": {role: admin, fleet: true},

	"livez": {open: true}, "readyz": {open: true},
}

// operation is one of the OpenAPI document.
type operation struct{ id, method, path string }

func operations(a *API) []operation {
	var list []operation
	for path, item := range a.huma.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete, http.MethodPatch: item.Patch} {
			if op != nil {
				list = append(list, operation{op.OperationID, method, path})
			}
		}
	}
	return list
}

func TestEachRouteIsOpenToThoseOnlyWhomTheTableNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := h.api()
	h.job("job-1", "acme")
	later := time.Now().Add(time.Hour)
	secrets := map[string]string{"nobody": "", "wrong": "stint_0123456789ab_AAAA", "no scheme": "?", "expired": h.expired()}
	for _, r := range roles {
		secrets[string(r)] = h.token(wire.NewToken{Role: string(r), ExpiresAt: &later})
		secrets[string(r)+" of acme"] = h.token(wire.NewToken{Role: string(r), Tenants: []string{"acme"}})
	}
	s := h.start(a, ServerOptions{})
	seen := map[string]bool{}
	for _, op := range operations(a) {
		want, ok := rights[op.id]
		if !ok {
			t.Errorf("%s (%s %s) is not in the table of rights", op.id, op.method, op.path)
			continue
		}
		seen[op.id] = true
		for who, secret := range secrets {
			var body any
			if op.method == http.MethodPost || op.method == http.MethodPut {
				body = "{" // who is let in is told that this is no JSON, and changes nothing; a route without a body ignores it
			}
			path := strings.ReplaceAll(op.path, "{id}", "nothing")
			headers := bearer(secret)
			if who == "no scheme" {
				headers = []string{"Authorization", secrets["admin"]}
			}
			a.strangers.forget()
			got := h.send(op.method, s.at(path), body, headers...)
			name, scoped := strings.CutSuffix(who, " of acme")
			switch known := roleOf(name); {
			case want.open:
				expect(t, op, who, got, http.StatusOK)
			case known == "":
				expect(t, op, who, got, http.StatusUnauthorized)
				if got.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s by %s: no WWW-Authenticate", op.id, who)
				}
			case !known.allows(want.role) || scoped && want.fleet:
				expect(t, op, who, got, http.StatusForbidden)
			case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden || got.status >= 500:
				t.Errorf("%s by %s should be let in: %s", op.id, who, got)
			}
		}
	}
	for id := range rights {
		if !seen[id] {
			t.Errorf("the table of rights has %s, which is no route", id)
		}
	}
}

func roleOf(name string) role {
	for _, r := range roles {
		if string(r) == name {
			return r
		}
	}
	return ""
}

func expect(t *testing.T, op operation, who string, got answered, status int) {
	t.Helper()
	if got.status != status {
		t.Errorf("%s by %s: want %d, got %s", op.id, who, status, got)
	}
	if status >= 400 {
		if p := got.problem(t); p.Hint == "" {
			t.Errorf("%s by %s: no hint: %s", op.id, who, got)
		}
	}
}

// expired makes a token whose time is over.
func (h *house) expired() string {
	over := time.Now().Add(-time.Second)
	return h.token(wire.NewToken{Role: "admin", ExpiresAt: &over})
}

func TestATokenOfOneTenantSeesAndTouchesNoJobOfAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-acme", "acme")
	h.job("job-other", "other")
	h.job("job-default", "")
	s := h.serve()
	mine := bearer(h.token(wire.NewToken{Role: "admin", Tenants: []string{"acme", "second"}}))
	for _, id := range []string{"job-other", "job-default", "job-missing"} {
		for _, path := range []string{"", "/report", "/events", "/rejects", "/outputs", "/outputs/a.txt"} {
			got := h.send("GET", s.at("/v1/jobs/"+id+path), nil, mine...)
			if p := got.problem(t); got.status != 404 || p.Detail != "job "+id+": no such job" {
				t.Errorf("GET %s%s: %s", id, path, got)
			}
		}
		for _, verb := range []string{"pause", "resume", "cancel", "retry", "restart"} {
			if got := h.send("POST", s.at("/v1/jobs/"+id+"/"+verb), nil, mine...); got.status != 404 || got.problem(t).Detail != "job "+id+": no such job" {
				t.Errorf("%s %s: %s", verb, id, got)
			}
		}
	}
	if v, err := h.st.View(t.Context(), "job-other"); err != nil || v.State.Ended() || v.State == "paused" {
		t.Errorf("the job of another tenant was touched: %+v %v", v, err)
	}
	for query, want := range map[string]int{"": 1, "?tenant=acme": 1, "?tenant=other": 0, "?tenant=second": 0} {
		if got := as[wire.Jobs](t, h.send("GET", s.at("/v1/jobs"+query), nil, mine...)); len(got.Jobs) != want {
			t.Errorf("list%s: %d jobs, want %d", query, len(got.Jobs), want)
		}
	}
	for tenant, want := range map[string]int{"acme": 202, "second": 202, "other": 403, "": 403} {
		body := submission(1)
		body["tenant"] = tenant
		if got := h.send("POST", s.at("/v1/jobs"), body, mine...); got.status != want {
			t.Errorf("submit for %q: %s, want %d", tenant, got, want)
		}
	}
	one := bearer(h.token(wire.NewToken{Role: "submitter", Tenants: []string{"acme"}}))
	done := as[wire.Submitted](t, h.send("POST", s.at("/v1/jobs"), submission(1), one...))
	if v, err := h.st.View(t.Context(), done.ID); err != nil || v.Tenant != "acme" {
		t.Errorf("a token of one tenant submits for it: %+v %v", v, err)
	}
	if err := h.st.SetLimits(t.Context(), "other", wire.Limits{RunningJobs: 3}); err != nil {
		t.Fatal(err)
	}
	if got := as[wire.Tenants](t, h.send("GET", s.at("/v1/tenants"), nil, one...)); len(got.Tenants) != 0 {
		t.Errorf("limits of another tenant are shown: %+v", got)
	}
}

func TestATokenForNoTenantOrForAStarIsRefusedBecauseItWouldBeForAll(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	for _, tenants := range []string{"[]", `["*"]`, `["acme","*"]`} {
		got := h.send("POST", s.at("/v1/tokens"), `{"name":"x","role":"viewer","tenants":`+tenants+`}`)
		if got.status != 422 || got.problem(t).Hint == "" {
			t.Errorf("tenants %s: %s", tenants, got)
		}
	}
	if list, err := h.st.Tokens(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("tokens: %v %v", list, err)
	}
	body := submission(1)
	body["tenant"] = "*"
	if got := h.send("POST", s.at("/v1/jobs"), body); got.status != 422 {
		t.Errorf("submit for the tenant *: %s", got)
	}
}

func TestARevokedTokenIsRefusedByEveryServerWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	boss := bearer(h.token(wire.NewToken{Role: "admin"}))
	one, two := h.serve(), h.serve()
	made := as[wire.MadeToken](t, h.send("POST", one.at("/v1/tokens"), wire.NewToken{Name: "ci", Role: "viewer"}, boss...))
	ci := bearer(made.Secret)
	within := time.Now().Add(2 * time.Second)
	until(t, within, "the new token is known to the other server", func() bool { return h.send("GET", two.at("/v1/about"), nil, ci...).status == 200 })
	if got := h.send("DELETE", one.at("/v1/tokens/"+made.ID), nil, boss...); got.status != 204 {
		t.Fatalf("revoke: %s", got)
	}
	if got := h.send("GET", one.at("/v1/about"), nil, ci...); got.status != 401 {
		t.Errorf("the server that revoked it lets it in: %s", got)
	}
	until(t, time.Now().Add(2*time.Second), "the other server refuses it", func() bool { return h.send("GET", two.at("/v1/about"), nil, ci...).status == 401 })
	if got := h.send("DELETE", one.at("/v1/tokens/"+made.ID), nil, boss...); got.status != 404 || got.problem(t).Detail != fmt.Sprintf("token %s: there is none", made.ID) {
		t.Errorf("revoke again: %s", got)
	}
}

// until repeats a check until a point in time.
func until(t *testing.T, deadline time.Time, what string, check func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; !check(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
