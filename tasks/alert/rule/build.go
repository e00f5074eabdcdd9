package rule

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/yamlplace"
)

// builder makes one rule.
type builder struct {
	*loader
	file *file
	all  entries
	at   *yaml.Node // where the rule's name stands: for what is about the rule as a whole
	rule *Rule
	// kind is the rule's type.
	kind string
	// values are those of the options that the rule itself has, by name.
	values map[string]any
	// refs are the options that texts refer to.
	refs map[string]bool
	// entries are where each alerter stands.
	entries []*yaml.Node
	// whole are the options of each alerter, secret ones among them.
	whole []map[string]any
	// used are the senders that it alerts.
	used []string
	// bad: a part of it has a mistake that was found while its file was read.
	bad bool
}

// build fills the rule in, and reports whether it is enabled.
func (b *builder) build() bool {
	before := b.mistakes
	for _, e := range b.all {
		b.bad = b.bad || b.isBad(e.value) || b.loader.bad[e.key]
	}
	b.collect()
	known := b.typed()
	b.read()
	if known {
		b.needs()
	}
	b.events()
	b.times()
	b.kinds()
	b.told()
	b.alerts()
	b.leftovers()
	if known {
		b.check()
	}
	if b.mistakes == before && !b.bad {
		b.wording()
	}
	enabled, there := b.values["is_enabled"].(bool)
	return enabled || !there
}

// names are those of its options, in their order.
func (b *builder) names() []string { return slices.Sorted(maps.Keys(b.all)) }

// typed finds its type.
func (b *builder) typed() bool {
	e, ok := b.all["type"]
	if !ok {
		b.mistake(b.at, "type", "write one of "+strings.Join(TypesOfRules, ", "), "the rule has no type")
		return false
	}
	text := e.value.Value
	switch {
	case e.value.Kind != yaml.ScalarNode:
		b.mistake(e.value, "type", "", "must be a word")
	case slices.Contains(TypesOfRules, text):
		b.kind, b.rule.Type = text, text
		return true
	case strings.Contains(text, "."):
		b.mistake(e.value, "type", "write it with one of "+strings.Join(TypesOfRules, ", "), "a module of Python cannot be loaded: %s", b.shownValue(e.value, nil))
	default:
		b.mistake(e.value, "type", or(yamlplace.DidYouMean(text, TypesOfRules), "write one of "+strings.Join(TypesOfRules, ", ")), "there is no type %s", b.shownValue(e.value, nil))
	}
	return false
}

// read reads the options that are the rule's own, and says what there is to say of the others.
func (b *builder) read() {
	for _, name := range b.names() {
		e := b.all[name]
		o, known := option(name)
		switch {
		case free(name):
		case !known && b.refs[name]: // the rule's own words for its texts
		case !known && (b.owned(name) || b.kind == ""): // of a type that there is not, the options are unknown, too
		case !known && e.value.Tag == "!!null" && isSender(name):
			b.note(e.key, name, "", "does nothing: it has no value")
		case !known:
			b.mistake(e.key, name, whatIsMeant(name), "there is no option of this name")
		case o.Standing == Refused && !harmless(name, e.value):
			b.mistake(e.key, name, "take it away", "%s", "is not supported: "+o.Why)
		case o.Standing == Refused:
		case o.Standing == Elsewhere:
			if o.Of == "" && !e.inherited {
				b.note(e.key, name, secretHint(o), "does nothing here: %s", o.Why)
			}
		case o.Of == "" && name != "type" && name != "alert" && name != "import":
			if v, ok := b.value(o, e.value); ok {
				b.values[name] = b.resolve(o, v)
			}
			if !o.takes(b.kind) && b.kind != "" && !e.inherited && (name != "timeframe" || b.all["scan_entire_timeframe"].value == nil) {
				b.note(e.key, name, "it belongs to "+strings.Join(o.Types, ", "), "does nothing in a rule of type %s", b.kind)
			}
		}
	}
}

