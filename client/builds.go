package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Build reads what a build is of, and what has become of its steps so far.
func (c *Client) Build(ctx context.Context, id string) (*tasks.Build, error) {
	var out tasks.Build
	err := c.do(ctx, get("builds", id), &out)
	return &out, err
}

// Promote notes that what a build has left behind is in an environment now. Doing it again is no error. A problem of the code conflict
// says why the environment does not take it.
func (c *Client) Promote(ctx context.Context, id, environment string) (*tasks.Promotion, error) {
	var out tasks.Promotion
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"builds", id, "promote"}, body: wire.Promote{Environment: environment}, again: true}, &out)
	return &out, err
}

// Promotions lists what is in each environment now, of one product or, with "", of all.
func (c *Client) Promotions(ctx context.Context, tenant, product string) ([]tasks.Promotion, error) {
	k := get("environments")
	k.query = url.Values{"tenant": {tenant}, "product": {product}}
	var out wire.Promotions
	err := c.do(ctx, k, &out)
	return out.Promotions, err
}
