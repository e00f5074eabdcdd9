package httpsink_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks"
)

func TestStatusesMeanWhatTheEndpointSaysAndElseWhatTheyMeanInGeneral(t *testing.T) {
	t.Parallel()
	lookup := &httpsink.Lookup{Path: "/find/{{ .legacy_id }}", ID: "$.id"}
	for _, c := range []struct {
		name     string
		status   int
		body     string
		endpoint httpsink.Endpoint
		want     httpsink.Outcome // "" is an error that stops the job
		id       string
	}{
		{"created", 201, `{"id": 7}`, httpsink.Endpoint{ID: "$.id"}, httpsink.Created, "7"},
		{"no content", 204, ``, httpsink.Endpoint{}, httpsink.Created, ""},
		{"not valid", 422, `{"id": 7}`, httpsink.Endpoint{ID: "$.id"}, httpsink.Rejected, ""},
		{"not found", 404, ``, httpsink.Endpoint{}, httpsink.Rejected, ""},
		{"too large", 413, ``, httpsink.Endpoint{}, httpsink.Rejected, ""},
		{"teapot", 418, ``, httpsink.Endpoint{}, httpsink.Rejected, ""},
		{"not implemented", 501, ``, httpsink.Endpoint{}, httpsink.Rejected, ""},
		{"loop detected", 508, ``, httpsink.Endpoint{}, httpsink.Failed, ""},
		{"a server that rejects by 500", 500, ``, httpsink.Endpoint{Reject: httpsink.Statuses{"500"}}, httpsink.Rejected, ""},
		{"an API that puts off by 423", 423, ``, httpsink.Endpoint{Retry: httpsink.Statuses{"423"}}, httpsink.Failed, ""},
		{"forbidden, for this record", 403, ``, httpsink.Endpoint{Reject: httpsink.Statuses{"403"}}, httpsink.Rejected, ""},
		{"accepted, where only 201 will do", 202, ``, httpsink.Endpoint{Success: httpsink.Statuses{"201"}}, "", ""},
		{"in part, which nobody would read", 207, ``, httpsink.Endpoint{}, "", ""},
		{"in part, as the plan has it", 207, ``, httpsink.Endpoint{Success: httpsink.Statuses{"207"}}, httpsink.Created, ""},
		{"not modified", 304, ``, httpsink.Endpoint{}, "", ""},
		{"there, with its id", 409, `{"id": "x-1"}`, httpsink.Endpoint{ID: "$.id", Exists: httpsink.Statuses{"409"}}, httpsink.Existed, "x-1"},
		{"there, and no id is wanted", 409, ``, httpsink.Endpoint{Exists: httpsink.Statuses{"409"}}, httpsink.Existed, ""},
		{"there, and the lookup has the id", 409, ``, httpsink.Endpoint{ID: "$.id", Lookup: lookup}, httpsink.Existed, "found"},
		{"there, by another status", 412, ``, httpsink.Endpoint{ID: "$.id", Lookup: lookup, Exists: httpsink.Statuses{"412"}}, httpsink.Existed, "found"},
		{"under way, for ever", 409, ``, httpsink.Endpoint{}, httpsink.Failed, ""},
		{"no id where there should be one", 201, `{"ident": 7}`, httpsink.Endpoint{ID: "$.id"}, "", ""},
		{"an id that is none", 201, `{"id": {"a": 1}}`, httpsink.Endpoint{ID: "$.id"}, "", ""},
		{"no JSON where there should be some", 201, `<html>`, httpsink.Endpoint{ID: "$.id"}, "", ""},
		{"no id, and the lookup has it", 201, ``, httpsink.Endpoint{ID: "$.id", Lookup: lookup}, httpsink.Existed, "found"},
		{"stumbles, and has done it", 500, ``, httpsink.Endpoint{ID: "$.id", Lookup: lookup}, httpsink.Existed, "found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					reply(w, http.StatusOK, `{"id": "found"}`)
					return
				}
				reply(w, c.status, c.body)
			})
			c.endpoint.Path = "/v1/records"
			o := quick()
			o.Tries, o.Patience = 3, 200*time.Millisecond
			answers, err := deliver(t, sink(t, to(a.url), c.endpoint, o), numbered(1))
			if c.want == "" {
				if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
					t.Errorf("%+v, %v", answers, err)
				}
				return
			}
			if got := answers["r0"]; err != nil || got.Outcome != c.want || got.IDText() != c.id {
				t.Errorf("%+v, %v; want %s, %q", got, err, c.want, c.id)
			} else if refused := got.Outcome == httpsink.Rejected || got.Outcome == httpsink.Failed; refused != (got.Code != "") {
				t.Errorf("the code of %+v", got)
			}
		})
	}
}

