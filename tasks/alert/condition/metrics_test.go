package condition_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

func TestASpikeIsToldOnTheOldestEventOfItsWindow(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Spike, Timeframe: minute, SpikeHeight: 2, SpikeType: "up"}
	runSteps(t, r, []step{
		{add(event(0, `"n": 1`), event(70, `"n": 3`)), nil},
		{end(119), nil},
		{add(event(120, `"n": 4`)), []string{`'@timestamp':70,'n':3,'reference_count':1,'spike_count':2`}},
		{add(event(121, ``), event(122, ``), event(123, ``)), nil}, // watched anew
		{end(240), nil},
	})
}

func TestASpikeOfCountsAndTerms(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Spike, Timeframe: 10 * time.Second, SpikeHeight: 2, SpikeType: "both", ThresholdRef: ptr(10.0), UseCountQuery: true}
	runSteps(t, r, []step{{count(0, 10), nil}, {count(10, 10), nil}, {count(20, 20), []string{`'@timestamp':20,'reference_count':10,'spike_count':20`}}})
	runSteps(t, r, []step{{count(0, 10), nil}, {count(10, 10), nil}, {count(20, 0), []string{`'@timestamp':20,'reference_count':10,'spike_count':0`}}})

	a := func(n int64) source.Bucket { return source.Bucket{Key: "a", Count: n} }
	b := func(n int64) source.Bucket { return source.Bucket{Key: "b", Count: n} }
	c := func(n int64) source.Bucket { return source.Bucket{Key: "c", Count: n} }
	r = rule.Rule{Type: rule.Spike, Timeframe: 10 * minute, SpikeHeight: 2, SpikeType: "both", ThresholdCur: ptr(50.0), QueryKey: []string{"u"}, UseTermsQuery: true}
	steps := []step{
		{terms(60, a(10), b(5)), nil}, {terms(600, a(22), b(5)), nil}, {terms(1500, a(25), b(27)), nil}, {terms(1620, a(10), b(12), c(100)), nil},
		{terms(1800, c(100)), nil},
	}
	runSteps(t, r, steps)
	r.AlertOnNewData = true
	steps[3].want = []string{`'@timestamp':1620,'reference_count':0,'spike_count':100,'u':'c'`}
	runSteps(t, r, steps)
}

func TestASpikeDownIsSeenWhenTheWindowEnds(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Spike, Timeframe: minute, SpikeHeight: 2, SpikeType: "down", QueryKey: []string{"u"}}
	runSteps(t, r, []step{
		{add(event(0, `"u": 1`), event(61, `"u": 1`), event(62, `"u": 1`), event(100, `"u": 1`)), nil},
		{end(121), nil},
		{end(160), []string{`'@timestamp':160,'placeholder':true,'reference_count':3,'spike_count':0,'u':1`}},
		{end(170), nil},
	})
}

func TestASpikeOfAFieldComparesMeansOfWholeNumbers(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Spike, Timeframe: minute, SpikeHeight: 3, SpikeType: "up", FieldValue: "a.n"}
	runSteps(t, r, []step{
		{add(event(0, `"a": {"n": 1}`), event(61, `"a": {"n": "1"}`), event(62, `"a": {"n": "x"}`), event(63, `"a": {"n": [1]}`), event(64, `"a": {"n": null}`)), nil},
		{add(event(120.5, `"a": {"n": 5.9}`)), []string{`'@timestamp':61,'a':{'n':'1'},'reference_count':1.0,'spike_count':3.0`}},
	})
}

func TestAMetricThatIsNullSaysOnlyThatTimeHasPassed(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{"min": `'reference_count':2,'spike_count':8`, "avg": `'reference_count':2.0,'spike_count':8.0`, "max": `'reference_count':2,'spike_count':8`} {
		name := "metric_cpu_" + kind
		value := func(v string) string { return `{"` + name + `": {"value": ` + v + `}}` }
		r := rule.Rule{Type: rule.SpikeAggregation, Timeframe: minute, SpikeHeight: 3, SpikeType: "both", MetricKey: "cpu", MetricType: kind}
		runSteps(t, r, []step{
			{metrics(0, value("2")), nil}, {metrics(30, value("null")), nil}, {metrics(65, value("2")), nil}, {end(65), nil},
			{metrics(126, value("8")), []string{`'@timestamp':126,` + want}},
		})
	}
}

