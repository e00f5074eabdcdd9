package alert_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/taskstest"
)

// hour is an hour of events: of three hosts, one each minute or so.
func hour() []docsearch.Document {
	var list []docsearch.Document
	for i := range 60 {
		list = append(list, happens(at(i).Add(10*time.Second), fmt.Sprint("h", i%3)))
		if i%7 == 0 {
			list = append(list, happens(at(i).Add(20*time.Second), "h9"))
		}
	}
	return list
}

// several are rules of two groups.
func several() []*rule.Rule {
	return []*rule.Rule{
		disk(func(r *rule.Rule) { r.Name, r.Realert = "each", 4*time.Minute }),
		disk(func(r *rule.Rule) {
			r.Name, r.Type, r.NumEvents, r.Timeframe, r.Realert = "many", rule.Frequency, 3, 10*time.Minute, 5*time.Minute
		}),
		disk(func(r *rule.Rule) {
			r.Name, r.Type, r.Threshold, r.Timeframe, r.QueryKey = "none", rule.Flatline, 2, 3*time.Minute, nil
			r.Realert = 10 * time.Minute
		}),
		disk(func(r *rule.Rule) {
			r.Name, r.RunEvery, r.Realert, r.Alert = "slow", 5*time.Minute, 15*time.Minute, nil
			r.Escalate = []rule.Level{{To: []string{"chat"}}, {After: 10 * time.Minute, To: []string{"hook"}}}
		}),
	}
}

func TestAlertsKeepThePromisesOfAFamily(t *testing.T) {
	t.Parallel()
	calm := newHouse(t, hour(), several()...)
	calm.since(at(0), several()...)
	calm.tick(at(30))
	want := calm.alerts()
	if n := strings.Count(want, " x"); n < 6 {
		t.Fatalf("%d alerts: %s", n, want)
	}
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		h := newHouse(t, hour(), several()...)
		h.since(at(0), several()...)
		return taskstest.Subject{Family: h.family, Job: job(at(30)), Check: func(t *testing.T) {
			h.want(h.alerts(), want)
			for i := range 5 { // leases of who was killed are over, and what they held back is sent
				if err := h.tells(at(31 + i)); err != nil {
					t.Error(err)
				}
			}
			h.told(true)
		}}
	})
}

// tells works the stages of a tick that tell.
func (h *house) tells(now time.Time) error {
	stage := tasks.Stage{Name: "climb"}
	return h.family.Run(h.t.Context(), h.attempt(now, stage, tasks.Step{ID: "climb"}, make(chan struct{})))
}

func TestARuleThatCannotBeEvaluatedHurtsNoOther(t *testing.T) {
	t.Parallel()
	broken := func(r *rule.Rule) {
		r.Name, r.Filter = "broken", []map[string]any{{"no_such_query": map[string]any{"a": "b"}}}
	}
	mended := disk(func(r *rule.Rule) { r.Name = "broken" })
	h := newHouse(t, hour(), disk(nil), disk(broken), disk(func(r *rule.Rule) { r.Name = "other" }))
	h.since(at(0), disk(nil), mended, disk(func(r *rule.Rule) { r.Name = "other" }))
	if _, steps := h.groups(at(1)); len(steps) != 1 {
		t.Fatalf("%d steps, want one for rules that ask the same", len(steps))
	}
	h.tick(at(1))
	h.tick(at(2))
	h.want(h.alerts(), "disk h0 1 x1 open, disk h1 2 x1 open, disk h9 1 x1 open, other h0 1 x1 open, other h1 2 x1 open, other h9 1 x1 open")
	health := h.health("broken")
	if health.Error == nil || !strings.Contains(health.Error.Message, "no_such_query") || !health.Due.Equal(at(0)) || health.Since.IsZero() {
		t.Errorf("the broken rule says %+v", health)
	}
	h.publish(at(2), disk(nil), mended)
	h.tick(at(3))
	if health := h.health("broken"); health.Error != nil || !health.Since.IsZero() || !health.Due.Equal(at(3)) {
		t.Errorf("the mended rule says %+v", health)
	}
	if got := h.alerts(); !strings.Contains(got, "broken h0 1 x1 open, broken h1 2 x1 open, broken h2 3 x1 open, broken h9 1 x1 open") {
		t.Errorf("it has not caught up: %s", got)
	}
}

