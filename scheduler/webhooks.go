package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/stint-run/stint/client/webhook"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// Webhook is where messages go, and what is signed with what. The definition alone gets into Redis.
type Webhook struct {
	wire.WebhookDefinition
	Address string           // the whole URL
	Secrets []webhook.Secret // each signs; the first is the new one
	Private bool             // the address may lead into a private network, or to this machine
}

const (
	// lookForMessages is the longest time between two looks for messages that are due.
	lookForMessages = 500 * time.Millisecond
	// together is how many messages of one webhook a scheduler sends at once.
	together = 4
	// messageLease is for how long nobody else sends a message that one scheduler has begun to send.
	messageLease = sendWithin + 15*time.Second
	// settleWithin bounds the write of what came of an attempt, also when the scheduler is being stopped.
	settleWithin = 2 * time.Second
)

// gather makes deliveries of what jobs have to tell, in the turn of the sweep.
func (s *Scheduler) gather(ctx context.Context, job string) error {
	if s.hooks == nil { // once a turn
		defs, err := s.store.WebhookDefinitions(ctx)
		if err != nil {
			return err
		}
		s.hooks = defs
	}
	dropped, err := s.store.Gather(ctx, job, s.hooks)
	for name, n := range dropped {
		s.o.Log.Error("a webhook has too many messages that do not arrive; the oldest were given up", "webhook", name, "messages", n)
		s.o.Telemetry.Metrics.WebhookGaveUp(ctx, name, n)
	}
	return err
}

// startWebhooks sends the messages of each webhook of the configuration, in a loop of its own: one that does not answer holds up
// no other.
func (s *Scheduler) startWebhooks(ctx context.Context) {
	for _, w := range s.o.Webhooks {
		to := newReceiver(w, s.resend)
		s.loop.Go(func() {
			defer to.close()
			s.repeat(ctx, "webhook "+w.Name, func(ctx context.Context) (time.Duration, error) { return s.deliver(ctx, w, to) })
		})
	}
}

// deliver sends what is due for a webhook, and returns how long there is nothing to do.
func (s *Scheduler) deliver(ctx context.Context, w Webhook, to *receiver) (time.Duration, error) {
	cctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	claim, err := s.store.ClaimDeliveries(cctx, w.Name, together, messageLease)
	if err != nil {
		return lookForMessages, err
	}
	if !claim.Known && s.o.RemoveOthers { // Redis has lost what webhooks there are
		return lookForMessages, s.store.SetWebhooks(cctx, Definitions(s.o.Webhooks))
	}
	var sending sync.WaitGroup
	errs := make([]error, len(claim.Outgoing))
	for i, o := range claim.Outgoing {
		sending.Go(func() { errs[i] = s.send(ctx, w, to, o, claim.Gone) })
	}
	sending.Wait()
	switch {
	case len(claim.Outgoing) == together:
		return 0, errors.Join(errs...)
	case claim.Wait >= 0:
		return min(lookForMessages, claim.Wait), errors.Join(errs...)
	}
	return lookForMessages, errors.Join(errs...)
}

// send makes one attempt at a message and writes what came of it. A crash in between lets somebody send it again when the lease has
// ended: with the same id, by which the receiver knows it.
func (s *Scheduler) send(ctx context.Context, w Webhook, to *receiver, o store.Outgoing, gone string) error {
	var r store.Sent
	if gone == to.sum && !o.Asked {
		r = store.Sent{State: wire.DeliveryGaveUp, Status: goneStatus, Error: "the webhook has ended: its receiver answered 410 Gone", Unsent: true, Gone: gone}
	} else {
		r = to.attempt(ctx, o)
		if ctx.Err() != nil && r.State != wire.DeliveryDelivered { // cut by the end of this process, which is no fault of the receiver
			r = store.Sent{State: wire.DeliveryPending, Error: "the scheduler was stopped while it sent it", Unsent: true}
		}
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	mine, err := s.store.SettleDelivery(sctx, o, r)
	if err != nil || !mine {
		return err
	}
	if r.Unsent && r.State == wire.DeliveryPending {
		return nil
	}
	s.o.Telemetry.Metrics.WebhookSent(ctx, w.Name, r.State, r.Took)
	log := s.o.Log.With(slog.String("webhook", w.Name), slog.String("message", o.ID), slog.String("event", o.Event))
	switch r.State {
	case wire.DeliveryDelivered:
		log.DebugContext(ctx, "message has arrived", "status", r.Status, "attempt", o.Tries+1)
	case wire.DeliveryPending:
		log.WarnContext(ctx, "message did not arrive; it will be sent again", "status", r.Status, "err", r.Error, "attempt", o.Tries+1, "in", r.Again.String())
	case wire.DeliveryGaveUp:
		log.ErrorContext(ctx, "message did not arrive, and is given up", "status", r.Status, "err", r.Error, "attempt", o.Tries+1)
	}
	return nil
}

// Definitions are what Redis is to know of webhooks.
func Definitions(list []Webhook) []wire.WebhookDefinition {
	defs := make([]wire.WebhookDefinition, len(list))
	for i, w := range list {
		defs[i] = w.WebhookDefinition
	}
	return defs
}