// owned reports whether own_options says that a name is meant.
func (b *builder) owned(name string) bool {
	e, ok := b.all["own_options"]
	if !ok {
		return false
	}
	return slices.ContainsFunc(e.value.Content, func(n *yaml.Node) bool {
		ok, err := path.Match(yamlplace.Plain(n).Value, name)
		return ok && err == nil
	})
}

// harmless is the value of a refused option that asks for nothing.
func harmless(name string, n *yaml.Node) bool {
	switch name {
	case "_source_enabled":
		v, ok := boolean(n, false)
		return ok && v
	case "string_multi_field_name":
		return strings.TrimPrefix(n.Value, ".") == strings.TrimPrefix(document.Keyword, ".")
	}
	return n.Tag == "!!null" || n.Kind == yaml.SequenceNode && len(n.Content) == 0 || n.Kind == yaml.ScalarNode && n.Value == ""
}

func secretHint(o *Option) string {
	if o.Secret {
		return "take the secret out of the file"
	}
	return ""
}

// leftovers are options of senders that the rule does not alert.
func (b *builder) leftovers() {
	for _, name := range b.names() {
		e := b.all[name]
		o, known := option(name)
		if !known || o.Of == "" || e.inherited || slices.ContainsFunc(b.used, o.belongs) {
			continue
		}
		if why := o.Why; o.Standing == Elsewhere && why != "" {
			b.note(e.key, name, secretHint(o), "does nothing here: %s", why)
			continue
		}
		b.note(e.key, name, "add "+o.Of+" to alert:, or take it away", "does nothing here: the rule does not alert %s", o.Of)
	}
}

