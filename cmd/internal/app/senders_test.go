package app

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/notify/notifytest"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// sample is a value that an option takes.
func sample(o rule.Option) any {
	switch {
	case strings.HasSuffix(o.Name, "_url"), o.Name == "alertmanager_hosts", o.Name == "opsgenie_addr":
		return "https://x.example.com/1"
	case o.Name == "smtp_host", o.Name == "telegram_api_url":
		return "x.example.com"
	case slices.Contains([]string{"email", "cc", "bcc", "from_addr", "email_reply_to"}, o.Name):
		return "a@example.com"
	case strings.HasSuffix(o.Name, "_facts"), strings.HasSuffix(o.Name, "_fields") && o.Kind == rule.KindAny:
		return []any{map[string]any{"title": "Host", "value": "host"}}
	case strings.HasSuffix(o.Name, "_labelname"):
		return "name"
	case o.Name == "dingtalk_btns":
		return []any{map[string]any{"title": "x", "actionURL": "https://x.example.com"}}
	case o.Name == "http_post2_payload":
		return map[string]any{"{{ a }}": []any{"{{ b }}"}}
	case o.Name == "http_post2_headers":
		return `{"X-A": "{{ a }}"}`
	}
	switch o.Kind {
	case rule.KindWord:
		return o.Words[len(o.Words)-1]
	case rule.KindInt:
		return 42
	case rule.KindBool, rule.KindAny:
		return true
	case rule.KindMap:
		return map[string]any{"name": "field"}
	case rule.KindStrings, rule.KindList:
		return []any{"12"}
	case rule.KindDuration:
		return "10m0s"
	}
	return "12"
}

// What a rule may say of a sender, and what is sent by it, are two tables in two packages, which know nothing of one another.
func TestEachOptionThatARuleMayHaveIsOneThatCanBeSent(t *testing.T) {
	t.Parallel()
	var names []string
	for _, s := range rule.Senders() {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, notify.Alerters()) {
		t.Errorf("rules have the senders\n%v, what sends has\n%v", names, notify.Alerters())
	}
	for _, s := range rule.Senders() {
		of := map[string]rule.Option{}
		for _, o := range rule.Table() {
			if o.Standing == rule.Supported && (o.Of == s.Name || s.Name == "teams" && (o.Of == "ms_teams" || o.Of == "ms_power_automate")) {
				of[o.Name] = o
			}
		}
		needed := map[string]any{}
		for _, need := range s.Needs {
			name, _, _ := strings.Cut(need, "|")
			needed[name] = sample(of[name])
		}
		if s.Name == "dingtalk" {
			needed["dingtalk_single_url"] = "https://x.example.com"
		}
		for name, o := range of {
			options := maps.Clone(needed)
			if strings.HasPrefix(name, "ms_teams_") && s.Name == "teams" {
				options = map[string]any{"ms_teams_webhook_url": "https://x.example.com/1"}
			}
			options[name] = sample(o)
			if _, err := notify.FromAlerter(s.Name, options, nil); err != nil {
				t.Errorf("%s: %s is taken by rules, and then: %v", s.Name, name, err)
			}
		}
		known := notify.AlerterOptions(s.Name)
		for _, name := range known {
			if _, taken := of[name]; !taken && name != "opsgenie_default_receipients" {
				t.Errorf("%s: %s can be sent, and rules do not have it", s.Name, name)
			}
		}
	}
}

func TestARuleWhoseSenderCannotSendIsAMistakeOfTheRule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"alert: post2\nhttp_post2_url: https://x\nhttp_post2_payload: {a: '{{ b'}":                           "post2: the payload: the template cannot be read",
		"alert: post\nhttp_post_url: nowhere":                                                                "post: url: want https://HOST/PATH",
		"alert: slack\nslack_webhook_url: https://x\nslack_alert_fields: [{value: host}]":                    "the option fields wants a list of {title, value}",
		"alert: dingtalk\ndingtalk_access_token: x\ndingtalk_msgtype: single_action_card":                    "the option single_url is missing",
		"alert: victorops\nvictorops_api_key: x\nvictorops_routing_key: y\nvictorops_message_type: CRITICAL": "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "r.yaml"), []byte("type: any\nindex: a\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems := rule.Load(rule.Options{Dir: dir, CheckSender: RuleChecks().CheckSender})
		if got := problems.Mistakes().Error(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s says %q, want %q", text, got, want)
		}
	}
}

func TestAnEntryWithATextOfItsOwnIsToldWithIt(t *testing.T) {
	t.Parallel()
	in := notifytest.NewInbox(t)
	dir := t.TempDir()
	text := "name: r\ntype: any\nindex: a\nalert_subject: 'all of {0}'\nalert_subject_args: [host]\nteam: core\nalert:\n- slack: {slack_webhook_url: '" + in.URL +
		"', alert_subject: 'mine of {0}, {1}', alert_subject_args: [host, team], alert_text: hello, alert_text_type: alert_text_only, slack_alert_fields: [{title: Team, value: team}]}\n"
	if err := os.WriteFile(filepath.Join(dir, "r.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems := rule.Load(rule.Options{Dir: dir, CheckSender: RuleChecks().CheckSender})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	var frozen rule.Rule // what a worker has
	b, err := json.Marshal(set.Rules[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &frozen); err != nil {
		t.Fatal(err)
	}
	x := &alerting{app: &App{}}
	c, err := x.described("rule:0:r", &frozen, 0, set.Options("r", 0))
	if err != nil {
		t.Fatal(err)
	}
	m := notify.Message{ID: "1", Alert: "a", Event: notify.Opened, Rule: "r", Subject: "all of web", Text: "long", Matches: []map[string]any{{"host": "web"}}}
	if err := c.To.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.Event, m.Subject = notify.Resolved, "it is over"
	if err := c.To.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := in.Requests()
	if a := string(got[0].Body); !strings.Contains(a, `"title":"mine of web, core"`) || !strings.Contains(a, `"text":"hello`) || !strings.Contains(a, `"value":"core"`) {
		t.Errorf("it is told %s", a)
	}
	if a := string(got[1].Body); !strings.Contains(a, `"title":"it is over"`) {
		t.Errorf("its end is told %s", a)
	}
}
