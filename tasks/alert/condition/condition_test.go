package condition_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

var begin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return begin.Add(time.Duration(seconds * float64(time.Second)))
}

// event is an event so many seconds after the beginning, with the fields of a JSON object.
func event(seconds float64, fields string) source.Hit {
	doc := object("{" + fields + "}")
	doc["@timestamp"] = condition.TimeText(at(seconds))
	return source.Hit{At: at(seconds), Doc: doc}
}

func object(text string) map[string]any {
	var doc map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return doc
}

// fieldIs is a filter for tests: {"field": value} holds where the field has the value.
func fieldIs(filter, doc map[string]any) (bool, error) {
	for name, want := range filter {
		if !document.Equal(document.Value(doc, name), want) {
			return false, nil
		}
	}
	return true, nil
}

func newCondition(t testing.TB, r rule.Rule) condition.Condition {
	t.Helper()
	if r.Name == "" {
		r.Name = "r"
	}
	c, err := condition.New(&r, condition.Options{Matches: fieldIs})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// step is something that is done to a condition, and what it finds then: each match as JSON without its braces, a time within the first
// day as its seconds.
type step struct {
	do   func(c condition.Condition) error
	want []string
}

func add(hits ...source.Hit) func(condition.Condition) error {
	return func(c condition.Condition) error { return c.AddData(hits) }
}

func count(seconds float64, n int64) func(condition.Condition) error {
	return func(c condition.Condition) error { return c.AddCount(at(seconds), n) }
}

func terms(seconds float64, buckets ...source.Bucket) func(condition.Condition) error {
	return func(c condition.Condition) error { return c.AddTerms(at(seconds), buckets) }
}

func metrics(seconds float64, payload string) func(condition.Condition) error {
	return func(c condition.Condition) error { return c.AddAggregation(at(seconds), object(payload)) }
}

func end(seconds float64) func(condition.Condition) error {
	return func(c condition.Condition) error { return c.Collect(at(seconds)) }
}

func text(t testing.TB, m condition.Match) string {
	t.Helper()
	m = document.Clone(m)
	if s, ok := m["@timestamp"].(string); ok {
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
			m["@timestamp"] = at.Sub(begin).Seconds()
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b[1:len(b)-1]), `"`, "'")
}

