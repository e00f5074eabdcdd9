package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/telemetry"
)

// AlertStore is what the routes of alerts ask; *alertstore.Store is one.
type AlertStore interface {
	Get(ctx context.Context, id string) (alertstore.Kept, error)
	List(ctx context.Context, f alertstore.Filter) (list []wire.Alert, next string, err error)
	Counts(ctx context.Context) (map[string]int64, error)
	Acknowledge(ctx context.Context, id string, now time.Time, by, reason string, long time.Duration) (wire.Alert, error)
	AcknowledgeByLink(ctx context.Context, id, message string, now time.Time) (wire.Alert, error)
	Release(ctx context.Context, id string, now time.Time) (wire.Alert, error)
	Silence(ctx context.Context, id string, now time.Time, by, reason string, long time.Duration) (wire.Alert, error)
	Resolve(ctx context.Context, id string, now time.Time, by, reason string) (wire.Alert, error)
	SilenceRules(ctx context.Context, now time.Time, x wire.AlertSilence) (wire.AlertSilence, error)
	Silences(ctx context.Context, now time.Time) ([]wire.AlertSilence, error)
	EndSilence(ctx context.Context, id string) error
}

// Alerts is what a server needs to show alerts and to act on them.
type Alerts struct {
	Store AlertStore
	// Rules says which rules are evaluated, and how that goes.
	Rules func(ctx context.Context, now time.Time) (wire.AlertRules, error)
	// Sign gives the signature of the link with which a message lets its alert be taken; nil: there are no such links.
	Sign func(alert, message string) string
}

func (a *API) alertRoutes() {
	look, act := needs{role: viewer, fleet: true}, needs{role: operator, fleet: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/alerts", "list-alerts", "List alerts, those that are not over first and of each the newest first", "Without state, those that are not over."), a.listAlerts)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/alerts/rules", "list-alert-rules", "Say which alert rules are evaluated, and how that goes", "One that is silent is not evaluated, also when every worker and scheduler is dead."), a.alertRules)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/alerts/silences", "list-alert-silences", "List the silences of rules that are not over", ""), a.alertSilences)
	silence := a.route(act, http.MethodPost, "/v1/alerts/silences", "silence-alert-rules", "Keep the alerts of rules from being told for a while", "Those that are open, and those that come.")
	silence.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, silence, a.silenceRules)
	huma.Register(a.huma, a.route(act, http.MethodDelete, "/v1/alerts/silences/{id}", "end-alert-silence", "Take a silence of rules back", "Alerts that it has silenced stay so until its time, unless they are released."), a.endSilence)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/alerts/{id}", "get-alert", "Show an alert: its life, its ladder, and who was told", ""), a.getAlert)
	a.alertAct("ack", "acknowledge-alert", "Take an alert: its ladder stops", "With for, the ladder goes on when that time is over. Taken again, it is theirs who took it last.", a.acknowledge)
	a.alertAct("silence", "silence-alert", "Keep everybody from being told of an alert for a while", "for has to be said.", a.silence)
	a.alertAct("resolve", "resolve-alert", "End an alert", "When its rule matches again, that is another one.", func(ctx context.Context, s AlertStore, id string, b wire.AlertAct) (wire.Alert, error) {
		if b.For != "" {
			return wire.Alert{}, invalid("body.for", "leave it away, or silence the alert instead", "an alert is resolved for good")
		}
		return s.Resolve(ctx, id, now(), b.By, b.Reason)
	})
	a.alertAct("release", "release-alert", "Take an acknowledgement or a silence back", "The ladder goes on where its time is.", func(ctx context.Context, s AlertStore, id string, _ wire.AlertAct) (wire.Alert, error) {
		return s.Release(ctx, id, now())
	})
	a.ackRoutes()
}

// alertAct registers what somebody does with an alert.
func (a *API) alertAct(verb, id, summary, description string, do func(ctx context.Context, s AlertStore, id string, b wire.AlertAct) (wire.Alert, error)) {
	op := a.route(needs{role: operator, fleet: true}, http.MethodPost, "/v1/alerts/{id}/"+verb, id, summary, description+" A conflict when the alert is over.")
	op.Errors = append(op.Errors, http.StatusConflict)
	huma.Register(a.huma, op, func(ctx context.Context, in *alertActInput) (*body[wire.Alert], error) {
		s, err := a.alertStore()
		if err != nil {
			return nil, err
		}
		b := wire.AlertAct{}
		if in.Body != nil {
			b = *in.Body
		}
		b.By = cmp.Or(b.By, principalOf(ctx).Name)
		x, err := do(ctx, s, in.ID, b)
		return answer(x, alertProblem(in.ID, err))
	})
}

type alertActInput struct {
	PathID
	Body *wire.AlertAct
}

// alertStore is what there is of alerts, or the answer that there is none.
func (a *API) alertStore() (AlertStore, error) {
	if a.o.Alerts == nil {
		return nil, refused(http.StatusNotFound, "ask a server of the fleet: stint serve, or stint up", "this server has no alerts")
	}
	return a.o.Alerts.Store, nil
}

