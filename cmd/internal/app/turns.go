package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/store"
)

// turns keeps the requests of a fleet to the rates of endpoints: Redis says whose turn it is. When Redis does not answer, this
// process keeps to the rate by itself, and asks again after a while: a migration into an API need not stand still meanwhile.
type turns struct {
	store *store.Store

	mu    sync.Mutex
	own   map[string]*rate.Limiter
	until time.Time // Redis is not asked before
}

const (
	turnTimeout = 500 * time.Millisecond // of one question to Redis
	turnPause   = 5 * time.Second        // after one that was not answered
	keptTurns   = 1_000                  // endpoints that are remembered
)

func newTurns(s *store.Store) *turns { return &turns{store: s, own: map[string]*rate.Limiter{}} }

// limiter returns what keeps to one endpoint's rate.
func (t *turns) limiter(endpoint string, perSecond float64) httpsink.Limiter {
	return &endpointTurns{t, endpoint, perSecond}
}

type endpointTurns struct {
	*turns
	endpoint  string
	perSecond float64
}

// Wait waits for the turns of n requests.
func (e *endpointTurns) Wait(ctx context.Context, n int) error {
	for range n {
		if err := e.one(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (e *endpointTurns) one(ctx context.Context) error {
	for e.asks() {
		asking, cancel := context.WithTimeout(ctx, turnTimeout)
		wait, given, err := e.store.Turn(asking, e.endpoint, e.perSecond)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			e.leaveAlone()
			break
		}
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return context.Cause(ctx)
			}
		}
		if given {
			return nil
		}
	}
	if err := e.alone().Wait(ctx); err != nil {
		return fmt.Errorf("wait for the endpoint's rate: %w", err)
	}
	return nil
}

// asks reports whether Redis is asked now.
func (t *turns) asks() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().After(t.until)
}

func (t *turns) leaveAlone() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = time.Now().Add(turnPause)
}

// alone returns the process' own limiter.
func (e *endpointTurns) alone() *rate.Limiter {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := fmt.Sprint(e.endpoint, " ", e.perSecond)
	l := e.own[key]
	if l == nil {
		if len(e.own) >= keptTurns {
			clear(e.own)
		}
		l = rate.NewLimiter(rate.Limit(e.perSecond), max(1, int(e.perSecond/20)))
		e.own[key] = l
	}
	return l
}
