package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (a *API) outputRoutes() {
	look := needs{role: viewer, long: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/jobs/{id}/outputs", "list-outputs", "List the files that a job has left behind", "Those that are whole: an analysis that is still being written is not among them."), a.listOutputs)
	op := a.route(look, http.MethodGet, "/v1/jobs/{id}/outputs/{name}", "get-output", "Read a file that a job has left behind", "The ETag and Repr-Digest are of the whole file, so that who keeps it knows that it is whole.")
	op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}
	huma.Register(a.huma, op, a.getOutput)
}

// outputter finds the family of a job that the caller may see.
func (a *API) outputter(ctx context.Context, id string) (tasks.Outputter, tasks.Job, error) {
	v, err := a.view(ctx, id)
	if err != nil {
		return nil, tasks.Job{}, err
	}
	job := tasks.Job{ID: v.ID, Kind: v.Kind, Tenant: v.Tenant, Spec: v.Spec}
	o, ok := a.families[v.Kind].(tasks.Outputter)
	if !ok {
		return nil, job, refused(http.StatusUnprocessableEntity, "it keeps those of some kinds of jobs, such as dedupe; files that a migration writes are where its plan puts them, and its report lists them", "stint keeps no files of a %s", v.Kind)
	}
	return o, job, a.allowed(ctx, "", job)
}

func (a *API) listOutputs(ctx context.Context, in *PathID) (*body[wire.Outputs], error) {
	list, err := a.outputs(ctx, in.ID)
	return answer(wire.Outputs{Outputs: list}, err)
}

// outputs lists the files of a job; never nil without an error.
func (a *API) outputs(ctx context.Context, id string) ([]tasks.Output, error) {
	o, job, err := a.outputter(ctx, id)
	if err != nil {
		return nil, err
	}
	list, err := o.Outputs(ctx, job)
	return append([]tasks.Output{}, list...), remote(err)
}

type outputInput struct {
	PathID
	Name  string `path:"name" maxLength:"200" doc:"The name of the file"`
	Known string `header:"If-None-Match" doc:"The ETag of the file as you have it: when it is the same, the answer is 304 without it"`
}

func (a *API) getOutput(ctx context.Context, in *outputInput) (*huma.StreamResponse, error) {
	o, job, err := a.outputter(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	file, about, err := o.OpenOutput(ctx, job, in.Name)
	if errors.Is(err, tasks.ErrNoOutput) {
		return nil, refused(http.StatusNotFound, "GET /v1/jobs/"+in.ID+"/outputs lists those that there are; a job that runs has some of them at its end", "job %s has no output %q", in.ID, in.Name)
	}
	if err != nil {
		return nil, problem(remote(err))
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer func() { _ = file.Close() }()
		outputHeaders(hctx.SetHeader, about)
		if about.Digest != "" && knows(in.Known, about.Digest) {
			hctx.SetStatus(http.StatusNotModified)
			return
		}
		if about.Size >= 0 {
			hctx.SetHeader("Content-Length", strconv.FormatInt(about.Size, 10))
		}
		if hctx.Method() == http.MethodHead {
			return
		}
		_, w := humago.Unwrap(hctx)
		if err := a.stream(w, file); err != nil {
			a.log.WarnContext(ctx, "an output was cut off", "request_id", requestID(ctx), "job", in.ID, "output", in.Name, "err", err)
			panic(http.ErrAbortHandler) // or a half would look like the whole
		}
	}}, nil
}

// outputHeaders say what the file is. Whatever it holds, a browser saves it and does not show it.
func outputHeaders(set func(name, value string), o tasks.Output) {
	kind := o.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	set("Content-Type", kind)
	set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": o.Name}))
	if o.Digest == "" {
		return
	}
	set("ETag", `"`+o.Digest+`"`)
	if sum, err := hex.DecodeString(strings.TrimPrefix(o.Digest, "sha256:")); err == nil {
		set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
	}
}

// knows reports whether one of the ETags of an If-None-Match is of this digest.
func knows(header, digest string) bool {
	return slices.ContainsFunc(strings.Split(header, ","), func(tag string) bool {
		return strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`) == digest
	})
}

// stream copies a file of any length: the server's own limit is for answers that are short, and who reads nothing must not hold the
// file open for ever, either.
func (a *API) stream(w http.ResponseWriter, from io.Reader) error {
	c := http.NewResponseController(w)
	block := make([]byte, 256<<10)
	for {
		n, err := from.Read(block)
		if n > 0 {
			_ = c.SetWriteDeadline(time.Now().Add(a.unread))
			if _, err := w.Write(block[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
