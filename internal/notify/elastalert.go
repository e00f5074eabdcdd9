package notify

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// alerter is how an entry of a rule's alert list, in ElastAlert's words, becomes a channel.
type alerter struct {
	typ string
	// into says which part of a spec, or which of its options (with a dot in front), an option is.
	into map[string]string
}

// alerters are those whose messages mean the same here.
var alerters = map[string]alerter{
	"debug":      {"debug", nil},
	"slack":      {"slack", with(attached("slack_"), map[string]string{"slack_text_string": ".text", "slack_alert_fields": ".fields"})},
	"mattermost": {"mattermost", with(attached("mattermost_"), map[string]string{"mattermost_msg_fields": ".fields"})},
	"rocketchat": {"rocketchat", with(room("rocket_chat_"), map[string]string{"rocket_chat_text_string": ".text", "rocket_chat_alert_fields": ".fields"})},
	"discord": {"discord", map[string]string{"discord_webhook_url": "urls", "discord_emoji_title": ".emoji_title", "discord_embed_color": ".color", "discord_embed_footer": ".footer",
		"discord_embed_icon_url": ".footer_icon"}},
	"googlechat": {"googlechat", map[string]string{"googlechat_webhook_url": "urls", "googlechat_format": ".format", "googlechat_header_title": ".title", "googlechat_header_subtitle": ".subtitle",
		"googlechat_header_image": ".image", "googlechat_footer_kibanalink": ".link"}},
	"ms_teams": {"ms_teams", map[string]string{"ms_teams_webhook_url": "urls", "ms_teams_ca_certs": "ca", "ms_teams_alert_summary": ".summary", "ms_teams_theme_color": ".color", "ms_teams_alert_fixed_width": ".fixed_width",
		"ms_teams_alert_facts": ".facts"}},
	"ms_power_automate": {"ms_power_automate", map[string]string{"ms_power_automate_webhook_url": "urls", "ms_power_automate_ca_certs": "ca", "ms_power_automate_alert_summary": ".title", "ms_power_automate_summary_text_size": ".title_size",
		"ms_power_automate_body_text_size": ".text_size", "ms_power_automate_teams_card_width_full": ".full_width", "ms_power_automate_alert_facts": ".facts"}},
	"telegram": {"telegram", map[string]string{"telegram_bot_token": "token", "telegram_room_id": "to", "telegram_api_url": "host", "telegram_thread_id": ".thread", "telegram_parse_mode": ".parse_mode"}},
	"email": {"email", map[string]string{"email": "to", "from_addr": "from", "smtp_host": "smtp_host", "smtp_port": "smtp_port", "smtp_ssl": "smtp_ssl", "smtp_auth_file": "account",
		"smtp_user": "user", "smtp_password": "password", "cc": ".cc", "bcc": ".bcc", "email_reply_to": ".reply_to", "email_format": ".format"}},
	"twilio": {"sms", map[string]string{"twilio_account_sid": "user", "twilio_auth_token": "password", "twilio_from_number": "from", "twilio_to_number": "to",
		"twilio_message_service_sid": ".service", "twilio_use_copilot": "copilot"}},
	"pagerduty": {"pagerduty", map[string]string{"pagerduty_service_key": "token", "pagerduty_ca_certs": "ca", "pagerduty_client_name": ".client", "pagerduty_api_version": "", "pagerduty_event_type": ".event",
		"pagerduty_incident_key": ".incident_key", "pagerduty_incident_key_args": ".incident_key_args", "pagerduty_v2_payload_class": ".class", "pagerduty_v2_payload_class_args": ".class_args",
		"pagerduty_v2_payload_component": ".component", "pagerduty_v2_payload_component_args": ".component_args", "pagerduty_v2_payload_group": ".group",
		"pagerduty_v2_payload_group_args": ".group_args", "pagerduty_v2_payload_source": ".source", "pagerduty_v2_payload_source_args": ".source_args",
		"pagerduty_v2_payload_severity": ".severity", "pagerduty_v2_payload_custom_details": ".details", "pagerduty_v2_payload_include_all_info": ".info"}},
	"opsgenie": {"opsgenie", map[string]string{"opsgenie_key": "token", "opsgenie_addr": "opsgenie_addr", "opsgenie_teams": ".teams", "opsgenie_teams_args": ".teams_args",
		"opsgenie_default_teams": ".default_teams", "opsgenie_recipients": ".recipients", "opsgenie_recipients_args": ".recipients_args", "opsgenie_default_recipients": ".default_recipients",
		"opsgenie_default_receipients": ".default_recipients", "opsgenie_tags": ".tags", "opsgenie_source": ".source", "opsgenie_account": ".user", "opsgenie_message": ".message",
		"opsgenie_description": ".description", "opsgenie_alias": ".alias", "opsgenie_entity": ".entity", "opsgenie_priority": ".priority", "opsgenie_subject": ".subject",
		"opsgenie_subject_args": ".subject_args", "opsgenie_details": ".details"}},
	"victorops": {"victorops", map[string]string{"victorops_api_key": "token", "victorops_routing_key": "to", "victorops_message_type": ".message_type", "victorops_entity_id": ".entity_id",
		"victorops_entity_display_name": ".display_name"}},
	"pagertree": {"pagertree", map[string]string{"pagertree_integration_url": "urls"}},
	"alertmanager": {"alertmanager", map[string]string{"alertmanager_hosts": "urls", "alertmanager_ca_certs": "ca", "alertmanager_api_version": "", "alertmanager_alertname": ".alertname", "alertmanager_labels": ".labels",
		"alertmanager_annotations": ".annotations", "alertmanager_fields": ".fields", "alertmanager_alert_subject_labelname": ".subject_name", "alertmanager_alert_text_labelname": ".text_name",
		"alertmanager_resolve_time": ".resolve", "alertmanager_basic_auth_login": "user", "alertmanager_basic_auth_password": "password"}},
	"matrixhookshot": {"matrixhookshot", map[string]string{"matrixhookshot_webhook_url": "urls", "matrixhookshot_ca_certs": "ca", "matrixhookshot_username": "from", "matrixhookshot_text": ".text", "matrixhookshot_html": ".html"}},
	"dingtalk": {"dingtalk", map[string]string{"dingtalk_access_token": "token", "dingtalk_sign": "password", "dingtalk_msgtype": ".format", "dingtalk_single_title": ".single_title",
		"dingtalk_single_url": ".single_url", "dingtalk_btn_orientation": ".orientation", "dingtalk_btns": ".buttons"}},
	"workwechat":     {"workwechat", map[string]string{"work_wechat_bot_id": "token", "work_wechat_msgtype": ".format"}},
	"lark":           {"lark", map[string]string{"lark_bot_id": "token", "lark_msgtype": ".format"}},
	"webex_incoming": {"webex", map[string]string{"webex_incoming_webhook_id": "token", "webex_incoming_msgtype": ".format"}},
	"webex_webhook":  {"webex", map[string]string{"webex_webhook_id": "token", "webex_webhook_msgtype": ".format"}},
	"chatwork":       {"chatwork", map[string]string{"chatwork_apikey": "token", "chatwork_room_id": "to"}},
	"post": {"post", map[string]string{"http_post_url": "urls", "http_post_ca_certs": "ca", "http_post_payload": ".payload", "http_post_static_payload": ".static", "http_post_headers": ".headers",
		"http_post_all_values": ".all"}},
	"post2": {"post2", map[string]string{"http_post2_url": "urls", "http_post2_ca_certs": "ca", "http_post2_payload": ".payload", "http_post2_raw_fields": ".raw", "http_post2_static_payload": ".static",
		"http_post2_headers": ".headers", "http_post2_all_values": ".all"}},
}

