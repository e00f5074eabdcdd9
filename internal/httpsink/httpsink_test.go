package httpsink_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/httpsink"
)

// collect delivers records and returns their answers by key.
func collect(t *testing.T, s *httpsink.Sink, records []httpsink.Record) (map[string]httpsink.Answer, error) {
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

func TestARecordIsSentAsJSONUnderItsKeyAndItsIDIsRead(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := new(strings.Builder)
		_, _ = http.MaxBytesReader(w, r.Body, 1<<20).Read(make([]byte, 0))
		buf := make([]byte, 1024)
		n, _ := r.Body.Read(buf)
		body.Write(buf[:n])
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Idempotency-Key")+" "+body.String())
		mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"data": {"id": 12345678901234567890}}`))
	}))
	t.Cleanup(server.Close)
	s, err := httpsink.New(httpsink.Connection{BaseURL: server.URL + "/api/"}, httpsink.Endpoint{Path: "/v1/customers", ID: "$.data.id"}, httpsink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	answers, err := collect(t, s, []httpsink.Record{{Key: "1", IdempotencyKey: "k1", Fields: map[string]any{"name": "A & B"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a := answers["1"]; a.Outcome != httpsink.Created || string(a.ID) != "12345678901234567890" || a.IDText() != "12345678901234567890" {
		t.Errorf("the answer is %+v", a)
	}
	if want := `POST /api/v1/customers k1 {"name":"A & B"}`; len(seen) != 1 || seen[0] != want {
		t.Errorf("the API saw %q, want %q", seen, want)
	}
}
