package web

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
)

// stream reads the news of a page.
type stream struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

func (b *browser) stream(path string) *stream {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return &stream{b.t, resp, in}
}

// next returns the next event; "" at the end.
func (s *stream) next() (event, data string) {
	s.t.Helper()
	for s.in.Scan() {
		line := s.in.Text()
		if e, ok := strings.CutPrefix(line, "event: "); ok {
			event = e
		}
		if d, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(d), &data); err != nil {
				s.t.Fatal(err)
			}
			return event, data
		}
	}
	return "", ""
}

func TestAnOpenPageIsToldWhatChanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	s := h.browser("").stream("/jobs?kind=test&live=1")
	if got := s.resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("%s", got)
	}
	event, html := s.next()
	if event != "page" || !strings.Contains(html, id) || !strings.Contains(html, "accepted") || strings.Contains(html, "<html") {
		t.Fatalf("%s: %s", event, html)
	}
	if _, err := h.client.Control(t.Context(), id, client.Pause); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(enginetest.Patience); ; {
		_, html = s.next()
		if strings.Contains(html, `<span class="badge warn"><span aria-hidden="true">‖</span>paused</span>`) {
			break
		}
		if time.Now().After(deadline) || html == "" {
			t.Fatalf("no news of the pause: %s", html)
		}
	}
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.token("admin")
	secret := h.token("viewer")
	b := h.browser(secret)
	s := b.stream("/?live=1")
	if event, _ := s.next(); event != "page" {
		t.Fatalf("the first event is %q", event)
	}
	tokens, err := h.client.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tokens {
		if x.Role == "viewer" {
			if err := h.client.RevokeToken(t.Context(), x.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for {
		event, _ := s.next()
		if event == "reload" {
			break
		}
		if event == "" {
			t.Fatal("the stream ended without a word")
		}
	}
	if p := b.get("/"); !strings.HasPrefix(p.Path, "/login") {
		t.Errorf("after the token was revoked / is %s", p.Path)
	}
}

func TestAServerThatStopsEndsItsStreams(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.browser("").stream("/?live=1")
	if event, _ := s.next(); event != "page" {
		t.Fatalf("the first event is %q", event)
	}
	h.api.Close()
	for {
		if event, _ := s.next(); event == "" {
			return
		}
	}
}

// Fifty open pages ask the API no more often than one does, and nobody is shown what another's token may see.
func TestReadsAreSharedAmongPagesOfOneReaderAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin, acme := h.token("admin"), h.token("viewer", "acme")
	id := h.submit("one", 3) // of the default tenant
	one, other := h.browser(admin), h.browser(acme)
	for range 3 {
		one.get("/jobs").shows(t, id)
		other.get("/jobs").hides(t, id)
	}
}

func TestWhoActsSeesWhatCameOfIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser("")
	for range 5 {
		b.post("/jobs", "/jobs/act", url.Values{"verb": {"pause"}, "id": {id}}).shows(t, id+" is paused.", ">paused</span>")
		b.post("/jobs", "/jobs/act", url.Values{"verb": {"resume"}, "id": {id}}).shows(t, id+" is resumed.", ">accepted</span>")
	}
}

func TestPagesSayWhatABrowserMayDo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser("")
	for _, path := range []string{"/", "/jobs", "/nothing", "/jobs?label=x"} {
		p := b.get(path)
		if p.Head.Get("Content-Security-Policy") != policy || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, p.Head.Get("Content-Security-Policy"))
		}
		if p.Head.Get("X-Content-Type-Options") != "nosniff" || p.Head.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, p.Head)
		}
		for _, bad := range []string{" style=", "<style", "onclick=", "javascript:", "http://"} {
			if strings.Contains(p.Body, bad) {
				t.Errorf("%s has %s", path, bad)
			}
		}
	}
	b.get("/jobs?label=x").shows(t, "has no value", "name=value")
	if p := b.get("/nothing"); p.Code != http.StatusNotFound {
		t.Errorf("%d", p.Code)
	}
	if p := b.get("/v1/nothing"); p.Head.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the API answers with %s", p.Head.Get("Content-Type"))
	}
}

func TestAssetsAreKeptUntilTheyChange(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser("")
	p := b.get("/")
	at := p.Body[strings.Index(p.Body, "/assets/app.css"):]
	at = at[:strings.Index(at, `"`)]
	if css := b.get(at); css.Code != http.StatusOK || !strings.Contains(css.Head.Get("Cache-Control"), "immutable") || !strings.HasPrefix(css.Head.Get("Content-Type"), "text/css") {
		t.Errorf("%s: %d %v", at, css.Code, css.Head)
	}
	if css := b.get("/assets/app.css?v=old"); strings.Contains(css.Head.Get("Cache-Control"), "immutable") {
		t.Errorf("what is asked for by an old name is kept: %v", css.Head)
	}
	if p := b.get("/assets/../web.go"); p.Code != http.StatusNotFound {
		t.Errorf("%d", p.Code)
	}
}

func TestALoginEndsAfterItsTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser(h.token("admin"))
	keys, err := h.rdb.Keys(t.Context(), "*session*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if left := h.rdb.TTL(t.Context(), keys[0]).Val(); left <= 11*time.Hour || left > api.SessionLife {
		t.Errorf("it is kept for %v", left)
	}
	u, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if strings.Contains(keys[0], c.Value) {
			t.Error("Redis knows the cookie")
		}
	}
	h.rdb.Del(t.Context(), keys[0])
	if p := b.get("/"); !strings.HasPrefix(p.Path, "/login") {
		t.Errorf("afterwards / is %s", p.Path)
	}
}

func TestFormsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"/jobs?a=b": "/jobs?a=b", "//evil.example": "", "https://evil.example": "", "/\\evil.example": "", "javascript:alert(1)": "", "": "", "/a\nb": ""} {
		if got := local(to); got != want {
			t.Errorf("%q: %q, want %q", to, got, want)
		}
	}
}
