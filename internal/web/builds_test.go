package web

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
)

// editor is a product that is built in a second, with a package, a cacheable step and tests.
var editor = map[string]string{"VERSION": "1.5\n", "stint.build.yaml": `name: editor
steps:
  - name: test
    script: |
      echo 'hello <script>alert(1)</script>'
      echo '<testsuite><testcase name="one"/><testcase name="two"><skipped/></testcase></testsuite>' > junit.xml
    junit: [junit.xml]
  - name: compile
    script: echo out > out.txt
packages:
  - {name: editor, format: zip, files: [{from: out.txt}]}
`}

var buildID = regexp.MustCompile(`^/builds/(bui-[0-9a-z]+)$`)

func TestABuildIsStartedShownDownloadedAndPromoted(t *testing.T) {
	t.Parallel()
	y := newYard(t, editor)
	b := y.browser(y.token("operator"))
	b.get("/builds").shows(t, "Nothing has been built yet", `href="/builds/new"`)
	p := b.post("/builds/new", "/builds", url.Values{"repository": {y.url}, "ref": {"main"}, "key": {"k"}})
	p.shows(t, "The build is on its way.")
	m := buildID.FindStringSubmatch(p.Path)
	if m == nil {
		t.Fatalf("the form leads to %s", p.Path)
	}
	id := m[1]
	if again := b.post("/builds/new", "/builds", url.Values{"repository": {y.url}, "ref": {"main"}, "key": {"k"}}); again.Path != p.Path {
		t.Errorf("the same form again leads to %s, not %s", again.Path, p.Path)
	}
	if j := y.ended(id); j.State != tasks.Succeeded {
		t.Fatalf("%+v", j.Error)
	}
	done := b.await(p.Path, "its end", func(p *page) bool { return strings.Contains(p.Body, "editor-1.5.1.zip") })
	done.shows(t, "<h1>editor 1.5.1</h1>", "The version file says 1.5.", "1 passed", "1 skipped", "sha256:", "stand in ci", "yes, promote 1.5.1", `aria-label="Log of test"`)
	done.hides(t, "<option>production</option>")
	b.await("/builds", "the version", func(p *page) bool { return strings.Contains(p.Body, "editor 1.5.1") }).shows(t, id, "main", "1 passed")
	file := b.get("/builds/" + id + "/packages/editor-1.5.1.zip")
	if !strings.HasPrefix(file.Body, "PK") || !strings.HasPrefix(file.Head.Get("Content-Disposition"), "attachment") {
		t.Errorf("the package is %q with %v", file.Body[:min(20, len(file.Body))], file.Head)
	}
	if none := b.get("/builds/" + id + "/packages/none.zip"); none.Code != http.StatusNotFound || none.Head.Get("Content-Disposition") != "" {
		t.Errorf("a package that there is not: %d, %v", none.Code, none.Head)
	}
	b.get("/builds/"+id+"/logs/test").shows(t, "hello &lt;script&gt;alert(1)&lt;/script&gt;", "It has ended")
	to := "/builds/" + id + "/promote"
	b.post(p.Path, to, url.Values{"environment": {"ci"}}).shows(t, "Nothing was promoted", "yes, promote")
	b.post(p.Path, to, url.Values{"environment": {"production"}, "sure": {"yes"}}).shows(t, "does not stand in ci", "Promote it to ci first.")
	b.post(p.Path, to, url.Values{"environment": {"ci"}, "sure": {"yes"}}).shows(t, "editor 1.5.1 is in ci.", "is there", "<option>production</option>")
	at, err := y.client.Promotions(t.Context(), "", "editor")
	if err != nil || len(at) != 1 || at[0].Environment != "ci" || at[0].Job != id || at[0].By != "operator" {
		t.Errorf("%+v, %v", at, err)
	}
	b.get("/builds").shows(t, "What is where", `<a href="/builds/`+id+`">1.5.1</a>`, "by operator")
	viewer := y.browser(y.token("viewer"))
	seen := viewer.get(p.Path)
	seen.shows(t, "editor 1.5.1", "is there")
	seen.hides(t, to, "yes, promote", "/builds/new")
	viewer.get("/builds").hides(t, "/builds/new")
}

