package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stint-run/stint/client/wire"
)

// About reads who answers, and who the server takes the caller for.
func (c *Client) About(ctx context.Context) (*wire.About, error) {
	var out wire.About
	err := c.do(ctx, get("about"), &out)
	return &out, err
}

// Workers lists the fleet as of the last heartbeats.
func (c *Client) Workers(ctx context.Context) ([]wire.Worker, error) {
	var out wire.Workers
	err := c.do(ctx, get("workers"), &out)
	return out.Workers, err
}

// Worker reads one worker.
func (c *Client) Worker(ctx context.Context, id string) (*wire.Worker, error) {
	var out wire.Worker
	err := c.do(ctx, get("workers", id), &out)
	return &out, err
}

// Drain asks workers to give back what they hold and claim nothing more; it returns their ids. SafeToStop of Workers says when
// they have. A problem of the code conflict names the queues that would be left without any worker.
func (c *Client) Drain(ctx context.Context, s wire.Selection) ([]string, error) {
	return c.ask(ctx, "drain", s)
}

// Undrain lets workers claim again; it returns their ids.
func (c *Client) Undrain(ctx context.Context, s wire.Selection) ([]string, error) {
	return c.ask(ctx, "undrain", s)
}

func (c *Client) ask(ctx context.Context, verb string, s wire.Selection) ([]string, error) {
	var out wire.Asked
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"workers", verb}, body: s, again: true}, &out)
	return out.Workers, err
}

// Fences lists the fences that stand.
func (c *Client) Fences(ctx context.Context) ([]wire.Fence, error) {
	var out wire.Fences
	err := c.do(ctx, get("fences"), &out)
	return out.Fences, err
}

// SetFence parks the workers of some versions (Version), or of all others (NotVersion), also those that start later. force does so
// although a queue is left without any worker.
func (c *Client) SetFence(ctx context.Context, f wire.Fence, force bool) (*wire.Fence, error) {
	body := map[string]any{"force": force}
	for name, value := range map[string]string{"version": f.Version, "not_version": f.NotVersion, "reason": f.Reason} {
		if value != "" {
			body[name] = value
		}
	}
	var out wire.Fence
	err := c.do(ctx, call{method: http.MethodPut, path: []string{"fences"}, body: body, again: true}, &out)
	return &out, err
}

// LiftFences lets every version claim again.
func (c *Client) LiftFences(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"fences"}, again: true}, nil)
}

// Queues lists the queues.
func (c *Client) Queues(ctx context.Context) ([]wire.Queue, error) {
	var out wire.Queues
	err := c.do(ctx, get("queues"), &out)
	return out.Queues, err
}

// Kinds lists what jobs can be of.
func (c *Client) Kinds(ctx context.Context) ([]wire.Kind, error) {
	var out wire.Kinds
	err := c.do(ctx, get("kinds"), &out)
	return out.Kinds, err
}

// BeginMaintenance has jobs of a kind accepted and not started.
func (c *Client) BeginMaintenance(ctx context.Context, kind, reason string) error {
	return c.do(ctx, call{method: http.MethodPut, path: []string{"kinds", kind, "maintenance"}, body: map[string]string{"reason": reason}, again: true}, nil)
}

// EndMaintenance starts what was held.
func (c *Client) EndMaintenance(ctx context.Context, kind string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"kinds", kind, "maintenance"}, again: true}, nil)
}

// Tenants lists the limits of tenants; "*" holds for those that are not named.
func (c *Client) Tenants(ctx context.Context) ([]wire.Tenant, error) {
	var out wire.Tenants
	err := c.do(ctx, get("tenants"), &out)
	return out.Tenants, err
}

// SetLimits says what a tenant, or "*", may use at once.
func (c *Client) SetLimits(ctx context.Context, tenant string, l wire.Limits) error {
	return c.do(ctx, call{method: http.MethodPut, path: []string{"tenants", tenant, "limits"}, body: l, again: true}, nil)
}

// Tokens lists the API tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	var out wire.Tokens
	err := c.do(ctx, get("tokens"), &out)
	return out.Tokens, err
}

// MakeToken makes an API token. Its secret is told this once.
func (c *Client) MakeToken(ctx context.Context, n wire.NewToken) (*wire.MadeToken, error) {
	var out wire.MadeToken
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"tokens"}, body: n}, &out)
	return &out, err
}

// RevokeToken makes an API token worthless.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"tokens", id}}, nil)
}

// Audit reads a page of who did what, newest first; cursor is Next of the page before, "" the newest.
func (c *Client) Audit(ctx context.Context, cursor string, limit int) (*wire.Audit, error) {
	k := get("audit")
	k.query = url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		k.query.Set("cursor", cursor)
	}
	var out wire.Audit
	err := c.do(ctx, k, &out)
	return &out, err
}
