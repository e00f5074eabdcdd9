package tell_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks/alert/tell"
)

var zero = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return zero.Add(d) }

// receiver notes what it was sent, and answers as it is told to.
type receiver struct {
	keyed bool

	mu      sync.Mutex
	got     []string // subjects
	answers []error  // of the next ones; then it takes all
	refuses string   // the subject of one that it does not take, for now
	hold    chan struct{}
	began   chan struct{}
}

func (r *receiver) Send(ctx context.Context, m notify.Message) error {
	r.mu.Lock()
	r.got = append(r.got, m.Subject)
	var err error
	if len(r.answers) > 0 {
		err, r.answers = r.answers[0], r.answers[1:]
	}
	if r.refuses != "" && m.Subject == r.refuses {
		err = errors.New("not this one")
	}
	hold, began := r.hold, r.began
	r.mu.Unlock()
	if began != nil {
		close(began)
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return &notify.Error{Err: ctx.Err(), Unknown: true}
		}
	}
	return err
}

func (r *receiver) Keyed() bool  { return r.keyed }
func (r *receiver) Close() error { return nil }

func (r *receiver) subjects() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.got, " ")
}

// desk is an outbox and who sends from it.
type desk struct {
	t        *testing.T
	rdb      *redis.Client
	store    *alertstore.Store
	options  tell.Options
	teller   *tell.Teller
	channels map[string]tell.Channel
	gaveUp   []string
	version  int64
}

func newDesk(t *testing.T, channels ...tell.Channel) *desk {
	t.Helper()
	rdb := redistest.New(t).Client()
	d := &desk{t: t, rdb: rdb, store: alertstore.New(rdb, alertstore.Options{}), channels: map[string]tell.Channel{}}
	for _, c := range channels {
		d.channels[c.Name] = c
	}
	d.options = tell.Options{Store: d.store, Log: slog.New(slog.DiscardHandler),
		Channel: func(_ context.Context, name string) (tell.Channel, bool, error) {
			c, ok := d.channels[name]
			return c, ok, nil
		},
		GaveUp: func(_ context.Context, o alertstore.Outgoing, err string, _ time.Time) {
			d.gaveUp = append(d.gaveUp, o.Subject+": "+err)
		}}
	d.teller = tell.New(d.options)
	return d
}

// finds opens an alert for each key, whose messages go to the channels.
func (d *desk) finds(now time.Time, keys []string, over []string, channels ...string) {
	d.t.Helper()
	e := alertstore.Evaluated{Rule: alertstore.Rule{Name: "disk", Ladder: []wire.AlertLevel{{To: channels, Each: true}}, TellEnd: true}, Body: []byte("{}"), Health: alertstore.Health{At: now, Due: now}, Now: now, Resolved: over}
	for i, k := range keys { // each in an evaluation of its own, so that one is due before the other
		e.Now = now.Add(time.Duration(i) * time.Millisecond)
		e.Alerts = []alertstore.Found{{Key: k, At: e.Now, Subject: k}}
		d.commit(e)
	}
	if e.Alerts = nil; len(over) > 0 {
		d.commit(e)
	}
}

func (d *desk) commit(e alertstore.Evaluated) {
	d.t.Helper()
	if err := d.store.Commit(d.t.Context(), d.version, e); err != nil {
		d.t.Fatal(err)
	}
	d.version++
}

