package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func (b *bench) notes() []Note {
	b.t.Helper()
	list, err := b.Notes(b.ctx(), b.job.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func eventsOfNotes(list []Note) string {
	var words []string
	for _, n := range list {
		words = append(words, fmt.Sprintf("%s/%d", n.Event, n.Job.Epoch))
	}
	return strings.Join(words, " ")
}

func (b *bench) gather(defs ...wire.WebhookDefinition) {
	b.t.Helper()
	if _, err := b.Gather(b.ctx(), b.job.ID, defs); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) deliveries(name string) []wire.Delivery {
	b.t.Helper()
	list, err := b.Deliveries(b.ctx(), name, "", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) claim(name string, lease time.Duration) []Outgoing {
	b.t.Helper()
	c, err := b.ClaimDeliveries(b.ctx(), name, 10, lease)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.Outgoing
}

func TestEachMoveOfAJobLeavesOneNoteWithAllThatAMessageSays(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Tenant, j.Labels = "acme", map[string]string{"team": "billing"} }, "1", "2")
	b.control(Pause)
	b.control(Resume)
	r := b.take("0/1")
	b.must(b.End(b.ctx(), r, b.lease(r, "w"), tasks.Counters{Read: 7, Written: 5, Quarantined: 2, Bytes: 1 << 40}, nil))
	b.fail("0/2")
	b.control(Retry)
	b.control(Cancel)
	b.control(Restart)
	b.begin(b.take("p"), "a2", "w")
	got := b.notes()
	if want := "started/1 paused/1 resumed/1 failed/1 resumed/1 cancelled/1 started/2"; eventsOfNotes(got) != want {
		t.Fatalf("notes: %s, want %s", eventsOfNotes(got), want)
	}
	n := got[3]
	if n.Job.Kind != "test" || n.Job.Tenant != "acme" || n.Job.Labels["team"] != "billing" || n.Job.State != tasks.Failed || n.Job.Error == nil || n.Job.Error.Message == "" ||
		n.Job.StartedAt == nil || n.Job.EndedAt == nil || time.Since(n.At) > time.Minute {
		t.Errorf("the note of the failure: %+v", n.Job)
	}
	if c := n.Job.Counters; c.Read != 7 || c.Written != 5 || c.Quarantined != 2 || c.Bytes != 1<<40 || c.StepsKnown != 2 || c.StepsDone != 1 || c.StepsFailed != 1 {
		t.Errorf("counters: %+v", c)
	}
	if n := got[1]; n.Job.Error != nil || n.Job.EndedAt != nil {
		t.Errorf("the note of the pause: %+v", n.Job)
	}
}

func TestAJobThatIsPausedWhileItIsPlannedHasStartedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	r := b.take("p")
	attempt := b.lease(r, "w")
	b.control(Pause)
	b.must(b.GiveBack(b.ctx(), r, attempt, "w", tasks.Counters{}, 0, "paused"))
	b.control(Resume)
	b.lease(b.take("p"), "w")
	if got := eventsOfNotes(b.notes()); got != "started/1 paused/1 resumed/1" {
		t.Errorf("notes: %s", got)
	}
}

