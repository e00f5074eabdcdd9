package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks/alert"
)

// newAlertHouse starts a house that has alerts.
func newAlertHouse(t *testing.T) (*house, *alertstore.Store) {
	t.Helper()
	var st *alertstore.Store
	h := newHouse(t, func(o *api.Options) {
		st = alertstore.New(o.Families[0].(*enginetest.Family).Effects, alertstore.Options{})
		w := &alert.Watcher{Store: st}
		o.Alerts = &api.Alerts{Store: st, Rules: w.Rules}
	})
	return h, st
}

// finds lets a rule find something now, and returns the alert.
func finds(t *testing.T, st *alertstore.Store, rule string, f alertstore.Found) wire.Alert {
	t.Helper()
	states, err := st.States(t.Context(), []string{rule})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Truncate(time.Millisecond)
	f.At = at
	e := alertstore.Evaluated{Rule: alertstore.Rule{Name: rule, Owner: "oncall", TellEnd: true, Ladder: []wire.AlertLevel{
		{To: []string{"chat"}}, {After: 900_000, To: []string{"pager"}, Repeat: 600_000}, {After: 3_600_000, To: []string{"phone"}, Until: "resolved"}}},
		Body: []byte("{}"), Health: alertstore.Health{At: at, Due: at, End: at}, Now: at, Alerts: []alertstore.Found{f}}
	if err := st.Commit(t.Context(), states[rule].Version, e); err != nil {
		t.Fatal(err)
	}
	list, _, err := st.List(t.Context(), alertstore.Filter{Rule: rule})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Key == f.Key {
			return a
		}
	}
	t.Fatalf("the rule %s has no alert of %s", rule, f.Key)
	return wire.Alert{}
}

const markupText = `<script>alert(1)</script>`

func TestAnAlertIsShownWithItsLadderAndAllItsTextsAsText(t *testing.T) {
	t.Parallel()
	h, st := newAlertHouse(t)
	a := finds(t, st, "disk of db", alertstore.Found{Key: markupText + "db-7", Severity: "critical", Subject: markupText + " is full", Text: "much " + markupText,
		Matches: []map[string]any{{"host": map[string]any{"name": markupText}, "used": 97.5, "message": markupText + " and more"}}})
	other := finds(t, st, "load", alertstore.Found{Key: "web-1", Severity: "warning", Subject: "load of web-1"})
	b := h.browser(h.token("viewer"))
	list := b.get("/alerts")
	list.shows(t, "&lt;script&gt;alert(1)&lt;/script&gt; is full", "critical", "oncall", "load of web-1", `href="/alerts/`+other.ID+`"`, "in 14 min")
	list.hides(t, markupText)
	b.get("/alerts?rule=load").hides(t, "is full")
	b.get("/alerts?state=resolved").shows(t, "No alert is like that.")
	p := b.get("/alerts/" + a.ID)
	p.shows(t, "much &lt;script&gt;", "97.5", "&lt;script&gt;alert(1)&lt;/script&gt; and more", "at once", "after 15 min", "after 1 h", "told once", "pager", "also when somebody has taken it", "again every 10 min",
		`class="next"`, `class="done"`, "Nobody has taken it. Next on the ladder: pager.", "pending", "opened")
	p.hides(t, markupText, "/ack", "/silence\"", "/resolve", "Act</h2>")
}