func TestAfterAnOutageWindowsFollowOneAnotherAndAlertsAreThoseOfTheirTime(t *testing.T) {
	t.Parallel()
	calm, late := newHouse(t, hour(), several()...), newHouse(t, hour(), several()...)
	calm.since(at(0), several()...)
	late.since(at(0), several()...)
	for i := range 70 {
		calm.tick(at(i + 1))
		switch i {
		case 3:
			late.src.set(errAway)
		case 63:
			if e := late.health("each"); e.Error == nil || e.Error.Message != errAway.Error() || !e.Due.Equal(at(3)) {
				t.Errorf("in the outage it says %+v", e)
			}
			late.src.set(nil)
		}
		late.tick(at(i + 1))
	}
	// A ladder is climbed by the clock, and nobody was told of what is over by now; the alerts are the same.
	late.want(late.alerts(), calm.alerts())
	if late.health("each").Error != nil || !late.health("each").Due.Equal(at(70)) {
		t.Errorf("after the outage it says %+v", late.health("each"))
	}
	seen := map[time.Time]bool{}
	for _, end := range late.src.ends {
		seen[end] = true
	}
	for i := range 70 {
		if !seen[at(i+1)] {
			t.Errorf("the window that ends in minute %d was left out", i+1)
		}
	}
	calm.told(false)
	late.told(false)
}

func TestAStepThatIsDrainedGivesTheRestBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, hour(), disk(nil))
	h.since(at(0), disk(nil))
	began := make(chan struct{}, 1)
	h.src.before = func(ctx context.Context) {
		began <- struct{}{}
		<-ctx.Done() // a source that does not answer
	}
	stage, steps := h.groups(at(1))
	draining, done := make(chan struct{}), make(chan error)
	go func() { done <- h.family.Run(t.Context(), h.attempt(at(1), stage, steps[0], draining)) }()
	<-began
	close(draining)
	late := time.NewTimer(5 * time.Second)
	defer late.Stop()
	select {
	case err := <-done:
		if !errors.Is(err, tasks.ErrDrained) {
			t.Errorf("got %v", err)
		}
	case <-late.C:
		t.Fatal("the step is not given back")
	}
	if e := h.health("disk").Error; e != nil {
		t.Errorf("a drain is no failure of the rule: %+v", e)
	}
	h.src.before = nil
	h.tick(at(1))
	h.want(h.alerts(), "disk h0 1 x1 open, disk h9 1 x1 open")
}

func TestOfTwoWhoEvaluateTheSameWindowTheSecondWritesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, hour(), disk(nil))
	h.since(at(0), disk(nil))
	stage, steps := h.groups(at(1))
	h.src.before = func(context.Context) {
		h.src.before = nil
		if err := h.family.Run(t.Context(), h.attempt(at(1), stage, steps[0], make(chan struct{}))); err != nil {
			t.Error(err)
		}
	}
	if err := h.family.Run(t.Context(), h.attempt(at(1), stage, steps[0], make(chan struct{}))); err != nil {
		t.Error(err)
	}
	h.want(h.alerts(), "disk h0 1 x1 open, disk h9 1 x1 open")
	h.tick(at(1))
	h.want(h.chat.subjects(), h.hook.subjects())
	h.told(false)
}

func TestARuleThatIsRemovedEndsItsAlertsAndGoesOnWhenItComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, hour(), disk(nil))
	h.since(at(0), disk(nil))
	h.tick(at(1))
	stage, steps := h.groups(at(2))
	h.publish(at(2))
	if err := h.family.Run(t.Context(), h.attempt(at(2), stage, steps[0], make(chan struct{}))); err != nil {
		t.Errorf("a step of a rule that is gone: %v", err)
	}
	h.tick(at(2))
	h.want(h.alerts(), "disk h0 1 x1 resolved, disk h9 1 x1 resolved")
	if left := h.rdb.PTTL(t.Context(), "stint:{alerts}:state:disk").Val(); left < 6*24*time.Hour || left > 7*24*time.Hour {
		t.Errorf("what it remembers is kept for %v", left)
	}
	h.publish(at(4), disk(nil))
	h.tick(at(4))
	h.want(h.alerts(), "disk h0 1 x1 resolved, disk h0 4 x1 open, disk h1 2 x1 open, disk h2 3 x1 open, disk h9 1 x1 resolved")
	if left := h.rdb.PTTL(t.Context(), "stint:{alerts}:state:disk").Val(); left > 0 {
		t.Errorf("what it remembers again is kept for %v", left)
	}
}

