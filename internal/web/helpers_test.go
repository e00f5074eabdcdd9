package web

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main() // this program also plays the supervisor of a build's commands
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

// house is a Redis, an API and its pages, as a server has them.
type house struct {
	t      *testing.T
	st     *store.Store
	redis  *redistest.Server
	rdb    *redis.Client
	log    *enginetest.Log
	api    *api.API
	client *client.Client // of the API, with every right, within the process
	url    string
}

// newHouse starts one, with the family "test" (enginetest) unless a change of the options says otherwise. No worker runs: what is
// submitted stays accepted until the test moves it (internal/store), or starts one of package worker.
func newHouse(t *testing.T, change ...func(*api.Options)) *house {
	t.Helper()
	h := &house{t: t, log: &enginetest.Log{}}
	h.redis = redistest.New(t, redistest.FsyncAlways()) // a test may kill it
	h.rdb = h.redis.Client()
	h.st = store.New(h.rdb)
	o := api.Options{Store: h.st, Producer: queue.NewProducer(h.rdb), Families: []tasks.Family{&enginetest.Family{Effects: h.rdb}}, Version: "1.2.3", Log: h.log.Logger()}
	for _, c := range change {
		c(&o)
	}
	h.api = api.New(o)
	site, err := New(Options{API: h.api, Refresh: 20 * time.Millisecond, Log: h.log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	server, err := h.api.Start(t.Context(), api.ServerOptions{Listen: "127.0.0.1:0", Pages: site.Handler()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() && testing.Verbose() {
			t.Logf("log:\n%s", h.log)
		}
	})
	h.url = "http://" + server.Addr()
	h.client, err = client.New(client.Options{Server: "http://stint.local", HTTP: &http.Client{Transport: api.InProcess(h.api, "test")}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// token makes a token; from then on the API and its pages ask for one.
func (h *house) token(role string, tenants ...string) string {
	h.t.Helper()
	made, err := h.client.MakeToken(h.t.Context(), wire.NewToken{Name: role + strings.Join(tenants, ""), Role: role, Tenants: tenants})
	if err != nil {
		h.t.Fatal(err)
	}
	return made.Secret
}

// browser is somebody who reads pages without scripts.
type browser struct {
	*house
	http *http.Client
}

// page is what a browser was shown.
type page struct {
	Code int
	Path string // where it ended, with its query
	Body string
	Head http.Header
}

// browser opens one, logged in with a token unless that is "".
func (h *house) browser(token string) *browser {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	transport := &http.Transport{}
	h.t.Cleanup(transport.CloseIdleConnections)
	b := &browser{h, &http.Client{Jar: jar, Transport: transport, Timeout: enginetest.Patience}}
	if token != "" {
		if p := b.send("/login", url.Values{"token": {token}}); p.Code != http.StatusOK || strings.HasPrefix(p.Path, "/login") {
			h.t.Fatalf("the login leads to %s with %d: %s", p.Path, p.Code, p.Body)
		}
	}
	return b
}

// get loads a page.
func (b *browser) get(path string) *page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

var formSecret = regexp.MustCompile(`name="form" value="([^"]+)"`)

// post loads the page "from", and sends a form to a path as its button would: with the secret that stands in the page.
func (b *browser) post(from, path string, fields url.Values) *page {
	b.t.Helper()
	p := b.get(from)
	m := formSecret.FindStringSubmatch(p.Body)
	if m == nil {
		b.t.Fatalf("%s (%d) has no form: %s", from, p.Code, p.Body)
	}
	if !strings.Contains(p.Body, `action="`+path+`"`) {
		b.t.Errorf("%s has no form that leads to %s", from, path)
	}
	if fields == nil {
		fields = url.Values{}
	}
	fields.Set("form", m[1])
	if !fields.Has("back") {
		fields.Set("back", from)
	}
	return b.send(path, fields)
}

// send sends a form without looking for it first.
func (b *browser) send(path string, fields url.Values) *page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (b *browser) do(r *http.Request) *page {
	b.t.Helper()
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &page{resp.StatusCode, resp.Request.URL.RequestURI(), string(body), resp.Header}
}

// shows fails when a page does not have all of these texts, as HTML.
func (p *page) shows(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.Body, text) {
			t.Errorf("%s (%d) does not show %q:\n%s", p.Path, p.Code, text, p.Body)
		}
	}
}

// hides fails when a page has one of these texts.
func (p *page) hides(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.Body, text) {
			t.Errorf("%s (%d) shows %q", p.Path, p.Code, text)
		}
	}
}

// submit submits a job of the family "test" with so many steps in each stage.
func (h *house) submit(key string, steps ...int) string {
	h.t.Helper()
	done, err := h.client.Submit(h.t.Context(), key, wire.Submission{Kind: "test", Spec: []byte(strings.ReplaceAll(fmt.Sprintf(`{"stages":%v}`, steps), " ", ","))})
	if err != nil {
		h.t.Fatal(err)
	}
	return done.ID
}

// await waits until a page is as it should be.
func (b *browser) await(path, what string, is func(*page) bool) *page {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(enginetest.Patience)
	for {
		p := b.get(path)
		if is(p) {
			return p
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%s: %s does not come: %s", path, what, p.Body)
		}
	}
}
