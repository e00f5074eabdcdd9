package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	flag.Parse()
	if f := flag.Lookup("test.fuzz"); f == nil || f.Value.String() == "" { // fuzzing does not
		_ = flag.Set("test.parallel", "8") // these tests mostly wait
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// house is a Redis, what is kept there, and the servers of one test.
type house struct {
	t      *testing.T
	server *redistest.Server
	rdb    *redis.Client
	st     *store.Store
	log    *enginetest.Log
	client *http.Client
	apis   []*API
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, server: redistest.New(t), log: &enginetest.Log{}}
	o := h.server.Options()
	o.DisableIdentity = true
	h.rdb = redis.NewClient(o)
	t.Cleanup(func() { _ = h.rdb.Close() })
	h.st = store.New(h.rdb)
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	h.client = &http.Client{Transport: transport, Timeout: enginetest.Patience}
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(func() {
		if t.Failed() && testing.Verbose() {
			t.Logf("log:\n%s", h.log)
		}
	})
	return h
}

// api makes a service of the house.
func (h *house) api(change ...func(*Options)) *API {
	o := Options{Store: h.st, Producer: queue.NewProducer(h.rdb), Families: []tasks.Family{&enginetest.Family{Effects: h.rdb}, &other{}}, Version: "1.2.3", Log: h.log.Logger()}
	for _, c := range change {
		c(&o)
	}
	a := New(o)
	h.apis = append(h.apis, a)
	return a
}

// other is a second kind of jobs.
type other struct{ enginetest.Family }

func (*other) Kind() string { return "other" }

// start lets a service listen until the test ends.
func (h *house) start(a *API, o ServerOptions) *Server {
	h.t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	s, err := a.Start(h.t.Context(), o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		h.client.CloseIdleConnections()
		if err := s.Stop(ctx); err != nil {
			h.t.Errorf("stop the server: %v", err)
		}
	})
	return s
}

// serve is a service on a port of its own.
func (h *house) serve(change ...func(*Options)) *Server {
	h.t.Helper()
	return h.start(h.api(change...), ServerOptions{})
}

// token makes a token and returns its secret.
func (h *house) token(n wire.NewToken) string {
	h.t.Helper()
	if n.Name == "" {
		n.Name = "a " + n.Role
	}
	stored, made := MakeToken(n, "test", time.Now())
	if err := h.st.PutToken(h.t.Context(), stored); err != nil {
		h.t.Fatal(err)
	}
	for _, a := range h.apis {
		a.tokens.forget()
	}
	return made.Secret
}

// answered is an answer, read as a whole.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (a answered) String() string {
	return fmt.Sprintf("%d %v %s", a.status, a.header, bytes.TrimSpace(a.body))
}

// problem reads the answer as a problem.
func (a answered) problem(t testing.TB) wire.Problem {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal(a.body, &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("not a problem: %s (%v)", a, err)
	}
	if p.Status != a.status || p.Code == "" || p.Detail == "" || p.Title == "" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-ID") {
		t.Errorf("a problem lacks something: %s", a)
	}
	return p
}

// as reads the answer into a value.
func as[T any](t testing.TB, a answered) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	return v
}

// send sends a request and reads the answer. A body that is no text is sent as JSON. Headers are name, value, ...; Host is one.
func (h *house) send(method, url string, body any, headers ...string) answered {
	h.t.Helper()
	a, err := h.try(method, url, body, headers...)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

func (h *house) try(method, url string, body any, headers ...string) (answered, error) {
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case io.Reader:
		in = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return answered{}, err
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, url, in)
	if err != nil {
		return answered{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		switch {
		case headers[i] == "Host":
			r.Host = headers[i+1]
		case headers[i+1] != "":
			r.Header.Set(headers[i], headers[i+1])
		default:
			r.Header.Del(headers[i])
		}
	}
	resp, err := h.client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, text}, err
}

func (s *Server) at(path string) string { return "http://" + s.Addr() + path }

func bearer(secret string) []string { return []string{"Authorization", "Bearer " + secret} }

// submission asks for a job of one stage.
func submission(steps int) map[string]any {
	return map[string]any{"kind": "test", "spec": enginetest.Spec{Stages: []int{steps}}}
}

// job makes a job of a tenant without asking the API.
func (h *house) job(id, tenant string) {
	h.t.Helper()
	job := enginetest.Job(id, 3)
	job.Tenant = tenant
	enginetest.Submit(h.t, h.rdb, h.st, job)
}

// beat lets a worker appear that is not there.
func (h *house) beat(w wire.Worker) {
	h.t.Helper()
	if w.State == "" {
		w.State = wire.WorkerActive
	}
	if _, err := h.st.Beat(h.t.Context(), w); err != nil {
		h.t.Fatal(err)
	}
}

// event adds an event to a job.
func (h *house) events(job string, n int) {
	h.t.Helper()
	for range n {
		if err := h.rdb.XAdd(h.t.Context(), &redis.XAddArgs{Stream: "stint:{" + job + "}:events", Values: []any{"type", "test", "at", time.Now().UnixMilli()}}).Err(); err != nil {
			h.t.Fatal(err)
		}
	}
}

// forget lets everybody begin anew.
func (p *pace) forget() {
	p.mu.Lock()
	p.by = nil
	p.mu.Unlock()
}

func tokensOf(list ...store.StoredToken) map[string]store.StoredToken {
	m := map[string]store.StoredToken{}
	for _, t := range list {
		m[t.ID] = t
	}
	return m
}
