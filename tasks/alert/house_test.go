package alert_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
	"github.com/stint-run/stint/tasks/alert/tell"
)

var zero = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return zero.Add(time.Duration(minutes) * time.Minute) }

// receiver notes the ids of the messages that it gets, and refuses them while it is down.
type receiver struct {
	keyed bool

	mu   sync.Mutex
	got  map[string]int
	all  []notify.Message
	down error
}

func (r *receiver) Send(_ context.Context, m notify.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	if r.got == nil {
		r.got = map[string]int{}
	}
	if m.Alert != "" { // else it is the watcher's
		r.got[m.ID]++
	}
	r.all = append(r.all, m)
	return nil
}

func (r *receiver) Keyed() bool  { return r.keyed }
func (r *receiver) Close() error { return nil }

func (r *receiver) subjects() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, len(r.all))
	for i, m := range r.all {
		out[i] = m.Subject
	}
	return strings.Join(out, ", ")
}

// watched is a source that can be taken away, and that notes the ends of the windows it was asked for.
type watched struct {
	source.Source

	mu   sync.Mutex
	away error
	ends []time.Time
	// before is called before each search; nil is nothing.
	before func(ctx context.Context)
}

func (w *watched) Search(ctx context.Context, q source.Query, page func([]source.Hit) error) (source.Found, error) {
	w.mu.Lock()
	away, before := w.away, w.before
	if away == nil {
		w.ends = append(w.ends, q.End)
	}
	w.mu.Unlock()
	if before != nil {
		before(ctx)
	}
	if away != nil {
		return source.Found{}, away
	}
	return w.Source.Search(ctx, q, page)
}

