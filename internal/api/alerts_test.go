package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/tasks/alert"
)

var alertTime = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// alerts makes a server of the house that has alerts, and links of them.
func (h *house) alerts() (*alertstore.Store, func(*Options)) {
	s := alertstore.New(h.rdb, alertstore.Options{})
	w := &alert.Watcher{Store: s}
	return s, func(o *Options) { o.Alerts = &Alerts{Store: s, Rules: w.Rules, Sign: signed} }
}

func signed(alert, message string) string {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(alert + "\x00" + message))
	return hex.EncodeToString(mac.Sum(nil))
}

// found lets a rule find keys at a minute, and returns the alerts that there are then.
func found(t *testing.T, s *alertstore.Store, rule string, m int, subject string, keys ...string) []wire.Alert {
	t.Helper()
	states, err := s.States(t.Context(), []string{rule})
	if err != nil {
		t.Fatal(err)
	}
	at := alertTime.Add(time.Duration(m) * time.Minute)
	e := alertstore.Evaluated{Rule: alertstore.Rule{Name: rule, TellEnd: true, Ladder: []wire.AlertLevel{{To: []string{"chat"}}, {After: 600_000, To: []string{"mail"}}}}, Body: []byte("{}"),
		Health: alertstore.Health{At: at, Due: at, End: at}, Now: at}
	for _, k := range keys {
		e.Alerts = append(e.Alerts, alertstore.Found{Key: k, At: at, Severity: "error", Subject: subject, Text: "much text"})
	}
	if err := s.Commit(t.Context(), states[rule].Version, e); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.List(t.Context(), alertstore.Filter{Rule: rule})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAnAlertIsTakenReleasedSilencedAndEnded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	s := h.serve(with)
	ann := bearer(h.token(wire.NewToken{Role: "operator", Name: "ann"}))
	a := found(t, st, "disk", 0, "disk of db-7", "db-7")[0]
	at := s.at("/v1/alerts/" + a.ID)
	x := as[wire.Alert](t, h.send("POST", at+"/ack", wire.AlertAct{Reason: "looking", For: "2h"}, ann...))
	if x.State != wire.AlertAcknowledged || x.AcknowledgedBy != "ann" || x.Reason != "looking" || x.AckedUntil == nil || x.AckedUntil.Sub(*x.AcknowledgedAt) != 2*time.Hour {
		t.Errorf("taken: %+v", x)
	}
	if x = as[wire.Alert](t, h.send("POST", at+"/ack", wire.AlertAct{By: "bob"}, ann...)); x.AcknowledgedBy != "bob" || x.AckedUntil != nil {
		t.Errorf("taken over: %+v", x)
	}
	if x = as[wire.Alert](t, h.send("POST", at+"/release", nil, ann...)); x.State != wire.AlertOpen || x.AcknowledgedAt != nil {
		t.Errorf("released: %+v", x)
	}
	if x = as[wire.Alert](t, h.send("POST", at+"/silence", wire.AlertAct{For: "30m"}, ann...)); x.State != wire.AlertSilenced || x.SilencedBy != "ann" || time.Until(*x.SilencedUntil) < 29*time.Minute {
		t.Errorf("silenced: %+v", x)
	}
	for path, body := range map[string]string{"/silence": `{}`, "/ack": `{"for":"soon"}`, "/resolve": `{"for":"2h"}`, "/release": `{"bogus":1}`} {
		if got := h.send("POST", at+path, body, ann...); got.status != 422 || got.problem(t).Hint == "" {
			t.Errorf("%s %s: %s", path, body, got)
		}
	}
	if x = as[wire.Alert](t, h.send("POST", at+"/resolve", wire.AlertAct{Reason: "replaced"}, ann...)); x.State != wire.AlertResolved || x.ResolvedBy != "ann" || x.NextAt != nil {
		t.Errorf("ended: %+v", x)
	}
	for _, verb := range []string{"/ack", "/silence", "/resolve", "/release"} {
		got := h.send("POST", at+verb, wire.AlertAct{For: map[string]string{"/silence": "1h"}[verb]}, ann...)
		if got.status != 409 || got.problem(t).Detail != "the alert "+a.ID+" is over" {
			t.Errorf("%s of an alert that is over: %s", verb, got)
		}
		if got := h.send("POST", s.at("/v1/alerts/nothing"+verb), `{"for":"1h"}`, ann...); verb != "/resolve" && got.status != 404 {
			t.Errorf("%s of no alert: %s", verb, got)
		}
	}
	trail := as[wire.Audit](t, h.send("GET", s.at("/v1/audit"), nil, bearer(h.token(wire.NewToken{Role: "admin"}))...))
	if e := trail.Entries[len(trail.Entries)-1]; e.By != "ann" || e.Action != "acknowledge-alert" || e.Target != "/v1/alerts/"+a.ID+"/ack" || e.Status != 200 {
		t.Errorf("the first entry of the trail: %+v", e)
	}
}