func (d *desk) tells(now time.Time) int {
	d.t.Helper()
	n, err := d.teller.All(d.t.Context(), now)
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// told says what became of the messages of all alerts, as "key channel event state tries".
func (d *desk) told() string {
	d.t.Helper()
	list, _, err := d.store.List(d.t.Context(), alertstore.Filter{})
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		for _, x := range a.Told {
			out = append(out, fmt.Sprintf("%s %s %s %s %d", a.Key, x.Channel, x.Event, x.State, x.Tries))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (d *desk) want(got, want string) {
	d.t.Helper()
	if got != want {
		d.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// dies claims what is due to a channel at a time and begins to send the first of it, as a process that is killed then.
func (d *desk) dies(channel string, now time.Time) {
	d.t.Helper()
	list, err := d.store.Claim(d.t.Context(), channel, now, 1, 45*time.Second)
	if err != nil || len(list) == 0 {
		d.t.Fatalf("%d messages were claimed: %v", len(list), err)
	}
	if mine, err := d.store.Begin(d.t.Context(), list[0]); err != nil || !mine {
		d.t.Fatalf("it was not begun: %v, %v", mine, err)
	}
}

func TestAChannelThatDoesNotAnswerHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	dead, chat := &receiver{hold: make(chan struct{}), began: make(chan struct{})}, &receiver{}
	d := newDesk(t, tell.Channel{Name: "dead", To: dead}, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b"}, nil, "dead", "chat")
	done := make(chan int)
	go func() { done <- d.tells(at(time.Second)) }()
	<-dead.began
	late := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for chat.subjects() != "a b" {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("chat got %q", chat.subjects())
		}
	}
	dead.mu.Lock()
	dead.began = nil
	dead.mu.Unlock()
	close(dead.hold)
	if n := <-done; n != 4 {
		t.Errorf("%d messages arrived", n)
	}
}

func TestAMessageIsSentAgainWhenItsReceiverWantsIt(t *testing.T) {
	t.Parallel()
	chat := &receiver{answers: []error{&notify.Error{Err: errors.New("too many"), After: 90 * time.Second}}}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b"}, nil, "chat")
	d.tells(at(time.Second))
	d.tells(at(90 * time.Second)) // it has asked all of them for patience
	d.want(chat.subjects(), "a")
	d.tells(at(91 * time.Second))
	d.want(chat.subjects(), "a b a")
	d.want(d.told(), "a chat opened sent 2, b chat opened sent 1")
}

// Each attempt at a receiver that does not answer costs a tick its patience: there is one at a time, and they become rare.
func TestAChannelThatFailsRestsWhicheverMessageItWas(t *testing.T) {
	t.Parallel()
	chat := &receiver{}
	for range 6 {
		chat.answers = append(chat.answers, errors.New("no answer"))
	}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}, nil, "chat")
	var when []int
	for s := range 400 {
		before := len(chat.got)
		d.tells(at(time.Duration(s+1) * time.Second))
		if len(chat.got) > before && len(chat.answers) > 0 {
			when = append(when, s)
		}
	}
	if want := []int{0, 2, 12, 42, 102}; !slices.Equal(when, want) {
		t.Errorf("it was tried at %v, want %v", when, want)
	}
	if got := d.told(); strings.Count(got, "sent") != 11 {
		t.Error(got)
	}
}

func TestAMessageThatFailsByItselfHoldsUpTheOthersForAMoment(t *testing.T) {
	t.Parallel()
	chat := &receiver{refuses: "a"}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b", "c"}, nil, "chat")
	d.tells(at(time.Second))
	d.want(chat.subjects(), "a")
	d.tells(at(3 * time.Second))
	d.want(chat.subjects(), "a b c a")
}

func TestInQuietHoursNothingIsToldAndAfterwardsWhatStillIsSo(t *testing.T) {
	t.Parallel()
	chat := &receiver{}
	hours, err := notify.ParseQuiet("11:00", "13:00", "UTC", nil)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat, Quiet: hours.Until})
	d.finds(zero, []string{"a", "b"}, nil, "chat")
	d.tells(at(time.Second))
	d.finds(at(10*time.Minute), nil, []string{"b"}, "chat")
	d.tells(at(59 * time.Minute))
	d.want(chat.subjects(), "")
	d.tells(at(time.Hour))
	d.want(chat.subjects(), "a")
	d.want(d.told(), "a chat opened sent 1, b chat opened dropped 0, b chat resolved dropped 0")
}

func TestAChannelGetsNoMoreMessagesAMinuteThanItTakes(t *testing.T) {
	t.Parallel()
	chat := &receiver{}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat, PerMinute: 2})
	d.finds(zero, []string{"a", "b", "c", "d", "e"}, nil, "chat")
	for i, want := range []int{2, 2, 1, 0} {
		now := at(time.Duration(i) * time.Minute)
		if n := d.tells(now) + d.tells(now.Add(30*time.Second)); n != want {
			t.Errorf("in minute %d %d messages were sent, want %d", i, n, want)
		}
	}
}

func TestWhatBecomesOfAMessageWhoseSenderDiedIsUpToItsChannel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		keyed, again bool
		arrives      string
		state        string
	}{
		{"a chat gets it no second time", false, false, "", "a x opened unknown 1"},
		{"a pager gets it again", false, true, "a", "a x opened sent 2"},
		{"a receiver that knows it gets it again", true, false, "a", "a x opened sent 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			to := &receiver{keyed: c.keyed}
			d := newDesk(t, tell.Channel{Name: "x", To: to, Again: c.again})
			d.finds(zero, []string{"a"}, nil, "x")
			d.dies("x", zero)
			d.tells(at(44 * time.Second))
			d.want(to.subjects(), "") // the lease of who died
			d.tells(at(46 * time.Second))
			d.tells(at(2 * time.Minute))
			d.want(to.subjects(), c.arrives)
			d.want(d.told(), c.state)
		})
	}
}

