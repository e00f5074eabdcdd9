package app

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/message"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
	"github.com/stint-run/stint/tasks/alert/tell"
	"github.com/stint-run/stint/tasks/migration"
)

// alerting is what a process needs to evaluate rules and to tell people. A worker has it for its steps, a scheduler to read the folder
// of rules, and to tell by itself when no worker does, an API server to act on alerts.
type alerting struct {
	app      *App
	store    *alertstore.Store
	teller   *tell.Teller
	watch    *alert.Watcher
	sources  *source.Sources
	channels map[string]tell.Channel // of the configuration

	mu     sync.Mutex
	inline map[string]tell.Channel // of rules, by the name that messages have
	read   time.Time               // when rules was read for them
	rules  rule.Set
	seen   string // digest of the set that this process published last
}

// rulesGoodFor is how long a worker goes by the rule files that it has read, when it sends what a rule itself describes.
const rulesGoodFor = 30 * time.Second

// Alerts returns what there is of alerts in this process; the store of it, for an API. It is made when it is first asked for.
func (a *App) Alerts() *alertstore.Store { return a.alerting().store }

func (a *App) alerting() *alerting {
	if a.alerts != nil {
		return a.alerts
	}
	o := a.o.Alerts
	x := &alerting{app: a, store: alertstore.New(a.Redis, alertstore.Options{Keep: o.Keep, Text: AlertWords}), channels: map[string]tell.Channel{}, inline: map[string]tell.Channel{}}
	x.watch = &alert.Watcher{Store: x.store, Channels: o.Watch, Heartbeat: o.Heartbeat, SignOfLife: signOfLife(o.SignOfLife)}
	x.teller = tell.New(tell.Options{Store: x.store, Channel: x.channel, Links: x.links, Log: a.o.Log,
		GaveUp: func(ctx context.Context, m alertstore.Outgoing, reason string, now time.Time) {
			if err := x.watch.GaveUp(ctx, m, reason, now); err != nil {
				a.o.Log.Error("nobody could be told that a channel takes no messages", "channel", m.Channel, "err", err)
			}
		},
		Sent: a.telemetry.Metrics.AlertTold})
	a.alerts = x
	a.onStop("alert channels", x.close)
	return x
}

// close lets go of connections.
func (x *alerting) close(context.Context) error {
	var errs []error
	for _, list := range []map[string]tell.Channel{x.channels, x.inline} {
		for _, c := range list {
			errs = append(errs, c.To.Close())
		}
	}
	if x.sources != nil {
		errs = append(errs, x.sources.Close())
	}
	return errors.Join(errs...)
}

// RenderAlert says what is told of what a rule has found, and how bad it is.
func RenderAlert(r *rule.Rule, found evaluate.Alert) (subject, text, severity string, err error) {
	extra := message.Extra{Options: r.Values}
	subject, text = message.Render(r, found.Matches, extra)
	if found.More > 0 {
		text += fmt.Sprintf("\nand %d more matches\n", found.More)
	}
	return subject, text, cmp.Or(r.Severity, message.Severity(r, extra)), nil
}

// AlertWords are what is told of an alert at each of its events.
func AlertWords(a wire.Alert, event string, at time.Time) (subject, text string) {
	o := message.Open{Subject: a.Subject, Text: a.Text, For: at.Sub(a.OpenedAt), Times: int(a.Count)}
	switch event {
	case notify.Escalated:
		taken := ""
		if a.State == wire.AlertAcknowledged {
			taken = a.AcknowledgedBy
		}
		return message.Escalated(o, taken)
	case notify.Acknowledged:
		var until time.Time
		if a.AckedUntil != nil {
			until = *a.AckedUntil
		}
		return message.Acknowledged(o, a.AcknowledgedBy, a.Reason, until)
	case notify.Resolved:
		by := a.ResolvedBy
		if by == "rule" {
			by = ""
		}
		return message.Resolved(o, by, "")
	case notify.Repeated:
		if !slices.ContainsFunc(a.Ladder, func(l wire.AlertLevel) bool { return l.Each }) {
			return message.Repeated(o)
		}
	}
	return a.Subject, a.Text
}

