// Package admin is the port on which a process answers about itself, and about nothing else: whether it is alive, whether it
// takes work, what it holds, whether it is safe to stop; and by which it is drained from where it runs.
//
//	GET    /livez     200 while its loops turn, whether or not Redis answers; else 503
//	GET    /readyz    200 while it takes work; else 503 with the reasons
//	GET    /status    what it is and holds
//	GET    /drained   200 when it is safe to stop; else 503 with Retry-After and the count in flight
//	POST   /drain     202: it drains; 200 when it is drained already. As a SIGTERM does, but the process lives on
//	DELETE /drain     200: it is at work again; 409 with the reason when it was also asked for elsewhere, or a fence parks it
//	GET    /metrics   what the process measures
//
// There is no token on it: a probe and a hook before a stop have none. So what changes something is taken from loopback only,
// and never from a browser or through a proxy. Errors are problem+json (RFC 9457) with a hint.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Part is something that runs in the process and says how it is.
type Part interface {
	// Alive returns why the process had better be started anew; nil when all is well.
	Alive() error
	// Ready lists why it does no work just now; nil when it does.
	Ready() []string
}

// Worker is a part that can be drained.
type Worker interface {
	Part
	Status() wire.WorkerStatus
	// Drain returns when nothing more can be claimed; it may take as long as Redis takes to answer.
	Drain()
	// Undrain takes Drain back, and nothing else.
	Undrain()
}

// Options say what a port tells about.
type Options struct {
	Worker    Worker // nil in a process without one: then nothing can be drained
	Scheduler Part   // nil in a process without one
	Metrics   http.Handler
	Version   string // of the process, where there is no worker to say it
	Log       *slog.Logger
}

// Limits of the server. What comes in has no body that is read, and what goes out is small.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second // metrics of a busy process
	idleTimeout  = 60 * time.Second
	maxHeader    = 8 << 10
)

// Server answers on a listener. New, Start, Stop.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
	served   chan struct{}
}

// New makes a server on a listener, which is the server's from here on.
func New(l net.Listener, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Server{listener: l, log: o.Log, served: make(chan struct{}), http: &http.Server{Handler: Handler(o), ReadTimeout: readTimeout,
		ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}}
}

// Start answers until Stop.
func (s *Server) Start() {
	go func() {
		defer close(s.served)
		if err := s.http.Serve(s.listener); err != nil && err != http.ErrServerClosed {
			s.log.Error("the admin port does not answer any more", "err", err)
		}
	}()
}

// Stop ends a server that was started, after the requests that are under way; it cuts those that have not ended with ctx, and
// says so.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close() // the listener is closed already; this cuts the connections
		err = fmt.Errorf("stop the admin port: %w", err)
	}
	<-s.served
	return err
}

// Handler answers about one process.
func Handler(o Options) http.Handler {
	h := &handler{o: o, started: time.Now().UTC()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", h.livez)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /status", h.status)
	mux.HandleFunc("GET /drained", h.drained)
	mux.HandleFunc("POST /drain", h.drain)
	mux.HandleFunc("DELETE /drain", h.undrain)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	mux.HandleFunc("/", h.nothing)
	return mux
}

type handler struct {
	o       Options
	started time.Time
}

// parts are those that there are.
func (h *handler) parts() []Part {
	var list []Part
	if h.o.Worker != nil {
		list = append(list, h.o.Worker)
	}
	if h.o.Scheduler != nil {
		list = append(list, h.o.Scheduler)
	}
	return list
}

