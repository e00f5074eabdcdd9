package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

func TestWhatIsSaidFitsIntoACookie(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"umlauts": strings.Repeat("ü", 600), "marks": strings.Repeat("<&>", 400), "control": strings.Repeat("\x01", 1000), "short": "It is done."} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		setFlash(w, r, &flash{Text: text, Hint: text, Bad: true})
		cookies := w.Result().Cookies()
		if len(cookies) != 1 || len(cookies[0].Name)+len(cookies[0].Value) > 4000 { // browsers refuse those of more than 4,096
			t.Fatalf("%s: a cookie of %d bytes", name, len(cookies[0].Value))
		}
		r.AddCookie(cookies[0])
		f := takeFlash(httptest.NewRecorder(), r)
		if f == nil || !f.Bad || !strings.HasPrefix(text, strings.TrimSuffix(f.Text, "…")) || len(f.Text) < 10 || !strings.HasPrefix(text, strings.TrimSuffix(f.Hint, "…")) || f.Hint == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestSentencesBeginWithAnyLetter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"“a” is none": "“a” is none.", "über allem!": "Über allem!", "one": "One.", "": ""} {
		if got := sentence(text); got != want || !utf8.ValidString(got) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := sentenceStart(text); !utf8.ValidString(got) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestProblemsNameTheFieldsOfAForm(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*wire.Problem{
		"For: is no duration.":                          {Status: 422, Detail: "body.for: is no duration"},
		"Validation failed; name: expected length.":     {Status: 422, Detail: "validation failed", Errors: []wire.ProblemPlace{{Message: "expected length", Location: "body.name"}}},
		"It is broken.":                                 {Status: 400, Detail: "it is broken", Errors: []wire.ProblemPlace{{Message: "it is broken", Location: "body"}}},
		"Validation failed; limit: is no whole number.": {Status: 422, Detail: "validation failed", Errors: []wire.ProblemPlace{{Message: "is no whole number", Location: "query.limit"}}},
		"Everybody: of them.":                           {Status: 422, Detail: "everybody: of them"},
	} {
		if got := problemOf(p).Detail; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A form that is sent when the session is over leads, after the login, to the page that it was on.
func TestAFormAfterTheEndOfASessionLeadsBackToItsPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser(h.token("admin"))
	h.rdb.FlushAll(t.Context()) // of this test's own Redis
	h.token("viewer")
	p := b.send("/jobs/act", url.Values{"verb": {"pause"}, "back": {"/jobs?state=running"}})
	if want := "/login?to=" + url.QueryEscape("/jobs?state=running"); p.Path != want {
		t.Errorf("it leads to %s, want %s", p.Path, want)
	}
	if p := b.send("/jobs/act", url.Values{"back": {"https://evil.example"}}); p.Path != "/login?to=" && p.Path != "/login" {
		t.Errorf("it leads to %s", p.Path)
	}
}

func TestAPageOfAFormHasTheAddressOfThePageBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := h.browser("").send("/jobs/act", url.Values{"form": {"x"}, "back": {"/jobs?kind=test"}})
	p.shows(t, "/theme/dark?to=%2Fjobs%3Fkind%3Dtest")
}

// A stream that is asked for when nobody is logged in says so, in the words of a stream: a page that gets HTML would ask for ever.
func TestAStreamForNobodyHasThePageAskedForAnew(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.token("admin")
	b := h.browser("")
	for _, path := range []string{"/jobs?live=1", "/builds/x/lines/y"} {
		s := b.stream(path)
		if got := s.resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("%s: %s", path, got)
			continue
		}
		if event, _ := s.next(); event != "reload" {
			t.Errorf("%s: %q", path, event)
		}
	}
}

func TestOnlyAPageTakesWhatIsSaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser("")
	w := httptest.NewRecorder()
	setFlash(w, httptest.NewRequest(http.MethodGet, "/", nil), &flash{Text: "It was said."})
	u, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, w.Result().Cookies())
	b.get("/jobs/" + id + "/rejects.ndjson")
	b.get("/builds/" + id + "/whole/x")
	b.get("/jobs").shows(t, "It was said.")
	b.get("/jobs").hides(t, "It was said.")
}

// Pages without tokens are opened from elsewhere, too; the forms of those that are open already go on working.
func TestALinkFromElsewhereLeavesOpenFormsWorking(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := httptest.NewRecorder()
	b := h.browser("")
	p := b.get("/")
	for _, line := range p.Head.Values("Set-Cookie") {
		w.Header().Add("Set-Cookie", line)
	}
	for _, c := range w.Result().Cookies() {
		if c.Name == "stint" && (c.SameSite != http.SameSiteLaxMode || !c.HttpOnly) {
			t.Errorf("a browser would not send %v along with a link", c)
		}
	}
	login := httptest.NewRecorder()
	setCookie(login, httptest.NewRequest(http.MethodPost, "/login", nil), "x", http.SameSiteStrictMode)
	if c := login.Result().Cookies()[0]; c.SameSite != http.SameSiteStrictMode || !c.HttpOnly {
		t.Errorf("a session: %v", c)
	}
}

