package alert_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// look is what a scheduler does by itself.
func (h *house) look(now time.Time) {
	h.t.Helper()
	if err := h.watch.Look(h.t.Context(), now); err != nil {
		h.t.Fatal(err)
	}
	if err := h.tells(now); err != nil {
		h.t.Fatal(err)
	}
}

func TestARuleThatStandsStillIsToldOnceUntilItIsEvaluatedAgain(t *testing.T) {
	t.Parallel()
	quick := disk(func(r *rule.Rule) { r.Name, r.Heartbeat = "quick", 2*time.Minute })
	slow := disk(func(r *rule.Rule) { r.Name, r.RunEvery = "slow", time.Hour })
	h := newHouse(t, nil, quick, disk(nil), slow)
	const one, two = "stint: the alert rule quick is not evaluated", "stint: 2 alert rules are not evaluated"
	h.look(at(2))
	h.want(h.chat.subjects(), "")
	for i := range 3 {
		h.look(at(3 + i))
	}
	h.want(h.chat.subjects(), one)
	h.want(h.hook.subjects(), one)
	h.tick(at(6)) // it looks first, and sees what is known already
	h.want(h.chat.subjects(), one)
	h.look(at(7)) // all are well
	h.look(at(12))
	h.want(h.chat.subjects(), one+", "+two)
	if text := h.chat.all[1].Text; !strings.Contains(text, "- disk, for 6m0s\n") || !strings.Contains(text, "- quick, for 6m0s\n") || strings.Contains(text, "slow") {
		t.Error(text)
	}
}

// One rule that is broken for good does not hide that all others stand still.
func TestItIsToldWhenMoreRulesStandStill(t *testing.T) {
	t.Parallel()
	broken := disk(func(r *rule.Rule) { r.Name = "broken" })
	good := disk(func(r *rule.Rule) { r.Name = "good" })
	h := newHouse(t, nil, broken, good)
	h.since(at(0), broken, good)
	for minute := 1; minute <= 60; minute++ {
		states, err := h.store.States(t.Context(), []string{"good"})
		if err == nil {
			err = h.store.Commit(t.Context(), states["good"].Version, h.evaluated(at(minute), good))
		}
		if err != nil {
			t.Fatal(err)
		}
		h.look(at(minute))
	}
	const one, two = "stint: the alert rule broken is not evaluated", "stint: 2 alert rules are not evaluated"
	h.want(h.chat.subjects(), one)
	for minute := 61; minute <= 24*60; minute += 7 { // all workers are gone
		h.look(at(minute))
	}
	h.want(h.chat.subjects(), one+", "+two)
}

func TestTheConfigurationsHeartbeatIsNotTooShortForARule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ own, configured, every, want time.Duration }{
		{0, 0, time.Minute, 5 * time.Minute},
		{0, 0, time.Hour, 3 * time.Hour},
		{0, 10 * time.Minute, time.Minute, 10 * time.Minute},
		{0, 10 * time.Minute, time.Hour, 2 * time.Hour},
		{90 * time.Second, 10 * time.Minute, time.Hour, 90 * time.Second},
	} {
		w := alert.Watcher{Heartbeat: c.configured}
		if got := w.HeartbeatOf(&rule.Rule{Heartbeat: c.own, RunEvery: c.every}); got != c.want {
			t.Errorf("%v of %v, every %v: %v, want %v", c.own, c.configured, c.every, got, c.want)
		}
	}
}

func TestTheSignOfLifeComesOnceADayAndNotWhileARuleStandsStill(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, disk(nil))
	h.watch.Channels = nil
	h.watch.SignOfLife = alert.SignOfLife{Channels: []string{"hook"}, At: 12*time.Hour + 30*time.Minute}
	day := 24 * 60
	h.tick(at(0)) // at twelve
	h.tick(at(29))
	h.want(h.hook.subjects(), "")
	h.tick(at(30))
	h.tick(at(31))
	h.want(h.hook.subjects(), "stint: 1 alert rules are evaluated")
	h.look(at(31 + day)) // nobody evaluates any more
	h.look(at(40 + day))
	h.want(h.hook.subjects(), "stint: 1 alert rules are evaluated")
	h.tick(at(41 + day))
	h.look(at(42 + day))
	h.want(h.hook.subjects(), "stint: 1 alert rules are evaluated, stint: 1 alert rules are evaluated")
}
