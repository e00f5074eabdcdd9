package alertstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/redistest"
)

var zero = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return zero.Add(time.Duration(minutes) * time.Minute) }

const minute = int64(time.Minute / time.Millisecond)

var rule = alertstore.Rule{Name: "disk", Owner: "ops", Ladder: []wire.AlertLevel{{To: []string{"chat"}}, {After: 10 * minute, To: []string{"mail"}}, {After: 30 * minute, To: []string{"sms"}}}}

func newStore(t *testing.T) *alertstore.Store {
	t.Helper()
	return alertstore.New(redistest.New(t).Client(), alertstore.Options{})
}

// commit writes an evaluation at a minute that found some keys, and says that others are over.
func commit(t *testing.T, s *alertstore.Store, was int64, m int, keys, over []string) error {
	t.Helper()
	e := alertstore.Evaluated{Rule: rule, Body: []byte(fmt.Sprint("state of ", m)), Health: alertstore.Health{At: at(m), Due: at(m), End: at(m)}, Resolved: over, Now: at(m)}
	for _, k := range keys {
		e.Alerts = append(e.Alerts, alertstore.Found{Key: k, At: at(m), Subject: "disk of " + k, Severity: "error", Matches: []map[string]any{{"host": k, "free": json.Number("0.5")}}})
	}
	return s.Commit(t.Context(), was, e)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deliver sends what is due at a time, and says what.
func deliver(t *testing.T, s *alertstore.Store, now time.Time) string {
	t.Helper()
	var sent []string
	channels, _, err := s.Channels(t.Context(), now)
	must(t, err)
	for _, c := range channels {
		list, err := s.Claim(t.Context(), c, now, 10, time.Minute)
		must(t, err)
		for _, o := range list {
			state, err := s.Overtaken(t.Context(), o)
			must(t, err)
			if state == "" {
				mine, err := s.Begin(t.Context(), o)
				must(t, err)
				if !mine {
					continue
				}
				sent = append(sent, fmt.Sprintf("%s:%s:%s", c, o.Event, o.Key))
				state = wire.ToldSent
			}
			must(t, s.Settle(t.Context(), o, alertstore.Sent{State: state}, now))
		}
	}
	slices.Sort(sent)
	return strings.Join(sent, " ")
}

func climb(t *testing.T, s *alertstore.Store, now time.Time) {
	t.Helper()
	_, err := s.Advance(t.Context(), now, 100)
	must(t, err)
}

func TestAnEvaluationIsWrittenOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"a", "b"}, nil))
	if err := commit(t, s, 0, 0, []string{"a", "b"}, nil); !errors.Is(err, alertstore.ErrSuperseded) {
		t.Errorf("the second one: %v", err)
	}
	states, err := s.States(t.Context(), []string{"disk", "none"})
	must(t, err)
	if st := states["disk"]; st.Version != 1 || string(st.Body) != "state of 0" || !st.Health.Due.Equal(at(0)) || states["none"].Version != 0 {
		t.Errorf("the states are %+v", states)
	}
	list, next, err := s.List(t.Context(), alertstore.Filter{})
	must(t, err)
	if len(list) != 2 || next != "" || list[0].State != wire.AlertOpen || list[0].Count != 1 || len(list[0].Told) != 1 {
		t.Errorf("there are %+v", list)
	}
	if got := deliver(t, s, at(0)); got != "chat:opened:a chat:opened:b" {
		t.Errorf("sent %s", got)
	}
	if got := deliver(t, s, at(5)); got != "" {
		t.Errorf("sent again %s", got)
	}
}

// Of many who evaluate the same windows at the same time, each window is written by one of them.
func TestOfManyWhoEvaluateOneWrites(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const windows, crowd = 20, 8
	for w := range windows {
		var wg sync.WaitGroup
		errs := make([]error, crowd)
		for i := range crowd {
			wg.Go(func() { errs[i] = commit(t, s, int64(w), w, []string{fmt.Sprint(w)}, nil) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, alertstore.ErrSuperseded) {
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("window %d was written %d times", w, won)
		}
	}
	list, _, err := s.List(t.Context(), alertstore.Filter{States: []string{wire.AlertOpen}})
	must(t, err)
	if len(list) != windows {
		t.Errorf("%d alerts are open", len(list))
	}
}

func TestAnAlertThatIsOverIsAnotherOneWhenItComesAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"a"}, nil))
	must(t, commit(t, s, 1, 1, []string{"a"}, nil))
	must(t, commit(t, s, 2, 2, nil, []string{"a", "never seen"}))
	must(t, commit(t, s, 3, 3, []string{"a"}, nil))
	list, _, err := s.List(t.Context(), alertstore.Filter{})
	must(t, err)
	if len(list) != 2 || list[0].State != wire.AlertOpen || list[1].State != wire.AlertResolved || list[1].Count != 2 || list[0].ID == list[1].ID || list[1].ResolvedBy != "rule" {
		t.Errorf("there are %+v", list)
	}
}

