package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/internal/enginetest"
)

// endless is a body of so many bytes, of which it counts those that were taken.
type endless struct {
	left  int64
	taken atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	for i := range p[:n] {
		p[i] = ' '
	}
	e.left -= n
	e.taken.Add(n)
	return int(n), nil
}

func TestAHugeBodyIsCutWithoutBeingReadWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := &endless{left: 100 << 20}
	go func() {
		_, _ = fmt.Fprintf(conn, "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", body.left)
		_, _ = io.Copy(conn, body)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	got := answered{resp.StatusCode, resp.Header, text}
	if got.status != 413 {
		t.Errorf("want 413: %s", got)
	}
	got.problem(t)
	if n := body.taken.Load(); n > 32<<20 {
		t.Errorf("%d bytes of it were taken", n)
	}
}

func TestWhoSendsAByteAtATimeIsCut(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.start(h.api(func(o *Options) { o.ReadTimeout = 500 * time.Millisecond }), ServerOptions{ReadTimeout: 500 * time.Millisecond})
	for what, head := range map[string]string{
		"headers": "GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
		"a body":  "POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n",
	} {
		start := time.Now()
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, head)
		cut := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			close(cut)
		}()
		drip := time.NewTicker(20 * time.Millisecond)
		for open := true; open; {
			select {
			case <-cut:
				open = false
			case <-drip.C:
				_, _ = conn.Write([]byte("x"))
			}
			if time.Since(start) > 5*time.Second {
				t.Errorf("%s: not cut in 5 s", what)
				break
			}
		}
		drip.Stop()
		_ = conn.Close()
		<-cut
	}
}

func TestAnAnswerMayTakeLongerThanARequestMayTakeToBeSent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := h.api(func(o *Options) { o.ReadTimeout = 200 * time.Millisecond })
	op := a.route(needs{role: viewer}, http.MethodPost, "/v1/slow", "slow", "", "")
	huma.Register(a.huma, op, func(ctx context.Context, _ *struct{ Body map[string]string }) (*struct{}, error) {
		select {
		case <-ctx.Done():
			return nil, errors.New("the request was cut")
		case <-time.After(time.Second):
			return nil, nil
		}
	})
	s := h.start(a, ServerOptions{ReadTimeout: 200 * time.Millisecond})
	for range 2 { // the second on the same connection
		if got := h.send("POST", s.at("/v1/slow"), map[string]string{}); got.status != 204 {
			t.Errorf("%s", got)
		}
	}
}

func TestHeadersOfMoreThanSixteenKilobytesAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	if got := h.send("GET", s.at("/v1/jobs"), nil, "X-Long", strings.Repeat("x", 15<<10)); got.status != 200 {
		t.Errorf("15 KiB: %s", got)
	}
	// The server hangs up while the client still sends, so the answer may not come through.
	if got, err := h.try("GET", s.at("/v1/jobs"), nil, "X-Long", strings.Repeat("x", 32<<10)); err == nil && got.status != 431 {
		t.Errorf("32 KiB: %s", got)
	}
}

func TestMoreConnectionsThanAreAllowedWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.start(h.api(), ServerOptions{MaxConnections: 2})
	var conns []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	ask := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	for _, conn := range conns[:2] {
		if err := ask(conn); err != nil {
			t.Fatal(err)
		}
	}
	_ = conns[2].SetDeadline(time.Now().Add(300 * time.Millisecond))
	if err := ask(conns[2]); err == nil {
		t.Error("the third is answered beside two others")
	}
	_ = conns[0].Close()
	_ = conns[2].SetDeadline(time.Now().Add(enginetest.Patience))
	resp, err := http.ReadResponse(bufio.NewReader(conns[2]), nil)
	if err != nil {
		t.Fatalf("the third has had its turn, and: %v", err)
	}
	_ = resp.Body.Close()
}

const canary = "canary-hunter2"