func (w *watched) set(away error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

// house is all that a tick needs, with a chat that knows no message again and a hook that does.
type house struct {
	t          *testing.T
	redis      *redistest.Server
	rdb        *redis.Client
	store      *alertstore.Store
	family     *alert.Family
	watch      *alert.Watcher
	src        *watched
	chat, hook *receiver
	saver      noSaver
}

// newHouse makes a house with events and rules.
func newHouse(t *testing.T, events []docsearch.Document, rules ...*rule.Rule) *house {
	t.Helper()
	h := &house{t: t, redis: redistest.New(t, redistest.FsyncAlways()), chat: &receiver{}, hook: &receiver{keyed: true}, src: &watched{Source: source.NewEvents(source.Events{Documents: events})}}
	h.rdb = h.redis.Client()
	h.store = alertstore.New(h.rdb, alertstore.Options{})
	h.watch = &alert.Watcher{Store: h.store, Channels: []string{"chat", "hook"}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	teller := tell.New(tell.Options{Store: h.store, Log: log,
		Channel: func(_ context.Context, name string) (tell.Channel, bool, error) {
			to, ok := map[string]*receiver{"chat": h.chat, "hook": h.hook}[name]
			return tell.Channel{Name: name, To: to}, ok, nil
		},
		GaveUp: func(ctx context.Context, o alertstore.Outgoing, reason string, now time.Time) {
			if err := h.watch.GaveUp(ctx, o, reason, now); err != nil {
				t.Error(err)
			}
		}})
	h.family = alert.New(alert.Options{Store: h.store, Teller: teller, Watch: h.watch, Log: log,
		Source: func(context.Context, string) (source.Source, error) { return h.src, nil },
		Render: func(r *rule.Rule, a evaluate.Alert) (string, string, string, error) {
			return r.Name + " " + a.Key, "", "error", nil
		}})
	h.publish(at(0), rules...)
	return h
}

func (h *house) publish(now time.Time, rules ...*rule.Rule) {
	h.t.Helper()
	set := alertstore.Set{Rules: map[string]json.RawMessage{}, Heartbeats: map[string]time.Duration{}, At: now}
	for _, r := range rules {
		text, err := json.Marshal(r)
		if err != nil {
			h.t.Fatal(err)
		}
		set.Rules[r.Name], set.Heartbeats[r.Name] = text, h.watch.HeartbeatOf(r)
	}
	if err := h.store.Publish(h.t.Context(), set); err != nil {
		h.t.Fatal(err)
	}
}

// since lets each rule remember that it was evaluated up to a time.
func (h *house) since(now time.Time, rules ...*rule.Rule) {
	h.t.Helper()
	for _, r := range rules {
		if err := h.store.Commit(h.t.Context(), 0, h.evaluated(now, r)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// evaluated is that a rule was, and found nothing.
func (h *house) evaluated(now time.Time, r *rule.Rule) alertstore.Evaluated {
	h.t.Helper()
	body, err := json.Marshal(evaluate.State{Due: now, End: now, MinStart: now})
	if err != nil {
		h.t.Fatal(err)
	}
	return alertstore.Evaluated{Rule: alertstore.Rule{Name: r.Name}, Body: body, Health: alertstore.Health{At: now, Due: now}, Now: now, Heartbeat: h.watch.HeartbeatOf(r)}
}

type noSaver struct{}

func (noSaver) Save(context.Context, tasks.Cursor, tasks.Counters) error { return nil }

func job(now time.Time) tasks.Job {
	spec, _ := json.Marshal(alert.Spec{At: &now})
	return tasks.Job{ID: "ale-" + now.Format("150405"), Kind: alert.Kind, Spec: spec, CreatedAt: now}
}

// attempt is one at a step of a tick.
func (h *house) attempt(now time.Time, stage tasks.Stage, step tasks.Step, draining <-chan struct{}) *tasks.Attempt {
	return tasks.NewAttempt(&tasks.Attempt{ID: "a", Job: job(now), Stage: stage, Step: step, Draining: draining}, h.saver, nil, tasks.Counters{})
}

// tick works one tick, from its plan to its end.
func (h *house) tick(now time.Time) {
	h.t.Helper()
	if err := h.tried(now); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) tried(now time.Time) error {
	ctx := h.t.Context()
	stages, err := h.family.Plan(ctx, job(now))
	for _, stage := range stages {
		var steps []tasks.Step
		if steps, _, err = h.family.Split(ctx, job(now), stage, nil, 1000); err != nil {
			return err
		}
		for _, step := range steps {
			if err := h.family.Run(ctx, h.attempt(now, stage, step, make(chan struct{}))); err != nil {
				return err
			}
		}
	}
	return err
}

// groups are the steps of the evaluation of a tick.
func (h *house) groups(now time.Time) (tasks.Stage, []tasks.Step) {
	h.t.Helper()
	stage := tasks.Stage{Name: "evaluate"}
	steps, _, err := h.family.Split(h.t.Context(), job(now), stage, nil, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	return stage, steps
}

// alerts are all of them as "rule key opened xcount state", the times in minutes.
func (h *house) alerts() string {
	h.t.Helper()
	list, _, err := h.store.List(h.t.Context(), alertstore.Filter{Limit: 10_000})
	if err != nil {
		h.t.Fatal(err)
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = fmt.Sprintf("%s %s %d x%d %s", a.Rule, a.Key, int(a.OpenedAt.Sub(zero).Minutes()), a.Count, a.State)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// health is how the last evaluation of a rule went.
func (h *house) health(name string) alertstore.Health {
	h.t.Helper()
	states, err := h.store.States(h.t.Context(), []string{name})
	if err != nil {
		h.t.Fatal(err)
	}
	return states[name].Health
}

func (h *house) want(got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// told fails the test unless each message has come to an end, the hook has each of its messages, and the chat none twice.
func (h *house) told(mayBeUnknown bool) {
	h.t.Helper()
	list, _, err := h.store.List(h.t.Context(), alertstore.Filter{Limit: 10_000})
	if err != nil {
		h.t.Fatal(err)
	}
	n := 0
	for _, a := range list {
		for _, x := range a.Told {
			n++
			to := map[string]*receiver{"chat": h.chat, "hook": h.hook}[x.Channel]
			got := to.got[x.Message]
			switch {
			case x.State == wire.ToldSent && got == 1, x.State == wire.ToldDropped && got == 0, to.keyed && x.State == wire.ToldSent && got > 0:
			case mayBeUnknown && x.State == wire.ToldUnknown && got <= 1:
			default:
				h.t.Errorf("%s %s: %+v has arrived %d times", a.Rule, a.Key, x, got)
			}
			delete(to.got, x.Message)
		}
	}
	if n == 0 || len(h.chat.got)+len(h.hook.got) > 0 {
		h.t.Errorf("of %d messages, these were nobody's: %v %v", n, h.chat.got, h.hook.got)
	}
}

// disk is a rule that tells of each event, by its host.
func disk(change func(*rule.Rule)) *rule.Rule {
	r := &rule.Rule{Name: "disk", Type: rule.Any, Source: "logs", Index: "logs", Timestamp: rule.Timestamp{Field: "@timestamp", Type: "iso"}, RunEvery: time.Minute,
		BufferTime: 5 * time.Minute, QueryKey: []string{"host"}, RealertKey: "disk", MinDocCount: 1, Alert: []rule.Alerter{{Channel: "chat"}, {Channel: "hook"}}}
	if change != nil {
		change(r)
		r.RealertKey = r.Name
	}
	return r
}

// happens is an event.
func happens(now time.Time, host string) docsearch.Document {
	return docsearch.Document{Index: "logs", ID: host + now.Format("150405"), Source: map[string]any{"@timestamp": now.Format(time.RFC3339), "host": host}}
}

var errAway = errors.New("the search server is away")
