package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// How a stream of events looks for new ones, and how often it says that it is still there when there are none.
const (
	eventPoll      = 250 * time.Millisecond
	eventIdlePoll  = time.Second // of a job of which nothing was heard for eventIdle
	eventIdle      = 5 * time.Second
	eventHeartbeat = 15 * time.Second
	eventPage      = 500
	eventUnread    = 30 * time.Second // who does not read for so long is gone
)

type eventsInput struct {
	PathID
	After  string `query:"after" doc:"Those after the event of this id"`
	Last   string `header:"Last-Event-ID" doc:"The same, as browsers send it when they resume"`
	Accept string `header:"Accept"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"At most so many, of a list"`
}

func (a *API) eventRoutes() {
	op := a.route(needs{role: viewer, long: true}, http.MethodGet, "/v1/jobs/{id}/events", "job-events", "What happened to a job",
		"With Accept: text/event-stream a stream of server-sent events that ends with the job, each with an id: sent as Last-Event-ID it resumes there, on any server. An event of the type trimmed says that older ones are no longer kept. Otherwise a list.")
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
		"text/event-stream": {Schema: &huma.Schema{Type: "string"}},
		"application/json":  {Schema: huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, typeOf[wire.Events]())},
	}}}
	huma.Register(a.huma, op, a.events)
}

func (a *API) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	after := in.After
	if in.Last != "" {
		after = in.Last
	}
	if after != "" && !store.ValidCursor(after) {
		return nil, invalid("Last-Event-ID", "leave it away to begin at the beginning", "is no id of an event")
	}
	if _, err := a.view(ctx, in.ID); err != nil {
		return nil, problem(err)
	}
	if !accepts(in.Accept, "text/event-stream") {
		list, err := a.store.Events(ctx, in.ID, after, int64(in.Limit))
		if err != nil {
			return nil, problem(err)
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			hctx.SetHeader("Content-Type", "application/json")
			_ = json.NewEncoder(hctx.BodyWriter()).Encode(wire.Events{Events: list})
		}}, nil
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", "text/event-stream")
		hctx.SetHeader("Cache-Control", "no-store")
		hctx.SetHeader("X-Accel-Buffering", "no") // nginx would keep events back
		s := &stream{api: a, job: in.ID, after: after, out: hctx}
		if err := s.run(hctx.Context()); err != nil {
			a.log.DebugContext(hctx.Context(), "a stream of events ended", "job", in.ID, "err", err)
		}
	}}, nil
}

// stream sends a job's events to one client. It keeps nothing but the id of the last event that was sent: who is cut off resumes
// with it, here or at another server.
type stream struct {
	api   *API
	job   string
	after string
	asked string // the event of which trimmed has told what it knows
	out   huma.Context
}

func (s *stream) run(ctx context.Context) error {
	w, ok := s.out.BodyWriter().(http.ResponseWriter)
	if !ok {
		return fmt.Errorf("the connection cannot stream")
	}
	c := http.NewResponseController(w)
	// The server's own limit is for answers that end; a client that stops to read must not hold its connection for ever, either.
	patient := func() { _ = c.SetWriteDeadline(time.Now().Add(s.api.unread)) }
	patient()
	if err := s.trimmed(ctx, w); err != nil {
		return err
	}
	silent, heard := time.Now(), time.Now() // when something was written last, and when something had happened
	if _, err := fmt.Fprint(w, "retry: 1000\n\n"); err != nil {
		return err
	}
	_ = c.Flush()
	for {
		patient()
		if !s.api.valid(ctx, principalOf(ctx)) {
			return fmt.Errorf("the token is no longer one")
		}
		n, ended, err := s.send(ctx, w)
		if n > 0 {
			heard = time.Now()
		}
		switch {
		case err != nil:
			return err
		case n == 0 && time.Since(silent) > s.api.heartbeat:
			if _, err := fmt.Fprint(w, ": nothing new\n\n"); err != nil {
				return err
			}
			n = 1
		}
		if n > 0 {
			silent = time.Now()
			if err := c.Flush(); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		if n == eventPage {
			continue
		}
		wait := eventPoll
		if time.Since(heard) > eventIdle {
			wait = eventIdlePoll
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.api.stopping:
			return nil // the client resumes elsewhere
		case <-time.After(wait):
		}
	}
}

// trimmed tells a client that resumes at an event which is no longer kept, or that is too slow, that it has missed some.
func (s *stream) trimmed(ctx context.Context, w http.ResponseWriter) error {
	if s.after == "" || s.after == s.asked {
		return nil
	}
	s.asked = s.after
	missed, err := s.api.store.EventsTrimmed(ctx, s.job, s.after)
	if err != nil || !missed {
		return err
	}
	_, err = fmt.Fprint(w, "event: trimmed\ndata: {\"message\":\"older events are no longer kept\"}\n\n")
	return err
}

// send writes what is new. The job has ended when, asked for before its events were read, its state says so, and no more came.
func (s *stream) send(ctx context.Context, w http.ResponseWriter) (n int, ended bool, err error) {
	state, list, err := s.api.store.News(ctx, s.job, s.after, eventPage)
	if err != nil {
		return 0, false, err
	}
	if len(list) == eventPage { // so many at once that some may be gone already
		if err := s.trimmed(ctx, w); err != nil {
			return 0, false, err
		}
	}
	for _, e := range list {
		body, err := json.Marshal(e)
		if err != nil {
			return n, false, err
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Type, body)
		if _, err := w.Write(b.Bytes()); err != nil {
			return n, false, err
		}
		s.after = e.ID
		n++
	}
	return n, state.Ended() && n < eventPage, nil
}
