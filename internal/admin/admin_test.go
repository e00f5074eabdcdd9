package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// puppet is a worker that does what its test says.
type puppet struct {
	mu     sync.Mutex
	status wire.WorkerStatus
	alive  error
	ready  []string
}

func (p *puppet) set(change func(p *puppet)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *puppet) Alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive
}

func (p *puppet) Ready() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

func (p *puppet) Status() wire.WorkerStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *puppet) Drain() {
	p.set(func(p *puppet) {
		p.status.Drain = wire.WorkerDrain{Wanted: true, By: append(p.status.Drain.By, wire.DrainByProcess)}
		p.status.State, p.status.SafeToStop = wire.WorkerDraining, false
		if len(p.status.InFlight) == 0 {
			p.status.State, p.status.SafeToStop = wire.WorkerDrained, true
		}
	})
}

func (p *puppet) Undrain() {
	p.set(func(p *puppet) {
		var rest []string
		for _, by := range p.status.Drain.By {
			if by != wire.DrainByProcess {
				rest = append(rest, by)
			}
		}
		p.status.Drain = wire.WorkerDrain{Wanted: len(rest) > 0, By: rest}
		if len(rest) == 0 {
			p.status.State, p.status.SafeToStop = wire.WorkerActive, false
		}
	})
}

// serve answers about o on a free port at host, until the test ends.
func serve(t *testing.T, host string, o Options) string {
	t.Helper()
	l, err := Listen(net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	s := New(l, o)
	s.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// reply is an answer as a script sees it.
type reply struct {
	code   int
	header http.Header
	text   string
}

func (r reply) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(r.text), &p); err != nil || p.Status != r.code || p.Title == "" || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s is no problem as RFC 9457 writes it: %v", r.code, r.text, err)
	}
	return p
}

func ask(t *testing.T, method, url string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

func TestAWorkersPortAnswersProbesAndDrains(t *testing.T) {
	t.Parallel()
	p := &puppet{status: wire.WorkerStatus{ID: "w", Version: "1.4.0", State: wire.WorkerActive, Concurrency: 4,
		InFlight: []wire.HeldStep{{Job: "j", Step: "7"}, {Job: "j", Step: "8"}}}}
	url := serve(t, "127.0.0.1", Options{Worker: p, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "stint_up 1\n") })})
	want := func(method, path string, code int) reply {
		t.Helper()
		r := ask(t, method, url+path)
		if r.code != code {
			t.Errorf("%s %s: %d %s, want %d", method, path, r.code, r.text, code)
		}
		return r
	}
	want("GET", "/livez", 200)
	want("GET", "/readyz", 200)
	if r := want("GET", "/metrics", 200); r.text != "stint_up 1\n" {
		t.Errorf("metrics: %q", r.text)
	}
	var s wire.WorkerStatus
	if err := json.Unmarshal([]byte(want("GET", "/status", 200).text), &s); err != nil || s.ID != "w" || len(s.InFlight) != 2 || s.SafeToStop {
		t.Errorf("%+v, %v", s, err)
	}
	want("GET", "/drained", 503)
	want("POST", "/drain", 202)
	want("POST", "/drain", 202) // again, and nothing more happens
	r := want("GET", "/drained", 503)
	if pr := r.problem(t); pr.InFlight == nil || *pr.InFlight != 2 || r.header.Get("Retry-After") != "1" {
		t.Errorf("not drained: %s, Retry-After %q", r.text, r.header.Get("Retry-After"))
	}
	p.set(func(p *puppet) { p.status.InFlight = nil; p.ready = []string{"the worker is drained"} })
	want("POST", "/drain", 200)
	want("GET", "/drained", 200)
	if pr := want("GET", "/readyz", 503).problem(t); len(pr.Reasons) != 1 {
		t.Errorf("not ready because %v", pr.Reasons)
	}
	want("DELETE", "/drain", 200)
	want("DELETE", "/drain", 200)
	p.set(func(p *puppet) { p.alive = errors.New("the heartbeat loop has not turned for 4s") })
	want("GET", "/livez", 503).problem(t)
	want("GET", "/nothing", 404).problem(t)
	want("PUT", "/drain", 404).problem(t)
}

func TestADrainThatWasAskedForElsewhereIsNotTakenBackHere(t *testing.T) {
	t.Parallel()
	p := &puppet{}
	url := serve(t, "127.0.0.1", Options{Worker: p})
	for by, word := range map[string]string{wire.DrainByRequest: "workers undrain", wire.DrainByFence: "version <2.0"} {
		p.set(func(p *puppet) {
			p.status = wire.WorkerStatus{State: wire.WorkerDrained, SafeToStop: true, Fenced: "version <2.0", Drain: wire.WorkerDrain{Wanted: true, By: []string{by}}}
		})
		if r := ask(t, "DELETE", url+"/drain"); r.code != 409 || !strings.Contains(r.problem(t).Detail, word) {
			t.Errorf("%s: %d %s", by, r.code, r.text)
		}
	}
}

