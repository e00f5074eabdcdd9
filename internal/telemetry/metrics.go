package telemetry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/stint-run/stint/tasks"
)

// Metrics are the instruments of the engine, one method for each thing that happens. The methods of a nil Metrics do nothing, so
// tests and users of a package need none. They never block and never fail, and may be called from anywhere.
//
// Labels are kinds, outcomes, names of schedules and routes: all of them words from the code or the configuration, never an id of a
// job or anything that a caller can make up.
type Metrics struct {
	inFlight     metric.Int64UpDownCounter
	steps        metric.Int64Counter
	stepTime     metric.Float64Histogram
	rows         metric.Int64Counter
	bytes        metric.Int64Counter
	drain        metric.Float64Histogram
	recovered    metric.Int64Counter
	recoveryTime metric.Float64Histogram
	fenced       metric.Int64Counter
	tickLag      metric.Float64Histogram
	tickMissed   metric.Int64Counter
	sweep        metric.Float64Histogram
	messages     metric.Int64Counter
	messageTime  metric.Float64Histogram
	request      metric.Float64Histogram
	evaluations  metric.Int64Counter
	evaluation   metric.Float64Histogram
	ruleEvents   metric.Int64Counter
	told         metric.Int64Counter
	tellTime     metric.Float64Histogram
}