func TestASpikeOfAMetricIsByKeysOfSeveralParts(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.SpikeAggregation, Timeframe: minute, SpikeHeight: 2, SpikeType: "up", MetricKey: "ms", MetricType: "percentiles", PercentileRange: 95, QueryKey: []string{"h", "p"}}
	payload := func(v string) string {
		return `{"bucket_aggs": {"buckets": [{"key": "a", "doc_count": 1, "bucket_aggs": {"buckets": [{"key": 80, "metric_ms_percentiles": {"values": {"95.0": ` + v + `}}}]}}]}}`
	}
	runSteps(t, r, []step{{metrics(0, payload("1")), nil}, {metrics(60, payload("1")), nil}, {metrics(120, payload("2")), []string{`'@timestamp':120,'h,p':'a,80','reference_count':1,'spike_count':2`}}})
}

func TestCardinalityAboveMaxMatchesAtEachFurtherEvent(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Cardinality, Timeframe: minute, Cardinality: "v", MaxCardinality: ptr(2), QueryKey: []string{"k"}}
	runSteps(t, r, []step{
		{add(event(0, `"v": 1`), event(1, `"v": "1"`), event(2, `"v": 1.0`), event(3, `"v": null`), event(3, `"v": 3, "k": "other"`)), nil},
		{add(event(4, `"v": [1]`), event(5, `"v": false`)), []string{`'@timestamp':4,'v':[1]`, `'@timestamp':5,'v':false`}},
		{end(61), nil},
		{add(event(62, `"v": 9`), event(70, `"v": 9`)), []string{`'@timestamp':62,'v':9`}}, // of 2, 4 and 5; at 70 it is alone
	})
	c := newCondition(t, r)
	for _, s := range []func(condition.Condition) error{add(event(0, `"v": 1`), event(0, `"v": 2`), event(0, `"v": 3`), event(0, `"v": 3, "k": 1`)), end(10)} {
		if err := s(c); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string]bool{"": false, "None": false, "1": true, "never seen": true} {
		if well, known := c.Quiet(key); key != "" && (well != want || !known) {
			t.Errorf("%q is %v, %v", key, well, known)
		}
	}
}

func TestCardinalityBelowMinWaitsForMoreThanATimeframeAfterTheFirstEvent(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Cardinality, Timeframe: minute, Cardinality: "v", MinCardinality: ptr(2), QueryKey: []string{"k"}}
	runSteps(t, r, []step{
		{add(event(0, `"v": 1, "k": "a"`), event(10, `"v": 1, "k": "b"`)), nil},
		{end(60), nil},
		{add(event(61, `"v": 2, "k": "b"`)), nil},
		{end(61), []string{`'@timestamp':61,'k':'a'`}},
		{end(71), []string{`'@timestamp':71,'k':'b'`}},
		{end(200), nil}, // until there is another event
		{add(event(200, `"v": null, "k": "a"`)), nil},
		{end(261), []string{`'@timestamp':261,'k':'a'`}},
	})
}