func TestAnIDInAHeaderIsTheLastPartOfItsPath(t *testing.T) {
	t.Parallel()
	locations := []string{"/v1/records/17", "https://x.example/a/b%2Fc?d=e#f", "records/x/", "17"}
	want := []string{"17", "b/c", "x", "17"}
	a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", locations[n-1])
		reply(w, http.StatusCreated, "")
	})
	e := one
	e.ID, e.Concurrency = "header:Location", 1
	answers, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(len(locations)))
	for i := range locations {
		if got := answers[fmt.Sprintf("r%d", i)]; err != nil || got.IDText() != want[i] {
			t.Errorf("%s gave %q, %v", locations[i], got.IDText(), err)
		}
	}
}

func TestALookupThatCannotBeUnderstoodStopsTheJobInsteadOfMakingDuplicates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		want   string // what becomes of the record: a code, an outcome, or "stop"
	}{
		{200, `{"data": [{"id": 5}]}`, "existed"},
		{200, `{"data": []}`, "created"},
		{200, `{"data": null}`, "created"},
		{200, `{}`, "created"},
		{200, `[]`, "created"},
		{200, `null`, "created"},
		{204, ``, "created"},
		{404, `{"message": "none"}`, "created"},
		{410, ``, "created"},
		{200, `{"items": [{"id": 5}]}`, "stop"},
		{200, `{"data": {"id": 5}}`, "stop"},
		{200, `{"data": [{"ident": 5}]}`, "stop"},
		{200, `{"data": [{"id": [5]}]}`, "stop"},
		{200, `<html>`, "stop"},
		{200, ``, "stop"},
		{302, ``, "stop"},
		{401, ``, "stop"},
		{400, ``, "status_400"},
		{500, ``, "status_500"},
	} {
		var sent atomic.Int64
		a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				reply(w, c.status, c.body)
				return
			}
			sent.Add(1)
			reply(w, http.StatusCreated, "")
		})
		e := one
		e.Lookup = &httpsink.Lookup{Path: "/v1/records?id={{ .legacy_id }}", ID: "$.data[0].id", Settle: httpsink.Duration(time.Millisecond)}
		e.IdempotencyHeader = "none"
		o := quick()
		o.Tries = 2
		records := numbered(1)
		records[0].Maybe = true
		answers, err := deliver(t, sink(t, to(a.url), e, o), records)
		got := answers["r0"].Code
		if tasks.IsPermanent(err) {
			got = "stop"
		} else if got == "" {
			got = string(answers["r0"].Outcome)
		}
		if got != c.want || (sent.Load() > 0) != (c.want == "created") {
			t.Errorf("%d %s gave %s (%v), and %d records were sent; want %s", c.status, c.body, got, err, sent.Load(), c.want)
		}
	}
}

func TestWithoutAKeyARecordIsLookedUpOnlyWhenItMayHaveBeenSent(t *testing.T) {
	t.Parallel()
	var created atomic.Bool
	a := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && created.Load():
			reply(w, http.StatusOK, `{"id": 1}`)
		case r.Method == http.MethodGet:
			reply(w, http.StatusNotFound, ``)
		case n == 1:
			reply(w, http.StatusTooManyRequests, ``) // says that nothing was done
		case n == 2:
			created.Store(true)
			panic(http.ErrAbortHandler) // does not
		default:
			t.Errorf("request %d was %s", n, r.Method)
		}
	})
	e := one
	e.IdempotencyHeader, e.Lookup = "none", &httpsink.Lookup{Path: "/v1/records/{{ .legacy_id }}", ID: "$.id", Settle: httpsink.Duration(time.Millisecond)}
	answers, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(1))
	if err != nil || answers["r0"].Outcome != httpsink.Existed || len(a.requests()) != 3 {
		t.Errorf("%+v, %v, %d requests", answers, err, len(a.requests()))
	}
}

