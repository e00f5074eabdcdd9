package httpsink_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/httpsink/apitest"
)

// It does not run beside others, as it looks at the memory of the whole process.
func TestWhatIsHeldInMemoryIsWhatIsUnderWay(t *testing.T) { //nolint:paralleltest // see above
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reply(w, http.StatusCreated, "")
	}))
	defer server.Close()
	body := []byte(`{"text": "` + strings.Repeat("x", 100<<10) + `"}`) // all share it: bodies are what the sink makes of it
	records := make([]httpsink.Record, 400)
	for i := range records {
		key := fmt.Sprint(i)
		records[i] = httpsink.Record{Key: key, IdempotencyKey: key, JSON: body}
	}
	s := sink(t, to(server.URL), httpsink.Endpoint{Path: "/v1", Batch: 5, RecordKey: "key"}, quick())
	var peak uint64
	err := s.Deliver(t.Context(), records, func([]httpsink.Answer) error {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
		return nil
	})
	// 40 MB are sent; of them 4 requests with 5 records, each encoded and joined, are under way, and what is not collected yet.
	if err != nil || peak > 25<<20 {
		t.Errorf("%v; at most %d MB were in use", err, peak>>20)
	}
}

func BenchmarkDeliver(b *testing.B) {
	for name, e := range map[string]httpsink.Endpoint{
		"one":   {Path: "/v1/records", ID: "$.data.id", Concurrency: 16},
		"batch": {Path: "/v1/records/batch", ID: "$.results[*].id", Batch: 100},
	} {
		b.Run(name, func(b *testing.B) {
			server := apitest.New(apitest.Options{})
			if err := server.Start(); err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			s, err := httpsink.New(to(server.URL()), e, httpsink.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			records := numbered(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			if err := s.Deliver(b.Context(), records, func([]httpsink.Answer) error { return nil }); err != nil {
				b.Fatal(err)
			}
		})
	}
}
