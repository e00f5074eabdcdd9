package notify

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// victorOps opens, acknowledges and ends incidents of Splunk On-Call by its REST endpoint. One is known by the alert's id.
type victorOps struct {
	*poster
	spec    Spec
	address string
}

const victorOpsService = "https://alert.victorops.com"

// victorOpsTypes are what a message can be there.
var victorOpsTypes = []string{"INFO", "WARNING", "CRITICAL", "ACKNOWLEDGEMENT", "RECOVERY"}

func openVictorOps(s Spec) (Channel, error) {
	u, err := s.web(victorOpsService)
	if err != nil {
		return nil, err
	}
	if len(s.To) != 1 {
		return nil, errors.New("to: want one routing key")
	}
	if err := s.textOptions(); err != nil {
		return nil, err
	}
	if t, _ := s.text("message_type"); t != "" && !slices.Contains(victorOpsTypes, t) {
		return nil, errors.New("the option message_type is one of " + strings.Join(victorOpsTypes, ", "))
	}
	return &victorOps{newPoster(s), s, u.JoinPath("integrations", "generic", "20131114", "alert", s.Token, s.To[0]).String()}, nil
}

// Keyed is true: an incident is known by its entity_id.
func (v *victorOps) Keyed() bool { return true }

// Send sends an event.
func (v *victorOps) Send(ctx context.Context, m Message) error {
	kind := map[string]string{"critical": "CRITICAL", "error": "CRITICAL", "warning": "WARNING", "info": "INFO"}[m.Severity]
	if own, _ := v.spec.text("message_type"); own != "" {
		kind = own
	}
	switch m.Event {
	case Acknowledged:
		kind = "ACKNOWLEDGEMENT"
	case Resolved:
		kind = "RECOVERY"
	}
	if kind == "" {
		kind = "CRITICAL"
	}
	o := object{"message_type": kind, "entity_id": m.Alert, "entity_display_name": cut(orRule(m), 1000), "monitoring_tool": "stint", "state_message": m.withLinks(m.Text, 15_000, plainLink)}
	for option, name := range map[string]string{"entity_id": "entity_id", "display_name": "entity_display_name"} {
		own, _ := v.spec.text(option)
		put(o, name, own)
	}
	_, err := v.postJSON(ctx, v.address, nil, o)
	return err
}

// pagerTree opens, acknowledges and ends incidents by the webhook of an integration. One is known by the alert's id.
type pagerTree struct {
	*poster
	address string
}

func openPagerTree(s Spec) (Channel, error) {
	u, err := s.web("")
	if err != nil {
		return nil, err
	}
	return &pagerTree{newPoster(s), u.String()}, nil
}

// Keyed is true: an incident is known by its Id.
func (p *pagerTree) Keyed() bool { return true }

// Send sends an event.
func (p *pagerTree) Send(ctx context.Context, m Message) error {
	o := object{"event_type": "create", "Id": m.Alert, "Title": cut(orRule(m), 500), "Description": m.withLinks(m.Text, 15_000, plainLink)}
	switch m.Event {
	case Acknowledged:
		o = object{"event_type": "acknowledge", "Id": m.Alert}
	case Resolved:
		o = object{"event_type": "resolve", "Id": m.Alert}
	}
	_, err := p.postJSON(ctx, p.address, nil, o)
	return err
}

// responders are people or teams that an option names, with {name} filled in from fields that the option with _args gives. Where none
// can be filled in, those of the option that begins with default_ are told, or those names as they stand.
func (s Spec) responders(option string, match map[string]any) []string {
	list, _ := s.texts(option) // checked when it was opened, as all options
	args, _ := s.object(option + "_args")
	if len(args) == 0 {
		return list
	}
	values := object{}
	for name, field := range args {
		if v := s.look(match, textOf(field)); v != nil && v != "" {
			values[name] = v
		}
	}
	var out []string
	for _, r := range list {
		if filled, ok := filledWhole(r, values); ok {
			out = append(out, filled)
		}
	}
	if len(out) > 0 {
		return out
	}
	if others, _ := s.texts("default_" + option); len(others) > 0 {
		return others
	}
	return list
}
