package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// alerter is how an entry of a rule's alert list, in ElastAlert's words, becomes a channel.
type alerter struct {
	typ string
	// into says which part of a spec, or which of its options (with a dot in front), an option is.
	into map[string]string
}

// alerters are those whose messages mean the same here. ElastAlert's post and post2 are not among them: what they send is the match, in
// a form that their receivers are written for.
var alerters = map[string]alerter{
	"debug": {"debug", nil},
	"slack": {"slack", map[string]string{"slack_webhook_url": "urls", "slack_channel_override": "rooms", "slack_username_override": "from", "slack_emoji_override": ".icon_emoji",
		"slack_icon_url_override": ".icon_url", "slack_timeout": "timeout"}},
	"mattermost": {"mattermost", map[string]string{"mattermost_webhook_url": "urls", "mattermost_channel_override": "rooms", "mattermost_username_override": "from",
		"mattermost_emoji_override": ".icon_emoji", "mattermost_icon_url_override": ".icon_url", "mattermost_timeout": "timeout"}},
	"rocketchat": {"rocketchat", map[string]string{"rocket_chat_webhook_url": "urls", "rocket_chat_channel_override": "rooms", "rocket_chat_username_override": "from",
		"rocket_chat_emoji_override": ".icon_emoji", "rocket_chat_timeout": "timeout"}},
	"discord":           {"discord", map[string]string{"discord_webhook_url": "urls"}},
	"googlechat":        {"googlechat", map[string]string{"googlechat_webhook_url": "urls"}},
	"ms_teams":          {"ms_teams", map[string]string{"ms_teams_webhook_url": "urls"}},
	"ms_power_automate": {"ms_power_automate", map[string]string{"ms_power_automate_webhook_url": "urls"}},
	"telegram":          {"telegram", map[string]string{"telegram_bot_token": "token", "telegram_room_id": "to", "telegram_api_url": "host", "telegram_thread_id": ".thread"}},
	"email": {"email", map[string]string{"email": "to", "from_addr": "from", "smtp_host": "smtp_host", "smtp_port": "smtp_port", "smtp_ssl": "smtp_ssl", "smtp_auth_file": "account",
		"cc": ".cc", "bcc": ".bcc", "email_reply_to": ".reply_to", "email_format": ".format"}},
	"twilio": {"sms", map[string]string{"twilio_account_sid": "user", "twilio_auth_token": "password", "twilio_from_number": "from", "twilio_to_number": "to",
		"twilio_message_service_sid": ".service", "twilio_use_copilot": ""}},
	"pagerduty": {"pagerduty", map[string]string{"pagerduty_service_key": "token", "pagerduty_client_name": ".client", "pagerduty_api_version": "v2", "pagerduty_v2_payload_class": ".class",
		"pagerduty_v2_payload_component": ".component", "pagerduty_v2_payload_group": ".group", "pagerduty_v2_payload_source": ".source"}},
	"opsgenie": {"opsgenie", map[string]string{"opsgenie_key": "token", "opsgenie_addr": "opsgenie_addr", "opsgenie_teams": ".teams", "opsgenie_tags": ".tags", "opsgenie_source": ".source", "opsgenie_account": ""}},
}

// Alerters are ElastAlert's names of alerters that FromAlerter knows, sorted.
func Alerters() []string { return slices.Sorted(maps.Keys(alerters)) }

// FromAlerter returns the channels that an entry of a rule's alert list stands for: one for each address and room. Options are
// ElastAlert's, of this alerter alone; one that is not supported is an error. file reads a file that an option names, which is
// smtp_auth_file; nil is for those who only want to know whether the options are right.
//
// Private is set: whoever writes rules is trusted as those are who write the configuration, and ElastAlert knows no such bound.
func FromAlerter(name string, options map[string]any, file func(string) ([]byte, error)) ([]Spec, error) {
	a, known := alerters[name]
	if !known {
		return nil, fmt.Errorf("the alerter %s is not supported; there are %s", name, strings.Join(Alerters(), ", "))
	}
	f := from{spec: Spec{Name: name, Type: a.typ, Private: true, Options: map[string]any{}}, file: file, port: "25", host: "localhost"}
	for _, option := range slices.Sorted(maps.Keys(options)) {
		part, known := a.into[option]
		if !known {
			return nil, fmt.Errorf("%s is not supported", option)
		}
		if err := f.set(part, options[option]); err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
	}
	return f.specs()
}