// room are the options of chats that take Slack's form, which begin with the name of each.
func room(prefix string) map[string]string {
	return map[string]string{prefix + "webhook_url": "urls", prefix + "ca_certs": "ca", prefix + "channel_override": "rooms", prefix + "username_override": "from", prefix + "emoji_override": ".icon_emoji",
		prefix + "msg_color": ".color"}
}

// attached are those of chats with all of Slack's attachments.
func attached(prefix string) map[string]string {
	into := with(room(prefix), map[string]string{prefix + "icon_url_override": ".icon_url", prefix + "title": ".title", prefix + "msg_pretext": ".pretext"})
	for _, option := range lookOptions {
		if option != "pretext" {
			into[prefix+option] = "." + option
		}
	}
	return into
}

func with(into, others map[string]string) map[string]string {
	maps.Copy(into, others)
	return into
}

// teamsAlerter is one for either form of Teams: which it is, the webhooks say.
const teamsAlerter = "teams"

// Alerters are ElastAlert's names of alerters that FromAlerter knows, sorted.
func Alerters() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(alerters)), teamsAlerter)))
}

// AlerterOptions are the options of an alerter that FromAlerter knows, sorted; none of one that it does not know.
func AlerterOptions(name string) []string {
	if name == teamsAlerter {
		return append(AlerterOptions("ms_power_automate"), AlerterOptions("ms_teams")...)
	}
	return slices.Sorted(maps.Keys(alerters[name].into))
}

