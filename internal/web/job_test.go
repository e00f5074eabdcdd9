package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/worker"
)

// runSteps starts a scheduler and, for each id, a worker of these families; they stop with the test.
func (h *house) runSteps(families []tasks.Family, ids ...string) {
	h.t.Helper()
	s := scheduler.New(h.rdb, h.st, scheduler.Options{Interval: 20 * time.Millisecond, Log: h.log.Logger()})
	s.Start()
	h.t.Cleanup(s.Stop)
	for _, id := range ids {
		w := worker.New(h.rdb, h.st, worker.Options{ID: id, Version: "1.2.3", Concurrency: 2, Families: families, Log: h.log.Logger()})
		if err := w.Start(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if _, err := w.Stop(ctx); err != nil {
				h.t.Errorf("stop %s: %v", id, err)
			}
		})
	}
}

// doing makes a house whose steps do what a function says.
func doing(t *testing.T, do func(ctx context.Context, a *tasks.Attempt) error) (*house, []tasks.Family) {
	t.Helper()
	var families []tasks.Family
	h := newHouse(t, func(o *api.Options) {
		o.Families[0].(*enginetest.Family).Do = do
		families = o.Families
	})
	return h, families
}

func TestAJobHasPagesOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	b := h.browser("")
	for path, want := range map[string]string{"": "It is not planned yet", "/events": "Accepted, submitted by test", "/report": "The job has not ended", "/spec": "&#34;stages&#34;",
		"/cancel": "Yes, cancel it", "/restart": "There is nothing to restart"} {
		p := b.get("/jobs/" + id + path)
		if p.Code != http.StatusOK || strings.Count(p.Body, "<h1") != 1 {
			t.Errorf("%s: %d: %s", p.Path, p.Code, p.Body)
		}
		p.shows(t, id, want)
	}
	b.get("/jobs/"+id).shows(t, `data-live=`, `<a href="/jobs/`+id+`" aria-current="page">Overview</a>`)
	for _, path := range []string{"/jobs/nothing", "/jobs/nothing/events", "/jobs/nothing/report", "/jobs/nothing/report.json", "/jobs/nothing/cancel", "/jobs/nothing/rejects.csv"} {
		if p := b.get(path); p.Code != http.StatusNotFound || p.Head.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d", path, p.Code)
		}
	}
}

func TestAJobIsSteeredFromItsPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 3)
	at := "/jobs/" + id
	state := func(want tasks.State) {
		t.Helper()
		if j, err := h.client.Job(t.Context(), id); err != nil || j.State != want {
			t.Errorf("%+v, %v, want %s", j, err, want)
		}
	}
	viewer, b := h.browser(h.token("viewer")), h.browser(h.token("submitter"))
	viewer.get(at).hides(t, at+"/pause", at+"/cancel", "/jobs/new")
	viewer.get(at+"/cancel").hides(t, "Yes, cancel it")
	b.get(at).hides(t, at+"/resume", at+"/retry", at+"/restart")
	b.post(at, at+"/pause", nil).shows(t, "It is paused", "paused", at+"/resume")
	state(tasks.Paused)
	b.post(at, at+"/resume", nil).shows(t, "It goes on.")
	state(tasks.Accepted)
	p := b.post(at+"/cancel", at+"/cancel", nil)
	p.shows(t, "It is cancelled.", at+"/restart")
	p.hides(t, at+"/pause", `data-live=`)
	state(tasks.Cancelled)
	b.get(at+"/cancel").shows(t, "There is nothing to cancel", "The job is cancelled.")
	b.post(at+"/restart", at+"/restart", nil).shows(t, "It begins anew.")
	state(tasks.Accepted)
	b.get(at+"/events").shows(t, "Paused by submitter", "Resumed by submitter", "Cancelled by submitter", "Begun anew by submitter")
	b.get(at+"/events?what=workers").hides(t, "Paused by")
}

