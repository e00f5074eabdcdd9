package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks"
)

func with(body map[string]any, more map[string]any) map[string]any {
	all := maps.Clone(body)
	maps.Copy(all, more)
	return all
}

func TestTheSameRequestAHundredTimesAtOnceOverTwoServersIsOneJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	servers := []*Server{h.serve(), h.serve()}
	var mu sync.Mutex
	ids, fresh, replayed := map[string]bool{}, 0, 0
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			got, err := h.try("POST", servers[i%2].at("/v1/jobs"), submission(3), "Idempotency-Key", "once")
			if err != nil {
				t.Error(err)
				return
			}
			var done wire.Submitted
			if err := json.Unmarshal(got.body, &done); err != nil || got.status != 202 || got.header.Get("Location") != "/v1/jobs/"+done.ID {
				t.Errorf("%s (%v)", got, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[done.ID] = true
			switch again, ok := got.header["Idempotent-Replayed"]; {
			case !ok && done.Outcome == wire.OutcomeCreated:
				fresh++
			case ok && again[0] == "true" && done.Outcome == wire.OutcomeExists:
				replayed++
			default:
				t.Errorf("neither new nor replayed: %s", got)
			}
		})
	}
	all.Wait()
	if len(ids) != 1 || fresh != 1 || replayed != 99 {
		t.Errorf("%d jobs, %d new, %d replayed", len(ids), fresh, replayed)
	}
	if list := as[wire.Jobs](t, h.send("GET", servers[0].at("/v1/jobs"), nil)); len(list.Jobs) != 1 {
		t.Errorf("%d jobs are listed", len(list.Jobs))
	}
}

func TestAKeyStandsForOneRequestOfOneTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	post := func(body map[string]any) answered {
		return h.send("POST", s.at("/v1/jobs"), body, "Idempotency-Key", "k")
	}
	first := as[wire.Submitted](t, post(submission(3)))
	for what, body := range map[string]map[string]any{
		"another spec": submission(4), "another window": with(submission(3), map[string]any{"window": 3}), "another label": with(submission(3), map[string]any{"labels": map[string]string{"a": "b"}}),
		"another kind": with(submission(3), map[string]any{"kind": "other"}),
	} {
		got := post(body)
		if p := got.problem(t); got.status != 409 || p.Hint == "" || !strings.Contains(p.Detail, first.ID) {
			t.Errorf("%s: %s", what, got)
		}
	}
	same := as[wire.Submitted](t, post(with(submission(3), map[string]any{"queue": "default", "priority": 0, "labels": map[string]string{}})))
	if same.ID != first.ID || same.Outcome != wire.OutcomeExists {
		t.Errorf("the same with defaults spelled out: %+v", same)
	}
	theirs := as[wire.Submitted](t, post(with(submission(3), map[string]any{"tenant": "acme"})))
	if theirs.ID == first.ID || theirs.Outcome != wire.OutcomeCreated {
		t.Errorf("the same key of another tenant: %+v", theirs)
	}
	no := as[wire.Submitted](t, h.send("POST", s.at("/v1/jobs"), submission(3)))
	if no.ID == first.ID || no.Outcome != wire.OutcomeCreated {
		t.Errorf("without a key: %+v", no)
	}
	if got := h.send("POST", s.at("/v1/jobs"), submission(3), "Idempotency-Key", strings.Repeat("k", 301)); got.status != 422 {
		t.Errorf("a key of 301 letters: %s", got)
	}
}

func TestContinueResumesRestartsOrLeavesAJobAsItsStateWants(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	goOn := func(more ...any) wire.Submitted {
		body := with(submission(3), map[string]any{"continue": true})
		for i := 0; i+1 < len(more); i += 2 {
			body[more[i].(string)] = more[i+1]
		}
		got := h.send("POST", s.at("/v1/jobs"), body, "Idempotency-Key", "k")
		if got.status != 202 {
			t.Fatalf("%s", got)
		}
		return as[wire.Submitted](t, got)
	}
	done := goOn()
	control := func(verb string) {
		if got := h.send("POST", s.at("/v1/jobs/"+done.ID+"/"+verb), nil); got.status != 200 {
			t.Fatalf("%s: %s", verb, got)
		}
	}
	want := func(what string, got wire.Submitted, outcome string, state tasks.State, epoch int64) {
		t.Helper()
		v, err := h.st.View(t.Context(), done.ID)
		if err != nil || got.ID != done.ID || got.Outcome != outcome || got.State != state || v.State != state || v.Epoch != epoch {
			t.Errorf("%s: %+v; the job is %+v (%v)", what, got, v, err)
		}
	}
	want("a new one", done, wire.OutcomeCreated, tasks.Accepted, 1)
	want("one on its way", goOn(), wire.OutcomeRunning, tasks.Accepted, 1)
	want("with another window", goOn("window", 3), wire.OutcomeRunning, tasks.Accepted, 1)
	control("pause")
	want("a paused one", goOn(), wire.OutcomeResumed, tasks.Accepted, 1)
	control("cancel")
	want("an ended one", goOn(), wire.OutcomeRestarted, tasks.Accepted, 2)
	got := h.send("POST", s.at("/v1/jobs"), with(submission(4), map[string]any{"continue": true}), "Idempotency-Key", "k")
	if got.status != 409 || got.problem(t).Hint == "" {
		t.Errorf("one on its way with another spec: %s", got)
	}
	control("cancel")
	again := as[wire.Submitted](t, h.send("POST", s.at("/v1/jobs"), with(submission(4), map[string]any{"continue": true}), "Idempotency-Key", "k"))
	want("an ended one with another spec", again, wire.OutcomeCreated, tasks.Accepted, 1)
}

