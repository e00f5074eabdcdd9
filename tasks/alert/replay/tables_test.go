package replay_test

import (
	"fmt"
	"reflect"
	"regexp"
	"testing"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/replay"
)

// table is a table of a rule type with these parts, as JSON.
func table(t *testing.T, rule, events, steps, rest string) *replay.Table {
	t.Helper()
	table, err := replay.Parse(fmt.Appendf(nil, `{"name": "own", "level": "ruletype", "rule": %s, "events": %s, "steps": %s, %s}`, rule, events, steps, rest))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func run(t *replay.Table) replay.Result {
	return replay.RunRuleType(t, replay.Options{Rule: replay.Rule})
}

func TestATableSaysWhereAndHowItDiffers(t *testing.T) {
	t.Parallel()
	r := run(table(t, `{"type": "any"}`, `[{"@timestamp": "2026-03-01T00:00:00Z", "v": 1, "w": {"x": [1, "2"]}}]`, `[{"op": "add_data", "events": [0]}, {"op": "garbage_collect", "at": "2026-03-01T00:01:00Z"}]`,
		`"expected_matches": [{"@timestamp": "2026-03-01T00:00:00Z", "v": 1.0, "w": {"x": [1, 2, 3]}, "z": null}], "matches_per_step": [0, 0], "advice": "same"`))
	want := []string{"step 0 (add_data): want 0 matches, got 1", `matches[0].w.x[1]: want 2, got "2"`, "matches[0].w.x[2]: want 3, got nothing", "matches[0].z: want null, got nothing"}
	if r.Equal || r.Name != "own" || r.Advice != replay.AdviceSame || !reflect.DeepEqual(r.Differences, want) {
		t.Errorf("it says %q", r.Differences)
	}
}

func TestTimesAreReadInEachWayAndWrittenInOne(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ options, in, out string }{
		{``, `"2026-03-01T00:00:00.500Z"`, `2026-03-01T00:00:00.500Z`},
		{``, `"2026-03-01T00:00:00.123456Z"`, `2026-03-01T00:00:00.123456Z`},
		{``, `"2026-03-01T00:00:00.000+00:00"`, `2026-03-01T00:00:00Z`},
		{``, `"2026-03-01 00:00:00"`, `2026-03-01T00:00:00Z`},
		{``, `"2026-03-01T02:00:00.5+0200"`, `2026-03-01T02:00:00.500000+02:00`},
		{`, "timestamp_type": "unix"`, `1772323200.25`, `2026-03-01T00:00:00.250Z`},
		{`, "timestamp_type": "unix"`, `"1772323200"`, `2026-03-01T00:00:00Z`},
		{`, "timestamp_type": "unix_ms"`, `1772323200001`, `2026-03-01T00:00:00.001Z`},
		{`, "timestamp_type": "custom", "timestamp_format": "%d/%b/%Y %H:%M:%S.%f"`, `"01/Mar/2026 00:00:00.250"`, `2026-03-01T00:00:00.250Z`},
		{`, "timestamp_type": "custom", "timestamp_format": "%Y%m%d %I:%M %p %z"`, `"20260301 02:00 AM +0200"`, `2026-03-01T02:00:00+02:00`},
	} {
		r := run(table(t, `{"type": "any"`+c.options+`}`, `[{"@timestamp": `+c.in+`}]`, `[{"op": "add_data", "events": [0]}]`,
			`"expected_matches": [{"@timestamp": "`+c.out+`"}], "matches_per_step": [1]`))
		if !r.Equal {
			t.Errorf("%s: %q", c.in, r.Differences)
		}
	}
}

func TestABaselineIsTheHistoryOfItsWindow(t *testing.T) {
	t.Parallel()
	event := `{"@timestamp": "2026-03-01T00:00:01Z", "u": "%s", "h": "x"}`
	events := "[" + fmt.Sprintf(event, "too old") + "," + fmt.Sprintf(event, "just") + "," + fmt.Sprintf(event, "now") + "]"
	r := run(table(t, `{"type": "new_term", "fields": [["u", "h"]]}`, events, `[{"op": "add_data", "events": [0, 1, 2]}]`,
		`"now": "2026-03-01T00:00:00Z", "history": [{"@timestamp": "2026-01-29T23:59:59.999Z", "u": "too old", "h": "x"}, {"@timestamp": "2026-01-30T00:00:00Z", "u": "just", "h": "x"},
		{"@timestamp": "2026-03-01T00:00:00Z", "u": "now", "h": "x"}, {"@timestamp": "2026-02-28T00:00:00Z", "u": "half"}],
		"expected_matches": [{"@timestamp": "2026-03-01T00:00:01Z", "u": "too old", "h": "x", "new_field": ["u", "h"]}, {"@timestamp": "2026-03-01T00:00:01Z", "u": "now", "h": "x", "new_field": ["u", "h"]}], "matches_per_step": [2]`))
	if !r.Equal {
		t.Errorf("it differs: %q", r.Differences)
	}
}