// hurried remembers how long a reader may take.
type hurried struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (h *hurried) SetWriteDeadline(at time.Time) error { h.until = at; return nil }

func TestFilesOfADedupeMayTakeAsLongAsTheirReaderDoes(t *testing.T) {
	t.Parallel()
	w := &hurried{ResponseRecorder: httptest.NewRecorder()}
	if err := sendDedupeFile(w, "x.ndjson", "application/x-ndjson", -1, bytes.NewReader(make([]byte, 1<<20))); err != nil {
		t.Fatal(err)
	}
	if w.until.IsZero() || w.Body.Len() != 1<<20 {
		t.Errorf("%d bytes, until %v", w.Body.Len(), w.until)
	}
}

func TestInfinityIsNoRule(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Inf", "+Inf", "NaN", "1e400"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{"recency_days": {text}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, err := ruleNumber(&visit{Request: r}, "recency_days", nil, "write days", func(x float64) bool { return x >= 0 })
		var p *wire.Problem
		if !errors.As(err, &p) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// No address makes a page fail, or wait.
func TestOddAddressesAreNotThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser("")
	odd := []string{"%2e%2e", "%2e", "%00", "a%2fb", "..%2fqueues", strings.Repeat("x", 3000), "%ff", "%22%3e%3cscript%3e"}
	pages := []string{"/jobs/%s", "/jobs/%s/events", "/jobs/%s/rejects", "/jobs/%s/report", "/jobs/%s/spec", "/jobs/%s/cancel", "/jobs/%s/report.json", "/jobs/%s/rejects.csv", "/fleet/%s", "/schedules/%s", "/schedules/%s/edit",
		"/alerts/%s", "/dedupe/%s", "/dedupe/deletions/%s", "/builds/%s", "/builds/%s/packages/x", "/builds/%s/logs/x", "/builds/%s/whole/x", "/access/webhooks/%s", "/jobs/new?like=%s",
		"/jobs/" + id + "/outputs/%s", "/builds/" + id + "/packages/%s", "/builds/" + id + "/logs/%s", "/builds/" + id + "/whole/%s", "/dedupe/" + id + "/files/%s"}
	for _, page := range pages {
		for _, x := range odd {
			p := b.get(fmt.Sprintf(page, x))
			if p.Code < 400 || p.Code >= 500 && p.Code != http.StatusServiceUnavailable {
				t.Errorf("%s with %.20s: %d %.300s", page, x, p.Code, p.Body)
			}
		}
	}
	for _, path := range []string{"/builds/" + id + "/packages/", "/builds/" + id + "/logs/", "/builds/" + id + "/whole/"} {
		if p := b.get(path); p.Code < 400 || p.Code == 500 {
			t.Errorf("%s: %d %.300s", path, p.Code, p.Body)
		}
	}
	for _, page := range []string{"/jobs?find=%s", "/jobs?state=%s", "/jobs?kind=%s", "/jobs?tenant=%s", "/jobs?label=a%%3d%s", "/jobs?after=%s", "/fleet?state=%s", "/fleet?find=%s", "/fleet?label=%s%%3d", "/fleet/drain?id=%s", "/fleet/drain?version=%s",
		"/fleet/fence?which=version&value=%s", "/audit?after=%s", "/audit?by=%s", "/alerts?after=%s", "/alerts?state=%s", "/builds?after=%s", "/builds?tenant=%s", "/dedupe?after=%s", "/access?tenant=%s", "/jobs/" + id + "/events?after=%s",
		"/jobs/" + id + "/events?what=%s", "/jobs/" + id + "/rejects?after=%s", "/login?to=%s", "/theme/%s", "/queues?x=%s", "/alerts/silences?rule=%s"} {
		for _, x := range append(odd, "-1", "0", "99999999999999999999") {
			if p := b.get(fmt.Sprintf(page, x)); p.Code == 500 || strings.Contains(p.Body, "><script>") {
				t.Errorf("%s with %.20s: %d %.300s", page, x, p.Code, p.Body)
			}
		}
	}
	if log := h.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "could not be made") {
		t.Errorf("%s", log)
	}
}

func TestTwoClicksRunAScheduleOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.schedule("often", wire.ScheduleDefinition{Cron: "30 2 * * *", Overlap: wire.OverlapAllow})
	b := h.browser("")
	for _, from := range []string{"/schedules/often", "/schedules"} {
		before, err := h.client.Ticks(t.Context(), "often", 10)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`name="once" value="([^"]+)"`).FindStringSubmatch(b.get(from).Body)
		if m == nil {
			t.Fatalf("%s: the form does not say which page it is of", from)
		}
		for range 2 {
			b.post(from, "/schedules/often/run", url.Values{"once": {m[1]}}).shows(t, "often runs now")
		}
		if ticks, err := h.client.Ticks(t.Context(), "often", 10); err != nil || len(ticks) != len(before)+1 {
			t.Errorf("%s: %d ticks after %d, %v", from, len(ticks), len(before), err)
		}
	}
}

func TestRowsWithBoxesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]string{"fleet": `<tr id="worker-{{.ID}}">`, "jobs": `<tr id="job-{{.ID}}">`, "dedupe_deletion": `<tr id="set-{{.Value}}">`} {
		text, err := files.ReadFile("templates/" + name + ".html")
		if err != nil || !bytes.Contains(text, []byte(row)) {
			t.Errorf("%s has no %s: what is chosen could come to stand beside something else; %v", name, row, err)
		}
	}
}

func TestCountsOfAllTenantsDoNotStandAtThoseOfOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.submit("one", 3)
	b := h.browser("")
	b.get("/jobs").shows(t, "accepted 1</a>", "the newest 1,000")
	p := b.get("/jobs?tenant=acme")
	p.hides(t, "accepted 1</a>", "the newest 1,000")
	p.shows(t, `href="/jobs?tenant=acme"`)
}

func TestWhileRedisIsAwayPagesSaySoAndStreamsGoOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser(h.token("admin"))
	s := b.stream("/jobs?live=1")
	if event, html := s.next(); event != "page" || !strings.Contains(html, id) {
		t.Fatalf("%s: %s", event, html)
	}
	form := url.Values{"form": {formSecret.FindStringSubmatch(b.get("/jobs").Body)[1]}}
	h.redis.Kill()
	for _, path := range []string{"/", "/jobs", "/jobs/" + id, "/fleet"} {
		p := b.get(path)
		if p.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, p.Code)
		}
		p.hides(t, h.redis.Addr())
	}
	if p := b.send("/logout", form); p.Code != http.StatusServiceUnavailable {
		t.Errorf("a logout: %d at %s", p.Code, p.Path)
	}
	h.redis.Restart()
	b.await("/jobs", "an answer", func(p *page) bool { return p.Code == http.StatusOK })
	if _, err := h.client.Control(t.Context(), id, client.Pause); err != nil {
		t.Fatal(err)
	}
	for {
		event, html := s.next()
		if strings.Contains(html, "‖</span>paused</span>") {
			break
		}
		if event == "" || event == "reload" {
			t.Fatalf("the stream ended: %q", event)
		}
	}
}

func TestALogoutThatFailsDoesNotSayWhereRedisIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.redis.Kill()
	defer h.redis.Restart()
	err := h.api.Logout(t.Context(), "x")
	if p := problemOf(err); p.Status != http.StatusServiceUnavailable || p.Hint == "" || strings.Contains(p.Detail, h.redis.Addr()) {
		t.Errorf("%+v", p)
	}
}

func TestATokenOfOneTenantSeesNoPageOfAnothers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3) // of the default tenant
	admin, acme := h.browser(h.token("admin")), h.browser(h.token("operator", "acme"))
	for _, path := range []string{"/", "/jobs", "/jobs?find=" + id, "/jobs/" + id, "/jobs/" + id + "/events", "/jobs/" + id + "/report", "/jobs/" + id + "/spec", "/jobs/" + id + "/cancel", "/jobs/" + id + "/report.json", "/jobs/" + id + "/rejects.ndjson",
		"/jobs/new?like=" + id, "/builds/" + id, "/builds/" + id + "/logs/x", "/builds/" + id + "/packages/x", "/dedupe/" + id, "/dedupe/deletions/" + id, "/dedupe/" + id + "/files/x", "/dedupe", "/builds", "/fleet", "/queues", "/audit", "/access", "/alerts", "/schedules"} {
		admin.get(path) // what is kept for one must not be shown to the other
		p := acme.get(path)
		if strings.Contains(path, "/"+id) && p.Code != http.StatusNotFound && p.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, p.Code)
		}
		p.hides(t, ">"+id+"<", `{"stages":[3]}`)
	}
	form := url.Values{"form": {formSecret.FindStringSubmatch(acme.get("/jobs").Body)[1]}, "verb": {"pause"}, "id": {id}, "back": {"/jobs"}}
	acme.send("/jobs/act", form).shows(t, `role="alert"`)
	if j, err := h.client.Job(t.Context(), id); err != nil || j.State != "accepted" {
		t.Errorf("%v, %v", j.State, err)
	}
}
