package app

import (
	"context"
	"errors"
	"maps"
	"os"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/tasks/alert/message"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/tell"
)

// RuleChecks are the looks at rules for which who reads them needs others: at the texts of queries, at senders, and at what is told.
// They are the same wherever rules are read, so that what is right for one is right for all.
func RuleChecks() rule.Options {
	return rule.Options{CheckQuery: docsearch.ParseQueryString, CheckTexts: message.Check, CheckSender: func(name string, options map[string]any) error {
		_, err := notify.FromAlerter(name, options, nil)
		return err
	}}
}

// RulesOf adds to options what a configuration has: its channels and sources, and what holds where a rule says nothing.
func RulesOf(o rule.Options, a config.Alerts, connections config.Connections) rule.Options {
	o.Channels, o.Sources = []string{}, []string{}
	for _, c := range a.Channels {
		o.Channels = append(o.Channels, c.Name)
	}
	for _, c := range connections {
		o.Sources = append(o.Sources, c.Name)
	}
	o.Defaults = rule.Defaults{RunEvery: a.RunEvery, BufferTime: a.BufferTime, Source: a.Source}
	return o
}

// files says where this process' rules are.
func (x *alerting) files() rule.Options {
	o := RulesOf(RuleChecks(), x.app.o.Alerts, x.app.o.Connections)
	o.Dir, o.Environment, o.Tokens = x.app.o.Alerts.Rules, x.app.o.Environment, x.app.o.Tokens
	return o
}

// described opens the channel that an entry of a rule's alert list describes. It may lead to several places.
func (x *alerting) described(name string, r *rule.Rule, entry int, options map[string]any) (tell.Channel, error) {
	texts, options := rule.SplitTexts(options)
	r = r.Reworded(texts)
	specs, err := notify.FromAlerter(r.Alert[entry].Type, options, os.ReadFile)
	if err != nil {
		return tell.Channel{}, err
	}
	c := tell.Channel{Name: name}
	known := maps.Clone(r.Values)
	if known == nil {
		known = map[string]any{}
	}
	known["name"] = r.Name
	var places []notify.Channel
	for _, s := range specs {
		s.Log, s.Known = x.app.o.Log, known
		to, err := notify.New(s)
		if err != nil {
			return tell.Channel{}, errors.Join(append([]error{err}, closeAll(places)...)...)
		}
		places = append(places, to)
		c.Again = config.AlertChannel{Type: s.Type}.SendAgain()
	}
	c.To = notify.All(places...)
	if len(texts) > 0 {
		c.To = &reworded{c.To, r}
	}
	return c, nil
}

// reworded is a channel with texts of its own. What it is told of is what was found, and so as much of it as an alert keeps.
type reworded struct {
	notify.Channel
	rule *rule.Rule
}

// Send sends the message with the texts of the channel where it is about something that was found.
func (w *reworded) Send(ctx context.Context, m notify.Message) error {
	if len(m.Matches) > 0 && (m.Event == notify.Opened || m.Event == notify.Repeated) {
		m.Subject, m.Text = message.Render(w.rule, m.Matches, message.Extra{Options: w.rule.Values})
	}
	return w.Channel.Send(ctx, m)
}
