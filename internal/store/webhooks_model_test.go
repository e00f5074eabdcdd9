package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
)

// The scripts of deliveries against a small model: random deliveries are made, twice, claimed, by whoever is first, and settled, by
// whoever still holds the lease, or thinks so.

type modelDelivery struct {
	state    string
	attempts int
	tries    int
	due      bool // a claim may take it now; else it is under a lease, or waits for its time, or is over
	holder   int  // the claim whose lease it is under; -1: none
}

type modelWebhook struct {
	rt     *rapid.T
	s      *Store
	rdb    *redis.Client
	name   string
	rows   map[string]*modelDelivery
	claims []Outgoing
	sums   map[string]int64 // delivered, gave_up
}

func TestTheScriptsOfDeliveriesDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &modelWebhook{rt: rt, s: New(rdb), rdb: rdb, name: fmt.Sprint("hook", n), rows: map[string]*modelDelivery{}, sums: map[string]int64{}}
		if err := m.s.SetWebhooks(rt.Context(), []wire.WebhookDefinition{{Name: m.name}}); err != nil {
			rt.Fatal(err)
		}
		ops := map[string]func(*rapid.T){"": func(*rapid.T) { m.agree() }}
		for name, op := range map[string]func(){"make": m.make, "claim": m.claim, "settle": m.settle, "settle one": m.settle, "send again": m.again, "time passes": m.timePasses} {
			ops[name] = func(rt *rapid.T) { m.rt = rt; op() }
		}
		rt.Repeat(ops)
	})
}

func (m *modelWebhook) id() string {
	return fmt.Sprint(m.name, "-", rapid.IntRange(0, 7).Draw(m.rt, "delivery"))
}

func (m *modelWebhook) make() {
	id := m.id()
	if _, err := m.s.message(m.rt.Context(), m.name, wire.Message{ID: id, Event: "succeeded", Job: &wire.MessageJob{ID: "j"}, Hook: m.name}); err != nil {
		m.rt.Fatal(err)
	}
	if m.rows[id] == nil {
		m.rows[id] = &modelDelivery{state: wire.DeliveryPending, due: true, holder: -1}
	}
}

func (m *modelWebhook) claim() {
	limit, lease := rapid.IntRange(1, 4).Draw(m.rt, "limit"), rapid.SampledFrom([]time.Duration{time.Hour, 0}).Draw(m.rt, "lease")
	due := 0
	for _, d := range m.rows {
		if d.due {
			due++
		}
	}
	c, err := m.s.ClaimDeliveries(m.rt.Context(), m.name, limit, lease)
	if err != nil || len(c.Outgoing) != min(limit, due) || !c.Known {
		m.rt.Fatalf("claimed %+v, %v; %d are due, at most %d are wanted", c, err, due, limit)
	}
	for _, o := range c.Outgoing {
		d := m.rows[o.ID]
		if d == nil || !d.due || o.Tries != d.tries {
			m.rt.Fatalf("claimed %+v, which is %+v", o, d)
		}
		d.due, d.holder = lease == 0, len(m.claims) // a lease that has ended leaves the delivery to whoever claims it next
		m.claims = append(m.claims, o)
	}
}

func (m *modelWebhook) settle() {
	if len(m.claims) == 0 {
		m.rt.Skip("nothing was claimed")
	}
	i := len(m.claims) - 1 - rapid.IntRange(0, len(m.claims)-1).Draw(m.rt, "claims ago")
	o := m.claims[i]
	r := Sent{State: rapid.SampledFrom([]string{wire.DeliveryDelivered, wire.DeliveryPending, wire.DeliveryGaveUp}).Draw(m.rt, "outcome"),
		Again: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(m.rt, "again"), Unsent: rapid.IntRange(0, 4).Draw(m.rt, "unsent") == 0}
	d := m.rows[o.ID]
	mine := d.holder == i
	if done, err := m.s.SettleDelivery(m.rt.Context(), o, r); err != nil || done != mine {
		m.rt.Fatalf("settled: %v, %v; want %v", done, err, mine)
	}
	if !mine {
		return
	}
	d.state, d.holder, d.due = r.State, -1, r.State == wire.DeliveryPending && r.Again == 0
	if !r.Unsent {
		d.attempts++
		d.tries++
	}
	if r.State != wire.DeliveryPending {
		m.sums[r.State]++
	}
}

func (m *modelWebhook) again() {
	id := m.id()
	_, err := m.s.SendAgain(m.rt.Context(), m.name, id)
	d := m.rows[id]
	if (err == nil) != (d != nil) {
		m.rt.Fatalf("send %s again: %v, and it is %+v", id, err, d)
	}
	if d != nil {
		d.state, d.tries, d.due, d.holder = wire.DeliveryPending, 0, true, -1
	}
}

// timePasses ends all leases, and all waits between tries.
func (m *modelWebhook) timePasses() {
	for id, d := range m.rows {
		if d.state == wire.DeliveryPending {
			d.due = true
			if err := m.rdb.ZAddXX(m.rt.Context(), webhookDueKey(m.name), redis.Z{Score: 1, Member: id}).Err(); err != nil {
				m.rt.Fatal(err)
			}
		}
	}
}

func (m *modelWebhook) agree() {
	ctx := m.rt.Context()
	pending := int64(0)
	for id, d := range m.rows {
		got, err := m.s.Delivery(ctx, m.name, id)
		if err != nil || got.State != d.state || got.Attempts != d.attempts || (got.NextAt != nil) != (d.state == wire.DeliveryPending) {
			m.rt.Fatalf("%s: %+v, %v; want %+v", id, got, err, d)
		}
		if d.state == wire.DeliveryPending {
			pending++
		}
	}
	list, err := m.s.Webhooks(ctx)
	if err != nil || len(list) != 1 {
		m.rt.Fatalf("%+v, %v", list, err)
	}
	if w := list[0]; w.Pending != pending || w.Delivered != m.sums[wire.DeliveryDelivered] || w.GaveUp != m.sums[wire.DeliveryGaveUp] {
		m.rt.Fatalf("%+v, want %d pending and %v", w, pending, m.sums)
	}
}
