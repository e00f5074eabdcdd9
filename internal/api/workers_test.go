package api

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// fleetHouse has four workers: two of version 1, one of version 2 on a queue of its own, one of version 2 beside the first ones.
func fleetHouse(t *testing.T) (*house, *Server) {
	h := newHouse(t)
	for _, w := range []wire.Worker{
		{ID: "a1", Version: "1.0", Queues: []string{"default"}, Labels: map[string]string{"zone": "a", "disk": "ssd"}},
		{ID: "b1", Version: "1.0", Queues: []string{"default"}, Labels: map[string]string{"zone": "b"}},
		{ID: "a2", Version: "2.0", Queues: []string{"default"}, Labels: map[string]string{"zone": "a"}},
		{ID: "big", Version: "2.0", Queues: []string{"big", "default"}, Labels: map[string]string{"zone": "c"}},
		{ID: "gone", Version: "1.0", Queues: []string{"default"}, State: wire.WorkerStopped},
	} {
		w.Protocol, w.Reads = 2, 2
		h.beat(w)
	}
	return h, h.serve(func(o *Options) { o.LostAfter = time.Minute })
}

func TestADrainMeansTheWorkersThatAreChosen(t *testing.T) {
	t.Parallel()
	h, s := fleetHouse(t)
	for _, c := range []struct {
		choice string
		want   []string
	}{
		{`{"ids":["a1"]}`, []string{"a1"}},
		{`{"version":"1.0"}`, []string{"a1", "b1"}},
		{`{"not_version":"2.0"}`, []string{"a1", "b1"}},
		{`{"version":"3.0"}`, []string{}},
		{`{"labels":{"zone":"a"}}`, []string{"a1", "a2"}},
		{`{"labels":{"zone":"a","disk":"ssd"}}`, []string{"a1"}},
		{`{"labels":{"zone":"z"}}`, []string{}},
		{`{"ids":["b1"],"labels":{"disk":"ssd"}}`, []string{"a1", "b1"}},
		{`{"all":true,"force":true}`, []string{"a1", "a2", "b1", "big"}},
	} {
		got := h.send("POST", s.at("/v1/workers/drain"), c.choice)
		if asked := as[wire.Asked](t, got); got.status != 202 || !slices.Equal(asked.Workers, c.want) {
			t.Errorf("drain %s: %s, want %v", c.choice, got, c.want)
		}
		var wanted []string
		for _, w := range as[wire.Workers](t, h.send("GET", s.at("/v1/workers"), nil)).Workers {
			if w.Wanted == wire.WantDrain {
				wanted = append(wanted, w.ID)
			}
		}
		if !slices.Equal(wanted, c.want) && len(wanted)+len(c.want) > 0 {
			t.Errorf("after drain %s these are wanted: %v", c.choice, wanted)
		}
		if got := h.send("POST", s.at("/v1/workers/undrain"), `{"all":true}`); got.status != 202 {
			t.Fatalf("undrain: %s", got)
		}
	}
}

func TestADrainOfNobodyAndOfWhomThereIsNotIsRefused(t *testing.T) {
	t.Parallel()
	h, s := fleetHouse(t)
	for _, verb := range []string{"drain", "undrain"} {
		for body, want := range map[string]int{`{}`: 422, `{"force":true}`: 422, `{"ids":[]}`: 422, `{"ids":["a1","nobody"]}`: 404} {
			if got := h.send("POST", s.at("/v1/workers/"+verb), body); got.status != want || got.problem(t).Hint == "" {
				t.Errorf("%s %s: want %d: %s", verb, body, want, got)
			}
		}
		if got := h.send("POST", s.at("/v1/workers/nobody/"+verb), nil); got.status != 404 {
			t.Errorf("%s: %s", verb, got)
		}
	}
	for _, w := range as[wire.Workers](t, h.send("GET", s.at("/v1/workers"), nil)).Workers {
		if w.Wanted != "" {
			t.Errorf("of %s something is wanted: %s", w.ID, w.Wanted)
		}
	}
}

