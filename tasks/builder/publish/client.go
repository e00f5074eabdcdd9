package publish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/outbound"
	"github.com/stint-run/stint/tasks"
)

// Credentials say who publishes. The zero value is nobody. They go to the server that was configured, and nowhere else.
type Credentials struct {
	User, Password string            // for Basic
	Token          string            // for Bearer
	Header         map[string]string // of any other kind: X-JFrog-Art-Api
}

// Reach says how a server is reached.
type Reach struct {
	// Private lets it be in a private network, or on this machine.
	Private bool
	// CA is what its certificate is checked against; nil is what the system trusts.
	CA *x509.CertPool
	// Silence is how long a server may take to answer when it has got all; 0 is five minutes.
	Silence time.Duration
}

const (
	defaultSilence = 5 * time.Minute
	// patience is how long to wait for a server that does not say how long.
	patience    = 15 * time.Second
	mostPatient = time.Hour
)

// client speaks to one server for a target.
type client struct {
	http   *http.Client
	header http.Header // with the secrets
	origin *url.URL    // which alone gets them
}

func newClient(origin *url.URL, c Credentials, r Reach) *client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !r.Private {
		dialer.Control = outbound.PublicOnly
	}
	if r.Silence == 0 {
		r.Silence = defaultSilence
	}
	k := &client{header: http.Header{}, origin: origin}
	switch {
	case c.Token != "":
		k.header.Set("Authorization", "Bearer "+c.Token)
	case c.User != "" || c.Password != "":
		k.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password)))
	}
	for name, value := range c.Header {
		k.header.Set(name, value)
	}
	// No proxy: it would come from the environment, which only the configuration reads.
	k.http = &http.Client{CheckRedirect: k.redirect, Transport: &http.Transport{
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.CA},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: r.Silence,
		ExpectContinueTimeout: 2 * time.Second,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       90 * time.Second,
		DisableCompression:    true, // the bytes are compared
	}}
	return k
}

// sameServer reports whether a URL leads to the server that was configured.
func (k *client) sameServer(u *url.URL) bool {
	return u.Scheme == k.origin.Scheme && strings.EqualFold(u.Host, k.origin.Host)
}

// redirect follows to other servers, without the credentials; never from https to http. A redirection that would make a GET of a PUT
// is an answer and no success. Go's own client would take along what is in a header of another name than Authorization.
func (k *client) redirect(next *http.Request, before []*http.Request) error {
	first := before[0]
	switch {
	case next.Method != first.Method:
		return http.ErrUseLastResponse
	case len(before) > 5:
		return errors.New("redirected more than five times")
	case next.URL.Scheme != "https" && (next.URL.Scheme != "http" || first.URL.Scheme == "https"):
		return errors.New("redirected to an address without https")
	}
	next.URL.User = nil
	if !k.sameServer(next.URL) {
		for name := range k.header {
			next.Header.Del(name)
		}
	}
	next.Header.Del("Referer")
	return nil
}

// request makes a request with the credentials, where they belong. A body is opened anew for each try.
func (k *client) request(ctx context.Context, method, address string, size int64, body func() (io.ReadCloser, error)) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	r.URL.User = nil // a server that names another one gives nobody a name
	if k.sameServer(r.URL) {
		for name, values := range k.header {
			r.Header[name] = slices.Clone(values)
		}
	}
	r.Header.Set("User-Agent", "stint")
	if body != nil {
		if r.Body, err = body(); err != nil {
			return nil, err
		}
		r.ContentLength, r.GetBody = size, body
		r.Header.Set("Expect", "100-continue") // who refuses need not read it all
		if size == 0 {
			_ = r.Body.Close()
			r.Body = http.NoBody
		}
	}
	return r, nil
}

