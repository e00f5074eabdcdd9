package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
)

func TestChannelsAreMergedByNameAndPartByPart(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{
		"stint.yaml": `
connections: [{name: logs, url: 'https://logs.example.com'}]
alerts:
  rules: rules
  source: logs
  watch: [mail]
  sign_of_life: {channel: chat, at: "08:30", zone: Europe/Berlin}
  channels:
    - {name: chat, type: slack, url: 'https://chat.example.com/hooks/hidden?key=hidden', options: {icon_emoji: ':bell:'}}
    - name: mail
      type: email
      url: smtp://mail.example.com:587
      from: a@example.com
      to: [b@example.com, c@example.com]
      password: env:PW
      quiet: {from: "22:00", to: "06:00", days: [fri, sat]}
    - {name: push, type: shoutrrr, url: env:PUSH}
`,
		"stint.prod.yaml": "alerts:\n  keep: 48h\n  channels:\n    - {name: mail, again: false, quiet: {zone: Europe/Berlin, from: \"23:00\"}}\n    - {name: pager, type: pagerduty, token: env:PW}\n",
	})
	c, origins := load(t, config.Options{File: file, Environment: "prod", Env: config.Env{"PW=topsecret", "PUSH=pushover://shoutrrr:hidden@user", "STINT_ALERTS_CHANNELS_MAIL_QUIET_TO=07:00", "STINT_ALERTS_CHANNELS_PAGER_PER_MINUTE=5"}})
	if w := origins.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	a := c.Alerts
	if len(a.Channels) != 4 || a.Keep != 48*time.Hour || a.RunEvery != time.Minute || a.SignOfLife.At != "08:30" {
		t.Fatalf("%+v", a)
	}
	chat, mail, pager := a.Channels[0], a.Channels[1], a.Channels[3]
	if string(chat.Options) != `{"icon_emoji":":bell:"}` || chat.SendAgain() {
		t.Errorf("%+v", chat)
	}
	if q := mail.Quiet; q.From != "23:00" || q.To != "07:00" || q.Zone != "Europe/Berlin" || !slices.Equal(q.Days, []string{"fri", "sat"}) || mail.Password.Reveal() != "topsecret" || mail.SendAgain() {
		t.Errorf("%+v", mail)
	}
	if pager.PerMinute != 5 || !pager.SendAgain() {
		t.Errorf("%+v", pager)
	}
	for key, want := range map[string]string{"alerts.channels.chat.url": "https://chat.example.com/[redacted]", "alerts.channels.mail.url": "smtp://mail.example.com:587",
		"alerts.channels.push.url": "pushover://[redacted]", "alerts.channels.mail.quiet.from": "23:00", "alerts.channels.pager.token": "[redacted]"} {
		if o, ok := origins.Of(key); !ok || o.Value != want {
			t.Errorf("%s is shown as %q, want %q", key, o.Value, want)
		}
	}
}

