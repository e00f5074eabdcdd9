package httpsink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Probed is what Probe found out.
type Probed struct {
	// Status is what the API answers to a GET of its base URL; whatever it is, somebody answers.
	Status int
	// Took is how long it took, a token's included.
	Took time.Duration
}

// Refused reports whether the API does not take the credentials.
func (p Probed) Refused() bool {
	return p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden || p.Status == http.StatusProxyAuthRequired
}

// Probe asks for the base URL of a connection, with its credentials, and follows nothing. It changes nothing at the API. Errors hold no
// secret.
func Probe(ctx context.Context, c Connection) (Probed, error) {
	if err := c.Check(); err != nil {
		return Probed{}, err
	}
	l, err := newLink(c)
	if err != nil {
		return Probed{}, err
	}
	defer l.close()
	start := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base.String(), nil)
	if err != nil {
		return Probed{}, fmt.Errorf("ask for the base URL: %w", bare(err))
	}
	for name, value := range l.headers {
		r.Header.Set(name, string(value))
	}
	r.Header.Set("User-Agent", "stint")
	if _, err := l.credentials.apply(ctx, r); err != nil {
		return Probed{}, err
	}
	response, err := l.client.Do(r)
	if err != nil {
		return Probed{}, tasks.WithHint(nil, "does it listen there, and may this machine reach it? See url, proxy and ca of the connection", "the API does not answer: %v", bare(err))
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // what is read lets the connection end in order
	_ = response.Body.Close()
	return Probed{response.StatusCode, time.Since(start)}, nil
}
