package webhook_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/webhook"
)

// FuzzOnlyWhatWasSignedIsBelieved holds that a message is believed as it was sent and not otherwise, and that no error repeats a secret.
func FuzzOnlyWhatWasSignedIsBelieved(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	for _, seed := range []string{"", "v1,", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,x v1,y", "1700000000", "1700000000.5", "-1", "9223372036854775807", "+1700000000", " 1700000000", "whsec_", "whsec_zq7hunter2"} {
		f.Add(vectorSecret, "msg_1", seed, seed, []byte(`{"a":1}`))
		f.Add(seed, seed, "1700000000", seed, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, text, id, timestamp, signature string, body []byte) {
		s, err := webhook.ParseSecret(text)
		if err != nil {
			if rest := strings.TrimPrefix(strings.TrimSpace(text), "whsec_"); len(rest) > 8 && strings.Contains(err.Error(), rest) {
				t.Errorf("the error repeats it: %v", err)
			}
			return
		}
		h := http.Header{}
		for name, value := range map[string]string{webhook.HeaderID: id, webhook.HeaderTimestamp: timestamp, webhook.HeaderSignature: signature} {
			h.Set(name, value)
		}
		made := http.Header{}
		webhook.Sign(made, id, now, body, s)
		if webhook.Verify(s, h, body, now) == nil && !strings.Contains(" "+strings.Join(strings.Fields(signature), " ")+" ", " "+made.Get(webhook.HeaderSignature)+" ") && timestamp == made.Get(webhook.HeaderTimestamp) {
			t.Errorf("%q is believed, and was not signed", signature)
		}
		if err := webhook.Verify(s, made, body, now); err != nil {
			t.Errorf("what was signed is refused: %v", err)
		}
		if other := append(bytes.Clone(body), 'x'); webhook.Verify(s, made, other, now) == nil || webhook.Verify(webhook.Secret{}, made, body, now) == nil {
			t.Error("another body, or no secret, is believed")
		}
		made.Set(webhook.HeaderID, id+"x")
		if webhook.Verify(s, made, body, now) == nil {
			t.Error("another id is believed")
		}
	})
}
