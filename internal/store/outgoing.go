package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// Outgoing is a delivery under a lease.
type Outgoing struct {
	ID, Webhook, Event string
	Body               []byte // what is sent, the same each time
	Tries              int    // how often it was tried since it was made, or since somebody asked for it to be sent again
	Asked              bool   // somebody asked for it to be sent, or sent again
	lease              string
}

// Claim is what there is to do for a webhook at a moment.
type Claim struct {
	Outgoing []Outgoing
	Wait     time.Duration // until the next one is due, those that others hold included; negative when none is known
	Gone     string        // the sum of the address that answered 410; "" when none has
	Known    bool          // webhooks were ever written; when not, Redis has lost them
}

// ClaimDeliveries leases at most limit deliveries of a webhook that are due, for a time after which others may claim them.
func (s *Store) ClaimDeliveries(ctx context.Context, name string, limit int, lease time.Duration) (Claim, error) {
	token := RandomID()
	v, err := webhookClaim.Run(ctx, s.rdb, []string{webhookDueKey(name), webhookStatsKey(name), webhooksKey}, limit, lease.Milliseconds(), token, webhookRowPrefix).Slice()
	if err != nil {
		return Claim{}, fmt.Errorf("claim deliveries of %s: %w", name, err)
	}
	if len(v) < 3 {
		return Claim{}, fmt.Errorf("claim deliveries of %s: unexpected reply of a script: %v", name, v)
	}
	c := Claim{Known: toInt(v[0]) == 1, Wait: time.Duration(toInt(v[2])) * time.Millisecond}
	c.Gone, _ = v[1].(string)
	for i := 3; i+1 < len(v); i += 2 {
		o := Outgoing{lease: token}
		o.ID, _ = v[i].(string)
		row := texts(v[i+1])
		for k := 0; k+1 < len(row); k += 2 {
			switch row[k] {
			case "webhook":
				o.Webhook = row[k+1]
			case "event":
				o.Event = row[k+1]
			case "body":
				o.Body = []byte(row[k+1])
			case "tries":
				o.Tries = int(toInt(row[k+1]))
			case "asked":
				o.Asked = row[k+1] == "1"
			}
		}
		c.Outgoing = append(c.Outgoing, o)
	}
	return c, nil
}

// Sent is what came of an attempt at a delivery.
type Sent struct {
	State  string // wire.DeliveryDelivered, wire.DeliveryGaveUp, or wire.DeliveryPending: it is tried again after Again
	Status int    // of the answer; 0 when there was none
	Error  string // "" when nothing was wrong
	Took   time.Duration
	Again  time.Duration
	Gone   string // the sum of the address that answered 410; "" when it did not
	Unsent bool   // nothing was sent: the webhook has ended
}

// SettleDelivery writes what came of an attempt. false when the lease had run out and somebody else has claimed it since.
func (s *Store) SettleDelivery(ctx context.Context, o Outgoing, r Sent) (bool, error) {
	sent := "1"
	if r.Unsent {
		sent = "0"
	}
	n, err := webhookSettle.Run(ctx, s.rdb, []string{webhookRowPrefix + o.ID, webhookDueKey(o.Webhook), webhookStatsKey(o.Webhook)},
		o.ID, o.lease, r.State, r.Status, r.Error, r.Took.Milliseconds(), r.Again.Milliseconds(), r.Gone, sent).Int()
	if err != nil {
		return false, fmt.Errorf("settle delivery %s: %w", o.ID, err)
	}
	return n == 1, nil
}

// Gather makes the deliveries of what is in the outbox of a job, and takes it out. Any number of processes may do so at once. It
// returns, by webhook, how many older deliveries had to be given up.
func (s *Store) Gather(ctx context.Context, job string, defs []wire.WebhookDefinition) (dropped map[string]int, err error) {
	notes, err := s.Notes(ctx, job)
	if err != nil {
		return nil, err
	}
	dropped = map[string]int{}
	for _, n := range notes {
		if n.Job.Kind == "" { // a build wrote the job that knew of no notes
			if err := s.complete(ctx, &n); err != nil {
				return dropped, err
			}
		}
		for _, d := range defs {
			if !Wants(d, n) {
				continue
			}
			lost, err := s.Message(ctx, d, n)
			if err != nil {
				return dropped, err
			}
			if lost > 0 {
				dropped[d.Name] += lost
			}
		}
		if err := s.learn(ctx, n); err != nil {
			return dropped, err
		}
	}
	return dropped, s.Told(ctx, job, notes)
}

// complete fills in what a note says of its job besides what changes, from the job itself; one that is gone leaves it as it is.
func (s *Store) complete(ctx context.Context, n *Note) error {
	job, _, err := s.Job(ctx, n.Job.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	n.Job.Kind, n.Job.Tenant, n.Job.Labels, n.target = job.Kind, job.Tenant, job.Labels, targetOf(job.Spec)
	return err
}