// do sends a request. What the connection breaks by is worth another try; an address that may not be dialled is not.
func (k *client) do(r *http.Request) (*http.Response, error) {
	res, err := k.http.Do(r)
	if err == nil {
		return res, nil
	}
	var u *url.Error
	if errors.As(err, &u) { // its text has the address, which may have a secret in it
		err = u.Err
	}
	if cause := context.Cause(r.Context()); cause != nil {
		return nil, cause
	}
	switch {
	case errors.Is(err, ErrSource):
		return nil, err
	case errors.Is(err, outbound.ErrPrivate):
		return nil, tasks.Permanent(tasks.WithHint(err, "set private: true for this target if it is meant", "%s %s", r.Method, place(r.URL)))
	}
	err = outbound.Reworded(err, k.plain(err.Error())) // it may quote what the server has said
	return nil, tasks.WithHint(err, "is the server up, and the address right?", "%s %s", r.Method, place(r.URL))
}

// place is an address for people: no password, no query.
func place(u *url.URL) string {
	c := *u
	c.User, c.RawQuery, c.Fragment = nil, "", ""
	return c.String()
}

// digest reads what is at an address. known is false where the server does not say: it refuses to show it.
func (k *client) digest(ctx context.Context, address string) (d artifact.Digest, known bool, err error) {
	r, err := k.request(ctx, http.MethodGet, address, 0, nil)
	if err != nil {
		return "", false, err
	}
	r.Header.Set("Accept", "*/*")
	res, err := k.do(r)
	if err != nil {
		return "", false, err
	}
	defer drain(res)
	switch res.StatusCode {
	case http.StatusOK:
		n := int64(0)
		if d, n, err = artifact.ReadDigest(res.Body); err == nil && res.ContentLength >= 0 && n != res.ContentLength {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", false, tasks.WithHint(err, "try again", "%s was not read to its end", place(r.URL))
		}
		return d, true, nil
	case http.StatusNotFound, http.StatusGone:
		return "", true, nil
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusUnauthorized:
		return "", false, nil
	}
	return "", false, k.refusal(res)
}

// drain lets the connection be used again, if little is left.
func drain(res *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // what is in it decides nothing
	_ = res.Body.Close()
}

// refusal makes an error of an answer that is none of success. What the server says may have in it what it was told.
func (k *client) refusal(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4096)) // a part says enough
	err := fmt.Errorf("%s %s: %s", res.Request.Method, place(res.Request.URL), k.plain(res.Status))
	if said := k.plain(string(text)); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	hint := func(h string) error { return tasks.WithHint(err, h, "the server does not take it") }
	wait, asked := retryAfter(res.Header.Get("Retry-After"), time.Now())
	switch code := res.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout, code >= 500 && asked:
		return tasks.RetryAfter(hint("the server asks for patience"), wait)
	case code >= 500 || code == http.StatusRequestTimeout:
		return hint("look into the server's log")
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusProxyAuthRequired:
		return tasks.Permanent(hint("are the credentials of this target right, and may they write there?"))
	case code == http.StatusRequestEntityTooLarge:
		return tasks.Permanent(hint("the server has a limit: raise it there"))
	case code >= 300 && code < 400:
		return tasks.Permanent(hint("the server sends elsewhere: configure the address that it names"))
	}
	return tasks.Permanent(hint("is it the right address for this kind of target?"))
}

// plain is the beginning of what a server says, on one line, without the credentials.
func (k *client) plain(text string) string {
	for _, values := range k.header {
		for _, secret := range values {
			if kind, value, found := strings.Cut(secret, " "); found && value != "" {
				secret = value
				if pair, err := base64.StdEncoding.DecodeString(value); err == nil && kind == "Basic" {
					if _, password, _ := strings.Cut(string(pair), ":"); password != "" {
						text = strings.ReplaceAll(text, password, "[redacted]")
					}
				}
			}
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "[redacted]")
			}
		}
	}
	said := []rune(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " "))
	return string(said[:min(len(said), 500)])
}

// retryAfter reads a header: seconds or a date. asked is false where there is none.
func retryAfter(s string, now time.Time) (wait time.Duration, asked bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, mostPatient), true
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), mostPatient), true
	}
	return patience, false
}

// address reads the address of a server. Credentials in it are refused: they would be shown.
func address(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, tasks.WithHint(nil, "write https://HOST/PATH", "the address of a target cannot be read")
	case u.User != nil:
		return nil, tasks.WithHint(nil, "give user and password by themselves, as secrets", "the address of the target at %s has credentials in it", u.Host)
	}
	return u, nil
}
