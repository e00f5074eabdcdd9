package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

var plainID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// envelope is what every request has around it: an id, safe headers, no requests of foreign pages, problems for paths that there
// are not, and an answer even when a handler panics.
func (a *API) envelope(mux *http.ServeMux) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.AddInsecureBypassPattern("POST " + ackPath) // whoever knows the signature may come from anywhere: no cookie lets them in
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !plainID.MatchString(id) {
			id = store.RandomID()
		}
		w := &status{ResponseWriter: rw}
		h := w.Header()
		h.Set("X-Request-ID", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		start := time.Now()
		_, pattern := mux.Handler(r)
		route := routeOf(pattern)
		ctx, span := a.traceRequest(r, route)
		r = r.WithContext(context.WithValue(ctx, requestIDKey{}, id))
		defer func() {
			if x := recover(); x != nil {
				if x == http.ErrAbortHandler {
					span.End()
					panic(x)
				}
				if errors.Is(r.Context().Err(), context.Canceled) { // the answer could not be written, at which huma panics
					a.log.DebugContext(r.Context(), "the client went away before it was answered", "request_id", id, "path", loggedPath(r), "panic", fmt.Sprint(x))
					a.served(r, span, route, w.code, time.Since(start))
					return
				}
				a.log.ErrorContext(r.Context(), "a request panicked", "request_id", id, "path", loggedPath(r), "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
				if w.code == 0 {
					a.write(w, r, newProblem(http.StatusInternalServerError, "the server has a fault; its log has more"))
				}
			}
			a.served(r, span, route, w.code, time.Since(start))
		}()
		switch err := guard.Check(r); {
		case err != nil:
			if from := host(r.RemoteAddr); a.strangers.allow(from, strangersPerSecond) {
				a.note(r.Context(), wire.AuditEntry{By: "unknown", From: from, Action: "cross-site", Target: r.URL.Path, Status: http.StatusForbidden})
			}
			a.write(w, r, refused(http.StatusForbidden, "send it from a program, or from a page of this server", "a page of another site sent this request"))
		case pattern == "":
			a.notThere(w, r, mux)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// notThere answers a path, or a method of a path, that there is not.
func (a *API) notThere(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		if allowed[0] == http.MethodGet {
			allowed = slices.Insert(allowed, 1, http.MethodHead)
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		a.write(w, r, refused(http.StatusMethodNotAllowed, "use "+strings.Join(allowed, " or "), "%s cannot be done with %s", r.Method, r.URL.Path))
		return
	}
	a.write(w, r, refused(http.StatusNotFound, "/openapi.json has all paths", "there is no %s", r.URL.Path))
}

// write answers with a problem outside of huma.
func (a *API) write(w http.ResponseWriter, r *http.Request, p *wire.Problem) {
	p.RequestID = requestID(r.Context())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		a.log.DebugContext(r.Context(), "could not answer", "err", err)
	}
}

// writeProblem answers with a problem within huma.
func writeProblem(ctx huma.Context, p *wire.Problem) error {
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	return json.NewEncoder(ctx.BodyWriter()).Encode(p)
}

// accepts reports whether an Accept header names a type.
func accepts(header, want string) bool {
	for part := range strings.SplitSeq(header, ",") {
		t, _, _ := strings.Cut(part, ";")
		if strings.TrimSpace(t) == want {
			return true
		}
	}
	return false
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
