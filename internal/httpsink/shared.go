package httpsink

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

// Shared is what the sinks of a process have in common, so that a sink for each step costs nothing and forgets nothing: open
// connections and access tokens, by connection; circuit breaker, rate and pauses that the API asked for, by endpoint.
type Shared struct {
	mu        sync.Mutex
	links     map[string]*counted[*link]
	endpoints map[string]*counted[*endpointState]
	now       func() time.Time
}

// counted is kept while it is used, and for keepUnused longer: the next step of the job wants it again.
type counted[T any] struct {
	value  T
	users  int
	unused time.Time
}

const keepUnused = 10 * time.Minute

// NewShared returns an empty one.
func NewShared() *Shared {
	return &Shared{links: map[string]*counted[*link]{}, endpoints: map[string]*counted[*endpointState]{}, now: time.Now}
}

// Close closes the connections that are open and not in use.
func (s *Shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		l.value.close()
	}
}

// use returns what a sink needs, and what gives it back.
func (s *Shared) use(connection Connection, c *compiled, o Options) (*link, *endpointState, func(), error) {
	where, err := fingerprint(connection, connection.secrets())
	if err != nil {
		return nil, nil, nil, err
	}
	which := strings.Join([]string{where, c.Method, c.Path, c.Rate}, "\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	l := s.links[where]
	if l == nil {
		made, err := newLink(connection)
		if err != nil {
			return nil, nil, nil, err
		}
		l = &counted[*link]{value: made}
		s.links[where] = l
	}
	e := s.endpoints[which]
	if e == nil {
		e = &counted[*endpointState]{value: newEndpointState(c, o)}
		s.endpoints[which] = e
	}
	l.users++
	e.users++
	return l.value, e.value, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		l.users--
		e.users--
		l.unused, e.unused = s.now(), s.now()
		if l.users == 0 {
			l.value.transport.CloseIdleConnections()
		}
	}), nil
}

// forget drops what nobody has used for a while. The caller holds the lock.
func (s *Shared) forget() {
	for k, l := range s.links {
		if l.users == 0 && s.now().Sub(l.unused) > keepUnused {
			l.value.close()
			delete(s.links, k)
		}
	}
	for k, e := range s.endpoints {
		if e.users == 0 && s.now().Sub(e.unused) > keepUnused {
			delete(s.endpoints, k)
		}
	}
}

// fingerprint names a connection, secrets included: a changed password is another connection.
func fingerprint(connection Connection, secrets []string) (string, error) {
	open, err := json.Marshal(connection)
	if err != nil {
		return "", fmt.Errorf("naming the connection: %w", err)
	}
	hidden, err := json.Marshal(secrets)
	if err != nil {
		return "", fmt.Errorf("naming the connection: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(append(open, hidden...))), nil
}

// link is a way to an API: its connections and credentials.
type link struct {
	base        *url.URL
	headers     map[string]Secret
	transport   *http.Transport
	client      *http.Client
	credentials *credentials
	hidden      []string // what must not be shown, longest first
}

func newLink(connection Connection) (*link, error) {
	base, err := connection.base()
	if err != nil {
		return nil, err
	}
	t, err := connection.transport(MaxConcurrency)
	if err != nil {
		return nil, err
	}
	l := &link{base: base, headers: connection.Headers, transport: t, client: client(t), hidden: hideable(connection.secrets())}
	l.credentials = newCredentials(connection.Auth, l.client)
	return l, nil
}

func (l *link) close() { l.transport.CloseIdleConnections() }

// endpointState is what is known about an endpoint that is in use.
type endpointState struct {
	limiter *rate.Limiter // nil without a rate
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu     sync.Mutex
	opened time.Time // when the breaker opened last
	pause  time.Time // until when the API wants to be left alone
}

// errCut: a request was cut off by us. It says nothing about the endpoint.
var errCut = errors.New("cut off")

// When the breaker opens: after so many failures in a row, or when of so many requests within the window such a share has failed.
const (
	tripInARow   = 8
	tripRequests = 20
	tripShare    = 0.7
	tripWindow   = 30 * time.Second
)

func newEndpointState(c *compiled, o Options) *endpointState {
	s := &endpointState{}
	if n := c.pace.perSecond(); n > 0 {
		// The burst is what 50 ms give: timers are no more exact than that, and no API counts in less.
		s.limiter = rate.NewLimiter(rate.Limit(n), max(1, int(n/20)))
	}
	s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  1,
		Interval:     tripWindow,
		BucketPeriod: tripWindow / 6,
		Timeout:      o.OpenFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			share := float64(n.TotalFailures) / float64(max(1, n.Requests))
			return n.ConsecutiveFailures >= tripInARow || n.Requests >= tripRequests && share >= tripShare
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				s.mu.Lock()
				s.opened = time.Now()
				s.mu.Unlock()
			}
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errCut) },
	})
	return s
}

// Wait waits for one request's turn within the endpoint's rate.
func (s *endpointState) Wait(ctx context.Context, n int) error {
	if s.limiter == nil {
		return nil
	}
	return s.limiter.WaitN(ctx, n)
}

// openFor returns how long the breaker stays open.
func (s *endpointState) openFor(all time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(all-time.Since(s.opened), 10*time.Millisecond)
}

// pauseFor notes that the API wants to be left alone by everybody for d.
func (s *endpointState) pauseFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(d); until.After(s.pause) {
		s.pause = until
	}
}

// paused returns how long the API still wants to be left alone.
func (s *endpointState) paused() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.pause)
}
