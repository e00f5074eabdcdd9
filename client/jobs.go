package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Submit asks for a job. With an idempotency key it is tried again when the server does not answer, and the same key stands for
// the same job for ever; without one ("") a lost answer leaves it open whether there is one.
func (c *Client) Submit(ctx context.Context, key string, s wire.Submission) (*wire.Submitted, error) {
	var out wire.Submitted
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"jobs"}, header: map[string]string{"Idempotency-Key": key}, body: s, again: key != "" || s.Continue}, &out)
	return &out, err
}

// Draft says what a job would do, in its family's form. Nothing is written.
func (c *Client) Draft(ctx context.Context, s wire.Submission) (json.RawMessage, error) {
	out, err := c.Estimate(ctx, s)
	return out.Draft, err
}

// Estimate says what a job would do, and how much that is. Nothing is written.
func (c *Client) Estimate(ctx context.Context, s wire.Submission) (wire.Draft, error) {
	var out wire.Draft
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"drafts"}, body: s, again: true}, &out)
	return out, err
}

// JobCounts counts jobs by kind and state: those that have not ended, and those that have of the newest 1000.
func (c *Client) JobCounts(ctx context.Context) ([]wire.JobCount, error) {
	var out wire.JobCounts
	err := c.do(ctx, get("jobs", "counts"), &out)
	return out.Counts, err
}

// Job reads a job with its stages and what is out of it.
func (c *Client) Job(ctx context.Context, id string) (*wire.Job, error) {
	var out wire.Job
	if err := c.do(ctx, get("jobs", id), &out); err != nil {
		return nil, err
	}
	return &out, nil
}

func get(path ...string) call { return call{method: http.MethodGet, path: path, again: true} }

// Filter says which jobs Jobs lists. The zero value is the newest 50 of all.
type Filter struct {
	Tenant string // "" is any
	Kind   string // "" is any
	States []tasks.State
	Labels map[string]string
	Limit  int    // at most 200; 0 is 50
	Cursor string // Next of the page before
}

// Jobs reads a page of jobs, newest first, without their stages.
func (c *Client) Jobs(ctx context.Context, f Filter) (*wire.Jobs, error) {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("tenant", f.Tenant)
	set("kind", f.Kind)
	set("cursor", f.Cursor)
	if f.Limit > 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	var states, labels []string
	for _, s := range f.States {
		states = append(states, string(s))
	}
	for name, value := range f.Labels {
		labels = append(labels, name+"="+value)
	}
	set("state", strings.Join(states, ","))
	set("label", strings.Join(labels, ","))
	k := get("jobs")
	k.query = q
	var out wire.Jobs
	err := c.do(ctx, k, &out)
	return &out, err
}

// The verbs of Control.
const (
	Pause   = "pause"
	Resume  = "resume"
	Cancel  = "cancel"
	Retry   = "retry"
	Restart = "restart"
)

// Control pauses, resumes, cancels, retries or restarts a job. A problem of the code conflict says that it is in no state for it.
func (c *Client) Control(ctx context.Context, id, verb string) (*wire.Controlled, error) {
	var out wire.Controlled
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"jobs", id, verb}}, &out)
	return &out, err
}

// The formats of ReportAs.
const (
	ReportJSON     = "json"
	ReportMarkdown = "markdown"
	ReportHTML     = "html"
)

// ReportAs reads the report of a job in a format, as the server renders it: a file to keep, or to hand on.
func (c *Client) ReportAs(ctx context.Context, id, format string) ([]byte, error) {
	k := get("jobs", id, "report")
	k.query = url.Values{"format": {format}}
	var out []byte
	err := c.do(ctx, k, &out)
	return out, err
}

// Report reads what became of a job.
func (c *Client) Report(ctx context.Context, id string) (*wire.Report, error) {
	var out wire.Report
	err := c.do(ctx, get("jobs", id, "report"), &out)
	return &out, err
}

// Rejects reads a page of what a job has set aside; cursor is Next of the page before, "" the first.
func (c *Client) Rejects(ctx context.Context, id, cursor string, limit int) (*wire.Rejects, error) {
	k := get("jobs", id, "rejects")
	k.query = url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		k.query.Set("cursor", cursor)
	}
	var out wire.Rejects
	err := c.do(ctx, k, &out)
	return &out, err
}

// Events reads what happened to a job after the event of that id; "" is from the beginning. At most 1,000.
func (c *Client) Events(ctx context.Context, id, after string) ([]wire.Event, error) {
	k := get("jobs", id, "events")
	if after != "" {
		k.query = url.Values{"after": {after}}
	}
	var out wire.Events
	err := c.do(ctx, k, &out)
	return out.Events, err
}

// ErrTrimmed: more happened than the server keeps; some events were missed.
var ErrTrimmed = errors.New("older events are no longer kept")

// Watch calls a function for each event of a job after the one of that id, in order and once each, until the job has ended (nil),
// ctx ends, or the function returns an error. A connection that is cut is made anew, to any server behind the address, and goes
// on after the last event.
func (c *Client) Watch(ctx context.Context, id, after string, each func(wire.Event) error) error {
	wait := 100 * time.Millisecond
	for {
		before := after
		ended, err := c.watch(ctx, id, &after, each)
		var p *wire.Problem
		switch {
		case ended || ctx.Err() != nil:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		case errors.As(err, &p) && p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests:
			return err
		case err == nil: // the stream ended, and so has the job, or this server
			v, err := c.Job(ctx, id)
			if err == nil && v.State.Ended() {
				rest, err := c.Events(ctx, id, after)
				if err == nil && len(rest) == 0 {
					return nil
				}
			}
		}
		if after != before {
			wait = 100 * time.Millisecond
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch reads one stream. ended says that the error is the caller's to have.
func (c *Client) watch(ctx context.Context, id string, after *string, each func(wire.Event) error) (ended bool, err error) {
	k := get("jobs", id, "events")
	k.header = map[string]string{"Accept": "text/event-stream", "Last-Event-ID": *after}
	resp, err := c.send(ctx, k)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	var kind, data string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			data = value
		case "": // a comment, or the end of an event
			if data == "" {
				continue
			}
			if kind == "trimmed" {
				return true, ErrTrimmed
			}
			var e wire.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return true, fmt.Errorf("read event: %w", err)
			}
			kind, data = "", ""
			if err := each(e); err != nil {
				return true, err
			}
			*after = e.ID
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, &Unreachable{c.base.Redacted(), err}
	}
	return false, nil
}
