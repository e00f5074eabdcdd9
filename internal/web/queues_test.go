package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func TestQueuesShowWhatWaitsAndWhoServes(t *testing.T) {
	t.Parallel()
	h := newFleet(t)
	h.submit("one", 3)
	if _, err := h.client.Submit(t.Context(), "two", wire.Submission{Kind: "test", Spec: []byte(`{"stages":[3]}`), Queue: "lonely", Priority: 1}); err != nil {
		t.Fatal(err)
	}
	p := h.browser("").get("/queues")
	p.shows(t, "lonely", "no active worker", "stint worker --queue lonely", "protocol 2, high priority", `href="/fleet/b1"`, "None. Under maintenance")
	if strings.Index(p.Body, "lonely") > strings.Index(p.Body, `scope="row">default`) {
		t.Error("the queue that nobody serves is not the first")
	}
}

func TestAFleetOfManyNamesAFewWorkersOfAQueue(t *testing.T) {
	t.Parallel()
	h := newHouse(t, longPatience)
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		h.beat(wire.Worker{ID: id, Version: "1"})
	}
	h.browser("").get("/queues").shows(t, `href="/fleet/d"`, "and 2 more")
	empty := newHouse(t)
	empty.browser("").get("/queues").shows(t, "No job and no active worker names a queue")
}

func TestMaintenanceHoldsAKindAndEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser(h.token("operator"))
	begin := func(kind, why string) *page {
		return b.post("/queues", "/queues/maintenance/begin", url.Values{"kind": {kind}, "reason": {why}})
	}
	begin("test", " ").shows(t, "has no reason", "Say in a few words why")
	begin("", "x").shows(t, "No kind is chosen")
	if kinds, err := h.client.Kinds(t.Context()); err != nil || kinds[0].Maintenance != nil {
		t.Errorf("%v, %v", kinds, err)
	}
	begin("test", evil).shows(t, "test is under maintenance", "&lt;script&gt;", "End maintenance")
	if kinds, err := h.client.Kinds(t.Context()); err != nil || kinds[0].Maintenance == nil || kinds[0].Maintenance.Reason != evil || kinds[0].Maintenance.By != "operator" {
		t.Errorf("%v, %v", kinds, err)
	}
	id := h.submit("one", 3)
	if v, err := h.client.Job(t.Context(), id); err != nil || v.State != tasks.Accepted || v.Held == "" {
		t.Errorf("%+v, %v", v, err)
	}
	p := h.browser(h.token("viewer")).get("/queues")
	p.shows(t, "&lt;script&gt;")
	p.hides(t, evil, "/queues/maintenance")
	b.post("/queues", "/queues/maintenance/end", url.Values{"kind": {"test"}}).shows(t, "The maintenance of test has ended", "Begin maintenance")
	if kinds, err := h.client.Kinds(t.Context()); err != nil || kinds[0].Maintenance != nil {
		t.Errorf("%v, %v", kinds, err)
	}
}
