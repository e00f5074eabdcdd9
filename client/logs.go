package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// Logs names the logs of a job, each by the step that prints it.
func (c *Client) Logs(ctx context.Context, id string) ([]string, error) {
	var out wire.Logs
	err := c.do(ctx, get("jobs", id, "logs"), &out)
	return out.Logs, err
}

// maxLogLine bounds a line of a log as it is sent, in bytes.
const maxLogLine = 1 << 20

// LogEnd reads the last lines of a log as it is now, at most so many.
func (c *Client) LogEnd(ctx context.Context, id, name string, lines int) ([]tasks.LogLine, error) {
	var list []tasks.LogLine
	q := url.Values{"last": {strconv.Itoa(lines)}}
	_, err := c.log(ctx, id, name, q, func(l tasks.LogLine) error {
		list = append(list, l)
		return nil
	})
	return list, err
}

// Log calls a function for each line of a log from the one with this number on, in order and once each. With follow it ends when the
// step has, or its job; a connection that is cut is made anew.
func (c *Client) Log(ctx context.Context, id, name string, from int64, follow bool, each func(tasks.LogLine) error) error {
	wait := 100 * time.Millisecond
	for {
		before := from
		q := url.Values{"from": {strconv.FormatInt(from, 10)}, "follow": {strconv.FormatBool(follow)}}
		ended, err := c.log(ctx, id, name, q, func(l tasks.LogLine) error {
			if err := each(l); err != nil {
				return err
			}
			from = l.Seq + 1
			return nil
		})
		var p *wire.Problem
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ended:
			return err
		case errors.As(err, &p) && p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests:
			return err
		}
		if from != before {
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

// log reads one answer; ended says that nothing more will come, or that the function wants nothing more.
func (c *Client) log(ctx context.Context, id, name string, query url.Values, each func(tasks.LogLine) error) (ended bool, err error) {
	k := get("jobs", id, "logs", name)
	k.header = map[string]string{"Accept": "*/*"}
	k.query = query
	resp, err := c.insist(ctx, k)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLogLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var l tasks.LogLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return false, fmt.Errorf("read a line of the log: %w", err)
		}
		if err := each(l); err != nil {
			return true, err
		}
	}
	return lines.Err() == nil, lines.Err()
}
