package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
)

// A message about an alert has a link with which who reads it takes the alert, without a login and once. What follows the link without
// being asked, previews of chats and scanners of mail, sends GET: that shows a page, and its button takes the alert.

// ackPath is where the links lead. The signature in them is what a caller has to know, so it stands in no log, trace or trail.
const ackPath = "/ack/{alert}/{message}/{signature}"

// linksPerSecond is how many requests a second one address may send to links.
const linksPerSecond = 10

//go:embed ack.html
var ackText string

//go:embed ack.css
var ackStyle string

var ackPage = template.Must(template.New("ack").Funcs(template.FuncMap{"style": func() template.CSS { return template.CSS(ackStyle) }, //nolint:gosec // a constant
	"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }}).Parse(ackText))

// ackPolicy is what a browser may do with the page: show it in its style, and send its form back.
var ackPolicy = func() string {
	sum := sha256.Sum256([]byte(ackStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// ackView is what the page shows.
type ackView struct {
	Title string // what is to be said
	Hint  string
	Alert *wire.Alert // nil where the link proves nothing
	Ask   bool        // there is a button
}

// ackRoutes has the pages of links, where links can be signed at all.
func (a *API) ackRoutes() {
	if a.o.Alerts == nil || a.o.Alerts.Sign == nil {
		return
	}
	a.mux.HandleFunc("GET "+ackPath, a.ackHandler(a.showAck))
	a.mux.HandleFunc("POST "+ackPath, a.ackHandler(a.takeAck))
}

// ackHandler lets through who knows the signature of a link.
func (a *API) ackHandler(next func(w http.ResponseWriter, r *http.Request, id, message string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, message := r.PathValue("alert"), r.PathValue("message")
		right := subtle.ConstantTimeCompare([]byte(r.PathValue("signature")), []byte(a.o.Alerts.Sign(id, message))) == 1
		switch {
		case !a.links.allow(host(r.RemoteAddr), linksPerSecond):
			w.Header().Set("Retry-After", "1")
			a.ack(w, r, http.StatusTooManyRequests, ackView{Title: "Too many requests", Hint: "Wait a little, and load this page again."})
		case !right:
			a.ack(w, r, http.StatusNotFound, ackView{Title: "There is no such link", Hint: "Was it copied as a whole? Each message has a link of its own."})
		default:
			next(w, r, id, message)
		}
	}
}

// showAck shows the alert, and asks.
func (a *API) showAck(w http.ResponseWriter, r *http.Request, id, message string) {
	k, err := a.o.Alerts.Store.Get(r.Context(), id)
	switch {
	case err != nil:
		a.ackFailed(w, r, id, err)
	case k.State == wire.AlertResolved:
		a.ack(w, r, http.StatusOK, ackView{Title: "It is over", Alert: &k.Alert})
	case used(k, message):
		a.ackFailed(w, r, id, alertstore.ErrLinkUsed)
	case k.State == wire.AlertAcknowledged:
		a.ack(w, r, http.StatusOK, ackView{Title: "Somebody has taken it", Hint: "You can take it over.", Alert: &k.Alert, Ask: true})
	default:
		a.ack(w, r, http.StatusOK, ackView{Title: "Do you take it?", Hint: "Then nobody else is told of it.", Alert: &k.Alert, Ask: true})
	}
}

// used reports whether the link of a message would be refused.
func used(k alertstore.Kept, message string) bool {
	return slices.Contains(k.Links, message) || !slices.ContainsFunc(k.Told, func(t wire.AlertTold) bool { return t.Message == message })
}

// takeAck takes the alert.
func (a *API) takeAck(w http.ResponseWriter, r *http.Request, id, message string) {
	x, err := a.o.Alerts.Store.AcknowledgeByLink(r.Context(), id, message, now())
	status := http.StatusOK
	if err != nil {
		status = a.ackFailed(w, r, id, err)
	} else {
		a.ack(w, r, status, ackView{Title: "You have taken it", Alert: &x})
	}
	a.note(r.Context(), wire.AuditEntry{By: "a link", From: host(r.RemoteAddr), Action: "acknowledge-by-link", Target: "/v1/alerts/" + id, Status: status})
}

// ackFailed says why an alert cannot be shown or taken, and returns the status.
func (a *API) ackFailed(w http.ResponseWriter, r *http.Request, id string, err error) int {
	status, v := http.StatusConflict, ackView{}
	switch {
	case errors.Is(err, alertstore.ErrNotFound):
		status, v = http.StatusNotFound, ackView{Title: "The alert is there no more", Hint: "It was over long ago."}
	case errors.Is(err, alertstore.ErrLinkUsed):
		v = ackView{Title: "This link was used before", Hint: "Each message lets its alert be taken once."}
	case errors.Is(err, alertstore.ErrResolved):
		v = ackView{Title: "It is over"}
	default:
		a.log.ErrorContext(r.Context(), "a link could not be followed", "request_id", requestID(r.Context()), "alert", id, "err", err)
		status, v = http.StatusServiceUnavailable, ackView{Title: "There is no answer just now", Hint: "Wait a little, and load this page again."}
	}
	if status == http.StatusConflict {
		if k, err := a.o.Alerts.Store.Get(r.Context(), id); err == nil {
			v.Alert = &k.Alert
		}
	}
	a.ack(w, r, status, v)
	return status
}

// ack writes a page.
func (a *API) ack(w http.ResponseWriter, r *http.Request, status int, v ackView) {
	var b bytes.Buffer
	if err := ackPage.Execute(&b, v); err != nil {
		a.log.ErrorContext(r.Context(), "a page could not be made", "request_id", requestID(r.Context()), "err", err)
		status = http.StatusInternalServerError
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", ackPolicy)
	h.Set("Referrer-Policy", "no-referrer") // the address is as good as a password
	h.Set("X-Robots-Tag", "noindex")
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		a.log.DebugContext(r.Context(), "could not answer", "err", err)
	}
}

// loggedPath is the path of a request as a log may have it.
func loggedPath(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/ack/") {
		return "/ack/..."
	}
	return r.URL.Path
}
