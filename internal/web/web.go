// Package web is the dashboard: pages that show what runs, and let people act on it. It is a client of the API within the process, in
// the name of whoever has logged in, so a page shows and does what its reader's token may see and do, and nothing else; the audit trail
// has what they did.
//
// Pages are HTML that the server makes. They are whole without scripts; a script of this folder keeps what they show up to date, from a
// stream of the same HTML. Nothing is loaded from elsewhere.
package web

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/internal/api"
)

//go:embed assets templates
var files embed.FS

// Options are what the dashboard is made of. Zero values become the defaults that are given.
type Options struct {
	API     *api.API
	Version string
	// Refresh is how often an open page looks for something new. Default 2 s.
	Refresh time.Duration
	// Dedupe is what analyses and deletions are asked for where a form says nothing: above all, where the data sets are.
	Dedupe DedupeDefaults
	Log    *slog.Logger // nil means slog.Default()
}

// Site answers with the pages. New, then Handler.
type Site struct {
	o        Options
	api      *api.API
	log      *slog.Logger
	mux      *http.ServeMux
	client   *client.Client
	reads    *reads
	accounts accounts
	assets   map[string]asset
	pages    map[string]*template.Template
}

// New makes the pages of an API of this process.
func New(o Options) (*Site, error) {
	if o.Refresh <= 0 {
		o.Refresh = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Site{o: o, api: o.API, log: o.Log, mux: http.NewServeMux(), assets: map[string]asset{}, pages: map[string]*template.Template{}}
	s.reads = newReads(api.Within(o.API))
	c, err := client.New(client.Options{Server: "http://stint.local", HTTP: &http.Client{Transport: s.reads}})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	s.client = c
	if err := s.readAssets(); err != nil {
		return nil, err
	}
	if err := s.readPages(); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("GET /assets/{name}", s.asset)
	s.sessionRoutes()
	s.overviewRoutes()
	s.jobRoutes()
	s.jobPageRoutes()
	s.fleetRoutes()
	s.scheduleRoutes()
	s.alertRoutes()
	s.dedupeRoutes()
	s.buildRoutes()
	s.accessRoutes()
	return s, nil
}

// policy is what a browser may do with a page: nothing that does not come from this server, and nothing that stands in the page itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm bounds what a form sends.
const maxForm = 1 << 20

// Handler answers requests.
func (s *Site) Handler() http.Handler {
	guard := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		defer func() {
			switch x := recover(); {
			case x == nil:
			case x == http.ErrAbortHandler:
				panic(x)
			default:
				s.log.ErrorContext(r.Context(), "a page panicked", "path", r.URL.Path, "panic", fmt.Sprint(x))
				http.Error(w, "The server has a fault; its log has more.", http.StatusInternalServerError)
			}
		}()
		if err := guard.Check(r); err != nil {
			s.fail(w, r, nil, &shown{Status: http.StatusForbidden, Title: "Another site sent this", Detail: "A page of another site sent this request.", Hint: "Do it from a page of this server."})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if _, pattern := s.mux.Handler(r); pattern == "" {
			s.fail(w, r, nil, &shown{Status: http.StatusNotFound, Title: "There is no such page", Detail: "Nothing is at " + r.URL.Path + ".", Hint: "Begin at the overview."})
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// asset is a file that pages use.
type asset struct {
	body []byte
	kind string
	sum  string
}

func (s *Site) readAssets() error {
	return fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		kind := ""
		switch {
		case strings.HasSuffix(name, ".css"):
			kind = "text/css; charset=utf-8"
		case strings.HasSuffix(name, ".js"):
			kind = "text/javascript; charset=utf-8"
		case strings.HasSuffix(name, ".svg"):
			kind = "image/svg+xml"
		default:
			kind = "text/plain; charset=utf-8"
		}
		sum := sha256.Sum256(body)
		s.assets[strings.TrimPrefix(name, "assets/")] = asset{body, kind, hex.EncodeToString(sum[:8])}
		return nil
	})
}

func (s *Site) asset(w http.ResponseWriter, r *http.Request) {
	a, there := s.assets[r.PathValue("name")]
	if !there {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("ETag", `"`+a.sum+`"`)
	if r.URL.Query().Get("v") == a.sum { // the name of another content is another one
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	if r.Header.Get("If-None-Match") == `"`+a.sum+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if _, err := w.Write(a.body); err != nil {
		s.log.DebugContext(r.Context(), "could not answer", "err", err)
	}
}

// link is the address of an asset, which changes with its content.
func (s *Site) link(name string) (string, error) {
	a, there := s.assets[name]
	if !there {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return "/assets/" + name + "?v=" + a.sum, nil
}

// isGone reports whether an error means that the reader went away.
func isGone(err error) bool { return errors.Is(err, context.Canceled) }
