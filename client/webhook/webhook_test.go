package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/webhook"
)

const vectorSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func secret(t *testing.T, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAMessageIsSignedAsStandardWebhooksHasIt(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	webhook.Sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), secret(t, vectorSecret))
	if got, want := h.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("headers: %v", h)
	}
}

func TestWhoKnowsTheOldOrTheNewSecretVerifiesAMessageOfBoth(t *testing.T) {
	t.Parallel()
	old, next, stranger := secret(t, vectorSecret), secret(t, "whsec_"+strings.Repeat("abcd", 10)), secret(t, "whsec_"+strings.Repeat("dcba", 10))
	now, body := time.Unix(1_700_000_000, 0), []byte(`{"a":1}`)
	h := http.Header{}
	webhook.Sign(h, "msg_1", now, body, next, old)
	for _, w := range []struct {
		name   string
		secret webhook.Secret
		body   string
		now    time.Time
		want   error
	}{
		{"the old one", old, `{"a":1}`, now, nil},
		{"the new one", next, `{"a":1}`, now.Add(4 * time.Minute), nil},
		{"another secret", stranger, `{"a":1}`, now, webhook.ErrSignature},
		{"no secret", webhook.Secret{}, `{"a":1}`, now, webhook.ErrSignature},
		{"another body", old, `{"a":2}`, now, webhook.ErrSignature},
		{"too late", old, `{"a":1}`, now.Add(6 * time.Minute), webhook.ErrTimestamp},
		{"too early", old, `{"a":1}`, now.Add(-6 * time.Minute), webhook.ErrTimestamp},
	} {
		if err := webhook.Verify(w.secret, h, []byte(w.body), w.now); !errors.Is(err, w.want) {
			t.Errorf("%s: %v, want %v", w.name, err, w.want)
		}
	}
}

func TestASecretIsShownToNobodyAndABadOneIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := secret(t, vectorSecret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if text := fmt.Sprintf(verb, s); text != "[redacted]" {
			t.Errorf("%s: %s", verb, text)
		}
	}
	for _, bad := range []string{"", "topsecret", "whsec_topsecret!", "whsec_dG9w"} {
		if _, err := webhook.ParseSecret(bad); err == nil || bad != "" && strings.Contains(err.Error(), "top") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