func TestNotThereCountsOnlyWhenTheAPIHasSettled(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			t.Error("it was sent again although the API was still at it")
			reply(w, http.StatusCreated, ``)
		case time.Since(begun) < 300*time.Millisecond: // what an earlier attempt has sent is still being done
			reply(w, http.StatusNotFound, ``)
		default:
			reply(w, http.StatusOK, `{"id": 1}`)
		}
	})
	e := one
	e.IdempotencyHeader, e.Lookup = "none", &httpsink.Lookup{Path: "/v1/records/{{ .legacy_id }}", ID: "$.id", Settle: httpsink.Duration(400 * time.Millisecond)}
	records := numbered(3)
	for i := range records {
		records[i].Maybe = true
	}
	answers, err := deliver(t, sink(t, to(a.url), e, quick()), records)
	if err != nil || len(answers) != 3 || answers["r2"].Outcome != httpsink.Existed {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestAnAnswerInPartSaysOfEachRecordWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	var second atomic.Bool
	a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if second.Swap(true) {
			if string(body) != `[{"legacy_id":"r3","n":3}]` {
				t.Errorf("sent again was %s", body)
			}
			reply(w, http.StatusOK, `{"results": [{"key": "r3", "state": "created", "id": 103}]}`)
			return
		}
		reply(w, http.StatusMultiStatus, `{"results": [
			{"key": "r3", "state": "throttled"},
			{"key": "r1", "state": "invalid", "error": {"message": "no name"}},
			{"key": "r0", "state": "created", "id": 100},
			{"key": "r2", "state": "duplicate", "id": 42}]}`)
	})
	e := httpsink.Endpoint{Path: "/v1/batch", Batch: 4, Exists: httpsink.Statuses{"duplicate"}, Retry: httpsink.Statuses{"throttled"},
		Partial: &httpsink.Partial{Items: "$.results", Status: "$.state", OK: httpsink.Statuses{"created"}, ID: "$.id", Error: "$.error.message", Match: "$.key", MatchField: "legacy_id"}}
	answers, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(4))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"r0": "created 100  ", "r1": "rejected  invalid no name", "r2": "existed 42  ", "r3": "created 103  "} {
		if g := answers[key]; fmt.Sprintf("%s %s %s %s", g.Outcome, g.IDText(), g.Code, g.Reason) != want {
			t.Errorf("%s is %+v, want %q", key, g, want)
		}
	}
	if seen := a.requests(); len(seen) != 2 || seen[0].Key == seen[1].Key {
		t.Errorf("the API saw %+v", seen)
	}
}

func TestARecordThatIsPutOffGetsANewKeyAsTheOldOneWouldGiveTheOldAnswer(t *testing.T) {
	t.Parallel()
	answered := map[string]bool{}
	a := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if answered[key] || n <= 3 {
			answered[key] = true
			reply(w, http.StatusOK, `[{"status": 503}]`)
			return
		}
		reply(w, http.StatusOK, `[{"status": 201}]`)
	})
	e := httpsink.Endpoint{Path: "/v1/batch", Batch: 2, Partial: &httpsink.Partial{Items: "$", Status: "$.status"}}
	answers, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(1))
	if err != nil || answers["r0"].Outcome != httpsink.Created || len(a.requests()) != 4 {
		t.Errorf("%+v, %v, %d requests", answers, err, len(a.requests()))
	}
}

func TestAnAnswerThatSaysNothingOfARecordIsNoSuccess(t *testing.T) {
	t.Parallel()
	a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, `{"results": [{"legacy_id": "r`+strconv.Itoa(2*n-2)+`", "id": 1}]}`)
	})
	e := httpsink.Endpoint{Path: "/v1/batch", Batch: 2, Concurrency: 1, Partial: &httpsink.Partial{Items: "$.results", Error: "$.error", ID: "$.id", Match: "$.legacy_id"}}
	answers, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(4))
	if err != nil || answers["r0"].Outcome != httpsink.Created || answers["r2"].Outcome != httpsink.Created {
		t.Fatalf("%+v, %v", answers, err)
	}
	if g := answers["r1"]; g.Outcome != httpsink.Failed || g.Code != "no_id" || !g.Uncertain {
		t.Errorf("r1 is %+v", g)
	}
}

func TestAKeyThatCameWithOtherContentBeforeIsNotSplitIntoNewKeys(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusUnprocessableEntity, `{"title": "Idempotency-Key is already used"}`)
	})
	records := numbered(4)
	for i := range records {
		records[i].Maybe = true
	}
	answers, err := deliver(t, sink(t, to(a.url), httpsink.Endpoint{Path: "/v1/batch", Batch: 4}, quick()), records)
	if g := answers["r0"]; err != nil || g.Outcome != httpsink.Rejected || g.Code != "key_reused" || !g.Uncertain || len(answers) != 4 || len(a.requests()) != 1 {
		t.Errorf("%+v, %v, %d requests", answers, err, len(a.requests()))
	}
}

func TestARecordThatCannotBeWrittenIsRejectedAndTheOthersGo(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	records := numbered(3)
	records[1].Fields = map[string]any{"legacy_id": nil, "n": 1}
	for name, e := range map[string]httpsink.Endpoint{
		"path":  {Method: http.MethodPut, Path: "/v1/{{ .legacy_id }}"},
		"body":  {Path: "/v1/records", Body: `{"id": "{{ .legacy_id }}"}`},
		"item":  {Path: "/v1/batch", Batch: 3, Body: `{"id": "{{ .legacy_id }}"}`},
		"json":  {Path: "/v1/records", Body: `{"id": {{ .legacy_id }}{{ if .legacy_id }}{{ else }},{{ end }}}`},
		"query": {Path: "/v1/records?id={{ .legacy_id }}"},
	} {
		answers, err := deliver(t, sink(t, to(a.url), e, quick()), records)
		if err != nil || answers["r0"].Outcome != httpsink.Created || answers["r2"].Outcome != httpsink.Created {
			t.Errorf("%s: %+v, %v", name, answers, err)
		}
		if g := answers["r1"]; g.Outcome != httpsink.Rejected || g.Code != "template" || g.Reason == "" {
			t.Errorf("%s: r1 is %+v", name, g)
		}
	}
}

