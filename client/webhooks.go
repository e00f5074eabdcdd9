package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stint-run/stint/client/wire"
)

// Webhooks lists the webhooks, and how they fare.
func (c *Client) Webhooks(ctx context.Context) ([]wire.Webhook, error) {
	var out wire.Webhooks
	err := c.do(ctx, get("webhooks"), &out)
	return out.Webhooks, err
}

// Deliveries lists messages to a webhook, newest first, at most limit (1 to 1000); state "" is of any.
func (c *Client) Deliveries(ctx context.Context, webhook, state string, limit int) ([]wire.Delivery, error) {
	k := get("webhooks", webhook, "deliveries")
	k.query = url.Values{"limit": {strconv.Itoa(limit)}}
	if state != "" {
		k.query.Set("state", state)
	}
	var out wire.Deliveries
	err := c.do(ctx, k, &out)
	return out.Deliveries, err
}

// Delivery reads what became of a message.
func (c *Client) Delivery(ctx context.Context, webhook, id string) (*wire.Delivery, error) {
	var out wire.Delivery
	err := c.do(ctx, get("webhooks", webhook, "deliveries", id), &out)
	return &out, err
}

// Redeliver lets a scheduler send a message again, now.
func (c *Client) Redeliver(ctx context.Context, webhook, id string) (*wire.Delivery, error) {
	var out wire.Delivery
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"webhooks", webhook, "deliveries", id, "redeliver"}, again: true}, &out)
	return &out, err
}

// TestWebhook lets a scheduler send a message that is about no job.
func (c *Client) TestWebhook(ctx context.Context, webhook string) (*wire.Delivery, error) {
	var out wire.Delivery
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"webhooks", webhook, "test"}}, &out)
	return &out, err
}
