package web

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

func TestTheAuditTrailSaysWhoDidWhatAndIsFiltered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin, sub := h.browser(h.token("admin")), h.browser(h.token("submitter"))
	id := h.submit("one", 3)
	sub.post("/jobs", "/jobs/act", url.Values{"verb": {"pause"}, "id": {id}})
	refused := sub.send("/access/limits", url.Values{"form": {"x"}})
	if refused.Code != http.StatusForbidden {
		t.Errorf("a form without its secret: %d", refused.Code)
	}
	if _, err := h.client.Control(t.Context(), "tes-none", "pause"); err == nil {
		t.Error("a job that there is not was paused")
	}
	p := admin.get("/audit")
	p.shows(t, "pause-job", `<a href="/jobs/`+id+`">/v1/jobs/`+id+`/pause</a>`, "submitter", "127.0.0.1", "login", "make-token", "refused")
	p = admin.get("/audit?by=SUBMITTER&action=pause")
	p.shows(t, "pause-job", id)
	p.hides(t, "make-token", "tes-none")
	p = admin.get("/audit?refused=yes")
	p.shows(t, "tes-none", "404")
	p.hides(t, "make-token", id)
	admin.get("/audit?target=nothing-like-that").shows(t, "newest is like that")
	if p := sub.get("/audit"); p.Code != http.StatusForbidden {
		t.Errorf("a submitter sees the trail: %d", p.Code)
	}
}

func TestTheAuditTrailIsReadPageByPageAndShowsNothingAsHTML(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var list []wire.AuditEntry
	for i := range 250 {
		e := wire.AuditEntry{At: time.Now(), By: "ann", Role: "admin", Action: "act", Target: "/v1/jobs", Status: 200}
		if i%2 == 1 {
			e.By, e.Action = "<script>alert(1)</script>", "odd"
		}
		list = append(list, e)
	}
	if err := h.st.Audit(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	b := h.browser("")
	older := regexp.MustCompile(`href="([^"]+)">Older`)
	for _, c := range []struct {
		path  string
		pages []int
	}{{"/audit", []int{100, 100, 50}}, {"/audit?action=odd", []int{100, 25}}} {
		path := c.path
		for i, want := range c.pages {
			p := b.get(path)
			if n := strings.Count(p.Body, `data-name="Did what"`); n != want {
				t.Errorf("page %d of %s has %d entries, not %d", i, c.path, n, want)
			}
			p.hides(t, "<script>alert")
			p.shows(t, "&lt;script&gt;alert(1)")
			m := older.FindStringSubmatch(p.Body)
			if (m == nil) != (i == len(c.pages)-1) {
				t.Fatalf("page %d of %s leads to %v", i, c.path, m)
			}
			if m != nil {
				path = strings.ReplaceAll(m[1], "&amp;", "&")
			}
		}
	}
}

var secretOfToken = regexp.MustCompile(`<pre class="secret">(stint_[^<]+)</pre>`)

func TestATokenIsMadeShownOnceAndRevoked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser(h.token("admin"))
	name := `<script>alert(1)</script>`
	p := b.post("/access", "/access/tokens", url.Values{"name": {name}, "role": {"submitter"}, "tenants": {"acme, other"}, "life": {"24h"}})
	m := secretOfToken.FindStringSubmatch(p.Body)
	if p.Code != http.StatusOK || m == nil {
		t.Fatalf("%d: %s", p.Code, p.Body)
	}
	p.shows(t, "not shown again", "acme, other", "&lt;script&gt;alert(1)")
	p.hides(t, name)
	if p.Head.Get("Cache-Control") != "no-store" {
		t.Errorf("the secret may be kept: %v", p.Head)
	}
	list := b.get("/access")
	list.shows(t, "&lt;script&gt;alert(1)", "submitter", "acme, other", "in 23 h")
	list.hides(t, m[1], name)
	mine := h.browser(m[1])
	mine.get("/jobs").shows(t, "(submitter)")
	if p := mine.get("/access"); p.Code != http.StatusForbidden {
		t.Errorf("a submitter sees the tokens: %d", p.Code)
	}
	tokens, err := h.client.Tokens(t.Context())
	if err != nil || len(tokens) != 2 {
		t.Fatalf("%v, %v", tokens, err)
	}
	for _, token := range tokens {
		if token.Name != name {
			continue
		}
		path := "/access/tokens/" + token.ID + "/revoke"
		b.post("/access", path, nil).shows(t, "Nothing was revoked")
		b.post("/access", path, url.Values{"sure": {"yes"}}).shows(t, "The token is revoked.")
	}
	if p := mine.get("/jobs"); !strings.HasPrefix(p.Path, "/login") {
		t.Errorf("whose token is revoked sees %s", p.Path)
	}
	if tokens, err := h.client.Tokens(t.Context()); err != nil || len(tokens) != 1 {
		t.Errorf("%v, %v", tokens, err)
	}
}

