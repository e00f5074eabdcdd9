package scheduler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/stint-run/stint/client/webhook"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/outbound"
	"github.com/stint-run/stint/internal/store"
)

const (
	// sendWithin is how long a receiver may take to answer.
	sendWithin = 15 * time.Second
	// readOfAnswer is how much of an answer is read, so that its connection can be used again.
	readOfAnswer = 16 << 10
	goneStatus   = http.StatusGone
	// mostPatience is the longest Retry-After that is followed.
	mostPatience = time.Hour
)

// resend are the waits between the attempts at a message: nine of them, a little more than a day in all.
var resend = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 8 * time.Hour, 10 * time.Hour}

// receiver is where the messages of one webhook go.
type receiver struct {
	hook   Webhook
	sum    string // of the address: an end of the webhook ends with it
	client *http.Client
	waits  []time.Duration
}

func newReceiver(w Webhook, waits []time.Duration) *receiver {
	sum := sha256.Sum256([]byte(w.Address))
	d := &net.Dialer{Timeout: 5 * time.Second}
	if !w.Private {
		d.Control = outbound.PublicOnly
	}
	t := &http.Transport{DialContext: d.DialContext, TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: together,
		IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10} // and no proxy: it would resolve names itself, past that
	return &receiver{hook: w, sum: hex.EncodeToString(sum[:8]), waits: waits, client: &http.Client{Transport: t, Timeout: sendWithin,
		// A redirect would lead a signed message to where the configuration does not say.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (r *receiver) close() { r.client.CloseIdleConnections() }

// attempt sends a message once and says what to make of it.
func (r *receiver) attempt(ctx context.Context, o store.Outgoing) store.Sent {
	began := time.Now()
	status, patience, err := r.post(ctx, o)
	s := store.Sent{State: wire.DeliveryDelivered, Status: status, Took: time.Since(began)}
	switch {
	case err == nil && status >= 200 && status < 300:
		return s
	case err != nil:
		s.Error = plain(err)
	case status >= 300 && status < 400:
		s.Error = fmt.Sprintf("the receiver answered %d: redirects are not followed", status)
	default:
		s.Error = fmt.Sprintf("the receiver answered %d", status)
	}
	switch {
	case status == goneStatus:
		s.State, s.Gone = wire.DeliveryGaveUp, r.sum
	case o.Tries >= len(r.waits):
		s.State = wire.DeliveryGaveUp
	default:
		wait := r.waits[o.Tries]
		s.State, s.Again = wire.DeliveryPending, max(patience, wait+rand.N(wait/5+1)) // not all at the same moment
	}
	return s
}

// post sends a message. It returns the status of the answer, 0 when there was none, and for how long that asks to be left alone.
func (r *receiver) post(ctx context.Context, o store.Outgoing) (status int, patience time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.hook.Address, bytes.NewReader(o.Body))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "stint")
	webhook.Sign(req.Header, o.ID, time.Now(), o.Body, r.hook.Secrets...)
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, readOfAnswer) // the status says it all; what is left of the body costs the connection
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			patience = min(time.Duration(n)*time.Second, mostPatience)
		}
	}
	return resp.StatusCode, patience, nil
}

// plain is an error without the address: that may be a secret, and the error is shown.
func plain(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		if ue.Timeout() {
			return fmt.Sprintf("the receiver did not answer within %s", sendWithin)
		}
		err = ue.Err
	}
	return err.Error()
}