// The buckets of the histograms, in seconds.
var (
	stepBuckets    = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600} // from a chunk of rows to a build
	waitBuckets    = []float64{.01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 60, 120}                 // what deployments and recoveries wait for
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func newMetrics(m metric.Meter) (*Metrics, error) {
	var errs []error
	count := func(name, unit, help string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
		return c
	}
	duration := func(name, help string, buckets []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help), metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	inFlight, err := m.Int64UpDownCounter("stint.steps.in_flight", metric.WithUnit("{attempt}"), metric.WithDescription("Attempts at steps that are under way."))
	errs = append(errs, err)
	all := &Metrics{
		inFlight:     inFlight,
		steps:        count("stint.steps", "{attempt}", "Attempts at steps that came back, by what came of them."),
		stepTime:     duration("stint.step.duration", "How long attempts at steps took.", stepBuckets),
		rows:         count("stint.rows", "{row}", "Rows that were read, written or quarantined."),
		bytes:        count("stint.bytes", "By", "Bytes that were written to targets, encoded."),
		drain:        duration("stint.drain", "From being asked to drain until the worker was safe to stop.", waitBuckets),
		recovered:    count("stint.lease.recovered", "{lease}", "Leases that were taken from lost workers and given to others."),
		recoveryTime: duration("stint.recovery", "From the last heartbeat of a lost worker until its steps were ready again.", waitBuckets),
		fenced:       count("stint.fenced.commits", "{commit}", "Commits that were refused because a later attempt held the step."),
		tickLag:      duration("stint.scheduler.lag", "From the due time of a tick until it fired.", waitBuckets),
		tickMissed:   count("stint.schedule.missed", "{tick}", "Ticks that were left out because they were found too late."),
		sweep:        duration("stint.sweep.duration", "How long looks for lost workers and tasks took.", requestBuckets),
		messages:     count("stint.webhook.messages", "{attempt}", "Attempts at messages of webhooks, by what came of them."),
		messageTime:  duration("stint.webhook.duration", "How long receivers of webhooks took to answer.", requestBuckets),
		evaluations:  count("stint.rule.evaluations", "{window}", "Windows of alert rules, by whether they could be evaluated."),
		evaluation:   duration("stint.rule.duration", "How long the evaluation of a window took.", requestBuckets),
		ruleEvents:   count("stint.rule.events", "{event}", "What windows of alert rules found: hits, matches, alerts."),
		told:         count("stint.alert.messages", "{attempt}", "Attempts at messages about alerts, by what came of them."),
		tellTime:     duration("stint.alert.message.duration", "How long channels took to take a message.", requestBuckets),
		request:      duration("stint.http.request.duration", "How long requests to the API took.", requestBuckets),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	// What seldom happens is there from the start, so that the first time is seen as a rise.
	all.recovered.Add(context.Background(), 0)
	all.fenced.Add(context.Background(), 0)
	return all, nil
}

// StepBegan counts an attempt as under way, until StepEnded.
func (m *Metrics) StepBegan(ctx context.Context, kind string) {
	if m != nil {
		m.inFlight.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", kind))))
	}
}

// StepEnded counts an attempt that StepBegan has counted and that came back after d. The outcome is a word of the engine's table, such as done, failed, drained or
// stale.
func (m *Metrics) StepEnded(ctx context.Context, kind, outcome string, d time.Duration) {
	if m == nil {
		return
	}
	labels := metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", kind), attribute.String("outcome", outcome)))
	m.inFlight.Add(ctx, -1, metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", kind))))
	m.steps.Add(ctx, 1, labels)
	m.stepTime.Record(ctx, d.Seconds(), labels)
}

// Rows adds what attempts have done since the last call: differences, not the absolute counters of a step.
func (m *Metrics) Rows(ctx context.Context, kind string, more tasks.Counters) {
	if m == nil {
		return
	}
	add := func(what string, n int64) {
		if n > 0 {
			m.rows.Add(ctx, n, metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", kind), attribute.String("what", what))))
		}
	}
	add("read", more.Read)
	add("written", more.Written)
	add("quarantined", more.Quarantined)
	add("skipped", more.Skipped)
	if more.Bytes > 0 {
		m.bytes.Add(ctx, more.Bytes, metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", kind))))
	}
}

// Drained records how long a worker took from being asked to drain until it was safe to stop.
func (m *Metrics) Drained(ctx context.Context, d time.Duration) {
	if m != nil {
		m.drain.Record(ctx, d.Seconds())
	}
}

// LeaseRecovered counts n leases that were taken from one lost worker; since is the time from its last heartbeat until now, less
// than 0 when nobody knows any more.
func (m *Metrics) LeaseRecovered(ctx context.Context, n int, since time.Duration) {
	if m != nil && n > 0 {
		m.recovered.Add(ctx, int64(n))
		if since >= 0 {
			m.recoveryTime.Record(ctx, since.Seconds())
		}
	}
}

// Fenced counts a commit, or a write to the store, that was refused because a later attempt held the step.
func (m *Metrics) Fenced(ctx context.Context) {
	if m != nil {
		m.fenced.Add(ctx, 1)
	}
}

// TickLag records how long after its due time a tick fired.
func (m *Metrics) TickLag(ctx context.Context, schedule string, d time.Duration) {
	if m != nil {
		m.tickLag.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("schedule", schedule)))
	}
}

// TickMissed counts n ticks of a schedule that were left out because they were found too late.
func (m *Metrics) TickMissed(ctx context.Context, schedule string, n int) {
	if m != nil && n > 0 {
		m.tickMissed.Add(ctx, int64(n), metric.WithAttributes(attribute.String("schedule", schedule)))
	}
}

// SweepEnded records how long one look for what was lost took.
func (m *Metrics) SweepEnded(ctx context.Context, d time.Duration) {
	if m != nil {
		m.sweep.Record(ctx, d.Seconds())
	}
}

// WebhookSent counts an attempt at a message of a webhook that took d. The outcome is delivered, pending (it is tried again) or
// gave_up.
func (m *Metrics) WebhookSent(ctx context.Context, webhook, outcome string, d time.Duration) {
	if m == nil {
		return
	}
	name := attribute.String("webhook", webhook)
	m.messages.Add(ctx, 1, metric.WithAttributes(name, attribute.String("outcome", outcome)))
	m.messageTime.Record(ctx, d.Seconds(), metric.WithAttributes(name))
}

// WebhookGaveUp counts n messages of a webhook that were given up because too many wait.
func (m *Metrics) WebhookGaveUp(ctx context.Context, webhook string, n int) {
	if m != nil && n > 0 {
		m.messages.Add(ctx, int64(n), metric.WithAttributes(attribute.String("webhook", webhook), attribute.String("outcome", "gave_up")))
	}
}

// RuleEvaluated counts a window of an alert rule that was evaluated: it took so long, and found so much. Where it lagged behind its time
// is seen in what is told of the fleet.
func (m *Metrics) RuleEvaluated(ctx context.Context, rule string, took, _ time.Duration, hits, matches, alerts int64) {
	if m == nil {
		return
	}
	name := attribute.String("rule", rule)
	m.evaluations.Add(ctx, 1, metric.WithAttributes(name, attribute.String("outcome", "done")))
	m.evaluation.Record(ctx, took.Seconds())
	for _, x := range []struct {
		what string
		n    int64
	}{{"hits", hits}, {"matches", matches}, {"alerts", alerts}} {
		if x.n > 0 {
			m.ruleEvents.Add(ctx, x.n, metric.WithAttributes(name, attribute.String("what", x.what)))
		}
	}
}

// RuleFailed counts a window that could not be evaluated, and will be again.
func (m *Metrics) RuleFailed(ctx context.Context, rule string) {
	if m != nil {
		m.evaluations.Add(ctx, 1, metric.WithAttributes(attribute.String("rule", rule), attribute.String("outcome", "failed")))
	}
}

// AlertTold counts an attempt at a message to a channel that took d. The state is sent, pending (it is tried again), gave_up or unknown.
func (m *Metrics) AlertTold(ctx context.Context, channel, state string, d time.Duration) {
	if m != nil {
		m.told.Add(ctx, 1, metric.WithAttributes(attribute.String("channel", channel), attribute.String("outcome", state)))
		m.tellTime.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("channel", channel)))
	}
}

// Method returns a method of HTTP as it may stand in a label or a span: one that nobody knows is _OTHER.
func Method(method string) string {
	if slices.Contains(methods, method) {
		return method
	}
	return "_OTHER"
}

// methods are those that have a series of their own.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// HTTPRequest records a request that was answered after d. The route is the pattern that matched, such as /v1/jobs/{id}; "" when none
// did. A method that nobody knows is counted as _OTHER.
func (m *Metrics) HTTPRequest(ctx context.Context, route, method string, status int, d time.Duration) {
	if m == nil {
		return
	}
	m.request.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("route", route), attribute.String("method", Method(method)),
		attribute.String("status", strconv.Itoa(status))))
}