// FromAlerter returns the channels that an entry of a rule's alert list stands for: one for each address and room. Options are
// ElastAlert's, of this alerter alone; one that is not supported is an error. file reads a file that an option names, which is
// smtp_auth_file; nil is for those who only want to know whether the options are right. No error has a secret in it.
//
// Private is set: whoever writes rules is trusted as those are who write the configuration, and ElastAlert knows no such bound.
func FromAlerter(name string, options map[string]any, file func(string) ([]byte, error)) ([]Spec, error) {
	if name == teamsAlerter {
		return fromTeams(options, file)
	}
	a, known := alerters[name]
	if !known {
		return nil, fmt.Errorf("the alerter %s is not supported; there are %s", name, strings.Join(Alerters(), ", "))
	}
	f := from{spec: Spec{Name: name, Type: a.typ, Private: true, Options: map[string]any{}}, file: file, port: "25", host: "localhost"}
	if options["smtp_password"] != nil { // whoever has read the rule has read the file, too
		f.file = nil
	}
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

// fromTeams makes channels of each form of Teams that has a webhook.
func fromTeams(options map[string]any, file func(string) ([]byte, error)) ([]Spec, error) {
	var out []Spec
	for _, name := range []string{"ms_power_automate", "ms_teams"} {
		own := map[string]any{}
		for option, v := range options {
			if strings.HasPrefix(option, name+"_") {
				own[option] = v
			}
		}
		if own[name+"_webhook_url"] == nil {
			continue
		}
		list, err := FromAlerter(name, own, file)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	for option := range options {
		if !strings.HasPrefix(option, "ms_power_automate_") && !strings.HasPrefix(option, "ms_teams_") {
			return nil, fmt.Errorf("%s is not supported", option)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("teams needs ms_power_automate_webhook_url or ms_teams_webhook_url")
	}
	return out, nil
}

// from collects what options say.
type from struct {
	spec        Spec
	urls, rooms []string
	host, port  string
	ssl         bool
	number      bool // a text message is from the number, and not from the service
	file        func(string) ([]byte, error)
}

// set takes one option.
func (f *from) set(part string, v any) error {
	if option, is := strings.CutPrefix(part, "."); is {
		switch v := v.(type) {
		case []any, map[string]any, bool:
			f.spec.Options[option] = v
		case time.Duration:
			f.spec.Options[option] = v.String()
		default:
			one, err := words(v)
			if err != nil {
				return err
			}
			if text := strings.Join(one, ","); text != "" {
				f.spec.Options[option] = text
			}
		}
		return nil
	}
	list, err := words(v)
	if err != nil {
		return err
	}
	one := strings.Join(list, ",")
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
	case "ca":
		return f.roots(one)
	case "copilot":
		f.number = one == "false"
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

// roots reads the certificates that the receiver's is checked against; true are those of the system.
func (f *from) roots(name string) error {
	if f.file == nil || name == "" || name == "true" || name == "false" {
		return nil
	}
	pem, err := f.file(name)
	if err != nil {
		return err
	}
	if f.spec.Roots = x509.NewCertPool(); !f.spec.Roots.AppendCertsFromPEM(pem) {
		return errors.New("the file has no certificate in it")
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
	if f.number && f.spec.From != "" {
		delete(f.spec.Options, "service")
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