func TestAllAnswersOfARequestReachTheCallerInOneCall(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	s := sink(t, to(a.url), httpsink.Endpoint{Path: "/v1/batch", Batch: 7, Concurrency: 8}, quick())
	err := s.Deliver(t.Context(), numbered(700), func(all []httpsink.Answer) error {
		if len(all)%7 != 0 {
			t.Errorf("a call had %d answers", len(all))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAnAnswerWithoutEndIsReadToItsLimitOnly(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		part := []byte(strings.Repeat("x", 64<<10))
		for {
			n, err := w.Write(part)
			if written.Add(int64(n)); err != nil || written.Load() > 1<<30 {
				return
			}
		}
	})
	answers, err := deliver(t, sink(t, to(a.url), one, quick()), numbered(1))
	if g := answers["r0"]; err != nil || g.Outcome != httpsink.Rejected || len(g.Excerpt) != httpsink.MaxExcerpt {
		t.Errorf("%+v, %v", g, err)
	}
	poll(t, func() bool { return written.Load() > 0 })
	if n := written.Load(); n > 64<<20 { // what the sockets of both sides hold comes on top of the limit
		t.Errorf("%d bytes were read", n)
	}
}

func TestAKeyForEachRecordIsInItsBodyInWhateverFormThatIs(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	plain := httpsink.Record{Key: "1", IdempotencyKey: "k/1", Fields: map[string]any{"b": 1}}
	encoded := httpsink.Record{Key: "1", IdempotencyKey: "k/1", JSON: []byte(` { "z": 1, "a": 2 } `)}
	empty := httpsink.Record{Key: "1", IdempotencyKey: "k/1", JSON: []byte(`{}`)}
	for _, c := range []struct {
		endpoint     httpsink.Endpoint
		record       httpsink.Record
		target, body string
	}{
		{httpsink.Endpoint{Path: "/v1"}, plain, "/v1", `{"b":1,"key":"k/1"}`},
		{httpsink.Endpoint{Path: "/v1"}, encoded, "/v1", `{"key":"k/1","z": 1, "a": 2 }`},
		{httpsink.Endpoint{Path: "/v1"}, empty, "/v1", `{"key":"k/1"}`},
		{httpsink.Endpoint{Path: "/v1", Body: `{"ref": {{ .key }}}`}, encoded, "/v1", `{"ref": "k/1"}`},
		{httpsink.Endpoint{Method: http.MethodPut, Path: "/v1/{{ .key }}"}, plain, "/v1/k%2F1", `{"b":1,"key":"k/1"}`},
		{httpsink.Endpoint{Path: "/v1", Batch: 2, ContentType: "application/x-ndjson", Body: "{\n\"ref\": {{ .key }}}"}, plain, "/v1", `{"ref":"k/1"}` + "\n"},
	} {
		c.endpoint.RecordKey = "key"
		_, err := deliver(t, sink(t, to(a.url), c.endpoint, quick()), []httpsink.Record{c.record})
		seen := a.requests()
		if last := seen[len(seen)-1]; err != nil || last.Target != c.target || last.Body != c.body {
			t.Errorf("%+v: %v, want %s %s", last, err, c.target, c.body)
		}
	}
	for name, bad := range map[string]httpsink.Record{
		"a field that it has itself":          {Fields: map[string]any{"key": 1}},
		"a field that it has itself, encoded": {JSON: []byte(`{"key": 1}`)},
		"a list":                              {JSON: []byte(`[{"a": 1}]`)},
		"no JSON":                             {JSON: []byte(`{"a": `)},
		"nothing":                             {JSON: []byte(` `)},
		"fields, and nothing encoded":         {Fields: map[string]any{"a": 1}, JSON: []byte(` `)},
		"what JSON does not have":             {Fields: map[string]any{"a": math.NaN()}},
	} {
		bad.Key, bad.IdempotencyKey = "1", "k/1"
		answers, err := deliver(t, sink(t, to(a.url), httpsink.Endpoint{Path: "/v1", RecordKey: "key"}, quick()), []httpsink.Record{bad})
		if g := answers["1"]; err != nil || g.Outcome != httpsink.Rejected || g.Reason == "" {
			t.Errorf("%s: %+v, %v", name, answers, err)
		}
	}
}