func signOfLife(c config.SignOfLife) alert.SignOfLife {
	if c.Channel == "" {
		return alert.SignOfLife{}
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		zone = time.UTC
	}
	return alert.SignOfLife{Channels: []string{c.Channel}, At: sinceMidnight(c.At), Zone: zone}
}

// sinceMidnight reads HH:MM, which the configuration has checked.
func sinceMidnight(text string) time.Duration {
	h, m, _ := strings.Cut(text, ":")
	hours, _ := strconv.Atoi(h)
	minutes, _ := strconv.Atoi(m)
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
}

// family is what the family of alerts needs of this process.
func (x *alerting) family(dbs *migration.Databases) alert.Options {
	a := x.app
	x.sources = source.NewSources(source.Options{Locate: a.Locate, Prometheus: a.prometheus, Search: a.search,
		Database: func(ctx context.Context, name string) (*sqldb.DB, error) { return dbs.Open(ctx, name, true) }})
	return alert.Options{Store: x.store, Teller: x.teller, Source: x.sources.Open, Watch: x.watch, Metrics: a.telemetry.Metrics, Log: a.o.Log,
		Render: RenderAlert}
}

// openChannels opens the channels of the configuration. One that cannot be opened is an error: who starts a process wants to know.
func (x *alerting) openChannels() error {
	if len(x.channels) > 0 {
		return nil
	}
	specs, err := Channels(x.app.o.Alerts.Channels, x.app.o.Log)
	if err != nil {
		return err
	}
	for i, s := range specs {
		c := x.app.o.Alerts.Channels[i]
		to, err := notify.New(s)
		if err != nil {
			return err
		}
		quiet, err := notify.ParseQuiet(c.Quiet.From, c.Quiet.To, c.Quiet.Zone, c.Quiet.Days)
		if err != nil {
			return fmt.Errorf("channel %s: quiet hours: %w", s.Name, err)
		}
		x.channels[s.Name] = tell.Channel{Name: s.Name, To: to, Again: c.SendAgain(), PerMinute: c.PerMinute, Quiet: quiet.Until}
	}
	return nil
}