func TestNewTermsOfSeveralFieldsTogether(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.NewTerm, Fields: []rule.Field{{"u", "h.n"}, {"p"}}, AlertOnMissing: true}
	known := func(c condition.Condition) error {
		b := c.(condition.Baseline)
		if !b.NeedsBaseline() {
			t.Error("the baseline is not asked for")
		}
		b.AddBaseline(0, []any{[]any{"a", "x"}, []any{"a", json.Number("1")}})
		b.AddBaseline(1, []any{json.Number("80"), "443"})
		if b.NeedsBaseline() {
			t.Error("the baseline is asked for again")
		}
		return nil
	}
	runSteps(t, r, []step{
		{known, nil},
		{add(event(0, `"u": "a", "h": {"n": "x"}, "p": 80`), event(1, `"u": "a", "h": {"n": 1.0}, "p": "443"`)), nil},
		{add(event(2, `"u": "a", "h": {"n": "y"}, "p": 443`)), []string{`'@timestamp':2,'h':{'n':'y'},'new_field':['u','h.n'],'p':443,'u':'a'`, `'@timestamp':2,'h':{'n':'y'},'new_field':'p','p':443,'u':'a'`}},
		{add(event(3, `"u": "", "h": {"n": "y"}, "p": 8080`)), []string{`'@timestamp':3,'h':{'n':'y'},'missing_field':['u','h.n'],'p':8080,'u':''`,
			`'@timestamp':3,'h':{'n':'y'},'missing_field':['u','h.n'],'new_field':'p','p':8080,'u':''`}},
		{add(event(4, `"u": "ay", "h": {"n": ""}, "p": [80, 443]`)), []string{`'@timestamp':4,'h':{'n':''},'missing_field':['u','h.n'],'p':[80,443],'u':'ay'`}},
		{add(event(5, `"u": "a", "h": {"n": "x"}, "p": [80, 81, 82]`)), []string{`'@timestamp':5,'h':{'n':'x'},'new_field':'p','p':[80,81,82],'u':'a'`}},
	})
}

func TestATermIsNewAgainWhenItWasNotSeenForLong(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.NewTerm, Fields: []rule.Field{{"u"}}, TermsWindow: time.Hour, WindowStep: minute}
	runSteps(t, r, []step{
		{func(c condition.Condition) error { c.(condition.Baseline).AddBaseline(0, []any{"a", "b"}); return nil }, nil},
		{end(0), nil},
		{add(event(1800, `"u": "b"`)), nil},
		{end(3600), nil},
		{add(event(3601, `"u": "a"`), event(3601, `"u": "b"`)), nil}, // a step late at most
		{end(5399), nil},
		{end(7261), nil},
		{add(event(7262, `"u": "a"`)), []string{`'@timestamp':7262,'new_field':'u','u':'a'`}},
	})
}

func TestTermsOfAQueryAreNewOnce(t *testing.T) {
	t.Parallel()
	runSteps(t, rule.Rule{Type: rule.NewTerm, QueryKey: []string{"h.n"}, UseTermsQuery: true}, []step{
		{terms(1, source.Bucket{Key: "a", Count: 1}, source.Bucket{Key: "b", Count: 0}), []string{`'@timestamp':1,'h.n':'a','new_field':'h.n'`}},
		{terms(2, source.Bucket{Key: "a", Count: 1}), nil},
	})
}

