package rule

import (
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/yamlplace"
)

// check holds options against one another.
func (b *builder) check() {
	b.numbers()
	b.asked()
	b.windows()
	switch b.kind {
	case Blacklist, Whitelist:
		if len(b.rule.CompareKey) > 1 {
			what := "nothing ever matches"
			if b.kind == Whitelist && !b.rule.IgnoreNull {
				what = "every event matches"
			}
			b.note(b.place("compare_key"), "compare_key", "name one field", "several fields together never have a value: %s, as in ElastAlert", what)
		}
		if b.has(b.kind) && len(b.rule.List) == 0 {
			b.mistake(b.place(b.kind), b.kind, "", "has no values")
		}
	case NewTerm:
		b.newTerm()
	case MetricAggregation, SpikeAggregation:
		b.metric()
	case PercentageMatch:
		b.ordered("min_percentage", "max_percentage")
	case Cardinality:
		b.ordered("min_cardinality", "max_cardinality")
	case Flatline:
		if b.rule.ForgetKeys && len(b.rule.QueryKey) == 0 {
			b.note(b.place("forget_keys"), "forget_keys", "add query_key", "does nothing without query_key")
		}
	case Absence:
		if len(b.rule.Then) == 0 && b.has("then") || len(b.rule.First) == 0 && b.has("first") {
			b.mistake(b.at, "first", "first: [{term: {event: configured}}]", "first and then must have queries")
		}
	}
	b.format("alert_subject", false)
	b.format("alert_text", b.rule.Text.BodyType == "alert_text_jinja")
	if b.rule.Aggregation.Key != nil && !b.rule.Aggregation.On() || b.has("aggregation_key") && !b.has("aggregation") {
		b.note(b.place("aggregation_key"), "aggregation_key", "add aggregation", "does nothing without aggregation")
	}
	if b.has("summary_table_fields") && !b.rule.Aggregation.On() {
		b.note(b.place("summary_table_fields"), "summary_table_fields", "add aggregation", "does nothing without aggregation")
	}
	if limit, err := ParseCron(b.rule.LimitExecution); err == nil && !meets(limit, b.rule.RunEvery) {
		b.mistake(b.place("limit_execution"), "limit_execution", "run_every: {minutes: 1} evaluates it in each of these minutes",
			"the rule would never be evaluated: its times come every %s, counted from midnight in UTC on 1 January 1970, and none of them is in these minutes", b.rule.RunEvery)
	}
	if b.has("limit_execution_coverage") && b.rule.LimitExecution == "" {
		b.note(b.place("limit_execution_coverage"), "limit_execution_coverage", "add limit_execution", "does nothing without limit_execution")
	}
	if b.has("timestamp_format") && b.rule.Timestamp.Type != "custom" {
		b.note(b.place("timestamp_format"), "timestamp_format", "add timestamp_type: custom", "does nothing with timestamp_type %s", b.rule.Timestamp.Type)
	}
}

// bounds are the least and, where it is not 0, the most that a number may be.
var bounds = map[string]struct{ least, most float64 }{
	"num_events": {1, 0}, "threshold": {1, 0}, "max_query_size": {1, 0}, "terms_size": {1, 0}, "min_doc_count": {0, 0}, "top_count_number": {1, 0},
	"max_cardinality": {0, 0}, "min_cardinality": {0, 0}, "min_denominator": {0, 0}, "summary_table_max_rows": {0, 0}, "alert_subject_max_len": {0, 0},
	"priority": {0, 0}, "threshold_ref": {0, 0}, "threshold_cur": {0, 0}, "max_percentage": {0, 100}, "min_percentage": {0, 100},
}

func (b *builder) numbers() {
	for _, name := range b.names() {
		limit, ok := bounds[name]
		n, isInt := b.values[name].(int)
		f, isFloat := b.values[name].(float64)
		if isInt {
			f = float64(n)
		}
		if o, _ := option(name); !ok || !isInt && !isFloat || !o.takes(b.kind) || b.kind == SpikeAggregation && strings.HasPrefix(name, "threshold_") {
			continue
		}
		if f < limit.least {
			b.mistake(b.place(name), name, "", "must be at least %g, not %g", limit.least, f)
		}
		if limit.most > 0 && f > limit.most {
			b.mistake(b.place(name), name, "", "must be at most %g, not %g", limit.most, f)
		}
	}
	if f := b.rule.SpikeHeight; b.has("spike_height") && f <= 0 && slices.Contains(spikes, b.kind) {
		b.mistake(b.place("spike_height"), "spike_height", "3 is three times as much", "must be more than 0")
	}
}

// ordered says that a lower bound is above the upper one.
func (b *builder) ordered(least, most string) {
	value := func(name string) float64 {
		if n, ok := b.values[name].(int); ok {
			return float64(n)
		}
		return get(b, name, 0.0)
	}
	if b.has(least) && b.has(most) && value(least) > value(most) {
		b.mistake(b.place(least), least, "", "is more than %s", most)
	}
}

