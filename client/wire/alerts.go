package wire

import "time"

// The states of an alert.
const (
	AlertOpen         = "open"         // nobody has taken it: its ladder runs
	AlertAcknowledged = "acknowledged" // somebody has
	AlertSilenced     = "silenced"     // nobody is told for a while
	AlertResolved     = "resolved"     // it is over
)

// AlertStates lists the states of an alert.
var AlertStates = []string{AlertOpen, AlertAcknowledged, AlertSilenced, AlertResolved}

// What became of a message to a channel.
const (
	ToldPending = "pending" // it is on its way, or is tried again
	ToldSent    = "sent"
	ToldGaveUp  = "gave_up" // it did not arrive
	ToldUnknown = "unknown" // its sender died while sending, and the channel does not want it twice
	ToldDropped = "dropped" // it was overtaken: by the end of the alert, or by somebody who took it
)

// Alert is what a rule found for one of its keys, from when it began until it is over.
type Alert struct {
	ID             string           `json:"id"`
	Rule           string           `json:"rule"`
	Key            string           `json:"key,omitempty" doc:"What tells it from other alerts of its rule: a value of the rule's query_key"`
	State          string           `json:"state" doc:"open, acknowledged, silenced or resolved"`
	Severity       string           `json:"severity" doc:"info, warning, error or critical"`
	Subject        string           `json:"subject"`
	Text           string           `json:"text,omitempty"`
	Owner          string           `json:"owner,omitempty"`
	OpenedAt       time.Time        `json:"opened_at"`
	LastAt         time.Time        `json:"last_at" doc:"When the rule last matched"`
	Count          int64            `json:"count" doc:"How often the rule's alert came, those that were held back by realert left out"`
	Matches        []map[string]any `json:"matches,omitempty" doc:"Some of what the rule found, of the last time"`
	AcknowledgedAt *time.Time       `json:"acknowledged_at,omitempty"`
	AcknowledgedBy string           `json:"acknowledged_by,omitempty"`
	AckedUntil     *time.Time       `json:"acknowledged_until,omitempty" doc:"Then the ladder goes on; absent: it does not"`
	SilencedUntil  *time.Time       `json:"silenced_until,omitempty"`
	SilencedBy     string           `json:"silenced_by,omitempty"`
	Reason         string           `json:"reason,omitempty" doc:"What was said when it was last acknowledged, silenced or resolved"`
	ResolvedAt     *time.Time       `json:"resolved_at,omitempty"`
	ResolvedBy     string           `json:"resolved_by,omitempty" doc:"A person, or the rule"`
	NextAt         *time.Time       `json:"next_at,omitempty" doc:"When somebody is told next, unless something happens before"`
	Ladder         []AlertLevel     `json:"ladder,omitempty" doc:"Who is told, as it stood in the rule when the alert was opened"`
	Told           []AlertTold      `json:"told,omitempty" doc:"Who was told what, the newest last; of more than 100 older ones are left out, but not the last that arrived at a channel"`
	Version        int64            `json:"version" doc:"Counts its changes"`
}

// AlertLevel is a rung of the ladder of an alert.
type AlertLevel struct {
	After   int64    `json:"after_ms" doc:"Milliseconds since the alert was opened"`
	To      []string `json:"to" doc:"Channels"`
	Until   string   `json:"until,omitempty" doc:"acked or resolved: what ends it"`
	Repeat  int64    `json:"repeat_ms,omitempty"`
	Repeats int      `json:"repeats,omitempty"`
	// Each is told each time that the rule's alert comes, as ElastAlert does.
	Each   bool       `json:"each,omitempty" doc:"It is told each time that the rule's alert comes"`
	Told   int        `json:"told,omitempty" doc:"How often it was told"`
	NextAt *time.Time `json:"next_at,omitempty" doc:"When it is told again"`
}

// AlertTold is a message about an alert.
type AlertTold struct {
	Message string     `json:"message" doc:"The id of the message"`
	Channel string     `json:"channel"`
	Event   string     `json:"event" doc:"opened, repeated, escalated, resolved"`
	State   string     `json:"state" doc:"pending, sent, gave_up, unknown or dropped"`
	At      time.Time  `json:"at" doc:"When it was decided to send it"`
	SentAt  *time.Time `json:"sent_at,omitempty"`
	Tries   int        `json:"tries,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// AlertList is a page of alerts.
type AlertList struct {
	Alerts []Alert `json:"alerts"`
	Next   string  `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one"`
}

// AlertAct is what somebody does with an alert.
type AlertAct struct {
	By     string `json:"by,omitempty" maxLength:"200" doc:"Who; the token's name by default"`
	Reason string `json:"reason,omitempty" maxLength:"1000"`
	For    string `json:"for,omitempty" maxLength:"40" doc:"How long, such as 2h: of acknowledging, until the ladder goes on; of silencing, until somebody is told again"`
}

// AlertRule is a rule and how its evaluation goes.
type AlertRule struct {
	Name        string     `json:"name"`
	File        string     `json:"file"`
	Type        string     `json:"type"`
	Source      string     `json:"source,omitempty"`
	RunEvery    int64      `json:"run_every_ms"`
	EvaluatedAt *time.Time `json:"evaluated_at,omitempty" doc:"When it was last evaluated, by a clock"`
	Window      *time.Time `json:"window_end,omitempty" doc:"Up to where events have been read"`
	Lag         int64      `json:"lag_ms" doc:"For how long its next window has been due: how far it is behind"`
	Hits        int64      `json:"hits" doc:"Events of the last window"`
	Matches     int64      `json:"matches"`
	Took        int64      `json:"took_ms"`
	Error       *JobError  `json:"error,omitempty" doc:"Why it could not be evaluated"`
	FailingFor  int64      `json:"failing_for_ms,omitempty"`
	Silent      bool       `json:"silent,omitempty" doc:"It has not been evaluated within its heartbeat"`
	Notes       []string   `json:"notes,omitempty"`
}

// AlertRules are the rules that are evaluated.
type AlertRules struct {
	Rules       []AlertRule `json:"rules"`
	Digest      string      `json:"digest,omitempty" doc:"Of the set of rules"`
	Environment string      `json:"environment,omitempty"`
	PublishedAt *time.Time  `json:"published_at,omitempty"`
	PublishedBy string      `json:"published_by,omitempty"`
	Problems    []string    `json:"problems,omitempty" doc:"Mistakes in rule files: of those rules the last good ones go on"`
}

// AlertSilence keeps alerts from being told.
type AlertSilence struct {
	ID     string    `json:"id"`
	Rule   string    `json:"rule" doc:"The name of a rule, * for any part of it"`
	Key    string    `json:"key,omitempty" doc:"The key of an alert, * for any part of it; empty: each"`
	Until  time.Time `json:"until"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// AlertSilences are the silences of rules that are not over.
type AlertSilences struct {
	Silences []AlertSilence `json:"silences"`
}

// NewAlertSilence asks for a silence of rules.
type NewAlertSilence struct {
	Rule   string `json:"rule" minLength:"1" maxLength:"400" doc:"The name of a rule, * for any part of it"`
	Key    string `json:"key,omitempty" maxLength:"2000" doc:"The key of an alert, * for any part of it; empty: each"`
	For    string `json:"for" minLength:"1" maxLength:"40" doc:"How long, such as 2h"`
	By     string `json:"by,omitempty" maxLength:"200" doc:"Who; the token's name by default"`
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}
