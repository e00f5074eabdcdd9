package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/stint-run/stint/internal/outbound"
)

const (
	defaultTimeout = 15 * time.Second
	// readOfAnswer is how much of an answer is read, and quoteOfAnswer how much of that gets into an error.
	readOfAnswer  = 64 << 10
	quoteOfAnswer = 300
	// mostPatience is the longest Retry-After that is followed.
	mostPatience = time.Hour
)

// poster sends requests to one receiver.
type poster struct {
	client  *http.Client
	timeout time.Duration
	secrets []string
}

// dialer keeps to the public internet unless the spec says otherwise.
func (s Spec) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if !s.Private {
		d.Control = outbound.PublicOnly
	}
	return d
}

func newPoster(s Spec) *poster {
	t := &http.Transport{ // no proxy: it would resolve names itself, past the dialer's rule
		DialContext: s.dialer().DialContext, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
		// Each message has a connection of its own. One that a receiver closes just as it is used again would leave it open whether the
		// message has arrived, and net/http would send by itself again what has an Idempotency-Key. Messages are rare.
		DisableKeepAlives: true,
	}
	return &poster{timeout: s.Timeout, secrets: s.secrets(), client: &http.Client{Transport: t,
		// A redirect would lead a message, and what opens the door, to where the configuration does not say.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Close lets go of connections.
func (p *poster) Close() error { p.client.CloseIdleConnections(); return nil }

// answer is what a receiver said.
type answer struct {
	status int
	header http.Header
	body   []byte // the beginning of it
}

// postJSON sends a value as JSON.
func (p *poster) postJSON(ctx context.Context, address string, header http.Header, body any) (answer, error) {
	b, err := encode(body)
	if err != nil {
		return answer{}, &Error{Err: err, Permanent: true}
	}
	return p.post(ctx, address, "application/json", header, b)
}

// encode writes JSON with &, < and > as they are: some chats show them otherwise.
func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(body)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// post sends a request once. Any answer but 2xx is an *Error, and so is none.
func (p *poster) post(ctx context.Context, address, contentType string, header http.Header, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, &Error{Err: errors.New("the address cannot be used"), Permanent: true}
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "stint")
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, &Error{Err: p.plain(err), Permanent: errors.Is(err, outbound.ErrPrivate), Unknown: written.Load()}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, _ = io.ReadAll(io.LimitReader(resp.Body, readOfAnswer)) // the status has said it all
	if a.status >= 200 && a.status < 300 {
		return a, nil
	}
	return a, p.refused(a)
}

// refused is the error of an answer that is no yes.
func (p *poster) refused(a answer) *Error {
	e := &Error{Err: fmt.Errorf("the receiver answered %d%s", a.status, p.quote(a.body))}
	switch {
	case a.status >= 300 && a.status < 400:
		e.Err, e.Permanent = fmt.Errorf("the receiver answered %d: redirects are not followed", a.status), true
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		e.After = retryAfter(a.header)
	case a.status == http.StatusRequestTimeout || a.status == http.StatusTooEarly || a.status == http.StatusConflict:
	case a.status == http.StatusGatewayTimeout: // a proxy has passed it on, and heard nothing
		e.Unknown = true
	case a.status >= 400 && a.status < 500:
		e.Permanent = true
	}
	return e
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	d := time.Duration(0)
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < 1e9 {
		d = time.Duration(s * float64(time.Second))
	} else if at, err := http.ParseTime(text); err == nil {
		now := time.Now()
		if sent, err := http.ParseTime(h.Get("Date")); err == nil { // by the receiver's own clock
			now = sent
		}
		d = at.Sub(now)
	}
	return min(max(d, 0), mostPatience)
}

// quote is the beginning of an answer, on one line and without secrets.
func (p *poster) quote(body []byte) string {
	text := printable(hide(strings.ToValidUTF8(string(body), "?"), p.secrets))
	if text == "" {
		return ""
	}
	return ": " + cut(text, quoteOfAnswer)
}

// printable is a text on one line, without what moves anything.
func printable(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
}

// plain is an error without the address: that may be a secret, and the error is shown.
func (p *poster) plain(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if ue.Timeout() {
			return fmt.Errorf("the receiver did not answer in time")
		}
		err = ue.Err
	}
	return outbound.Reworded(err, hide(err.Error(), p.secrets))
}