// wrong are requests that cannot be right, each with the canary where it is wrong.
var wrong = []struct {
	what, method, path, body, contentType string
	status                                int
	place                                 string
}{
	{"an unknown query parameter", "GET", "/v1/jobs?bogus=" + canary, "", "", 422, "query.bogus"},
	{"a wrong type in the query", "GET", "/v1/jobs?limit=" + canary, "", "", 422, "query.limit"},
	{"too much in the query", "GET", "/v1/jobs?limit=100000", "", "", 422, "query.limit"},
	{"no such state", "GET", "/v1/jobs?state=" + canary, "", "", 422, "query.state[0]"},
	{"a label without a value", "GET", "/v1/jobs?label=" + canary, "", "", 422, "query.label"},
	{"a cursor that is none", "GET", "/v1/jobs?cursor=" + canary, "", "", 422, "query.cursor"},
	{"a cursor of the trail that is none", "GET", "/v1/audit?cursor=" + canary, "", "", 422, "query.cursor"},
	{"an event that is none", "GET", "/v1/jobs/job-1/events?after=" + canary, "", "", 422, "Last-Event-ID"},
	{"an unknown field", "POST", "/v1/jobs", `{"kind":"test","spec":{},"bogus":"` + canary + `"}`, "application/json", 422, "body.bogus"},
	{"a wrong type", "POST", "/v1/jobs", `{"kind":"test","spec":{},"window":"` + canary + `"}`, "application/json", 422, "body.window"},
	{"a wrong type of a label", "POST", "/v1/jobs", `{"kind":"test","spec":{},"labels":{"a":{"b":"` + canary + `"}}}`, "application/json", 422, "body.labels.a"},
	{"a queue that cannot be", "POST", "/v1/jobs", `{"kind":"test","spec":{},"queue":"` + canary + `!"}`, "application/json", 422, "body.queue"},
	{"a long kind", "POST", "/v1/jobs", `{"spec":{},"kind":"` + canary + strings.Repeat("x", 50) + `"}`, "application/json", 422, "body.kind"},
	{"no spec", "POST", "/v1/jobs", `{"kind":"test","labels":{"a":"` + canary + `"}}`, "application/json", 422, "body"},
	{"a kind that there is not", "POST", "/v1/jobs", `{"spec":{},"kind":"` + canary + `"}`, "application/json", 422, "body.kind"},
	{"an address with a password", "POST", "/v1/jobs", `{"kind":"test","spec":{"a":["postgres://u:` + canary + `@h/db"]}}`, "application/json", 422, "body.spec"},
	{"the same in other letters", "POST", "/v1/jobs", `{"kind":"test","spec":{"a":{"b":"postgres:\/\/u\u003a` + canary + `\u0040h"}}}`, "application/json", 422, "body.spec"},
	{"one in the name of a field", "POST", "/v1/jobs", `{"kind":"test","spec":{"mysql://u:` + canary + `@h":1}}`, "application/json", 422, "body.spec"},
	{"one in a label", "POST", "/v1/jobs", `{"kind":"test","spec":{},"labels":{"a":"redis://:` + canary + `@h"}}`, "application/json", 422, "body.labels"},
	{"one in a draft", "POST", "/v1/drafts", `{"kind":"test","spec":"x://u:` + canary + `@h"}`, "application/json", 422, "body.spec"},
	{"broken JSON", "POST", "/v1/jobs", `{"kind":"` + canary, "application/json", 400, "body"},
	{"something after the JSON", "POST", "/v1/jobs", `{"kind":"test","spec":{}} "` + canary + `"`, "application/json", 400, "body"},
	{"an array", "POST", "/v1/jobs", `["` + canary + `"]`, "application/json", 422, "body"},
	{"another content type", "POST", "/v1/jobs", canary, "text/plain", 415, "body"},
	{"a form", "POST", "/v1/jobs", "kind=" + canary, "application/x-www-form-urlencoded", 415, "body"},
	{"no body", "POST", "/v1/jobs", "", "application/json", 400, "body"},
	{"a role that there is not", "POST", "/v1/tokens", `{"name":"x","role":"` + canary + `"}`, "application/json", 422, "body.role"},
	{"a time that is none", "POST", "/v1/tokens", `{"name":"x","role":"viewer","expires_at":"` + canary + `"}`, "application/json", 422, "body.expires_at"},
	{"a time that is over", "POST", "/v1/tokens", `{"name":"x","role":"viewer","expires_at":"2001-01-01T00:00:00Z"}`, "application/json", 422, "body.expires_at"},
	{"limits below zero", "PUT", "/v1/tenants/a/limits", `{"running_jobs":-1,"steps_per_second":0}`, "application/json", 422, "body.running_jobs"},
}

