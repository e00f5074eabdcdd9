package publish_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/outbound"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/publish"
)

// files is a server that keeps what is put to it. Its behaviour is set before it is used.
type files struct {
	*httptest.Server
	replaces bool // it does not know If-None-Match
	hidden   bool // what is there cannot be read
	loses    bool // it keeps nothing
	cuts     int  // how many answers to a PUT get lost
	answer   func(w http.ResponseWriter, r *http.Request) bool

	mu      sync.Mutex
	content map[string][]byte
	seen    []http.Header // of every request
	puts    int
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{content: map[string][]byte{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *files) target(t *testing.T, change ...func(*publish.HTTPOptions)) publish.Target {
	t.Helper()
	o := publish.HTTPOptions{URL: f.URL + "/{product}/{version}/{name}", Credentials: publish.Credentials{Token: "t0ken"}, Reach: publish.Reach{Private: true}}
	for _, c := range change {
		c(&o)
	}
	target, err := publish.NewHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func (f *files) has(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.content[path]
	return ok
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Header.Clone())
	f.mu.Unlock()
	if f.answer != nil && f.answer(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer t0ken" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	switch r.Method {
	case http.MethodPut:
		f.put(w, r)
	case http.MethodGet, http.MethodHead:
		f.mu.Lock()
		b, ok := f.content[r.URL.Path]
		f.mu.Unlock()
		switch {
		case f.hidden:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case !ok:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(b)
		}
	}
}

func (f *files) put(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 {
		w.WriteHeader(http.StatusLengthRequired)
		return
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts++
	if _, there := f.content[r.URL.Path]; there && !f.replaces && r.Header.Get("If-None-Match") == "*" {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if !f.loses {
		f.content[r.URL.Path] = b
	}
	if f.cuts > 0 {
		f.cuts--
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
}

func TestAServerThatReplacesWhatIsThereIsAskedBefore(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.replaces = true
	target := f.target(t)
	if _, _, err := target.Publish(t.Context(), art("a", "one")); err != nil {
		t.Fatal(err)
	}
	var c *publish.Conflict
	if _, _, err := target.Publish(t.Context(), art("a", "two")); !errors.As(err, &c) || f.puts != 1 {
		t.Errorf("%v, %d puts", err, f.puts)
	}
}

func TestAServerThatShowsNothingDecidesByItself(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.hidden = true
	target := f.target(t)
	if _, already, err := target.Publish(t.Context(), art("a", "one")); err != nil || already {
		t.Fatal(err)
	}
	var c *publish.Conflict
	if _, _, err := target.Publish(t.Context(), art("a", "one")); !errors.As(err, &c) || c.There != "" {
		t.Errorf("%v", err)
	}
}

func TestAServerThatKeepsNothingIsFoundOut(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.loses = true
	if _, _, err := f.target(t).Publish(t.Context(), art("a", "one")); !errors.Is(err, publish.ErrNotStored) || tasks.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestAnAnswerThatGotLostIsNoConflict(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.cuts = 1
	target := f.target(t)
	_, _, err := target.Publish(t.Context(), art("a", "one"))
	if err == nil || tasks.IsPermanent(err) {
		t.Fatalf("the lost answer: %v", err)
	}
	if _, already, err := target.Publish(t.Context(), art("a", "one")); err != nil || !already {
		t.Errorf("again: %v %v", already, err)
	}
}

func TestWhatAServerAnswersDecidesWhatHappensNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code      int
		after     string
		wait      time.Duration // -1 is that it does not ask for patience
		permanent bool
	}{
		{429, "7", 7 * time.Second, false}, {503, "", 15 * time.Second, false}, {503, "999999999", time.Hour, false}, {500, "2", 2 * time.Second, false}, {500, "", -1, false}, {502, "x", 15 * time.Second, false},
		{401, "", -1, true}, {403, "", -1, true}, {413, "", -1, true}, {400, "", -1, true}, {302, "", -1, true}, {405, "", -1, true},
	} {
		f := newFiles(t)
		f.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "/elsewhere")
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			http.Error(w, "because\nof that", c.code)
			return true
		}
		_, _, err := f.target(t).Publish(t.Context(), art("a", "one"))
		wait, asked := tasks.RetryAfterOf(err)
		if err == nil || asked != (c.wait >= 0) || asked && wait != c.wait || tasks.IsPermanent(err) != c.permanent || tasks.HintOf(err) == "" || !strings.Contains(err.Error(), "because of that") {
			t.Errorf("%d: %v, wait %v %v, permanent %v", c.code, err, wait, asked, tasks.IsPermanent(err))
		}
	}
}

func TestCredentialsGoToNoOtherServer(t *testing.T) {
	t.Parallel()
	for _, code := range []int{307, 308} {
		other := newFiles(t)
		other.answer = func(w http.ResponseWriter, r *http.Request) bool { // it lets everybody in
			r.Header.Set("Authorization", "Bearer t0ken")
			return false
		}
		f := newFiles(t)
		f.answer = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL+r.URL.Path+"?signed=1", code)
			return true
		}
		target := f.target(t, func(o *publish.HTTPOptions) { o.Header = map[string]string{"X-Api-Key": "k3y"} })
		at, _, err := target.Publish(t.Context(), art("a", "one"))
		if err != nil || !other.has("/widgets/1.5.57/a") || strings.Contains(at, "signed") {
			t.Errorf("%d: %s %v", code, at, err)
		}
		for _, h := range other.seen {
			if h.Get("Authorization") != "" || h.Get("X-Api-Key") != "" || h.Get("Referer") != "" {
				t.Errorf("%d: the other server got %v", code, h)
			}
		}
		if !slices.ContainsFunc(f.seen, func(h http.Header) bool { return h.Get("X-Api-Key") == "k3y" }) {
			t.Error("its own server got none")
		}
	}
}

func TestBasicAndHeadersAreSent(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	target := f.target(t, func(o *publish.HTTPOptions) { o.Credentials = publish.Credentials{User: "u", Password: "p"} })
	err := target.Check(t.Context()) // which the server refuses
	if user, password, ok := (&http.Request{Header: f.seen[0]}).BasicAuth(); !ok || user != "u" || password != "p" {
		t.Errorf("sent %v", f.seen)
	}
	if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" || strings.Contains(err.Error(), f.seen[0].Get("Authorization")) {
		t.Errorf("check: %v", err)
	}
}

func TestAddressesThatCannotBeOrMustNotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "https://h/p", "ftp://h/{name}", "https://u:p@h/{name}", "https://{product}.h/{name}", "https://{name}", "/{name}"} {
		if _, err := publish.NewHTTP(publish.HTTPOptions{URL: u}); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%q: %v", u, err)
		}
	}
	f := newFiles(t)
	if _, _, err := f.target(t, func(o *publish.HTTPOptions) { o.Private = false }).Publish(t.Context(), art("a", "x")); !errors.Is(err, outbound.ErrPrivate) || !tasks.IsPermanent(err) {
		t.Errorf("a private network: %v", err)
	}
	a := art("..", "x")
	if _, _, err := f.target(t).Publish(t.Context(), a); !tasks.IsPermanent(err) {
		t.Errorf("..: %v", err)
	}
	a = art("a/../../b?c#d", "x")
	if _, _, err := f.target(t).Publish(t.Context(), a); err != nil || !f.has("/widgets/1.5.57/a/../../b?c#d") { // one word, as its escapes say
		t.Errorf("%v", err)
	}
}
