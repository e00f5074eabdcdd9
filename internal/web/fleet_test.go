package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/worker"
)

const evil = "<script>alert(1)</script>"

// longPatience keeps workers alive that beat only once.
func longPatience(o *api.Options) { o.LostAfter = time.Hour }

// beat is a heartbeat of a worker that is not there.
func (h *house) beat(w wire.Worker) {
	h.t.Helper()
	if w.State == "" {
		w.State = wire.WorkerActive
	}
	if w.Queues == nil {
		w.Queues = []string{"default"}
	}
	if w.Concurrency == 0 {
		w.Concurrency = 8
	}
	if w.StartedAt.IsZero() {
		w.StartedAt = time.Now().Add(-time.Hour)
	}
	w.Protocol, w.Reads = 2, 2
	if _, err := h.st.Beat(h.t.Context(), w); err != nil {
		h.t.Fatal(err)
	}
}

// newFleet has two workers of version 1.0, one of them the only one on the queue big, one of 2.0, and one that has stopped.
func newFleet(t *testing.T) *house {
	h := newHouse(t, longPatience)
	h.beat(wire.Worker{ID: "a1", Version: "1.0", Labels: map[string]string{"zone": "a"}, InFlight: 3})
	h.beat(wire.Worker{ID: "b1", Version: "1.0", Queues: []string{"big", "default"}, Labels: map[string]string{"zone": "b"}})
	h.beat(wire.Worker{ID: "a2", Version: "2.0", StartedAt: time.Now(), Labels: map[string]string{"zone": "a"}})
	h.beat(wire.Worker{ID: "gone", Version: "0.9", State: wire.WorkerStopped})
	return h
}

// awaits waits until a page shows a text.
func (b *browser) awaits(path, text string) *page {
	b.t.Helper()
	return b.await(path, text, func(p *page) bool { return strings.Contains(p.Body, text) })
}

