package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

func (s *Site) alertRoutes() {
	s.page("/alerts", "alerts", "alerts", s.alertList)
	s.page("/alerts/rules", "alerts", "alert_rules", s.alertRules)
	s.page("/alerts/silences", "alerts", "alert_silences", s.alertSilences)
	s.page("/alerts/{id}", "alerts", "alert", s.alert)
	s.action("/alerts/{id}/ack", func(v *visit) (string, string, error) {
		act, err := actOf(v, false)
		if err != nil {
			return "", "", err
		}
		a, err := v.client.AcknowledgeAlert(v.ctx, v.PathValue("id"), act)
		if err != nil {
			return "", "", err
		}
		if a.AckedUntil != nil {
			return "", "You have taken it. Its ladder goes on in " + until(a.AckedUntil, time.Now()) + ", unless it is over by then.", nil
		}
		return "", "You have taken it. Its ladder stands still.", nil
	})
	s.action("/alerts/{id}/release", func(v *visit) (string, string, error) {
		_, err := v.client.ReleaseAlert(v.ctx, v.PathValue("id"))
		return "", "It is open again. Its ladder goes on where its time is.", err
	})
	s.action("/alerts/{id}/silence", func(v *visit) (string, string, error) {
		act, err := actOf(v, true)
		if err != nil {
			return "", "", err
		}
		a, err := v.client.SilenceAlert(v.ctx, v.PathValue("id"), act)
		if err != nil {
			return "", "", err
		}
		return "", "Nobody is told of it for " + until(a.SilencedUntil, time.Now()) + ".", nil
	})
	s.action("/alerts/{id}/resolve", func(v *visit) (string, string, error) {
		if v.PostFormValue("sure") == "" {
			return "", "", badInput("tick “yes, it is over” as well: an alert that is over does not come back", "the alert was not ended")
		}
		_, err := v.client.ResolveAlert(v.ctx, v.PathValue("id"), wire.AlertAct{Reason: v.PostFormValue("reason")})
		return "", "It is over. When its rule matches again, that is another alert.", err
	})
	s.action("/alerts/silences", s.silenceRules)
	s.action("/alerts/silences/{id}/end", func(v *visit) (string, string, error) {
		err := v.client.EndSilence(v.ctx, v.PathValue("id"))
		return "", "The silence is over. Alerts that it has silenced stay so until its time, unless they are released.", err
	})
}

// actOf is what a form says of an alert.
func actOf(v *visit, mustLast bool) (wire.AlertAct, error) {
	long, err := longOf(v.PostFormValue("for"), mustLast)
	return wire.AlertAct{Reason: strings.TrimSpace(v.PostFormValue("reason")), For: long}, err
}

var alertDays = regexp.MustCompile(`^([0-9]{1,3})d$`)

// longOf reads for how long something is asked, in days as well: people write them, and the API does not know them.
func longOf(text string, must bool) (string, error) {
	const hint = "write a time such as 30m, 8h or 2d"
	text = strings.Join(strings.Fields(text), "")
	if text == "" {
		if must {
			return "", badInput(hint, "for how long?")
		}
		return "", nil
	}
	if m := alertDays.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			text = strconv.Itoa(24*n) + "h"
		}
	}
	if d, err := time.ParseDuration(text); err != nil || d < time.Second {
		return "", badInput(hint, "for how long? %q is no such time", clip(text, 60))
	}
	return text, nil
}

// noAlerts says in words why a reader sees no alerts at all; nil when it is another error, or none.
func noAlerts(err error) *shown {
	switch {
	case isForbidden(err):
		return &shown{Status: http.StatusForbidden, Title: "You may not see alerts", Detail: problemOf(err).Detail, Hint: "Alert rules look at all tenants at once, so alerts are for tokens that are not of single tenants."}
	case isNotFound(err):
		p := problemOf(err)
		return &shown{Status: http.StatusNotFound, Title: "There are no alerts here", Detail: p.Detail, Hint: p.Hint}
	}
	return nil
}

// alertListBody is the list of alerts.
type alertListBody struct {
	Away     *shown // why there is none to see
	States   []string
	State    string
	Rule     string
	Rules    []string // names to choose from
	Alerts   []wire.Alert
	More     string
	First    string
	Silent   []wire.AlertRule // that are not evaluated
	Failing  []wire.AlertRule // that cannot be
	Problems int              // mistakes in rule files
	NoRules  bool
}

