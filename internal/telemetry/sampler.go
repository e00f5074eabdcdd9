package telemetry

import (
	"fmt"
	"math/bits"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// wholeSteps is how many spans a process records below one caller's trace before it thins them out, and countedTraces how many
// traces it counts at once.
const (
	wholeSteps    = 1000
	countedTraces = 512
)

// newSampler decides once per trace, at its root, and then by the parent: a job is recorded whole or not at all. But for jobs of very
// many steps, which no tracing back end could show: see thinner.
func newSampler(share float64) sdktrace.Sampler {
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(share), sdktrace.WithRemoteParentSampled(&thinner{whole: wholeSteps, most: countedTraces}))
}

// thinner records the first steps of a job all, and then fewer and fewer of them: each time that their number has doubled, half as
// many. So a job of a million steps has some thousand spans of steps from each process. It sees spans whose parent is in another
// process, as that of a step is; what lies below a step follows the step. What is recorded says how many it stands for.
type thinner struct {
	whole int // spans that are all recorded
	most  int // traces in each of the two maps

	mu          sync.Mutex
	fresh, aged map[trace.TraceID]int // spans seen of a trace; those in aged have not been seen for a while
}

// ShouldSample counts a span and decides whether it is recorded.
func (t *thinner) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	result := sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: trace.SpanContextFromContext(p.ParentContext).TraceState()}
	n := t.count(p.TraceID)
	if n <= t.whole {
		return result
	}
	oneIn := 1 << bits.Len(uint((n-1)/t.whole))
	if n%oneIn != 0 {
		result.Decision = sdktrace.Drop
		return result
	}
	result.Attributes = []attribute.KeyValue{attribute.Int("stint.sample.one_in", oneIn)}
	return result
}

func (t *thinner) count(id trace.TraceID) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.fresh[id]
	if !ok {
		n = t.aged[id]
		if t.fresh == nil || len(t.fresh) >= t.most {
			t.fresh, t.aged = map[trace.TraceID]int{}, t.fresh
		}
	}
	n++
	t.fresh[id] = n
	return n
}

// Description names the sampler, for the SDK's own messages.
func (t *thinner) Description() string { return fmt.Sprintf("Thinner{%d}", t.whole) }