func TestListsOfAlertsHaveThoseThatAreNotOverUntilOthersAreAskedFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	s := h.serve(with)
	var ids []string
	for i := range 5 {
		ids = append(ids, found(t, st, "disk", i, "disk", fmt.Sprint("db-", i))[0].ID)
	}
	found(t, st, "load", 9, "load", "")
	for _, id := range ids[:2] {
		if _, err := st.Resolve(t.Context(), id, alertTime.Add(time.Hour), "ann", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := st.Acknowledge(t.Context(), ids[2], alertTime.Add(time.Hour), "ann", "", 0); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"": 4, "?rule=disk": 3, "?state=open": 3, "?state=acknowledged": 1, "?state=resolved": 2, "?state=open,acknowledged,silenced,resolved": 6,
		"?state=resolved&rule=load": 0, "?rule=none": 0} {
		got := h.send("GET", s.at("/v1/alerts"+query), nil)
		if list := as[wire.AlertList](t, got); len(list.Alerts) != want || list.Next != "" || strings.Contains(string(got.body), "null") {
			t.Errorf("%s: %d alerts, want %d: %s", query, len(list.Alerts), want, got)
		}
	}
	for _, states := range []string{"", "?state=open,acknowledged,resolved", "?state=resolved"} {
		seen, cursor := map[string]bool{}, ""
		want := map[string]int{"": 4, "?state=open,acknowledged,resolved": 6, "?state=resolved": 2}[states]
		for range 10 {
			query := states + map[bool]string{true: "?", false: "&"}[states == ""] + "limit=1&cursor=" + cursor
			page := as[wire.AlertList](t, h.send("GET", s.at("/v1/alerts"+query), nil))
			for _, a := range page.Alerts {
				if seen[a.ID] {
					t.Errorf("%s is there twice", a.ID)
				}
				seen[a.ID] = true
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("pages %q have %d alerts, want %d", states, len(seen), want)
		}
	}
	if got := h.send("GET", s.at("/v1/alerts?cursor=x"), nil); got.status != 422 || got.problem(t).Hint == "" {
		t.Errorf("no cursor: %s", got)
	}
	if got := as[wire.Alert](t, h.send("GET", s.at("/v1/alerts/"+ids[0]), nil)); got.ResolvedBy != "ann" || len(got.Told) != 2 || len(got.Ladder) != 2 {
		t.Errorf("%+v", got)
	}
	if got := h.send("GET", s.at("/v1/alerts/al_none"), nil); got.status != 404 || got.problem(t).Detail != "there is no alert al_none, or it was forgotten for its age" {
		t.Errorf("no alert: %s", got)
	}
}

func TestASilenceOfRulesHoldsForWhatIsOpenAndForWhatComes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	s := h.serve(with)
	found(t, st, "disk of db", 0, "disk", "db-7", "web-1")
	made := h.send("POST", s.at("/v1/alerts/silences"), wire.NewAlertSilence{Rule: "disk*", Key: "db-*", For: "2h", Reason: "moving"})
	x := as[wire.AlertSilence](t, made)
	if made.status != 201 || x.By != "loopback" || x.ID == "" || time.Until(x.Until) < time.Hour {
		t.Errorf("made: %s", made)
	}
	if got := as[wire.AlertList](t, h.send("GET", s.at("/v1/alerts?state=silenced"), nil)); len(got.Alerts) != 1 || got.Alerts[0].Key != "db-7" {
		t.Errorf("silenced: %+v", got)
	}
	if got := as[wire.AlertSilences](t, h.send("GET", s.at("/v1/alerts/silences"), nil)); len(got.Silences) != 1 || got.Silences[0] != x {
		t.Errorf("silences: %+v", got)
	}
	for _, body := range []string{`{"rule":"x"}`, `{"for":"1h"}`, `{"rule":"x","for":"-1h"}`, `{"rule":"x","for":"99999h"}`} {
		if got := h.send("POST", s.at("/v1/alerts/silences"), body); got.status != 422 {
			t.Errorf("%s: %s", body, got)
		}
	}
	if got := h.send("DELETE", s.at("/v1/alerts/silences/"+x.ID), nil); got.status != 204 {
		t.Errorf("ended: %s", got)
	}
	if got := h.send("DELETE", s.at("/v1/alerts/silences/"+x.ID), nil); got.status != 404 || got.problem(t).Hint != "stint alert silences lists those that there are" {
		t.Errorf("ended again: %s", got)
	}
	if got := h.send("GET", s.at("/v1/alerts/silences"), nil); string(got.body) != "{\"silences\":[]}\n" {
		t.Errorf("none: %s", got)
	}
}

