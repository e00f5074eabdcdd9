package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

var (
	routeOf = regexp.MustCompile(`\b(page|action|form|download)\("(/[^"]*)"`)
	plainOf = regexp.MustCompile(`HandleFunc\("(GET|POST) (/[^"]+)"`)
	wildOf  = regexp.MustCompile(`\{[a-z]+(\.\.\.)?\}`)
	fieldOf = regexp.MustCompile(`\bname="([a-z_-]+)"|FormValue\("([a-z_]+)"\)|Form\["([a-z_]+)"\]`)
)

// everything lists the routes of the pages, METHOD /path, and the fields of all forms and queries, from the sources.
func everything(t testing.TB) (routes, fields []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Glob("templates/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, templates...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range routeOf.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "action" {
				routes = append(routes, "GET "+m[2])
			}
			if m[1] == "action" || m[1] == "form" {
				routes = append(routes, "POST "+m[2])
			}
		}
		for _, m := range plainOf.FindAllStringSubmatch(string(text), -1) {
			routes = append(routes, m[1]+" "+m[2])
		}
		for _, m := range fieldOf.FindAllStringSubmatch(string(text), -1) {
			fields = append(fields, m[1]+m[2]+m[3])
		}
	}
	slices.Sort(routes)
	slices.Sort(fields)
	routes, fields = slices.Compact(routes), slices.Compact(fields)
	if len(routes) < 50 || len(fields) < 50 {
		t.Fatalf("%d routes and %d fields", len(routes), len(fields))
	}
	return routes, fields
}

// FuzzAnyFormIsAnsweredWithAPage fills the path, the query and all fields of each page and form with a text. None is a fault of the server,
// what is shown of the text is no HTML, and nobody is led to another site.
func FuzzAnyFormIsAnsweredWithAPage(f *testing.F) {
	rdb := redis.NewClient(redistest.New(f).Options())
	f.Cleanup(func() { _ = rdb.Close() })
	st := store.New(rdb)
	enginetest.Submit(f, rdb, st, enginetest.Job("job-1", 1))
	log := &enginetest.Log{}
	a := api.New(api.Options{Store: st, Producer: queue.NewProducer(rdb), Families: []tasks.Family{&enginetest.Family{Effects: rdb}}, Log: log.Logger()})
	token, made := api.MakeToken(wire.NewToken{Name: "x", Role: "admin"}, "test", time.Now())
	if err := st.PutToken(f.Context(), token); err != nil {
		f.Fatal(err)
	}
	site, err := New(Options{API: a, Log: log.Logger()})
	if err != nil {
		f.Fatal(err)
	}
	cookie, err := a.Login(httptest.NewRequest("GET", "http://127.0.0.1/", nil), made.Secret)
	if err != nil {
		f.Fatal(err)
	}
	routes, fields := everything(f)
	for i := range routes {
		for _, seed := range []string{"job-1", "", "x", "1", "-1", "1h", "* * * * *", "//evil.example", "/\\evil.example", `{"steps":[1]}`, "a=b", "\x00\xff", "é\u202e", strings.Repeat("9", 40), "on", "all", "2030-01-01T00:00"} {
			f.Add(i, seed, "")
		}
		f.Add(i, "job-1", "kind=test&spec={\"steps\":[1]}&name=n&every=1h&role=viewer&for=1h&verb=pause&id=job-1&sure=1")
		f.Add(i, "s", "name=s&kind=test&spec={\"steps\":[1]}&cron=*+*+*+*+*&timezone=Australia/Brisbane&overlap=skip&missed=skip&limit=5&jitter=1s")
	}
	f.Fuzz(func(t *testing.T, which int, text, more string) {
		if which < 0 || which >= len(routes) || strings.Contains(text+more, "live") {
			t.Skip()
		}
		method, path, _ := strings.Cut(routes[which], " ")
		if path == "/logout" || strings.Contains(path, "/lines/") { // the end of the session, and a stream
			t.Skip()
		}
		const mark = "<zq7 x='\">"
		values := url.Values{}
		for _, name := range fields {
			values.Set(name, text+mark)
		}
		if more != "" {
			if values, err = url.ParseQuery(more); err != nil {
				t.Skip()
			}
			values.Set("note", text+mark)
		}
		values.Set("form", secretOf(cookie))
		path = strings.ReplaceAll(wildOf.ReplaceAllLiteralString(path, "\x01"), "\x01", url.PathEscape(text))
		u, err := url.Parse(strings.TrimSuffix(path, "{$}"))
		if err != nil {
			t.Skip()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		body := ""
		if method == http.MethodPost {
			body = values.Encode()
		} else {
			u.RawQuery = values.Encode()
		}
		in := httptest.NewRequestWithContext(ctx, method, "http://127.0.0.1/", strings.NewReader(body))
		in.URL = u
		in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		in.AddCookie(&http.Cookie{Name: "stint", Value: cookie})
		out := httptest.NewRecorder()
		site.Handler().ServeHTTP(out, in)
		if out.Code >= 500 && out.Code != http.StatusNotImplemented || ctx.Err() != nil {
			t.Errorf("%s %s with %q: %d %s\n%s", method, u, body, out.Code, out.Body, log)
		}
		if kind := out.Header().Get("Content-Type"); strings.HasPrefix(kind, "text/html") && strings.Contains(out.Body.String(), "<zq7") {
			t.Errorf("%s %s with %q shows what was sent as it is", method, u, body)
		}
		if to := out.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n")) {
			t.Errorf("%s %s with %q leads to %q", method, u, body, to)
		}
	})
}