func TestAStaleETagChangesNothingAndTheRightOneDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.job("job-1", "")
	s := h.serve()
	at := s.at("/v1/jobs/job-1")
	seen := h.send("GET", at, nil).header.Get("ETag")
	if !strings.HasPrefix(seen, `"`) || !strings.HasSuffix(seen, `"`) {
		t.Fatalf("ETag: %s", seen)
	}
	paused := h.send("POST", at+"/pause", nil, "If-Match", seen)
	if paused.status != 200 || paused.header.Get("ETag") == seen || paused.header.Get("ETag") != h.send("GET", at, nil).header.Get("ETag") {
		t.Fatalf("pause: %s", paused)
	}
	for _, stale := range []string{seen, "W/" + seen, `"x"`, "x", `"1-paused" , "x"`} {
		got := h.send("POST", at+"/cancel", nil, "If-Match", stale)
		if p := got.problem(t); got.status != 412 || p.Code != wire.CodeChanged || p.Hint == "" {
			t.Errorf("cancel with %s: %s", stale, got)
		}
	}
	if v, err := h.st.View(t.Context(), "job-1"); err != nil || v.State != tasks.Paused {
		t.Errorf("it is %+v %v", v, err)
	}
	if got := h.send("POST", at+"/resume", nil, "If-Match", "*"); got.status != 200 {
		t.Errorf("any that there is: %s", got)
	}
	if got := h.send("POST", at+"/resume", nil); got.status != 409 || got.problem(t).Code != wire.CodeConflict {
		t.Errorf("resume what is not paused: %s", got)
	}
}

func TestOfTwoWhoActOnTheSameETagAtOnceOneWins(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	servers := []*Server{h.serve(), h.serve()}
	for round := range 20 {
		id := fmt.Sprint("job-", round)
		h.job(id, "")
		seen := h.send("GET", servers[0].at("/v1/jobs/"+id), nil).header.Get("ETag")
		status := make([]int, 2)
		var both sync.WaitGroup
		for i, verb := range []string{"pause", "cancel"} {
			both.Go(func() {
				got, err := h.try("POST", servers[i].at("/v1/jobs/"+id+"/"+verb), nil, "If-Match", seen)
				if err != nil {
					t.Error(err)
				}
				status[i] = got.status
			})
		}
		both.Wait()
		if status[0]+status[1] != 200+412 {
			t.Errorf("round %d: %v", round, status)
		}
	}
}

func TestPagesOfAListRepeatNothingWhileJobsAreSubmitted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	const before = 120
	for i := range before {
		h.job(fmt.Sprintf("old-%03d", i), []string{"", "acme"}[i%2])
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			job := enginetest.Job(fmt.Sprint("new-", i), 1)
			if _, _, err := h.st.Create(t.Context(), job); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for query, want := range map[string]int{"": before, "&tenant=acme": before / 2, "&kind=test": before, "&state=accepted,running": before} {
		seen, cursor := map[string]int{}, ""
		for range 10_000 {
			page := as[wire.Jobs](t, h.send("GET", s.at("/v1/jobs?limit=7&cursor="+cursor+query), nil))
			for _, j := range page.Jobs {
				seen[j.ID]++
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		old := 0
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%q: %s came %d times", query, id, n)
			}
			if strings.HasPrefix(id, "old-") {
				old++
			}
		}
		if old != want {
			t.Errorf("%q: %d of %d jobs that were there came", query, old, want)
		}
	}
	close(stop)
	busy.Wait()
}

func TestAListIsNarrowedByKindStateAndLabels(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.serve()
	for i, labels := range []map[string]string{{"team": "a", "env": "x"}, {"team": "a"}, {"team": "b", "env": "x"}} {
		if got := h.send("POST", s.at("/v1/jobs"), with(submission(i+1), map[string]any{"labels": labels})); got.status != 202 {
			t.Fatal(got)
		}
	}
	for query, want := range map[string]int{"label=team=a": 2, "label=team=a,env=x": 1, "label=team=": 0, "label=none=x": 0, "kind=other": 0, "kind=test": 3, "state=running": 0, "state=accepted": 3} {
		if got := as[wire.Jobs](t, h.send("GET", s.at("/v1/jobs?"+query), nil)); len(got.Jobs) != want {
			t.Errorf("%s: %d jobs, want %d", query, len(got.Jobs), want)
		}
	}
}
