package httpsink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Record is what is delivered.
type Record struct {
	// Key is the record's own, stable and unique within its stage. Answers name records by it.
	Key string
	// IdempotencyKey is what the API knows the record by, if it does: a function of job, stage and Key, and nothing else. At most
	// 255 printable ASCII characters.
	IdempotencyKey string
	// Fields are the record. What is in it has to come out the same each time that the record is delivered again.
	Fields map[string]any
	// JSON is the record, encoded, where its members have to keep their order; nil encodes Fields. If Fields is nil, templates
	// see what is in here.
	JSON json.RawMessage
	// Maybe says that an earlier attempt may have sent the record, and that its answer is not known.
	Maybe bool
	// Answered says that the record's answer is known. It is not sent; it keeps its place, so that the batches around it are
	// those of the earlier attempt. Without a batch such records may be left out.
	Answered bool
}

// Outcome is what became of a record.
type Outcome string

// Outcomes. All but Failed are final.
const (
	Created  Outcome = "created"  // the API has taken it
	Existed  Outcome = "existed"  // it was there: from an earlier attempt, or from somebody else
	Rejected Outcome = "rejected" // the API refuses it, or it cannot be written: sending it again would change nothing
	// Failed: the API has neither taken nor refused it within the tries of this Deliver. Deliver it again, later, with Maybe set;
	// set it aside after so many attempts that nothing is to be hoped.
	Failed Outcome = "failed"
)

// Answer is what is known about a record after it was delivered.
type Answer struct {
	Key     string          `json:"key"`
	Outcome Outcome         `json:"outcome"`
	ID      json.RawMessage `json:"id,omitempty"`     // in the API's own digits or words, as JSON: 17 or "c-17"; nil without one
	Status  int             `json:"status,omitempty"` // the last HTTP status; 0 if there was none
	// Code says in one word why it was not taken: status_422, timeout, connection, template, key_reused, no_id, no_item,
	// ambiguous, or the word that the API used for the item of a batch. "" if it was.
	Code string `json:"code,omitempty"`
	// Reason is for people: the API's own words where it has some. It may quote values of the record, and never a secret.
	Reason string `json:"reason,omitempty"`
	// Excerpt is the beginning of the answer's body, of at most MaxExcerpt bytes, if the record was not taken.
	Excerpt string `json:"excerpt,omitempty"`
	// Uncertain says that the record may be there although it was not answered so.
	Uncertain bool `json:"uncertain,omitempty"`
}

// IDText returns the id without the quotes of JSON; "" without one.
func (a Answer) IDText() string {
	v, err := decode(a.ID)
	if err != nil {
		return ""
	}
	return plain(v)
}

// MaxExcerpt is how many bytes of an answer's body are kept, and MaxAnswer how many are read.
const (
	MaxExcerpt = 500
	MaxAnswer  = 1 << 20
)

// Options are how a sink behaves, whatever the plan says. The zero value is what production uses.
type Options struct {
	// Limiter is asked before each request, so that many workers can keep to one rate. nil keeps to the endpoint's rate within
	// this process.
	Limiter Limiter
	// Shared is what the sinks of one process have in common; nil gives the sink its own.
	Shared *Shared
	// Grace is how long a request that is under way may go on when the context ends; 0 means DefaultGrace. What is cut off has to
	// be delivered again with Maybe set.
	Grace time.Duration
	// Tries is how often a request that fails is sent before its records count as failed; 0 means DefaultTries.
	Tries int
	// Patience is how long a record waits in all between its tries; what the API asks to wait beyond it goes back to the engine. 0
	// means DefaultPatience.
	Patience time.Duration
	// Backoff is the longest first wait between two tries; it doubles, and each wait is a random part of it. 0 means DefaultBackoff.
	Backoff time.Duration
	// OpenFor is how long nothing is sent to an endpoint that only fails; 0 means DefaultOpenFor.
	OpenFor time.Duration
	// UserAgent is what the API is told; "" means stint.
	UserAgent string
}

// What holds where options do not say.
const (
	DefaultGrace    = 2 * time.Second
	DefaultTries    = 5
	DefaultPatience = 10 * time.Second
	DefaultBackoff  = 100 * time.Millisecond
	DefaultOpenFor  = 10 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Tries == 0 {
		o.Tries = DefaultTries
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Backoff == 0 {
		o.Backoff = DefaultBackoff
	}
	if o.OpenFor == 0 {
		o.OpenFor = DefaultOpenFor
	}
	if o.UserAgent == "" {
		o.UserAgent = "stint"
	}
	return o
}

// Sink delivers records to one endpoint. It may be used by many goroutines at once.
type Sink struct {
	endpoint *compiled
	options  Options
	link     *link
	state    *endpointState
	release  func()
	idsSeen  atomic.Bool // an answer had an id where the endpoint says
}

// New returns a sink. It connects to nothing yet. Errors are those of Check, of the connection or the endpoint.
func New(connection Connection, endpoint Endpoint, options Options) (*Sink, error) {
	c, err := endpoint.compile()
	if err != nil {
		return nil, err
	}
	if err := connection.Check(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	shared := options.Shared
	if shared == nil {
		shared = NewShared()
	}
	l, state, release, err := shared.use(connection, c, options)
	if err != nil {
		return nil, err
	}
	return &Sink{endpoint: c, options: options, link: l, state: state, release: release}, nil
}

// Close gives back what the sink uses. No Deliver may be under way.
func (s *Sink) Close() { s.release() }

// checkRecords finds what a caller must not do.
func (s *Sink) checkRecords(records []Record) error {
	for _, r := range records {
		if r.Answered {
			continue
		}
		if s.endpoint.key != "" || s.endpoint.RecordKey != "" {
			if n := len(r.IdempotencyKey); n == 0 || n > 255 || strings.ContainsFunc(r.IdempotencyKey, func(c rune) bool { return c <= ' ' || c > '~' }) {
				return tasks.Permanent(fmt.Errorf("record %q: its idempotency key is no text of 1 to 255 printable ASCII characters", r.Key))
			}
		}
		if r.Fields == nil && r.JSON == nil {
			return tasks.Permanent(fmt.Errorf("record %q is empty", r.Key))
		}
	}
	return nil
}

// Limiter keeps requests to a rate.
type Limiter interface {
	// Wait returns nil when n more requests may be sent, and an error when ctx ends before.
	Wait(ctx context.Context, n int) error
}

// client returns what sends requests: redirects are followed by nobody but exchange.
func client(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