func TestWhatCannotBeRightIsToldWithItsPlaceAndAHintAndNeverRepeated(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	for _, c := range wrong {
		var body any
		if c.method != "GET" {
			body = c.body
		}
		got := h.send(c.method, s.at(c.path), body, "Content-Type", c.contentType)
		p := got.problem(t)
		if got.status != c.status || p.Hint == "" {
			t.Errorf("%s: want %d and a hint: %s", c.what, c.status, got)
		}
		if strings.Contains(string(got.body), canary) {
			t.Errorf("%s: what was sent is repeated: %s", c.what, got)
		}
		places := p.Detail
		for _, e := range p.Errors {
			places += " " + e.Location + ":"
		}
		if !strings.Contains(places, c.place+":") {
			t.Errorf("%s: %s is not named: %s", c.what, c.place, got)
		}
	}
	if strings.Contains(h.log.String(), canary) {
		t.Errorf("the log repeats what was sent:\n%s", h.log)
	}
}

func TestPathsAndMethodsThatThereAreNotAreProblemsToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	for _, path := range []string{"/", "/v2/jobs", "/v1/jobs/", "/v1/nothing", "/v1/jobs/x/y/z", "//evil.example/%2e%2e"} {
		for _, method := range []string{"GET", "POST"} {
			if got := h.send(method, s.at(path), nil); got.status != 404 || got.problem(t).Hint == "" {
				t.Errorf("%s %s: %s", method, path, got)
			}
		}
	}
	for request, allow := range map[string]string{"DELETE /v1/jobs": "GET, HEAD, POST", "PATCH /v1/jobs/x": "GET, HEAD", "GET /v1/jobs/x/pause": "POST", "POST /v1/tenants/x/limits": "PUT",
		"GET /v1/kinds/x/maintenance": "PUT, DELETE", "OPTIONS /v1/jobs": "GET, HEAD, POST", "TRACE /livez": "GET, HEAD"} {
		method, path, _ := strings.Cut(request, " ")
		got := h.send(method, s.at(path), nil)
		if got.status != 405 || got.header.Get("Allow") != allow || got.problem(t).Hint == "" {
			t.Errorf("%s: want %s: %s", request, allow, got)
		}
	}
}

func TestAPanicIsAProblemAndTheServerLivesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := h.api()
	huma.Register(a.huma, a.route(needs{role: viewer}, http.MethodPost, "/v1/panic", "panic", "", ""), func(context.Context, *struct{}) (*struct{}, error) {
		panic("at the disco")
	})
	s := h.start(a, ServerOptions{})
	for range 3 {
		got := h.send("POST", s.at("/v1/panic"), nil)
		if p := got.problem(t); got.status != 500 || p.Code != "internal" || strings.Contains(string(got.body), "disco") {
			t.Errorf("%s", got)
		}
	}
	if h.log.Count("at the disco") != 3 {
		t.Errorf("the log has nothing of it:\n%s", h.log)
	}
	trail, _, err := h.st.AuditTrail(t.Context(), "", 10)
	if err != nil || len(trail) != 3 || trail[0].Status != 500 || trail[0].Action != "panic" {
		t.Errorf("the trail: %+v %v", trail, err)
	}
	if got := h.send("GET", s.at("/v1/about"), nil); got.status != 200 {
		t.Errorf("afterwards: %s", got)
	}
}
