package config

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// Webhook is an HTTP address that is told what becomes of jobs. Parts that are left out leave no job out.
type Webhook struct {
	// Name is a-z, digits, _, - and ., at most 64.
	Name string `key:"name" jsonschema:"required"`
	// URL is where messages are sent, https:// or, with Private, http://.
	URL URL `key:"url"`
	// Secret signs them: whsec_ and the base64 of 24 to 64 bytes.
	Secret Secret `key:"secret"`
	// PreviousSecret signs them as well, while receivers change from it to Secret; "" means none.
	PreviousSecret Secret `key:"previous_secret"`
	// Events are what it is told: started, paused, resumed, succeeded, failed, cancelled.
	Events []string `key:"events"`
	// Kinds are those of the jobs that it is told of.
	Kinds []string `key:"kinds"`
	// Tenants are those whose jobs it is told of.
	Tenants []string `key:"tenants"`
	// Labels are name=value pairs that a job has to have, all of them.
	Labels []string `key:"labels"`
	// Asked tells it only of jobs whose submission names it.
	Asked bool `key:"asked"`
	// Private lets the address lead into a private network, or to this machine.
	Private bool `key:"private"`
}

// Webhooks are in the order in which their names first appeared.
type Webhooks []Webhook

// LabelMap returns Labels by name.
func (w Webhook) LabelMap() map[string]string { return labelMap(w.Labels) }

// webhookEvents are what a webhook may be told.
var webhookEvents = []string{"started", "paused", "resumed", "succeeded", "failed", "cancelled"}

func (w Webhook) check(k *checker) {
	part := func(name string) string { return itemKey("webhooks", w.Name, name) }
	const form = "https://HOST/PATH"
	if w.URL.IsZero() {
		k.add(part("url"), "write "+form, "is missing")
	} else {
		k.web(part("url"), w.URL, form)
		u, err := url.Parse(w.URL.Reveal())
		switch {
		case err != nil:
		case u.User != nil:
			k.add(part("url"), "leave it away: the signature says who sends", "has a user in it")
		case u.Scheme == "http" && !w.Private:
			k.add(part("url"), "write https://, or set private: true if it leads into a network of your own", "anybody on the way could read what is sent")
		}
	}
	if w.Secret.IsZero() {
		k.add(part("secret"), webhookSecretHint, "is missing")
	} else {
		k.webhookSecret(part("secret"), w.Secret)
	}
	if !w.PreviousSecret.IsZero() {
		k.webhookSecret(part("previous_secret"), w.PreviousSecret)
	}
	for _, event := range w.Events {
		k.oneOf(part("events"), event, webhookEvents...)
	}
	if slices.Contains(w.Tenants, "*") {
		k.add(part("tenants"), "leave it away for all", "want names of tenants")
	}
	k.labels(part("labels"), w.Labels)
}

const webhookSecretHint = "write whsec_ and what `openssl rand -base64 32` prints into a file, and file:PATH here"

// webhookSecret checks the form that Standard Webhooks gives a secret. What stands there is not repeated.
func (k *checker) webhookSecret(key string, s Secret) {
	encoded, found := strings.CutPrefix(s.Reveal(), "whsec_")
	if b, err := base64.StdEncoding.DecodeString(encoded); !found || err != nil || len(b) < 24 || len(b) > 64 {
		k.add(key, webhookSecretHint, "want whsec_ and the base64 of 24 to 64 bytes")
	}
}
