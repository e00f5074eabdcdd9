package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// logGrace is how long a log is waited for whose job has ended: its last lines may still be on their way.
const logGrace = 5 * time.Second

func (a *API) logRoutes() {
	look := needs{role: viewer, long: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/jobs/{id}/logs", "list-logs", "List the logs of a job", "One for each step that prints; none before the job has been planned."), a.listLogs)
	op := a.route(look, http.MethodGet, "/v1/jobs/{id}/logs/{name}", "get-log", "Read what a step has printed", "A line of JSON for each line. With follow=true it goes on until the step has ended; who is cut off asks again with from, one more than the last seq. An empty line says that there is nothing new.")
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, typeOf[tasks.LogLine]())}}}}
	huma.Register(a.huma, op, a.getLog)
}

// logger finds the family of a job that the caller may see.
func (a *API) logger(ctx context.Context, id string) (tasks.Logger, tasks.Job, error) {
	v, err := a.view(ctx, id)
	if err != nil {
		return nil, tasks.Job{}, err
	}
	job := tasks.Job{ID: v.ID, Kind: v.Kind, Tenant: v.Tenant, Spec: v.Spec}
	l, ok := a.families[v.Kind].(tasks.Logger)
	if !ok {
		return nil, job, refused(http.StatusUnprocessableEntity, "only some kinds of jobs do, such as build", "a %s prints no logs", v.Kind)
	}
	return l, job, a.allowed(ctx, "", job)
}

func (a *API) listLogs(ctx context.Context, in *PathID) (*body[wire.Logs], error) {
	l, job, err := a.logger(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	list, err := l.Logs(ctx, job)
	return answer(wire.Logs{Logs: append([]string{}, list...)}, remote(err))
}

type logInput struct {
	PathID
	Name   string `path:"name" maxLength:"200" doc:"The name of the log, which is that of its step"`
	From   int64  `query:"from" minimum:"0" doc:"The first line that is wanted, by its seq"`
	Follow bool   `query:"follow" doc:"Go on until the step has ended"`
	Last   int    `query:"last" minimum:"0" maximum:"10000" doc:"Only so many lines, the last ones; 0 is all. Not with follow"`
}

func (a *API) getLog(ctx context.Context, in *logInput) (*huma.StreamResponse, error) {
	if in.Last > 0 && in.Follow {
		return nil, invalid("query.last", "read the last lines, then follow from the seq after them", "does not go with follow")
	}
	l, job, err := a.logger(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	if names, err := l.Logs(ctx, job); err != nil {
		return nil, problem(remote(err))
	} else if !slices.Contains(names, in.Name) && (len(names) > 0 || !in.Follow) {
		return nil, refused(http.StatusNotFound, "GET /v1/jobs/"+in.ID+"/logs lists those that there are", "job %s has no log %q", in.ID, in.Name)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		hctx.SetHeader("Content-Type", "application/x-ndjson")
		hctx.SetHeader("Cache-Control", "no-store")
		hctx.SetHeader("X-Accel-Buffering", "no") // nginx would keep lines back
		_, w := humago.Unwrap(hctx)
		if err := a.sendLog(hctx.Context(), w, l, job, in); err != nil {
			a.log.DebugContext(hctx.Context(), "a log was cut off", "job", in.ID, "log", in.Name, "err", err)
			panic(http.ErrAbortHandler) // or a part would look like the whole
		}
	}}, nil
}

// sendLog writes lines as they come. With follow it ends when the log has, or a while after its job: a step that never began prints
// nothing.
func (a *API) sendLog(ctx context.Context, w http.ResponseWriter, l tasks.Logger, job tasks.Job, in *logInput) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	lines := make(chan tasks.LogLine, 64)
	var failure error
	go func() {
		defer close(lines)
		for line, err := range lastOf(l.Log(ctx, job, in.Name, in.From, in.Follow), in.Last) {
			if err != nil {
				failure = err
				return
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	if in.Follow {
		go a.endWith(ctx, job.ID, stop)
	}
	c, out := http.NewResponseController(w), bufio.NewWriterSize(w, 32<<10)
	encode := json.NewEncoder(out)
	beat := time.NewTicker(a.heartbeat)
	defer beat.Stop()
	for {
		_ = c.SetWriteDeadline(time.Now().Add(a.unread))
		select {
		case line, more := <-lines:
			if !more {
				if failure != nil && errors.Is(context.Cause(ctx), errJobEnded) {
					failure = nil
				}
				return errors.Join(out.Flush(), failure)
			}
			if err := encode.Encode(line); err != nil {
				return err
			}
			if len(lines) > 0 {
				continue
			}
		case <-beat.C:
			if !a.valid(ctx, principalOf(ctx)) {
				return errors.New("the token is no longer one")
			}
			if _, err := out.WriteString("\n"); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := c.Flush(); err != nil {
			return err
		}
	}
}

// lastOf are the last lines of a log, in their order; 0 are all.
func lastOf(lines iter.Seq2[tasks.LogLine, error], n int) iter.Seq2[tasks.LogLine, error] {
	if n == 0 {
		return lines
	}
	return func(yield func(tasks.LogLine, error) bool) {
		kept, at := make([]tasks.LogLine, 0, n), 0
		for l, err := range lines {
			switch {
			case err != nil:
				yield(l, err)
				return
			case len(kept) < n:
				kept = append(kept, l)
			default:
				kept[at] = l
				at = (at + 1) % n
			}
		}
		for i := range kept {
			if !yield(kept[(at+i)%len(kept)], nil) {
				return
			}
		}
	}
}

var errJobEnded = errors.New("the job has ended")

// endWith ends the waiting for lines a while after the job has ended.
func (a *API) endWith(ctx context.Context, job string, stop context.CancelCauseFunc) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		v, err := a.view(ctx, job)
		if err != nil || !v.State.Ended() {
			continue
		}
		grace := time.NewTimer(logGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			stop(errJobEnded)
		case <-ctx.Done():
		}
		return
	}
}
