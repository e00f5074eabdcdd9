package notify

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

const (
	pagerDutyService = "https://events.pagerduty.com"
	opsgenieService  = "https://api.opsgenie.com"
)

// pagerDuty triggers, acknowledges and resolves incidents by Events API v2. An incident is known by the alert's id.
type pagerDuty struct {
	*poster
	address string
	token   string
	client  string // the name of the sender
	options map[string]string
}

func openPagerDuty(s Spec) (Channel, error) {
	u, err := s.web(pagerDutyService)
	if err != nil {
		return nil, err
	}
	p := &pagerDuty{poster: newPoster(s), address: u.JoinPath("v2", "enqueue").String(), token: s.Token, client: "stint", options: map[string]string{}}
	if client, err := s.text("client"); err != nil {
		return nil, err
	} else if client != "" {
		p.client = client
	}
	for option := range s.Options {
		if option == "client" {
			continue
		}
		if p.options[option], err = s.text(option); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Keyed is true: an alert has one incident, however often it is triggered.
func (p *pagerDuty) Keyed() bool { return true }

// Send sends an event. The incident's details are those of the event that opened it.
func (p *pagerDuty) Send(ctx context.Context, m Message) error {
	o := object{"routing_key": p.token, "dedup_key": cut(m.Alert, 255), "event_action": "trigger"}
	switch m.Event {
	case Acknowledged:
		o["event_action"] = "acknowledge"
	case Resolved:
		o["event_action"] = "resolve"
	default:
		payload := object{"summary": cut(orRule(m), 1024), "source": "stint", "severity": pagerSeverity(m), "custom_details": details(m)}
		if !m.At.IsZero() {
			payload["timestamp"] = m.At.UTC().Format(time.RFC3339Nano)
		}
		for option, value := range p.options {
			put(payload, option, value)
		}
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
	_, err := p.postJSON(ctx, p.address, nil, o)
	return err
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

// opsgenie opens, acknowledges and closes alerts by the Alert API. One is known by the alert's id, as its alias.
type opsgenie struct {
	*poster
	base        *url.URL
	token       string
	tags, teams []string
	source      string
}

func openOpsgenie(s Spec) (Channel, error) {
	u, err := s.web(opsgenieService)
	if err != nil {
		return nil, err
	}
	o := &opsgenie{poster: newPoster(s), base: u, token: s.Token, source: "stint"}
	if o.tags, err = s.texts("tags"); err != nil {
		return nil, err
	}
	if o.teams, err = s.texts("teams"); err != nil {
		return nil, err
	}
	if source, err := s.text("source"); err != nil {
		return nil, err
	} else if source != "" {
		o.source = source
	}
	return o, nil
}

// Keyed is true: as long as an alert is open, another with its alias counts up the first.
func (o *opsgenie) Keyed() bool { return true }

// Send asks for what the event means.
func (o *opsgenie) Send(ctx context.Context, m Message) error {
	alias := cut(m.Alert, 512)
	header := http.Header{"Authorization": {"GenieKey " + o.token}}
	action := map[string]string{Acknowledged: "acknowledge", Resolved: "close"}[m.Event]
	if action != "" {
		u := o.base.JoinPath("v2", "alerts", url.PathEscape(alias), action)
		u.RawQuery = "identifierType=alias"
		_, err := o.postJSON(ctx, u.String(), header, object{"source": o.source, "user": "stint", "note": cut(m.Subject, 1000)})
		return err
	}
	body := object{"message": cut(orRule(m), 130), "alias": alias, "source": o.source, "entity": cut(m.Rule, 512), "priority": priority(m), "details": details(m),
		"description": m.withLinks(m.Subject+"\n\n"+m.Text, 15_000, plainLink)}
	if len(o.tags) > 0 {
		body["tags"] = o.tags
	}
	var responders []object
	for _, t := range o.teams {
		responders = append(responders, object{"name": t, "type": "team"})
	}
	if responders != nil {
		body["responders"] = responders
	}
	delete(body["details"].(map[string]string), "text") // it is the description
	_, err := o.postJSON(ctx, o.base.JoinPath("v2", "alerts").String(), header, body)
	return err
}

func priority(m Message) string {
	p := map[string]string{"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}[m.Severity]
	if p == "" {
		return "P3"
	}
	return p
}
