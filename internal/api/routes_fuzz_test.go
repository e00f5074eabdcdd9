package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// described is a route as docs/openapi.json has it.
type described struct {
	method, path string
	body         bool
	parameters   []struct{ Name, In string }
}

func everyRoute(t testing.TB) []described {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody *struct{}
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var all []described
	for path, methods := range doc.Paths {
		for method, o := range methods {
			all = append(all, described{strings.ToUpper(method), path, o.RequestBody != nil, o.Parameters})
		}
	}
	slices.SortFunc(all, func(a, b described) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(all) < 70 {
		t.Fatalf("%d routes", len(all))
	}
	return all
}

// FuzzAnyRequestOfAnyRouteIsAnswered sends a text as each parameter, and bytes as the body, of every route that is described. None is a
// fault of the server, and whatever is refused is a problem that says so.
func FuzzAnyRequestOfAnyRouteIsAnswered(f *testing.F) {
	rdb := redis.NewClient(redistest.New(f).Options())
	f.Cleanup(func() { _ = rdb.Close() })
	st := store.New(rdb)
	enginetest.Submit(f, rdb, st, enginetest.Job("job-1", 1))
	token, made := MakeToken(wire.NewToken{Name: "x", Role: "admin"}, "test", time.Now())
	if err := st.PutToken(f.Context(), token); err != nil {
		f.Fatal(err)
	}
	log := &enginetest.Log{}
	a := New(Options{Store: st, Producer: queue.NewProducer(rdb), Families: []tasks.Family{&enginetest.Family{Effects: rdb}, &other{}}, Log: log.Logger()})
	routes := everyRoute(f)
	for i := range routes {
		f.Add(i, "job-1", []byte(nil))
		f.Add(i, "x\x00\xff", []byte(`null`))
		if routes[i].body {
			for _, body := range []string{`{}`, `[]`, `{"kind":"test","spec":{"steps":[1]},"tenant":"t","labels":{"a":"b"},"priority":"high","window":2}`, `{"name":"x","role":"admin","tenants":["*"],"expires_at":"2030-01-01T00:00:00Z"}`, `{"version":"<2.0"}`, `{"version":"1","not_version":"2","labels":{"a":"b"}}`, `{"running":-1,"rate":"x"}`,
				`{"cron":"* * * * *","zone":"UTC","job":{"kind":"test","spec":{}}}`, `{"every":"1h","jitter":"2h"}`, `{"reason":"x","until":"2030-01-01T00:00:00Z","for":"1h"}`, `{"rule":"r","key":"k","for":"-1h"}`, "{\"a\":\"\xff\"}", `{"kind":1e999}`, `{"kind":"test","spec":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`} {
				f.Add(i, "7", []byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which int, text string, body []byte) {
		if which < 0 || which >= len(routes) {
			t.Skip()
		}
		r := routes[which]
		path, query, header := r.path, url.Values{}, http.Header{}
		for _, p := range r.parameters {
			switch p.In {
			case "path":
				path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(text))
			case "query":
				query.Set(p.Name, text)
			case "header":
				header[http.CanonicalHeaderKey(p.Name)] = []string{text}
			}
		}
		if strings.Contains(header.Get("Accept"), "event-stream") || strings.HasSuffix(r.path, "/events") { // FuzzWhatAClientMakesUp
			t.Skip()
		}
		u, err := url.Parse(path)
		if err != nil {
			t.Skip()
		}
		u.RawQuery = query.Encode()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		in := httptest.NewRequestWithContext(ctx, r.method, "http://127.0.0.1/", strings.NewReader(string(body)))
		in.URL, in.Header = u, header
		header.Set("Authorization", "Bearer "+made.Secret)
		if r.body {
			header.Set("Content-Type", "application/json")
		}
		out := httptest.NewRecorder()
		a.Handler().ServeHTTP(out, in)
		if out.Code == http.StatusUnauthorized || out.Code >= 500 && out.Code != http.StatusNotImplemented && !(out.Code == http.StatusServiceUnavailable && (r.path == "/readyz" || strings.HasSuffix(r.path, "/drained"))) || ctx.Err() != nil {
			t.Errorf("%s %s with %q: %d %s\n%s", r.method, u, body, out.Code, out.Body, log)
		}
		if out.Code >= 400 && strings.HasPrefix(u.Path, "/v1/") && !strings.HasSuffix(r.path, "/drained") {
			var p wire.Problem
			if err := json.Unmarshal(out.Body.Bytes(), &p); err != nil || p.Status != out.Code || p.Detail == "" || p.Code == "" {
				t.Errorf("%s %s with %q: %d %s is no problem: %v", r.method, u, body, out.Code, out.Body, err)
			}
		}
	})
}