func TestWhatChangesSomethingIsTakenFromLoopbackOnly(t *testing.T) {
	t.Parallel()
	p := &puppet{status: wire.WorkerStatus{State: wire.WorkerActive}}
	url := serve(t, "127.0.0.1", Options{Worker: p})
	for _, header := range fromElsewhere { // a browser, a proxy
		for _, method := range []string{"POST", "DELETE"} {
			if r := ask(t, method, url+"/drain", header, "http://evil.example"); r.code != 403 || r.problem(t).Hint == "" {
				t.Errorf("%s with %s: %d %s", method, header, r.code, r.text)
			}
		}
	}
	if p.Status().Drain.Wanted {
		t.Error("it was drained all the same")
	}
	// Asked of the handler itself: a test opens no port beyond loopback. What counts is where a request comes from, not where
	// the port is open: a hook in the same pod comes over loopback.
	h := Handler(Options{Worker: p, Log: slog.New(slog.DiscardHandler)})
	from := func(address, method, path string) int {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, elsewhere := range []string{"192.0.2.9:40000", "[2001:db8::9]:40000", "nonsense"} {
		for _, method := range []string{"POST", "DELETE"} {
			if code := from(elsewhere, method, "/drain"); code != 403 {
				t.Errorf("%s from %s: %d", method, elsewhere, code)
			}
		}
		if code := from(elsewhere, "GET", "/status"); code != 200 {
			t.Errorf("looking from %s: %d", elsewhere, code)
		}
	}
	if p.Status().Drain.Wanted {
		t.Error("it was drained from elsewhere")
	}
	for _, here := range []string{"127.0.0.1:40000", "[::1]:40000"} {
		if code := from(here, "POST", "/drain"); code != 200 {
			t.Errorf("from %s: %d", here, code)
		}
	}
}

// everywhere is a listener on all interfaces, as far as its address goes.
type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 7801} }

type part struct {
	alive error
	ready []string
}

func (p part) Alive() error    { return p.alive }
func (p part) Ready() []string { return p.ready }

func TestASchedulersPortHasNothingToDrain(t *testing.T) {
	t.Parallel()
	url := serve(t, "127.0.0.1", Options{Scheduler: part{}, Version: "1.4.0"})
	var s wire.WorkerStatus
	if r := ask(t, "GET", url+"/status"); json.Unmarshal([]byte(r.text), &s) != nil || s.Version != "1.4.0" || s.Protocol != tasks.Protocol || !s.SafeToStop {
		t.Errorf("%s", r.text)
	}
	for path, method := range map[string]string{"/drained": "GET", "/drain": "POST"} {
		if r := ask(t, method, url+path); r.code != 404 || r.problem(t).Hint == "" {
			t.Errorf("%s %s: %d %s", method, path, r.code, r.text)
		}
	}
	if r := ask(t, "GET", url+"/metrics"); r.code != 404 {
		t.Errorf("metrics that there are not: %d", r.code)
	}
	both := serve(t, "127.0.0.1", Options{Worker: &puppet{}, Scheduler: part{ready: []string{"the sweep fails"}}})
	if r := ask(t, "GET", both+"/readyz"); r.code != 503 || !strings.Contains(r.text, "the sweep fails") {
		t.Errorf("a process with both: %d %s", r.code, r.text)
	}
}

func TestALargeHeaderIsRefused(t *testing.T) {
	t.Parallel()
	url := serve(t, "127.0.0.1", Options{Scheduler: part{}})
	if r := ask(t, "GET", url+"/livez", "X-Large", strings.Repeat("x", 64<<10)); r.code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", r.code)
	}
}

func TestTheSpecSaysWhereTheProcessAnswers(t *testing.T) {
	t.Parallel()
	if l, err := Listen(Off); l != nil || err != nil || Address(l) != "" {
		t.Errorf("off: %v, %v", l, err)
	}
	// Two with auto: whoever has the default address, they do not share one.
	first, err := Listen(Auto)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Listen(Auto)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if Address(first) == Address(second) || !strings.HasPrefix(Address(second), "127.0.0.1:") {
		t.Errorf("%s and %s", Address(first), Address(second))
	}
	if _, err := Listen(Address(first)); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("an address that is taken: %v", err)
	}
	all := everywhere{}
	if host, _, _ := net.SplitHostPort(Address(all)); host == "0.0.0.0" || host == "::" || host == "" {
		t.Errorf("others are told to look at %s", Address(all))
	}
	for spec, want := range map[string]string{Auto: "http://127.0.0.1:7801", "0.0.0.0:7801": "http://127.0.0.1:7801", ":7900": "http://127.0.0.1:7900",
		"[::]:7801": "http://[::1]:7801", "10.0.0.7:80": "http://10.0.0.7:80"} {
		if got, err := URL(spec); err != nil || got != want {
			t.Errorf("URL(%q) = %q, %v; want %q", spec, got, err, want)
		}
	}
	for _, bad := range []string{"7801", "", "on"} {
		if _, err := Listen(bad); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("Listen(%q): %v", bad, err)
		}
		if _, err := URL(bad); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("URL(%q): %v", bad, err)
		}
	}
	if _, err := URL(Off); !errors.Is(err, ErrOff) || tasks.HintOf(err) == "" {
		t.Errorf("URL(off): %v", err)
	}
}
