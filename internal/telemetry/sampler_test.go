package telemetry

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// recorded tells which of n spans of a trace a sampler records, and how many they say they stand for.
func recorded(s sdktrace.Sampler, id trace.TraceID, n int) (spans, standFor int) {
	for range n {
		got := s.ShouldSample(sdktrace.SamplingParameters{TraceID: id})
		if got.Decision != sdktrace.RecordAndSample {
			continue
		}
		spans++
		weight := int64(1)
		for _, a := range got.Attributes {
			if a.Key == attribute.Key("stint.sample.one_in") {
				weight = a.Value.AsInt64()
			}
		}
		standFor += int(weight)
	}
	return spans, standFor
}

func TestAJobOfManyStepsIsThinnedOutAndAJobOfFewIsNot(t *testing.T) {
	t.Parallel()
	s := &thinner{whole: 1000, most: 8}
	if n, _ := recorded(s, trace.TraceID{1}, 1000); n != 1000 {
		t.Errorf("%d of the first 1000", n)
	}
	n, standFor := recorded(s, trace.TraceID{1}, 999_000)
	if n < 4000 || n > 6000 {
		t.Errorf("%d of a million", n)
	}
	if standFor < 980_000 || standFor > 1_010_000 {
		t.Errorf("they stand for %d", standFor)
	}
	if n, _ := recorded(s, trace.TraceID{2}, 10); n != 10 {
		t.Errorf("%d of 10 of another job", n)
	}
}

func TestTracesAreCountedInBoundedMemory(t *testing.T) {
	t.Parallel()
	s := &thinner{whole: 1, most: 8}
	busy := trace.TraceID{255}
	for i := range 10_000 {
		s.count(trace.TraceID{1, byte(i), byte(i >> 8)})
		s.count(busy)
		if len(s.fresh)+len(s.aged) > 16 {
			t.Fatalf("%d traces", len(s.fresh)+len(s.aged))
		}
	}
	if n := s.count(busy); n != 10_001 {
		t.Errorf("a trace that goes on was counted to %d", n)
	}
}
