package httpsink_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks"
)

// recorderCases are endpoints that a Recorder has to answer as they expect it.
var recorderCases = map[string]httpsink.Endpoint{
	"one by one, an id within the answer": {Path: "/v1/records", ID: "$.data.id"},
	"an id in a header":                   {Path: "/v1/records", ID: "header:Location"},
	"no id":                               {Path: "/v1/records", Success: httpsink.Statuses{"202"}},
	"a rate that is for the real API":     {Path: "/v1/records", Rate: "1/h"},
	"a list":                              {Path: "/v1/records", Batch: 7, ID: "$[*].id"},
	"a field of many":                     {Path: "/v1/records", Batch: 7, BatchField: "items", ID: "$.data.results[*].refs[0]['the id']"},
	"a record a line":                     {Path: "/v1/records", Batch: 7, ContentType: "application/x-ndjson", Body: `{"key": {{ .legacy_id }}, "n": "no {{ .n }}"}`},
	"the same path by PUT":                {Method: "PUT", Path: "/v1/records/{{ .legacy_id }}?n={{ .n }}", IdempotencyHeader: "none"},
	"a key for each record":               {Path: "/v1/records", Batch: 7, RecordKey: "request_id", BatchField: "items"},
	"a key of another name, quoted":       {Path: "/v1/records", IdempotencyHeader: "X-Request", IdempotencyQuoted: true},
	"a lookup":                            {Path: "/v1/records", ID: "$.id", IdempotencyHeader: "none", Lookup: &httpsink.Lookup{Path: "/v1/records?key={{ .legacy_id }}&is={{ .n }}", ID: "$.data[0].id", Settle: httpsink.Duration(time.Millisecond)}},
	"a lookup by path":                    {Path: "/v1/records", IdempotencyHeader: "none", Lookup: &httpsink.Lookup{Path: "/v1/records/é/{{ .legacy_id }}", ID: "$.id", Settle: httpsink.Duration(time.Millisecond)}},
	"answers in part, by words": {Path: "/v1/records", Batch: 7, Partial: &httpsink.Partial{Items: "$.results", Status: "$.is.status", OK: httpsink.Statuses{"created"}, ID: "$.id",
		Error: "$.error", Match: "$.legacy_id"}},
	"answers in part, by numbers": {Path: "/v1/records", Batch: 7, Partial: &httpsink.Partial{Items: "$", Status: "$.status", Error: "$.error"}},
	"answers in part, by errors":  {Path: "/v1/records", Batch: 7, Partial: &httpsink.Partial{Items: "$.a.b", Error: "$.error", ID: "$.id", Match: "index"}},
}