func (s *Site) alertList(v *visit) (content, error) {
	q := v.URL.Query()
	b := alertListBody{States: wire.AlertStates, State: q.Get("state"), Rule: strings.TrimSpace(q.Get("rule"))}
	f := client.AlertFilter{Rule: b.Rule, Limit: 50, Cursor: q.Get("after")}
	if b.State != "" {
		f.States = []string{b.State}
	}
	list, err := v.client.Alerts(v.ctx, f)
	if b.Away = noAlerts(err); b.Away != nil {
		return content{Title: "Alerts", Body: b}, nil
	}
	if err != nil {
		return content{}, err
	}
	rules, err := v.client.AlertRules(v.ctx)
	if err != nil {
		return content{}, err
	}
	b.Alerts, b.Problems, b.NoRules = list.Alerts, len(rules.Problems), len(rules.Rules) == 0
	for _, r := range rules.Rules {
		b.Rules = append(b.Rules, r.Name)
		switch {
		case r.Silent:
			b.Silent = append(b.Silent, r)
		case r.Error != nil:
			b.Failing = append(b.Failing, r)
		}
	}
	if b.Rule != "" && !slices.Contains(b.Rules, b.Rule) { // one that is gone may have alerts
		b.Rules = append(b.Rules, b.Rule)
	}
	if list.Next != "" {
		b.More = pageAfter(v.URL, list.Next)
	}
	if f.Cursor != "" {
		b.First = pageAfter(v.URL, "")
	}
	return content{Title: "Alerts", Body: b}, nil
}

// alertBody is one alert.
type alertBody struct {
	*wire.Alert
	Ladder  []rung
	Matches [][]matchField // of the last time
	Told    []wire.AlertTold
	Now     string // where it stands, in a sentence
	Held    bool   // it is taken or silenced, and can be released
	Over    bool
}

// rung is a level of a ladder as it is drawn.
type rung struct {
	After string // since the alert was opened
	At    time.Time
	To    []string
	Class string // done, next, or "" where nobody was told
	Says  string
	Ends  string // what ends it, and how it is repeated
	// Lost are the channels that it has not reached so far.
	Lost []string
}

// matchField is a value of what a rule has found.
type matchField struct{ Name, Value string }

func (s *Site) alert(v *visit) (content, error) {
	a, err := v.client.Alert(v.ctx, v.PathValue("id"))
	if err != nil {
		return content{}, err
	}
	now := time.Now()
	b := alertBody{Alert: a, Ladder: ladderOf(a, now), Over: a.State == wire.AlertResolved, Held: a.State == wire.AlertAcknowledged || a.State == wire.AlertSilenced}
	for _, m := range a.Matches {
		b.Matches = append(b.Matches, fieldsOf(m))
	}
	b.Told = slices.Clone(a.Told)
	slices.Reverse(b.Told)
	b.Now = standingOf(a, b.Ladder, now)
	return content{Title: clip(cmp.Or(a.Subject, a.ID), 120), Body: b, Still: b.Over && !alertPending(a)}, nil
}

// alertPending reports whether a message is on its way.
func alertPending(a *wire.Alert) bool {
	return slices.ContainsFunc(a.Told, func(t wire.AlertTold) bool { return t.State == wire.ToldPending })
}

// ladderOf says of each level who was told, and who will be.
func ladderOf(a *wire.Alert, now time.Time) []rung {
	list := make([]rung, len(a.Ladder))
	next := -1 // who is told next
	var first time.Time
	for i, l := range a.Ladder {
		r := rung{After: "at once", At: a.OpenedAt.Add(time.Duration(l.After) * time.Millisecond), To: l.To, Ends: endsOf(l)}
		if l.After > 0 {
			r.After = "after " + duration(time.Duration(l.After)*time.Millisecond)
		}
		stands := a.State == wire.AlertSilenced || a.State == wire.AlertAcknowledged && l.Until != "resolved" || a.State == wire.AlertResolved
		due := r.At
		switch {
		case l.Told > 0:
			r.Class, r.Says = "done", "told "+timesSaid(int64(l.Told))
			if l.NextAt != nil && !stands {
				due = *l.NextAt
				r.Says += ", again " + rungDue(due, now)
			}
			var overtaken []string
			if r.Lost, overtaken = lostOf(a, l); len(overtaken) > 0 {
				r.Says += "; overtaken before it arrived: " + strings.Join(overtaken, ", ")
			}
		case a.State == wire.AlertResolved:
			r.Says = "not told: it was over before"
		case a.State == wire.AlertSilenced:
			r.Says = "not told: the alert is silenced"
		case stands:
			r.Says = "not told: somebody has taken it"
		default:
			r.Says = "is told " + rungDue(due, now)
		}
		if !stands && (l.Told == 0 || l.NextAt != nil) && (next < 0 || due.Before(first)) {
			next, first = i, due
		}
		list[i] = r
	}
	if next >= 0 {
		list[next].Class = "next"
	}
	return list
}

// lostOf are the channels of a level whose last message has not arrived, and what is known of it; overtaken are those that nobody needed
// any more.
func lostOf(a *wire.Alert, l wire.AlertLevel) (list, overtaken []string) {
	for _, c := range l.To {
		for _, t := range slices.Backward(a.Told) {
			if t.Channel != c {
				continue
			}
			switch {
			case t.State == wire.ToldGaveUp:
				list = append(list, c+" was not reached")
			case t.State == wire.ToldUnknown:
				list = append(list, "nobody knows whether "+c+" was reached")
			case t.State == wire.ToldPending && t.Error != "":
				list = append(list, c+" is not reached so far")
			case t.State == wire.ToldDropped:
				overtaken = append(overtaken, c)
			}
			break
		}
	}
	return list, overtaken
}