func (h *handler) livez(w http.ResponseWriter, _ *http.Request) {
	for _, p := range h.parts() {
		if err := p.Alive(); err != nil {
			h.problem(w, problem{Status: http.StatusServiceUnavailable, Title: "not alive", Detail: err.Error(), Hint: "start the process anew; what it held goes to others"})
			return
		}
	}
	answer(w, http.StatusOK, map[string]any{"alive": true})
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	var reasons []string
	for _, p := range h.parts() {
		reasons = append(reasons, p.Ready()...)
	}
	if len(reasons) > 0 {
		h.problem(w, problem{Status: http.StatusServiceUnavailable, Title: "not ready", Detail: strings.Join(reasons, "; "), Reasons: reasons})
		return
	}
	answer(w, http.StatusOK, map[string]any{"ready": true})
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) {
	if h.o.Worker == nil { // a scheduler holds nothing that others would wait for
		answer(w, http.StatusOK, wire.WorkerStatus{Version: h.o.Version, Protocol: tasks.Protocol, State: wire.WorkerActive, InFlight: []wire.HeldStep{},
			SafeToStop: true, StartedAt: h.started})
		return
	}
	answer(w, http.StatusOK, h.o.Worker.Status())
}

func (h *handler) drained(w http.ResponseWriter, r *http.Request) {
	if h.o.Worker == nil {
		h.noWorker(w)
		return
	}
	s := h.o.Worker.Status()
	if s.SafeToStop {
		answer(w, http.StatusOK, map[string]any{"safe_to_stop": true, "in_flight": 0})
		return
	}
	n := len(s.InFlight)
	w.Header().Set("Retry-After", "1")
	h.problem(w, problem{Status: http.StatusServiceUnavailable, Title: "not drained", Detail: fmt.Sprintf("the worker is %s and holds %d steps", s.State, n), InFlight: &n})
}

func (h *handler) drain(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.o.Worker == nil:
		h.noWorker(w)
		return
	case !h.mayChange(w, r):
		return
	}
	h.o.Worker.Drain()
	s := h.o.Worker.Status()
	code := http.StatusAccepted
	if s.SafeToStop {
		code = http.StatusOK
	}
	answer(w, code, s)
}

func (h *handler) undrain(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.o.Worker == nil:
		h.noWorker(w)
		return
	case !h.mayChange(w, r):
		return
	}
	h.o.Worker.Undrain()
	s := h.o.Worker.Status()
	if s.Drain.Wanted || s.State != wire.WorkerActive {
		h.problem(w, problem{Status: http.StatusConflict, Title: "still drained", Detail: "the worker stays " + s.State + ": " + whyDrained(s), Hint: "take it back where it was asked for"})
		return
	}
	answer(w, http.StatusOK, s)
}

// whyDrained says in words who wants a worker drained.
func whyDrained(s wire.WorkerStatus) string {
	words := map[string]string{wire.DrainByProcess: "the process is being stopped", wire.DrainByRequest: "somebody asked for the drain through the store (stint workers undrain takes it back)",
		wire.DrainByFence: "a fence parks it (" + s.Fenced + ")"}
	var list []string
	for _, by := range s.Drain.By {
		list = append(list, words[by])
	}
	return strings.Join(list, "; ")
}

func (h *handler) nothing(w http.ResponseWriter, r *http.Request) {
	h.problem(w, problem{Status: http.StatusNotFound, Title: "not found", Detail: r.Method + " " + r.URL.Path + " is nothing here",
		Hint: "GET /livez, /readyz, /status, /drained or /metrics; POST or DELETE /drain"})
}

func (h *handler) noWorker(w http.ResponseWriter) {
	h.problem(w, problem{Status: http.StatusNotFound, Title: "no worker", Detail: "there is no worker in this process, so there is nothing to drain", Hint: "it may be stopped at any moment; a worker beside it answers at another port, which its log names"})
}

// problem is an error as RFC 9457 writes it, with what a person, or a script, may want beside it.
type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Reasons  []string `json:"reasons,omitempty"`
	InFlight *int     `json:"in_flight,omitempty"`
}

func (h *handler) problem(w http.ResponseWriter, p problem) {
	p.Type = "about:blank"
	write(w, p.Status, "application/problem+json", p)
}

func answer(w http.ResponseWriter, code int, v any) { write(w, code, "application/json", v) }

func write(w http.ResponseWriter, code int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the other side is gone
}
