package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
)

// readsFresh is how long an answer of the API serves all pages of the same reader, however many are open.
const readsFresh = 700 * time.Millisecond

// maxRead is the longest answer that is kept.
const maxRead = 4 << 20

// reads carries requests to the API and remembers for a moment what was read, so that fifty open pages ask no more than one does. What
// changes something forgets all of it: who acts sees what came of it.
type reads struct {
	next http.RoundTripper

	mu    sync.Mutex
	round int // counts what has changed something
	kept  map[string]*read
}

// read is an answer, or one that is on its way.
type read struct {
	there chan struct{} // closed when it is
	begun time.Time
	at    time.Time
	code  int
	head  http.Header
	body  []byte
	err   error
	large bool // it is not kept
}

func newReads(next http.RoundTripper) *reads { return &reads{next: next, kept: map[string]*read{}} }

// RoundTrip implements http.RoundTripper.
func (c *reads) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		resp, err := c.next.RoundTrip(r)
		c.forget()
		return resp, err
	}
	if r.Header.Get("Accept") != "application/json" || isStream(r.URL.Path) {
		return c.next.RoundTrip(r)
	}
	notBefore, _ := r.Context().Value(sinceKey{}).(time.Time)
	key := api.VisitorKey(r.Context()) + " " + r.URL.RequestURI()
	for {
		c.mu.Lock()
		v, there := c.kept[key]
		if !there {
			v = &read{there: make(chan struct{}), begun: time.Now()}
			c.kept[key] = v
			round := c.round
			c.mu.Unlock()
			c.fetch(r, v, key, round)
		} else {
			c.mu.Unlock()
		}
		select {
		case <-v.there:
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
		switch {
		case v.large:
			return c.next.RoundTrip(r)
		case v.err != nil && there: // of somebody else, who may have gone away
			c.drop(key, v)
			continue
		case v.err != nil:
			return nil, v.err
		case there && (time.Since(v.at) > readsFresh || v.begun.Before(notBefore)):
			c.drop(key, v)
			continue
		}
		return &http.Response{StatusCode: v.code, Status: http.StatusText(v.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: v.head.Clone(), Request: r,
			Body: io.NopCloser(bytes.NewReader(v.body)), ContentLength: int64(len(v.body))}, nil
	}
}

type sinceKey struct{}

// clocksApart is how far the clock of Redis may be from this one.
const clocksApart = 2 * time.Second

// sinceEnd is a context for what is read of a job beside its state. Of one that has ended it takes no answer of before the end: it would be
// shown for good.
func sinceEnd(ctx context.Context, j *wire.Job) context.Context {
	if j.EndedAt == nil {
		return ctx
	}
	return context.WithValue(ctx, sinceKey{}, j.EndedAt.Add(clocksApart))
}

// isStream reports whether what a path answers may be long, or may take long.
func isStream(path string) bool {
	return strings.Contains(path, "/outputs/") || strings.Contains(path, "/logs/")
}

// fetch asks the API, for all that wait.
func (c *reads) fetch(r *http.Request, v *read, key string, round int) {
	defer close(v.there)
	resp, err := c.next.RoundTrip(r)
	if err == nil {
		v.code, v.head = resp.StatusCode, resp.Header
		v.body, err = io.ReadAll(io.LimitReader(resp.Body, maxRead+1))
		_ = resp.Body.Close()
	}
	v.err, v.at = err, time.Now()
	v.large = len(v.body) > maxRead
	if err != nil || v.large || c.changedSince(round) {
		c.drop(key, v)
	}
	c.sweep()
}

func (c *reads) changedSince(round int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.round != round
}

func (c *reads) drop(key string, v *read) {
	c.mu.Lock()
	if c.kept[key] == v {
		delete(c.kept, key)
	}
	c.mu.Unlock()
}

func (c *reads) forget() {
	c.mu.Lock()
	c.round++
	c.kept = map[string]*read{}
	c.mu.Unlock()
}

// sweep lets go of what nobody asks for any more.
func (c *reads) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, v := range c.kept {
		select {
		case <-v.there:
			if time.Since(v.at) > readsFresh {
				delete(c.kept, key)
			}
		default:
		}
	}
}
