package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// huma makes its own errors through this variable: one form for all. The value of a wrong field is left out, for it may be a
// secret.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		if status == http.StatusInternalServerError && msg == unreadable {
			status = http.StatusBadRequest // it is the client that went away
		}
		p := newProblem(status, "%s", msg)
		for _, err := range errs {
			var d huma.ErrorDetailer
			switch {
			case err == nil:
			case errors.As(err, &d):
				e := d.ErrorDetail()
				p.Errors = append(p.Errors, wire.ProblemPlace{Message: e.Message, Location: e.Location})
			default:
				p.Errors = append(p.Errors, wire.ProblemPlace{Message: err.Error()})
			}
		}
		if status < 500 && len(p.Errors) == 0 { // what huma says without a place is about the body as a whole
			p.Errors = []wire.ProblemPlace{{Message: msg, Location: "body"}}
		}
		if status < 500 {
			p.Hint = "/openapi.json describes what is expected"
		}
		return p
	}
}

// unreadable is what huma says of a body that ends too soon.
const unreadable = "cannot read request body"

func newProblem(status int, format string, args ...any) *wire.Problem {
	return &wire.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: codeOf(status), Detail: fmt.Sprintf(format, args...)}
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return wire.CodeUnauthorized
	case http.StatusForbidden:
		return wire.CodeForbidden
	case http.StatusNotFound:
		return wire.CodeNotFound
	case http.StatusConflict:
		return wire.CodeConflict
	case http.StatusPreconditionFailed:
		return wire.CodeChanged
	case http.StatusTooManyRequests:
		return wire.CodeLimited
	case http.StatusServiceUnavailable:
		return wire.CodeUnreachable
	}
	if status < 500 {
		return wire.CodeBadRequest
	}
	return wire.CodeInternal
}

// invalid is the problem of a place of the request that cannot be right.
func invalid(location, hint, format string, args ...any) *wire.Problem {
	p := newProblem(http.StatusUnprocessableEntity, format, args...)
	p.Hint = hint
	if location != "" {
		p.Detail = location + ": " + p.Detail
	}
	return p
}

// refused is a problem with a hint.
func refused(status int, hint, format string, args ...any) *wire.Problem {
	p := newProblem(status, format, args...)
	p.Hint = hint
	return p
}

// problem turns an error of the layers below into what the caller is told. What is nobody's mistake is told without its chain,
// which stands in the log.
func problem(err error) huma.StatusError {
	var p *wire.Problem
	var dial *net.OpError
	var other *away
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, store.ErrNotFound):
		p = newProblem(http.StatusNotFound, "%s", err)
	case errors.Is(err, store.ErrChanged):
		p = newProblem(http.StatusPreconditionFailed, "%s", err)
		p.Hint = "read it again, and decide again"
	case errors.Is(err, store.ErrConflict):
		p = newProblem(http.StatusConflict, "%s", err)
	case tasks.IsPermanent(err):
		p = newProblem(http.StatusUnprocessableEntity, "%s", err)
	case errors.As(err, &other):
		p = newProblem(http.StatusServiceUnavailable, "%s", err)
	case errors.As(err, &dial), errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded), errors.Is(err, redis.ErrPoolTimeout), isStarting(err):
		return &fault{unreachable(), err}
	default:
		return &fault{newProblem(http.StatusInternalServerError, "the server has a fault; its log has more"), err}
	}
	if hint := tasks.HintOf(err); hint != "" {
		p.Hint = hint
	}
	return p
}

// fault is a problem that is no mistake of the caller, with the error behind it, which is for the log alone: it may say where
// things are.
type fault struct {
	*wire.Problem
	cause error
}

// complete is what happens to each answer before it is written: a problem gets the id of its request, a fault is noted.
func (a *API) complete(ctx huma.Context, _ string, v any) (any, error) {
	if f, ok := v.(*fault); ok {
		level := slog.LevelError
		if errors.Is(ctx.Context().Err(), context.Canceled) {
			level = slog.LevelDebug // nobody waits for the answer any more, and that is why
		}
		a.log.Log(ctx.Context(), level, "a request failed", "request_id", requestID(ctx.Context()), "action", ctx.Operation().OperationID, "status", f.Status, "err", f.cause)
		v = f.Problem
	}
	if p, ok := v.(*wire.Problem); ok {
		p.RequestID = requestID(ctx.Context())
	}
	return v, nil
}

// unreachable is the problem of a Redis that does not answer.
func unreachable() *wire.Problem {
	return refused(http.StatusServiceUnavailable, "try again; /readyz says when it does", "redis does not answer just now")
}

// isStarting: Redis answers, and cannot serve yet, or not any more.
func isStarting(err error) bool {
	for _, word := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"} {
		if strings.Contains(err.Error(), word) {
			return true
		}
	}
	return false
}

// list writes words for people: a, b and c.
func list(words []string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
