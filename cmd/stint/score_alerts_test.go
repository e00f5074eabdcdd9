package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/notify/notifytest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// inboxes are the receivers of the score.
type inboxes struct {
	hook, chat, loud, pager *notifytest.Inbox
	mail                    *notifytest.MailServer
}

// newInboxes starts receivers, and gives the channels that lead to them as configuration. Now and then one of them takes its time to
// answer, so that senders die in between.
func newInboxes(t *testing.T, random *rand.Rand) (*inboxes, string) {
	in := &inboxes{mail: notifytest.NewPlainMailServer(t)}
	var mu sync.Mutex
	over := make(chan struct{})
	slow := func(of **notifytest.Inbox) string {
		inbox := notifytest.NewInbox(t)
		*of = inbox
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inbox.ServeHTTP(w, r) // the answer leaves when this function ends
			mu.Lock()
			wait := time.Duration(0)
			if random.IntN(10) == 0 {
				wait = time.Duration(random.IntN(500)) * time.Millisecond
			}
			mu.Unlock()
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-over:
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	text := fmt.Sprintf(`  url: https://stint.example.com
  link_key: a key for links that nobody knows
  channels:
  - {name: hook, type: webhook, url: %q, private: true}
  - {name: chat, type: slack, url: %q, private: true, again: false}
  - {name: loud, type: mattermost, url: %q, private: true, again: true}
  - {name: pager, type: pagerduty, url: %q, token: key, private: true}
  - {name: mail, type: email, url: "smtp://%s", from: stint@example.com, to: [ops@example.com], tls: none, private: true, again: false}
`, slow(&in.hook), slow(&in.chat), slow(&in.loud), slow(&in.pager), in.mail.Address)
	t.Cleanup(func() { close(over) })
	return in, text
}

// fleet is a rig whose schedulers and workers evaluate rules.
type fleet struct {
	*rig.Rig
	alerts *alertstore.Store
	rules  map[string]*rule.Rule
	crew   []*rig.Process
	kills  int
	drains int
}

// newFleet makes a rig with a folder of rules. Each of them remembers that it was evaluated up to a time, so that windows begin there.
func newFleet(t *testing.T, dir, channels, search string, base time.Time) *fleet {
	t.Helper()
	server := redistest.New(t)
	f := &fleet{Rig: rig.New(t, server, rig.Connection{Name: "search", URL: search}), alerts: alertstore.New(server.Client(), alertstore.Options{})}
	f.Configure(fmt.Sprintf("alerts:\n  rules: %q\n", dir) + channels)
	set, problems := rule.Load(rule.Options{Dir: dir, Channels: []string{"hook", "chat", "loud", "pager", "mail"}, Sources: []string{"search"}, CheckQuery: docsearch.ParseQueryString})
	if wrong := problems.Mistakes(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	texts := map[string]json.RawMessage{}
	for _, r := range set.Rules {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		texts[r.Name] = text
		body, err := json.Marshal(stateAt(r, base))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.alerts.Commit(t.Context(), 0, alertstore.Evaluated{Rule: alertstore.Rule{Name: r.Name}, Body: body, Health: alertstore.Health{At: base, Due: base}, Now: base}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if f.rules, err = alert.Decode(texts); err != nil {
		t.Fatal(err)
	}
	return f
}

// stateAt is what a rule remembers that was evaluated up to a time and has seen nothing.
func stateAt(r *rule.Rule, base time.Time) evaluate.State {
	return evaluate.State{Due: base, End: base.Add(-r.QueryDelay), MinStart: base.Add(-r.QueryDelay)}
}

func (f *fleet) begin() {
	for _, command := range []string{"scheduler", "scheduler", "scheduler", "worker", "worker", "worker"} {
		f.crew = append(f.crew, f.Start(command))
	}
}

// disturb kills processes at random moments, or lets them drain, and starts others in their place, until a time.
func (f *fleet) disturb(random *rand.Rand, until time.Time) {
	for {
		moment := time.NewTimer(time.Duration(150+random.IntN(900)) * time.Millisecond)
		<-moment.C
		if !time.Now().Before(until) {
			return
		}
		i := random.IntN(len(f.crew))
		old := f.crew[i]
		command, _, _ := strings.Cut(old.Name, "-")
		f.crew[i] = f.Start(command)
		if random.IntN(4) > 0 {
			old.Kill()
			f.kills++
			continue
		}
		if err := old.Signal(syscall.SIGTERM); err != nil {
			f.T.Error(err)
		}
		switch code := old.Wait(30 * time.Second); code {
		case 0:
			f.drains++
		case -1: // it was so young that it did not listen to signals yet
			f.kills++
		default:
			f.T.Errorf("%s, which was drained, ended with %d", old.Name, code)
		}
	}
}

// evaluated waits until every rule has been evaluated up to a time.
func (f *fleet) evaluated(limit time.Duration, upTo time.Time) {
	f.T.Helper()
	names := slices.Sorted(maps.Keys(f.rules))
	f.Until(limit, "all rules are evaluated", func(ctx context.Context) (bool, error) {
		states, err := f.alerts.States(ctx, names)
		for _, name := range names {
			if h := states[name].Health; err == nil && h.Due.Before(upTo) {
				return false, fmt.Errorf("%s was evaluated up to %v, not %v; %+v", name, h.Due, upTo, h.Error)
			}
		}
		return err == nil, err
	})
}

// empty kills the crew and empties the outbox, by ticks of times to come, when all leases are over.
func (f *fleet) empty() {
	f.T.Helper()
	for _, p := range f.crew {
		p.Kill()
	}
	f.Ready(f.Worker())
	for i := range 200 {
		now := time.Now().Add(time.Duration(i+1) * time.Minute)
		f.tick(now, "none")
		due, next, err := f.alerts.Channels(f.T.Context(), now.Add(time.Hour))
		if err != nil {
			f.T.Fatal(err)
		}
		if len(due) == 0 && next.IsZero() {
			return
		}
	}
	f.T.Error("the outbox is never empty")
}

// tick has a worker do what there is to do as of a time; rules are those that may be evaluated.
func (f *fleet) tick(at time.Time, rules ...string) {
	f.T.Helper()
	f.Ended(f.submit(at, rules...), time.Minute)
}

// submit is tick without waiting; it returns the job.
func (f *fleet) submit(at time.Time, rules ...string) string {
	f.T.Helper()
	spec, err := json.Marshal(alert.Spec{At: &at, Rules: rules})
	if err != nil {
		f.T.Fatal(err)
	}
	id := fmt.Sprint("ale-tick-", at.UnixMilli())
	enginetest.Submit(f.T, f.Redis.Client(), f.Store, tasks.Job{ID: id, Kind: alert.Kind, Spec: spec})
	return id
}

// all lists the alerts, the oldest first.
func (f *fleet) all() []wire.Alert {
	f.T.Helper()
	var out []wire.Alert
	for after := ""; ; {
		list, next, err := f.alerts.List(f.T.Context(), alertstore.Filter{After: after, Limit: 500})
		if err != nil {
			f.T.Fatal(err)
		}
		if out = append(out, list...); next == "" {
			slices.SortFunc(out, func(a, b wire.Alert) int { return a.OpenedAt.Compare(b.OpenedAt) })
			return out
		}
		after = next
	}
}

// undisturbed evaluates each rule by itself over the events, window by window, as far as the fleet has come, and compares what it
// remembers in the end. It returns the alerts as texts, and of rules of the late kind how many matches there were of each key.
func (f *fleet) undisturbed(list []event, base time.Time) (alerts []string, late map[string]int64, windows int) {
	f.T.Helper()
	src := source.NewEvents(source.Events{Documents: documents(list)})
	states, err := f.alerts.States(f.T.Context(), slices.Sorted(maps.Keys(f.rules)))
	if err != nil {
		f.T.Fatal(err)
	}
	late = map[string]int64{}
	for name, r := range f.rules {
		type life struct {
			at    time.Time
			count int
		}
		open := map[string]*life{}
		end := func(key string, l *life) {
			alerts = append(alerts, fmt.Sprintf("%s %q opened %s, %d times", name, key, l.at.Format("15:04:05"), l.count))
			delete(open, key)
		}
		state := stateAt(r, base)
		for state.Due.Before(states[name].Health.Due) {
			out, err := evaluate.Evaluate(f.T.Context(), r, state, src, state.Due.Add(r.RunEvery))
			if err != nil {
				f.T.Fatalf("%s: %v", name, err)
			}
			for _, a := range out.Alerts {
				if isLate(r) {
					late[name+" "+a.Key]++
				} else if open[a.Key] == nil {
					open[a.Key] = &life{at: a.At}
				}
				if !isLate(r) {
					open[a.Key].count++
				}
			}
			for _, key := range out.Resolved {
				if l := open[key]; l != nil {
					end(key, l)
				}
			}
			state, windows = out.State, windows+1
		}
		for key, l := range open {
			end(key, l)
		}
		if body, err := json.Marshal(state); err != nil || !isLate(r) && !same(body, states[name].Body) {
			f.T.Errorf("%s remembers in the end\n%s\nnot\n%s\n%v", name, states[name].Body, body, err)
		}
	}
	slices.Sort(alerts)
	return alerts, late, windows
}

func isLate(r *rule.Rule) bool { return r.Index == "late" && r.QueryDelay == 0 }

func same(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && bytes.Equal(canonical(x), canonical(y))
}

func canonical(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was read as JSON
	}
	return b
}

// inFact are the alerts of the fleet, as undisturbed gives them.
func (f *fleet) inFact() (alerts []string, late map[string]int64) {
	f.T.Helper()
	late = map[string]int64{}
	for _, a := range f.all() {
		if isLate(f.rules[a.Rule]) {
			late[a.Rule+" "+a.Key] += a.Count
			continue
		}
		alerts = append(alerts, fmt.Sprintf("%s %q opened %s, %d times", a.Rule, a.Key, a.OpenedAt.Format("15:04:05"), a.Count))
	}
	slices.Sort(alerts)
	return alerts, late
}

// ackLink is the link in a message, by which a receiver's copy is known.
var ackLink = regexp.MustCompile(`/ack/al_[0-9a-f]+/(am_[0-9a-f]+)/`)

// mailID is the Message-ID of a message to the channel mail.
func mailID(message string) string {
	sum := sha256.Sum256([]byte("mail\n" + message))
	return hex.EncodeToString(sum[:16])
}

// arrivals are how often each message has arrived, by channel and what its receiver knows it by.
func (in *inboxes) arrivals() map[string]map[string]int {
	out := map[string]map[string]int{"hook": in.hook.Keys(), "pager": {}, "chat": {}, "loud": {}, "mail": {}}
	for channel, inbox := range map[string]*notifytest.Inbox{"chat": in.chat, "loud": in.loud} {
		for _, r := range inbox.Requests() {
			if id := ackLink.FindSubmatch(r.Body); id != nil {
				out[channel][string(id[1])]++
			} else {
				out[channel]["without link"]++ // the end of an alert
			}
		}
	}
	for _, r := range in.pager.Requests() {
		o := r.JSON()
		payload, _ := o["payload"].(map[string]any)
		details, _ := payload["custom_details"].(map[string]any)
		if id, ok := details["message"].(string); ok {
			out["pager"][id]++
		} else {
			out["pager"]["without link"]++
		}
	}
	for _, m := range in.mail.Mails() {
		id, _, _ := strings.Cut(strings.Trim(m.Message.Header.Get("Message-Id"), "<>"), "@")
		out["mail"][id]++
	}
	return out
}

// messages compares what the alerts say of their messages with what has arrived, and returns how it went.
func (f *fleet) messages(in *inboxes) string {
	f.T.Helper()
	states, repeats := map[string]int{}, map[string]int{}
	want := map[string]map[string]int{"hook": {}, "pager": {}, "chat": {}, "loud": {}, "mail": {}} // channel -> id -> most arrivals
	got := in.arrivals()
	for _, a := range f.all() {
		told := map[string]int64{}
		for _, x := range a.Told {
			states[x.State]++
			if (x.Event == notify.Opened || x.Event == notify.Repeated) && x.State != wire.ToldDropped {
				told[x.Channel]++
			}
			id := x.Message
			switch {
			case x.Channel == "mail":
				id = mailID(x.Message)
			case x.Event == notify.Resolved && x.Channel != "hook":
				id = "without link"
			}
			if x.State == wire.ToldPending || x.State == wire.ToldGaveUp {
				f.T.Errorf("%s: the message %+v has not come to an end", a.Rule, x)
			}
			want[x.Channel][id]++
			if x.State == wire.ToldSent && got[x.Channel][id] == 0 {
				f.T.Errorf("%s: the message %+v has not arrived", a.Rule, x)
			}
		}
		for _, l := range a.Ladder {
			for _, c := range l.To {
				if l.Each && told[c] != a.Count {
					f.T.Errorf("%s %q came %d times and %s was told %d times", a.Rule, a.Key, a.Count, c, told[c])
				}
			}
		}
		if len(a.Told) == alertstore.MaxTold {
			f.T.Errorf("%s %q has more messages than it remembers: the score says nothing of them", a.Rule, a.Key)
		}
	}
	for channel, ids := range got {
		for id, n := range ids {
			if want[channel][id] == 0 {
				f.T.Errorf("%s got %s, which nobody was to send", channel, id)
			}
			if over := n - want[channel][id]; over > 0 {
				repeats[channel] += over
			}
		}
	}
	if repeats["chat"]+repeats["mail"] > 0 {
		f.T.Errorf("channels that do not want a message again got %v again", repeats)
	}
	return fmt.Sprintf("messages %v; arrived again, by dead senders: hook %d, pager %d, loud %d, chat %d, mail %d", states, repeats["hook"], repeats["pager"], repeats["loud"], repeats["chat"], repeats["mail"])
}

// Three schedulers and three workers are killed at random while rules of all types look at a stream of events each second, and then the
// source goes away for a while: in the end the alerts, and what each rule remembers, are those of one undisturbed evaluation, and every
// receiver has got each message once.
func TestScoreAlertsThroughKills(t *testing.T) {
	t.Parallel()
	n, length, away, realert, pace := size(rows, 26, 200), 15*time.Second, 3*time.Second, 2*time.Second, 90*time.Millisecond
	if *long {
		// The store keeps 10,000 alerts, and of each 100 messages; the double looks at each event for each query.
		length, away, realert, pace = 10*time.Minute, time.Minute, 45*time.Second, 180*time.Millisecond
	}
	random := moments(t)
	own := func() *rand.Rand { return rand.New(rand.NewPCG(random.Uint64(), random.Uint64())) }
	search, err := elastictest.Start(elastictest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(search.Close)
	rig.Build(t)
	base := time.Now().UTC().Truncate(time.Second).Add(2 * time.Second)
	list := logs(own(), base, length, pace)
	stop := ship(t, search, list, own())
	way := newGate(t, search.URL())
	in, channels := newInboxes(t, own())
	f := newFleet(t, writeRules(t, n, realert), channels, "elasticsearch://"+way.address, base)
	f.begin()
	end := base.Add(length)
	f.disturb(random, end.Add(-away-2*time.Second))
	way.close()
	f.Until(time.Minute, "rules say that their source is away", func(ctx context.Context) (bool, error) {
		states, err := f.alerts.States(ctx, []string{"rule 001"})
		return states["rule 001"].Health.Error != nil, err
	})
	back := time.NewTimer(time.Until(end.Add(-2 * time.Second)))
	<-back.C
	way.open()
	opened := time.Now()
	f.evaluated(time.Minute+length, end)
	caughtUp := time.Since(opened)
	f.empty()
	stop()
	wantAlerts, wantLate, windows := f.undisturbed(list, base)
	gotAlerts, gotLate := f.inFact()
	if err := unequal(wantAlerts, gotAlerts); err != nil {
		t.Error(err)
	}
	if !maps.Equal(wantLate, gotLate) {
		t.Errorf("matches of events that come late\n%v\nnot\n%v", gotLate, wantLate)
	}
	told := f.messages(in)
	score(t, "%d rules, %d windows, %d events: %d alerts equal to those of an undisturbed evaluation %v, through %d kills, %d drains and %v without the source, caught up %v after it was back; %s",
		n, windows, len(list), len(wantAlerts), !t.Failed(), f.kills, f.drains, away, caughtUp.Round(time.Millisecond), told)
}

// unequal says what is in one list of texts and not in the other.
func unequal(want, got []string) error {
	var errs []error
	for _, x := range want {
		if !slices.Contains(got, x) {
			errs = append(errs, errors.New("missing: "+x))
		}
	}
	for _, x := range got {
		if !slices.Contains(want, x) {
			errs = append(errs, errors.New("too many: "+x))
		}
	}
	if len(want) != len(got) {
		errs = append(errs, fmt.Errorf("%d alerts, want %d", len(got), len(want)))
	}
	return errors.Join(errs...)
}
