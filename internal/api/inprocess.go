package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// InProcess carries requests to an API of this very process, in the name of somebody who may do everything. The command line is
// a client of the API; without --server it is one of its own.
func InProcess(a *API, name string) http.RoundTripper { return &inProcess{api: a, name: name} }

type inProcess struct {
	api  *API
	name string // "" is whoever stands in the request's context
}

// RoundTrip answers as soon as the handler has begun to. The handler ends with the request's context, or when the body is closed.
func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	// A caller whose time runs out has gone away, as one over a network has: the handler's own limits stay its own.
	within, from := context.WithoutCancel(r.Context()), "command line"
	if t.name != "" {
		within = AsLocal(within, t.name)
	} else {
		from, _ = r.Context().Value(fromKey{}).(string)
	}
	ctx, cancel := context.WithCancel(within)
	gone := context.AfterFunc(r.Context(), cancel)
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = from
	if in.Body == nil {
		in.Body = http.NoBody
	}
	read, write := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: write, begun: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		defer gone()
		defer func() {
			w.begin(http.StatusOK)
			if x := recover(); x != nil {
				_ = write.CloseWithError(fmt.Errorf("the handler panicked: %v", x))
				return
			}
			_ = write.Close()
		}()
		t.api.handler.ServeHTTP(w, in)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		cancel()
		_ = read.Close()
		return nil, context.Cause(r.Context())
	}
	return &http.Response{StatusCode: w.code, Status: http.StatusText(w.code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header.Clone(), Request: r,
		Body: &pipeBody{read, cancel, ended}, ContentLength: -1}, nil
}

// pipeBody ends the handler when its reader does not want any more.
type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  <-chan struct{}
}

// Close ends the handler and waits for its end: what it does after the answer, the line of the audit trail, must not come after
// the end of a command line that has what it wanted.
func (b *pipeBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	<-b.ended
	return err
}

// pipeWriter is the ResponseWriter of a request within the process.
type pipeWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	once   sync.Once
	code   int
	begun  chan struct{}
}

func (w *pipeWriter) begin(code int) {
	w.once.Do(func() {
		w.code = code
		close(w.begun)
	})
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(code int) { w.begin(code) }

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.pipe.Write(b)
}

// Flush does nothing: a pipe keeps nothing back.
func (w *pipeWriter) Flush() { w.begin(http.StatusOK) }