// wanted lists the workers that are wanted drained.
func (h *house) wanted() string {
	h.t.Helper()
	ws, err := h.client.Workers(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, w := range ws {
		if w.Wanted == wire.WantDrain {
			ids = append(ids, w.ID)
		}
	}
	return strings.Join(ids, " ")
}

func TestTheFleetShowsVersionsSideBySide(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	b := h.browser("")
	p := b.get("/fleet")
	p.shows(t, "3 active, 0 draining, 0 drained, 0 lost", "Safe to deploy", `aria-label="Version 1.0"`, "3 in flight, 16 slots", "newest", `href="/fleet/a1"`, "1 stopped within the last day", "No fence stands")
	if strings.Index(p.Body, `aria-label="Version 2.0"`) > strings.Index(p.Body, `aria-label="Version 1.0"`) {
		t.Error("the newest version is not the first")
	}
	p.hides(t, `aria-label="Version 0.9"`, "Safe to stop: version")
	for query, want := range map[string]string{"version=1.0": "a1 b1", "label=zone%3Da": "a1 a2", "state=stopped": "gone", "find=B": "b1", "state=active&version=2.0": "a2", "state=lost": ""} {
		body := b.get("/fleet?" + query).Body
		var got []string
		for _, id := range []string{"a1", "a2", "b1", "gone"} {
			if strings.Contains(body, `<th scope="row"><a href="/fleet/`+id+`">`) {
				got = append(got, id)
			}
		}
		// who has stopped is folded away beside those that a filter lets through
		if !strings.Contains(query, "stopped") {
			got = slices.DeleteFunc(got, func(id string) bool { return id == "gone" })
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	if p := b.get("/fleet?label=zone"); p.Code != http.StatusUnprocessableEntity {
		t.Errorf("a label without a value: %d", p.Code)
	} else {
		p.shows(t, "Write it as name=value")
	}
}

func TestWhatWorkersAreCalledIsText(t *testing.T) {
	t.Parallel()
	h := newHouse(t, longPatience)
	h.beat(wire.Worker{ID: evil, Version: evil, Host: evil, Queues: []string{evil}, Kinds: []string{evil}, Labels: map[string]string{evil: evil}, Fenced: evil, State: wire.WorkerDraining, InFlight: 1})
	b := h.browser("")
	q := url.QueryEscape(evil)
	for _, path := range []string{"/fleet", "/fleet/" + url.PathEscape(evil), "/fleet/drain?id=" + q, "/queues", "/fleet?find=" + q + "&version=" + q, "/fleet/fence?which=version&reason=" + q + "&value=" + q} {
		p := b.get(path)
		if p.Code != http.StatusOK {
			t.Errorf("%s: %d", path, p.Code)
		}
		p.hides(t, evil)
		if path != "/queues" {
			p.shows(t, "&lt;script&gt;")
		}
	}
}

func TestWorkersAreDrainedFromTheirList(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	b := h.browser(h.token("operator"))
	b.post("/fleet", "/fleet/drain", url.Values{"one": {"a1"}, "id": {"a2"}}).shows(t, "a1 was asked to drain", "asked to drain</span>", "0 of 1 drained: version 1.0", "stint workers drain a1 --wait")
	if got := h.wanted(); got != "a1" {
		t.Errorf("wanted drained: %s", got)
	}
	b.post("/fleet", "/fleet/undrain", url.Values{"one": {"a1"}}).shows(t, "a1 goes back to work.")
	b.post("/fleet", "/fleet/drain", url.Values{"id": {"a1", "a2"}}).shows(t, "2 workers were asked to drain")
	if got := h.wanted(); got != "a1 a2" {
		t.Errorf("wanted drained: %s", got)
	}
	h.beat(wire.Worker{ID: "a1", Version: "1.0", State: wire.WorkerDrained})
	b.awaits("/fleet", "Safe to stop: ").shows(t, "The worker that was asked to drain holds nothing; 1 goes on.")
	b.post("/fleet", "/fleet/undrain", url.Values{"version": {"1.0"}}).shows(t, "2 workers go back to work.")
	b.post("/fleet", "/fleet/drain", nil).shows(t, "No worker is chosen", "Tick the boxes")
	b.post("/fleet", "/fleet/drain", url.Values{"id": {"nobody"}}).shows(t, "There is no worker nobody")
	p := h.browser(h.token("viewer")).get("/fleet")
	p.shows(t, "a1")
	p.hides(t, `/fleet/drain`, `/fleet/undrain`, "Set a fence")
	limited := h.browser(h.token("operator", "acme")).get("/fleet")
	limited.shows(t, "a1")
	limited.hides(t, `/fleet/drain`)
}

func TestADrainThatLeavesAQueueAloneAsksFirst(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	b := h.browser(h.token("operator"))
	p := b.get("/fleet/drain?version=2.0")
	p.shows(t, "Drain version 2.0?", "Every queue keeps a worker", "stint workers drain --version 2.0 --wait")
	p.hides(t, "Drain anyway")
	b.get("/fleet/drain?version=9").shows(t, "there is nothing to drain")
	if p := b.get("/fleet/drain"); p.Code != http.StatusUnprocessableEntity {
		t.Errorf("a drain of nobody: %d", p.Code)
	}
	if p := b.get("/fleet/drain?version=%3C"); p.Code != http.StatusUnprocessableEntity {
		t.Errorf("a version that is none: %d", p.Code)
	}
	p = b.post("/fleet", "/fleet/drain", url.Values{"one": {"b1"}})
	if p.Path != "/fleet/drain?id=b1" || h.wanted() != "" {
		t.Errorf("a drain that would leave big alone leads to %s, and %q drains", p.Path, h.wanted())
	}
	p.shows(t, "A queue would be left without any worker: big (protocol 2)", "Drain anyway", "1 worker, 0 steps in flight")
	p = b.post("/fleet/drain?version=1.0", "/fleet/drain", url.Values{"version": {"1.0"}, "asked": {"yes"}})
	p.shows(t, "would leave big (protocol 2) without any worker", "tick the box")
	p.hides(t, "--force")
	if got := h.wanted(); got != "" {
		t.Errorf("without the tick these drain: %s", got)
	}
	p = b.post("/fleet/drain?version=1.0", "/fleet/drain", url.Values{"version": {"1.0"}, "asked": {"yes"}, "force": {"yes"}})
	if p.shows(t, "2 workers were asked to drain"); p.Path != "/fleet" {
		t.Errorf("it leads to %s", p.Path)
	}
	if got := h.wanted(); got != "a1 b1" {
		t.Errorf("wanted drained: %s", got)
	}
	h.browser(h.token("viewer")).get("/fleet/drain?all=yes").hides(t, "Drain anyway", `action="/fleet/drain"`)
}

func TestFencesAreShownSetAndLifted(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	b := h.browser(h.token("operator"))
	ask := "/fleet/fence?which=version&value=%3C2.0&reason=" + url.QueryEscape("1 loses "+evil)
	p := b.get(ask)
	p.shows(t, "Park version &lt;2.0?", "2 workers are parked, 3 steps in flight", "big (protocol 2)", "Set the fence anyway")
	fields := url.Values{"which": {"version"}, "value": {"<2.0"}, "reason": {"1 loses " + evil}}
	b.post(ask, "/fleet/fence", fields).shows(t, "The fence would leave big", "tick the box")
	if fences, err := h.client.Fences(t.Context()); err != nil || len(fences) != 0 {
		t.Errorf("%v, %v", fences, err)
	}
	fields.Set("force", "yes")
	p = b.post(ask, "/fleet/fence", fields)
	p.shows(t, "The fence version &lt;2.0 is set", "parked by a fence", "<code>&lt;2.0</code>", "Lift the fences", "1 loses &lt;script")
	if fences, err := h.client.Fences(t.Context()); err != nil || len(fences) != 1 || fences[0].Version != "<2.0" || fences[0].By != "operator" {
		t.Errorf("%v, %v", fences, err)
	}
	b.post("/fleet", "/fleet/fence/lift", nil).shows(t, "The fences are lifted", "No fence stands")
	if fences, err := h.client.Fences(t.Context()); err != nil || len(fences) != 0 {
		t.Errorf("%v, %v", fences, err)
	}
	b.get("/fleet/fence?which=not_version&value=7").shows(t, "Park all versions but 7?", "3 workers are parked")
	b.get("/fleet/fence?which=version&value=7").shows(t, "No worker that lives now is parked")
	b.get("/fleet/fence?which=version&value=%3C").shows(t, "is no constraint on versions", "Write a version such as 1.4.0")
	h.browser(h.token("viewer")).get(ask).hides(t, `action="/fleet/fence"`)
}

func TestAWorkersPageSaysWhetherItIsSafeToStop(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	b := h.browser(h.token("operator"))
	b.get("/fleet/a1").shows(t, "It works: not safe to stop", "zone=a", "stint workers drain a1 --wait", "3 of 8 slots busy")
	p := b.get("/fleet/b1")
	p.shows(t, "nobody else serves big", `href="/fleet/drain?id=b1"`)
	p = b.post("/fleet/a1", "/fleet/drain", url.Values{"one": {"a1"}})
	if p.shows(t, "a1 was asked to drain", "It was asked to drain, and has not heard of it yet", "Let it work again"); p.Path != "/fleet/a1" {
		t.Errorf("it leads to %s", p.Path)
	}
	cut := time.Now().Add(time.Minute)
	h.beat(wire.Worker{ID: "a1", Version: "1.0", State: wire.WorkerDraining, InFlight: 3, DrainingSince: &cut, CutAt: &cut})
	b.awaits("/fleet/a1", "It drains: not safe to stop yet").shows(t, "It still holds 3 steps", "Waits until", "3 steps, of jobs that have ended")
	h.beat(wire.Worker{ID: "a1", Version: "1.0", State: wire.WorkerDrained})
	b.awaits("/fleet/a1", "Safe to stop</strong>It holds nothing and claims nothing.")
	b.post("/fleet/a1", "/fleet/undrain", url.Values{"one": {"a1"}}).shows(t, "a1 goes back to work.")
	if got := h.wanted(); got != "" {
		t.Errorf("wanted drained: %s", got)
	}
	b.get("/fleet/gone").shows(t, "It has stopped")
	if p := b.get("/fleet/nobody"); p.Code != http.StatusNotFound {
		t.Errorf("nobody: %d", p.Code)
	}
	v := h.browser(h.token("viewer")).get("/fleet/a1")
	v.shows(t, "What it says of itself")
	v.hides(t, `action="/fleet/drain"`)
}

func TestALostWorkerIsSaidToBe(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *api.Options) { o.LostAfter = time.Millisecond })
	h.beat(wire.Worker{ID: "a1", Version: "1.0", InFlight: 3, Host: "north"})
	b := h.browser("")
	b.awaits("/fleet", ", 1 lost;").shows(t, "1 worker was lost within the last day", "None of its workers lives any more")
	b.get("/fleet/a1").shows(t, "It is lost", "Look at its host north")
}

func TestTwoHundredWorkersAreAPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, longPatience)
	for i := range mostWorkers + 7 {
		h.beat(wire.Worker{ID: fmt.Sprintf("w%03d", i), Version: fmt.Sprint(1 + i%2)})
	}
	b := h.browser("")
	p := b.get("/fleet")
	p.shows(t, "7 more are not shown", `href="/fleet/w000"`)
	if n := strings.Count(p.Body, `data-name="Heartbeat"`); n != mostWorkers {
		t.Errorf("it lists %d", n)
	}
	b.get("/fleet?find=w306").shows(t, `href="/fleet/w306"`)
}