func TestAStepThatWasNotRunAgainSaysWhoseResultItHas(t *testing.T) {
	t.Parallel()
	y := newYard(t, editor)
	b := y.browser("")
	var ids []string
	for _, key := range []string{"a", "b"} {
		p := b.post("/builds/new", "/builds", url.Values{"repository": {y.url}, "key": {key}})
		m := buildID.FindStringSubmatch(p.Path)
		if m == nil {
			t.Fatalf("the form leads to %s: %s", p.Path, p.Body)
		}
		ids = append(ids, m[1])
		y.ended(m[1])
	}
	b.await("/builds/"+ids[1], "the cache", func(p *page) bool { return strings.Contains(p.Body, "cached") }).shows(t, `result of <a href="/builds/`+ids[0]+`">`, "↺")
	b.await("/builds", "both", func(p *page) bool { return strings.Count(p.Body, "editor 1.5.1") == 2 }).shows(t, "2 cached")
}

func TestAFailedBuildShowsWhyAndWhichTestsFailed(t *testing.T) {
	t.Parallel()
	y := newYard(t, map[string]string{"VERSION": "1.5\n", "stint.build.yaml": `name: editor
steps:
  - name: test
    script: |
      echo '<testsuite><testcase name="undo"><failure message="3 is not 4">at line 7 &lt;script&gt;alert(1)&lt;/script&gt;</failure></testcase></testsuite>' > junit.xml
      exit 3
    junit: [junit.xml]
  - name: later
    script: echo
`})
	b := y.browser("")
	p := b.post("/builds/new", "/builds", url.Values{"repository": {y.url}})
	y.ended(strings.TrimPrefix(p.Path, "/builds/"))
	done := b.await(p.Path, "its end", func(p *page) bool {
		return strings.Contains(p.Body, "Tests that failed") && strings.Contains(p.Body, "not run")
	})
	done.shows(t, "ended with exit code 3", "1 failed", "undo", "3 is not 4\nat line 7 &lt;script&gt;alert(1)&lt;/script&gt;", "It has left none behind")
	done.hides(t, "<script>alert", "/promote")
}

func TestABuildThatCannotBeIsRefusedAndTheFormStaysFilledIn(t *testing.T) {
	t.Parallel()
	y := newYard(t, editor)
	b := y.browser("")
	p := b.post("/builds/new", "/builds", url.Values{"repository": {"https://elsewhere.example.com/x"}, "ref": {"<b>"}})
	p.shows(t, "elsewhere.example.com", `role="alert"`, `value="https://elsewhere.example.com/x"`, `value="&lt;b&gt;"`)
	b.post("/builds/new", "/builds", url.Values{"repository": {y.url}, "commit": {"abc"}}).shows(t, "no full name of a commit", "Git rev-parse HEAD prints it.")
	jobs, err := y.client.Jobs(t.Context(), client.Filter{Kind: builder.Kind})
	if err != nil || len(jobs.Jobs) != 0 {
		t.Errorf("%+v, %v", jobs, err)
	}
	y2 := newHouse(t)
	v := y2.browser(y2.token("viewer"))
	v.get("/builds/new").shows(t, "role submitter")
	v.get("/builds").shows(t, "Nothing has been built yet")
	if p := v.get("/builds/" + y2.submit("one", 1)); p.Code == http.StatusOK {
		t.Errorf("a job of another kind is shown as a build: %s", p.Body)
	}
}

