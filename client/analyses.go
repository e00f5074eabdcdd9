package client

import (
	"context"
	"net/http"

	"github.com/stint-run/stint/client/wire"
)

// Analysis reads a dedupe job with its files and the deletions that carry it out.
func (c *Client) Analysis(ctx context.Context, id string) (*wire.Analysis, error) {
	var out wire.Analysis
	err := c.do(ctx, get("analyses", id), &out)
	return &out, err
}

// Apply lets an analysis be carried out, by a job of the kind deletion. With "" for the idempotency key the same words stand for the same
// job, so that it is tried again when the server does not answer. A problem of the code conflict says that the analysis is not whole, or
// is not the one of the digest.
func (c *Client) Apply(ctx context.Context, id, key string, a wire.Apply) (*wire.Submitted, error) {
	var out wire.Submitted
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"analyses", id, "apply"}, header: map[string]string{"Idempotency-Key": key}, body: a, again: true}, &out)
	return &out, err
}

// Undo asks for what a job has deleted to be put back, by a job of the kind restoration. With "" for the idempotency key a lost answer
// leaves it open whether there is one. A problem of the code conflict says that the job still deletes.
func (c *Client) Undo(ctx context.Context, id, key string, u wire.Undo) (*wire.Submitted, error) {
	var out wire.Submitted
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"deletions", id, "undo"}, header: map[string]string{"Idempotency-Key": key}, body: u, again: key != ""}, &out)
	return &out, err
}
