package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/stint-run/stint/internal/document"
)

// alertmanager hands alerts over to an Alertmanager, which then tells whom it will. It knows an alert by its labels. One that is not
// told again ends there after a time: that of resolve, or else its own resolve_timeout.
type alertmanager struct {
	*poster
	spec                Spec
	address             string
	header              http.Header
	labels, annotations object
	fields              object
	resolve             time.Duration
}

var alertmanagerOptions = []string{"alertname", "labels", "annotations", "fields", "subject_name", "text_name", "resolve"}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func openAlertmanager(s Spec) (Channel, error) {
	u, err := s.web("")
	if err != nil {
		return nil, err
	}
	u.User = nil // user and password are said apart
	a := &alertmanager{spec: s, address: u.JoinPath("api", "v2", "alerts").String(), header: http.Header{}}
	if s.User != "" || s.Password != "" {
		a.header = basic(s.User, s.Password)
	}
	for option, to := range map[string]*object{"labels": &a.labels, "annotations": &a.annotations, "fields": &a.fields} {
		if *to, err = s.object(option); err != nil {
			return nil, err
		}
		for name, v := range *to {
			if !labelName.MatchString(name) {
				return nil, fmt.Errorf("the option %s: %q is no name of a label", option, name)
			}
			if option == "labels" {
				if _, err := jinja(textOf(v)); err != nil {
					return nil, fmt.Errorf("the option labels: %s: %w", name, err)
				}
			}
		}
	}
	for _, option := range []string{"subject_name", "text_name"} {
		if name, err := s.text(option); err != nil || name != "" && !labelName.MatchString(name) {
			return nil, fmt.Errorf("the option %s: %q is no name of an annotation", option, name)
		}
	}
	if _, err := s.text("alertname"); err != nil {
		return nil, err
	}
	resolve, err := s.text("resolve")
	if err != nil {
		return nil, err
	}
	if resolve != "" {
		if a.resolve, err = time.ParseDuration(resolve); err != nil || a.resolve <= 0 {
			return nil, errors.New("the option resolve is a duration, such as 10m")
		}
	}
	a.poster = newPoster(s)
	return a, nil
}

// Keyed is true: an alert with the same labels is the same one.
func (a *alertmanager) Keyed() bool { return true }

// Send hands the alert over. That somebody has taken it Alertmanager does not know.
func (a *alertmanager) Send(ctx context.Context, m Message) error {
	if m.Event == Acknowledged {
		return nil
	}
	labels, err := a.labelsOf(m)
	if err != nil {
		return &Error{Err: err, Permanent: true}
	}
	annotations := map[string]string{}
	for name, v := range a.annotations {
		annotations[name] = textOf(v)
	}
	annotations[a.or("subject_name", "summary")] = cut(m.Subject, 1000)
	annotations[a.or("text_name", "description")] = shorten(m.Text, 15_000)
	alert := object{"labels": labels, "annotations": annotations}
	if u, err := url.Parse(m.ViewURL); err == nil && m.ViewURL != "" {
		alert["generatorURL"] = u.String()
	}
	at := m.At
	if at.IsZero() {
		at = time.Now()
	}
	switch {
	case m.Event == Resolved:
		alert["endsAt"] = at.UTC().Format(time.RFC3339Nano)
	case a.resolve > 0:
		alert["endsAt"] = at.Add(a.resolve).UTC().Format(time.RFC3339Nano)
	}
	_, err = a.postJSON(ctx, a.address, a.header, []object{alert})
	return err
}

func (a *alertmanager) or(option, otherwise string) string {
	if text, _ := a.spec.text(option); text != "" {
		return text
	}
	return otherwise
}

// labelsOf are the labels of the alert.
func (a *alertmanager) labelsOf(m Message) (map[string]string, error) {
	match := m.first()
	out := map[string]string{}
	for name, v := range a.labels {
		t, err := jinja(textOf(v))
		if err != nil {
			return nil, fmt.Errorf("the label %s: %w", name, err)
		}
		if out[name], err = t.Fill(match, a.spec.root(), templateMost); err != nil {
			return nil, fmt.Errorf("the label %s: %w", name, err)
		}
	}
	for name, field := range a.fields {
		switch v := document.Value(match, textOf(field)).(type) {
		case nil:
		case map[string]any, []any:
			b, err := encode(v)
			if err != nil {
				return nil, err
			}
			out[name] = string(b)
		default:
			out[name] = textOf(v)
		}
	}
	out["alertname"], out["elastalert_rule"] = a.or("alertname", m.Rule), m.Rule
	return out, nil
}