func TestMetricsOutOfBoundsAreMatches(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.MetricAggregation, MetricKey: "cpu", MetricType: "avg", MinThreshold: ptr(0.1), MaxThreshold: ptr(0.8), MetricFormat: "{:.1%}"}
	runSteps(t, r, []step{
		{metrics(0, `{"metric_cpu_avg": {"value": 0.8}}`), nil},
		{metrics(1, `{"metric_cpu_avg": {"value": null}}`), nil},
		{metrics(2, `{"metric_cpu_avg": {"value": 0.801}}`), []string{`'@timestamp':2,'metric_agg_value':0.801,'metric_agg_value_formatted':'80.1%','metric_cpu_avg':0.801,'metric_cpu_avg_formatted':'80.1%'`}},
		{metrics(3, `{"interval_aggs": {"buckets": [{"key": 1772323201000, "metric_cpu_avg": {"value": 0}}, {"key_as_string": "2026-03-01T00:00:02.000Z", "metric_cpu_avg": {"value": 0.2}}]}}`),
			[]string{`'@timestamp':1,'metric_agg_value':0,'metric_agg_value_formatted':'0.0%','metric_cpu_avg':0,'metric_cpu_avg_formatted':'0.0%'`}},
	})
	r.QueryKey, r.MetricFormat = []string{"h.n", "p"}, ""
	c := newCondition(t, r)
	if err := metrics(5, `{"bucket_aggs": {"buckets": [{"key": "a", "bucket_aggs": {"buckets": [{"key": 80, "metric_cpu_avg": {"value": 0.9}}, {"key": 81, "metric_cpu_avg": {"value": 0.5}},
		{"key": 82, "interval_aggs": {"buckets": [{"key": 0, "metric_cpu_avg": {"value": 0}}]}}]}}]}}`)(c); err != nil {
		t.Fatal(err)
	}
	m := c.Matches()
	if len(m) != 2 || text(t, m[0]) != `'@timestamp':5,'h.n':'a','h.n,p':'a,80','metric_cpu_avg':0.9,'p':80` || text(t, m[1]) != `'@timestamp':5,'h.n':'a','h.n,p':'a,82','metric_cpu_avg':0,'p':82` {
		t.Errorf("found %v", m)
	}
	for key, want := range map[string][2]bool{"a,80": {false, true}, "a,81": {true, true}, "b,80": {false, false}} {
		if well, known := c.Quiet(key); well != want[0] || known != want[1] {
			t.Errorf("%s is %v, %v", key, well, known)
		}
	}
}

func TestPercentagesOutOfBoundsAreMatchesIfThereIsEnough(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.PercentageMatch, MaxPercentage: ptr(50.0), MinPercentage: ptr(10.0), MinDenominator: 2, PercentageFormat: "%.1f", QueryKey: []string{"h.n"}}
	payload := func(yes, no string) string {
		return `{"bucket_aggs": {"buckets": [{"key": "a", "percentage_match_aggs": {"buckets": {"match_bucket": {"doc_count": ` + yes + `}, "_other_": {"doc_count": ` + no + `}}}}]}}`
	}
	runSteps(t, r, []step{
		{metrics(0, payload("1", "1")), nil}, {metrics(0, payload("1", "9")), nil}, {metrics(0, payload("1", "0")), nil}, {metrics(0, payload("null", "9")), nil},
		{metrics(1, payload("2", "1")), []string{`'@timestamp':1,'denominator':3,'h':{'n':'a'},'percentage':66.66666666666666,'percentage_formatted':'66.7'`}},
		{metrics(2, payload("0", "2")), []string{`'@timestamp':2,'denominator':2,'h':{'n':'a'},'percentage':0.0,'percentage_formatted':'0.0'`}},
	})
}

