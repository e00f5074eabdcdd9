package rule

func on(types ...string) []string { return types }

var (
	counting = on(Frequency, Spike, Flatline)
	byTerms  = on(Frequency, Spike, Flatline, NewTerm)
	spikes   = on(Spike, SpikeAggregation)
	metrics  = on(MetricAggregation, SpikeAggregation)
	buckets  = on(MetricAggregation, PercentageMatch)
	compares = on(Blacklist, Whitelist, Change)
)

// MetricTypes are what a metric can be.
var MetricTypes = []string{"min", "max", "avg", "sum", "cardinality", "value_count", "percentiles"}

// ruleOptions are those that every rule can have.
var ruleOptions = []Option{
	{Name: "name", Kind: KindString, Doc: "What the rule is called; no two rules have the same name. The file's name without its ending, when nothing is said."},
	{Name: "type", Kind: KindWord, Words: TypesOfRules, Doc: "What a match is."},
	{Name: "is_enabled", Kind: KindBool, Doc: "false: the rule is checked, and not evaluated."},
	{Name: "import", Kind: KindStrings, Doc: "Files whose options this one takes over, relative to it. What the rule says itself goes first, a later file before an earlier one; filters have to hold all of them."},
	{Name: "description", Kind: KindString, Doc: "What it is about, for people."},
	{Name: "owner", Kind: KindString, Doc: "Whose it is."},
	{Name: "category", Kind: KindString, Doc: "What it belongs to."},
	{Name: "priority", Kind: KindInt, Doc: "How urgent it is: 1 is critical, 5 for information; 2 when nothing is said."},
	{Name: "index", Kind: KindString, Doc: "The indices of the events, with * and commas; of an SQL source the table."},
	{Name: "use_strftime_index", Kind: KindBool, Doc: "index has %Y, %m, %d, %H, ... in it, for which the times of a window are put in."},
	{Name: "search_extra_index", Kind: KindBool, Doc: "With use_strftime_index: look into the indices of the day before and after, too."},
	{Name: "filter", Kind: KindFilters, Doc: "What an event has to be like. All of them have to hold."},
	{Name: "include", Kind: KindList, Doc: "The fields of an event that are read; all, when nothing is said."},
	{Name: "max_query_size", Kind: KindInt, Doc: "Events of one page; there is no limit to the number of pages. 10000."},
	{Name: "timestamp_field", Kind: KindString, Doc: "The field with an event's time; @timestamp."},
	{Name: "timestamp_type", Kind: KindWord, Words: []string{"iso", "unix", "unix_ms", "custom"}, Doc: "How it is written."},
	{Name: "timestamp_format", Kind: KindString, Doc: "Of custom: in the words of strptime; %Y-%m-%dT%H:%M:%SZ."},
	{Name: "query_key", Kind: KindStrings, Doc: "The field, or fields, by which events are told apart: counted, silenced and told for each value."},
	{Name: "timeframe", Kind: KindDuration, Types: on(Change, Frequency, Spike, Flatline, Cardinality, SpikeAggregation, Absence), Doc: "How far what belongs together may lie apart."},
	{Name: "scan_entire_timeframe", Kind: KindBool, Doc: "Each query goes back over the whole timeframe."},
	{Name: "run_every", Kind: KindDuration, Doc: "The time from one window to the next."},
	{Name: "buffer_time", Kind: KindDuration, Doc: "How late an event may come and still be counted; of metrics, how much each query asks for."},
	{Name: "query_delay", Kind: KindDuration, Doc: "How long after its end a window is asked for."},
	{Name: "limit_execution", Kind: KindCron, Doc: "The minutes in which the rule is evaluated, in UTC. Some of its times, which come every run_every from midnight on, have to be in them."},
	{Name: "limit_execution_coverage", Kind: KindBool, Doc: "What happened outside of these minutes is left out for good."},
	{Name: "realert", Kind: KindDuration, Doc: "How long nothing more is told of the same key. 1 minute; 0 with aggregation."},
	{Name: "realert_key", Kind: KindString, Doc: "Rules with the same one are silent together; the rule's name."},
	{Name: "exponential_realert", Kind: KindDuration, Doc: "realert doubles while it goes on, up to this."},
	{Name: "aggregation", Kind: KindWindow, Doc: "Matches are told together: this long after the first, or at the times of {schedule: CRON}."},
	{Name: "aggregation_key", Kind: KindStrings, Doc: "Matches are told together by the values of this field."},
	{Name: "aggregate_by_match_time", Kind: KindBool, Doc: "The time of aggregation counts from the time of the first match, not from when it was found."},
	{Name: "top_count_keys", Kind: KindList, Doc: "Fields whose most frequent values are told with a match."},
	{Name: "top_count_number", Kind: KindInt, Doc: "How many of them; 5."},
	{Name: "raw_count_keys", Kind: KindBool, Doc: "top_count_keys are asked for as .raw fields; true."},
	{Name: "alert", Kind: KindAlerts, Doc: "Who is told: senders with their options, or channels of the configuration by their names."},
}

