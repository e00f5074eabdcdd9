package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/stint-run/stint/client/wire"
)

// AlertFilter says which alerts Alerts lists. The zero value is the newest 50 of those that are not over.
type AlertFilter struct {
	Rule   string   // "" is any
	States []string // wire.AlertOpen and so on
	Limit  int      // at most 200; 0 is 50
	Cursor string   // Next of the page before
}

// Alerts reads a page of alerts, those that are not over first and of each the newest first.
func (c *Client) Alerts(ctx context.Context, f AlertFilter) (*wire.AlertList, error) {
	k := get("alerts")
	k.query = url.Values{}
	for name, value := range map[string]string{"rule": f.Rule, "state": strings.Join(f.States, ","), "cursor": f.Cursor} {
		if value != "" {
			k.query.Set(name, value)
		}
	}
	if f.Limit > 0 {
		k.query.Set("limit", strconv.Itoa(f.Limit))
	}
	var out wire.AlertList
	err := c.do(ctx, k, &out)
	return &out, err
}

// Alert reads one alert.
func (c *Client) Alert(ctx context.Context, id string) (*wire.Alert, error) {
	var out wire.Alert
	err := c.do(ctx, get("alerts", id), &out)
	return &out, err
}

// AcknowledgeAlert takes an alert: its ladder stops, for as long as the act says or for good. A problem of the code conflict says that
// it is over.
func (c *Client) AcknowledgeAlert(ctx context.Context, id string, a wire.AlertAct) (*wire.Alert, error) {
	return c.actOnAlert(ctx, id, "ack", a)
}

// ReleaseAlert takes an acknowledgement or a silence back.
func (c *Client) ReleaseAlert(ctx context.Context, id string) (*wire.Alert, error) {
	return c.actOnAlert(ctx, id, "release", nil)
}

// SilenceAlert keeps everybody from being told of an alert for as long as the act says, which it has to.
func (c *Client) SilenceAlert(ctx context.Context, id string, a wire.AlertAct) (*wire.Alert, error) {
	return c.actOnAlert(ctx, id, "silence", a)
}

// ResolveAlert ends an alert; when its rule matches again, that is another one.
func (c *Client) ResolveAlert(ctx context.Context, id string, a wire.AlertAct) (*wire.Alert, error) {
	return c.actOnAlert(ctx, id, "resolve", a)
}

func (c *Client) actOnAlert(ctx context.Context, id, verb string, act any) (*wire.Alert, error) {
	var out wire.Alert
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"alerts", id, verb}, body: act}, &out)
	return &out, err
}

// AlertRules reads which rules are evaluated, and how that goes.
func (c *Client) AlertRules(ctx context.Context) (*wire.AlertRules, error) {
	var out wire.AlertRules
	err := c.do(ctx, get("alerts", "rules"), &out)
	return &out, err
}

// AlertSilences lists the silences of rules that are not over, those first that end first.
func (c *Client) AlertSilences(ctx context.Context) ([]wire.AlertSilence, error) {
	var out wire.AlertSilences
	err := c.do(ctx, get("alerts", "silences"), &out)
	return out.Silences, err
}

// SilenceRules keeps the alerts of rules from being told for a while: those that are open, and those that come.
func (c *Client) SilenceRules(ctx context.Context, n wire.NewAlertSilence) (*wire.AlertSilence, error) {
	var out wire.AlertSilence
	err := c.do(ctx, call{method: http.MethodPost, path: []string{"alerts", "silences"}, body: n}, &out)
	return &out, err
}

// EndSilence takes a silence of rules back. Alerts that it has silenced stay so until its time, unless they are released.
func (c *Client) EndSilence(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"alerts", "silences", id}}, nil)
}