func TestARunningJobShowsWhatItDoes(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	h, families := doing(t, func(ctx context.Context, a *tasks.Attempt) error {
		select {
		case <-open:
			return nil
		case <-a.Draining:
			return tasks.ErrDrained
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	id := h.submit("one", 4, 1)
	h.runSteps(families, "wa", "wb")
	b := h.browser("")
	at := "/jobs/" + id
	b.await(at, "steps at both workers", func(p *page) bool {
		return strings.Contains(p.Body, `href="/fleet/wa"`) && strings.Contains(p.Body, `href="/fleet/wb"`)
	}).shows(t, "s0", "after s0", "calculating", "not begun", "0 of 4 steps", "In flight")
	if _, err := h.client.Drain(t.Context(), wire.Selection{IDs: []string{"wa"}}); err != nil {
		t.Fatal(err)
	}
	b.await(at, "the handover", func(p *page) bool { return strings.Contains(p.Body, "nothing lost") }).
		shows(t, "Handovers", "Drained (by test): it held 2 steps, gave back 2", "safe to stop after")
	close(open)
	b.await(at, "where it went on", func(p *page) bool { return strings.Contains(p.Body, "went on at wb after") }).shows(t, "succeeded", "100 %")
	b.get(at+"/events?what=workers").shows(t, "The worker drains; it holds 2 steps of the job; asked for by test", "safe to stop", "Begun again after", "before it was at wa")
	b.await(at+"/report", "the report of its end", func(p *page) bool { return strings.Contains(p.Body, "all 5 steps ended") }).shows(t, "wa", "1 drain")
}

func TestAJobThatFailsSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	broken := make(chan struct{})
	h, families := doing(t, func(_ context.Context, a *tasks.Attempt) error {
		select {
		case <-broken:
			return nil
		default:
		}
		a.Report(tasks.Finding{Level: tasks.LevelNote, Message: "found <script>alert(1)</script>"})
		return tasks.Permanent(tasks.WithHint(nil, "mend <b>it</b>", "broken <script>alert(2)</script>"))
	})
	id := h.submit("one", 1)
	h.runSteps(families, "w")
	b := h.browser("")
	at := "/jobs/" + id
	p := b.await(at, "the failed step", func(p *page) bool { // the job's own end may be seen a moment later
		return strings.Contains(p.Body, "Steps that failed for good") && strings.Contains(p.Body, "Broken")
	})
	p.shows(t, "Broken &lt;script&gt;alert(2)&lt;/script&gt;", "Mend &lt;b&gt;it&lt;/b&gt;", "s0 / 0", at+"/retry")
	for _, tab := range []string{"", "/events", "/report"} {
		b.get(at+tab).hides(t, "<script>alert", "<b>it</b>")
	}
	b.get(at+"/events?what=trouble").shows(t, "Failed for good", "The job failed")
	close(broken)
	b.post(at, at+"/retry", nil).shows(t, "What had failed is tried again.")
	b.await(at, "the end", func(p *page) bool { return strings.Contains(p.Body, "100 %") }).hides(t, "Steps that failed for good")
}

func TestAJobThatIsHeldSaysWhy(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.st.SetMaintenance(t.Context(), "test", wire.Maintenance{By: "someone"}); err != nil {
		t.Fatal(err)
	}
	h.browser("").get("/jobs/"+h.submit("one", 1)).shows(t, "Nothing of it is started", "Its kind is under maintenance")
}

func TestEventsComeInPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 1)
	for range eventsOnPage {
		for _, verb := range []string{client.Pause, client.Resume} {
			if _, err := h.client.Control(t.Context(), id, verb); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := h.browser("")
	pages, seen, next := 0, 0, "/jobs/"+id+"/events"
	for next != "" {
		p := b.get(next)
		pages++
		seen += strings.Count(p.Body, `<td class="nowrap" data-name="When">`)
		next = linkTo(p.Body, "Older")
	}
	if seen != 2*eventsOnPage+1 || pages != 3 {
		t.Errorf("%d events on %d pages, want %d", seen, pages, 2*eventsOnPage+1)
	}
}

// linkTo finds where a link or a button of a text leads.
func linkTo(body, text string) string {
	before, _, found := strings.Cut(body, `">`+text+`</a>`)
	if !found {
		return ""
	}
	return strings.ReplaceAll(before[strings.LastIndex(before, `href="`)+len(`href="`):], "&amp;", "&")
}

func TestTheReportOfAJobIsAFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 1)
	b := h.browser("")
	for ending, want := range map[string]string{"json": `"digest"`, "md": "# Report of job", "html": "<!DOCTYPE html>"} {
		p := b.get("/jobs/" + id + "/report." + ending)
		p.shows(t, id, want)
		if got := p.Head.Get("Content-Disposition"); got != "attachment; filename*=UTF-8''"+id+"-report."+ending {
			t.Errorf("%s: %s", ending, got)
		}
	}
}

