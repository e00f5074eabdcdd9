package httpsink

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/stint-run/stint/internal/spans"
)

// delivery is one Deliver.
type delivery struct {
	sink    *Sink
	limiter Limiter
	began   time.Time // the latest moment at which an earlier attempt can have sent something

	waiting context.Context // ends when nothing must be begun any more
	stop    context.CancelCauseFunc
	flight  context.Context // ends when what is under way is cut off

	answers chan []Answer

	mu   sync.Mutex
	last *result // the failure that was seen last

	requests, retries, lookups, splits atomic.Int64
}

// Deliver sends the records and hands their answers to done, as they arrive, in no order: all answers to one request in one call, the
// answers to several at once where they have come in meanwhile. done is not called twice at once. When it returns, the answers should be
// durable.
//
// It returns nil when each record has an answer, of whatever outcome. Otherwise those without one may have been sent: deliver them again
// with Maybe set. The errors are those of tasks: RetryAfter when the API wants to be left alone or only fails, Permanent when it refuses
// the credentials or is not what the plan says; besides, the error of done, and the cause of ctx's end. When ctx ends, waiting ends
// at once, nothing more is sent, and what is under way is waited for, as long as Options.Grace: its answers go to done as well.
func (s *Sink) Deliver(ctx context.Context, records []Record, done func([]Answer) error) (err error) {
	if err := s.checkRecords(records); err != nil {
		return err
	}
	ctx, span := spans.Begin(ctx, "deliver "+s.endpoint.Method)
	d := &delivery{sink: s, limiter: s.state, began: time.Now(), answers: make(chan []Answer, s.endpoint.Concurrency)}
	if s.options.Limiter != nil {
		d.limiter = s.options.Limiter
	}
	count := map[Outcome]int64{}
	defer func() {
		if span.IsRecording() {
			span.SetAttributes(attribute.Int("stint.records", len(records)), attribute.Int64("stint.requests", d.requests.Load()),
				attribute.Int64("stint.retries", d.retries.Load()), attribute.Int64("stint.lookups", d.lookups.Load()), attribute.Int64("stint.splits", d.splits.Load()))
			for outcome, n := range count {
				span.SetAttributes(attribute.Int64("stint."+string(outcome), n))
			}
		}
		spans.End(span, err)
	}()
	var cut context.CancelFunc
	d.waiting, d.stop = context.WithCancelCause(ctx)
	d.flight, cut = context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer d.stop(nil)
	defer context.AfterFunc(ctx, func() {
		grace := time.AfterFunc(s.options.Grace, cut)
		context.AfterFunc(d.flight, func() { grace.Stop() })
	})()
	open := 0
	for _, r := range records {
		if !r.Answered {
			open++
		}
	}
	go d.run(records)
	var failed error // of done
	for answers := range d.answers {
		answers = d.collect(answers)
		if failed != nil {
			continue
		}
		if failed = done(answers); failed != nil {
			d.stop(failed)
			continue
		}
		open -= len(answers)
		for _, a := range answers {
			count[a.Outcome]++
		}
	}
	if open == 0 { // also if ctx has ended just now
		return nil
	}
	return cmp.Or(failed, context.Cause(d.waiting))
}

// maxCollected is about how many answers one call of done gets.
const maxCollected = 500

// collect adds to answers what has come in besides: a caller that takes its time to make answers durable gets more of them at once.
func (d *delivery) collect(answers []Answer) []Answer {
	for len(answers) < maxCollected {
		select {
		case more, ok := <-d.answers:
			if !ok {
				return answers
			}
			answers = append(answers, more...)
		default:
			return answers
		}
	}
	return answers
}

// run delivers all records, by so many workers, and closes the channel of answers.
func (d *delivery) run(records []Record) {
	defer close(d.answers)
	size := max(1, d.sink.endpoint.Batch)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(d.sink.endpoint.Concurrency, (len(records)+size-1)/size) {
		workers.Go(func() {
			for d.waiting.Err() == nil {
				from := (int(next.Add(1)) - 1) * size
				if from >= len(records) {
					return
				}
				b := newBatch(d, records[from:min(from+size, len(records))])
				if err := b.deliver(0, len(b.items)); err != nil {
					d.stop(err) // the first one counts
					return
				}
			}
		})
	}
	workers.Wait()
}

// failed remembers a failure, for the error of a breaker that opens.
func (d *delivery) failed(r *result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = r
}

// lastFailure returns it as an error; nil if this delivery has seen none.
func (d *delivery) lastFailure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil {
		return nil
	}
	_, reason := d.last.describe()
	return errors.New(reason)
}