func TestAnOperatorTakesReleasesSilencesAndEndsAnAlert(t *testing.T) {
	t.Parallel()
	h, st := newAlertHouse(t)
	a := finds(t, st, "disk", alertstore.Found{Key: "db-7", Severity: "error", Subject: "the disk is full"})
	b := h.browser(h.token("operator"))
	at := "/alerts/" + a.ID
	now := func() *wire.Alert {
		t.Helper()
		x, err := h.client.Alert(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	b.post(at, at+"/ack", url.Values{"reason": {"looking " + markupText}, "for": {"2 h"}}).shows(t, "You have taken it. Its ladder goes on in", "operator has taken it", "Take it over", "looking &lt;script&gt;")
	if x := now(); x.State != wire.AlertAcknowledged || x.AcknowledgedBy != "operator" || x.AckedUntil == nil || x.AckedUntil.Sub(*x.AcknowledgedAt) != 2*time.Hour {
		t.Errorf("%+v", x)
	}
	b.get("/alerts").shows(t, "acknowledged", "by operator")
	b.post(at, at+"/release", nil).shows(t, "It is open again.")
	if x := now(); x.State != wire.AlertOpen {
		t.Errorf("%+v", x)
	}
	b.post(at, at+"/ack", url.Values{"for": {"soon"}}).shows(t, "soon", "Write a time such as 30m, 8h or 2d", "role=\"alert\"")
	b.post(at, at+"/silence", url.Values{"for": {""}}).shows(t, "For how long?", "role=\"alert\"")
	b.post(at, at+"/silence", url.Values{"for": {"3d"}}).shows(t, "Nobody is told of it for 2 d 23 h.", "not told: the alert is silenced")
	if x := now(); x.State != wire.AlertSilenced || time.Until(*x.SilencedUntil) < 71*time.Hour {
		t.Errorf("%+v", x)
	}
	b.post(at, at+"/resolve", url.Values{"reason": {"replaced"}}).shows(t, "The alert was not ended", "yes, it is over")
	if x := now(); x.State != wire.AlertSilenced {
		t.Errorf("it ended without a yes: %+v", x)
	}
	over := b.post(at, at+"/resolve", url.Values{"reason": {"replaced"}, "sure": {"yes"}})
	over.shows(t, "It is over.", "replaced", "by operator", "not told: it was over before")
	over.hides(t, `action="`+at+`/ack"`)
	if x := now(); x.State != wire.AlertResolved || x.ResolvedBy != "operator" || x.Reason != "replaced" {
		t.Errorf("%+v", x)
	}
	form := formSecret.FindStringSubmatch(b.get("/alerts/silences").Body)[1]
	b.send(at+"/ack", url.Values{"form": {form}, "back": {at}}).shows(t, "is over")
	viewer := h.browser(h.token("viewer"))
	form = formSecret.FindStringSubmatch(viewer.get(at).Body)[1]
	if p := viewer.send(at+"/release", url.Values{"form": {form}}); p.Code != http.StatusForbidden {
		t.Errorf("a viewer acts: %d", p.Code)
	}
	if p := b.get("/alerts/al_none"); p.Code != http.StatusNotFound || !strings.Contains(p.Body, "al_none") {
		t.Errorf("an alert that is not there: %d", p.Code)
	}
}

func TestRulesAreSilencedForAWhile(t *testing.T) {
	t.Parallel()
	h, st := newAlertHouse(t)
	a := finds(t, st, "disk of db", alertstore.Found{Key: "db-7", Severity: "error", Subject: "the disk is full"})
	b := h.browser(h.token("operator"))
	b.get("/alerts/silences").shows(t, "No rule is silenced")
	for name, fields := range map[string]url.Values{"Which rules": {"for": {"1h"}}, "For how long?": {"rule": {"x"}}, "soon": {"rule": {"x"}, "for": {"soon"}}} {
		b.post("/alerts/silences", "/alerts/silences", fields).shows(t, `role="alert"`, name)
	}
	b.post("/alerts/silences", "/alerts/silences", url.Values{"rule": {"disk*"}, "key": {"db-*"}, "for": {"1d"}, "reason": {markupText}}).shows(t, "Nobody is told of alerts of disk* for 23 h 59 min.", "db-*", "&lt;script&gt;alert(1)")
	list, err := h.client.AlertSilences(t.Context())
	if err != nil || len(list) != 1 || list[0].Rule != "disk*" || list[0].By != "operator" {
		t.Fatalf("%+v %v", list, err)
	}
	if x, err := h.client.Alert(t.Context(), a.ID); err != nil || x.State != wire.AlertSilenced {
		t.Errorf("%+v %v", x, err)
	}
	viewer := h.browser(h.token("viewer"))
	p := viewer.get("/alerts/silences")
	p.shows(t, "disk*")
	p.hides(t, "New silence", "/end\"", markupText)
	b.post("/alerts/silences", "/alerts/silences/"+list[0].ID+"/end", nil).shows(t, "The silence is over.", "No rule is silenced")
	if list, err := h.client.AlertSilences(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}

func TestRulesSayHowTheyFareThoseInTroubleFirst(t *testing.T) {
	t.Parallel()
	h, st := newAlertHouse(t)
	b := h.browser(h.token("viewer"))
	b.get("/alerts/rules").shows(t, "No rule is set up")
	b.get("/alerts").shows(t, "No rule is set up")
	at := time.Now()
	set := alertstore.Set{Digest: "d1", At: at.Add(-time.Hour), By: "sched-1", Environment: "staging", Problems: []string{"rules/x.yaml: " + markupText}, Rules: map[string]json.RawMessage{}, Heartbeats: map[string]time.Duration{}}
	for _, name := range []string{"fine", "fails", "still"} {
		set.Heartbeats[name] = 5 * time.Minute
		set.Rules[name] = json.RawMessage(`{"name":"` + name + `","type":"frequency","file":"` + name + `.yaml","source":"logs","run_every":60000000000}`)
	}
	if err := st.Publish(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fine", "fails"} {
		if err := st.Commit(t.Context(), 0, alertstore.Evaluated{Rule: alertstore.Rule{Name: name}, Body: []byte("{}"), Now: at, Heartbeat: 5 * time.Minute, Health: alertstore.Health{At: at, Due: at, End: at, Hits: 4711, Took: 12}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Failed(t.Context(), "fails", 1, alertstore.Health{At: at, Due: at.Add(-9 * time.Minute), Since: at.Add(-8 * time.Minute), Error: &wire.JobError{Message: "the source is down " + markupText, Hint: "wake it"}}); err != nil {
		t.Fatal(err)
	}
	p := b.await("/alerts/rules", "the rule that was published", func(p *page) bool { return strings.Contains(p.Body, "fine.yaml") })
	p.shows(t, "2 of 3 rules do not watch", "the source is down &lt;script&gt;", "wake it", "fails for 8 min", "4,711", "12 ms", "silent", "staging", "sched-1", "fine.yaml", "frequency over logs", "rules/x.yaml: &lt;script&gt;", "8 min")
	p.hides(t, markupText)
	if still, fails, fine := strings.Index(p.Body, ">still</a>"), strings.Index(p.Body, ">fails</a>"), strings.Index(p.Body, ">fine</a>"); still < 0 || still > fails || fails > fine {
		t.Errorf("those in trouble do not come first: %d %d %d", still, fails, fine)
	}
	b.await("/alerts", "what is wrong with rules", func(p *page) bool { return strings.Contains(p.Body, "Not all rules watch") }).shows(t, "still is not evaluated", "1 mistake stands in rule files", `<option>fine</option>`)
}

func TestWhoSeesNoAlertsIsToldWhy(t *testing.T) {
	t.Parallel()
	h, _ := newAlertHouse(t)
	scoped := h.browser(h.token("operator", "acme"))
	for _, path := range []string{"/alerts", "/alerts/rules", "/alerts/silences"} {
		p := scoped.get(path)
		if p.Code != http.StatusOK {
			t.Errorf("%s: %d", path, p.Code)
		}
		p.shows(t, "You may not see alerts", "tokens that are not of single tenants")
		p.hides(t, "New silence")
	}
	without := newHouse(t).browser("")
	for _, path := range []string{"/alerts", "/alerts/rules", "/alerts/silences"} {
		without.get(path).shows(t, "There are no alerts here", "This server has no alerts")
	}
}

func TestTheLadderSaysWhomItDidNotReachAndWhoIsNext(t *testing.T) {
	t.Parallel()
	now := time.Now()
	told := func(channel, state, err string) wire.AlertTold {
		return wire.AlertTold{Channel: channel, State: state, Error: err}
	}
	a := &wire.Alert{State: wire.AlertOpen, OpenedAt: now.Add(-20 * time.Minute), Told: []wire.AlertTold{told("mail", wire.ToldGaveUp, "full"), told("chat", wire.ToldSent, ""), told("mail", wire.ToldSent, ""),
		told("pager", wire.ToldGaveUp, "away"), told("voice", wire.ToldPending, "busy"), told("fax", wire.ToldUnknown, ""), told("note", wire.ToldDropped, "")}}
	again := now.Add(3 * time.Minute)
	a.Ladder = []wire.AlertLevel{{To: []string{"chat", "mail"}, Told: 1}, {After: 600_000, To: []string{"pager", "voice", "fax", "note"}, Told: 2, NextAt: &again, Repeat: 300_000}, {After: 7_200_000, To: []string{"boss"}}}
	l := ladderOf(a, now)
	if l[0].Class != "done" || len(l[0].Lost) != 0 || l[0].Says != "told once" {
		t.Errorf("%+v", l[0])
	}
	if l[1].Class != "next" || strings.Join(l[1].Lost, "; ") != "pager was not reached; voice is not reached so far; nobody knows whether fax was reached" ||
		l[1].Says != "told twice, again in 3 min; overtaken before it arrived: note" {
		t.Errorf("%+v", l[1])
	}
	if l[2].Class != "" || l[2].Says != "is told in 1 h 40 min" {
		t.Errorf("%+v", l[2])
	}
	if says := standingOf(a, l, now); says != "Nobody has taken it. Next on the ladder: pager, voice, fax, note." {
		t.Error(says)
	}
	late := &wire.Alert{State: wire.AlertOpen, OpenedAt: now.Add(-time.Hour), Ladder: []wire.AlertLevel{{To: []string{"chat"}}}}
	if l := ladderOf(late, now); l[0].Says != "is told now" || l[0].Class != "next" {
		t.Errorf("%+v", l[0])
	}
	for text, want := range map[string]string{"": "", "2d": "48h", " 1 h 30 m ": "1h30m", "8h": "8h", "0s": "!", "soon": "!", "-1h": "!", "9999d": "!"} {
		got, err := longOf(text, false)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
