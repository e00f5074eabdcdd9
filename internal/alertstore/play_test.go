package alertstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
)

func told(list []alertstore.Played) string {
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("%s:%s:%s", m.Channel, m.Event, m.Key))
	}
	return strings.Join(out, " ")
}

func TestAPlayTellsWhatAStoreWouldTell(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ladder := rule
	ladder.TellEnd = true
	p := alertstore.NewPlay(ladder, nil)
	version := int64(0)
	for m := 0; m <= 40; m += 5 {
		var keys, over []string
		switch m {
		case 0:
			keys = []string{"a", "b"}
		case 5:
			keys, over = []string{"a"}, []string{"b"}
		case 35:
			over = []string{"a"}
		}
		var found []alertstore.Found
		for _, k := range keys {
			found = append(found, alertstore.Found{Key: k, At: at(m), Subject: "disk of " + k, Severity: "error"})
		}
		must(t, s.Commit(t.Context(), version, alertstore.Evaluated{Rule: ladder, Body: []byte("{}"), Alerts: found, Resolved: over, Now: at(m)}))
		version++
		climb(t, s, at(m))
		want := strings.Fields(deliver(t, s, at(m)))
		got := strings.Fields(told(p.Advance(at(m))) + " " + told(p.Evaluated(found, over, at(m))))
		if fmt.Sprint(sorted(got)) != fmt.Sprint(sorted(want)) {
			t.Errorf("minute %d: %v, a store tells %v", m, got, want)
		}
	}
	if p.Next() != (time.Time{}) || len(p.Open()) != 0 {
		t.Errorf("it is not over: %v %v", p.Next(), p.Open())
	}
}

func TestAPlaySaysWhenTheLadderGoesOn(t *testing.T) {
	t.Parallel()
	p := alertstore.NewPlay(rule, func(a wire.Alert, event string, now time.Time) (string, string) { return event + " " + a.Subject, "" })
	first := p.Evaluated([]alertstore.Found{{Key: "a", At: at(0), Subject: "disk"}}, nil, at(0))
	if told(first) != "chat:opened:a" || first[0].Subject != "opened disk" || p.Next() != at(10) || len(p.Open()) != 1 {
		t.Errorf("%+v, next %v", first, p.Next())
	}
	if next := p.Advance(at(10)); told(next) != "mail:escalated:a" || next[0].ID == first[0].ID || p.Next() != at(30) {
		t.Errorf("%+v, next %v", next, p.Next())
	}
	if told(p.Advance(at(29))) != "" || told(p.Advance(at(31))) != "sms:escalated:a" || !p.Next().IsZero() {
		t.Error("the last rung")
	}
}

func sorted(words []string) []string {
	slices.Sort(words)
	return words
}
