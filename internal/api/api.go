// Package api is the HTTP API of stint, the one way in which anybody asks for anything: other services, the dashboard, and the
// command line, which calls it within its own process when no server is named.
//
// A server keeps no state that matters: any number of them answer for all jobs and for the whole fleet. The OpenAPI 3.1
// description is made from this code (huma) and served at /openapi.json; errors are RFC 9457 problems with a hint.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// Options are what a server is made of. Zero values become the defaults that are given.
type Options struct {
	Store    *store.Store
	Producer *queue.Producer
	Families []tasks.Family // what jobs can be of
	Version  string
	// LostAfter is how old a heartbeat may be before a worker counts as lost. Default 3 s.
	LostAfter time.Duration
	// MaxBody is the longest request body, in bytes. Default 8 MiB: a plan of 4 MiB, the longest one, has room in it.
	MaxBody int64
	// ReadTimeout is how long a client may take to send its request. Default 15 s.
	ReadTimeout time.Duration
	// RequestsPerSecond is how many requests a token may send a second; 0 is without limit.
	RequestsPerSecond int
	// Allow says why a job may not use the connections that its spec names. stranger is a caller who sees single tenants alone. nil
	// allows everything.
	Allow func(job tasks.Job, stranger bool) error
	// Alerts is what there is of alerts; nil is none.
	Alerts  *Alerts
	Metrics http.Handler // answers /metrics; nil means that there is none
	Log     *slog.Logger // nil means slog.Default()
	// Telemetry takes spans and counts of requests; nil means none.
	Telemetry *telemetry.Telemetry
}

// API is the service behind the routes. New, then Handler.
type API struct {
	o        Options
	store    *store.Store
	families map[string]tasks.Family
	log      *slog.Logger
	mux      *http.ServeMux
	huma     huma.API
	handler  http.Handler
	census   *store.Census
	stopping chan struct{} // closed by Close: streams end

	closed    sync.Once
	patience  time.Duration // how long a request may wait for Redis
	heartbeat time.Duration // how often a stream says that it is still there
	unread    time.Duration // how long the client of a stream may read nothing
	tokens    tokenCache
	callers   pace // by token
	strangers pace // by address
	links     pace // by address
	trail     trail
	queued    *queue.Sender
}

// New makes the service and its routes. The store and the producer stay the caller's.
func New(o Options) *API {
	if o.LostAfter <= 0 {
		o.LostAfter = 3 * time.Second
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 8 << 20
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Telemetry == nil {
		o.Telemetry = new(telemetry.Telemetry)
	}
	a := &API{o: o, store: o.Store, census: o.Store.Census(), families: map[string]tasks.Family{}, log: o.Log, mux: http.NewServeMux(), stopping: make(chan struct{}),
		patience: answerWithin, heartbeat: eventHeartbeat, unread: eventUnread, tokens: tokenCache{store: o.Store}, trail: trail{store: o.Store}}
	a.queued = queue.NewSender(o.Producer, func(queue string, tasks int, err error) {
		a.log.Warn("steps are ready but not on the queue; the sweep will queue them", "queue", queue, "steps", tasks, "err", err)
	}, nil)
	for _, f := range o.Families {
		a.families[f.Kind()] = f
	}
	c := huma.DefaultConfig("stint", o.Version)
	c.Info.Description = "Long operations in small steps, so that you can deploy at any moment."
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil
	c.Transformers = append(c.Transformers, a.complete)
	c.RejectUnknownQueryParameters = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "Made by: stint tokens create"}}
	a.huma = humago.New(a.mux, c)
	a.huma.UseMiddleware(a.access)
	a.jobRoutes()
	a.analysisRoutes()
	a.eventRoutes()
	a.workerRoutes()
	a.queueRoutes()
	a.fenceRoutes()
	a.scheduleRoutes()
	a.webhookRoutes()
	a.alertRoutes()
	a.limitRoutes()
	a.accessRoutes()
	a.healthRoutes()
	// huma takes a pointer to a struct for one that is always there.
	jobs := a.huma.OpenAPI().Components.Schemas.Map()["Job"]
	failure := *jobs.Properties["error"]
	jobs.Properties["error"] = &huma.Schema{Description: failure.Description, AnyOf: []*huma.Schema{{Ref: failure.Ref}, {Type: "null"}}}
	a.openAnswers()
	a.handler = a.envelope(a.mux)
	return a
}

