package httpsink_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stint-run/stint/internal/httpsink"
)

// TestMain also finds goroutines that outlive their sink.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// request is what a scripted API saw.
type request struct {
	Method, Target, Key, Body string
	header                    http.Header
}

// api is a server that answers as a test says, and keeps what it saw.
type api struct {
	url  string
	mu   sync.Mutex
	seen []request
}

// serve starts one. The script gets the number of the request, from 1.
func serve(t *testing.T, script func(n int, w http.ResponseWriter, r *http.Request)) *api {
	t.Helper()
	a := &api{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		a.mu.Lock()
		a.seen = append(a.seen, request{r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), string(body), r.Header})
		n := len(a.seen)
		a.mu.Unlock()
		script(n, w, r)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *api) requests() []request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]request(nil), a.seen...)
}

// reply writes an answer.
func reply(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// quick are options that do not wait for long.
func quick() httpsink.Options {
	return httpsink.Options{Backoff: time.Millisecond, OpenFor: 50 * time.Millisecond}
}

// sink makes one that is closed with the test.
func sink(t *testing.T, connection httpsink.Connection, e httpsink.Endpoint, o httpsink.Options) *httpsink.Sink {
	t.Helper()
	s, err := httpsink.New(connection, e, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func to(url string) httpsink.Connection { return httpsink.Connection{BaseURL: url} }

// deliver delivers records and returns their answers by key.
func deliver(t *testing.T, s *httpsink.Sink, records []httpsink.Record) (map[string]httpsink.Answer, error) {
	t.Helper()
	answers := map[string]httpsink.Answer{}
	err := s.Deliver(t.Context(), records, func(all []httpsink.Answer) error {
		for _, a := range all {
			if _, twice := answers[a.Key]; twice {
				t.Errorf("%s has two answers", a.Key)
			}
			answers[a.Key] = a
		}
		return nil
	})
	return answers, err
}

func TestARecordIsSentAsJSONUnderItsKeyAndItsIDKeepsItsDigits(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusCreated, `{"data": {"id": 12345678901234567890}}`)
	})
	s := sink(t, to(a.url+"/api/"), httpsink.Endpoint{Path: "/v1/customers", ID: "$.data.id", Headers: map[string]string{"X-Name": "{{ .name }}"}}, quick())
	answers, err := deliver(t, s, []httpsink.Record{{Key: "1", IdempotencyKey: "k1", Fields: map[string]any{"name": "A & B"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := answers["1"]; a.Outcome != httpsink.Created || string(a.ID) != "12345678901234567890" || a.IDText() != "12345678901234567890" {
		t.Errorf("the answer is %+v", a)
	}
	seen := a.requests()
	if len(seen) != 1 || seen[0].Method+" "+seen[0].Target+" "+seen[0].Key+" "+seen[0].Body != `POST /api/v1/customers k1 {"name":"A & B"}` {
		t.Errorf("the API saw %+v", seen)
	}
	if h := seen[0].header; h.Get("X-Name") != "A & B" || h.Get("Content-Type") != "application/json" || h.Get("Accept-Encoding") != "gzip" {
		t.Errorf("the headers were %v", h)
	}
}

func TestARepetitionHasTheSameBytesAndTheSameKey(t *testing.T) {
	t.Parallel()
	a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		switch {
		case n%4 != 0:
			reply(w, []int{500, 503, 409}[n%4-1], "")
		default:
			reply(w, http.StatusCreated, `[{"id": "a"}, {"id": "b"}]`)
		}
	})
	s := sink(t, to(a.url), httpsink.Endpoint{Path: "/v1/batch", Batch: 2, ID: "$[*].id"}, quick())
	answers, err := deliver(t, s, numbered(2))
	if err != nil || answers["r0"].IDText() != "a" || answers["r1"].IDText() != "b" {
		t.Fatalf("%+v, %v", answers, err)
	}
	seen := a.requests()
	for _, r := range seen {
		if r.Body != seen[0].Body || r.Key != seen[0].Key || r.Key == "" {
			t.Errorf("the repetition %+v is not %+v", r, seen[0])
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d requests", len(seen))
	}
}

func TestTheKeyOfABatchIsAFunctionOfExactlyItsRecords(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	s := sink(t, to(a.url), httpsink.Endpoint{Path: "/v1/batch", Batch: 3}, quick())
	records := numbered(4)
	key := func(records ...httpsink.Record) string {
		if _, err := deliver(t, s, records); err != nil {
			t.Fatal(err)
		}
		seen := a.requests()
		return seen[len(seen)-1].Key
	}
	abc := key(records[0], records[1], records[2])
	changed := records[1]
	changed.Fields = map[string]any{"other": "content"}
	if again := key(records[0], changed, records[2]); again != abc {
		t.Errorf("the key changes with what is in a record: an API could not tell that it has it already")
	}
	keys := map[string]bool{abc: true}
	for _, other := range [][]httpsink.Record{{records[0], records[1]}, {records[0], records[1], records[3]}, {records[1], records[0], records[2]}, {records[0]}} {
		k := key(other...)
		if keys[k] {
			t.Errorf("%d records have the key of others", len(other))
		}
		keys[k] = true
	}
	if keys[records[0].IdempotencyKey] {
		t.Error("a batch of one has the key of the record alone, whose body is another")
	}
}

func TestABatchThatIsRefusedIsHalvedUntilTheBadRecordIsAlone(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), `"r5"`) {
			reply(w, http.StatusUnprocessableEntity, `{"error": {"message": "r5 is bad"}}`)
			return
		}
		reply(w, http.StatusCreated, "")
	})
	s := sink(t, to(a.url), httpsink.Endpoint{Path: "/v1/batch", Batch: 8, BatchField: "items", Concurrency: 1}, quick())
	answers, err := deliver(t, s, numbered(8))
	if err != nil {
		t.Fatal(err)
	}
	for key, answer := range answers {
		if key == "r5" {
			if answer.Outcome != httpsink.Rejected || answer.Reason != "r5 is bad" || answer.Code != "status_422" || answer.Status != 422 {
				t.Errorf("r5 is %+v", answer)
			}
		} else if answer.Outcome != httpsink.Created {
			t.Errorf("%s is %+v", key, answer)
		}
	}
	if n := len(a.requests()); len(answers) != 8 || n != 7 {
		t.Errorf("%d answers in %d requests", len(answers), n)
	}
}

func TestAnAttemptAfterACrashMeetsTheSameBatches(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	s := sink(t, to(a.url), httpsink.Endpoint{Path: "/v1/batch", Batch: 4, Concurrency: 1}, quick())
	records := numbered(12)
	if _, err := deliver(t, s, records); err != nil {
		t.Fatal(err)
	}
	first := a.requests()
	// The answers to the first batch are known, and of the second those of one half, as it was refused as a whole and halved.
	for _, i := range []int{0, 1, 2, 3, 4, 5} {
		records[i].Answered = true
	}
	for i := range records {
		records[i].Maybe = true
	}
	if answers, err := deliver(t, s, records); err != nil || len(answers) != 6 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	second := a.requests()[3:]
	if len(second) != 2 || second[0].Body != `[{"legacy_id":"r6","n":6},{"legacy_id":"r7","n":7}]` || second[0].Key == first[1].Key {
		t.Errorf("the rest of the second batch went as %+v", second)
	}
	if len(second) == 2 && !reflect.DeepEqual([]string{second[1].Body, second[1].Key}, []string{first[2].Body, first[2].Key}) {
		t.Errorf("the third batch went as %+v, before as %+v", second[1], first[2])
	}
}
