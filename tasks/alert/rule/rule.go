// Package rule reads alert rules: one YAML file each, with the names and meanings of ElastAlert 2 rules, and what stint adds to them.
//
// A Rule is what is left when imports, defaults, the environment's overrides and tokens have been applied: plain values, checked
// against one another, that are frozen as JSON when a set of rules is published. Nothing in it is secret: what a file says of an
// alerter that must not be stored anywhere is named in Alerter.Secrets and read again, from the file, by whoever sends.
package rule

import (
	"strings"
	"time"
)

// The types of rules, in ElastAlert's words; Absence is stint's own.
const (
	Any               = "any"
	Blacklist         = "blacklist"
	Whitelist         = "whitelist"
	Change            = "change"
	Frequency         = "frequency"
	Spike             = "spike"
	Flatline          = "flatline"
	NewTerm           = "new_term"
	Cardinality       = "cardinality"
	MetricAggregation = "metric_aggregation"
	SpikeAggregation  = "spike_aggregation"
	PercentageMatch   = "percentage_match"
	Absence           = "absence"
)

// Rule is one rule. Durations are nanoseconds in JSON; a zero one means that the option is not set, unless its comment says more.
type Rule struct {
	Name        string `json:"name"`
	File        string `json:"file"` // relative to the folder of the rules, with slashes
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Owner       string `json:"owner,omitempty"`
	Category    string `json:"category,omitempty"`
	Priority    int    `json:"priority"`           // ElastAlert's; 2 when nothing is said
	Severity    string `json:"severity,omitempty"` // info, warning, error, critical; "" goes by Priority

	// Where the events are.
	Source           string           `json:"source"`                 // the name of a connection
	Index            string           `json:"index,omitempty"`        // an index pattern of Elasticsearch, or the table of an SQL source
	UseStrftimeIndex bool             `json:"use_strftime,omitempty"` // Index has %Y, %m, %d, ...
	SearchExtraIndex bool             `json:"search_extra_index,omitempty"`
	Query            string           `json:"query,omitempty"` // of a source that is asked in its own words: PromQL or SELECT
	Filter           []map[string]any `json:"filter,omitempty"`
	Timestamp        Timestamp        `json:"timestamp"`
	Include          []string         `json:"include,omitempty"`     // fields of a hit; none means all
	MaxQuerySize     int              `json:"max_query_size"`        // hits of one page
	IDField          string           `json:"id_field,omitempty"`    // of a source whose events have no id: the column that is one
	UseCountQuery    bool             `json:"use_count,omitempty"`   // ask how many, not which
	UseTermsQuery    bool             `json:"use_terms,omitempty"`   // ask how many for each value of the query key
	TermsSize        int              `json:"terms_size,omitempty"`  // values asked for at once
	MinDocCount      int              `json:"min_doc_count"`         // of a value, for it to be in the answer
	ScanEntire       bool             `json:"scan_entire,omitempty"` // each query goes back over the whole Timeframe

	// When it is evaluated.
	RunEvery       time.Duration `json:"run_every"` // the grid of its windows; always set
	BufferTime     time.Duration `json:"buffer_time"`
	QueryDelay     time.Duration `json:"query_delay,omitempty"`
	LimitExecution string        `json:"limit_execution,omitempty"` // a cron expression: evaluated in its minutes only
	// LimitCoverage leaves out what happened between those times, too.
	LimitCoverage bool `json:"limit_coverage,omitempty"`

	// What its type goes by.
	QueryKey   []string      `json:"query_key,omitempty"`   // the parts of the key by which events are told apart; none: there is one key
	CompareKey []string      `json:"compare_key,omitempty"` // of change, blacklist, whitelist
	Timeframe  time.Duration `json:"timeframe,omitempty"`
	List       []any         `json:"list,omitempty"` // of blacklist and whitelist, files read in
	// FilterByList leaves it to the source to compare with List.
	FilterByList      bool     `json:"filter_by_list,omitempty"`
	IgnoreNull        bool     `json:"ignore_null,omitempty"`
	NumEvents         int      `json:"num_events,omitempty"`
	AttachRelated     bool     `json:"attach_related,omitempty"` // of frequency: a match has the other events that were counted
	Threshold         int      `json:"threshold,omitempty"`      // of flatline
	ForgetKeys        bool     `json:"forget_keys,omitempty"`    // of flatline
	SpikeHeight       float64  `json:"spike_height,omitempty"`
	SpikeType         string   `json:"spike_type,omitempty"` // up, down, both
	ThresholdRef      *float64 `json:"threshold_ref,omitempty"`
	ThresholdCur      *float64 `json:"threshold_cur,omitempty"`
	FieldValue        string   `json:"field_value,omitempty"` // of spike: the field that is compared instead of the number of events
	AlertOnNewData    bool     `json:"alert_on_new_data,omitempty"`
	Cardinality       string   `json:"cardinality_field,omitempty"`
	MaxCardinality    *int     `json:"max_cardinality,omitempty"`
	MinCardinality    *int     `json:"min_cardinality,omitempty"`
	Fields            []Field  `json:"fields,omitempty"` // of new_term; none: the parts of QueryKey, joined to one
	TermsWindow       Duration `json:"terms_window,omitempty"`
	WindowStep        Duration `json:"window_step,omitempty"`
	AlertOnMissing    bool     `json:"alert_on_missing,omitempty"` // of new_term
	KeywordPostfix    bool     `json:"keyword_postfix,omitempty"`
	MetricKey         string   `json:"metric_key,omitempty"`
	MetricType        string   `json:"metric_type,omitempty"`
	MetricScript      any      `json:"metric_script,omitempty"`
	MetricFormat      string   `json:"metric_format,omitempty"`
	PercentileRange   float64  `json:"percentile_range,omitempty"`
	MaxThreshold      *float64 `json:"max_threshold,omitempty"` // of metrics
	MinThreshold      *float64 `json:"min_threshold,omitempty"`
	BucketInterval    Duration `json:"bucket_interval,omitempty"`
	SyncBuckets       bool     `json:"sync_buckets,omitempty"`
	AllowOverlap      bool     `json:"allow_overlap,omitempty"`      // allow_buffer_time_overlap
	UseRunEverySize   bool     `json:"use_run_every_size,omitempty"` // use_run_every_query_size
	MatchBucketFilter any      `json:"match_bucket_filter,omitempty"`
	MaxPercentage     *float64 `json:"max_percentage,omitempty"`
	MinPercentage     *float64 `json:"min_percentage,omitempty"`
	MinDenominator    int      `json:"min_denominator,omitempty"`
	PercentageFormat  string   `json:"percentage_format,omitempty"`
	// First and Then are of absence: an event that First matches and that none which Then matches has followed within Timeframe, for
	// the same key, is a match. They are filters as in Filter, and looked at in the events that Filter lets through.
	First []map[string]any `json:"first,omitempty"`
	Then  []map[string]any `json:"then,omitempty"`

	// What becomes of its matches.
	Realert            time.Duration `json:"realert"` // 0: each match is told
	RealertKey         string        `json:"realert_key"`
	ExponentialRealert time.Duration `json:"exponential_realert,omitempty"`
	Aggregation        Aggregation   `json:"aggregation,omitzero"`
	TopCountKeys       []string      `json:"top_count_keys,omitempty"`
	TopCountNumber     int           `json:"top_count_number,omitempty"`
	RawCountKeys       bool          `json:"raw_count_keys,omitempty"`
	Alert              []Alerter     `json:"alert,omitempty"`
	Escalate           []Level       `json:"escalate,omitempty"`
	// ResolveAfter is how long nothing must match until an alert is over by itself; 0: it is told that it is over by people alone.
	ResolveAfter time.Duration `json:"resolve_after,omitempty"`
	// Heartbeat is how long the rule may go unevaluated before that is an alert of its own; 0 is the default of the configuration.
	Heartbeat time.Duration `json:"heartbeat,omitempty"`
	Text      Text          `json:"text"`
	// Values are options of the file that texts refer to by name, as the file has them; none of them is secret.
	Values map[string]any `json:"values,omitempty"`
}