// Who puts a message off knows no more of it than before.
func TestThatAMessageMayHaveArrivedIsRememberedWhileItIsPutOff(t *testing.T) {
	t.Parallel()
	chat := &receiver{}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b"}, nil, "chat")
	d.dies("chat", at(time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	list, err := d.store.Claim(t.Context(), "chat", at(time.Minute), 8, 45*time.Second)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d were claimed: %v", len(list), err)
	}
	for _, o := range list {
		if err := d.store.Wait(t.Context(), o, at(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.teller.Channel(ctx, "chat", at(time.Minute)); err == nil {
		t.Error("a teller that was stopped before it began said that it had told")
	}
	d.tells(at(time.Minute))
	d.want(chat.subjects(), "b")
	d.want(d.told(), "a chat opened unknown 1, b chat opened sent 1")
}

// A deployment drains workers all day: a message under way is given the moment that it needs.
func TestAMessageUnderWayIsFinishedWhenItsProcessIsToStop(t *testing.T) {
	t.Parallel()
	chat := &receiver{hold: make(chan struct{}), began: make(chan struct{})}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b"}, nil, "chat")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := d.teller.Channel(ctx, "chat", at(time.Second))
		done <- err
	}()
	<-chat.began
	stop()
	close(chat.hold)
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	d.want(d.told(), "a chat opened sent 1, b chat opened pending 0")
	chat.mu.Lock()
	chat.hold, chat.began = nil, nil
	chat.mu.Unlock()
	d.tells(at(time.Second)) // the other was given back at once
	d.want(chat.subjects(), "a b")
}

func TestAMessageIsGivenUpAfterADayAndSomebodyHearsOfIt(t *testing.T) {
	t.Parallel()
	chat := &receiver{}
	for range 200 {
		chat.answers = append(chat.answers, errors.New("connection refused"))
	}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a"}, nil, "chat")
	for now := zero; now.Before(at(25 * time.Hour)); now = now.Add(5 * time.Minute) {
		d.tells(now)
	}
	if n := len(chat.got); n < 90 || n > 110 {
		t.Errorf("it was tried %d times", n)
	}
	if len(d.gaveUp) != 1 || d.gaveUp[0] != "a: connection refused" || !strings.Contains(d.told(), "gave_up") {
		t.Errorf("%q, %s", d.gaveUp, d.told())
	}
}

func TestAMessageThatCanNeverArriveIsGivenUpAndTheNextOneIsTried(t *testing.T) {
	t.Parallel()
	chat := &receiver{answers: []error{&notify.Error{Err: errors.New("too long"), Permanent: true}}}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a", "b"}, nil, "chat", "gone")
	d.tells(at(time.Second))
	d.want(d.told(), "a chat opened gave_up 1, a gone opened pending 1, b chat opened sent 1, b gone opened pending 0")
	if len(d.gaveUp) != 1 {
		t.Errorf("%q", d.gaveUp)
	}
}

func TestWhatIsOvertakenIsNotTold(t *testing.T) {
	t.Parallel()
	chat := &receiver{answers: []error{errors.New("refused")}}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.finds(zero, []string{"a"}, nil, "chat")
	d.tells(at(time.Second))
	list, _, err := d.store.List(t.Context(), alertstore.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.Acknowledge(t.Context(), list[0].ID, at(time.Second), "ann", "", 0); err != nil {
		t.Fatal(err)
	}
	d.tells(at(time.Minute))
	d.want(chat.subjects(), "a a") // the refused one may have come to somebody: they hear that it is taken
	d.want(d.told(), "a chat acknowledged sent 1, a chat opened dropped 1")
}

// slow is a receiver that takes its time for the first message, and looks at the lease of the second while it gets that.
type slow struct {
	receiver
	look func()
}

func (s *slow) Send(ctx context.Context, m notify.Message) error {
	if m.Subject == "a" {
		long := time.NewTimer(1100 * time.Millisecond)
		<-long.C
	} else {
		s.look()
	}
	return s.receiver.Send(ctx, m)
}

// What was claimed together is sent one after the other: the last one's lease would be over before its turn.
func TestALeaseCountsFromWhenAMessageIsBegun(t *testing.T) {
	t.Parallel()
	to := &slow{}
	d := newDesk(t, tell.Channel{Name: "slow", To: to})
	d.finds(zero, []string{"a", "b"}, nil, "slow")
	to.look = func() {
		leases, err := d.rdb.ZRangeWithScores(t.Context(), "stint:{alerts}:due:slow", 0, -1).Result()
		if err != nil || len(leases) != 1 {
			t.Errorf("%v, %v", leases, err)
			return
		}
		if end := time.UnixMilli(int64(leases[0].Score)); end.Sub(at(46*time.Second)) < time.Second {
			t.Errorf("the lease of the second ends at %v, as if it had been begun with the first", end.UTC())
		}
	}
	d.tells(at(time.Second))
	d.want(to.subjects(), "a b")
}

// A flood to a slow receiver waits for its next turn: rules are evaluated in between.
func TestAChannelThatHasHadItsTurnWaitsForTheNext(t *testing.T) {
	t.Parallel()
	chat := &receiver{}
	d := newDesk(t, tell.Channel{Name: "chat", To: chat})
	d.options.Turn = time.Nanosecond
	d.teller = tell.New(d.options)
	d.finds(zero, []string{"a", "b", "c"}, nil, "chat")
	for _, want := range []string{"a", "a b", "a b c", "a b c"} {
		d.tells(at(time.Second))
		d.want(chat.subjects(), want)
	}
}