func TestAMistakeInAChannelIsToldAtItsPlace(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{
		"type: slakc": `3:25: alerts.channels.a.b.type: want webhook, slack,`,
		"type: slack": `3:14: alerts.channels.a.b.url: is missing: slack needs it`,
		"type: slack, url: 'http://x.io/topsecret'":                        `3:37: alerts.channels.a.b.url: anybody on the way could read what is sent`,
		"type: slack, url: 'topsecret'":                                    `3:37: alerts.channels.a.b.url: is no address of a server`,
		"type: slack, url: 'https://10.1.2.3/'":                            `3:37: alerts.channels.a.b.url: leads into a private network (set private: true)`,
		"type: email, url: 'https://x.io', from: a":                        `alerts.channels.a.b.url: is no address of a mail server`,
		"type: email, url: 'smtp://h', from: a":                            `3:14: alerts.channels.a.b.to: is missing: email needs it`,
		"type: debug, tls: tls":                                            `3:37: alerts.channels.a.b.tls: is for email`,
		"type: debug, url: 'https://x.io'":                                 `alerts.channels.a.b.url: debug writes into the log`,
		"type: debug, again: perhaps":                                      `3:39: alerts.channels.a.b.again: "perhaps" is neither true nor false`,
		"type: debug, per_minute: -1":                                      `alerts.channels.a.b.per_minute: want 0 or more, got -1`,
		"type: debug, timeout: -1s":                                        `alerts.channels.a.b.timeout: want 0 or more, got -1s`,
		"type: debug, quiet: {from: '25:00'}":                              `3:46: alerts.channels.a.b.quiet.from: want a time of day, got "25:00" (write it as "09:00")`,
		"type: debug, quiet: {from: '22:00'}":                              `3:14: alerts.channels.a.b.quiet.to: want a time of day, got ""`,
		"type: debug, quiet: {days: [mon]}":                                `alerts.channels.a.b.quiet.from: is missing`,
		"type: debug, quiet: {form: '22:00'}":                              `3:40: unknown key "alerts.channels.a.b.quiet.form" (did you mean "alerts.channels.a.b.quiet.from"?)`,
		"type: debug, quiet: night":                                        `3:39: alerts.channels.a.b.quiet: want keys and values`,
		"type: debug, quiet: {from: '1', from: '2'}":                       `key "from" stands in line 3 already`,
		"type: debug, quiet: {from: '22:00', to: '06:00', days: [monday]}": `alerts.channels.a.b.quiet.days: want mon, tue, wed, thu, fri, sat, sun, got "monday"`,
		"type: debug, quiet: {from: '22:00', to: '06:00', zone: Berlin}":   `alerts.channels.a.b.quiet.zone: there is no time zone "Berlin"`,
		"type: debug, quiet: {from: '22:00', to: '22:00'}":                 `alerts.channels.a.b.quiet.to: is when they begin`,
		"type: email, url: 'smtp://h', from: a, to: [b], tls: none":        `alerts.channels.a.b.tls: anybody on the way could read the mail`,
		"type: email, url: 'smtp://h', from: a, to: [b], tls: ssl":         `alerts.channels.a.b.tls: want starttls, tls, none, got "ssl"`,
		"type: shoutrrr, url: nowhere":                                     `alerts.channels.a.b.url: is no address of a service`,
		"type: slack, urll: 'https://x.io'":                                `unknown key "alerts.channels.a.b.urll" (did you mean "alerts.channels.a.b.url"?)`,
	} {
		got := problems(t, config.Options{File: write(t, map[string]string{"stint.yaml": "alerts:\n  channels:\n    - {name: a.b, " + part + "}\n"})})
		if !strings.Contains(got, want) || strings.Contains(got, "topsecret") {
			t.Errorf("%s: got\n%swant %s", part, got, want)
		}
	}
	for section, want := range map[string]string{
		"run_every: 10ms":             `alerts.run_every: want 1s or more, got 10ms`,
		"run_every: 0s":               `alerts.run_every: want 1s or more, got 0s`,
		"every: -1s":                  `alerts.every: want 1s or more, got -1s`,
		"keep: 1m":                    `alerts.keep: want 1h0m0s or more, got 1m0s`,
		"source: logs":                `alerts.source: there is no connection "logs"`,
		"url: stint.internal":         `alerts.url: the address of a server begins with http:// or https://`,
		"watch: [opps]":               `alerts.watch: there is no channel "opps" (did you mean "ops"?)`,
		"sign_of_life: {channel: x}":  `alerts.sign_of_life.channel: there is no channel "x" (name one of alerts.channels)`,
		"sign_of_life: {at: noon}":    `alerts.sign_of_life.at: want a time of day, got "noon"`,
		"sign_of_life: {zone: Local}": `alerts.sign_of_life.zone: there is no time zone "Local"`,
	} {
		got := problems(t, config.Options{File: write(t, map[string]string{"stint.yaml": "alerts:\n  " + section + "\n  channels: [{name: ops, type: debug}]\n"})})
		if !strings.Contains(got, want) {
			t.Errorf("%s: got\n%swant %s", section, got, want)
		}
	}
}
