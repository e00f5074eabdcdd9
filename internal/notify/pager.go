package notify

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	pagerDutyService = "https://events.pagerduty.com"
	opsgenieService  = "https://api.opsgenie.com"
)

// pagerDuty triggers, acknowledges and resolves incidents by Events API v2. An incident is known by the alert's id, or by the option
// incident_key.
type pagerDuty struct {
	*poster
	address string
	spec    Spec
	client  string // the name of the sender
	info    bool   // the text is among the details
}

// pagerDutyTexts are parts of an event, each with fields of the match that its option with _args names.
var pagerDutyTexts = []string{"source", "component", "group", "class"}

var pagerDutyOptions = []string{"client", "source", "component", "group", "class", "source_args", "component_args", "group_args", "class_args", "incident_key", "incident_key_args", "event", "severity",
	"details", "info"}

func openPagerDuty(s Spec) (Channel, error) {
	u, err := s.web(pagerDutyService)
	if err != nil {
		return nil, err
	}
	if err := s.textOptions("details", "info"); err != nil {
		return nil, err
	}
	if _, err := s.object("details"); err != nil {
		return nil, err
	}
	if event, _ := s.text("event"); event != "" && event != "trigger" && event != "resolve" && event != "acknowledge" {
		return nil, errors.New("the option event is trigger, resolve or acknowledge")
	}
	p := &pagerDuty{poster: newPoster(s), address: u.JoinPath("v2", "enqueue").String(), spec: s, client: "stint"}
	if p.info, err = s.flag("info", true); err != nil {
		return nil, err
	}
	if client, _ := s.text("client"); client != "" {
		p.client = client
	}
	return p, nil
}

// Keyed is true: an alert has one incident, however often it is triggered.
func (p *pagerDuty) Keyed() bool { return true }

// Send sends an event. The incident's details are those of the event that opened it.
func (p *pagerDuty) Send(ctx context.Context, m Message) error {
	key := p.spec.filled("incident_key", m.first())
	if key == "" {
		key = m.Alert
	}
	action, _ := p.spec.text("event") // checked when it was opened, as all options
	switch {
	case m.Event == Acknowledged:
		action = "acknowledge"
	case m.Event == Resolved:
		action = "resolve"
	case action == "":
		action = "trigger"
	}
	o := object{"routing_key": p.spec.Token, "dedup_key": cut(key, 255), "event_action": action}
	if action == "trigger" {
		p.trigger(o, m)
	}
	_, err := p.postJSON(ctx, p.address, nil, o)
	return err
}

// trigger adds what an incident is opened with.
func (p *pagerDuty) trigger(o object, m Message) {
	payload := object{"summary": cut(orRule(m), 1024), "source": "stint", "severity": pagerSeverity(m), "custom_details": p.details(m)}
	if !m.At.IsZero() {
		payload["timestamp"] = m.At.UTC().Format(time.RFC3339Nano)
	}
	for _, option := range pagerDutyTexts {
		put(payload, option, p.spec.filled(option, m.first()))
	}
	severity, _ := p.spec.text("severity")
	put(payload, "severity", severity)
	o["payload"], o["client"] = payload, p.client
	put(o, "client_url", m.ViewURL)
	var links []object
	for _, l := range m.links() {
		links = append(links, object{"href": l.address, "text": l.word})
	}
	if links != nil {
		o["links"] = links
	}
}

// details are those of a message, and the fields of the match that the option names; one that is no field stands for itself.
func (p *pagerDuty) details(m Message) object {
	out := object{}
	for name, v := range details(m) {
		out[name] = v
	}
	if !p.info {
		delete(out, "text")
	}
	own, _ := p.spec.object("details")
	for name, field := range own {
		out[name] = textOf(field)
		if v := p.spec.look(m.first(), textOf(field)); v != nil {
			out[name] = v
		}
	}
	return out
}

// orRule is the subject; a pager refuses an empty one.
func orRule(m Message) string {
	if m.Subject == "" {
		return m.Rule
	}
	return m.Subject
}

func pagerSeverity(m Message) string {
	switch m.Severity {
	case "critical", "error", "warning", "info":
		return m.Severity
	}
	return "error"
}

