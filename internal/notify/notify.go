// Package notify sends messages to people: chat, mail, text messages, pagers, webhooks. A Channel is one place that they go to.
//
// A message has an id that is the same however often it is sent, and each channel passes it on in the way that its receiver knows
// one: an Idempotency-Key, a dedup_key, a Message-ID. What holds when a sender dies between sending and writing that down depends on
// the receiver; Keyed says it of each.
package notify

import (
	"context"
	"time"
)

// The events of an alert that are told.
const (
	Opened       = "opened"
	Repeated     = "repeated" // it is still so, or it happened again
	Escalated    = "escalated"
	Acknowledged = "acknowledged"
	Resolved     = "resolved"
)

// Message is what is sent. It says the same whenever it is sent.
type Message struct {
	ID       string `json:"id"`    // of this message to this channel: the key by which a receiver knows it again
	Alert    string `json:"alert"` // the alert that it is about: the key by which a pager knows its incident
	Event    string `json:"event"`
	Rule     string `json:"rule"`
	Key      string `json:"key,omitempty"` // of the alert within its rule
	Severity string `json:"severity"`      // info, warning, error, critical
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	// At is when it was decided to send it.
	At time.Time `json:"at"`
	// AckURL takes the alert, without a login, once; "" where none can be made. ViewURL shows it.
	AckURL  string `json:"ack_url,omitempty"`
	ViewURL string `json:"view_url,omitempty"`
	// Matches are what the rule found, bounded.
	Matches []map[string]any `json:"matches,omitempty"`
}

// Channel sends messages to one place. It may be used by many at the same time.
type Channel interface {
	// Send sends a message and returns when the receiver has taken it. Its error is an *Error where more is known than that it failed.
	Send(ctx context.Context, m Message) error
	// Keyed reports whether the receiver takes a message with the same id twice for one.
	Keyed() bool
	// Close lets go of connections.
	Close() error
}

// Error is why a message was not sent, or may not have been.
type Error struct {
	Err error
	// Permanent: it would fail again; something has to be mended first.
	Permanent bool
	// Unknown: the receiver may have taken it.
	Unknown bool
	// After is how long the receiver asks to wait; 0 means that it does not say.
	After time.Duration
}

// Error returns the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
