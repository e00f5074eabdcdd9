// Package elastic asks Elasticsearch (7 to 9) and OpenSearch over HTTP.
//
// It answers wholly or not at all. A shard that failed, a time that ran out on the server, an aggregation that is not in the answer,
// fewer hits than there are said to be, an answer of 200 that holds an error or breaks off: each is an error, never an answer with
// less in it. What the server refuses for good (400) is marked by tasks.Permanent; where it asks for patience (429, 502, 503, 504) the
// error says how long, by tasks.RetryAfter.
package elastic

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/report"
	"github.com/stint-run/stint/tasks"
)

const (
	defaultTimeout = time.Minute
	defaultWait    = 5 * time.Second // where a server asks for patience and does not say for how long
	maxAnswer      = 512 << 20       // bytes
	maxReason      = 1000            // of an error, in bytes; servers repeat whole queries
	maxWait        = 10 * time.Minute
)

// Options are what a Client may have besides its address.
type Options struct {
	// Headers go with each request.
	Headers map[string]string
	// CA are certificates in PEM that the servers' are checked against, instead of those of the address; Cert and Key, in PEM, are shown
	// to the servers.
	CA, Cert, Key string
	// Proxy is the address of a proxy; "" is none.
	Proxy string
}

// Client is a search server. It may be used by many at the same time.
type Client struct {
	address Address
	options Options
	http    *http.Client

	mu    sync.Mutex
	first int   // the host that answered last
	about *info // of the server, once asked for
}

// New makes a client; it connects to nothing yet.
func New(a Address, o Options) (*Client, error) {
	if len(a.Hosts) == 0 {
		return nil, tasks.WithHint(nil, urlForm, "the search server has no host")
	}
	if a.Timeout == 0 {
		a.Timeout = defaultTimeout
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	transport.Proxy = nil
	if o.Proxy != "" {
		proxy, err := url.Parse(o.Proxy)
		if err != nil || proxy.Host == "" {
			return nil, tasks.WithHint(nil, "write http://HOST:3128", "the proxy of the search server is no address")
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.Insecure} //nolint:gosec // who sets insecure=true means it
	if ca := cmp.Or(o.CA, a.CA); ca != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(ca)) {
			return nil, tasks.WithHint(nil, "name a file in PEM form", "the certificates of the search server have none in them")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	if o.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(o.Cert), []byte(o.Key))
		if err != nil {
			return nil, tasks.WithHint(err, "certificate and key are files in PEM form and belong together", "the certificate for the search server cannot be used")
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return &Client{address: a, options: o, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}, nil
}

// noRedirect keeps queries and headers from going where nobody has sent them: into a network that only this machine reaches.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// String returns the hosts, without credentials.
func (c *Client) String() string { return c.address.String() }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is what a server answered instead of an answer.
type Error struct {
	Status int
	Type   string // such as parsing_exception; may be empty
	Reason string
	Host   string
}

// Error says what was answered and by whom.
func (e *Error) Error() string {
	what := e.Reason
	if e.Type != "" {
		what = e.Type + ": " + what
	}
	return fmt.Sprintf("%s answered %d: %s", e.Host, e.Status, what)
}

// Refused reports whether a server refused a request for what is in it, or for how much it asks.
func Refused(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	tooMuch := strings.Contains(e.Type+e.Reason, "too_many_buckets") || strings.Contains(e.Type+e.Reason, "too_many_clauses") || strings.Contains(e.Type+e.Reason, "too_many_nested_clauses")
	return tooMuch || e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge
}

// call sends one request, to the next host where one cannot answer, and reads its answer into out.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return tasks.Permanent(fmt.Errorf("write a request of %s: %w", path, err))
		}
	}
	c.mu.Lock()
	first := c.first
	c.mu.Unlock()
	var last error
	for i := range c.address.Hosts {
		n := (first + i) % len(c.address.Hosts)
		again, err := c.one(ctx, c.address.Hosts[n], method, path, query, text, out)
		if err == nil {
			c.mu.Lock()
			c.first = n
			c.mu.Unlock()
			return nil
		}
		if _, asked := tasks.RetryAfterOf(last); !asked || i == 0 { // a host that is busy says more than one that is gone
			last = err
		}
		if !again || ctx.Err() != nil {
			return err
		}
	}
	return last
}

