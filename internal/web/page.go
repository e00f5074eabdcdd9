package web

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

// visit is a request for a page by somebody who may see some.
type visit struct {
	*http.Request
	ctx    context.Context // in the name of the visitor
	client *client.Client
	me     *wire.About
	secret string // what a form of this visitor has to send along
	once   string // tells a form of this page from that of another: sent twice it does one thing
	flash  *flash
}

// view is what a template gets.
type view struct {
	Title string // of the page
	Nav   string // which entry of the navigation it belongs to
	Me    *wire.About
	Open  bool   // nobody has to log in
	Form  string // goes into every form that changes something, as the field "form"
	Once  string // goes into a form that must not do twice what is sent twice, as the field "once"
	Path  string // of this page, with its query: where a form comes back to
	Live  string // where the page's news come from; "" is nowhere
	Theme string // light, dark, or "" for what the system has
	Flash *flash // what came of the last action
	Now   time.Time
	Body  any // of the page
	// Scripts are those of assets that this page alone has.
	Scripts []string
}

// content is what a page shows: its title, and what its template makes of Body.
type content struct {
	Title string
	Body  any
	// Still: nothing of it changes any more; the page does not ask for news.
	Still bool
	// Scripts are those of assets that this page alone has.
	Scripts []string
}

// shown is an error as a page shows it.
type shown struct {
	Status int
	Title  string
	Detail string
	Hint   string
	ID     string // of the request, for the log
}

// loader reads what a page shows.
type loader func(v *visit) (content, error)

// page serves a page: GET pattern, made of a template, below an entry of the navigation. Asked with ?live it is a stream of what
// its template makes, whenever that changes.
func (s *Site) page(pattern, nav, name string, load loader) {
	if s.pages[name] == nil {
		panic("web: there is no page " + name)
	}
	s.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("live") {
			if v, ok := s.visitStream(w, r); ok {
				s.stream(w, v, nav, name, load)
			}
			return
		}
		v, ok := s.visit(w, r)
		if !ok {
			return
		}
		v.flash = takeFlash(w, r)
		c, err := load(v)
		if err != nil {
			s.fail(w, r, v, problemOf(err))
			return
		}
		x := s.view(v, nav, c)
		if !c.Still {
			x.Live = liveOf(r.URL)
		}
		s.render(w, r, http.StatusOK, name, x)
	})
}

// action serves a form: POST pattern. do returns where the browser goes next ("" is where the form was) and what is said there.
func (s *Site) action(pattern string, do func(v *visit) (next, said string, err error)) {
	s.mux.HandleFunc("POST "+pattern, func(w http.ResponseWriter, r *http.Request) {
		v, ok := s.visit(w, r)
		if !ok || !s.isOurs(w, r, v) {
			return
		}
		next, said, err := do(v)
		if err != nil {
			s.goBack(w, r, v, err)
			return
		}
		if next == "" {
			next = local(r.PostFormValue("back"))
		}
		if next == "" {
			next = "/"
		}
		if said != "" {
			setFlash(w, r, &flash{Text: said})
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
	})
}

// goBack leads back to where a form was, and says there what is wrong.
func (s *Site) goBack(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	p := problemOf(err)
	if back := local(r.PostFormValue("back")); back != "" && p.Status != http.StatusUnauthorized {
		setFlash(w, r, &flash{Text: p.Detail, Hint: p.Hint, Bad: true})
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	s.fail(w, r, v, p)
}

// download serves a file: GET pattern. send writes it; what goes wrong before anything is written is an error page.
func (s *Site) download(pattern string, send func(w http.ResponseWriter, v *visit) error) {
	s.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		v, ok := s.visit(w, r)
		if !ok {
			return
		}
		o := &once{ResponseWriter: w}
		if err := send(o, v); err != nil {
			if o.begun {
				s.log.DebugContext(r.Context(), "a download ended early", "path", r.URL.Path, "err", err)
				panic(http.ErrAbortHandler) // the browser must not take what there is for the whole
			}
			for _, h := range []string{"Content-Disposition", "Content-Type", "Content-Length"} {
				w.Header().Del(h)
			}
			s.fail(w, r, v, problemOf(err))
		}
	})
}

// once knows whether anything was written.
type once struct {
	http.ResponseWriter
	begun bool
}

func (o *once) WriteHeader(code int) { o.begun = true; o.ResponseWriter.WriteHeader(code) }

func (o *once) Write(p []byte) (int, error) { o.begun = true; return o.ResponseWriter.Write(p) }

// Unwrap is for http.ResponseController.
func (o *once) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// attach names the file that a download is. A browser saves it and shows nothing of it.
func attach(w http.ResponseWriter, name, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", "attachment; filename*=UTF-8''"+strings.ReplaceAll(url.QueryEscape(path.Base(name)), "+", "%20"))
}

// local returns a path of this site, and "" for anything else: a form must not send people to other sites.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return ""
	}
	return to
}

// view begins what a template gets.
func (s *Site) view(v *visit, nav string, c content) *view {
	x := &view{Title: c.Title, Nav: nav, Path: shownAt(v.Request), Theme: themeOf(v.Request), Now: time.Now(), Body: c.Body, Scripts: c.Scripts}
	if v.me != nil {
		x.Me, x.Open = v.me, v.me.Name == "loopback"
	}
	x.Form, x.Once, x.Flash = v.secret, v.once, v.flash
	return x
}

// shownAt is where somebody who sees the answer of a request is: the page itself, or the one whose form was sent. Nothing can be got from where
// forms are sent to.
func shownAt(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return pathOf(r.URL)
	}
	return local(r.PostFormValue("back"))
}