// runSteps does steps one after another, on a condition that lives on and on one that is written down and taken up before each of them.
func runSteps(t *testing.T, r rule.Rule, steps []step) {
	t.Helper()
	live, again := newCondition(t, r), newCondition(t, r)
	for i, s := range steps {
		memory, err := again.Save()
		if err != nil {
			t.Fatal(err)
		}
		again = newCondition(t, r)
		if err := again.Restore(memory); err != nil {
			t.Fatalf("step %d: %v of %s", i, err, memory)
		}
		for name, c := range map[string]condition.Condition{"living on": live, "taken up again": again} {
			if err := s.do(c); err != nil {
				t.Fatalf("step %d, %s: %v", i, name, err)
			}
			var got []string
			for _, m := range c.Matches() {
				got = append(got, text(t, m))
			}
			if !reflect.DeepEqual(got, s.want) {
				t.Errorf("step %d, %s: found %q, want %q", i, name, got, s.want)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

const minute = 60 * time.Second

func TestAnyIsEachEvent(t *testing.T) {
	t.Parallel()
	runSteps(t, rule.Rule{Type: rule.Any}, []step{
		{add(event(1, `"a": {"b": [1, null]}`), event(1, `"a": 2`)), []string{`'@timestamp':1,'a':{'b':[1,null]}`, `'@timestamp':1,'a':2`}},
		{end(60), nil},
	})
}

func TestAMatchIsACopyOfItsEvent(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{rule.Any, rule.Frequency} {
		c := newCondition(t, rule.Rule{Type: kind, NumEvents: 1, Timeframe: minute})
		e := event(1, `"a": {"b": 1}`)
		if err := c.AddData([]source.Hit{e}); err != nil {
			t.Fatal(err)
		}
		c.Matches()[0]["a"].(map[string]any)["b"] = "changed"
		if v := document.Value(e.Doc, "a.b"); v != json.Number("1") {
			t.Errorf("%s: the event has changed with its match: %v", kind, v)
		}
	}
}

func TestABlacklistComparesValuesByTypeAndListsByTheirElements(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Blacklist, CompareKey: []string{"ip"}, List: []any{"x", json.Number("7")}}
	runSteps(t, r, []step{{add(event(0, `"ip": "x"`), event(1, `"ip": "X"`), event(2, `"ip": null`), event(3, ``), event(4, `"ip": 7.0`), event(5, `"ip": "7"`),
		event(6, `"ip": ["a", "x", "x"]`), event(7, `"ip": []`), event(8, `"ip": {"x": "x"}`)),
		[]string{`'@timestamp':0,'ip':'x'`, `'@timestamp':4,'ip':7.0`, `'@timestamp':6,'ip':['a','x','x']`}}})
}

func TestAWhitelistMatchesWhatIsNotInItAndNullUnlessIgnored(t *testing.T) {
	t.Parallel()
	events := add(event(0, `"u": {"n": "x"}`), event(1, `"u": {"n": "X"}`), event(2, `"u.n": null`), event(3, ``), event(4, `"u.n": ""`), event(5, `"u.n": ["x", "y"]`))
	r := rule.Rule{Type: rule.Whitelist, CompareKey: []string{"u.n"}, List: []any{"x", "z"}, IgnoreNull: true}
	runSteps(t, r, []step{{events, []string{`'@timestamp':1,'u':{'n':'X'}`, `'@timestamp':4,'u.n':''`, `'@timestamp':5,'u.n':['x','y']`}}})
	r.IgnoreNull = false
	runSteps(t, r, []step{{events, []string{`'@timestamp':1,'u':{'n':'X'}`, `'@timestamp':2,'u.n':null`, `'@timestamp':3`, `'@timestamp':4,'u.n':''`, `'@timestamp':5,'u.n':['x','y']`}}})
}

func TestACompareKeyOfSeveralFieldsIsTheirJoinedName(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Blacklist, CompareKey: []string{"a", "b"}, List: []any{"x"}}
	runSteps(t, r, []step{{add(event(0, `"a": "x", "b": "x"`)), nil}})
}

func TestAChangeIsToldWithBothValuesForEachKey(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Change, CompareKey: []string{"c", "d"}, QueryKey: []string{"u"}, IgnoreNull: true, Timeframe: minute}
	runSteps(t, r, []step{
		{add(event(0, `"u": 1, "c": "p", "d": false`), event(1, `"u": "1", "c": "q", "d": false`)), nil},
		{add(event(60, `"u": 1.0, "c": "p", "d": true`)), []string{`'@timestamp':60,'c':'p','d':true,'new_value':['p',true],'old_value':['p',false],'u':1.0`}},
		{add(event(61, `"u": 1, "c": "p", "d": 0`)), nil},         // 0 is as good as null
		{add(event(120.001, `"u": 1, "c": "z", "d": true`)), nil}, // longer ago than timeframe
		{add(event(150, `"u": 1, "c": "z", "d": true`)), nil},     // the same
		{add(event(209, `"u": 1, "c": ["z"], "d": true`)), []string{`'@timestamp':209,'c':['z'],'d':true,'new_value':[['z'],true],'old_value':['z',true],'u':1`}},
	})
}

func TestALateChangeIsPutWhereItBelongs(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Change, CompareKey: []string{"c"}, QueryKey: []string{"u"}}
	c := func(seconds float64, v string) func(condition.Condition) error {
		return add(event(seconds, `"u": "a", "c": "`+v+`"`))
	}
	found := func(seconds int, v, from, to string) []string {
		return []string{fmt.Sprintf(`'@timestamp':%d,'c':'%s','new_value':['%s'],'old_value':['%s'],'u':'a'`, seconds, v, to, from)}
	}
	runSteps(t, r, []step{
		{c(10, "x"), nil},
		{c(8, "x"), nil},                       // the row began earlier
		{c(5, "w"), found(5, "w", "w", "x")},   // before all that was known
		{c(20, "x"), nil},                      //
		{c(15, "y"), found(15, "y", "x", "y")}, // in the midst of a row
		{c(30, "z"), found(30, "z", "x", "z")}, //
		{c(25, "z"), nil},                      // z was there earlier
		{c(22, "x"), nil},                      // x was there longer
		{c(23, "v"), found(23, "v", "x", "v")}, // between two rows
		{c(9, "u"), found(9, "u", "x", "u")},   // in the midst of the row before
		{c(1, "nobody knows"), nil},            //
		{c(40, "z"), nil},                      //
	})
}

func TestFrequencyCountsWhatIsLessThanATimeframeOld(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Frequency, NumEvents: 3, Timeframe: minute, QueryKey: []string{"u"}}
	runSteps(t, r, []step{
		{add(event(0, `"u": "a"`), event(1, `"u": "a"`), event(1, ``), event(1, `"u": null`)), nil},
		{add(event(60, `"u": "a"`)), nil}, // that of 0 is out
		{add(event(30, `"u": "a", "late": true`)), []string{`'@timestamp':60,'u':'a'`}},
		{end(61), nil},
		{add(event(61, `"u": null`)), nil}, // and so is null's of 1
		{end(121.001), nil},
		{add(event(122, `"u": "a"`), event(122, `"u": "a"`), event(122, `"u": "a"`)), []string{`'@timestamp':122,'u':'a'`}},
	})
}

func TestFrequencyAttachesTheEventsThatItCounted(t *testing.T) {
	t.Parallel()
	runSteps(t, rule.Rule{Type: rule.Frequency, NumEvents: 3, Timeframe: minute, AttachRelated: true}, []step{
		{add(event(2, `"n": 2`), event(1, `"n": 1`)), nil},
		{add(event(3, `"n": 3`)), []string{`'@timestamp':3,'n':3,'related_events':[{'@timestamp':'2026-03-01T00:00:01Z','n':1},{'@timestamp':'2026-03-01T00:00:02Z','n':2}]`}},
	})
}

