// Package promsource asks Prometheus, and what answers as it does (Thanos, Mimir, VictoriaMetrics), for the values of an expression over
// a range of time.
//
// An answer is whole or an error: a warning, such as that a store of Thanos did not answer, a partial answer of VictoriaMetrics, and a
// body that was cut are errors. The package speaks HTTP itself, as the client that Prometheus offers knows neither of the latter, nor
// how long a server that is busy asks to wait, and reads a body of any size into memory.
package promsource

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Connection says how a server is reached. It prints without its secrets.
type Connection struct {
	// URL is http://HOST:9090/PREFIX or https://; a user and a password in it are sent.
	URL string
	// Token is sent as a bearer token, or as the value of Header where there is one.
	Token, Header string
	// Headers go with each request, such as X-Scope-OrgID.
	Headers map[string]string
	// Proxy is the URL of a proxy; "" connects directly.
	Proxy string
	// CA, Certificate and Key are PEM; "" means the certificates of the system, and to show none.
	CA, Certificate, Key string
	// Insecure takes any certificate of the server.
	Insecure bool
	// Timeout bounds one request; 0 is a minute.
	Timeout time.Duration
}

// String returns the URL without password.
func (c Connection) String() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "a Prometheus"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// GoString returns String: %#v must not give secrets away.
func (c Connection) GoString() string { return "promsource.Connection(" + c.String() + ")" }

// Client asks one server. It may be used by many goroutines. Close it.
type Client struct {
	base    *url.URL
	headers http.Header
	user    *url.Userinfo
	http    *http.Client
	shown   string
	maxBody int64 // of one answer; a test makes it smaller
}

// New makes a client; it connects to nothing. Its errors have hints.
func New(c Connection) (*Client, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, err
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	client := &Client{base: base, user: base.User, headers: http.Header{}, shown: c.String(), maxBody: maxBody,
		http: &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: noRedirect}}
	base.User = nil
	for name, value := range c.Headers {
		client.headers.Set(name, value)
	}
	switch {
	case c.Token != "" && c.Header != "":
		client.headers.Set(c.Header, c.Token)
	case c.Token != "":
		client.headers.Set("Authorization", "Bearer "+c.Token)
	}
	return client, nil
}

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Sample is the value of a series at a time.
type Sample struct {
	Labels map[string]string // shared by the samples of a series: nobody may change it
	Series string            // a short hash of the labels, the same for the same ones
	At     time.Time
	Value  float64 // may be NaN or infinite
}

// maxPoints is how many points of a series one request asks for; Prometheus refuses more than 11,000.
const maxPoints = 10_000

// Check asks the server for a sign of life. Its errors are those of Range.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.ask(ctx, "/api/v1/query", url.Values{"query": {"vector(1)"}})
	return err
}

// Range gives the samples of an expression at each multiple of step, counted from 1970, that lies in (start, end], by time and, of the
// same time, by series. So ranges that follow one another give each sample once. A step is a whole number of milliseconds.
//
// A range of many points is asked for in parts, and one whose answer is too large in halves. An expression that the server does not
// understand is a permanent error.
func (c *Client) Range(ctx context.Context, query string, start, end time.Time, step time.Duration, each func(Sample) error) error {
	if step <= 0 || step%time.Millisecond != 0 {
		return fmt.Errorf("a step of %v is no whole number of milliseconds", step)
	}
	ms := step.Milliseconds()
	first, last := floorDiv(start.UnixNano(), int64(step))+1, floorDiv(end.UnixNano(), int64(step))
	for width := int64(maxPoints); first <= last; {
		until := min(last, first+width-1)
		all, err := c.matrix(ctx, query, first*ms, until*ms, ms)
		if errors.Is(err, errTooLarge) && first < until {
			width = (until - first + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		if err := inOrder(all, each); err != nil {
			return err
		}
		first = until + 1
	}
	return nil
}

// floorDiv divides and rounds down, below zero too.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && a < 0 {
		q--
	}
	return q
}

// inOrder gives the samples of all series by time, and of one time by series.
func inOrder(all []series, each func(Sample) error) error {
	slices.SortFunc(all, func(a, b series) int { return strings.Compare(a.id, b.id) })
	type place struct {
		ms        int64
		of, point int32
	}
	var places []place
	for i, s := range all {
		for j, p := range s.points {
			places = append(places, place{p.ms, int32(i), int32(j)})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.of, b.of)) })
	for _, p := range places {
		s := &all[p.of]
		if err := each(Sample{Labels: s.labels, Series: s.id, At: time.UnixMilli(p.ms).UTC(), Value: s.points[p.point].value}); err != nil {
			return err
		}
	}
	return nil
}

// seriesID hashes labels: names and values with their lengths, in the order of the names.
func seriesID(labels map[string]string) string {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		for _, s := range []string{name, labels[name]} {
			b = strconv.AppendInt(b, int64(len(s)), 10)
			b = append(append(b, ':'), s...)
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:10])
}
