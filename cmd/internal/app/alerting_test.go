package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/notify/notifytest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// watchtower is a scheduler's part of alerts, over a folder of rules, with a channel that is told what is the matter with them.
type watchtower struct {
	*alerting
	t     *testing.T
	dir   string
	inbox *notifytest.Inbox
}

func newWatchtower(t *testing.T) *watchtower {
	t.Helper()
	w := &watchtower{t: t, dir: t.TempDir(), inbox: notifytest.NewInbox(t)}
	a, err := New(t.Context(), Options{Redis: config.Redis{Topology: config.Single, URL: config.NewURL(redistest.New(t).URL())}, Log: slog.New(slog.DiscardHandler),
		Connections: config.Connections{{Name: "logs", URL: config.NewURL("http://127.0.0.1:9200")}},
		Alerts: config.Alerts{Rules: w.dir, RunEvery: time.Minute, BufferTime: time.Minute, Watch: []string{"ops"},
			Channels: config.AlertChannels{{Name: "ops", Type: "webhook", URL: config.NewURL(w.inbox.URL), Private: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	w.alerting = a.alerting()
	if err := w.openChannels(); err != nil {
		t.Fatal(err)
	}
	return w
}

// file writes a rule's file; an empty text takes it away.
func (w *watchtower) file(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if text == "" {
		err = os.Remove(path)
	} else if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func ruleFile(name, more string) string {
	return fmt.Sprintf("name: %s\ntype: any\nindex: logs\nalert: [ops]\n%s", name, more)
}

// published reads the folder once, and returns the names of the rules that are evaluated then.
func (w *watchtower) published() string {
	w.t.Helper()
	if _, err := w.publish(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	set, err := w.store.Rules(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(set.Rules)), " ")
}

func (w *watchtower) want(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("got %q, want %q", got, want)
	}
}

// subjects are those of the messages that have arrived once somebody has told what there is.
func (w *watchtower) subjects() string {
	w.t.Helper()
	if _, err := w.teller.All(w.t.Context(), time.Now().UTC()); err != nil {
		w.t.Fatal(err)
	}
	return w.arrived()
}

func (w *watchtower) arrived() string {
	var out []string
	for _, r := range w.inbox.Requests() {
		out = append(out, r.JSON()["subject"].(string))
	}
	return strings.Join(out, ", ")
}

func TestARuleWithAMistakeStaysAsItWasAndTheOthersAreReplaced(t *testing.T) {
	t.Parallel()
	w := newWatchtower(t)
	w.file("a.yaml", ruleFile("a", ""))
	w.file("team/b.yaml", ruleFile("b", "import: ../base.yaml\n"))
	w.file("base.yaml", "realert: 5m\n")
	w.file("c.yaml", ruleFile("c", ""))
	w.want(w.published(), "a b c")

	w.file("a.yaml", ruleFile("a", "realert: soon\n"))
	w.file("c.yaml", "")
	w.file("d.yaml", ruleFile("d", ""))
	w.want(w.published(), "a b d")
	w.want(w.published(), "a b d") // and is told of once
	w.want(w.subjects(), "stint: alert rules have mistakes")
	if text, _ := w.inbox.Requests()[0].JSON()["text"].(string); !strings.Contains(text, "a.yaml:5:10: realert: ") {
		t.Error(text)
	}

	w.file("base.yaml", "realert: [\n") // what a rule takes over
	w.want(w.published(), "a b d")
	w.file("base.yaml", "realert: 5m\n")
	w.file("defaults.yaml", "no_such_option: 1\nrealert: {no: yes}\n") // what all of them do
	w.want(w.published(), "a b d")
	w.file("defaults.yaml", "")

	w.file("d.yaml", ruleFile("e", "")) // another name, while a is broken still
	w.want(w.published(), "a b e")
	w.file("team/b.yaml", ruleFile("b", "import: ../base.yaml\nis_enabled: false\n"))
	w.want(w.published(), "a e")
	w.file("a.yaml", ruleFile("a", ""))
	w.want(w.published(), "a e")
	set, err := w.store.Rules(t.Context())
	if err != nil || len(set.Problems) > 0 {
		t.Errorf("problems: %v, %v", set.Problems, err)
	}
}

func TestAFolderOfRulesThatCannotBeReadTakesNoRuleAway(t *testing.T) {
	t.Parallel()
	w := newWatchtower(t)
	w.file("a.yaml", ruleFile("a", ""))
	w.want(w.published(), "a")
	if err := os.Rename(w.dir, w.dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	w.want(w.published(), "a")
	w.want(w.subjects(), "stint: alert rules have mistakes")
	if err := os.Rename(w.dir+"-gone", w.dir); err != nil {
		t.Fatal(err)
	}
	w.want(w.published(), "a")
}

func TestASetThatRedisHasLostIsPublishedAgain(t *testing.T) {
	t.Parallel()
	w := newWatchtower(t)
	w.file("a.yaml", ruleFile("a", ""))
	w.want(w.published(), "a")
	if err := w.app.Redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	w.want(w.published(), "a")
}

// No worker and no queue takes part: a scheduler that finds nothing evaluated says so by itself, and is not ready.
func TestASchedulerTellsByItselfThatNoRuleIsEvaluated(t *testing.T) {
	t.Parallel()
	w := newWatchtower(t)
	w.file("a.yaml", ruleFile("a", "escalate: [{after: 0m, to: [ops]}]\n"))
	set, problems, err := w.setAt(time.Now().Add(-time.Hour))
	if err != nil || problems > 0 {
		t.Fatalf("%d problems, %v", problems, err)
	}
	if err := w.store.Publish(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const still = "stint: the alert rule a is not evaluated"
	w.want(w.arrived(), still)
	if why := w.standsStill(); len(why) != 1 || !strings.HasPrefix(why[0], "no alert rule has been evaluated for ") {
		t.Errorf("ready because of %q", why)
	}
	now := time.Now().UTC()
	err = w.store.Commit(t.Context(), 0, alertstore.Evaluated{Rule: alertstore.Rule{Name: "a", Ladder: []wire.AlertLevel{{To: []string{"ops"}}}}, Body: []byte("{}"), Health: alertstore.Health{At: now, Due: now}, Now: now, Heartbeat: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if why := w.standsStill(); len(why) != 0 {
		t.Errorf("not ready because of %q", why)
	}
	w.want(w.arrived(), still)
}

// setAt is the set that the folder comes to, as it would have been published at a time.
func (w *watchtower) setAt(at time.Time) (alertstore.Set, int, error) {
	set, problems := rule.Load(w.files())
	next, err := w.set(w.t.Context(), &set, problems)
	next.At = at
	return next, len(problems.Mistakes()), err
}
