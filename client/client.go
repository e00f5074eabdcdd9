// Package client talks to a stint server from any Go program: submit jobs, watch them, and steer the fleet.
//
//	c, err := client.New(client.Options{Server: "https://stint.internal:7800", Token: token})
//	done, err := c.Submit(ctx, "customer-42", wire.Submission{Kind: "migration", Spec: spec})
//	err = c.Watch(ctx, done.ID, "", func(e wire.Event) error { ...; return nil })
//
// What the server says is wrong comes back as a *wire.Problem, with a code for programs and a hint for people; a server that
// cannot be reached as an *Unreachable. Package client/wire has the forms. The stint command line is a client like any other.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// Options say which server, and as who. Server is required.
type Options struct {
	Server string // its URL, such as http://127.0.0.1:7800
	Token  string // of stint tokens create; "" sends none
	// HTTP does the requests; nil means a client of its own. A timeout of it would end Watch, too: give contexts deadlines instead.
	HTTP *http.Client
}

// Client is a connection to a server. It may be used by any number of goroutines and needs no closing.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client. It does not connect yet; an error means that Server is no URL of a server.
func New(o Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(o.Server, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		shown := strconv.Quote(o.Server)
		if strings.ContainsAny(shown, "@#") {
			shown = "what was given" // it may hold a password
		}
		return nil, fmt.Errorf("%s is no address of a stint server: write http://HOST:7800 or https://HOST", shown)
	}
	if n := strings.Count(o.Server, "@"); n > 1 || n == 1 && u.User == nil || u.Fragment != "" {
		return nil, errors.New("the address of the stint server has a # in it, or an @ besides the one before its host: write them as %23 and %40")
	}
	h := o.HTTP
	if h == nil {
		h = &http.Client{}
	}
	return &Client{base: u, token: o.Token, http: h}, nil
}

// Unreachable is the error of a server that does not answer.
type Unreachable struct {
	Server string
	Err    error
}

// Error says which server.
func (u *Unreachable) Error() string {
	return fmt.Sprintf("the stint server %s cannot be reached: %v", u.Server, u.Err)
}

// Unwrap returns the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// call is a request before it is sent.
type call struct {
	method string
	path   []string // words; each is escaped
	query  url.Values
	header map[string]string
	body   any // nil sends none
	// again: it may be sent again when nobody knows whether it arrived: it changes nothing, or has an Idempotency-Key.
	again bool
}

// Tries of a call that may be sent again, and the waits between them.
var waits = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond}

// do sends a call and decodes the answer into out, unless that is nil; a *[]byte takes it as it is.
func (c *Client) do(ctx context.Context, k call, out any) error {
	resp, err := c.insist(ctx, k)
	if err != nil {
		return err
	}
	return finish(resp, out)
}

// insist is send that tries again, where the call may be sent again, when there is no answer just now.
func (c *Client) insist(ctx context.Context, k call) (*http.Response, error) {
	for try := 0; ; try++ {
		resp, err := c.send(ctx, k)
		if err == nil {
			return resp, nil
		}
		var away *Unreachable
		var p *wire.Problem
		passing := errors.As(err, &away) || errors.As(err, &p) && p.Status == http.StatusServiceUnavailable
		if !passing || !k.again || try == len(waits) {
			return nil, err
		}
		select {
		case <-time.After(waits[try]):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// send returns the answer of a call that went well; the caller closes its body.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	if slices.Contains(k.path, "") { // without the word the path is that of something else
		return nil, &wire.Problem{Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound, Code: wire.CodeNotFound, Detail: "nothing has an empty name", Hint: "give its id, or its name"}
	}
	var in io.Reader
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		in = bytes.NewReader(b)
	}
	u := c.base.JoinPath("v1").JoinPath(escaped(k.path)...)
	u.RawQuery = k.query.Encode()
	r, err := http.NewRequestWithContext(ctx, k.method, u.String(), in)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, value := range k.header {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, &Unreachable{c.base.Redacted(), err}
	}
	if resp.StatusCode >= 400 {
		return nil, problemOf(resp)
	}
	return resp, nil
}

func escaped(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = url.PathEscape(w); w == "." || w == ".." { // a path of these leads elsewhere
			out[i] = strings.ReplaceAll(w, ".", "%2E")
		}
	}
	return out
}

// maxAnswer bounds an answer that is read as a whole.
const maxAnswer = 64 << 20

func finish(resp *http.Response, out any) error {
	defer resp.Body.Close()
	if out == nil {
		// A server that cannot write its answer takes the caller for gone, and says so in its audit trail.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
		return nil
	}
	if text, ok := out.(*[]byte); ok { // as it was sent
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("read the server's answer: %w", err)
		}
		*text = b
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// problemOf reads what the server says is wrong. What is no problem of stint, such as the page of a proxy, becomes one.
func problemOf(resp *http.Response) error {
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := &wire.Problem{}
	if json.Unmarshal(text, p) != nil || p.Status == 0 {
		p = &wire.Problem{Title: resp.Status, Status: resp.StatusCode, Detail: fmt.Sprintf("the server answered %s", resp.Status),
			Hint: "is it a stint server, or something in front of it?"}
	}
	return p
}