// one asks one host. again says that another may do better.
func (c *Client) one(ctx context.Context, host, method, path string, query url.Values, body []byte, out any) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.address.Timeout)
	defer cancel()
	address := host + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return false, tasks.Permanent(fmt.Errorf("ask %s: %w", host, err))
	}
	c.authorize(req)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its own text has the whole address
			err = u.Err
		}
		return true, tasks.WithHint(err, "is it running, and reached from here?", "%s cannot be asked", host)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return true, fmt.Errorf("read the answer of %s: %w", host, err)
	case len(text) > maxAnswer:
		return false, tasks.WithHint(nil, "ask for fewer fields (include) or smaller pages (max_query_size)", "the answer of %s is larger than %d MB", host, maxAnswer>>20)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return c.refusal(host, res, text)
	}
	if failed := errorIn(text); failed != nil {
		failed.Host, failed.Status = host, res.StatusCode
		return false, failed
	}
	if out == nil {
		return false, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(out); err != nil {
		return true, fmt.Errorf("read the answer of %s: %w", host, err)
	}
	return false, nil
}

func (c *Client) authorize(req *http.Request) {
	switch a := c.address; {
	case a.APIKey != "":
		req.Header.Set("Authorization", "ApiKey "+a.APIKey)
	case a.Token != "":
		req.Header.Set("Authorization", "Bearer "+a.Token)
	case a.User != "":
		req.SetBasicAuth(a.User, a.Password)
	}
	for k, v := range c.options.Headers {
		req.Header.Set(k, v)
	}
}

// refusal makes an error of an answer that is none, and says what its status means for what happens next.
func (c *Client) refusal(host string, res *http.Response, text []byte) (again bool, err error) {
	e := errorIn(text)
	if e == nil {
		e = &Error{Reason: short(strings.TrimSpace(string(text)))}
		if e.Reason == "" {
			e.Reason = http.StatusText(res.StatusCode)
		}
	}
	e.Host, e.Status = host, res.StatusCode
	switch e.Status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge:
		return false, tasks.Permanent(e)
	case http.StatusUnauthorized, http.StatusForbidden:
		return false, tasks.WithHint(e, "check the user, key or token of the connection, and what it may read", "%s does not let us in", host)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, tasks.RetryAfter(e, wait(res.Header.Get("Retry-After")))
	}
	return e.Status >= 500, e
}

// wait reads Retry-After: seconds, or a date. A server whose clock or whose mind is wrong stops no rule for more than maxWait.
func wait(header string) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, int(maxWait/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, time.Until(at)), maxWait)
	}
	return defaultWait
}

// errorIn returns the error that an answer holds, nil if none.
func errorIn(text []byte) *Error {
	if !bytes.Contains(text, []byte(`"error"`)) {
		return nil
	}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(text, &body) != nil || len(body.Error) == 0 || string(body.Error) == "null" {
		return nil
	}
	type cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	var failed struct {
		cause
		RootCause    []cause `json:"root_cause"`
		FailedShards []struct {
			Reason cause `json:"reason"`
		} `json:"failed_shards"`
	}
	if json.Unmarshal(body.Error, &failed) != nil {
		var plain string
		_ = json.Unmarshal(body.Error, &plain) // a text, or what is neither stays empty
		return &Error{Reason: short(plain)}
	}
	e := &Error{Type: failed.Type, Reason: failed.Reason}
	// "all shards failed" says nothing; why the first of them did, does.
	if len(failed.RootCause) > 0 && failed.RootCause[0].Reason != e.Reason {
		e.Reason += " (" + failed.RootCause[0].Type + ": " + failed.RootCause[0].Reason + ")"
	} else if len(failed.FailedShards) > 0 {
		e.Reason += " (" + failed.FailedShards[0].Reason.Type + ": " + failed.FailedShards[0].Reason.Reason + ")"
	}
	e.Type, e.Reason = short(e.Type), short(e.Reason)
	return e
}

// short is a server's text as people may be shown it.
func short(s string) string {
	if len(s) > maxReason {
		return report.Plain(strings.ToValidUTF8(s[:maxReason], "")) + "..."
	}
	return report.Plain(s)
}

// info is what a server says of itself.
type info struct {
	Version struct {
		Number       string `json:"number"`
		Distribution string `json:"distribution"` // opensearch
	} `json:"version"`
}

// About returns the server's name and version, such as "opensearch 2.11.0".
func (c *Client) About(ctx context.Context) (string, error) {
	i, err := c.server(ctx)
	if err != nil {
		return "", err
	}
	name := i.Version.Distribution
	if name == "" {
		name = "elasticsearch"
	}
	return name + " " + i.Version.Number, nil
}

func (c *Client) server(ctx context.Context) (*info, error) {
	c.mu.Lock()
	known := c.about
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	i := &info{}
	if err := c.call(ctx, http.MethodGet, "/", nil, nil, i); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.about = i
	c.mu.Unlock()
	return i, nil
}

// since reports whether the server is Elasticsearch, or OpenSearch, of at least a version.
func (i *info) since(distribution string, major, minor int) bool {
	parts := strings.SplitN(i.Version.Number, ".", 3)
	if i.Version.Distribution != distribution || len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}
