package notify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/stint-run/stint/client/webhook"
)

// hook sends messages as JSON to an address of one's own, signed as Standard Webhooks has it.
type hook struct {
	*poster
	address string
	secrets []webhook.Secret
	header  http.Header
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func openWebhook(s Spec) (Channel, error) {
	u, err := s.web("")
	if err != nil {
		return nil, err
	}
	u.User = nil // a client would send it without being asked; user and password are said apart
	h := &hook{poster: newPoster(s), address: u.String(), header: http.Header{}}
	if s.Token != "" {
		secret, err := webhook.ParseSecret(s.Token)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		h.secrets = []webhook.Secret{secret}
	}
	if s.User != "" || s.Password != "" {
		h.header = basic(s.User, s.Password)
	}
	headers, ok := s.Options["headers"].(map[string]any)
	if s.Options["headers"] != nil && !ok {
		return nil, errors.New("the option headers wants names and values")
	}
	for name, value := range headers {
		text, ok := value.(string)
		if !ok || !headerName.MatchString(name) || strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("the option headers: %q is no header with a text", name)
		}
		h.header.Set(name, text)
	}
	return h, nil
}

func basic(user, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
}

// Keyed is true: that is what a receiver has to do with webhook-id and Idempotency-Key.
func (h *hook) Keyed() bool { return true }

// Send sends the message as it is.
func (h *hook) Send(ctx context.Context, m Message) error {
	body, err := encode(m)
	if err != nil {
		return &Error{Err: err, Permanent: true}
	}
	header := h.header.Clone()
	header.Set("Idempotency-Key", m.ID)
	if len(h.secrets) > 0 {
		webhook.Sign(header, m.ID, time.Now(), body, h.secrets...)
	} else {
		header.Set(webhook.HeaderID, m.ID)
	}
	_, err = h.post(ctx, h.address, "application/json", header, body)
	return err
}

// debug writes messages into the log.
type debug struct{ log *slog.Logger }

func openDebug(s Spec) (Channel, error) {
	log := s.Log
	if log == nil {
		log = slog.Default()
	}
	return &debug{log.With("channel", s.Name)}, nil
}

// Keyed is false: each call writes a line.
func (d *debug) Keyed() bool { return false }

// Send writes the message, without the link that takes the alert: who reads a log is nobody in particular.
func (d *debug) Send(ctx context.Context, m Message) error {
	d.log.InfoContext(ctx, m.Subject, "message", m.ID, "alert", m.Alert, "event", m.Event, "rule", m.Rule, "key", m.Key, "severity", m.Severity, "text", shorten(m.Text, 4000))
	return nil
}

// Close does nothing.
func (d *debug) Close() error { return nil }