// typeOptions are those of some types of rules.
var typeOptions = []Option{
	{Name: "compare_key", Kind: KindStrings, Types: compares, Doc: "The field that is compared; of change it may be several."},
	{Name: "blacklist", Kind: KindValues, Types: on(Blacklist), Doc: "An event with one of these values is a match."},
	{Name: "whitelist", Kind: KindValues, Types: on(Whitelist), Doc: "An event with another value than these is a match."},
	{Name: "filter_by_list", Kind: KindBool, Types: on(Blacklist, Whitelist), Doc: "The source compares with the list; true."},
	{Name: "ignore_null", Kind: KindBool, Types: on(Whitelist, Change), Doc: "Events without the field are left out."},
	{Name: "num_events", Kind: KindInt, Types: on(Frequency), Doc: "So many events within timeframe are a match."},
	{Name: "attach_related", Kind: KindBool, Types: on(Frequency), Doc: "A match has the other events that were counted, as related_events."},
	{Name: "use_count_query", Kind: KindBool, Types: counting, Doc: "Ask how many events there are, not which."},
	{Name: "use_terms_query", Kind: KindBool, Types: byTerms, Doc: "Ask how many events there are for each value of query_key."},
	{Name: "terms_size", Kind: KindInt, Types: byTerms, Doc: "Values of one page; stint asks for all of them. 50."},
	{Name: "spike_height", Kind: KindNumber, Types: spikes, Doc: "How many times as much, or as little, is a match."},
	{Name: "spike_type", Kind: KindWord, Words: []string{"up", "down", "both"}, Types: spikes, Doc: "Which way."},
	{Name: "threshold_ref", Kind: KindNumber, Types: spikes, Doc: "The least that there has to be in the time before."},
	{Name: "threshold_cur", Kind: KindNumber, Types: spikes, Doc: "The least that there has to be now."},
	{Name: "field_value", Kind: KindString, Types: on(Spike), Doc: "The field whose values are compared, instead of the number of events."},
	{Name: "alert_on_new_data", Kind: KindBool, Types: on(Spike), Doc: "A new value of query_key may be a match at once."},
	{Name: "threshold", Kind: KindInt, Types: on(Flatline), Doc: "Fewer events than this within timeframe are a match."},
	{Name: "forget_keys", Kind: KindBool, Types: on(Flatline), Doc: "A value of query_key is forgotten when it has been told of."},
	{Name: "fields", Kind: KindFields, Types: on(NewTerm), Doc: "Fields whose new values are matches; a list within the list are fields that are new together. query_key, when nothing is said: several are joined to one."},
	{Name: "terms_window_size", Kind: KindDuration, Types: on(NewTerm), Doc: "How far back values count as known; 30 days."},
	{Name: "window_step_size", Kind: KindDuration, Types: on(NewTerm), Doc: "How much of it one query asks for; 1 day."},
	{Name: "alert_on_missing_field", Kind: KindBool, Types: on(NewTerm), Doc: "An event without the field is a match."},
	{Name: "use_keyword_postfix", Kind: KindBool, Types: on(NewTerm), Doc: "Values are asked for by FIELD.keyword; true."},
	{Name: "cardinality_field", Kind: KindString, Types: on(Cardinality), Doc: "The field whose different values are counted."},
	{Name: "max_cardinality", Kind: KindInt, Types: on(Cardinality), Doc: "More of them are a match."},
	{Name: "min_cardinality", Kind: KindInt, Types: on(Cardinality), Doc: "Fewer of them are a match."},
	{Name: "metric_agg_key", Kind: KindString, Types: metrics, Doc: "The field of the metric, or the name of what metric_agg_script makes."},
	{Name: "metric_agg_type", Kind: KindWord, Words: MetricTypes, Types: metrics, Doc: "What is made of its values. It has to be said."},
	{Name: "metric_agg_script", Kind: KindAny, Types: metrics, Doc: "A script of Elasticsearch instead of a field."},
	{Name: "percentile_range", Kind: KindNumber, Types: metrics, Doc: "Which percentile; more than 0, less than 100."},
	{Name: "max_threshold", Kind: KindNumber, Types: on(MetricAggregation), Doc: "More than this is a match."},
	{Name: "min_threshold", Kind: KindNumber, Types: on(MetricAggregation), Doc: "Less than this is a match."},
	{Name: "min_doc_count", Kind: KindInt, Types: metrics, Doc: "The least number of events of a value of query_key; 1."},
	{Name: "metric_format_string", Kind: KindString, Types: on(MetricAggregation), Doc: "How the metric is written, in the way of Python: {:.2%} or %.2f."},
	{Name: "bucket_interval", Kind: KindDuration, Types: buckets, Doc: "A metric for each piece of time of this length. buffer_time has to be a multiple of it."},
	{Name: "sync_bucket_interval", Kind: KindBool, Types: buckets, Doc: "These pieces begin at multiples of their length."},
	{Name: "allow_buffer_time_overlap", Kind: KindBool, Types: buckets, Doc: "Windows of buffer_time overlap where run_every is shorter."},
	{Name: "use_run_every_query_size", Kind: KindBool, Types: buckets, Doc: "A window is as long as run_every, not as buffer_time."},
	{Name: "match_bucket_filter", Kind: KindFilters, Types: on(PercentageMatch), Doc: "What an event has to be like, to be of those whose share is taken."},
	{Name: "max_percentage", Kind: KindNumber, Types: on(PercentageMatch), Doc: "A larger share is a match."},
	{Name: "min_percentage", Kind: KindNumber, Types: on(PercentageMatch), Doc: "A smaller share is a match."},
	{Name: "min_denominator", Kind: KindInt, Types: on(PercentageMatch), Doc: "The least number of events that a share is taken of."},
	{Name: "percentage_format_string", Kind: KindString, Types: on(PercentageMatch), Doc: "How the share is written, in the way of Python."},
}

