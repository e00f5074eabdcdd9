package httpsink

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stint-run/stint/tasks"
)

// outgoing is a request that is ready: the same bytes each time that it is sent.
type outgoing struct {
	method string
	target string // path and query, below the base URL
	header http.Header
	body   []byte // nil: none
}

// reply is an answer that has come in whole.
type reply struct {
	status    int
	header    http.Header
	body      []byte
	truncated bool // there was more than MaxAnswer

	doc    any
	docErr error
	read   bool
}

// json returns the body as JSON.
func (r *reply) json() (any, error) {
	if !r.read {
		r.read = true
		switch r.doc, r.docErr = decode(r.body); {
		case r.truncated:
			r.docErr = fmt.Errorf("the answer has more than %d bytes", MaxAnswer)
		case len(bytes.TrimSpace(r.body)) == 0:
			r.docErr = errors.New("the answer has no body")
		case r.docErr != nil:
			r.docErr = errors.New("the answer is no JSON")
		}
	}
	return r.doc, r.docErr
}

// maxRedirects is how many 307 and 308 one request follows.
const maxRedirects = 3

// exchange sends a request once and reads the answer. An access token that is not taken is renewed, once: a 401 says that nothing was
// done. A request that was answered by 307 or 308 is sent, as it is, to where they say, as long as that is the same server. sent says
// whether the API may have got the request, where there is an error.
func (s *Sink) exchange(ctx context.Context, out *outgoing) (r *reply, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.endpoint.Timeout.or(DefaultTimeout))
	defer cancel()
	target, err := s.link.target(out.target)
	if err != nil {
		return nil, false, err
	}
	renewed := false
	for redirects := 0; ; {
		r, token, sent, err := s.roundTrip(ctx, out, target)
		switch {
		case err != nil:
			return nil, sent, err
		case r.status == http.StatusUnauthorized && !renewed && s.link.credentials.refuse(token):
			renewed = true
		case r.status == http.StatusTemporaryRedirect || r.status == http.StatusPermanentRedirect:
			next, ok := sameServer(target, r.header.Get("Location"))
			if redirects++; !ok || redirects > maxRedirects {
				return r, true, nil
			}
			target = next
		default:
			return r, true, nil
		}
	}
}

// target appends a path with a query to the base URL.
func (l *link) target(path string) (*url.URL, error) {
	u, err := url.Parse(path)
	if err != nil {
		return nil, errors.New("path and query make no URL")
	}
	out := *l.base
	out.Path, out.RawPath, out.RawQuery = l.base.Path+u.Path, "", u.RawQuery
	if raw := l.base.EscapedPath() + u.EscapedPath(); raw != out.EscapedPath() {
		out.RawPath = raw
	}
	return &out, nil
}

func sameServer(from *url.URL, location string) (*url.URL, bool) {
	to, err := from.Parse(location)
	if err != nil || location == "" || to.Scheme != from.Scheme || to.Host != from.Host {
		return nil, false
	}
	return to, true
}

func (s *Sink) roundTrip(ctx context.Context, out *outgoing, target *url.URL) (*reply, string, bool, error) {
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	request, err := http.NewRequestWithContext(traced, out.method, target.String(), nil)
	if err != nil {
		return nil, "", false, errors.New("the request cannot be built")
	}
	request.Header = out.header.Clone()
	for name, value := range s.link.headers {
		request.Header.Set(name, string(value))
	}
	if out.body != nil {
		// Without GetBody net/http sends nothing again by itself: repetitions are ours, so that they are counted and limited.
		request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(out.body)), int64(len(out.body))
	}
	token, err := s.link.credentials.apply(ctx, request)
	if err != nil {
		return nil, "", false, err
	}
	response, err := s.link.client.Do(request)
	if untrusted := (*tls.CertificateVerificationError)(nil); errors.As(err, &untrusted) {
		return nil, token, false, tasks.Permanent(tasks.WithHint(bare(err), "Give the certificate of the server's authority as tls.ca of the connection.", "the API's certificate is not trusted"))
	} else if err != nil {
		return nil, token, sent.Load(), bare(err)
	}
	defer func() { _ = response.Body.Close() }()
	r := &reply{status: response.StatusCode, header: response.Header}
	if r.body, err = io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1)); err != nil {
		return nil, token, true, fmt.Errorf("reading the answer: %w", err)
	}
	if len(r.body) > MaxAnswer { // closed instead of read to its end, if it has one
		r.body, r.truncated = r.body[:MaxAnswer], true
	}
	return r, token, true, nil
}

// stopError is for statuses that stop the job.
func (s *Sink) stopError(class meaning, r *reply) error {
	reason := s.reasonOf(r)
	if reason != "" {
		reason = ": " + reason
	}
	switch class {
	case unauthorized:
		return tasks.Permanent(tasks.WithHint(nil, "Look at auth of the connection: the credentials are missing, wrong or expired, or may not do this.",
			"the API refuses the credentials with status %d%s", r.status, reason))
	case redirected:
		where := "nowhere"
		if to, err := url.Parse(r.header.Get("Location")); err == nil && to.Host != "" {
			where = to.Scheme + "://" + to.Host
		} else if err == nil && to.Path != "" {
			where = "another path"
		}
		return tasks.Permanent(tasks.WithHint(nil, "Following it could send the record twice, or not at all. Put the address that it leads to into base_url of the connection, or path of the plan.",
			"the API redirects to %s with status %d", where, r.status))
	}
	return tasks.Permanent(tasks.WithHint(nil, "Say by to.http.success, exists, retry or reject what it means.",
		"the API answers with status %d, of which the plan says nothing", r.status))
}

// reasonOf finds why the API refuses something, in its own words if it has some; "" without.
func (s *Sink) reasonOf(r *reply) string {
	doc, err := r.json()
	if err != nil {
		if strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
			return s.link.readable(string(r.body))
		}
		return ""
	}
	return s.reasonIn(doc, s.endpoint.reason)
}

func (s *Sink) reasonIn(doc any, paths []jsonPath) string {
	for _, p := range paths {
		found, err := p.find(doc)
		if err != nil || len(found) == 0 {
			continue
		}
		if text := plain(found[0]); text != "" {
			return s.link.readable(text)
		}
		if _, ok := found[0].(map[string]any); ok {
			if text, err := json.Marshal(found[0]); err == nil {
				return s.link.readable(string(text))
			}
		}
	}
	return ""
}

// readable takes the secrets out of a text of the API, then cuts it, and takes out what would spoil a terminal or a report.
func (l *link) readable(text string) string {
	text = l.hide(text)
	text = strings.ToValidUTF8(text[:min(len(text), MaxExcerpt)], "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text))
}

// hideable are the secrets that are long enough to be told from ordinary words, with their other spellings, longest first.
func hideable(secrets []string) []string {
	forms := map[string]bool{}
	for _, s := range secrets {
		if len(s) < 6 {
			continue
		}
		quoted, _ := json.Marshal(s) // a string always can be
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), string(quoted[1 : len(quoted)-1])} {
			forms[form] = true
		}
	}
	return slices.SortedFunc(maps.Keys(forms), func(a, b string) int { return len(b) - len(a) })
}

// hide takes the connection's secrets out of a text that came from outside.
func (l *link) hide(text string) string {
	for _, s := range l.hidden {
		text = strings.ReplaceAll(text, s, stars)
	}
	for _, token := range l.credentials.tokens() {
		text = strings.ReplaceAll(text, token, stars)
	}
	return text
}