// Duration is a time.Duration that JSON leaves out when it is zero.
type Duration = time.Duration

// Timestamp says how an event carries its time.
type Timestamp struct {
	Field  string `json:"field"`            // @timestamp by default
	Type   string `json:"type"`             // iso, unix, unix_ms, custom
	Format string `json:"format,omitempty"` // of custom: in the words of strptime
}

// Field is a field of new_term, or several that are new together.
type Field []string

// Aggregation says when matches are told together. The zero value: each by itself.
type Aggregation struct {
	For      time.Duration `json:"for,omitempty"`      // after the first of them
	Schedule string        `json:"schedule,omitempty"` // or at the next time of this cron expression
	Key      []string      `json:"key,omitempty"`
	// ByMatchTime counts For from the time of the first match, not from when it was found.
	ByMatchTime bool `json:"by_match_time,omitempty"`
}

// On reports whether matches are told together.
func (a Aggregation) On() bool { return a.For > 0 || a.Schedule != "" }

// Alerter is an entry of a rule's alert list.
type Alerter struct {
	// Channel is a channel of the configuration; then there is no Type.
	Channel string `json:"channel,omitempty"`
	// Type is ElastAlert's name of what sends: slack, email, ...
	Type string `json:"type,omitempty"`
	// Options are ElastAlert's options of that type, as the rule has them, or as the entry itself does; and texts of its own.
	Options map[string]any `json:"options,omitempty"`
	// Secrets are the options that are not in Options, because nobody may read them but who sends.
	Secrets []string `json:"secrets,omitempty"`
}

// Level is a rung of the ladder.
type Level struct {
	After time.Duration `json:"after"` // since the alert was opened
	To    []string      `json:"to"`    // channels of the configuration
	// Until is "acked", which "" means too, or "resolved": then it is told although somebody has taken the alert.
	Until string `json:"until,omitempty"`
	// Repeat tells it again and again, as long as the ladder runs; at most Repeats times, 0 is without limit.
	Repeat  time.Duration `json:"repeat,omitempty"`
	Repeats int           `json:"repeats,omitempty"`
}

// Text says what is told.
type Text struct {
	Subject       string         `json:"subject,omitempty"`
	SubjectArgs   []string       `json:"subject_args,omitempty"`
	SubjectMaxLen int            `json:"subject_max_len,omitempty"`
	Body          string         `json:"body,omitempty"`
	BodyArgs      []string       `json:"body_args,omitempty"`
	BodyKw        map[string]any `json:"body_kw,omitempty"` // field -> name in Body
	BodyType      string         `json:"body_type,omitempty"`
	MissingValue  string         `json:"missing_value,omitempty"` // "<MISSING VALUE>" by default
	SummaryFields []string       `json:"summary_fields,omitempty"`
	SummaryPrefix string         `json:"summary_prefix,omitempty"`
	SummarySuffix string         `json:"summary_suffix,omitempty"`
	SummaryType   string         `json:"summary_type,omitempty"`
	SummaryMax    int            `json:"summary_max,omitempty"`
}

// Key returns the name under which a match has its key, "" without one: the fields of the key, joined by commas.
func (r *Rule) Key() string { return strings.Join(r.QueryKey, ",") }

// Aggregates reports whether its type asks for metrics.
func (r *Rule) Aggregates() bool {
	return r.Type == MetricAggregation || r.Type == SpikeAggregation || r.Type == PercentageMatch
}