func TestAnAnswerThatLacksWhatWasAskedForIsAnError(t *testing.T) {
	t.Parallel()
	metric := rule.Rule{Type: rule.MetricAggregation, MetricKey: "cpu", MetricType: "avg", MaxThreshold: ptr(1.0)}
	percentiles := rule.Rule{Type: rule.MetricAggregation, MetricKey: "cpu", MetricType: "percentiles", PercentileRange: 95, MaxThreshold: ptr(1.0)}
	percentage := rule.Rule{Type: rule.PercentageMatch, MaxPercentage: ptr(1.0)}
	for payload, r := range map[string]rule.Rule{
		`{}`:                                         metric,
		`{"metric_cpu_avg": {}}`:                     metric,
		`{"bucket_aggs": {}}`:                        metric,
		`{"bucket_aggs": {"buckets": [1]}}`:          metric,
		`{"bucket_aggs": {"buckets": [{}]}}`:         metric,
		`{"interval_aggs": {"buckets": [{}]}}`:       metric,
		`{"metric_cpu_percentiles": {"value": 1}}`:   percentiles,
		`{"percentage_match_aggs": {"buckets": {}}}`: percentage,
		`{"percentage_match_aggs": {"buckets": {"match_bucket": {"doc_count": 1}, "_other_": {}}}}`:              percentage,
		`{"interval_aggs": {"buckets": [{"key": "soon", "percentage_match_aggs": {"buckets": {}}}]}, "x": null}`: percentage,
	} {
		c := newCondition(t, r)
		if err := metrics(0, payload)(c); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func TestAbsenceIsAnEventThatNoneHasFollowed(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Absence, Timeframe: minute, QueryKey: []string{"k"}, First: []map[string]any{{"e": "set"}}, Then: []map[string]any{{"e": "use"}}}
	found := func(seconds, until string, fields string) []string {
		return []string{`'@timestamp':` + seconds + `,'absent_since':'2026-03-01T00:0` + seconds60(seconds) + `Z','absent_until':'2026-03-01T00:0` + until + `Z','e':'set',` + fields + `'missing':'[{\'e\':\'use\'}]'`}
	}
	runSteps(t, r, []step{
		{add(event(0, `"e": "set", "k": 1`), event(1, `"e": "set", "k": 2`), event(2, `"e": "else", "k": 3`)), nil},
		{add(event(60, `"e": "use", "k": 1`)), nil}, // just in time
		{end(60.999), nil},
		{end(61), found("1", "1:01", `'k':2,`)},
		{end(70), nil}, // told once
		{add(event(80, `"e": "set", "k": 2`), event(81, `"e": "set", "k": 2`), event(90, `"e": "set", "k": 2`)), nil},
		{add(event(140.5, `"e": "use", "k": 2`)), found("80", "2:20", `'k':2,`)}, // too late for that of 80, in time for those after it
		{end(300), nil},
		{add(event(400, `"e": "use", "k": 4`)), nil},
		{add(event(399, `"e": "set", "k": 4`)), nil}, // it came late, and had been followed
		{end(500), nil},
	})
	c := newCondition(t, r)
	quiet := func(want, wantKnown bool) {
		t.Helper()
		if well, known := c.Quiet("1"); well != want || known != wantKnown {
			t.Errorf("it is %v, %v", well, known)
		}
	}
	for _, s := range []func(condition.Condition) error{add(event(0, `"e": "set", "k": 1`)), end(60)} {
		if err := s(c); err != nil {
			t.Fatal(err)
		}
	}
	quiet(false, true)
	if err := c.AddData([]source.Hit{event(100, `"e": "use", "k": 1`)}); err != nil {
		t.Fatal(err)
	}
	quiet(true, true)
}

func seconds60(seconds string) string {
	return map[string]string{"1": "0:01", "80": "1:20"}[seconds]
}

func TestAbsenceOfTheSameEventIsADeadMansSwitch(t *testing.T) {
	t.Parallel()
	beat := []map[string]any{{"e": "beat"}}
	runSteps(t, rule.Rule{Type: rule.Absence, Timeframe: minute, First: beat, Then: beat}, []step{
		{add(event(0, `"e": "beat"`), event(50, `"e": "beat"`), event(100, `"e": "beat"`)), nil},
		{end(159), nil},
		{end(160), []string{`'@timestamp':100,'absent_since':'2026-03-01T00:01:40Z','absent_until':'2026-03-01T00:02:40Z','e':'beat','missing':'[{\'e\':\'beat\'}]'`}},
	})
}

func TestNumbersAreFormattedInBothOfPythonsWays(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"%.2f": "1234.57", "%d": "1234", "%s": "1234.5678", "%08.1f|": "001234.6|", "%-9.1f|": "1234.6   |", "%+.1e": "+1.2e+03", "%g": "1234.57",
		"%.2f%%": "1234.57%", "{}": "1234.5678", "{:.1%}": "123456.8%", "{:,.1f}": "1,234.6", "{:>10.1f}": "    1234.6", "{:*^10.1f}": "**1234.6**", "{:_.0f}": "1_235", "{0:.3g} ms": "1.23e+03 ms",
		"{:+010.1f}": "+0001234.6", "{{{:.0f}}}": "{1235}", "%i items": "1234 items", "{:<8.0f}|": "1235    |"} {
		if got, err := condition.Format(format, json.Number("1234.5678")); err != nil || got != want {
			t.Errorf("%s gives %q, %v; want %q", format, got, err, want)
		}
	}
	if got, err := condition.Format("{:,}", json.Number("-1234567")); err != nil || got != "-1,234,567" {
		t.Errorf("a negative one is %q, %v", got, err)
	}
	if got, err := condition.Format("{:d}", json.Number("12")); err != nil || got != "12" {
		t.Errorf("a whole one is %q, %v", got, err)
	}
	for _, format := range []string{"%", "%y", "{:d}", "{name}", "{", "%(x)s", "{:.2q}"} {
		if got, err := condition.Format(format, json.Number("1.5")); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%q gives %q, %v", format, got, err)
		}
	}
}