// answerWithin bounds the time that a request waits for Redis.
const answerWithin = 10 * time.Second

// Handler answers requests.
func (a *API) Handler() http.Handler { return a.handler }

// Close ends the streams of events, so that a server can be shut down; their clients resume elsewhere. It may be called again.
func (a *API) Close() { a.closed.Do(func() { close(a.stopping) }) }

// Stopping is closed when streams have to end (Close).
func (a *API) Stopping() <-chan struct{} { return a.stopping }

// Flush waits until what requests have handed out is on the queue. Call it when no request comes any more.
func (a *API) Flush() { a.queued.Flush() }

// OpenAPI returns the description of the routes, as JSON.
func (a *API) OpenAPI() ([]byte, error) { return json.MarshalIndent(a.huma.OpenAPI(), "", "  ") }

// role says what a caller must be allowed, and scope whether a token of single tenants may do it.
type role string

// The roles, each of which may do what those before it may.
const (
	viewer    role = "viewer"    // look
	submitter role = "submitter" // submit and steer jobs
	operator  role = "operator"  // steer workers, queues and schedules
	admin     role = "admin"     // tokens, limits, audit
)

var roles = []role{viewer, submitter, operator, admin}

func (r role) allows(needed role) bool { return slices.Index(roles, r) >= slices.Index(roles, needed) }

// needs are what a route asks of its caller; kept in the operation's metadata.
type needs struct {
	role  role
	fleet bool // it is about more than single tenants: a token that is scoped to tenants may not
	open  bool // anybody may: health
	long  bool // it takes as long as a job, or as somebody else's server, does
}

const needsKey = "needs"

// route describes an operation; every one goes through here, so that none is without its needs.
func (a *API) route(n needs, method, path, id, summary, description string) huma.Operation {
	op := huma.Operation{Method: method, Path: path, OperationID: id, Summary: summary, Description: description, MaxBodyBytes: a.o.MaxBody, BodyReadTimeout: a.o.ReadTimeout,
		Metadata: map[string]any{needsKey: n}, Errors: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity,
			http.StatusTooManyRequests, http.StatusServiceUnavailable}}
	if n.open {
		op.Errors = nil
	} else {
		op.Security = []map[string][]string{{"token": {}}}
		op.Description += "\n\nNeeds the role " + string(n.role) + "."
		if n.fleet {
			op.Description += " A token of single tenants may not."
		}
	}
	return op
}

// hand puts on the queue what a transition handed out, in the background. What fails there is not lost: the sweep queues it.
func (a *API) hand(list ...store.Handout) {
	for _, h := range list {
		a.queued.Add(h.Queue, store.TaskIDs(h.Enqueue)...)
	}
}

// family returns the family of a kind.
func (a *API) family(kind string) (tasks.Family, error) {
	if f := a.families[kind]; f != nil {
		return f, nil
	}
	var known []string
	for k := range a.families {
		known = append(known, k)
	}
	slices.Sort(known)
	return nil, invalid("body.kind", "there are jobs of kind "+list(known), "is none that there is")
}

// away is an error of a database that a request needs and that does not answer.
type away struct{ err error }

func (a *away) Error() string { return a.err.Error() }
func (a *away) Unwrap() error { return a.err }

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, problem(err)
	}
	return &body[T]{v}, nil
}

// PathID is the id of a job or worker in a path. It is exported because inputs embed it: huma fills in no embedded struct that is
// not.
type PathID struct {
	ID string `path:"id" maxLength:"200" doc:"Its id"`
}

// about answers who asks and who answers.
func (a *API) about(ctx context.Context, _ *struct{}) (*body[wire.About], error) {
	p := principalOf(ctx)
	return answer(wire.About{Version: a.o.Version, Protocol: tasks.Protocol, Name: p.Name, Role: string(p.role), Tenants: p.Tenants}, nil)
}