func TestAnEventThatThisVersionDoesNotKnowIsShown(t *testing.T) {
	t.Parallel()
	x := eventInWords(&wire.Job{Stages: []wire.Stage{{Name: "load"}}}, wire.Event{Type: "turned_over", Fields: map[string]string{"step": "x0.1", "by": "me", "why": "so"}})
	if x.Text != "Turned over: by me, why so" || x.Step != "dividing load" {
		t.Errorf("%+v", x)
	}
}

func TestAStepThatFailedHasAName(t *testing.T) {
	t.Parallel()
	b := &jobBody{Job: &wire.Job{Stages: []wire.Stage{{Name: "load"}}}}
	for want, f := range map[string]wire.FailedStep{"the plan": {Step: "p"}, "dividing load": {Stage: "load", Step: "x0.2"}, "load / x1.2": {Stage: "load", Step: "x1.2"}, "load / 7": {Stage: "load", Step: "7"}} {
		if got := b.FailedName(f); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}

func TestWhereAJobStands(t *testing.T) {
	t.Parallel()
	stage := func(state string, rows, read int64) wire.Stage {
		s := wire.Stage{Name: "s", State: state, Rows: rows}
		s.Counters.Read = read
		return s
	}
	for _, c := range []struct {
		job   wire.Job
		done  int
		ready string
	}{
		{wire.Job{State: tasks.Running, Stages: []wire.Stage{stage("open", 200, 50), stage("waiting", 200, 0)}}, 12, "calculating"},
		{wire.Job{State: tasks.Running, Stages: []wire.Stage{stage("done", 200, 250), stage("open", 0, 0)}}, 99, "all there"},
		{wire.Job{State: tasks.Running, Counters: wire.Counters{StepsKnown: 8, StepsDone: 8}}, 99, "calculating"},
		{wire.Job{State: tasks.Paused, Counters: wire.Counters{StepsKnown: 8, StepsDone: 2}}, 25, "when it is resumed"},
		{wire.Job{State: tasks.Succeeded}, 100, "it has ended"},
	} {
		done, _, _ := progressOf(&c.job)
		if ready := readyIn(&c.job, time.Now()); done != c.done || ready != c.ready {
			t.Errorf("%s: %d %%, %q; want %d, %q", fmt.Sprint(c.job.State, c.job.Stages), done, ready, c.done, c.ready)
		}
	}
}

func TestHandoversAreToldInSentences(t *testing.T) {
	t.Parallel()
	asked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	after := func(ms int) *time.Time { at := asked.Add(time.Duration(ms) * time.Millisecond); return &at }
	again := func(from, at, why string) wire.Happening {
		return wire.Happening{Type: "begun_again", At: *after(400), Worker: at, More: map[string]string{"from": from, "after": why, "waited_ms": "300"}}
	}
	list := handoversOf(&wire.Report{
		Drains: []wire.Drain{
			{Worker: "a", Why: wire.DrainByFence, AskedAt: &asked, State: wire.DrainSafe, OverAt: after(250), Held: 2, GivenBack: 2},
			{Worker: "b", Why: wire.DrainByRequest, By: "ann", AskedAt: after(1), State: wire.DrainAsked, Held: 1},
			{Worker: "c", AskedAt: after(2), State: wire.DrainSafe, OverAt: after(5002), Held: 1, GivenBack: 1, Cut: 1},
			{Worker: "d", AskedAt: after(3), State: wire.DrainUndone, OverAt: after(4)},
		},
		Losses: []wire.Loss{
			{Worker: "e", NoticedAt: after(4), Steps: 2, Again: 2, List: []wire.LostStep{{LostAt: asked, Again: after(20), By: "x"}, {LostAt: asked, Again: after(50), By: "y"}}},
			{Worker: "f", NoticedAt: after(5), Steps: 3, Again: 1},
		},
		History: []wire.Happening{again("a", "x", "given_back"), again("a", "x", "given_back"), again("a", "y", "lost"), again("z", "y", "given_back")},
	})
	want := []handover{
		{Worker: "f", Lost: true, What: "Vanished with 3 steps", Result: "1 of 3 begun again so far"},
		{Worker: "e", Lost: true, What: "Vanished with 2 steps", Went: "went on at x, y after 50 ms", Result: "all of it was begun again; nothing lost", Good: true},
		{Worker: "d", What: "Drained: it held 0 steps, gave back 0, ended 0", Result: "taken back", Good: true},
		{Worker: "c", What: "Drained: it held 1 step, gave back 1, ended 0, 1 cut", Result: "at rest after 5 s; what was cut ran again"},
		{Worker: "b", What: "Drained (by ann): it held 1 step, gave back 0, ended 0", Result: "not at rest yet"},
		{Worker: "a", What: "Drained (a version fence): it held 2 steps, gave back 2, ended 0", Went: "went on at x after 300 ms", Result: "safe to stop after 250 ms; nothing lost", Good: true},
	}
	if len(list) != len(want) {
		t.Fatalf("%+v", list)
	}
	for i, w := range want {
		w.At = list[i].At
		if list[i] != w {
			t.Errorf("%+v, want %+v", list[i], w)
		}
	}
}

// filing is a kind of jobs that leave a file behind.
type filing struct{ enginetest.Family }

func (*filing) Kind() string { return "filing" }

func (*filing) Outputs(context.Context, tasks.Job) ([]tasks.Output, error) {
	return []tasks.Output{{Name: "a <b>.html", Size: 9, Digest: "sha256:" + strings.Repeat("0", 64), ContentType: "text/html"}}, nil
}

func (f *filing) OpenOutput(ctx context.Context, job tasks.Job, name string) (io.ReadCloser, tasks.Output, error) {
	list, _ := f.Outputs(ctx, job)
	if name != list[0].Name {
		return nil, tasks.Output{}, tasks.ErrNoOutput
	}
	return io.NopCloser(strings.NewReader("<b>hi</b>")), list[0], nil
}

func TestWhatAJobLeavesBehindIsSavedAsAFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *api.Options) { o.Families = append(o.Families, &filing{}) })
	done, err := h.client.Submit(t.Context(), "one", wire.Submission{Kind: "filing", Spec: []byte(`{}`), Labels: map[string]string{"l": "<script>alert(1)</script>"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.client.Control(t.Context(), done.ID, client.Cancel); err != nil {
		t.Fatal(err)
	}
	b := h.browser("")
	for _, at := range []string{"/jobs/" + done.ID, "/jobs/" + done.ID + "/report"} {
		p := b.get(at)
		p.shows(t, "Files it left behind", "a &lt;b&gt;.html", "9 B")
		p.hides(t, "<script>alert(1)")
	}
	p := b.get(to("jobs", done.ID, "outputs", "a <b>.html"))
	if p.Body != "<b>hi</b>" || p.Head.Get("Content-Type") != "application/octet-stream" || p.Head.Get("Content-Disposition") != "attachment; filename*=UTF-8''a%20%3Cb%3E.html" {
		t.Errorf("%d %q %v", p.Code, p.Body, p.Head)
	}
	if p := b.get(to("jobs", done.ID, "outputs", "other")); p.Code != http.StatusNotFound || p.Head.Get("Content-Disposition") != "" {
		t.Errorf("no such file: %d", p.Code)
	}
}

func TestAJobOfAKindWithPagesOfItsOwnLeadsToThem(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{"build": "/builds/x", "dedupe": "/dedupe/x", "deletion": "/dedupe/deletions/x", "migration": ""} {
		if got := ownPageOf(&wire.Job{ID: "x", Kind: kind}).Link; got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}