func TestARuleThatLacksWhatItsTypeNeedsIsRefused(t *testing.T) {
	t.Parallel()
	metric := rule.Rule{Type: rule.MetricAggregation, MetricKey: "k", MetricType: "avg", MaxThreshold: ptr(1.0), BufferTime: 15 * minute, RunEvery: minute}
	with := func(r rule.Rule, change func(*rule.Rule)) rule.Rule {
		change(&r)
		return r
	}
	for want, r := range map[string]rule.Rule{
		"no type":             {Type: "anything"},
		"timeframe":           {Type: rule.Frequency, NumEvents: 1},
		"num_events":          {Type: rule.Frequency, Timeframe: minute},
		"compare_key":         {Type: rule.Whitelist},
		"spike_height":        {Type: rule.Spike, Timeframe: minute, SpikeType: "up"},
		"spike_type":          {Type: rule.Spike, Timeframe: minute, SpikeHeight: 2, SpikeType: "upwards"},
		"fields":              {Type: rule.NewTerm},
		"single field":        {Type: rule.NewTerm, Fields: []rule.Field{{"a", "b"}}, UseTermsQuery: true},
		"cardinality_field":   {Type: rule.Cardinality, Timeframe: minute},
		"min_cardinality":     {Type: rule.Cardinality, Timeframe: minute, Cardinality: "f"},
		"max_threshold":       {Type: rule.MetricAggregation, MetricKey: "k", MetricType: "avg"},
		"metric_agg_type":     with(metric, func(r *rule.Rule) { r.MetricType = "median" }),
		"metric_agg_key":      with(metric, func(r *rule.Rule) { r.MetricKey = "" }),
		"percentile_range":    with(metric, func(r *rule.Rule) { r.MetricType = "percentiles" }),
		"buffer_time (15m0s)": with(metric, func(r *rule.Rule) { r.BucketInterval = 7 * minute }),
		"run_every (1m0s)":    with(metric, func(r *rule.Rule) { r.BucketInterval, r.UseRunEverySize = 5*minute, true }),
		"no bucket_interval":  with(metric, func(r *rule.Rule) { r.Type, r.Timeframe, r.BucketInterval = rule.SpikeAggregation, minute, minute }),
		"max_percentage":      {Type: rule.PercentageMatch},
		"first and then":      {Type: rule.Absence, Timeframe: minute},
	} {
		if _, err := condition.New(&r); err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestDataThatATypeHasNoUseForIsRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []func(condition.Condition) error{count(0, 1), terms(0), metrics(0, `{}`)} {
		if err := s(newCondition(t, rule.Rule{Type: rule.Any})); err == nil || !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("it is taken, with %v", err)
		}
	}
	r := rule.Rule{Type: rule.SpikeAggregation, Timeframe: minute, SpikeHeight: 2, SpikeType: "up", MetricKey: "k", MetricType: "avg"}
	for _, s := range []func(condition.Condition) error{count(0, 1), terms(0), add(event(0, ``))} {
		if err := s(newCondition(t, r)); err == nil {
			t.Error("it is taken")
		}
	}
}