func TestRulesSayHowTheirEvaluationGoesAndTheFleetTellsOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	a := h.api(with)
	s := h.start(a, ServerOptions{})
	if got := as[wire.AlertRules](t, h.send("GET", s.at("/v1/alerts/rules"), nil)); got.PublishedAt != nil || got.Rules == nil {
		t.Errorf("before there were any: %+v", got)
	}
	if f, err := a.Fleet(t.Context()); err != nil || f.Rules != nil || f.Alerts != nil {
		t.Errorf("before there were any: %+v %v", f, err)
	}
	at := now()
	set := alertstore.Set{Digest: "d1", At: at.Add(-time.Hour), By: "sched-1", Environment: "staging", Problems: []string{"rules/x.yaml: is wrong"}, Rules: map[string]json.RawMessage{}, Heartbeats: map[string]time.Duration{}}
	for _, name := range []string{"fine", "fails", "still"} {
		set.Heartbeats[name] = 5 * time.Minute
		set.Rules[name] = json.RawMessage(`{"name":"` + name + `","type":"any","file":"` + name + `.yaml","source":"logs","run_every":60000000000}`)
	}
	if err := st.Publish(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	due := at.Truncate(time.Minute)
	for _, name := range []string{"fine", "fails"} {
		if err := st.Commit(t.Context(), 0, alertstore.Evaluated{Rule: alertstore.Rule{Name: name}, Body: []byte("{}"), Now: due, Heartbeat: 5 * time.Minute,
			Health: alertstore.Health{At: at, Due: due.Add(map[string]time.Duration{"fine": 0, "fails": -9 * time.Minute}[name]), End: due, Hits: 7}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Failed(t.Context(), "fails", 1, alertstore.Health{At: at, Due: due.Add(-9 * time.Minute), Since: at.Add(-8 * time.Minute), Error: &wire.JobError{Message: "the source is down", Hint: "wake it"}}); err != nil {
		t.Fatal(err)
	}
	found(t, st, "other", 0, "x", "a", "b")
	got := as[wire.AlertRules](t, h.send("GET", s.at("/v1/alerts/rules"), nil))
	if len(got.Rules) != 3 || got.Digest != "d1" || got.Environment != "staging" || got.PublishedBy != "sched-1" || len(got.Problems) != 1 {
		t.Fatalf("%+v", got)
	}
	fails, fine, still := got.Rules[0], got.Rules[1], got.Rules[2]
	if fine.Lag > 60_000 || fine.Hits != 7 || fine.Silent || fine.Error != nil || fine.EvaluatedAt == nil || fine.Source != "logs" || fine.RunEvery != 60_000 {
		t.Errorf("%+v", fine)
	}
	if fails.Error == nil || fails.Error.Hint != "wake it" || fails.FailingFor < 480_000 || fails.Lag < 8*60_000 || fails.Lag > 10*60_000 {
		t.Errorf("%+v", fails)
	}
	if !still.Silent || still.EvaluatedAt != nil {
		t.Errorf("%+v", still)
	}
	f, err := a.Fleet(t.Context())
	if err != nil || len(f.Rules) != 3 || f.Alerts[wire.AlertOpen] != 2 || f.Alerts[wire.AlertAcknowledged] != 0 || len(f.Alerts) != 3 {
		t.Fatalf("%+v %v", f, err)
	}
	if r := f.Rules[0]; r.Name != "fails" || !r.Failing || r.Lag < 8*time.Minute {
		t.Errorf("%+v", r)
	}
	if r := f.Rules[2]; r.Name != "still" || r.Age < time.Hour || r.Failing {
		t.Errorf("%+v", r)
	}
}

func TestAServerWithoutAlertsSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	for _, r := range [][2]string{{"GET", "/v1/alerts"}, {"GET", "/v1/alerts/x"}, {"GET", "/v1/alerts/rules"}, {"GET", "/v1/alerts/silences"}, {"POST", "/v1/alerts/x/ack"}, {"DELETE", "/v1/alerts/silences/x"}} {
		got := h.send(r[0], s.at(r[1]), nil)
		if p := got.problem(t); got.status != 404 || p.Detail != "this server has no alerts" || p.Hint == "" {
			t.Errorf("%s: %s", r[1], got)
		}
	}
	if got := h.send("GET", s.at("/ack/a/b/c"), nil); got.status != 404 || got.problem(t).Detail != "there is no /ack/a/b/c" {
		t.Errorf("a link: %s", got)
	}
}

func TestOnlyAnOperatorOfAllTenantsHasRulesEvaluated(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve(func(o *Options) { o.Families = append(o.Families, alert.New(alert.Options{})) })
	for want, secrets := range map[int][]string{
		403: {h.token(wire.NewToken{Role: "submitter"}), h.token(wire.NewToken{Role: "operator", Tenants: []string{"acme"}})},
		202: {h.token(wire.NewToken{Role: "operator"})},
	} {
		for _, secret := range secrets {
			if got := h.send("POST", s.at("/v1/jobs"), `{"kind":"alert","spec":{}}`, bearer(secret)...); got.status != want {
				t.Errorf("want %d: %s", want, got)
			}
		}
	}
	scoped := bearer(h.token(wire.NewToken{Role: "operator", Tenants: []string{"acme"}}))
	if got := h.send("PUT", s.at("/v1/schedules/mine"), `{"every":"1m","job":{"kind":"alert","tenant":"acme","spec":{}}}`, scoped...); got.status != 403 {
		t.Errorf("a schedule: %s", got)
	}
}

// link is that of the newest message of an alert, as a path.
func link(a wire.Alert) string {
	m := a.Told[len(a.Told)-1].Message
	return "/ack/" + a.ID + "/" + m + "/" + signed(a.ID, m)
}

func TestALinkTakesAnAlertOnceAndOnlyByItsButton(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	h.token(wire.NewToken{Role: "admin"}) // from now on everything else needs one
	s := h.serve(with)
	a := found(t, st, "disk", 0, `<script>alert("&")</script>`, `db"7`)[0]
	path := link(a)
	for range 3 { // previews of chats and scanners of mail come again and again
		got := h.send("GET", s.at(path), nil)
		page := string(got.body)
		if got.status != 200 || !strings.Contains(page, "<button") || !strings.Contains(page, `method="post"`) || !strings.Contains(page, "&lt;script&gt;") || strings.Contains(page, "<script") ||
			!strings.Contains(page, "2026-03-01 00:00:00 UTC") || !strings.Contains(page, "<dd>open</dd>") || strings.Contains(page, "much text") {
			t.Fatalf("the page: %s", got)
		}
		csp := got.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "form-action 'self'") || got.header.Get("Referrer-Policy") != "no-referrer" ||
			got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("headers: %v", got.header)
		}
		h.send("HEAD", s.at(path), nil)
	}
	if k, err := st.Get(t.Context(), a.ID); err != nil || k.State != wire.AlertOpen {
		t.Fatalf("looking has changed it: %+v %v", k, err)
	}
	// A page of another site, or a browser behind a proxy that says another host, may send it as well: the signature is what counts.
	got := h.send("POST", s.at(path), nil, "Origin", "null", "Sec-Fetch-Site", "cross-site")
	if got.status != 200 || !strings.Contains(string(got.body), "You have taken it") || !strings.Contains(string(got.body), "the link in the message to chat") || strings.Contains(string(got.body), "<button") {
		t.Errorf("taken: %s", got)
	}
	for _, method := range []string{"POST", "GET"} {
		got := h.send(method, s.at(path), nil)
		if got.status != 409 || !strings.Contains(string(got.body), "This link was used before") || !strings.Contains(string(got.body), "acknowledged") || strings.Contains(string(got.body), "<button") {
			t.Errorf("%s again: %s", method, got)
		}
	}
	k, err := st.Get(t.Context(), a.ID)
	if err != nil || k.State != wire.AlertAcknowledged || k.AcknowledgedBy != "the link in the message to chat" {
		t.Errorf("%+v %v", k, err)
	}
	audit, _, err := h.st.AuditTrail(t.Context(), "", 10)
	if err != nil || len(audit) == 0 {
		t.Fatal(audit, err)
	}
	for _, e := range audit {
		if e.Action != "acknowledge-by-link" || e.Target != "/v1/alerts/"+a.ID {
			t.Errorf("%+v", e)
		}
	}
	if strings.Contains(h.log.String(), signed(a.ID, a.Told[0].Message)) {
		t.Error("the signature stands in the log")
	}
}