func TestALongLogShowsItsEndAndIsDownloadedWhole(t *testing.T) {
	t.Parallel()
	pr := &printer{}
	for i := range 5003 {
		pr.lines = append(pr.lines, fmt.Sprintf("line %d.", i+1))
	}
	pr.lines = append(pr.lines, "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jend \u202etxt <img src=x onerror=alert(1)>")
	h, id := newPrinter(t, pr)
	b := h.browser("")
	p := b.get("/builds/" + id + "/logs/print")
	p.shows(t, "The last 2,000 lines. Those before them", "<span>line 3005.</span>", "<span>line 5003.</span>", "<span>red end txt &lt;img src=x onerror=alert(1)&gt;</span>", "/lines/print?after=5004", "log.js", `/logs/a%2Fb`)
	p.hides(t, "line 3004.", "\x1b", "\u202e", "<img")
	if got := texts(p.Body, "<span>line ", ".</span>"); len(got) != 1999 || got[0] != "3005" || got[1998] != "5003" {
		t.Errorf("%d lines, from %s to %s", len(got), got[0], got[len(got)-1])
	}
	whole := b.get("/builds/" + id + "/whole/print")
	if n := strings.Count(whole.Body, "\n"); n != 5004 || !strings.HasPrefix(whole.Body, "2026-01-02T03:04:05.000Z o line 1.\n") {
		t.Errorf("the download has %d lines: %.100s", n, whole.Body)
	}
	if d := whole.Head.Get("Content-Disposition"); !strings.Contains(d, "attachment") || !strings.Contains(d, id+"-print.log") {
		t.Errorf("the download is %q", d)
	}
	b.get("/builds/"+id+"/logs/"+url.PathEscape("a/b")).shows(t, "Log of a/b")
	if p := b.get("/builds/" + id + "/logs/none"); p.Code != http.StatusNotFound {
		t.Errorf("a log that there is not: %d", p.Code)
	}
	if p := b.get("/builds/" + id + "/whole/none"); p.Code != http.StatusNotFound || p.Head.Get("Content-Disposition") != "" {
		t.Errorf("a download that there is not: %d", p.Code)
	}
}

// listen reads the events of a stream, as "type data", with the ids before them.
func (b *browser) listen(ctx context.Context, path, lastID string) <-chan string {
	b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		b.t.Fatalf("%s is %d, %s", path, resp.StatusCode, kind)
	}
	out := make(chan string, 100)
	go func() {
		defer close(out)
		defer resp.Body.Close()
		var id, kind string
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				out <- strings.TrimSpace(id + " " + kind + " " + value)
			}
		}
	}()
	return out
}

func TestALogIsFollowedAndGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	pr := &printer{lines: []string{"one", "two"}, more: make(chan string)}
	h, id := newPrinter(t, pr)
	b := h.browser(h.token("viewer"))
	path := "/builds/" + id + "/lines/print?after=1"
	ctx, cut := context.WithCancel(t.Context())
	events := b.listen(ctx, path, "")
	if got := <-events; got != `2 lines [["03:04:05","o","two"]]` {
		t.Errorf("the first event is %s", got)
	}
	pr.more <- "\x1b[1mthree\x1b[0m </script>"
	if got := <-events; got != `3 lines [["03:04:05","o","three \u003c/script\u003e"]]` {
		t.Errorf("then comes %s", got)
	}
	cut()
	for range events { // it has noticed
	}
	pr.lines = append(pr.lines, "three", "four")
	events = b.listen(t.Context(), path, "3")
	if got := <-events; got != `4 lines [["03:04:05","o","four"]]` {
		t.Errorf("after the cut comes %s", got)
	}
	close(pr.more)
	if got := <-events; !strings.HasSuffix(got, `over ""`) {
		t.Errorf("at the end comes %s", got)
	}
	if got, more := <-b.listen(t.Context(), "/builds/"+id+"/lines/none", ""); !strings.HasPrefix(got, "over") {
		t.Errorf("of a log that there is not comes %q, %v", got, more)
	}
	out := h.browser("")
	if p := out.get(path); p.Body != "event: reload\ndata: \"\"\n\n" {
		t.Errorf("who is not logged in reads %s", p.Body)
	}
}

func TestTheEndOfALogIsReadAlone(t *testing.T) {
	t.Parallel()
	h, id := newPrinter(t, &printer{lines: []string{"one", "two", "three", "four", "five"}})
	for n, want := range map[int]string{1: "five", 2: "four five", 3: "three four five", 5: "one two three four five", 9: "one two three four five"} {
		lines, err := h.client.LogEnd(t.Context(), id, "print", n)
		var got []string
		for _, l := range lines {
			got = append(got, l.Text)
		}
		if err != nil || strings.Join(got, " ") != want || lines[len(lines)-1].Seq != 5 {
			t.Errorf("the last %d are %q, %v", n, got, err)
		}
	}
	if _, err := h.client.LogEnd(t.Context(), id, "print", 10_001); statusOf(err) != http.StatusUnprocessableEntity {
		t.Errorf("too many: %v", err)
	}
	r, err := http.Get(h.url + "/v1/jobs/" + id + "/logs/print?last=2&follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("with follow: %d", r.StatusCode)
	}
}