func TestADrainThatWouldLeaveAQueueWithoutAnyWorkerIsRefusedUnlessForced(t *testing.T) {
	t.Parallel()
	h, s := fleetHouse(t)
	refuse := func(path string, body any, names string) {
		t.Helper()
		got := h.send("POST", s.at(path), body)
		p := got.problem(t)
		if got.status != 409 || p.Hint == "" || p.Detail != "the drain would leave "+names+" without any worker" {
			t.Errorf("%s %v: %s", path, body, got)
		}
	}
	refuse("/v1/workers/drain", `{"ids":["big"]}`, "big (protocol 2)")
	if got := h.send("PUT", s.at("/v1/fences"), `{"not_version":"9.0"}`); got.status != 409 || !strings.HasPrefix(got.problem(t).Detail, "the fence would leave ") {
		t.Errorf("a fence: %s", got)
	}
	refuse("/v1/workers/big/drain", nil, "big (protocol 2)")
	refuse("/v1/workers/drain", `{"all":true}`, "big (protocol 2), default (protocol 2)")
	if got := h.send("POST", s.at("/v1/workers/drain"), `{"version":"1.0"}`); got.status != 202 {
		t.Fatalf("%s", got)
	}
	// Those that are draining already stay with nobody.
	refuse("/v1/workers/drain", `{"ids":["a2","big"]}`, "big (protocol 2), default (protocol 2)")
	// A worker of another protocol stands in for nobody.
	h.beat(wire.Worker{ID: "new", Version: "3.0", Queues: []string{"big", "default"}, Protocol: 3, Reads: 3})
	refuse("/v1/workers/drain", `{"not_version":"3.0"}`, "big (protocol 2), default (protocol 2)")
	h.beat(wire.Worker{ID: "new", Version: "3.0", Queues: []string{"big", "default"}, Protocol: 3, Reads: 2})
	if got := h.send("POST", s.at("/v1/workers/drain"), `{"not_version":"3.0"}`); got.status != 202 {
		t.Errorf("a worker that reads both stands in: %s", got)
	}
	refuse("/v1/workers/new/drain", nil, "big (protocol 2), big (protocol 3), default (protocol 2), default (protocol 3)")
	if got := h.send("POST", s.at("/v1/workers/new/drain?force=true"), nil); got.status != 202 {
		t.Errorf("forced: %s", got)
	}
}

func TestDrainedIsSaidOnlyOfAWorkerThatIsSafeToStop(t *testing.T) {
	t.Parallel()
	h, s := fleetHouse(t)
	got := h.send("GET", s.at("/v1/workers/a1/drained"), nil)
	if w := as[wire.Worker](t, got); got.status != 503 || got.header.Get("Retry-After") != "1" || w.ID != "a1" || w.SafeToStop {
		t.Errorf("an active one: %s", got)
	}
	h.beat(wire.Worker{ID: "a1", Version: "1.0", State: wire.WorkerDrained})
	for _, id := range []string{"a1", "gone"} {
		got := h.send("GET", s.at("/v1/workers/"+id+"/drained"), nil)
		if w := as[wire.Worker](t, got); got.status != 200 || got.header.Get("Retry-After") != "" || w.ID != id || !w.SafeToStop {
			t.Errorf("%s: %s", id, got)
		}
	}
	if got := h.send("GET", s.at("/v1/workers/nobody/drained"), nil); got.status != 404 {
		t.Errorf("nobody: %s", got)
	}
}

func TestQueuesShowWhatJobsAndWorkersName(t *testing.T) {
	t.Parallel()
	h, s := fleetHouse(t)
	for _, more := range []map[string]any{{}, {"priority": 1}, {"queue": "big", "priority": -1}, {"queue": "lonely"}} {
		if got := h.send("POST", s.at("/v1/jobs"), with(submission(2), more)); got.status != 202 {
			t.Fatal(got)
		}
	}
	for _, a := range h.apis {
		a.Flush() // until it is on the queue
	}
	list := as[wire.Queues](t, h.send("GET", s.at("/v1/queues"), nil)).Queues
	text := ""
	for _, q := range list {
		text += q.Name + " "
		if q.Name == "default" && (q.Depth != 2 || q.Backlog != 2 || q.Workers != 4 || len(q.Parts) != 2) || q.Name == "lonely" && (q.Depth != 1 || q.Workers != 0) {
			t.Errorf("%+v", q)
		}
	}
	if strings.TrimSpace(text) != "big default lonely" {
		t.Errorf("queues: %s", text)
	}
	if q := as[wire.Queue](t, h.send("GET", s.at("/v1/queues/big"), nil)); q.Name != "big" || q.Depth != 1 || q.Workers != 1 {
		t.Errorf("big: %+v", q)
	}
	if got := h.send("GET", s.at("/v1/queues/none"), nil); got.status != 404 || got.problem(t).Hint == "" {
		t.Errorf("none: %s", got)
	}
}
