package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// A message to a webhook passes two outboxes. The script that moves a job puts a note into the job's own, in the same call. The
// sweep makes a delivery of it for each webhook that wants it, and takes the note out afterwards; who dies in between makes the
// same deliveries again, as their ids follow from job, note and webhook. Schedulers claim deliveries under a lease.

const (
	// messagesKept is how long a delivery is kept.
	messagesKept = 8 * 24 * time.Hour
	// keptDeliveries is how many deliveries of a webhook are kept, those that wait included.
	keptDeliveries = 10_000
	// untoldKept is how long the notes of a job are kept that was removed before the sweep has seen them.
	untoldKept = 24 * time.Hour
)

var (
	webhookAdd    = fleetScript("webhook_add")
	webhookClaim  = fleetScript("webhook_claim")
	webhookSettle = fleetScript("webhook_settle")
	webhookAgain  = fleetScript("webhook_again")
)

// about is what notes have to say of a job besides what changes. Create writes it.
type about struct {
	Kind   string            `json:"kind"`
	Tenant string            `json:"tenant,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Target string            `json:"target,omitempty"` // see targetOf
}

func aboutOf(job tasks.Job) (string, error) {
	b, err := json.Marshal(about{job.Kind, job.Tenant, job.Labels, targetOf(job.Spec)})
	if err != nil {
		return "", fmt.Errorf("encode job: %w", err)
	}
	return string(b), nil
}

// Note is what became of a job, as its outbox has it.
type Note struct {
	Job    wire.MessageJob
	Event  string // one of wire.WebhookEvents
	At     time.Time
	Seq    int64  // grows with each note of the job, also when it was removed and submitted again: see outboxKey
	born   string // when the job was written, ms
	target string
}

// nth counts the notes of the job since it was written.
func (n Note) nth() int64 {
	if born := toInt(n.born) * 1000; n.Seq > born { // else a build before wrote the job
		return n.Seq - born
	}
	return n.Seq
}

// id names the message of a note to a webhook. It is the same whoever asks, and however often.
func (n Note) id(webhook string) string {
	return messageID(strings.Join([]string{n.Job.ID, n.born, strconv.FormatInt(n.Seq, 10), webhook}, "\x00"))
}

func messageID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return "msg_" + hex.EncodeToString(sum[:12])
}

// Notes reads what is in the outbox of a job, the oldest first.
func (s *Store) Notes(ctx context.Context, job string) ([]Note, error) {
	h, err := s.rdb.HGetAll(ctx, outboxKey(job)).Result()
	if err != nil {
		return nil, fmt.Errorf("read notes: %w", err)
	}
	list := make([]Note, 0, len(h))
	for seq, body := range h {
		n, err := noteOf(job, toInt(seq), body)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Note) int { return int(a.Seq - b.Seq) })
	return list, nil
}

func noteOf(job string, seq int64, body string) (Note, error) {
	var r struct {
		Event, Epoch, State, Error, Hint, Started, Ended, About, Born, At string
		Sums                                                              map[string]json.Number
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return Note{}, fmt.Errorf("decode note: %w", err)
	}
	var a about
	if r.About != "" { // else a build wrote the job that knew of no webhooks
		if err := json.Unmarshal([]byte(r.About), &a); err != nil {
			return Note{}, fmt.Errorf("decode note: %w", err)
		}
	}
	n := Note{Event: r.Event, Seq: seq, born: r.Born, target: a.Target, Job: wire.MessageJob{ID: job, Kind: a.Kind, Tenant: a.Tenant, Labels: a.Labels,
		Epoch: toInt(r.Epoch), State: tasks.State(r.State), StartedAt: msTime(r.Started), EndedAt: msTime(r.Ended)}}
	if at := msTime(r.At); at != nil {
		n.At = *at
	}
	if r.Error != "" {
		n.Job.Error = &wire.JobError{Message: r.Error, Hint: r.Hint}
	}
	sums, err := json.Marshal(r.Sums)
	if err == nil {
		err = json.Unmarshal(sums, &n.Job.Counters)
	}
	if err != nil {
		return Note{}, fmt.Errorf("decode note: %w", err)
	}
	return n, nil
}

// Told takes notes out of the outbox of their job.
func (s *Store) Told(ctx context.Context, job string, notes []Note) error {
	if len(notes) == 0 {
		return nil
	}
	fields := make([]string, len(notes))
	for i, n := range notes {
		fields[i] = strconv.FormatInt(n.Seq, 10)
	}
	if err := s.rdb.HDel(ctx, outboxKey(job), fields...).Err(); err != nil {
		return fmt.Errorf("take out notes: %w", err)
	}
	return nil
}

// Wants reports whether a webhook is to be told of a note.
func Wants(d wire.WebhookDefinition, n Note) bool {
	in := func(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }
	if !in(d.Events, n.Event) || !in(d.Kinds, n.Job.Kind) || !in(d.Tenants, n.Job.Tenant) {
		return false
	}
	for name, value := range d.Labels {
		if have, ok := n.Job.Labels[name]; !ok || have != value {
			return false
		}
	}
	return !d.Asked || slices.Contains(strings.Split(n.Job.Labels[wire.NotifyLabel], ","), d.Name)
}

// SetWebhooks makes these the webhooks that there are. Deliveries of others that wait are not sent any more.
func (s *Store) SetWebhooks(ctx context.Context, list []wire.WebhookDefinition) error {
	fields := []any{"", "1"}
	for _, d := range list {
		body, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode webhook: %w", err)
		}
		fields = append(fields, d.Name, body)
	}
	_, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, webhooksKey)
		p.HSet(ctx, webhooksKey, fields...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write webhooks: %w", err)
	}
	return nil
}

// WebhookDefinitions lists the webhooks that there are, by name.
func (s *Store) WebhookDefinitions(ctx context.Context) ([]wire.WebhookDefinition, error) {
	h, err := s.rdb.HGetAll(ctx, webhooksKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	list := make([]wire.WebhookDefinition, 0, len(h))
	for name, body := range h {
		if name == "" {
			continue
		}
		var d wire.WebhookDefinition
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			return nil, fmt.Errorf("decode webhook %s: %w", name, err)
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b wire.WebhookDefinition) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Webhooks lists the webhooks that there are, and how they fare.
func (s *Store) Webhooks(ctx context.Context) ([]wire.Webhook, error) {
	defs, err := s.WebhookDefinitions(ctx)
	if err != nil || len(defs) == 0 {
		return []wire.Webhook{}, err
	}
	stats, due := make([]*redis.MapStringStringCmd, len(defs)), make([]*redis.IntCmd, len(defs))
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, d := range defs {
			stats[i], due[i] = p.HGetAll(ctx, webhookStatsKey(d.Name)), p.ZCard(ctx, webhookDueKey(d.Name))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	list := make([]wire.Webhook, len(defs))
	for i, d := range defs {
		h := stats[i].Val()
		w := wire.Webhook{WebhookDefinition: d, State: wire.WebhookActive, Pending: due[i].Val(), Delivered: toInt(h["delivered"]), GaveUp: toInt(h["gave_up"]),
			Failing: msTime(h["failing"]), LastAt: msTime(h["last_at"]), LastStatus: int(toInt(h["last_status"])), LastError: h["last_error"]}
		switch {
		case h["gone"] != "":
			w.State = wire.WebhookEnded
		case w.Failing != nil:
			w.State = wire.WebhookFailing
		}
		list[i] = w
	}
	return list, nil
}

// Message makes the delivery of a note to a webhook, once, whoever asks and however often. It returns how many older ones of the
// webhook that waited had to be given up for it.
func (s *Store) Message(ctx context.Context, d wire.WebhookDefinition, n Note) (dropped int, err error) {
	id := n.id(d.Name)
	job := n.Job
	return s.message(ctx, d.Name, wire.Message{ID: id, Event: n.Event, Job: &job, At: n.At, Hook: d.Name})
}

// TestMessage makes a delivery to a webhook that is about no job. ErrNoSuch when there is no such webhook.
func (s *Store) TestMessage(ctx context.Context, name string) (wire.Delivery, error) {
	if ok, err := s.rdb.HExists(ctx, webhooksKey, name).Result(); err != nil || !ok || name == "" {
		return wire.Delivery{}, errors.Join(err, noWebhook(name, err))
	}
	id := messageID(RandomID())
	if _, err := s.message(ctx, name, wire.Message{ID: id, Event: wire.EventTest, At: time.Now().UTC().Truncate(time.Millisecond), Hook: name}); err != nil {
		return wire.Delivery{}, err
	}
	return s.Delivery(ctx, name, id)
}

func noWebhook(name string, err error) error {
	if err != nil {
		return nil
	}
	return fmt.Errorf("webhook %q: %w", name, ErrNoSuch)
}

func (s *Store) message(ctx context.Context, name string, m wire.Message) (dropped int, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("encode message: %w", err)
	}
	keys := []string{webhookRowPrefix + m.ID, webhookDueKey(name), webhookListKey(name), webhookStatsKey(name)}
	args := []any{m.ID, keptDeliveries, messagesKept.Milliseconds(), webhookRowPrefix, "webhook", name, "event", m.Event, "body", body}
	if m.Job != nil {
		args = append(args, "job", m.Job.ID, "tenant", m.Job.Tenant)
	} else {
		args = append(args, "asked", 1) // somebody wants to see it arrive, also where a receiver has answered 410
	}
	v, err := webhookAdd.Run(ctx, s.rdb, keys, args...).Int64Slice()
	if err != nil || len(v) != 2 {
		return 0, fmt.Errorf("make delivery: %w", err)
	}
	return int(v[1]), nil
}

// Deliveries lists the deliveries of a webhook, newest first, at most limit; state "" is of any.
func (s *Store) Deliveries(ctx context.Context, name, state string, limit int) ([]wire.Delivery, error) {
	list := []wire.Delivery{}
	for from := int64(0); len(list) < limit; from += 200 {
		ids, err := s.rdb.ZRevRange(ctx, webhookListKey(name), from, from+199).Result()
		if err != nil {
			return nil, fmt.Errorf("list deliveries: %w", err)
		}
		page, err := s.deliveries(ctx, name, ids)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if len(list) < limit && (state == "" || d.State == state) {
				list = append(list, d)
			}
		}
		if len(ids) < 200 {
			break
		}
	}
	return list, nil
}

// Delivery reads one delivery of a webhook; ErrNoSuch when there is none.
func (s *Store) Delivery(ctx context.Context, name, id string) (wire.Delivery, error) {
	page, err := s.deliveries(ctx, name, []string{id})
	if err == nil && (len(page) == 0 || page[0].Webhook != name) {
		err = fmt.Errorf("delivery %s of %s: %w", id, name, ErrNoSuch)
	}
	if err != nil {
		return wire.Delivery{}, err
	}
	return page[0], nil
}

// deliveries reads rows; those that have expired are left out.
func (s *Store) deliveries(ctx context.Context, name string, ids []string) ([]wire.Delivery, error) {
	rows, due := make([]*redis.MapStringStringCmd, len(ids)), make([]*redis.FloatCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			rows[i], due[i] = p.HGetAll(ctx, webhookRowPrefix+id), p.ZScore(ctx, webhookDueKey(name), id)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) { // what is not due has no score
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	list := make([]wire.Delivery, 0, len(ids))
	for i, id := range ids {
		h := rows[i].Val()
		if len(h) == 0 {
			continue
		}
		d := wire.Delivery{ID: id, Webhook: h["webhook"], Event: h["event"], Job: h["job"], Tenant: h["tenant"], State: h["state"], Attempts: int(toInt(h["attempts"])),
			Status: int(toInt(h["status"])), Error: h["error"], TookMS: toInt(h["took"]), EndedAt: msTime(h["ended"])}
		if at := msTime(h["created"]); at != nil {
			d.CreatedAt = *at
		}
		if due[i].Err() == nil {
			d.NextAt = msTime(strconv.FormatInt(int64(due[i].Val()), 10))
		}
		list = append(list, d)
	}
	return list, nil
}

// SendAgain sends a delivery again, now, with a new budget. ErrNoSuch when the webhook has none of that id.
func (s *Store) SendAgain(ctx context.Context, name, id string) (wire.Delivery, error) {
	if _, err := s.Delivery(ctx, name, id); err != nil {
		return wire.Delivery{}, err
	}
	n, err := webhookAgain.Run(ctx, s.rdb, []string{webhookRowPrefix + id, webhookDueKey(name)}, id, messagesKept.Milliseconds()).Int()
	if err == nil && n == 0 {
		err = ErrNoSuch
	}
	if err != nil {
		return wire.Delivery{}, fmt.Errorf("redeliver %s: %w", id, err)
	}
	return s.Delivery(ctx, name, id)
}
