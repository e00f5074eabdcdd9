package app

import (
	"fmt"
	"net/url"

	"github.com/stint-run/stint/client/webhook"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/scheduler"
)

// webhooks are those of the configuration as the scheduler needs them. The definitions get into Redis, addresses and secrets do not.
func webhooks(list config.Webhooks) ([]scheduler.Webhook, error) {
	out := make([]scheduler.Webhook, 0, len(list))
	for _, c := range list {
		w := scheduler.Webhook{Address: c.URL.Reveal(), Private: c.Private, WebhookDefinition: wire.WebhookDefinition{Name: c.Name, URL: place(c.URL.Reveal()),
			Events: c.Events, Kinds: c.Kinds, Tenants: c.Tenants, Labels: c.LabelMap(), Asked: c.Asked}}
		for _, text := range []config.Secret{c.Secret, c.PreviousSecret} {
			if text.IsZero() {
				continue
			}
			s, err := webhook.ParseSecret(text.Reveal())
			if err != nil {
				return nil, fmt.Errorf("webhook %s: %w", c.Name, err)
			}
			w.Secrets = append(w.Secrets, s)
		}
		out = append(out, w)
	}
	return out, nil
}

// place is scheme and host of an address: the path of many a webhook is a secret.
func place(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