// holding starts a scheduler and a worker whose steps stay until the test lets them go; they do not come back when they are asked to.
func (h *house) holding(id, version string) (w *worker.Worker, let func()) {
	h.t.Helper()
	s := scheduler.New(h.rdb, h.st, scheduler.Options{Log: h.log.Logger()})
	s.Start()
	h.t.Cleanup(s.Stop)
	gate, here := make(chan struct{}), make(chan struct{}, 100)
	family := &enginetest.Family{Effects: h.rdb, Do: func(ctx context.Context, a *tasks.Attempt) error {
		here <- struct{}{}
		<-gate
		return tasks.ErrDrained
	}}
	w = worker.New(h.rdb, store.New(h.rdb), worker.Options{ID: id, Version: version, Concurrency: 2, Heartbeat: 100 * time.Millisecond, Families: []tasks.Family{family}, Log: h.log.Logger()})
	if err := w.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	open := false
	let = func() {
		if !open {
			open = true
			close(gate)
		}
	}
	h.t.Cleanup(func() {
		let()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := w.Stop(ctx); err != nil {
			h.t.Errorf("stop %s: %v", id, err)
		}
	})
	select {
	case <-here:
	case <-time.After(enginetest.Patience):
		h.t.Fatal("no step begins")
	}
	return w, let
}

