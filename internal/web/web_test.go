package web

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestWithoutTokensTheseMachinesPagesNeedNoLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser("")
	b.get("/").shows(t, "Overview", "No worker is active", "No login: this machine only")
	b.get("/jobs").shows(t, id, "accepted")
}

func TestTheLoginShowsWhatATokenMaySee(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin, viewer := h.token("admin"), h.token("viewer")
	p := h.browser("").get("/jobs?state=failed")
	if !strings.HasPrefix(p.Path, "/login?to=") {
		t.Errorf("who is not logged in comes to %s", p.Path)
	}
	wrong := h.browser("").send("/login", url.Values{"token": {"stint_nothing"}})
	if wrong.Code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", wrong.Code)
	}
	wrong.shows(t, "No such token")
	wrong.hides(t, "stint_nothing")
	b := h.browser(viewer)
	b.get("/").shows(t, "viewer (viewer)", "Log out")
	b.get("/").hides(t, `href="/audit"`)
	h.browser(admin).get("/").shows(t, `href="/audit"`)
	if p := b.post("/jobs", "/logout", nil); !strings.HasPrefix(p.Path, "/login") {
		t.Errorf("the logout leads to %s", p.Path)
	}
	if p := b.get("/jobs"); !strings.HasPrefix(p.Path, "/login") {
		t.Errorf("after the logout /jobs is %s", p.Path)
	}
}

func TestAFormOfAnotherSessionDoesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser(h.token("admin"))
	for _, form := range []string{"", "x", secretOf("another")} {
		p := b.send("/jobs/act", url.Values{"form": {form}, "verb": {"pause"}, "id": {id}})
		if p.Code != http.StatusForbidden {
			t.Errorf("form %q: %d", form, p.Code)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/jobs/act", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := b.do(r); p.Code != http.StatusForbidden {
		t.Errorf("from another site: %d", p.Code)
	}
	if v, err := h.client.Job(t.Context(), id); err != nil || v.State != "accepted" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestJobsAreSteeredTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one, two := h.submit("one", 3), h.submit("two", 3)
	b := h.browser(h.token("submitter"))
	b.post("/jobs", "/jobs/act", url.Values{"verb": {"pause"}, "id": {one, two}}).shows(t, "2 jobs are paused.")
	b.get("/jobs?state=paused").shows(t, one, two)
	b.post("/jobs", "/jobs/act", url.Values{"verb": {"cancel"}, "id": {one}}).shows(t, "Nothing was cancelled", "yes, cancel")
	b.post("/jobs", "/jobs/act", url.Values{"verb": {"cancel"}, "id": {one}, "sure": {"yes"}}).shows(t, one+" is cancelled.")
	b.post("/jobs", "/jobs/act", url.Values{"verb": {"resume"}, "id": {one, two}}).shows(t, "1 of 2 jobs resumed; not "+one)
	p := h.browser(h.token("viewer")).get("/jobs")
	p.shows(t, one)
	p.hides(t, "/jobs/act")
}

// What others have written is as they have published it: idiomorph 0.8.0, dist/idiomorph.min.js of its package.
func TestWhatOthersHaveWrittenIsUnchanged(t *testing.T) {
	t.Parallel()
	body, err := files.ReadFile("assets/idiomorph.min.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(body)); sum != "4cbd535caf7663a51eda9bce6595371c384fc430d54b8d414e29a61167f19f96" {
		t.Errorf("it is %s", sum)
	}
}