// from collects what options say.
type from struct {
	spec        Spec
	urls, rooms []string
	host, port  string
	ssl         bool
	file        func(string) ([]byte, error)
}

// set takes one option.
func (f *from) set(part string, v any) error {
	list, err := words(v)
	if err != nil {
		return err
	}
	one := strings.Join(list, ",")
	if option, is := strings.CutPrefix(part, "."); is {
		if _, many := v.([]any); many {
			f.spec.Options[option] = v
		} else if one != "" {
			f.spec.Options[option] = one
		}
		return nil
	}
	switch part {
	case "urls":
		f.urls = list
	case "rooms":
		f.rooms = list
	case "to":
		f.spec.To = list
	case "from":
		f.spec.From = one
	case "token":
		f.spec.Token = one
	case "user":
		f.spec.User = one
	case "password":
		f.spec.Password = one
	case "host": // without a scheme
		f.urls = []string{"https://" + strings.TrimPrefix(one, "https://")}
	case "opsgenie_addr": // of the alerts, not of the service
		f.urls = []string{strings.TrimSuffix(strings.TrimSuffix(one, "/"), "/v2/alerts")}
	case "timeout":
		return nil // a deadline of ours holds for all
	case "v2":
		if one != "v2" {
			return errors.New("want v2: the first version of the API knows no severity")
		}
	case "smtp_host":
		f.host = one
	case "smtp_port":
		f.port = one
	case "smtp_ssl":
		f.ssl = one == "true"
	case "account":
		return f.account(one)
	}
	return nil
}

// account reads user and password of a mail server from a file.
func (f *from) account(name string) error {
	if f.file == nil {
		return nil
	}
	text, err := f.file(name)
	if err != nil {
		return err
	}
	var account struct{ User, Password string }
	if err := yaml.Unmarshal(text, &account); err != nil || account.User == "" || account.Password == "" {
		return errors.New("the file has no user and password") // the error's own text may quote them
	}
	f.spec.User, f.spec.Password = account.User, account.Password
	return nil
}

// specs are one for each address and room.
func (f *from) specs() ([]Spec, error) {
	if f.spec.Type == "email" {
		scheme := "smtp"
		if f.ssl {
			scheme = "smtps"
		} else {
			f.spec.TLS = opportunistic
		}
		f.urls = []string{scheme + "://" + net.JoinHostPort(f.host, f.port)}
		if f.spec.From == "" {
			f.spec.From = "ElastAlert"
		}
		if !strings.Contains(f.spec.From, "@") { // its default is no address
			f.spec.From = strings.TrimSpace(f.spec.From) + " <stint@localhost>"
		}
	}
	if len(f.urls) == 0 {
		f.urls = []string{""}
	}
	if len(f.rooms) == 0 {
		f.rooms = []string{""}
	}
	var out []Spec
	for _, u := range f.urls {
		for _, room := range f.rooms {
			s := f.spec
			s.URL, s.Options = u, maps.Clone(f.spec.Options)
			if room != "" {
				s.To = []string{room}
			}
			if len(out) > 0 {
				s.Name += "-" + strconv.Itoa(len(out)+1)
			}
			if _, err := New(s); err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// words are one text or several.
func words(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case bool, int, int64, float64, json.Number:
		return []string{fmt.Sprint(v)}, nil
	case []any:
		var out []string
		for _, x := range v {
			one, err := words(x)
			if err != nil || len(one) != 1 {
				return nil, errors.New("want texts")
			}
			out = append(out, one[0])
		}
		return out, nil
	}
	return nil, errors.New("want a text, or several")
}