func TestADrainSaysWhatIsStillHeldUntilItIsSafeToStop(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.submit("one", 1)
	w, let := h.holding("old", "1.0")
	b := h.browser("")
	b.awaits("/fleet/old", `data-name="Step">0<`).shows(t, `href="/jobs/`+id, "s0")
	p := b.post("/fleet/drain?version=1.0", "/fleet/drain", url.Values{"version": {"1.0"}, "asked": {"yes"}, "force": {"yes"}})
	p.shows(t, "old was asked to drain")
	held := b.await("/fleet", "what is held", func(p *page) bool {
		return strings.Contains(p.Body, "0 of 1 drained: version 1.0") && strings.Contains(p.Body, "1 draining")
	})
	held.shows(t, `<a href="/fleet/old">old</a> still holds step <strong>0</strong> of stage s0 of job <a href="/jobs/`+id+`">`, "stint workers drain --version 1.0 --wait", "1 worker drains.")
	held.hides(t, "Safe to stop: ", "it is cut")
	b.get("/fleet/old").shows(t, "It drains: not safe to stop yet", "It still holds 1 step")
	if v, err := h.client.Worker(t.Context(), "old"); err != nil || v.DrainingSince == nil || v.CutAt != nil || v.SafeToStop {
		t.Errorf("%+v, %v", v, err)
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := w.Stop(ctx)
		stopped <- err
	}()
	b.awaits("/fleet", "; it is cut in 59 min")
	let()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	b.awaits("/fleet/old", "It has stopped")
}

func TestADrainThatIsDoneIsSafeToStop(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.submit("one", 1)
	_, let := h.holding("old", "1.0")
	b := h.browser("")
	if _, err := h.client.Drain(t.Context(), wire.Selection{All: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	let()
	b.awaits("/fleet", "Safe to stop: ").shows(t, "Its worker holds nothing and claims nothing.", "1 drained")
	b.get("/fleet/old").shows(t, "Safe to stop</strong>")
}

func TestWhoMayOnlyLookChangesNothing(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	h.schedule("nightly", wire.ScheduleDefinition{Cron: "30 2 * * *"})
	operator, viewer := h.token("operator"), h.token("viewer")
	b := h.browser(viewer)
	secret := formSecret.FindStringSubmatch(b.get("/fleet").Body)[1] // of the logout
	for path, fields := range map[string]url.Values{
		"/fleet/drain": {"id": {"a1"}}, "/fleet/undrain": {"id": {"a1"}}, "/fleet/fence": {"which": {"version"}, "value": {"9"}}, "/fleet/fence/lift": {},
		"/queues/maintenance/begin": {"kind": {"test"}, "reason": {"x"}}, "/queues/maintenance/end": {"kind": {"test"}},
		"/schedules/nightly/run": {}, "/schedules/nightly/pause": {}, "/schedules/nightly/resume": {}, "/schedules/nightly/delete": {"sure": {"yes"}},
		"/schedules/nightly/edit": {"cron": {"1 1 1 1 *"}, "spec": {"{}"}}, "/new/schedule": {"name": {"x"}, "cron": {"1 1 1 1 *"}, "kind": {"test"}, "spec": {`{"stages":[1]}`}},
	} {
		fields.Set("form", secret)
		if p := b.send(path, fields); p.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, p.Code)
		}
	}
	list, err := h.client.Schedules(t.Context())
	if err != nil || len(list) != 1 || list[0].Paused || list[0].LastAt != nil || h.wanted() != "" {
		t.Errorf("%+v, %q, %v", list, h.wanted(), err)
	}
	h.browser(operator).get("/queues").shows(t, "Begin maintenance")
}