func TestATokenThatCannotBeIsNotMade(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser("")
	b.get("/access").shows(t, "There is no token")
	for says, f := range map[string]url.Values{
		"The token has no name":        {"name": {" "}, "role": {"admin"}},
		"There is no role":             {"name": {"a"}, "role": {"king"}},
		"has to be an admin of all":    {"name": {"a"}, "role": {"viewer"}},
		"is no time that a token may":  {"name": {"a"}, "role": {"admin"}, "life": {"-1h"}},
		"be an admin of all tenants. ": {"name": {"a"}, "role": {"admin"}, "tenants": {"acme"}},
	} {
		b.post("/access", "/access/tokens", f).shows(t, strings.TrimSpace(says), `role="alert"`)
	}
	if tokens, err := h.client.Tokens(t.Context()); err != nil || len(tokens) != 0 {
		t.Fatalf("%v, %v", tokens, err)
	}
	p := b.post("/access", "/access/tokens", url.Values{"name": {"ann"}, "role": {"admin"}})
	m := secretOfToken.FindStringSubmatch(p.Body)
	if m == nil {
		t.Fatal(p.Body)
	}
	p.shows(t, `href="/login"`)
	if p := b.get("/access"); !strings.HasPrefix(p.Path, "/login") {
		t.Errorf("with the first token the pages ask for none: %s", p.Path)
	}
	h.browser(m[1]).get("/access").shows(t, "ann", "it is revoked")
	bad := h.browser(m[1]).send("/access/tokens", url.Values{"form": {"x"}, "name": {"eve"}, "role": {"admin"}})
	if bad.Code != http.StatusForbidden {
		t.Errorf("a form of another session: %d", bad.Code)
	}
}

func TestLimitsOfTenantsAreSetAndTakenAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser("")
	b.get("/access").shows(t, "No tenant has any.")
	b.post("/access", "/access/limits", url.Values{"tenant": {"acme"}, "running": {"3"}, "steps": {""}}).shows(t, "The limits of acme are set.", `href="/access?tenant=acme#limits"`)
	if got, err := h.client.Tenants(t.Context()); err != nil || len(got) != 1 || got[0].RunningJobs != 3 || got[0].StepsPerSecond != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	b.get("/access?tenant=acme").shows(t, `name="tenant" value="acme"`, `value="3"`)
	b.post("/access", "/access/limits", url.Values{"tenant": {"acme"}, "running": {"-1"}}).shows(t, "is no limit", "whole number")
	b.post("/access", "/access/limits", url.Values{"tenant": {""}}).shows(t, "No tenant is named")
	b.post("/access", "/access/limits", url.Values{"tenant": {"acme"}, "running": {"0"}}).shows(t, "taken away", "No tenant has any.")
}

func TestWebhooksShowHowTheyFareAndAreTested(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.st.SetWebhooks(t.Context(), []wire.WebhookDefinition{{Name: "crm", URL: "https://crm.example.com", Events: []string{"failed"}}}); err != nil {
		t.Fatal(err)
	}
	b := h.browser(h.token("admin"))
	b.get("/access").shows(t, `href="/access/webhooks/crm"`, "https://crm.example.com")
	b.get("/access/webhooks/crm").shows(t, "told nothing yet", "failed")
	p := b.post("/access", "/access/webhooks/crm/test", nil)
	p.shows(t, "is on its way.", "pending")
	list, err := h.client.Deliveries(t.Context(), "crm", "", 10)
	if err != nil || len(list) != 1 || list[0].Event != "test" {
		t.Fatalf("%+v, %v", list, err)
	}
	id := list[0].ID
	claimed, err := h.st.ClaimDeliveries(t.Context(), "crm", 10, time.Minute)
	if err != nil || len(claimed.Outgoing) != 1 {
		t.Fatalf("%+v, %v", claimed, err)
	}
	if ok, err := h.st.SettleDelivery(t.Context(), claimed.Outgoing[0], store.Sent{State: wire.DeliveryPending, Status: 500, Error: "<script>alert(1)</script>", Again: time.Minute}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	p = b.await("/access/webhooks/crm", "the failure", func(p *page) bool { return strings.Contains(p.Body, "failing") && strings.Contains(p.Body, "HTTP 500") })
	p.shows(t, id, "No message has arrived for", "&lt;script&gt;alert(1)&lt;/script&gt;", "HTTP 500")
	p.hides(t, "<script>alert")
	b.await("/access", "the failure", func(p *page) bool { return strings.Contains(p.Body, "failing") }).shows(t, "&lt;script&gt;")
	b.post("/access/webhooks/crm", "/access/webhooks/crm/again", url.Values{"id": {id}}).shows(t, id+" is sent again.")
	b.get("/access/webhooks/crm?state=delivered").shows(t, "No message is delivered.")
	b.post("/access/webhooks/crm", "/access/webhooks/crm/again", url.Values{"id": {"msg_none"}}).shows(t, `role="alert"`)
	if p := b.get("/access/webhooks/none"); p.Code != http.StatusNotFound {
		t.Errorf("a webhook that there is not: %d", p.Code)
	}
	viewer := h.browser(h.token("viewer")).get("/access/webhooks/crm")
	viewer.shows(t, id)
	viewer.hides(t, "/test", "/again", `href="/access"`)
}
