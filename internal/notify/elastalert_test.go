package notify_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/notify/notifytest"
)

func TestAnAlertListOfElastAlertBecomesChannels(t *testing.T) {
	t.Parallel()
	read := func(name string) ([]byte, error) {
		if name != "smtp.yaml" {
			return nil, errors.New("not there")
		}
		return []byte("user: me\npassword: secret\n"), nil
	}
	for _, c := range []struct {
		alerter string
		options string
		want    string // of each: type, url, token, user, password, from, to
	}{
		{"debug", `{}`, "debug"},
		{"slack", `{"slack_webhook_url": ["https://a.io/1", "https://b.io/2"], "slack_channel_override": ["#x", "#y"], "slack_username_override": "bot", "slack_emoji_override": ":x:"}`,
			"slack https://a.io/1 bot #x|slack https://a.io/1 bot #y|slack https://b.io/2 bot #x|slack https://b.io/2 bot #y"},
		{"email", `{"email": ["a@b.c", "d@e.f"], "smtp_host": "mail.io", "smtp_port": 465, "smtp_ssl": true, "smtp_auth_file": "smtp.yaml", "from_addr": "x@y.z", "cc": ["c@c.c"], "email_format": "html"}`,
			"email smtps://mail.io:465 me secret x@y.z a@b.c d@e.f"},
		{"email", `{"email": "a@b.c"}`, "email smtp://localhost:25 ElastAlert <stint@localhost> a@b.c"},
		{"telegram", `{"telegram_bot_token": "12:x", "telegram_room_id": -100, "telegram_api_url": "tg.io"}`, "telegram https://tg.io 12:x -100"},
		{"twilio", `{"twilio_account_sid": "AC", "twilio_auth_token": "t", "twilio_from_number": "+1", "twilio_to_number": "+2"}`, "sms AC t +1 +2"},
		{"pagerduty", `{"pagerduty_service_key": "k", "pagerduty_client_name": "us", "pagerduty_api_version": "v2", "pagerduty_v2_payload_component": "c"}`, "pagerduty k"},
		{"opsgenie", `{"opsgenie_key": "k", "opsgenie_account": "a", "opsgenie_addr": "https://api.eu.opsgenie.com/v2/alerts", "opsgenie_teams": ["t"]}`, "opsgenie https://api.eu.opsgenie.com k"},
		{"rocketchat", `{"rocket_chat_webhook_url": "https://r.io/1"}`, "rocketchat https://r.io/1"},
		{"mattermost", `{"mattermost_webhook_url": "https://m.io/1", "mattermost_channel_override": "x"}`, "mattermost https://m.io/1 x"},
		{"ms_teams", `{"ms_teams_webhook_url": "https://t.io/1"}`, "ms_teams https://t.io/1"},
	} {
		var options map[string]any
		d := json.NewDecoder(strings.NewReader(c.options))
		d.UseNumber()
		if err := d.Decode(&options); err != nil {
			t.Fatal(err)
		}
		specs, err := notify.FromAlerter(c.alerter, options, read)
		if err != nil {
			t.Errorf("%s: %v", c.alerter, err)
			continue
		}
		var got []string
		for _, s := range specs {
			parts := []string{s.Type}
			for _, p := range append([]string{s.URL, s.Token, s.User, s.Password, s.From}, s.To...) {
				if p != "" {
					parts = append(parts, p)
				}
			}
			got = append(got, strings.Join(parts, " "))
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s became\n%s, want\n%s", c.options, strings.Join(got, "|"), c.want)
		}
	}
	for want, c := range map[string]struct {
		alerter string
		options map[string]any
	}{
		"the alerter jira is not supported; there are alertmanager, chatwork,": {"jira", nil},
		"slack_mesg_color is not supported":                                    {"slack", map[string]any{"slack_webhook_url": "https://a.io", "slack_mesg_color": "good"}},
		"slack needs url":                                                      {"slack", nil},
		"smtp_auth_file: not there":                                            {"email", map[string]any{"email": "a@b.c", "smtp_auth_file": "gone.yaml"}},
		"email: want texts":                                                    {"email", map[string]any{"email": []any{map[string]any{}}}},
		"the option event is trigger, resolve or acknowledge":                  {"pagerduty", map[string]any{"pagerduty_service_key": "k", "pagerduty_event_type": "x"}},
	} {
		if _, err := notify.FromAlerter(c.alerter, c.options, read); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestMailOfARuleTakesTLSWhereTheServerHasIt(t *testing.T) {
	t.Parallel()
	for _, s := range []*notifytest.MailServer{notifytest.NewMailServer(t), notifytest.NewPlainMailServer(t)} {
		host, port, _ := strings.Cut(s.Address, ":")
		specs, err := notify.FromAlerter("email", map[string]any{"email": "a@b.c", "smtp_host": host, "smtp_port": port}, nil)
		if err != nil {
			t.Fatal(err)
		}
		specs[0].Roots = s.Roots
		send(t, open(t, specs[0]), message())
		if m := s.Mails()[0]; m.Message.Header.Get("From") != `"ElastAlert" <stint@localhost>` {
			t.Errorf("%s", m.Raw)
		}
	}
}
