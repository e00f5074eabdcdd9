package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/stint-run/stint/tasks"
)

// ServerOptions say where an API listens. Zero values become the defaults that are given.
type ServerOptions struct {
	Listen         string // host:port
	TLSCert        string // files; "" is without TLS
	TLSKey         string
	MaxConnections int           // default 1000
	ReadTimeout    time.Duration // of a whole request; default 15 s
	// Pages answers what is no path of the API: the dashboard. nil means that there is none.
	Pages http.Handler
}

// Server answers requests on a port. Start makes one; Stop ends it.
type Server struct {
	api    *API
	server *http.Server
	addr   string
	done   chan error
}

// maxHeader bounds the headers of a request.
const maxHeader = 16 << 10

// Start listens and answers. Beyond loopback it refuses to do so as long as there is no token: everybody could do everything.
func (a *API) Start(ctx context.Context, o ServerOptions) (*Server, error) {
	if o.MaxConnections <= 0 {
		o.MaxConnections = 1000
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 15 * time.Second
	}
	loopback := isLoopback(o.Listen)
	if !loopback {
		tokens, err := a.store.Tokens(ctx)
		if err != nil {
			return nil, err
		}
		if len(tokens) == 0 {
			return nil, tasks.WithHint(nil, "make a token first: stint tokens create --role admin --name NAME; or listen on 127.0.0.1", "without tokens the API does not listen on %s, where others can reach it", o.Listen)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, tasks.WithHint(err, "set api.listen, or --listen, to a free address, or end what uses it", "the API cannot listen on %s", o.Listen)
	}
	return a.serve(ctx, l, loopback, o)
}

// serve answers on a listener. With loopback it asks for no token as long as there is none.
func (a *API) serve(ctx context.Context, l net.Listener, loopback bool, o ServerOptions) (*Server, error) {
	s := &Server{api: a, addr: l.Addr().String(), done: make(chan error, 1)}
	s.server = &http.Server{Handler: a.front(o.Pages), ReadHeaderTimeout: min(5*time.Second, o.ReadTimeout), ReadTimeout: o.ReadTimeout, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context {
			if loopback {
				return context.WithValue(context.WithoutCancel(ctx), openKey{}, true)
			}
			return context.WithoutCancel(ctx)
		}}
	l = netutil.LimitListener(l, o.MaxConnections)
	if o.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			_ = l.Close()
			return nil, tasks.WithHint(err, "look at api.tls_cert and api.tls_key", "the certificate of the API cannot be loaded")
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	}
	go func() {
		s.done <- s.server.Serve(l)
		close(s.done)
	}()
	return s, nil
}

// front sends what is no path of the API to the pages.
func (a *API) front(pages http.Handler) http.Handler {
	if pages == nil {
		return a.handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := a.mux.Handler(r); pattern != "" || strings.HasPrefix(r.URL.Path, "/v1/") {
			a.handler.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// Addr returns where it listens: host and port.
func (s *Server) Addr() string { return s.addr }

// Stop lets the requests under way end, until ctx does, and closes the streams of events: their clients resume elsewhere. It may
// be called again.
func (s *Server) Stop(ctx context.Context) error {
	s.api.Close()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	s.api.Flush()
	if e, first := <-s.done; first && !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve: %w", e))
	}
	return err
}
