package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestWebhooksAreMergedByNameAndKeepTheirSecrets(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"stint.yaml": `webhooks:
  - {name: crm, url: 'https://crm.example.com/hooks/abc?key=hidden', secret: env:CRM, events: [failed], labels: [team=data]}
`, "stint.staging.yaml": `webhooks:
  - {name: crm, url: 'http://127.0.0.1:9000/', private: true, previous_secret: env:CRM}
`})
	c, origins := load(t, config.Options{File: file, Environment: "staging", Env: config.Env{"CRM=" + webhookSecret}})
	w := c.Webhooks[0]
	if len(c.Webhooks) != 1 || w.URL.Reveal() != "http://127.0.0.1:9000/" || !w.Private || w.Secret.Reveal() != webhookSecret || w.PreviousSecret.Reveal() != webhookSecret ||
		w.Events[0] != "failed" || w.LabelMap()["team"] != "data" {
		t.Errorf("%+v", w)
	}
	for _, o := range origins.All() {
		if strings.Contains(o.Value, "whsec_") || strings.Contains(o.Value, "hidden") {
			t.Errorf("a secret is shown: %+v", o)
		}
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "MfKQ9r8") {
		t.Errorf("a secret is shown: %s", text)
	}
}

func TestAWebhookThatCannotBeRightIsRefused(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{
		"secret: " + webhookSecret:                           `webhooks.a.url: is missing`,
		"url: 'https://x'":                                   `webhooks.a.secret: is missing`,
		"url: 'http://x', secret: " + webhookSecret:          `webhooks.a.url: anybody on the way could read what is sent`,
		"url: 'ftp://x', secret: " + webhookSecret:           `webhooks.a.url: ftp://x is no address of a server`,
		"url: 'https://me:pw@x', secret: " + webhookSecret:   `webhooks.a.url: has a user in it`,
		"url: 'https://x', secret: topsecret":                `webhooks.a.secret: want whsec_ and the base64 of 24 to 64 bytes`,
		"url: 'https://x', secret: whsec_dG9w":               `webhooks.a.secret: want whsec_ and the base64 of 24 to 64 bytes`,
		"events: [ended], url: 'https://x', secret: x":       `webhooks.a.events: want started, paused, resumed, succeeded, failed, cancelled, got "ended"`,
		"tenants: ['*'], url: 'https://x', secret: x":        `webhooks.a.tenants: want names of tenants`,
		"labels: [a], url: 'https://x', secret: x":           `webhooks.a.labels: want NAME=VALUE, got "a"`,
		"previous_secret: topsecret, url: x, secret: x":      `webhooks.a.previous_secret: want whsec_ and the base64 of 24 to 64 bytes`,
		"uri: 'https://x', secret: x, url: 'https://x'":      `unknown key "webhooks.a.uri" (did you mean "webhooks.a.url"?)`,
		"asked: perhaps, secret: x, url: 'https://x/a?b=cd'": `webhooks.a.asked: "perhaps" is neither true nor false`,
	} {
		got := problems(t, config.Options{File: write(t, map[string]string{"stint.yaml": "webhooks:\n  - {name: a, " + part + "}\n"})})
		if !strings.Contains(got, want) || strings.Contains(got, "topsecret") || strings.Contains(got, "me:pw") {
			t.Errorf("%s: got\n%swant %s", part, got, want)
		}
	}
}

func TestAConnectionIsForAllTenantsOrForThoseThatItNames(t *testing.T) {
	t.Parallel()
	file := write(t, map[string]string{"stint.yaml": "connections:\n  - {name: all, url: 'sqlite:a'}\n  - {name: acme, url: 'sqlite:b', tenants: [acme, beta]}\n"})
	c, _ := load(t, config.Options{File: file})
	all, _ := c.Connections.Get("all")
	acme, _ := c.Connections.Get("acme")
	for tenant, want := range map[string]bool{"acme": true, "beta": true, "other": false, "": false} {
		if !all.Allows(tenant) || acme.Allows(tenant) != want {
			t.Errorf("%q: %v %v", tenant, all.Allows(tenant), acme.Allows(tenant))
		}
	}
	file = write(t, map[string]string{"stint.yaml": "connections:\n  - {name: a, url: 'sqlite:a', tenants: ['*']}\n"})
	if got := problems(t, config.Options{File: file}); !strings.Contains(got, "connections.a.tenants: want names of tenants") {
		t.Errorf("got %s", got)
	}
}
