// Package webhook signs the messages of stint's webhooks and verifies them where they arrive, as Standard Webhooks 1.0.0 has it
// (https://www.standardwebhooks.com): any library for that verifies them as well.
//
//	body, err := io.ReadAll(r.Body)
//	err = webhook.Verify(secret, r.Header, body, time.Now())
//
// A message may arrive more than once, with the same id, and messages may overtake one another.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a message.
const (
	HeaderID        = "webhook-id"        // the same each time the message is sent
	HeaderTimestamp = "webhook-timestamp" // when this attempt was made, Unix time in seconds
	HeaderSignature = "webhook-signature" // "v1,<base64>", one for each secret, separated by spaces
)

// Tolerance is by how much the clocks of sender and receiver may differ: Verify refuses messages that are older or younger.
const Tolerance = 5 * time.Minute

// secretPrefix marks a secret; what follows is base64.
const secretPrefix = "whsec_"

// Errors of Verify.
var (
	ErrSignature = errors.New("no signature of the message is by this secret")
	ErrTimestamp = errors.New("the message is too old, or from the future")
)

// Secret is a key that messages are signed with. It shows itself to nobody. The zero value signs nothing.
type Secret struct{ key []byte }

// ParseSecret reads "whsec_" and the base64 of 24 to 64 bytes. The error does not repeat the text.
func ParseSecret(text string) (Secret, error) {
	encoded, found := strings.CutPrefix(strings.TrimSpace(text), secretPrefix)
	if !found {
		return Secret{}, errors.New("a secret begins with " + secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Secret{}, errors.New("what follows " + secretPrefix + " is no base64")
	}
	if len(key) < 24 || len(key) > 64 {
		return Secret{}, fmt.Errorf("a secret has 24 to 64 bytes, this one has %d", len(key))
	}
	return Secret{key}, nil
}

// String returns "[redacted]".
func (s Secret) String() string { return "[redacted]" }

// Format writes what String returns, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

func (s Secret) sign(id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Sign sets the headers of a message that is sent at some moment, with a signature for each secret: while a secret is being
// changed for another, receivers may know either.
func Sign(h http.Header, id string, at time.Time, body []byte, secrets ...Secret) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		signatures[i] = s.sign(id, timestamp, body)
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}

// Verify says what is wrong with a message that has arrived: ErrSignature, or ErrTimestamp. nil means that it is what the holder of
// the secret has sent. body is as it arrived, before anybody has decoded it.
func Verify(s Secret, h http.Header, body []byte, now time.Time) error {
	at, err := strconv.ParseInt(h.Get(HeaderTimestamp), 10, 64)
	if err != nil || now.Sub(time.Unix(at, 0)).Abs() > Tolerance {
		return ErrTimestamp
	}
	want := []byte(s.sign(h.Get(HeaderID), h.Get(HeaderTimestamp), body))
	for given := range strings.FieldsSeq(h.Get(HeaderSignature)) {
		if len(s.key) > 0 && hmac.Equal([]byte(given), want) {
			return nil
		}
	}
	return ErrSignature
}