// channel finds a channel by the name that messages have: one of the configuration, or one that a rule describes, whose secrets are in
// the rule's file and nowhere else.
func (x *alerting) channel(_ context.Context, name string) (tell.Channel, bool, error) {
	if c, ok := x.channels[name]; ok {
		return c, true, nil
	}
	rest, ok := strings.CutPrefix(name, "rule:")
	number, of, whole := strings.Cut(rest, ":")
	i, err := strconv.Atoi(number)
	if !ok || !whole || err != nil {
		return tell.Channel{}, false, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if time.Since(x.read) > rulesGoodFor && x.app.o.Alerts.Rules != "" {
		x.rules, _ = rule.Load(x.files())
		x.read = time.Now()
		for _, c := range x.inline {
			_ = c.To.Close() // it lets go of connections that nobody uses
		}
		clear(x.inline)
	}
	if c, ok := x.inline[name]; ok {
		return c, true, nil
	}
	r, options := x.rules.Rule(of), x.rules.Options(of, i)
	if r == nil || i >= len(r.Alert) || options == nil {
		return tell.Channel{}, false, nil
	}
	c, err := x.described(name, r, i, options)
	if err != nil {
		return tell.Channel{}, false, err
	}
	x.inline[name] = c
	return c, true, nil
}

func closeAll(list []notify.Channel) (errs []error) {
	for _, c := range list {
		errs = append(errs, c.Close())
	}
	return errs
}

// links are where a message can be taken, and where it is shown.
func (x *alerting) links(m notify.Message) (ack, view string) {
	base := x.app.o.Alerts.URL.Reveal()
	if base == "" || m.Alert == "" || m.Event == notify.Resolved {
		return "", ""
	}
	if key := x.app.o.Alerts.LinkKey.Reveal(); key != "" {
		ack = strings.TrimSuffix(base, "/") + "/ack/" + url.PathEscape(m.Alert) + "/" + url.PathEscape(m.ID) + "/" + LinkSignature(key, m.Alert, m.ID)
	}
	return ack, strings.TrimSuffix(base, "/") + "/v1/alerts/" + url.PathEscape(m.Alert)
}

// LinkSignature is what proves that a link to take an alert was made by stint: it is of the key of the configuration, the alert and the
// message.
func LinkSignature(key, alert, message string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("stint acknowledge\x00" + alert + "\x00" + message))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// besides are the loops of a scheduler that has to do with alerts.
func (x *alerting) besides() []scheduler.Besides {
	return []scheduler.Besides{
		{Name: "alert rules", Do: x.publish},
		{Name: "watch over alert rules", Do: x.look, Ready: x.standsStill},
	}
}

const (
	// lookAtRules is how often the folder of rules is read.
	lookAtRules = 5 * time.Second
	// lookAtManyRules is how often a folder is read at the least that takes long to read.
	lookAtManyRules = time.Minute
	// lookAtEvaluation is how often a scheduler looks whether rules are evaluated.
	lookAtEvaluation = 15 * time.Second
	// keepTicks is how long the jobs of ticks are kept that have succeeded.
	keepTicks = 10 * time.Minute
)

// AlertSchedule is the name of the schedule whose ticks evaluate alert rules.
const AlertSchedule = "alerts"

// publish reads the folder of rules, and makes what is in it the set that is evaluated, when this process has not done so with the same
// set: two versions side by side, during a deployment, do not take turns. A rule with a mistake is not in it; the one that was published
// under the same file before goes on.
func (x *alerting) publish(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	set, problems := rule.Load(x.files())
	again := lookAgain(time.Since(began))
	next, err := x.set(ctx, &set, problems)
	if err != nil {
		return again, err
	}
	if next.Digest == x.seen {
		if known, err := x.store.Published(ctx); known || err != nil { // else Redis has lost it
			return again, err
		}
	}
	if err := x.store.Publish(ctx, next); err != nil {
		return again, err
	}
	if err := x.schedule(ctx, next); err != nil {
		return again, err
	}
	x.seen = next.Digest
	log := x.app.o.Log.With("rules", len(next.Rules), "digest", next.Digest)
	if len(next.Problems) == 0 {
		log.InfoContext(ctx, "alert rules are evaluated")
		return again, nil
	}
	log.ErrorContext(ctx, "alert rules have mistakes: those rules are as they were, or not evaluated", "mistakes", next.Problems)
	if len(x.watch.Channels) > 0 {
		_, err = x.store.Post(ctx, "mistakes "+next.Digest, time.Now().UTC(), x.watch.Channels, notify.Message{Event: notify.Opened, Severity: "error",
			Subject: "stint: alert rules have mistakes", Text: "These rules are as they were before, or not evaluated:\n" + strings.Join(next.Problems, "\n")})
	}
	return again, err
}

// lookAgain is when the folder of rules is read again that took so long to read: thousands of rules take seconds, and seldom change.
func lookAgain(took time.Duration) time.Duration {
	return min(max(lookAtRules, 20*took), lookAtManyRules)
}

// set makes the set to be published.
func (x *alerting) set(ctx context.Context, set *rule.Set, problems rule.Problems) (alertstore.Set, error) {
	next := alertstore.Set{Rules: map[string]json.RawMessage{}, Heartbeats: map[string]time.Duration{}, Environment: x.app.o.Environment, At: time.Now().UTC(), By: x.app.id}
	for _, r := range set.Rules {
		text, err := json.Marshal(r)
		if err != nil {
			return next, fmt.Errorf("encode rule %s: %w", r.Name, err)
		}
		next.Rules[r.Name], next.Heartbeats[r.Name] = text, x.watch.HeartbeatOf(r)
	}
	for _, p := range problems.Mistakes() {
		next.Problems = append(next.Problems, p.String())
	}
	if len(next.Problems) > 0 {
		if err := x.keepOld(ctx, &next, set); err != nil {
			return next, err
		}
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(keysOf(next.Rules)) {
		fmt.Fprintf(sum, "%s\x00%s\x00", name, next.Rules[name])
	}
	fmt.Fprint(sum, next.Problems)
	next.Digest = hex.EncodeToString(sum.Sum(nil)[:8])
	return next, nil
}

// keepOld puts into a set the published rules that are not in it because of a mistake, whether that is in their own file or in one that
// they take something from. A rule is gone when its file is, or has another one in it, or says that it is not enabled.
func (x *alerting) keepOld(ctx context.Context, next *alertstore.Set, read *rule.Set) error {
	old, err := x.store.Rules(ctx)
	if err != nil {
		return err
	}
	decoded, err := alert.Decode(old.Rules)
	if err != nil {
		return err
	}
	good := map[string]bool{}
	for _, r := range read.Rules {
		good[r.File] = true
	}
	dir := x.app.o.Alerts.Rules
	_, noFolder := os.Stat(dir)
	for name, r := range decoded {
		if _, there := next.Rules[name]; there || good[r.File] || slices.Contains(read.Disabled, name) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(r.File))); noFolder == nil && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		next.Rules[name], next.Heartbeats[name] = old.Rules[name], x.watch.HeartbeatOf(r)
	}
	return nil
}

