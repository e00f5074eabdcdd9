package httpsink_test

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/stint-run/stint/internal/httpsink"
)

func TestADeliveryIsOneSpanThatCountsAndQuotesNothing(t *testing.T) {
	t.Parallel()
	a := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		reply(w, []int{500, 201, 422, 201}[(n-1)%4], `{"message": "canary"}`)
	})
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	ctx, root := provider.Tracer("test").Start(t.Context(), "attempt")
	e := one
	e.Concurrency = 1
	records := numbered(3)
	records[0].Fields["name"] = "canary"
	if err := sink(t, to(a.url), e, quick()).Deliver(ctx, records, func([]httpsink.Answer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	root.End()
	ended := recorder.Ended()
	if len(ended) != 2 || ended[0].Name() != "deliver POST" {
		t.Fatalf("the spans are %v", ended)
	}
	counts := map[string]int64{}
	for _, attribute := range ended[0].Attributes() {
		counts[string(attribute.Key)] = attribute.Value.AsInt64()
	}
	for name, want := range map[string]int64{"stint.records": 3, "stint.requests": 4, "stint.retries": 1, "stint.created": 2, "stint.rejected": 1} {
		if counts[name] != want {
			t.Errorf("%s is %d, want %d", name, counts[name], want)
		}
	}
	got := fmt.Sprint(ended[0].Attributes(), ended[0].Events(), ended[0].Status())
	if strings.Contains(got, "canary") || strings.Contains(got, "r0") {
		t.Errorf("the span quotes a record: %s", got)
	}
}

func TestCompressedAnswersAreUnderstood(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusCreated)
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(`{"id": 5}`))
		_ = z.Close()
	})
	e := one
	e.ID = "$.id"
	if answers, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(1)); err != nil || answers["r0"].IDText() != "5" {
		t.Errorf("%+v, %v", answers, err)
	}
}
