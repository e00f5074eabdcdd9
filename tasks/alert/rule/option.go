package rule

import (
	"slices"
	"strings"
)

// Kind is what the value of an option looks like.
type Kind string

// The kinds of values.
const (
	KindString   Kind = "string"           // a number stands for its text
	KindWord     Kind = "word"             // one of Option.Words
	KindInt      Kind = "whole number"     //
	KindNumber   Kind = "number"           //
	KindBool     Kind = "true or false"    // yes, no, on and off, too
	KindStrings  Kind = "string or list"   // of strings
	KindList     Kind = "list of strings"  // one alone is not a list
	KindValues   Kind = "list of values"   // strings, numbers, true, false; "!file PATH" is the lines of a file
	KindDuration Kind = "duration"         // {minutes: 5, seconds: 30}, or 5m30s
	KindWindow   Kind = "duration or cron" // a duration, or {schedule: a cron expression}
	KindCron     Kind = "cron expression"  // five fields
	KindMap      Kind = "map"              // names with values
	KindAny      Kind = "any value"        //
	KindFields   Kind = "list of fields"   // each a name or a list of names
	KindFilters  Kind = "list of queries"  // of Elasticsearch's query language
	KindAlerts   Kind = "list of alerts"   // names, or {name: {options}}
	KindLadder   Kind = "list of rungs"    // {after, to, until, repeat, repeats}
)

// Standing says what stint makes of an option.
type Standing int

// The standings of options.
const (
	Supported Standing = iota // it means what it means in ElastAlert
	Elsewhere                 // it is accepted and does nothing, because stint has another way, which Option.Why names
	Refused                   // it cannot be kept, for the reason in Option.Why
)

// Option is a line of the table of all options.
type Option struct {
	Name string
	Kind Kind
	// Words are what a word may be; the first is what holds when nothing is said, unless Doc says more.
	Words []string
	// Types are the types of rules that it means something to; none is all of them.
	Types []string
	// Of is the sender that it belongs to; "" is the rule itself.
	Of       string
	Standing Standing
	// Secret values are kept out of rules, and out of what is said of them.
	Secret bool
	// Own marks what ElastAlert does not have.
	Own bool
	// Why says what is done instead, or the reason of a refusal.
	Why string
	// Doc says what it is, in a sentence.
	Doc string
}

// TypesOfRules are the types that a rule can have.
var TypesOfRules = []string{Any, Blacklist, Whitelist, Change, Frequency, Spike, Flatline, NewTerm, Cardinality, MetricAggregation, SpikeAggregation, PercentageMatch, Absence}

// needs are the options that a type cannot do without. Of several names with | between them one is enough.
var needs = map[string][]string{
	Blacklist:         {"compare_key", "blacklist"},
	Whitelist:         {"compare_key", "whitelist", "ignore_null"},
	Change:            {"query_key", "compare_key", "ignore_null"},
	Frequency:         {"num_events", "timeframe"},
	Spike:             {"spike_height", "spike_type", "timeframe"},
	Flatline:          {"threshold", "timeframe"},
	NewTerm:           {"fields|query_key"},
	Cardinality:       {"cardinality_field", "timeframe", "max_cardinality|min_cardinality"},
	MetricAggregation: {"metric_agg_key", "metric_agg_type", "max_threshold|min_threshold"},
	SpikeAggregation:  {"metric_agg_key", "metric_agg_type", "spike_height", "spike_type", "timeframe"},
	PercentageMatch:   {"match_bucket_filter", "max_percentage|min_percentage"},
	Absence:           {"first", "then", "timeframe"},
}

// Table returns all options: those of rules, of their types, and of those who send.
func Table() []Option { return slices.Clone(table) }

var (
	table  = slices.Concat(ruleOptions, typeOptions, textOptions, ownOptions, senderOptions, elsewhereOptions, refusedOptions)
	byName = func() map[string]*Option {
		m := make(map[string]*Option, len(table))
		for i := range table {
			m[table[i].Name] = &table[i]
		}
		return m
	}()
)

// FreePrefix begins the names of what a file says for people and for texts alone.
const FreePrefix = "x_"

// editorPrefix begins the names of what an editor of ElastAlert rules writes for itself.
const editorPrefix = "__praeco_"

// option finds an option of the table. Those of senders that are refused have one line for all that begins with their prefix.
func option(name string) (o *Option, ok bool) {
	if o, ok := byName[name]; ok {
		return o, true
	}
	for i := range refusedSenders {
		if s := &refusedSenders[i]; s.prefix != "" && strings.HasPrefix(name, s.prefix) {
			return &Option{Name: name, Kind: KindAny, Of: s.name, Standing: Elsewhere, Why: "it belongs to " + s.name + ", which stint cannot send to", Secret: true}, true
		}
	}
	return nil, false
}

// takes reports whether a type of rules makes anything of it.
func (o *Option) takes(kind string) bool { return len(o.Types) == 0 || slices.Contains(o.Types, kind) }

// isText reports whether it is of what is told, which an entry of alert: may say otherwise.
func (o *Option) isText() bool {
	return o.Of == "" && (strings.HasPrefix(o.Name, "alert_") && o.Name != "alert_on_missing_field" && o.Name != "alert_on_new_data" || strings.HasPrefix(o.Name, "summary_") || o.Name == "jinja_root_name") && o.Standing == Supported
}

// names are those of options that a file may have, for who has mistyped one.
func names() []string {
	var list []string
	for i := range table {
		if table[i].Standing == Supported {
			list = append(list, table[i].Name)
		}
	}
	return list
}