func TestAMessageThatIsSettledLateLeavesTheNextAlertOpen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"a"}, nil))
	late, err := s.Claim(t.Context(), "chat", at(0), 1, time.Hour)
	must(t, err)
	must(t, commit(t, s, 1, 1, nil, []string{"a"}))
	must(t, commit(t, s, 2, 2, []string{"a"}, nil))
	must(t, s.Settle(t.Context(), late[0], alertstore.Sent{State: wire.ToldSent}, at(2)))
	must(t, commit(t, s, 3, 3, []string{"a"}, nil))
	list, _, err := s.List(t.Context(), alertstore.Filter{States: []string{wire.AlertOpen}})
	must(t, err)
	if len(list) != 1 || list[0].Count != 2 {
		t.Errorf("open are %+v", list)
	}
}

func TestALadderGoesOnUntilSomebodyTakesTheAlert(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"a", "b"}, nil))
	var told []string
	for m := range 40 {
		climb(t, s, at(m))
		if got := deliver(t, s, at(m)); got != "" {
			told = append(told, fmt.Sprintf("%d[%s]", m, got))
		}
		if m == 12 {
			list, _, err := s.List(t.Context(), alertstore.Filter{})
			must(t, err)
			for _, a := range list {
				if a.Key == "b" {
					_, err := s.Acknowledge(t.Context(), a.ID, at(m), "ann", "on it", 0)
					must(t, err)
				}
			}
		}
	}
	if got, want := strings.Join(told, " "), "0[chat:opened:a chat:opened:b] 10[mail:escalated:a mail:escalated:b] 13[chat:acknowledged:b mail:acknowledged:b] 30[sms:escalated:a]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestAMessageWhoseSenderDiedIsHandedOnWithWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"a"}, nil))
	claim := func(now time.Time, want int) []alertstore.Outgoing {
		t.Helper()
		list, err := s.Claim(t.Context(), "chat", now, 10, time.Minute)
		must(t, err)
		if len(list) != want {
			t.Fatalf("%d messages at %v, want %d", len(list), now, want)
		}
		return list
	}
	first := claim(at(0), 1)[0]
	claim(at(0).Add(59*time.Second), 0)
	second := claim(at(1), 1)[0] // the first never began
	if second.Unsure || second.ID != first.ID || second.Tries != 0 {
		t.Errorf("the second claim is %+v", second)
	}
	if mine, err := s.Begin(t.Context(), first); err != nil || mine {
		t.Errorf("the first sender may still begin: %v", err)
	}
	if mine, err := s.Begin(t.Context(), second); err != nil || !mine {
		t.Errorf("the second may not: %v", err)
	}
	third := claim(at(2), 1)[0]
	if !third.Unsure || third.Tries != 1 {
		t.Errorf("the third claim is %+v", third)
	}
	must(t, s.Wait(t.Context(), third, at(2)))
	third = claim(at(2), 1)[0]
	if !third.Unsure {
		t.Error("who puts it off has made it sure")
	}
	if mine, err := s.Begin(t.Context(), third); err != nil || !mine {
		t.Errorf("the third may not: %v", err)
	}
	must(t, s.Settle(t.Context(), third, alertstore.Sent{State: wire.ToldPending, Error: "refused", Again: at(5)}, at(2)))
	claim(at(4), 0)
	if channels, next, err := s.Channels(t.Context(), at(4)); err != nil || len(channels) != 0 || !next.Equal(at(5)) {
		t.Errorf("%v are due, the next at %v: %v", channels, next, err)
	}
	fourth := claim(at(5), 1)[0]
	if fourth.Unsure {
		t.Error("what is known to have failed is unsure")
	}
	// It is settled on the alert, and its sender dies before it is taken out of the outbox.
	must(t, s.Settle(t.Context(), alertstore.Outgoing{Message: fourth.Message, Channel: "chat"}, alertstore.Sent{State: wire.ToldSent}, at(5)))
	fifth := claim(at(6), 1)[0]
	if state, err := s.Overtaken(t.Context(), fifth); err != nil || state != wire.ToldSent {
		t.Errorf("it is to be sent once more: %q %v", state, err)
	}
}

