package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/internal/notify/notifytest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// ladder is a rig with one alert that is to get louder, by the clock of its ticks.
type ladder struct {
	*fleet
	chat, sms *notifytest.Inbox
	mail      *notifytest.MailServer
	worker    *rig.Process
}

// zeroHour is the minute 0 of the ladder, whatever clocks say.
var zeroHour = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return zeroHour.Add(time.Duration(n) * time.Minute) }

const ladderRule = `name: disk is full
type: any
index: logs
run_every: 1m
buffer_time: 5m
escalate:
- {after: 0m, to: [chat]}
- {after: 10m, to: [mail]}
- {after: 30m, to: [sms]}
`

// newLadder publishes the rule by hand, so that there are no ticks but those of the score.
func newLadder(t *testing.T) *ladder {
	t.Helper()
	search, err := elastictest.Start(elastictest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(search.Close)
	search.Add(docsearch.Document{Index: "logs", ID: "1", Source: map[string]any{"@timestamp": minute(0).Add(-10 * time.Second).Format(time.RFC3339), "disk": "full"}})
	server := redistest.New(t)
	l := &ladder{chat: notifytest.NewInbox(t), sms: notifytest.NewInbox(t), mail: notifytest.NewPlainMailServer(t)}
	l.fleet = &fleet{Rig: rig.New(t, server, rig.Connection{Name: "search", URL: search.URL()}), alerts: alertstore.New(server.Client(), alertstore.Options{})}
	l.Configure(fmt.Sprintf(`alerts:
  channels:
  - {name: chat, type: slack, url: %q, private: true, again: false}
  - {name: mail, type: email, url: "smtp://%s", from: stint@example.com, to: [ops@example.com], tls: none, private: true, again: false}
  - {name: sms, type: sms, url: %q, user: account, password: token, from: "+15550000", to: ["+15551111"], private: true, again: false}
`, l.chat.URL, l.mail.Address, l.sms.URL))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "disk.yaml"), []byte(ladderRule), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems := rule.Load(rule.Options{Dir: dir, Channels: []string{"chat", "mail", "sms"}, Sources: []string{"search"}})
	if len(problems.Mistakes()) > 0 {
		t.Fatal(problems)
	}
	text, err := json.Marshal(set.Rules[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := l.alerts.Publish(t.Context(), alertstore.Set{Rules: map[string]json.RawMessage{set.Rules[0].Name: text}, Digest: "1", At: minute(0)}); err != nil {
		t.Fatal(err)
	}
	l.Start("scheduler") // it finds the steps of workers that are killed
	l.worker = l.Worker()
	return l
}

// next is the worker that follows one that is killed.
func (l *ladder) next() {
	l.worker.Kill()
	l.worker = l.Worker()
	l.kills++
}

// arrived is how many messages each receiver has got.
func (l *ladder) arrived() string {
	return fmt.Sprintf("chat %d, mail %d, sms %d", len(l.chat.Requests()), len(l.mail.Mails()), len(l.sms.Requests()))
}

// boundary is the tick of a rung, whose worker is killed before it, after it, and, when held, while its receiver holds the answer back.
func (l *ladder) boundary(n int, held bool, hold func(), want string) {
	l.T.Helper()
	l.worker.Kill()
	l.kills++
	job := l.submit(minute(n))
	if held {
		hold()
	}
	l.worker = l.Worker()
	if held {
		l.Until(20*time.Second, "the message is being sent: "+want, func(context.Context) (bool, error) { return l.arrived() == want, fmt.Errorf("%s", l.arrived()) })
		l.next()
	}
	l.Ended(job, time.Minute)
	l.next()
	l.Until(20*time.Second, "the message has arrived: "+want, func(context.Context) (bool, error) { return l.arrived() == want, fmt.Errorf("%s", l.arrived()) })
}

// climb plays the minutes up to 34, after which the alert is over by itself. Somebody takes the alert in the minute taken, if that is not 0.
func (l *ladder) climb(held bool, taken int) wire.Alert {
	l.T.Helper()
	want := map[int]string{0: "chat 1, mail 0, sms 0", 10: "chat 1, mail 1, sms 0", 30: "chat 1, mail 1, sms 1"}
	hang := map[int]func(){
		0:  func() { l.chat.Fail(notifytest.Fault{Hang: true}) },
		10: func() { l.mail.Fail(notifytest.MailFault{At: notifytest.End, Hang: true}) },
		30: func() { l.sms.Fail(notifytest.Fault{Hang: true}) },
	}
	now := want[0]
	for n := range 35 {
		if w, ok := want[n]; ok && (taken == 0 || n < taken) {
			now = w
			l.boundary(n, held, hang[n], w)
			continue
		}
		if n == taken && taken > 0 {
			if _, err := l.alerts.Acknowledge(l.T.Context(), l.all()[0].ID, minute(n), "ann", "mine", 0); err != nil {
				l.T.Fatal(err)
			}
			now = "chat 2, mail 2, sms 0" // those who were told hear of it
			l.tick(minute(n))
			l.Until(20*time.Second, "it is told that it is taken", func(context.Context) (bool, error) { return l.arrived() == now, fmt.Errorf("%s", l.arrived()) })
			continue
		}
		l.tick(minute(n))
		if got := l.arrived(); got != now {
			l.T.Fatalf("in minute %d: %s, want %s", n, got, now)
		}
	}
	list := l.all()
	if len(list) != 1 {
		l.T.Fatalf("%d alerts, want one", len(list))
	}
	return list[0]
}

// history is who was told what and when.
func history(a wire.Alert) string {
	var out []string
	for _, x := range a.Told {
		out = append(out, fmt.Sprintf("%s %s at %d: %s", x.Channel, x.Event, int(x.At.Sub(zeroHour).Minutes()), x.State))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// An alert gets louder until somebody takes it: chat at once, mail after ten minutes, a text message after thirty, each once, and who was told hears that it is taken, however
// workers die at each of these moments.
func TestScoreEscalation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		held  bool
		taken int
		told  string
	}{
		{"taken after twelve minutes", false, 12, "chat acknowledged at 12: sent, chat opened at 0: sent, mail acknowledged at 12: sent, mail escalated at 10: sent"},
		{"taken after twelve minutes, and receivers answer to nobody", true, 12, "chat acknowledged at 12: sent, chat opened at 0: unknown, mail acknowledged at 12: sent, mail escalated at 10: unknown"},
		{"nobody takes it", false, 0, "chat opened at 0: sent, mail escalated at 10: sent, sms escalated at 30: sent"},
		{"nobody takes it, and receivers answer to nobody", true, 0, "chat opened at 0: unknown, mail escalated at 10: unknown, sms escalated at 30: unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			l := newLadder(t)
			a := l.climb(c.held, c.taken)
			if got := history(a); got != c.told {
				t.Errorf("told %s, want %s", got, c.told)
			}
			if c.taken > 0 && (a.State != wire.AlertAcknowledged || a.AcknowledgedBy != "ann" || !a.AcknowledgedAt.Equal(minute(c.taken))) {
				t.Errorf("the alert is %s, by %s at %v", a.State, a.AcknowledgedBy, a.AcknowledgedAt)
			}
			score(t, "escalation, %s: %s; arrived %s; %d workers killed; %v", c.name, history(a), l.arrived(), l.kills, time.Since(start).Round(time.Millisecond))
		})
	}
}