func TestARuleThatIsChangedGoesOnFromWhereItWasAndSaysSo(t *testing.T) {
	t.Parallel()
	many := func(n int) *rule.Rule {
		return disk(func(r *rule.Rule) { r.Type, r.NumEvents, r.Timeframe = rule.Frequency, n, time.Hour })
	}
	h := newHouse(t, hour(), many(3))
	h.since(at(0), many(3))
	h.tick(at(2))
	h.publish(at(2), many(2))
	h.tick(at(7))
	if got := h.alerts(); strings.Contains(got, "h0 1 ") || !strings.Contains(got, "disk h0 7") {
		t.Errorf("of events before the change nothing is counted: %s", got)
	}
	h.tick(at(8))
	if due := h.health("disk").Due; !due.Equal(at(8)) {
		t.Errorf("it was evaluated up to %v", due)
	}
}

func TestARedisThatGoesAwayWhileItIsWrittenHasAllOfAWindowOrNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, hour(), several()...)
	h.since(at(0), several()...)
	killed := false
	h.src.before = func(context.Context) {
		if !killed {
			killed = true
			h.redis.Kill()
		}
	}
	if err := h.tried(at(1)); err == nil || tasks.IsPermanent(err) {
		t.Errorf("without Redis: %v", err)
	}
	h.redis.Restart()
	h.tick(at(1))
	h.want(h.alerts(), "each h0 1 x1 open, each h9 1 x1 open")
	h.told(false)
}

func TestAChannelThatTakesNoMessagesIsToldToTheOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, hour(), disk(func(r *rule.Rule) { r.Alert = []rule.Alerter{{Channel: "chat"}} }))
	h.since(at(0), disk(nil))
	h.watch.Heartbeat = 24 * time.Hour
	h.chat.down = &notify.Error{Err: errors.New("the room is gone"), Permanent: true}
	h.tick(at(1))
	h.tick(at(2))
	h.want(h.hook.subjects(), "stint: the channel chat takes no messages")
	if text := h.hook.all[0].Text; !strings.Contains(text, "the room is gone") {
		t.Error(text)
	}
	h.tick(at(61)) // in the next hour once more
	h.tick(at(62))
	h.want(h.hook.subjects(), "stint: the channel chat takes no messages, stint: the channel chat takes no messages")
}

func TestGroupsAreAsLargeAsAStepMayBe(t *testing.T) {
	t.Parallel()
	var rules []*rule.Rule
	for i := range 250 {
		rules = append(rules, disk(func(r *rule.Rule) { r.Name = fmt.Sprintf("r%03d", i) }))
	}
	h := newHouse(t, hour(), rules...)
	_, steps := h.groups(at(1))
	if len(steps) != 3 {
		t.Errorf("%d steps of 250 rules, want 3", len(steps))
	}
	// Page by page they are the same.
	var paged []tasks.Step
	for after, more := tasks.Cursor(nil), true; more; more = after != nil {
		list, next, err := h.family.Split(t.Context(), job(at(1)), tasks.Stage{Name: "evaluate"}, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		paged, after = append(paged, list...), next
	}
	if !slices.EqualFunc(steps, paged, func(a, b tasks.Step) bool { return a.ID == b.ID && string(a.Body) == string(b.Body) }) {
		t.Error("pages have other steps")
	}
	h.tick(at(1))
	if late, of, err := h.store.Overdue(t.Context(), at(1)); err != nil || len(late) > 0 || of != 250 {
		t.Errorf("%d of %d rules are overdue: %v", len(late), of, err)
	}
	list, _, err := h.store.List(t.Context(), alertstore.Filter{Limit: 1000})
	if err != nil || len(list) != 500 {
		t.Errorf("%d alerts, want 500: %v", len(list), err)
	}
}