// recording serves a Recorder for one endpoint, as the stage 1, and returns a sink to it.
func recording(t *testing.T, e httpsink.Endpoint) (*httpsink.Recorder, *httpsink.Sink) {
	t.Helper()
	r, err := httpsink.NewRecorder([]httpsink.Endpoint{{Path: "/other"}, e})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	sink, err := httpsink.New(httpsink.Connection{BaseURL: server.URL}, e.Recorded(1), httpsink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	return r, sink
}

func TestARecorderAnswersAsTheEndpointExpectsAndCountsEachRecordOnce(t *testing.T) {
	t.Parallel()
	for name, e := range recorderCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm, first := recording(t, e)
			disturbed, second := recording(t, e)
			ids := map[string]string{}
			want := httpsink.Created
			deliver := func(sink *httpsink.Sink, maybe bool) {
				records := numbered(20)
				for i := range records {
					records[i].Maybe = maybe
				}
				if err := sink.Deliver(t.Context(), records, func(answers []httpsink.Answer) error {
					for _, a := range answers {
						if a.Outcome != want && a.Outcome != httpsink.Created {
							t.Errorf("%s is %s: %s %s", a.Key, a.Outcome, a.Code, a.Reason)
						}
						if before, ok := ids[a.Key]; ok && before != string(a.ID) && want == httpsink.Created {
							t.Errorf("%s is called %s, and was %s", a.Key, a.ID, before)
						}
						ids[a.Key] = string(a.ID)
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			deliver(first, false)
			deliver(second, false)
			want = httpsink.Existed
			deliver(second, true) // an attempt that does not know what became of the one before
			for _, r := range []*httpsink.Recorder{calm, disturbed} {
				if err := r.Strange(); err != nil {
					t.Error(err)
				}
			}
			a, b := calm.Effects(1), disturbed.Effects(1)
			if a.Records != 20 || a.Records != b.Records || a.Checksum != b.Checksum || a.Repeats != 0 || e.Lookup == nil && b.Repeats == 0 {
				t.Errorf("undisturbed %+v, disturbed %+v", a, b)
			}
			if lost, twice, shown := httpsink.CompareEffects(calm, disturbed, 1, 5); lost+twice != 0 || len(shown) > 0 {
				t.Errorf("lost %d, twice %d: %v", lost, twice, shown)
			}
			if e.Lookup == nil && (e.ID != "" || e.Partial != nil && e.Partial.ID != "") == (ids["r1"] == "") {
				t.Errorf("ids are %v", ids)
			}
		})
	}
}

func TestARecorderSeesWhatTookEffectTwiceOrNotAtAll(t *testing.T) {
	t.Parallel()
	r, err := httpsink.NewRecorder([]httpsink.Endpoint{{Path: "/a"}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := httpsink.NewRecorder([]httpsink.Endpoint{{Path: "/a"}})
	if err != nil {
		t.Fatal(err)
	}
	post := func(to http.Handler, key, body string) int {
		request := httptest.NewRequest(http.MethodPost, "/0/a", strings.NewReader(body))
		if key != "" {
			request.Header.Set("Idempotency-Key", key)
		}
		w := httptest.NewRecorder()
		to.ServeHTTP(w, request)
		return w.Code
	}
	for key, body := range map[string]string{"1": `{"a":1}`, "2": `{"a":2}`} {
		if code := post(r, key, body); code != http.StatusCreated {
			t.Errorf("it answered %d", code)
		}
	}
	for _, x := range []struct {
		key, body string
		want      int
	}{{"1", `{"a":1}`, 201}, {"1", `{"a":1}`, 201}, {"new", `{"a":1}`, 201}, {"1", `{"a":3}`, 422}, {"", `{"a":4}`, 400}} {
		if code := post(other, x.key, x.body); code != x.want {
			t.Errorf("%s under the key %q is answered by %d, want %d", x.body, x.key, code, x.want)
		}
	}
	lost, twice, shown := httpsink.CompareEffects(r, other, 0, 5)
	if lost != 1 || twice != 1 || len(shown) != 2 || r.Effects(0).Checksum == other.Effects(0).Checksum {
		t.Errorf("lost %d, twice %d: %v", lost, twice, shown)
	}
	for _, path := range []string{"/", "/1/a", "/x/a"} {
		w := httptest.NewRecorder()
		other.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{}`)))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s is answered by %d", path, w.Code)
		}
	}
}

func TestARecorderThatCannotTellARecordSaysSo(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]httpsink.Endpoint{
		"lookup": {Path: "/a", IdempotencyHeader: "none", Body: `{"n": {{ .n }}}`, Lookup: &httpsink.Lookup{Path: "/a?key={{ .legacy_id }}", ID: "$.id"}},
		"match":  {Path: "/a", Batch: 5, Body: `{"n": {{ .n }}}`, Partial: &httpsink.Partial{Items: "$.results", Status: "$.status", Match: "$.legacy_id"}},
	} {
		r, sink := recording(t, e)
		err := sink.Deliver(t.Context(), numbered(3), func([]httpsink.Answer) error { return nil })
		if !tasks.IsPermanent(err) {
			t.Errorf("%s: the sink goes on: %v", name, err)
		}
		if err := r.Strange(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: it says %v", name, err)
		}
	}
}