func keysOf[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// firstTicks is the schedule by the rules as they stand in their folder when the process starts.
func (x *alerting) firstTicks() wire.Schedule {
	set, _ := rule.Load(x.files())
	every := time.Minute
	for _, r := range set.Rules {
		every = min(every, r.RunEvery)
	}
	return alertTicks(x.tick(every))
}

// tick is the time between two ticks where the rules want one.
func (x *alerting) tick(rules time.Duration) time.Duration {
	if e := x.app.o.Alerts.Every; e > 0 {
		return e
	}
	return max(rules, time.Second).Truncate(time.Millisecond)
}

// schedule makes the schedule of the ticks as close as the rules want it.
func (x *alerting) schedule(ctx context.Context, set alertstore.Set) error {
	_, _, err := x.app.Store.PutSchedule(ctx, alertTicks(x.every(set)), wire.OriginConfig, store.AnyVersion)
	return err
}

// every is the time between two ticks.
func (x *alerting) every(set alertstore.Set) time.Duration {
	rules, err := alert.Decode(set.Rules)
	every := time.Minute
	if err == nil {
		for _, r := range rules {
			every = min(every, r.RunEvery)
		}
	}
	return x.tick(every)
}

func alertTicks(every time.Duration) wire.Schedule {
	return wire.Schedule{Name: AlertSchedule, Every: every.String(), Missed: wire.MissedLast, Overlap: wire.OverlapSkip, Deadline: "1h",
		Job: wire.ScheduleJob{Kind: alert.Kind, Spec: json.RawMessage("{}"), KeepFor: keepTicks.String(), Priority: 10}}
}

// look tells that rules stand still, by this process itself.
func (x *alerting) look(ctx context.Context) (time.Duration, error) {
	now := time.Now().UTC()
	if err := x.watch.Look(ctx, now); err != nil {
		return lookAtEvaluation, err
	}
	silent, _, err := x.watch.Silent(ctx, now)
	if err != nil || len(silent) == 0 { // workers tell
		return lookAtEvaluation, err
	}
	if _, err := x.store.Advance(ctx, now, 1000); err != nil {
		return lookAtEvaluation, err
	}
	_, err = x.teller.All(ctx, now)
	return lookAtEvaluation, err
}

// standsStill says that no rule is evaluated any more.
func (x *alerting) standsStill() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	now := time.Now().UTC()
	silent, of, err := x.watch.Silent(ctx, now)
	if err != nil || len(silent) == 0 || len(silent) < of {
		return nil // whether Redis answers is for others to say
	}
	return []string{fmt.Sprintf("no alert rule has been evaluated for %v", silent[len(silent)-1].For.Round(time.Second))}
}
