// Package apitest is a hostile API: a server on which tests find out whether records are delivered exactly once.
//
// It takes records, one by one or in batches, in one of the ways in which APIs let requests be repeated, and does to its clients, by
// chance and by a seed, what happens to clients: it fails before it does something, does it and does not answer, breaks off in the middle
// of an answer or of a batch, asks for patience, refuses records, refuses tokens. It counts for each record how often it took effect; that
// it cannot be told from a correct server by these counts is up to its client.
//
// Everything is in memory. It lives as long as its process, and that outlives the workers which a test kills. Records are JSON objects,
// known by the field legacy_id.
//
//	POST /v1/records            one record: 201 {"data": {"id": 17}} and a Location
//	POST /v1/records/batch      [..], {"items": [..]} or a record a line: 201 or 207 {"results": [{"status", "id", "legacy_id", "error"}]}
//	PUT  /v1/records/{key}      one record, by its key (ModePut)
//	GET  /v1/records?legacy_id= {"data": [{"id": 17}]} (ModeLookup)
//	POST /oauth/token           an access token, where tokens are wanted
//	GET  /_state                what it has seen, as the JSON of State
package apitest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Mode is how the API lets requests be repeated.
type Mode string

// Modes. The zero value means ModeKeys.
const (
	// ModeKeys: a request is known by its Idempotency-Key, which it has to have. The same key gives the same answer again; 409 while
	// the first request is under way, 422 with another body.
	ModeKeys Mode = "keys"
	// ModeRecordKeys: each record is known by its field idempotency_key, in whatever batch it comes.
	ModeRecordKeys Mode = "record_keys"
	// ModeLookup: each request makes new records; what is there can be asked.
	ModeLookup Mode = "lookup"
	// ModePut: a record is replaced by its path.
	ModePut Mode = "put"
)

// Faults are shares of requests, from 0 to 1, to which something is done.
type Faults struct {
	Error float64 `json:"error"` // 500, before anything is done
	Hang  float64 `json:"hang"`  // it is done, and there is no answer for Options.HangFor
	Busy  float64 `json:"busy"`  // 429, before anything is done
	Cut   float64 `json:"cut"`   // it is done, of a batch only a part, and the connection is closed within the answer
	Item  float64 `json:"item"`  // of records of a batch with partial answers: 503, before it is done
}

// Hostile are faults of every kind, at once.
func Hostile() Faults { return Faults{Error: 0.10, Hang: 0.05, Busy: 0.03, Cut: 0.05, Item: 0.02} }

// Options are how a server behaves. The zero value is a kind one.
type Options struct {
	Mode   Mode
	Faults Faults
	Seed   uint64
	// Partial answers a batch record by record; otherwise it is refused as a whole, and nothing of it done, if one record is bad.
	Partial bool
	// Reject says which records are refused, with 422; nil refuses none.
	Reject func(key string) bool
	// RetryAfter is what 429 asks to wait, by turns in seconds and as a date.
	RetryAfter time.Duration
	// HangFor is how long there is no answer; 0 means 30 s. It ends early when the client goes away, HoldFor later.
	HangFor time.Duration
	// HoldFor is how long a key stays under way after its client has gone away.
	HoldFor time.Duration
	// Token is what requests have to bear; "" wants none. With TokenUses it is one of the server's own, from /oauth/token for the
	// client id "client" and the secret Token, and good for so many requests.
	Token     string
	TokenUses int
}

// Counts are what a server has done, by number of requests unless it says something else.
type Counts struct {
	Requests  int `json:"requests"`
	Lookups   int `json:"lookups"`
	Errors    int `json:"errors"`
	Hangs     int `json:"hangs"`
	Busy      int `json:"busy"`
	Cuts      int `json:"cuts"`
	Items     int `json:"items"` // records of batches that were put off
	Replays   int `json:"replays"`
	Conflicts int `json:"conflicts"` // 409, as the first request is under way
	Reused    int `json:"reused"`    // 422, as the key came with another body
	Refused   int `json:"refused"`   // 422 for what is in the records
	Denied    int `json:"denied"`    // 401
	Tokens    int `json:"tokens"`    // tokens given out
	AtOnce    int `json:"at_once"`   // the most requests that were under way at one time
}

// State is what a server knows.
type State struct {
	Counts  Counts           `json:"counts"`
	Effects map[string]int   `json:"effects"` // how often each record took effect, by its key
	IDs     map[string]int64 `json:"ids"`     // the id of each record, of its first effect
}

// Server is one API.
type Server struct {
	options Options
	http    *http.Server
	url     string

	mu       sync.Mutex
	random   *rand.Rand
	counts   Counts
	effects  map[string]int
	ids      map[string]int64
	content  map[string]string // of records that are put
	keys     map[string]*keyed
	lastID   int64
	atOnce   int
	token    string
	uses     int
	dateTurn bool
}

// keyed is what is known of an idempotency key.
type keyed struct {
	body     string
	underWay bool
	done     int // of a batch: so many records have been settled
	results  []result
	answer   *answer // nil until all is settled
}

// New returns a server that is not serving yet.
func New(options Options) *Server {
	if options.Mode == "" {
		options.Mode = ModeKeys
	}
	if options.HangFor == 0 {
		options.HangFor = 30 * time.Second
	}
	s := &Server{
		options: options,
		random:  rand.New(rand.NewPCG(options.Seed, 1)), //nolint:gosec // a test has to be the same again
		effects: map[string]int{}, ids: map[string]int64{}, content: map[string]string{}, keys: map[string]*keyed{},
	}
	s.http = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	return s
}

// Start serves on a free port of loopback, until Close.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = "http://" + l.Addr().String()
	go func() { _ = s.Serve(l) }()
	return nil
}

// Serve serves on a listener until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// URL is where a server that was started is.
func (s *Server) URL() string { return s.url }

// Close ends the server and all requests.
func (s *Server) Close() { _ = s.http.Close() }

// SetFaults changes what is done to requests from now on.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.options.Faults = f
}

// State returns what the server knows now.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Counts: s.counts, Effects: maps.Clone(s.effects), IDs: maps.Clone(s.ids)}
}

// StateOf asks a server in another process for its State.
func StateOf(ctx context.Context, url string) (State, error) {
	var state State
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_state", nil)
	if err != nil {
		return state, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return state, err
	}
	defer func() { _ = response.Body.Close() }()
	return state, json.NewDecoder(response.Body).Decode(&state)
}

// Twice returns the records that took effect more than once.
func (s State) Twice() []string {
	var out []string
	for key, n := range s.Effects {
		if n > 1 {
			out = append(out, key)
		}
	}
	return out
}