// pathOf is the address of a page, without what is said to streams.
func pathOf(u *url.URL) string {
	q := u.Query()
	q.Del("live")
	if len(q) == 0 {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + q.Encode()
}

func liveOf(u *url.URL) string {
	q := u.Query()
	q.Set("live", "1")
	return u.EscapedPath() + "?" + q.Encode()
}

// render writes a page.
func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, name string, x *view) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout", x); err != nil {
		s.log.ErrorContext(r.Context(), "a page could not be made", "page", name, "err", err)
		http.Error(w, "This page could not be made; the server's log has more.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		s.log.DebugContext(r.Context(), "could not answer", "err", err)
	}
}

// fail shows what went wrong. Where nobody is logged in it leads to the login.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, v *visit, p *shown) {
	if p.Status == http.StatusUnauthorized {
		http.Redirect(w, r, "/login?to="+url.QueryEscape(local(shownAt(r))), http.StatusSeeOther)
		return
	}
	if v == nil {
		v = &visit{Request: r}
	}
	s.render(w, r, p.Status, "error", s.view(v, "", content{Title: p.Title, Body: p}))
}

// problemOf says what an error means for who reads the page.
func problemOf(err error) *shown {
	var p *wire.Problem
	var away *client.Unreachable
	switch {
	case errors.As(err, &p):
		return &shown{Status: p.Status, Title: titleOf(p.Status), Detail: sentence(problemWords(p)), Hint: sentence(p.Hint), ID: p.RequestID}
	case errors.As(err, &away), errors.Is(err, context.DeadlineExceeded), isGone(err):
		return &shown{Status: http.StatusServiceUnavailable, Title: titleOf(http.StatusServiceUnavailable), Detail: "The server did not answer in time.", Hint: "Load this page again."}
	}
	return &shown{Status: http.StatusInternalServerError, Title: titleOf(http.StatusInternalServerError), Detail: sentence(err.Error())}
}

// problemWords are the words of a problem, with the places that are wrong as a form names them.
func problemWords(p *wire.Problem) string {
	text := cutPlace(p.Detail)
	for _, e := range p.Errors {
		if e.Message != p.Detail { // what is about the body as a whole is said twice
			text += "; " + placeWords(e)
		}
	}
	return text
}

// placeWords say what is wrong in one place.
func placeWords(e wire.ProblemPlace) string {
	if place := cutPlace(e.Location); place != "" && place != "body" {
		return place + ": " + e.Message
	}
	return e.Message
}

// cutPlace names a place of a request as people see it.
func cutPlace(location string) string {
	for _, part := range []string{"body.", "query.", "path."} {
		if name, ok := strings.CutPrefix(location, part); ok {
			return name
		}
	}
	return location
}

func titleOf(status int) string {
	switch status {
	case http.StatusNotFound:
		return "It is not there"
	case http.StatusForbidden:
		return "You may not do that"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "It cannot be done just now"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusServiceUnavailable:
		return "There is no answer just now"
	case http.StatusInternalServerError:
		return "The server has a fault"
	}
	return "That does not work"
}

// badInput is an error of what somebody typed into a form.
func badInput(hint, format string, args ...any) error {
	return &wire.Problem{Status: http.StatusUnprocessableEntity, Code: wire.CodeBadRequest, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

// sentence begins with a capital and ends with a point.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = sentenceStart(text)
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// sentenceStart begins with a capital.
func sentenceStart(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	if first == utf8.RuneError {
		return text
	}
	return string(unicode.ToUpper(first)) + text[n:]
}

// flash is what came of an action, shown once on the next page.
type flash struct {
	Text string `json:"t"`
	Hint string `json:"h,omitempty"`
	Bad  bool   `json:"b,omitempty"`
}

const flashCookie = "stint_said"

// Bounds of what is said, in bytes: of each text, and of the cookie. A browser keeps none of more than 4,096.
const (
	maxFlash       = 900
	maxFlashCookie = 3800
)

func setFlash(w http.ResponseWriter, r *http.Request, f *flash) {
	value := ""
	for most := maxFlash; most > 0; most = most * 3 / 4 { // some letters take more room in JSON than others
		body, err := json.Marshal(flash{clip(f.Text, most), clip(f.Hint, most), f.Bad})
		if err != nil {
			return
		}
		if value = base64.RawURLEncoding.EncodeToString(body); len(value) <= maxFlashCookie {
			break
		}
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Value: value, Path: "/", MaxAge: 60, HttpOnly: true, Secure: isSecure(r), SameSite: http.SameSiteStrictMode})
}

// takeFlash reads what is to be said, and forgets it.
func takeFlash(w http.ResponseWriter, r *http.Request) *flash {
	c, err := r.Cookie(flashCookie)
	if err != nil || r.Method != http.MethodGet {
		return nil
	}
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: isSecure(r), SameSite: http.SameSiteStrictMode})
	text, err := base64.RawURLEncoding.DecodeString(c.Value)
	var f flash
	if err != nil || json.Unmarshal(text, &f) != nil || f.Text == "" {
		return nil
	}
	return &f
}

// clip cuts a text at a length in bytes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// readPages parses the templates: each page with the layout and the parts that pages share.
func (s *Site) readPages() error {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return err
	}
	base := template.New("").Funcs(s.funcs())
	for _, shared := range []string{"templates/layout.html", "templates/parts.html"} {
		if base, err = base.ParseFS(files, shared); err != nil {
			return fmt.Errorf("parse %s: %w", shared, err)
		}
	}
	for _, name := range names {
		short := strings.TrimSuffix(path.Base(name), ".html")
		if short == "layout" || short == "parts" {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(files, name)
		}
		if err != nil {
			return fmt.Errorf("parse %s: %w", name, err)
		}
		s.pages[short] = t
	}
	return nil
}