func TestFrequencyOfCountsMatchesOnceAndBeginsAnew(t *testing.T) {
	t.Parallel()
	runSteps(t, rule.Rule{Type: rule.Frequency, NumEvents: 100, Timeframe: time.Hour, UseCountQuery: true}, []step{
		{count(0, 75), nil}, {count(2700, 10), nil}, {count(3300, 10), nil}, {count(3900, 6), nil}, // 75 is out
		{count(3600, 75), []string{`'@timestamp':3900`}},
		{count(3960, 99), nil},
		{count(3970, 0), nil},
		{count(3965, 1), []string{`'@timestamp':3970`}},
	})
	runSteps(t, rule.Rule{Type: rule.Frequency, NumEvents: 10, Timeframe: time.Hour, UseTermsQuery: true, QueryKey: []string{"u"}}, []step{
		{terms(60, source.Bucket{Key: "a", Count: 1}, source.Bucket{Key: "b", Count: 5}), nil},
		{terms(600, source.Bucket{Key: "a", Count: 8}, source.Bucket{Key: "b", Count: 5}), []string{`'@timestamp':600,'u':'b'`}},
		{terms(1500, source.Bucket{Key: "a", Count: 3}, source.Bucket{Key: "b", Count: 0}), []string{`'@timestamp':1500,'u':'a'`}},
	})
}

func TestFlatlineFiresAtEachLookUntilThereIsEnough(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Flatline, Threshold: 2, Timeframe: minute, QueryKey: []string{"h", "s"}}
	hits := []source.Hit{event(0, `"h": "a"`), event(10, `"h": "b", "s": 1`), event(10, `"h": "b", "s": 1`)}
	condition.Prepare(&r, hits)
	b := event(90, `"h": "b", "s": 1`)
	more := []source.Hit{b, b}
	condition.Prepare(&r, more)
	runSteps(t, r, []step{
		{add(hits...), nil},
		{end(59.999), nil},
		{end(60), []string{`'@timestamp':60,'count':0,'key':'a, None','threshold':2`}},
		{end(70), []string{`'@timestamp':70,'count':0,'key':'a, None','threshold':2`, `'@timestamp':70,'count':0,'key':'b, 1','threshold':2`}},
		{add(more[0]), []string{`'@timestamp':90,'count':1,'h':'b','h,s':'b, 1','key':'b, 1','s':1,'threshold':2`}},
		{add(more[1]), nil},
		{end(100), []string{`'@timestamp':100,'count':0,'key':'a, None','threshold':2`}},
	})
}

func TestFlatlineKnowsWhenAKeyIsWell(t *testing.T) {
	t.Parallel()
	c := newCondition(t, rule.Rule{Type: rule.Flatline, Threshold: 1, Timeframe: minute, QueryKey: []string{"h"}})
	for _, s := range []func(condition.Condition) error{add(event(0, `"h": 7`), event(1, `"h": null`)), end(65), add(event(66, `"h": 7`)), end(70)} {
		if err := s(c); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string][2]bool{"7": {true, true}, "None": {false, true}, "8": {false, false}} {
		if well, known := c.Quiet(key); well != want[0] || known != want[1] {
			t.Errorf("%s is %v, %v", key, well, known)
		}
	}
	c = newCondition(t, rule.Rule{Type: rule.Flatline, Threshold: 1, Timeframe: minute})
	if err := c.Collect(at(0)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "all"} {
		if well, known := c.Quiet(key); well || !known {
			t.Errorf("%q is %v, %v", key, well, known)
		}
	}
}

func TestFlatlineOfTermsHasTheKeyInItsMatch(t *testing.T) {
	t.Parallel()
	runSteps(t, rule.Rule{Type: rule.Flatline, Threshold: 3, Timeframe: minute, QueryKey: []string{"h"}, UseTermsQuery: true, ForgetKeys: true}, []step{
		{terms(0, source.Bucket{Key: "a", Count: 9}), nil},
		{terms(60, source.Bucket{Key: "a", Count: 2}), []string{`'@timestamp':60,'count':2,'h':'a','key':'a','threshold':3`}},
		{end(60), nil},
	})
}

func TestPrepareJoinsKeysOfSeveralPartsAndLeavesTheDocumentsOfOthersAlone(t *testing.T) {
	t.Parallel()
	r := rule.Rule{QueryKey: []string{"h.n", "s"}, Aggregation: rule.Aggregation{Key: []string{"s", "x"}}}
	shared := event(0, `"h": {"n": "a"}, "s": 1.0, "x": [true, null]`)
	hits := []source.Hit{shared, event(1, `"s": null`)}
	condition.Prepare(&r, hits)
	for i, want := range []string{`'@timestamp':0,'h':{'n':'a'},'h.n,s':'a, 1.0','s':1.0,'s,x':'1.0, [True, None]','x':[true,null]`, `'@timestamp':1,'h.n,s':'None, None','s':null,'s,x':'None, None'`} {
		if got := text(t, hits[i].Doc); got != want {
			t.Errorf("event %d is %s", i, got)
		}
	}
	if len(shared.Doc) != 4 {
		t.Errorf("the document that others read has changed: %v", shared.Doc)
	}
}
