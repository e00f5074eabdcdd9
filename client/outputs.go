package client

import (
	"context"
	"io"
	"mime"
	"strings"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Outputs lists the files that a job has left behind and that are whole.
func (c *Client) Outputs(ctx context.Context, id string) ([]tasks.Output, error) {
	var out wire.Outputs
	err := c.do(ctx, get("jobs", id, "outputs"), &out)
	return out.Outputs, err
}

// Output opens a file that a job has left behind; the caller reads it to its end and closes it. The Output has the digest that the
// bytes must have, where the server knows it; its size is -1 where it does not. A problem of the code not_found says that there is
// no such file, or not yet.
func (c *Client) Output(ctx context.Context, id, name string) (io.ReadCloser, tasks.Output, error) {
	k := get("jobs", id, "outputs", name)
	k.header = map[string]string{"Accept": "*/*"}
	resp, err := c.insist(ctx, k)
	if err != nil {
		return nil, tasks.Output{}, err
	}
	o := tasks.Output{Name: name, Size: resp.ContentLength, Digest: strings.Trim(resp.Header.Get("ETag"), `"`)}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil {
		o.ContentType = kind
	}
	return resp.Body, o, nil
}