func TestWhatIsOvertakenIsNotSent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	r := rule
	r.TellEnd = true
	found := func(key string) alertstore.Evaluated {
		return alertstore.Evaluated{Rule: r, Alerts: []alertstore.Found{{Key: key, At: at(0)}}, Now: at(0)}
	}
	must(t, s.Commit(t.Context(), 0, found("over")))
	must(t, s.Commit(t.Context(), 1, found("taken")))
	list, _, err := s.List(t.Context(), alertstore.Filter{})
	must(t, err)
	for _, a := range list {
		if a.Key == "over" {
			_, err = s.Resolve(t.Context(), a.ID, at(1), "ann", "")
		} else {
			_, err = s.Acknowledge(t.Context(), a.ID, at(1), "ann", "", 0)
		}
		must(t, err)
	}
	if got := deliver(t, s, at(2)); got != "" {
		t.Errorf("sent %s", got)
	}
	for _, a := range list {
		k, err := s.Get(t.Context(), a.ID)
		must(t, err)
		for _, told := range k.Told {
			if told.State != wire.ToldDropped {
				t.Errorf("%s: the message %s of %s is %s", a.Key, told.Event, told.Channel, told.State)
			}
		}
		if _, err := s.Resolve(t.Context(), a.ID, at(3), "ann", ""); a.Key == "over" && !errors.Is(err, alertstore.ErrResolved) {
			t.Errorf("an alert that is over: %v", err)
		}
	}
}

// A window that is evaluated late may find an alert that began and ended long ago: it is news all the same.
func TestWhoIsToldEachTimeHearsOfWhatIsOverByItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		each   bool
		person bool
		want   string
	}{
		{"each time", true, false, "chat:opened:a chat:repeated:a"},
		{"each time, and somebody has ended it", true, true, ""},
		{"by a ladder", false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			each := alertstore.Rule{Name: "disk", Ladder: []wire.AlertLevel{{To: []string{"chat"}, Each: c.each}}}
			write := func(was int64, found, over []string) {
				t.Helper()
				e := alertstore.Evaluated{Rule: each, Body: []byte("{}"), Health: alertstore.Health{At: at(60), Due: at(int(was))}, Resolved: over, Now: at(int(was))}
				for _, k := range found {
					e.Alerts = append(e.Alerts, alertstore.Found{Key: k, At: e.Now})
				}
				must(t, s.Commit(t.Context(), was, e))
			}
			write(0, []string{"a"}, nil)
			write(1, []string{"a"}, nil)
			if c.person {
				list, _, err := s.List(t.Context(), alertstore.Filter{})
				must(t, err)
				_, err = s.Resolve(t.Context(), list[0].ID, at(2), "ann", "")
				must(t, err)
			}
			write(2, nil, []string{"a"})
			if got := deliver(t, s, at(60)); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

func TestALinkTakesAnAlertOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"a"}, nil))
	list, _, err := s.List(t.Context(), alertstore.Filter{})
	must(t, err)
	id, message := list[0].ID, list[0].Told[0].Message
	if _, err := s.AcknowledgeByLink(t.Context(), id, "am_other", at(1)); !errors.Is(err, alertstore.ErrLinkUsed) {
		t.Errorf("a link that was never made: %v", err)
	}
	if a, err := s.AcknowledgeByLink(t.Context(), id, message, at(1)); err != nil || a.State != wire.AlertAcknowledged {
		t.Errorf("the link gives %+v, %v", a, err)
	}
	_, err = s.Release(t.Context(), id, at(2))
	must(t, err)
	if _, err := s.AcknowledgeByLink(t.Context(), id, message, at(3)); !errors.Is(err, alertstore.ErrLinkUsed) {
		t.Errorf("the second time: %v", err)
	}
}

func TestASetOfRulesIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	publish := func(m int, names ...string) {
		t.Helper()
		set := alertstore.Set{Rules: map[string]json.RawMessage{}, Heartbeats: map[string]time.Duration{}, Digest: fmt.Sprint(names), At: at(m), By: "one"}
		for _, n := range names {
			set.Rules[n] = json.RawMessage(`{"name": "` + n + `"}`)
			set.Heartbeats[n] = 5 * time.Minute
		}
		must(t, s.Publish(t.Context(), set))
	}
	publish(0, "disk", "load")
	must(t, commit(t, s, 0, 1, []string{"a"}, nil))
	publish(2, "load", "new")
	set, err := s.Rules(t.Context())
	must(t, err)
	if len(set.Rules) != 2 || set.Rules["disk"] != nil || set.Digest != "[load new]" || !set.At.Equal(at(2)) {
		t.Errorf("the set is %+v", set)
	}
	if late, of, err := s.Overdue(t.Context(), at(5)); err != nil || len(late) != 0 || of != 2 {
		t.Errorf("%v of %d are overdue, %v", late, of, err)
	}
	if late, of, err := s.Overdue(t.Context(), at(6)); err != nil || len(late) != 1 || late[0].Rule != "load" || !late[0].By.Equal(at(5)) || of != 2 {
		t.Errorf("%v of %d are overdue, %v", late, of, err)
	}
	list, _, err := s.List(t.Context(), alertstore.Filter{})
	must(t, err)
	if len(list) != 1 || list[0].State != wire.AlertResolved {
		t.Errorf("the alerts of the rule that is gone: %+v", list)
	}
	publish(3, "disk") // it is back within the week: it goes on from where it was
	if states, err := s.States(t.Context(), []string{"disk"}); err != nil || states["disk"].Version != 1 {
		t.Errorf("its state is %+v, %v", states, err)
	}
}

