package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stint-run/stint/client/wire"
)

// Schedules lists the schedules.
func (c *Client) Schedules(ctx context.Context) ([]wire.Schedule, error) {
	var out wire.Schedules
	err := c.do(ctx, get("schedules"), &out)
	return out.Schedules, err
}

// Schedule reads one schedule.
func (c *Client) Schedule(ctx context.Context, name string) (*wire.Schedule, error) {
	var out wire.Schedule
	err := c.do(ctx, get("schedules", name), &out)
	return &out, err
}

// PutSchedule makes or replaces a schedule. version is the Version that the caller has seen; "" is any. A problem of the code
// changed says that it is another, one of the code conflict that the schedule comes from the server's configuration.
func (c *Client) PutSchedule(ctx context.Context, name, version string, d wire.ScheduleDefinition) (*wire.Schedule, error) {
	k := call{method: http.MethodPut, path: []string{"schedules", name}, body: d, again: version == ""}
	if version != "" {
		k.header = map[string]string{"If-Match": strconv.Quote(version)}
	}
	var out wire.Schedule
	err := c.do(ctx, k, &out)
	return &out, err
}

// DeleteSchedule removes a schedule with its history; jobs that it has started go on.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"schedules", name}}, nil)
}

// PauseSchedule lets a schedule fire nothing more.
func (c *Client) PauseSchedule(ctx context.Context, name string) (*wire.Schedule, error) {
	return c.schedule(ctx, name, "pause")
}

// ResumeSchedule lets a paused schedule fire again, from its next due time on.
func (c *Client) ResumeSchedule(ctx context.Context, name string) (*wire.Schedule, error) {
	return c.schedule(ctx, name, "resume")
}

func (c *Client) schedule(ctx context.Context, name, verb string) (*wire.Schedule, error) {
	var out wire.Schedule
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"schedules", name, verb}, again: true}, &out)
	return &out, err
}

// RunSchedule fires a schedule now; its overlap policy holds. The same key gives back the same tick, so that it may be tried again;
// "" is a new one.
func (c *Client) RunSchedule(ctx context.Context, name, key string) (*wire.Tick, error) {
	var out wire.Tick
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"schedules", name, "run"}, header: map[string]string{"Idempotency-Key": key}, again: key != ""}, &out)
	return &out, err
}

// Ticks reads what became of a schedule's due times, newest first, at most limit of them.
func (c *Client) Ticks(ctx context.Context, name string, limit int) ([]wire.Tick, error) {
	k := get("schedules", name, "ticks")
	k.query = url.Values{"limit": {strconv.Itoa(limit)}}
	var out wire.Ticks
	err := c.do(ctx, k, &out)
	return out.Ticks, err
}