func TestAKeyOfSeveralPartsIsOneNewField(t *testing.T) {
	t.Parallel()
	r := run(table(t, `{"type": "new_term", "query_key": ["u", "n"]}`, `[{"@timestamp": "2026-03-01T00:00:01Z", "u": "ann", "n": 1}, {"@timestamp": "2026-03-01T00:00:02Z", "u": "ann", "n": 2},
		{"@timestamp": "2026-03-01T00:00:03Z", "u": "bob"}, {"@timestamp": "2026-03-01T00:00:04Z", "u": "ann", "n": 2}]`, `[{"op": "add_data", "events": [0, 1, 2, 3]}]`,
		`"now": "2026-03-01T00:00:00Z", "history": [{"@timestamp": "2026-02-20T00:00:00Z", "u": "ann", "n": 1}],
		"expected_matches": [{"@timestamp": "2026-03-01T00:00:02Z", "u": "ann", "n": 2, "u,n": "ann, 2", "new_field": "u,n"},
		{"@timestamp": "2026-03-01T00:00:03Z", "u": "bob", "u,n": "bob, None", "new_field": "u,n"}], "matches_per_step": [2]`))
	if !r.Equal {
		t.Errorf("it differs: %q", r.Differences)
	}
}

func TestAMatchHasTheEventsThatWereCountedWithIt(t *testing.T) {
	t.Parallel()
	r := run(table(t, `{"type": "frequency", "num_events": 2, "timeframe": {"minutes": 5}, "attach_related": true}`,
		`[{"@timestamp": "2026-03-01T00:00:01Z", "v": 1}, {"@timestamp": "2026-03-01T00:00:02Z", "v": 2}]`, `[{"op": "add_data", "events": [0, 1]}]`,
		`"expected_matches": [{"@timestamp": "2026-03-01T00:00:02Z", "v": 2, "related_events": [{"@timestamp": "2026-03-01T00:00:01Z", "v": 1}]}], "matches_per_step": [1]`))
	if !r.Equal {
		t.Errorf("it differs: %q", r.Differences)
	}
}

func TestAnErrorThatWasWantedHasToCome(t *testing.T) {
	t.Parallel()
	refused := `"expected_error": "EAException: Invalid Rule file: r.yaml", "expected_matches": [], "matches_per_step": []`
	if r := run(table(t, `{"type": "whitelist", "compare_key": "u", "whitelist": ["a"]}`, `[]`, `[]`, refused)); !r.Equal {
		t.Errorf("a refused rule differs: %q", r.Differences)
	}
	if r := run(table(t, `{"type": "any"}`, `[]`, `[]`, refused)); r.Equal {
		t.Error("a rule that was to be refused was not")
	}
	if r := run(table(t, `{"type": "whitelist", "compare_key": "u", "whitelist": ["a"]}`, `[]`, `[]`, `"expected_matches": [], "matches_per_step": []`)); r.Equal {
		t.Error("a rule was refused that was not to be")
	}
	broken := table(t, `{"type": "blacklist", "compare_key": "u", "blacklist": ["a"]}`, `[{"@timestamp": "2026-03-01T00:00:00Z", "u": "a"}, {"@timestamp": "2026-03-01T00:00:01Z", "u": ["a"]}]`,
		`[{"op": "add_data", "events": [0]}, {"op": "add_data", "events": [1]}]`,
		`"expected_error": "TypeError: unhashable type: 'list'", "expected_matches": [{"@timestamp": "2026-03-01T00:00:00Z", "u": "a"}], "matches_per_step": [1]`)
	if r := run(broken); !r.Equal || len(r.Notes) != 1 {
		t.Errorf("up to where the original broke down it differs: %q, %q", r.Differences, r.Notes)
	}
}

func TestATableWithSomethingUnknownIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"level": "ruletype", "steps": [{"op": "add_data", "evnts": [0]}]}`: "evnts",
		`{"level": "other"}`:       "level",
		`{"level": "ruletype"} {}`: "more",
		`{"level": "ruletype", "steps": [{"op": "add_data", "events": [0]}]}`: "event 0 of 0",
		`[]`: "cannot be read",
	} {
		_, err := replay.Parse([]byte(text))
		if err == nil || tasks.HintOf(err) == "" || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, step := range []string{`{"op": "dance", "at": "2026-03-01T00:00:00Z"}`, `{"op": "garbage_collect", "at": "soon"}`, `{"op": "add_count_data", "at": "2026-03-01T00:00:00Z", "count": 1}`} {
		if r := run(table(t, `{"type": "any"}`, `[]`, `[`+step+`]`, `"expected_matches": [], "matches_per_step": [0]`)); r.Equal {
			t.Errorf("%s is taken", step)
		}
	}
}