// rungDue says when something is done that is done as soon as its time has come.
func rungDue(at, now time.Time) string {
	if !at.After(now) {
		return "now"
	}
	return "in " + duration(at.Sub(now))
}

// endsOf says how a level goes on.
func endsOf(l wire.AlertLevel) string {
	text := ""
	switch {
	case l.Each:
		text = "each time that the rule matches"
	case l.Repeat > 0 && l.Repeats > 0:
		text = fmt.Sprintf("again every %s, %s", duration(time.Duration(l.Repeat)*time.Millisecond), timesSaid(int64(l.Repeats)))
	case l.Repeat > 0:
		text = "again every " + duration(time.Duration(l.Repeat)*time.Millisecond)
	}
	if l.Until == "resolved" {
		if text != "" {
			text += ", "
		}
		text += "also when somebody has taken it"
	}
	return text
}

func timesSaid(n int64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return number(n) + " times"
}

// standingOf says in a sentence where an alert stands and what happens next.
func standingOf(a *wire.Alert, ladder []rung, now time.Time) string {
	switch a.State {
	case wire.AlertResolved:
		return "It is over. When its rule matches again, that is another alert."
	case wire.AlertSilenced:
		return "Nobody is told of it" + forTime(a.SilencedUntil, now) + "."
	}
	next := ""
	for _, r := range ladder {
		if r.Class == "next" {
			next = " Next on the ladder: " + strings.Join(r.To, ", ") + "."
		}
	}
	if a.State == wire.AlertAcknowledged {
		text := cmp.Or(a.AcknowledgedBy, "Somebody") + " has taken it"
		if a.AckedUntil != nil {
			return text + forTime(a.AckedUntil, now) + "; then its ladder goes on." + next
		}
		return text + "; its ladder stands still." + next
	}
	if next == "" {
		return "Nobody has taken it, and nobody else will be told."
	}
	return "Nobody has taken it." + next
}

func forTime(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	return " for " + until(at, now)
}

// maxField bounds a value that is shown, in bytes.
const maxField = 4 << 10

// fieldsOf is what a rule has found, by name, as text.
func fieldsOf(m map[string]any) []matchField {
	var list []matchField
	for _, name := range slices.Sorted(maps.Keys(m)) {
		text, is := m[name].(string)
		if !is {
			if b, err := json.Marshal(m[name]); err == nil {
				text = string(b)
			}
		}
		list = append(list, matchField{name, clip(text, maxField)})
	}
	return list
}

// alertRulesBody is the list of rules.
type alertRulesBody struct {
	Away *shown
	*wire.AlertRules
	Bad    int // that are silent or fail
	Silent int
}

func (s *Site) alertRules(v *visit) (content, error) {
	rules, err := v.client.AlertRules(v.ctx)
	b := alertRulesBody{Away: noAlerts(err), AlertRules: rules}
	if b.Away == nil {
		if err != nil {
			return content{}, err
		}
		// What somebody has to look at comes first.
		slices.SortStableFunc(rules.Rules, func(x, y wire.AlertRule) int { return cmp.Compare(troubleOf(y), troubleOf(x)) })
		for _, r := range rules.Rules {
			if troubleOf(r) > 0 {
				b.Bad++
			}
			if r.Silent {
				b.Silent++
			}
		}
	}
	return content{Title: "Alert rules", Body: b}, nil
}

func troubleOf(r wire.AlertRule) int {
	switch {
	case r.Silent:
		return 2
	case r.Error != nil:
		return 1
	}
	return 0
}

// alertSilencesBody is the list of silences of rules.
type alertSilencesBody struct {
	Away     *shown
	Silences []wire.AlertSilence
	Rules    []string
	Rule     string // to begin with
	Key      string
}

func (s *Site) alertSilences(v *visit) (content, error) {
	q := v.URL.Query()
	b := alertSilencesBody{Rule: q.Get("rule"), Key: q.Get("key")}
	list, err := v.client.AlertSilences(v.ctx)
	if b.Away = noAlerts(err); b.Away != nil {
		return content{Title: "Silences", Body: b}, nil
	}
	if err != nil {
		return content{}, err
	}
	rules, err := v.client.AlertRules(v.ctx)
	if err != nil {
		return content{}, err
	}
	b.Silences = list
	for _, r := range rules.Rules {
		b.Rules = append(b.Rules, r.Name)
	}
	return content{Title: "Silences", Body: b}, nil
}

func (s *Site) silenceRules(v *visit) (string, string, error) {
	n := wire.NewAlertSilence{Rule: strings.TrimSpace(v.PostFormValue("rule")), Key: strings.TrimSpace(v.PostFormValue("key")), Reason: strings.TrimSpace(v.PostFormValue("reason"))}
	if n.Rule == "" {
		return "", "", badInput("write the name of a rule, with * for any part of it", "which rules are to be silent?")
	}
	var err error
	if n.For, err = longOf(v.PostFormValue("for"), true); err != nil {
		return "", "", err
	}
	made, err := v.client.SilenceRules(v.ctx, n)
	if err != nil {
		return "", "", err
	}
	return "/alerts/silences", "Nobody is told of alerts of " + made.Rule + " for " + until(made.Until, time.Now()) + ".", nil
}