// textOptions say what is told.
var textOptions = []Option{
	{Name: "alert_subject", Kind: KindString, Doc: "The subject; {0}, {1} are the arguments."},
	{Name: "alert_subject_args", Kind: KindList, Doc: "Fields of the match, or options of the rule, that stand for {0}, {1}."},
	{Name: "alert_subject_max_len", Kind: KindInt, Doc: "The subject is cut to so many characters."},
	{Name: "alert_text", Kind: KindString, Doc: "The text."},
	{Name: "alert_text_args", Kind: KindList, Doc: "Fields of the match, or options of the rule, that stand for {0}, {1}."},
	{Name: "alert_text_kw", Kind: KindMap, Doc: "Fields of the match, each with the name that stands for it in the text."},
	{Name: "alert_text_type", Kind: KindWord, Words: []string{"alert_text", "alert_text_only", "alert_text_jinja", "exclude_fields", "aggregation_summary_only"}, Doc: "What is told besides the text. A template has at most 32 KiB and stands alone: include, import, extends, block and call are mistakes, and a macro is called from outside of macros."},
	{Name: "jinja_root_name", Kind: KindString, Doc: "Of templates: the name of the whole match; _data is one in any case."},
	{Name: "alert_missing_value", Kind: KindString, Doc: "What stands for a field that is not there; <MISSING VALUE>."},
	{Name: "summary_table_fields", Kind: KindList, Doc: "With aggregation: a table of how many matches have which values of these fields."},
	{Name: "summary_table_type", Kind: KindWord, Words: []string{"ascii", "markdown", "html"}, Doc: "How it is drawn."},
	{Name: "summary_table_max_rows", Kind: KindInt, Doc: "The most rows of it; 0 is all."},
	{Name: "summary_prefix", Kind: KindString, Doc: "What stands before it."},
	{Name: "summary_suffix", Kind: KindString, Doc: "What stands after it."},
}

// ownOptions are those that ElastAlert does not have.
var ownOptions = []Option{
	{Name: "source", Kind: KindString, Own: true, Doc: "The connection of the configuration where the events are."},
	{Name: "query", Kind: KindString, Own: true, Doc: "What a source is asked in its own words: PromQL, or a SELECT."},
	{Name: "id_field", Kind: KindString, Own: true, Doc: "Of a source whose events have no id: the column that is one."},
	{Name: "own_options", Kind: KindList, Own: true, Doc: "Names that are no options and are meant, with * for anything: what a team's rules have for people and texts. Best in defaults.yaml."},
	{Name: "severity", Kind: KindWord, Words: []string{"critical", "error", "warning", "info", "high", "medium", "low"}, Own: true, Doc: "How urgent it is, in a word; by priority, when nothing is said. high is error, medium warning, low info."},
	{Name: "first", Kind: KindFilters, Types: on(Absence), Own: true, Doc: "What an event has to be like that another has to follow."},
	{Name: "then", Kind: KindFilters, Types: on(Absence), Own: true, Doc: "What the one that has to follow is like."},
	{Name: "escalate", Kind: KindLadder, Own: true, Doc: "Whom an alert is told to while nobody takes it: [{after: 10m, to: [email]}, ...]."},
	{Name: "resolve_after", Kind: KindDuration, Own: true, Doc: "An alert is over when nothing has matched for so long."},
	{Name: "heartbeat", Kind: KindDuration, Own: true, Doc: "How long the rule may go unevaluated before that is an alert of its own."},
}