// asked checks how the source is asked.
func (b *builder) asked() {
	r := b.rule
	known := b.o.Sources
	switch {
	case known == nil:
	case r.Source == "" && len(known) == 0:
		b.mistake(b.at, "source", "add one below connections:", "the configuration has no source")
	case r.Source == "":
		b.mistake(b.at, "source", "add source: "+known[0], "which source? There are %s", strings.Join(known, ", "))
	case !slices.Contains(known, r.Source):
		b.mistake(b.place("source"), "source", or(yamlplace.DidYouMean(r.Source, known), "there are "+strings.Join(known, ", ")), "there is no source %q", r.Source)
	}
	if b.all["index"].value != nil && b.has("index") && strings.TrimSpace(r.Index) == "" && r.Query == "" {
		b.mistake(b.place("index"), "index", "index: logs-*", "is empty")
	}
	if r.UseStrftimeIndex {
		for token, meant := range map[string]string{"%y": "%Y", "%M": "%m", "%D": "%d"} {
			if strings.Contains(r.Index, token) {
				b.note(b.place("index"), "index", "did you mean "+meant+"?", "%s is a year without its century, a minute, or a whole date", token)
			}
		}
	} else if strings.Contains(r.Index, "%") {
		b.note(b.place("index"), "index", "add use_strftime_index: true", "has a %% in it, which is no date without use_strftime_index")
	}
	if r.SearchExtraIndex && !r.UseStrftimeIndex {
		b.note(b.place("search_extra_index"), "search_extra_index", "", "does nothing without use_strftime_index")
	}
	if r.UseCountQuery && r.UseTermsQuery {
		b.mistake(b.place("use_count_query"), "use_count_query", "choose one", "use_terms_query is set, too")
	}
	if r.UseCountQuery && len(r.QueryKey) > 0 {
		b.mistake(b.place("use_count_query"), "use_count_query", "use_terms_query: true counts for each value of query_key", "one count says nothing about the values of query_key")
	}
	if r.UseTermsQuery && len(r.QueryKey) != 1 && b.kind != NewTerm {
		b.mistake(b.place("use_terms_query"), "use_terms_query", "name one field in query_key", "needs one field in query_key, and there are %d", len(r.QueryKey))
	}
	for _, key := range []string{"query_key", "compare_key", "aggregation_key"} {
		for _, f := range b.list(key) {
			if strings.TrimSpace(f) == "" {
				b.mistake(b.place(key), key, "", "has an empty name of a field")
			}
		}
	}
	if n := len(b.list("query_key")); b.has("query_key") && n == 0 && slices.Contains(needs[b.kind], "query_key") {
		b.mistake(b.place("query_key"), "query_key", "", "has no fields")
	}
}

// windows checks durations that have to be more than nothing, or multiples of one another.
func (b *builder) windows() {
	r := b.rule
	for _, name := range []string{"timeframe", "run_every", "buffer_time", "bucket_interval", "terms_window_size", "window_step_size"} {
		if d, ok := b.values[name].(time.Duration); ok && d <= 0 && !b.isBad(b.place(name)) {
			b.mistake(b.place(name), name, "", "must be more than 0")
		}
	}
	for _, name := range []string{"run_every", "bucket_interval"} {
		if d, ok := b.values[name].(time.Duration); ok && d > 0 && d < time.Second {
			b.mistake(b.place(name), name, "", "must be at least a second")
		}
	}
	if r.ScanEntire && r.Timeframe <= 0 {
		b.mistake(b.place("scan_entire_timeframe"), "scan_entire_timeframe", "add timeframe", "needs a timeframe")
	}
	if r.BucketInterval <= 0 || !slices.Contains(buckets, b.kind) {
		if b.kind == SpikeAggregation && b.has("bucket_interval") {
			b.mistake(b.place("bucket_interval"), "bucket_interval", "take it away: a spike is told by whole windows", "cannot be used with spike_aggregation")
		}
		return
	}
	name, length := "buffer_time", r.BufferTime
	if r.UseRunEverySize {
		name, length = "run_every", r.RunEvery
	}
	if length%r.BucketInterval != 0 {
		b.mistake(b.place("bucket_interval"), "bucket_interval", "", "%s (%s) must be a multiple of it (%s)", name, length, r.BucketInterval)
	}
}

func (b *builder) newTerm() {
	r := b.rule
	if b.has("fields") && len(r.Fields) == 0 {
		b.mistake(b.place("fields"), "fields", "", "has no fields")
	}
	if r.WindowStep > r.TermsWindow {
		b.mistake(b.place("window_step_size"), "window_step_size", "", "is longer than terms_window_size")
	}
	if !r.UseTermsQuery {
		return
	}
	if len(r.Fields) != 1 || len(r.Fields[0]) != 1 {
		b.mistake(b.place("use_terms_query"), "use_terms_query", "name one field in fields", "needs one field")
		return
	}
	if len(r.QueryKey) > 0 && !slices.Equal(r.QueryKey, r.Fields[0]) {
		b.mistake(b.place("query_key"), "query_key", "take query_key away", "must be the field of fields with use_terms_query")
	}
	if len(r.QueryKey) == 0 {
		r.QueryKey = slices.Clone(r.Fields[0])
	}
}

func (b *builder) metric() {
	r := b.rule
	if r.MetricType == "percentiles" && !b.has("percentile_range") {
		b.mistake(b.place("metric_agg_type"), "percentile_range", "percentile_range: 95", "percentiles need a percentile_range")
	}
	if p := r.PercentileRange; b.has("percentile_range") && (p <= 0 || p >= 100) {
		b.mistake(b.place("percentile_range"), "percentile_range", "", "must be more than 0 and less than 100, not %g", p)
	}
	if b.kind == MetricAggregation {
		b.ordered("min_threshold", "max_threshold")
	}
}