func TestRulesAreSilencedAndAlertsThatCome(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	must(t, commit(t, s, 0, 0, []string{"web-1"}, nil))
	x, err := s.SilenceRules(t.Context(), at(1), wire.AlertSilence{Rule: "di*", Key: "web-*", Until: at(60), By: "ann"})
	must(t, err)
	must(t, commit(t, s, 1, 2, []string{"web-1", "web-2", "db-1"}, nil))
	climb(t, s, at(20))
	if got := deliver(t, s, at(20)); got != "chat:opened:db-1 mail:escalated:db-1" {
		t.Errorf("sent %s", got)
	}
	if list, err := s.Silences(t.Context(), at(20)); err != nil || len(list) != 1 || list[0].ID != x.ID {
		t.Errorf("silences are %v, %v", list, err)
	}
	if list, err := s.Silences(t.Context(), at(61)); err != nil || len(list) != 0 {
		t.Errorf("silences are %v, %v", list, err)
	}
	climb(t, s, at(61))
	if got := deliver(t, s, at(61)); !strings.Contains(got, "sms:escalated:web-2") {
		t.Errorf("after the silence: %s", got)
	}
}

func TestASignIsPostedOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 3 {
		first, err := s.Post(t.Context(), "sign of life 2026-03-01", at(i), []string{"chat", "mail"}, notify.Message{Event: notify.Opened, Subject: "alive"})
		if err != nil || first != (i == 0) {
			t.Errorf("posted %v, %v", first, err)
		}
	}
	if got := deliver(t, s, at(3)); got != "chat:opened: mail:opened:" {
		t.Errorf("sent %s", got)
	}
	must(t, s.Withdraw(t.Context(), "sign of life 2026-03-01"))
	if first, err := s.Post(t.Context(), "sign of life 2026-03-01", at(4), []string{"chat"}, notify.Message{}); err != nil || !first {
		t.Errorf("posted %v, %v", first, err)
	}
}

func TestAlertsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for i := range 7 {
		must(t, commit(t, s, int64(2*i), 2*i, []string{fmt.Sprint(i)}, nil))
		over := []string{}
		if i%2 == 0 {
			over = append(over, fmt.Sprint(i))
		}
		must(t, commit(t, s, int64(2*i+1), 2*i+1, nil, over))
	}
	var keys []string
	for after := ""; ; {
		page, next, err := s.List(t.Context(), alertstore.Filter{Limit: 2, After: after})
		must(t, err)
		for _, a := range page {
			keys = append(keys, a.Key)
		}
		if after = next; after == "" {
			break
		}
	}
	if got := strings.Join(keys, ""); got != "5316420" {
		t.Errorf("listed %s", got)
	}
	must(t, s.Trim(context.Background(), at(14).Add(alertstore.DefaultKeep)))
	if list, _, err := s.List(t.Context(), alertstore.Filter{States: []string{wire.AlertResolved}}); err != nil || len(list) != 0 {
		t.Errorf("old ones are there: %v %v", list, err)
	}
}

// Who was told of an alert hears that somebody has taken it, unless it was released before that could be said; who was not told does not.
func TestThoseWhoWereToldHearThatSomebodyHasTakenTheAlert(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(s *alertstore.Store, id string) error
		want string
	}{
		{"taken", func(*alertstore.Store, string) error { return nil }, "chat:acknowledged:a"},
		{"taken again by another one", func(s *alertstore.Store, id string) error {
			_, err := s.Acknowledge(t.Context(), id, at(1), "bob", "", 0)
			return err
		}, "chat:acknowledged:a chat:acknowledged:a"},
		{"released", func(s *alertstore.Store, id string) error {
			_, err := s.Release(t.Context(), id, at(1))
			return err
		}, ""},
		{"over", func(s *alertstore.Store, id string) error {
			_, err := s.Resolve(t.Context(), id, at(1), "bob", "")
			return err
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			must(t, commit(t, s, 0, 0, []string{"a"}, nil))
			deliver(t, s, at(0))
			list, _, err := s.List(t.Context(), alertstore.Filter{})
			must(t, err)
			_, err = s.Acknowledge(t.Context(), list[0].ID, at(1), "ann", "mine", 0)
			must(t, err)
			must(t, c.do(s, list[0].ID))
			if got := deliver(t, s, at(2)); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}