func TestANoteBecomesOneDeliveryForEachWebhookHoweverOftenItIsGathered(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	defs := []wire.WebhookDefinition{{Name: "all"}, {Name: "ends", Events: []string{wire.EventSucceeded}}, {Name: "others", Kinds: []string{"dedupe"}}}
	b.end("0/1")
	notes := b.notes()
	for range 2 { // who died between the deliveries and the outbox
		for _, n := range notes {
			for _, d := range defs {
				if !Wants(d, n) {
					continue
				}
				if _, err := b.Message(b.ctx(), d, n); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	b.gather(defs...)
	b.gather(defs...)
	if left := b.notes(); len(left) != 0 {
		t.Errorf("left in the outbox: %v", left)
	}
	for name, want := range map[string]int{"all": 2, "ends": 1, "others": 0} {
		if got := b.deliveries(name); len(got) != want {
			t.Errorf("%s: %d deliveries, want %d: %+v", name, len(got), want, got)
		}
	}
	var m wire.Message
	out := b.claim("ends", time.Minute)
	if len(out) != 1 || json.Unmarshal(out[0].Body, &m) != nil || m.ID != out[0].ID || m.Event != wire.EventSucceeded || m.Job.ID != b.job.ID || m.Job.Counters.StepsDone != 1 || m.Hook != "ends" {
		t.Errorf("message: %+v", m)
	}
}

func TestANoteOutlivesItsJob(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.end("0/1")
	if err := b.Forget(b.ctx(), b.job.ID); err != nil {
		t.Fatal(err)
	}
	ids, err := b.Active(b.ctx())
	if err != nil || !slices.Contains(ids, b.job.ID) {
		t.Fatalf("the sweep does not look at it: %v %v", ids, err)
	}
	swept, err := b.Sweep(b.ctx(), b.job.ID, Look{})
	if !errors.Is(err, ErrNotFound) || !swept.Untold {
		t.Fatalf("%+v %v", swept, err)
	}
	if err := b.Deactivate(b.ctx(), b.job.ID); err != nil {
		t.Fatal(err)
	}
	if ids, _ := b.Active(b.ctx()); !slices.Contains(ids, b.job.ID) {
		t.Error("it was dropped before it was told")
	}
	// The same id anew: its notes are counted from the beginning, and are no repetition of those of its former life.
	def := wire.WebhookDefinition{Name: "all"}
	b.gather(def)
	was := b.deliveries("all")
	b.queue = nil
	b.create()
	b.plan("a")
	b.gather(def)
	if now := b.deliveries("all"); len(was) != 2 || len(now) != 3 {
		t.Errorf("%d deliveries, then %d, want 2 and 3", len(was), len(now))
	}
	if ttl := b.rdb.PTTL(b.ctx(), webhookRowPrefix+was[0].ID).Val(); ttl <= 0 || ttl > messagesKept {
		t.Errorf("a delivery is kept for %v", ttl)
	}
}

func TestAJobOfABuildThatKnewOfNoWebhooksIsToldAsWell(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.job.Tenant = "acme"
	b.create()
	b.rdb.HDel(b.ctx(), jobKey(b.job.ID), "about")
	b.lease(b.take("p"), "w")
	b.gather(wire.WebhookDefinition{Name: "w", Kinds: []string{"test"}, Tenants: []string{"acme"}}, wire.WebhookDefinition{Name: "others", Kinds: []string{"dedupe"}})
	if d := b.deliveries("w"); len(d) != 1 || d[0].Tenant != "acme" || len(b.deliveries("others")) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestAWebhookIsToldOfWhatItAsksForAlone(t *testing.T) {
	t.Parallel()
	n := Note{Event: wire.EventFailed, Job: wire.MessageJob{Kind: "migration", Tenant: "acme", Labels: map[string]string{"team": "billing", wire.NotifyLabel: "crm,ops"}}}
	for _, w := range []struct {
		name string
		def  wire.WebhookDefinition
		want bool
	}{
		{"everything", wire.WebhookDefinition{}, true},
		{"its event", wire.WebhookDefinition{Events: []string{wire.EventFailed}}, true},
		{"another event", wire.WebhookDefinition{Events: []string{wire.EventStarted}}, false},
		{"its kind", wire.WebhookDefinition{Kinds: []string{"build", "migration"}}, true},
		{"another kind", wire.WebhookDefinition{Kinds: []string{"build"}}, false},
		{"its tenant", wire.WebhookDefinition{Tenants: []string{"acme"}}, true},
		{"another tenant", wire.WebhookDefinition{Tenants: []string{"other"}}, false},
		{"its label", wire.WebhookDefinition{Labels: map[string]string{"team": "billing"}}, true},
		{"another value of its label", wire.WebhookDefinition{Labels: map[string]string{"team": "sales"}}, false},
		{"a label that it has not", wire.WebhookDefinition{Labels: map[string]string{"zone": ""}}, false},
		{"named", wire.WebhookDefinition{Name: "ops", Asked: true}, true},
		{"not named", wire.WebhookDefinition{Name: "op", Asked: true}, false},
		{"named, of another tenant", wire.WebhookDefinition{Name: "ops", Asked: true, Tenants: []string{"other"}}, false},
	} {
		if got := Wants(w.def, n); got != w.want {
			t.Errorf("%s: %v", w.name, got)
		}
	}
}

func TestADeliveryIsHeldByOneUntilItsLeaseEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.SetWebhooks(b.ctx(), []wire.WebhookDefinition{{Name: "w"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.TestMessage(b.ctx(), "w"); err != nil {
		t.Fatal(err)
	}
	first := b.claim("w", 20*time.Millisecond)
	if len(first) != 1 || first[0].Event != wire.EventTest {
		t.Fatalf("claimed: %+v", first)
	}
	var second []Outgoing
	eventually(t, "the lease ends", func() bool { second = b.claim("w", time.Minute); return len(second) == 1 })
	if got := b.claim("w", time.Minute); len(got) != 0 {
		t.Errorf("claimed by two: %v", got)
	}
	if ok, err := b.SettleDelivery(b.ctx(), first[0], Sent{State: wire.DeliveryGaveUp}); ok || err != nil {
		t.Errorf("who lost the lease settled it: %v %v", ok, err)
	}
	if ok, err := b.SettleDelivery(b.ctx(), second[0], Sent{State: wire.DeliveryDelivered, Status: 204, Took: 3 * time.Millisecond}); !ok || err != nil {
		t.Errorf("settle: %v %v", ok, err)
	}
	if d := b.deliveries("w")[0]; d.State != wire.DeliveryDelivered || d.Attempts != 1 || d.Status != 204 || d.NextAt != nil || d.EndedAt == nil {
		t.Errorf("%+v", d)
	}
}

func TestAFailureIsShownUntilAMessageArrives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.SetWebhooks(b.ctx(), []wire.WebhookDefinition{{Name: "w", URL: "https://example.com"}}); err != nil {
		t.Fatal(err)
	}
	state := func() wire.Webhook {
		t.Helper()
		list, err := b.Webhooks(b.ctx())
		if err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		return list[0]
	}
	d, err := b.TestMessage(b.ctx(), "w")
	if err != nil {
		t.Fatal(err)
	}
	settle := func(r Sent) {
		t.Helper()
		var out []Outgoing
		eventually(t, "it is due", func() bool { out = b.claim("w", time.Minute); return len(out) == 1 })
		if ok, err := b.SettleDelivery(b.ctx(), out[0], r); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	settle(Sent{State: wire.DeliveryPending, Status: 500, Error: "the receiver answered 500", Again: time.Millisecond})
	if w := state(); w.State != wire.WebhookFailing || w.Pending != 1 || w.Failing == nil || w.LastStatus != 500 || w.LastError == "" || w.LastAt == nil {
		t.Errorf("after a failure: %+v", w)
	}
	settle(Sent{State: wire.DeliveryGaveUp, Status: 410, Error: "gone", Gone: "sum"})
	if w := state(); w.State != wire.WebhookEnded || w.Pending != 0 || w.GaveUp != 1 {
		t.Errorf("after a 410: %+v", w)
	}
	if d, err := b.SendAgain(b.ctx(), "w", d.ID); err != nil || d.State != wire.DeliveryPending || d.NextAt == nil || d.EndedAt != nil {
		t.Errorf("sent again: %+v %v", d, err)
	}
	out := b.claim("w", time.Minute)
	if len(out) != 1 || !out[0].Asked || out[0].Tries != 0 {
		t.Fatalf("claimed: %+v", out)
	}
	if _, err := b.SettleDelivery(b.ctx(), out[0], Sent{State: wire.DeliveryDelivered, Status: 200}); err != nil {
		t.Fatal(err)
	}
	if w := state(); w.State != wire.WebhookActive || w.Delivered != 1 || w.Failing != nil {
		t.Errorf("after it arrived: %+v", w)
	}
	if d, err := b.Delivery(b.ctx(), "w", d.ID); err != nil || d.Attempts != 3 {
		t.Errorf("%+v %v", d, err)
	}
	for _, err := range []error{errOf(b.SendAgain(b.ctx(), "w", "msg_none")), errOf(b.SendAgain(b.ctx(), "v", d.ID)), errOf(b.TestMessage(b.ctx(), "v")), errOf(b.TestMessage(b.ctx(), ""))} {
		if !errors.Is(err, ErrNoSuch) {
			t.Errorf("of what there is not: %v", err)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

func TestTheDeliveriesOfAWebhookAreBoundedAndWhatIsDroppedIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys := func(id string) []string {
		return []string{webhookRowPrefix + id, webhookDueKey("w"), webhookListKey("w"), webhookStatsKey("w")}
	}
	var dropped int64
	for i := range 5 {
		id := fmt.Sprint("m", i)
		v, err := webhookAdd.Run(b.ctx(), b.rdb, keys(id), id, 3, 60_000, webhookRowPrefix, "webhook", "w").Int64Slice()
		if err != nil || v[0] != 1 {
			t.Fatal(v, err)
		}
		dropped += v[1]
		if i == 0 { // one that arrived is no loss
			out := b.claim("w", time.Minute)
			if _, err := b.SettleDelivery(b.ctx(), out[0], Sent{State: wire.DeliveryDelivered}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if dropped != 1 || len(b.deliveries("w")) != 3 || b.rdb.HGet(b.ctx(), webhookStatsKey("w"), "gave_up").Val() != "1" {
		t.Errorf("%d dropped, %+v", dropped, b.deliveries("w"))
	}
}

// All that the scripts touch is in one slot each.
func TestWebhooksWorkOnACluster(t *testing.T) {
	t.Parallel()
	c := redistest.NewCluster(t, 3)
	rdb := redis.NewClusterClient(c.Options())
	t.Cleanup(func() { _ = rdb.Close() })
	st, ctx := New(rdb), t.Context()
	defs := []wire.WebhookDefinition{{Name: "one"}, {Name: "two"}}
	if err := st.SetWebhooks(ctx, defs); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		job := tasks.Job{ID: fmt.Sprint("job-", i), Kind: "test", Spec: json.RawMessage(`{"target":"cloud"}`)}
		h, _, err := st.Create(ctx, job)
		if err != nil {
			t.Fatal(err)
		}
		attempt := RandomID()
		if b, err := st.Begin(ctx, h.Enqueue[0], attempt, "w", "v"); err != nil || b.Code != Begun {
			t.Fatal(b, err)
		}
		if _, err := st.PlanDone(ctx, h.Enqueue[0], attempt, nil); err != nil {
			t.Fatal(err)
		}
		if w, err := st.Sweep(ctx, job.ID, Look{}); err != nil || !w.Untold {
			t.Fatal(w, err)
		}
		if _, err := st.Gather(ctx, job.ID, defs); err != nil {
			t.Fatal(err)
		}
		if err := st.Deactivate(ctx, job.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range defs {
		claimed, err := st.ClaimDeliveries(ctx, d.Name, 100, time.Minute)
		if err != nil || len(claimed.Outgoing) != 10 || !claimed.Known {
			t.Fatalf("%+v %v", claimed, err)
		}
		for _, o := range claimed.Outgoing {
			if ok, err := st.SettleDelivery(ctx, o, Sent{State: wire.DeliveryDelivered, Status: 200}); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		if _, err := st.SendAgain(ctx, d.Name, claimed.Outgoing[0].ID); err != nil {
			t.Fatal(err)
		}
	}
	list, err := st.Webhooks(ctx)
	if err != nil || len(list) != 2 || list[1].Delivered != 10 || list[1].Pending != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if active, err := st.Active(ctx); err != nil || len(active) != 0 {
		t.Errorf("still looked at: %v %v", active, err)
	}
	n := Note{Seq: 2, Event: wire.EventSucceeded, target: "cloud", Job: wire.MessageJob{Kind: "test", Epoch: 1, StartedAt: new(time.Time), EndedAt: new(time.Time)}}
	n.Job.Counters.Read = 5
	if err := st.learn(ctx, n); err != nil {
		t.Error(err)
	}
}