func TestALinkOfAnAlertThatIsOverOrTakenSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	s := h.serve(with)
	a, b := found(t, st, "disk", 0, "disk", "a")[0], found(t, st, "load", 0, "load", "b")[0]
	if _, err := st.Acknowledge(t.Context(), a.ID, alertTime, "ann", "", 0); err != nil {
		t.Fatal(err)
	}
	if got := h.send("GET", s.at(link(a)), nil); got.status != 200 || !strings.Contains(string(got.body), "Somebody has taken it") || !strings.Contains(string(got.body), "ann") || !strings.Contains(string(got.body), "<button") {
		t.Errorf("taken by somebody: %s", got)
	}
	if _, err := st.Resolve(t.Context(), b.ID, alertTime, "bob", ""); err != nil {
		t.Fatal(err)
	}
	for method, status := range map[string]int{"GET": 200, "POST": 409} {
		got := h.send(method, s.at(link(b)), nil)
		if got.status != status || !strings.Contains(string(got.body), "It is over") || !strings.Contains(string(got.body), "bob") || strings.Contains(string(got.body), "<button") {
			t.Errorf("%s: %s", method, got)
		}
	}
	gone := "/ack/al_gone/am_x/" + signed("al_gone", "am_x")
	if got := h.send("GET", s.at(gone), nil); got.status != 404 || !strings.Contains(string(got.body), "there no more") {
		t.Errorf("forgotten: %s", got)
	}
	if got := h.send("POST", s.at("/ack/"+b.ID+"/am_x/"+signed(b.ID, "am_x")), nil); got.status != 409 {
		t.Errorf("a message that was never: %s", got)
	}
}

func TestALinkWithAWrongSignatureShowsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	s := h.serve(with)
	a, b := found(t, st, "disk", 0, "the disk of db", "a")[0], found(t, st, "load", 0, "load", "b")[0]
	m := a.Told[0].Message
	for _, path := range []string{link(a) + "0", strings.ToUpper(link(a)), "/ack/" + a.ID + "/" + m + "/" + signed(b.ID, m), "/ack/" + a.ID + "/" + b.Told[0].Message + "/" + signed(a.ID, m), "/ack/" + a.ID + "/" + m + "/x"} {
		for _, method := range []string{"GET", "POST"} {
			got := h.send(method, s.at(strings.Replace(path, "/ACK/", "/ack/", 1)), nil)
			if got.status != 404 || strings.Contains(string(got.body), "the disk of db") || !strings.Contains(string(got.body), "There is no such link") {
				t.Errorf("%s %s: %s", method, path, got)
			}
		}
	}
	if k, err := st.Get(t.Context(), a.ID); err != nil || k.State != wire.AlertOpen {
		t.Errorf("%+v %v", k, err)
	}
	limited := 0
	for range 60 {
		if got := h.send("GET", s.at("/ack/a/b/c"), nil); got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") != "" {
			limited++
		}
	}
	if limited == 0 {
		t.Error("links can be tried without limit")
	}
}

func TestAStoreThatDoesNotAnswerIsNoEndOfALink(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	st, with := h.alerts()
	a := found(t, st, "disk", 0, "disk", "a")[0]
	s := h.serve(with, func(o *Options) { o.Alerts.Store = brokenAlerts{st} })
	for _, method := range []string{"GET", "POST"} {
		if got := h.send(method, s.at(link(a)), nil); got.status != 503 || !strings.Contains(string(got.body), "no answer just now") || strings.Contains(string(got.body), "redis:6379") {
			t.Errorf("%s: %s", method, got)
		}
	}
}

// brokenAlerts is a store of alerts that has lost its Redis.
type brokenAlerts struct{ AlertStore }

func (brokenAlerts) Get(context.Context, string) (alertstore.Kept, error) {
	return alertstore.Kept{}, fmt.Errorf("dial redis:6379: refused")
}

func (brokenAlerts) AcknowledgeByLink(context.Context, string, string, time.Time) (wire.Alert, error) {
	return wire.Alert{}, fmt.Errorf("dial redis:6379: refused")
}