// resolve puts the values of options in where a text is $option$ as a whole.
func (b *builder) resolve(o *Option, v any) any {
	if !o.isText() && o.Of == "" && !slices.Contains([]string{"description", "owner", "category"}, o.Name) {
		return v
	}
	switch v := v.(type) {
	case string:
		if name, ok := reference(v); ok {
			if x, there := b.referred(name); there {
				return document.Text(x)
			}
		}
	case []string:
		for i := range v {
			v[i], _ = b.resolve(o, v[i]).(string)
		}
	case []any:
		for i := range v {
			v[i] = b.resolve(o, v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = b.resolve(o, v[k])
		}
	}
	return v
}

// referred is the value of an option that a text names.
func (b *builder) referred(name string) (any, bool) {
	e, ok := b.all[name]
	if !ok {
		return b.rule.Name, name == "name"
	}
	if o, known := option(name); known && o.Secret {
		return nil, false
	}
	return b.generic(e.value), true
}

// needs says which options are missing.
func (b *builder) needs() {
	list := slices.Clone(needs[b.kind])
	if b.all["query"].value == nil {
		list = append([]string{"index"}, list...)
	}
	for _, need := range append(list, "alert|escalate") {
		alternatives := strings.Split(need, "|")
		if slices.ContainsFunc(alternatives, func(name string) bool { return b.all[name].value != nil && b.all[name].value.Tag != "!!null" }) {
			continue
		}
		hint := ""
		if o, ok := option(alternatives[0]); ok {
			hint = o.Doc
		}
		b.mistake(b.at, alternatives[0], hint, "a rule of type %s needs %s", b.kind, strings.Join(alternatives, " or "))
	}
}

// The values of options, with what holds when nothing is said.

func get[T any](b *builder, name string, otherwise T) T {
	if v, ok := b.values[name].(T); ok {
		return v
	}
	return otherwise
}

func (b *builder) str(name string) string               { return get(b, name, "") }
func (b *builder) list(name string) []string            { return get[[]string](b, name, nil) }
func (b *builder) flag(name string) bool                { return get(b, name, false) }
func (b *builder) length(name string) time.Duration     { return get(b, name, time.Duration(0)) }
func (b *builder) queries(name string) []map[string]any { return get[[]map[string]any](b, name, nil) }

// has reports whether the option was given, and read.
func (b *builder) has(name string) bool { _, ok := b.values[name]; return ok }

// place is where an option's value stands, or the rule.
func (b *builder) place(name string) *yaml.Node {
	if e, ok := b.all[name]; ok {
		return e.value
	}
	return b.at
}

func pointer[T any](b *builder, name string) *T {
	if v, ok := b.values[name].(T); ok {
		return &v
	}
	return nil
}

// events fills in where the events are.
func (b *builder) events() {
	r := b.rule
	r.Description, r.Owner, r.Category = b.str("description"), b.str("owner"), b.str("category")
	r.Priority = get(b, "priority", 2)
	r.Severity = map[string]string{"high": "error", "medium": "warning", "low": "info"}[b.str("severity")]
	if r.Severity == "" {
		r.Severity = b.str("severity")
	}
	r.Source = or(b.str("source"), b.o.Defaults.Source)
	r.Index, r.Query, r.IDField = b.str("index"), b.str("query"), b.str("id_field")
	r.UseStrftimeIndex, r.SearchExtraIndex = b.flag("use_strftime_index"), b.flag("search_extra_index")
	r.Filter = b.queries("filter")
	r.Timestamp = Timestamp{Field: or(b.str("timestamp_field"), "@timestamp"), Type: or(b.str("timestamp_type"), "iso")}
	if r.Timestamp.Type == "custom" {
		r.Timestamp.Format = or(b.str("timestamp_format"), "%Y-%m-%dT%H:%M:%SZ")
	}
	r.MaxQuerySize = get(b, "max_query_size", 10_000)
	r.UseCountQuery = b.flag("use_count_query") && slices.Contains(counting, b.kind)
	r.UseTermsQuery = b.flag("use_terms_query") && slices.Contains(byTerms, b.kind)
	if r.UseTermsQuery {
		r.TermsSize = get(b, "terms_size", 50)
	}
	r.MinDocCount = get(b, "min_doc_count", 1)
	r.ScanEntire = b.flag("scan_entire_timeframe")
}

// times fills in when it is evaluated.
func (b *builder) times() {
	r := b.rule
	r.RunEvery = get(b, "run_every", b.o.Defaults.RunEvery)
	r.BufferTime = get(b, "buffer_time", b.o.Defaults.BufferTime)
	r.QueryDelay = b.length("query_delay")
	r.LimitExecution, r.LimitCoverage = b.str("limit_execution"), b.flag("limit_execution_coverage")
	r.Timeframe = b.length("timeframe")
	r.ResolveAfter, r.Heartbeat = b.length("resolve_after"), b.length("heartbeat")
}

// kinds fills in what its type goes by.
func (b *builder) kinds() {
	r := b.rule
	r.QueryKey, r.CompareKey = b.list("query_key"), b.list("compare_key")
	r.List = get[[]any](b, b.kind, nil)
	r.FilterByList = (b.kind == Blacklist || b.kind == Whitelist) && get(b, "filter_by_list", true)
	r.IgnoreNull, r.NumEvents, r.Threshold, r.ForgetKeys = b.flag("ignore_null"), get(b, "num_events", 0), get(b, "threshold", 0), b.flag("forget_keys")
	r.AttachRelated = b.kind == Frequency && b.flag("attach_related")
	r.SpikeHeight, r.SpikeType = get(b, "spike_height", 0.0), b.str("spike_type")
	r.ThresholdRef, r.ThresholdCur = pointer[float64](b, "threshold_ref"), pointer[float64](b, "threshold_cur")
	r.FieldValue, r.AlertOnNewData = b.str("field_value"), b.flag("alert_on_new_data")
	r.Cardinality, r.MaxCardinality, r.MinCardinality = b.str("cardinality_field"), pointer[int](b, "max_cardinality"), pointer[int](b, "min_cardinality")
	if b.kind == NewTerm {
		r.Fields = get[[]Field](b, "fields", nil)
		if len(r.Fields) == 0 && len(r.QueryKey) == 1 {
			r.Fields = []Field{{r.QueryKey[0]}}
		}
		r.TermsWindow, r.WindowStep = get(b, "terms_window_size", 30*24*time.Hour), get(b, "window_step_size", 24*time.Hour)
		r.AlertOnMissing, r.KeywordPostfix = b.flag("alert_on_missing_field"), get(b, "use_keyword_postfix", true)
	}
	r.MetricKey, r.MetricType, r.MetricScript = b.str("metric_agg_key"), b.str("metric_agg_type"), b.values["metric_agg_script"]
	r.MetricFormat, r.PercentileRange = b.str("metric_format_string"), get(b, "percentile_range", 0.0)
	r.MaxThreshold, r.MinThreshold = pointer[float64](b, "max_threshold"), pointer[float64](b, "min_threshold")
	r.BucketInterval, r.SyncBuckets = b.length("bucket_interval"), b.flag("sync_bucket_interval")
	r.AllowOverlap, r.UseRunEverySize = b.flag("allow_buffer_time_overlap"), b.flag("use_run_every_query_size")
	if f := b.queries("match_bucket_filter"); f != nil {
		list := make([]any, len(f))
		for i := range f {
			list[i] = f[i]
		}
		r.MatchBucketFilter = list
	}
	r.MaxPercentage, r.MinPercentage = pointer[float64](b, "max_percentage"), pointer[float64](b, "min_percentage")
	r.MinDenominator, r.PercentageFormat = get(b, "min_denominator", 0), b.str("percentage_format_string")
	r.First, r.Then = b.queries("first"), b.queries("then")
}

// told fills in what becomes of its matches.
func (b *builder) told() {
	r := b.rule
	r.Aggregation = get(b, "aggregation", Aggregation{})
	if r.Aggregation.On() {
		r.Aggregation.Key, r.Aggregation.ByMatchTime = b.list("aggregation_key"), b.flag("aggregate_by_match_time")
	}
	r.Realert = time.Minute
	if r.Aggregation.On() {
		r.Realert = 0
	}
	r.Realert = get(b, "realert", r.Realert)
	r.RealertKey = or(b.str("realert_key"), r.Name)
	r.ExponentialRealert = b.length("exponential_realert")
	r.TopCountKeys = b.list("top_count_keys")
	if len(r.TopCountKeys) > 0 {
		r.TopCountNumber, r.RawCountKeys = get(b, "top_count_number", 5), get(b, "raw_count_keys", true)
	}
	r.Escalate = get[[]Level](b, "escalate", nil)
	bodyType := b.str("alert_text_type")
	if bodyType == "alert_text" {
		bodyType = ""
	}
	r.Text = Text{Subject: b.str("alert_subject"), SubjectArgs: b.list("alert_subject_args"), SubjectMaxLen: get(b, "alert_subject_max_len", 0),
		Body: b.str("alert_text"), BodyArgs: b.list("alert_text_args"), BodyKw: get[map[string]any](b, "alert_text_kw", nil), BodyType: bodyType,
		MissingValue: get(b, "alert_missing_value", "<MISSING VALUE>"), SummaryFields: b.list("summary_table_fields"),
		SummaryPrefix: b.str("summary_prefix"), SummarySuffix: b.str("summary_suffix"), SummaryMax: get(b, "summary_table_max_rows", 0)}
	if len(r.Text.SummaryFields) > 0 {
		r.Text.SummaryType = or(b.str("summary_table_type"), "ascii")
	}
	if root := b.str("jinja_root_name"); root != "" {
		r.Values = map[string]any{"jinja_root_name": root}
	}
	for name := range b.refs {
		if v, ok := b.referred(name); ok {
			if r.Values == nil {
				r.Values = map[string]any{}
			}
			r.Values[name] = v
		}
	}
	r.Include = b.include()
}

// include adds what the rule cannot do without to the fields that it names, as ElastAlert does.
func (b *builder) include() []string {
	named := b.list("include")
	if len(named) == 0 || slices.Contains(named, "*") {
		return nil
	}
	r := b.rule
	list := slices.Concat(named, r.QueryKey, r.CompareKey, r.Aggregation.Key, r.TopCountKeys, slices.Concat(r.Fields...), []string{r.Timestamp.Field, r.Cardinality, r.FieldValue})
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}