// details are what a pager shows of a message; it is the text that may be long.
func details(m Message) map[string]string {
	d := map[string]string{"rule": m.Rule, "message": m.ID, "event": m.Event, "text": shorten(m.Text, 15_000)}
	if m.Key != "" {
		d["key"] = cut(m.Key, 1000)
	}
	return d
}

// opsgenie opens, acknowledges and closes alerts by the Alert API. One is known by the alert's id, as its alias, or by the option alias.
type opsgenie struct {
	*poster
	base *url.URL
	spec Spec
}

var opsgenieOptions = []string{"tags", "teams", "teams_args", "default_teams", "recipients", "recipients_args", "default_recipients", "source", "user", "message", "description", "alias", "entity",
	"priority", "subject", "subject_args", "details"}

func openOpsgenie(s Spec) (Channel, error) {
	u, err := s.web(opsgenieService)
	if err != nil {
		return nil, err
	}
	if err := s.textOptions("details", "teams_args", "recipients_args"); err != nil {
		return nil, err
	}
	for _, option := range []string{"details", "teams_args", "recipients_args"} {
		if _, err := s.object(option); err != nil {
			return nil, err
		}
	}
	return &opsgenie{newPoster(s), u, s}, nil
}

// Keyed is true: as long as an alert is open, another with its alias counts up the first.
func (o *opsgenie) Keyed() bool { return true }

// Send asks for what the event means.
func (o *opsgenie) Send(ctx context.Context, m Message) error {
	match := m.first()
	or := func(option, otherwise string) string {
		if text := o.spec.named(option, match); text != "" {
			return text
		}
		return otherwise
	}
	alias := cut(or("alias", m.Alert), 512)
	header := http.Header{"Authorization": {"GenieKey " + o.spec.Token}}
	action := map[string]string{Acknowledged: "acknowledge", Resolved: "close"}[m.Event]
	if action != "" {
		u := o.base.JoinPath("v2", "alerts", url.PathEscape(alias), action)
		u.RawQuery = "identifierType=alias"
		_, err := o.postJSON(ctx, u.String(), header, object{"source": or("source", "stint"), "user": or("user", "stint"), "note": cut(m.Subject, 1000)})
		return err
	}
	subject := orRule(m)
	if own := o.spec.filled("subject", match); own != "" {
		subject = own
	}
	body := object{"message": cut(or("message", subject), 130), "alias": alias, "source": or("source", "stint"), "entity": cut(or("entity", m.Rule), 512), "priority": priority(m),
		"details": o.details(m), "description": m.withLinks(or("description", m.Subject+"\n\n"+m.Text), 15_000, plainLink)}
	put(body, "user", o.spec.named("user", match))
	if own := o.spec.named("priority", match); slices.Contains(priorities, own) {
		body["priority"] = own
	}
	tags, _ := o.spec.texts("tags")
	for i := range tags {
		tags[i] = cut(named(tags[i], match), 50)
	}
	if len(tags) > 0 {
		body["tags"] = tags
	}
	var responders []object
	for _, t := range o.spec.responders("teams", match) {
		responders = append(responders, object{"name": t, "type": "team"})
	}
	for _, r := range o.spec.responders("recipients", match) {
		responders = append(responders, object{"username": r, "type": "user"})
	}
	if responders != nil {
		body["responders"] = responders
	}
	_, err := o.postJSON(ctx, o.base.JoinPath("v2", "alerts").String(), header, body)
	return err
}

// priorities are those that Opsgenie has.
var priorities = []string{"P1", "P2", "P3", "P4", "P5"}

// details are those of a message without its text, which is the description, and those of the option: a value, or {field: NAME}.
func (o *opsgenie) details(m Message) map[string]string {
	out := details(m)
	delete(out, "text")
	own, _ := o.spec.object("details")
	for name, v := range own {
		field, isField := v.(map[string]any)
		if !isField {
			out[name] = textOf(v)
		} else if x := o.spec.look(m.first(), textOf(field["field"])); x != nil {
			out[name] = cut(textOf(x), 1000)
		}
	}
	return out
}

func priority(m Message) string {
	p := map[string]string{"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}[m.Severity]
	if p == "" {
		return "P3"
	}
	return p
}