// alertProblem says of an alert what the store says of any.
func alertProblem(id string, err error) error {
	switch {
	case errors.Is(err, alertstore.ErrNotFound):
		return refused(http.StatusNotFound, "stint alert list lists those that there are", "there is no alert %s, or it was forgotten for its age", id)
	case errors.Is(err, alertstore.ErrResolved):
		return refused(http.StatusConflict, "nothing is left to be done; when its rule matches again, that is another alert", "the alert %s is over", id)
	case errors.Is(err, alertstore.ErrCursor):
		return invalid("query.cursor", "send the next of the page before as it is", "%v", err)
	}
	return err
}

type listAlertsInput struct {
	State  []string `query:"state" enum:"open,acknowledged,silenced,resolved" doc:"In one of these states, separated by commas; left out, those that are not over"`
	Rule   string   `query:"rule" maxLength:"400" doc:"Of this rule alone"`
	Limit  int      `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"At most so many"`
	Cursor string   `query:"cursor" doc:"The next of the page before"`
}

func (a *API) listAlerts(ctx context.Context, in *listAlertsInput) (*body[wire.AlertList], error) {
	s, err := a.alertStore()
	if err != nil {
		return nil, err
	}
	f := alertstore.Filter{Rule: in.Rule, States: in.State, Limit: in.Limit, After: in.Cursor}
	if len(f.States) == 0 {
		f.States = []string{wire.AlertOpen, wire.AlertAcknowledged, wire.AlertSilenced}
	}
	list, next, err := s.List(ctx, f)
	if list == nil {
		list = []wire.Alert{}
	}
	return answer(wire.AlertList{Alerts: list, Next: next}, alertProblem("", err))
}

func (a *API) getAlert(ctx context.Context, in *PathID) (*body[wire.Alert], error) {
	s, err := a.alertStore()
	if err != nil {
		return nil, err
	}
	k, err := s.Get(ctx, in.ID)
	return answer(k.Alert, alertProblem(in.ID, err))
}

func (a *API) alertRules(ctx context.Context, _ *struct{}) (*body[wire.AlertRules], error) {
	if _, err := a.alertStore(); err != nil {
		return nil, err
	}
	return answer(a.o.Alerts.Rules(ctx, now()))
}

func (a *API) acknowledge(ctx context.Context, s AlertStore, id string, b wire.AlertAct) (wire.Alert, error) {
	var long time.Duration
	if b.For != "" {
		var err error
		if long, err = howLong(b.For); err != nil {
			return wire.Alert{}, err
		}
	}
	return s.Acknowledge(ctx, id, now(), b.By, b.Reason, long)
}

func (a *API) silence(ctx context.Context, s AlertStore, id string, b wire.AlertAct) (wire.Alert, error) {
	long, err := howLong(b.For)
	if err != nil {
		return wire.Alert{}, err
	}
	return s.Silence(ctx, id, now(), b.By, b.Reason, long)
}

// longest is the longest time for which somebody may be left untold.
const longest = 366 * 24 * time.Hour

// howLong reads for how long something is asked.
func howLong(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > longest {
		return 0, invalid("body.for", "write a duration such as 30m or 8h, at most a year", "for how long? %q says no such time", text)
	}
	return d, nil
}

func (a *API) alertSilences(ctx context.Context, _ *struct{}) (*body[wire.AlertSilences], error) {
	s, err := a.alertStore()
	if err != nil {
		return nil, err
	}
	list, err := s.Silences(ctx, now())
	if list == nil {
		list = []wire.AlertSilence{}
	}
	return answer(wire.AlertSilences{Silences: list}, err)
}

func (a *API) silenceRules(ctx context.Context, in *struct{ Body wire.NewAlertSilence }) (*body[wire.AlertSilence], error) {
	s, err := a.alertStore()
	if err != nil {
		return nil, err
	}
	long, err := howLong(in.Body.For)
	if err != nil {
		return nil, err
	}
	at := now()
	x := wire.AlertSilence{Rule: in.Body.Rule, Key: in.Body.Key, Until: at.Add(long), By: cmp.Or(in.Body.By, principalOf(ctx).Name), Reason: in.Body.Reason}
	return answer(s.SilenceRules(ctx, at, x))
}

func (a *API) endSilence(ctx context.Context, in *PathID) (*struct{}, error) {
	s, err := a.alertStore()
	if err != nil {
		return nil, err
	}
	err = s.EndSilence(ctx, in.ID)
	if errors.Is(err, alertstore.ErrNotFound) {
		err = refused(http.StatusNotFound, "stint alert silences lists those that there are", "there is no silence %s", in.ID)
	}
	if err != nil {
		return nil, problem(err)
	}
	return nil, nil
}

// fleetAlerts says how the evaluation of rules goes, and how many alerts there are.
func (a *API) fleetAlerts(ctx context.Context, f *telemetry.Fleet) error {
	if a.o.Alerts == nil {
		return nil
	}
	at := now()
	rules, err := a.o.Alerts.Rules(ctx, at)
	if err != nil || rules.PublishedAt == nil {
		return err
	}
	for _, r := range rules.Rules {
		last := *rules.PublishedAt
		if r.EvaluatedAt != nil {
			last = *r.EvaluatedAt
		}
		f.Rules = append(f.Rules, telemetry.FleetRule{Name: r.Name, Age: max(at.Sub(last), 0), Lag: time.Duration(r.Lag) * time.Millisecond, Failing: r.Error != nil})
	}
	f.Alerts, err = a.o.Alerts.Store.Counts(ctx)
	return err
}
