package rule_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/tasks/alert/rule"
)

// head begins rules of each type that have nothing wrong with them.
var heads = map[string]string{
	"any":       "type: any\nindex: a\nalert: debug\n",
	"frequency": "type: frequency\nindex: a\nalert: debug\nnum_events: 2\ntimeframe: 5m\n",
	"blacklist": "type: blacklist\nindex: a\nalert: debug\ncompare_key: k\nblacklist: [a]\n",
	"whitelist": "type: whitelist\nindex: a\nalert: debug\ncompare_key: k\nwhitelist: [a]\n",
	"change":    "type: change\nindex: a\nalert: debug\nquery_key: u\ncompare_key: [a, b]\nignore_null: true\n",
	"spike":     "type: spike\nindex: a\nalert: debug\nspike_height: 3\nspike_type: up\ntimeframe: 5m\n",
	"flatline":  "type: flatline\nindex: a\nalert: debug\nthreshold: 1\ntimeframe: 5m\n",
	"new_term":  "type: new_term\nindex: a\nalert: debug\nfields: [a, [b, c]]\n",
	"card":      "type: cardinality\nindex: a\nalert: debug\ncardinality_field: u\ntimeframe: 5m\n",
	"metric":    "type: metric_aggregation\nindex: a\nalert: debug\nmetric_agg_key: ms\nmetric_agg_type: avg\n",
	"spikeagg":  "type: spike_aggregation\nindex: a\nalert: debug\nmetric_agg_key: ms\nmetric_agg_type: avg\nspike_height: 3\nspike_type: up\ntimeframe: 5m\n",
	"percent":   "type: percentage_match\nindex: a\nalert: debug\nmatch_bucket_filter: [{term: {ok: true}}]\n",
	"absence":   "type: absence\nindex: a\nalert: debug\nfirst: {term: {e: configured}}\nthen: [{term: {e: used}}]\ntimeframe: 7d\n",
}

// mistakes are what is added to a head, with what is said then: lines without the file's name and without notes. Nothing is wrong
// where it is "".
var mistakes = []struct{ head, add, want string }{
	{"any", "", ""}, {"frequency", "", ""}, {"blacklist", "", ""}, {"change", "", ""}, {"spike", "", ""}, {"flatline", "", ""}, {"new_term", "", ""}, {"spikeagg", "", ""}, {"absence", "", ""},
	{"any", "num_evens: 3", "4:1: num_evens: there is no option of this name (did you mean num_events?)"},
	{"any", "logsource: windows", "4:1: logsource: there is no option of this name (if it is a name of your own, for people or for texts, write own_options: [logsource] into defaults.yaml, or begin it with x_)"},
	{"any", "logsource: windows\nown_options: [log*]", ""},
	{"any", "string_multi_field_name: .raw", "4:1: string_multi_field_name: is not supported: values are asked for by FIELD.keyword; write whole names, with use_keyword_postfix: false (take it away)"},
	{"any", "string_multi_field_name: .keyword\n_source_enabled: true\nraw_count_keys: false\nrealert: {minutes: 0}\nfilter: []", ""},
	{"any", "_source_enabled: false", "4:1: _source_enabled: is not supported: events are read from _source (take it away)"},
	{"any", "realert: {minutes: -5}", "4:20: realert: minutes: must not be less than 0"},
	{"any", "realert: -5m", "4:10: realert: must not be less than 0"},
	{"any", "realert: {minuts: 5}", `4:11: realert: "minuts" is none of weeks, days, hours, minutes, seconds, milliseconds (did you mean minutes?)`},
	{"any", "realert: 5", `4:10: realert: must be a duration, not "5" (write {minutes: 5}, or 5m)`},
	{"any", "realert:", "4:9: realert: must be a duration, not nothing (write {minutes: 5}, or 5m)"},
	{"any", "realert: 0", ""},
	{"any", "realert: {weeks: 1000000}", "4:10: realert: is more than 100 years"},
	{"any", "timestamp_type: unixms", `4:17: timestamp_type: "unixms" is none of iso, unix, unix_ms, custom (did you mean unix_ms?)`},
	{"any", "is_enabled: maybe", `4:13: is_enabled: must be true or false, not "maybe" (write true or false)`},
	{"any", "is_enabled: no", ""},
	{"any", "priority: high", `4:11: priority: must be a whole number, not "high"`},
	{"any", "include: host", `4:10: include: must be a list, not "host" (write include: [host])`},
	{"any", "query_key: {a: b}", "4:12: query_key: must be a text, not names with values"},
	{"any", "description: true", `4:14: description: must be a text, not "true" (put it in quotes, if it is meant)`},
	{"any", "match_enhancements: [my.Module]", "4:1: match_enhancements: is not supported: it is code of Python (take it away)"},
	{"any", "match_enhancements: []", ""},
	{"any", "query_timezone: Europe/Berlin", "4:1: query_timezone: is not supported: sources are asked in UTC, and a time without a zone is one in UTC (take it away)"},
	{"any", "limit_execution: '* 7-22 * * 1-7'", ""},
	{"any", "limit_execution: '* 25 * * *'", `4:18: limit_execution: "* 25 * * *" is no cron expression: end of range (25) above maximum (23): 25 (minute hour day month weekday: */10 8-18 * * 1-5)`},
	{"any", "run_every: {hours: 1}\nlimit_execution: '30 * * * *'", `5:18: limit_execution: the rule would never be evaluated: its times come every 1h0m0s, counted from midnight in UTC on 1 January 1970, and none of them is in these minutes (run_every: {minutes: 1} evaluates it in each of these minutes)`},
	{"any", "run_every: {days: 1}\nlimit_execution: '* 8-18 * * *'", `5:18: limit_execution: the rule would never be evaluated: its times come every 24h0m0s, counted from midnight in UTC on 1 January 1970, and none of them is in these minutes (run_every: {minutes: 1} evaluates it in each of these minutes)`},
	{"any", "limit_execution: '0 0 30 2 *'\nrun_every: {minutes: 5}", `4:18: limit_execution: the rule would never be evaluated: its times come every 5m0s, counted from midnight in UTC on 1 January 1970, and none of them is in these minutes (run_every: {minutes: 1} evaluates it in each of these minutes)`},
	{"any", "run_every: {hours: 1}\nlimit_execution: '*/30 * * * *'", ""},
	{"any", "run_every: {hours: 7}\nlimit_execution: '0 3 * * *'", ""},
	{"any", "run_every: {seconds: 90}\nlimit_execution: '1 0 29 2 *'", ""},
	{"any", "run_every: {days: 30}\nlimit_execution: '* * * * *'", ""},
	{"any", "run_every: {days: 30}\nlimit_execution: '* 0-8 * * *'", ""},
	{"any", "limit_execution: '* * *'", `4:18: limit_execution: "* * *" has 3 fields instead of 5 (minute hour day month weekday: */10 8-18 * * 1-5)`},
	{"any", "aggregation: {schedule: '0 9 * *'}", `4:25: aggregation.schedule: "0 9 * *" has 4 fields instead of 5 (minute hour day month weekday: */10 8-18 * * 1-5)`},
	{"any", "scan_entire_timeframe: true", "4:24: scan_entire_timeframe: needs a timeframe (add timeframe)"},
	{"any", "scan_entire_timeframe: true\ntimeframe: 5m", ""},
	{"any", "severity: high", ""},
	{"any", "alert_text: '{0} {1}'\nalert_text_args: [a]", "4:13: alert_text: has places for 2 arguments, and there are 1 (add the missing ones to alert_text_args)"},
	{"any", "alert_text: '{} {x}'\nalert_text_args: [a]", `4:13: alert_text: has a place for "x", which nothing is given for (add it to alert_text_kw, or write {{ and }} for braces)`},
	{"any", "alert_text: '{x}'\nalert_text_kw: {field: x}", ""},
	{"any", "alert_text: 'a }'\nalert_text_args: [a]", "4:13: alert_text: a } closes nothing; as itself it is written }}"},
	{"any", "alert_text: 'a { without arguments'", ""},
	{"any", "alert_text_args: [slack_webhook_url]\nslack_webhook_url: https://x", "4:19: slack_webhook_url: a text would show the value of slack_webhook_url (texts are not secret)"},
	{"any", "alert_subject: '{0}'\nalert_subject_args: [team_name]\nteam_name: core", ""},
	{"any", "alert_text: '{{ team_name }}'\nalert_text_type: alert_text_jinja\nteam_name: core", ""},
	{"any", "x_runbook: https://x", ""},
	{"any", "owner: ${TEAM}", "4:8: owner: ${TEAM} has no value (set it below tokens: of the configuration, or as the variable TEAM)"},
	{"any", "es_host: ${HOST}\nfilter: [{term: {path: 'C:\\$RECYCLE'}}]", ""},
	{"any", "escalate: []", "4:11: escalate: has no rungs (take it away, or write escalate: [{after: 10m, to: [email]}])"},
	{"any", "escalate: [{after: 10m, to: a}, {after: 5m, to: [b]}]", "4:33: escalate[1]: comes before the rung above it (put the rungs in the order of their times)"},
	{"any", "escalate: [{aftr: 10m, to: a, until: never, repeats: 2}]", "4:12: escalate[0]: has repeats without repeat (add repeat: 10m)\n" +
		"4:13: escalate[0].aftr: is unknown here (did you mean after?)\n4:38: escalate[0].until: \"never\" is none of acked, resolved (write one of acked, resolved)"},
	{"frequency", "use_count_query: true\nquery_key: a", "6:18: use_count_query: one count says nothing about the values of query_key (use_terms_query: true counts for each value of query_key)"},
	{"frequency", "use_terms_query: true", "6:18: use_terms_query: needs one field in query_key, and there are 0 (name one field in query_key)"},
	{"frequency", "use_terms_query: true\nquery_key: [a, b]", "6:18: use_terms_query: needs one field in query_key, and there are 2 (name one field in query_key)"},
	{"frequency", "max_query_size: 0", "6:17: max_query_size: must be at least 1, not 0"},
	{"frequency", "num_events: 0", "6:1: num_events: stands here a second time; the first is in line 4, column 1 (take one of them away: the second would be forgotten, or the first)\n6:13: num_events: must be at least 1, not 0"},
	{"whitelist", "", "1:1: ignore_null: a rule of type whitelist needs ignore_null (Events without the field are left out.)"},
	{"whitelist", "ignore_null: true", ""},
	{"blacklist", "filter_by_list: 3", `6:17: filter_by_list: must be true or false, not "3" (write true or false)`},
	{"card", "", "1:1: max_cardinality: a rule of type cardinality needs max_cardinality or min_cardinality (More of them are a match.)"},
	{"card", "max_cardinality: 2\nmin_cardinality: 5", "7:18: min_cardinality: is more than max_cardinality"},
	{"metric", "", "1:1: max_threshold: a rule of type metric_aggregation needs max_threshold or min_threshold (More than this is a match.)"},
	{"metric", "max_threshold: 0.8\nbucket_interval: 7m", "7:18: bucket_interval: buffer_time (15m0s) must be a multiple of it (7m0s)"},
	{"metric", "max_threshold: 0.8\nbucket_interval: 5m", ""},
	{"metric", "max_threshold: 0.8\nuse_run_every_query_size: true\nbucket_interval: 45s", "8:18: bucket_interval: run_every (1m0s) must be a multiple of it (45s)"},
	{"spikeagg", "bucket_interval: 30s", "9:18: bucket_interval: cannot be used with spike_aggregation (take it away: a spike is told by whole windows)"},
	{"percent", "min_percentage: 120", "5:17: min_percentage: must be at most 100, not 120"},
	{"new_term", "use_terms_query: true", "5:18: use_terms_query: needs one field (name one field in fields)"},
}

func TestEachMistakeIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, m := range mistakes {
		text := heads[m.head] + m.add + "\n"
		_, got, _ := load(t, rule.Options{}, map[string]string{"r.yaml": text})
		if got = strings.ReplaceAll(got, "r.yaml:", ""); got != m.want {
			t.Errorf("%s says\n%s\nwant\n%s", text, got, m.want)
		}
	}
}

// queries are filters with what is said of them.
var queries = map[string]string{
	"{bool: {must: [{match: {a: b}}], should: {term: {a: b}}, must_not: [{exists: {field: x}}], minimum_should_match: 1}}": "",
	"{nested: {path: a, query: {prefix: {a.b: c}}}}":                                                                       "",
	"{query: {bool: {filter: [{wildcard: {a: {value: 'b*'}}}]}}}":                                                          "",
	"{ids: {values: [1, 2]}}": "",
	"{match_all: {}}":         "",
	"{range: {a: {gt: 1, lt: now-1h, time_zone: '+01:00'}}}": "",
	"{terms: {a: [1, b, true]}}":                             "",
	"{script: {script: 'doc.a > 1'}}":                        "",
	"{trem: {a: b}}":                                         `filter[0]: there is no query "trem" (did you mean term?)`,
	"{term: {a: b, c: d}}":                                   "filter[0].term: a query has one field, and this has 2 (write a query for each field, in a list)",
	"{term: {a: [b]}}":                                       "filter[0].term.a: must be one value, not a list (use terms for several values)",
	"{term: }":                                               "filter[0].term: must have names with values, not nothing (names with values belong below it)",
	"{terms: {a: b}}":                                        `filter[0].terms.a: must be a list of values, not "b" (write a list, or use term)`,
	"{range: {a: 5}}":                                        `filter[0].range.a: must have bounds, not "5" (write {gt: 5}, or gte, lt, lte)`,
	"{range: {a: {above: 5}}}":                               "filter[0].range.a: range needs gt or gte or lt or lte or from or to",
	"{range: {a: {gt: 5, les: 6}}}":                          "filter[0].range.a: range has no les (it has gt, ",
	"{query_string: status}":                                 `filter[0].query_string: must have names with values, not "status" (write {query: ...})`,
	"{query_string: , query: a}":                             "filter[0]: a query has one name, and this has 2: query, query_string (is query: indented deeper than the line above it?)",
	"{query_string: {query: 'bad ('}}":                       "filter[0].query_string.query: a ( is not closed",
	"{bool: {must: [{bool: {shuold: []}}]}}":                 "filter[0].bool.must[0].bool: bool has no shuold (did you mean should?)",
	"{or: [{term: {a: b}}]}":                                 "filter[0]: Elasticsearch has no query or any more (write bool: {should: [...]})",
	"{eql: 'any where true'}":                                "filter[0]: eql is another language, and stint asks with queries (write it as query_string, term, range, bool, ...)",
	"{regexp: {a: '(b|c'}}":                                  "filter[0].regexp.a: a bracket, a quote or a backslash at the end is not closed in the regular expression",
	`{regexp: {a: {value: 'b\)c)'}}}`:                        `filter[0].regexp.a: a ) closes nothing in the regular expression; as itself it is written \)`,
	"status:500":                                             `filter[0]: must be a query, not "status:500" (a query is like {term: {FIELD: VALUE}})`,
}

func TestQueriesAreCheckedToTheBottom(t *testing.T) {
	t.Parallel()
	check := func(text string) error {
		if strings.Contains(text, "(") {
			return errors.New("a ( is not closed")
		}
		return nil
	}
	for _, q := range slices.Sorted(maps.Keys(queries)) {
		want := queries[q]
		_, got, _ := load(t, rule.Options{CheckQuery: check}, map[string]string{"r.yaml": heads["any"] + "filter:\n- " + q + "\n"})
		if _, after, ok := strings.Cut(got, ": "); ok {
			got = after
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s says\n%s\nwant\n%s", q, got, want)
		}
	}
}

func TestWhoIsToldHasToBeKnown(t *testing.T) {
	t.Parallel()
	rules := func(alert string) map[string]string {
		return map[string]string{"r.yaml": "type: any\nindex: a\nalert: " + alert + "\n"}
	}
	for _, c := range []struct {
		alert    string
		channels []string
		want     string
	}{
		{"chat", []string{"chat", "mail"}, ""},
		{"slack", []string{"slack"}, ""},
		{"[slack, {email: {email: a@b}}]\nslack_webhook_url: '@@X@@'", []string{}, ""},
		{"chta", []string{"chat"}, `r.yaml:3:8: alert: there is no channel "chta" (did you mean chat?)`},
		{"slack", []string{"chat"}, "r.yaml:3:8: alert: slack needs slack_webhook_url (give it, or add a channel slack to the configuration)"},
		{"chat", nil, ""},
		{"[]", nil, "r.yaml:3:8: alert: nobody is told (name a channel of the configuration, or one of "},
		{"[chat, chat]", nil, "r.yaml:3:15: alert: chat stands here twice (take it away)"},
		{"[{slack: {}, email: {}}]", nil, "r.yaml:3:9: alert: an entry has one name, and this has 2 (each in an entry of its own: [{slack: {...}}, {email: {...}}])"},
		{"command\ncommand: [ls]", nil, "r.yaml:3:8: alert: stint cannot send to command: a rule does not run programs on workers (name a channel of the configuration, or another sender: docs/alert-rules.md)"},
		{"jira\njira_server: x", nil, "r.yaml:3:8: alert: stint cannot send to jira (name a channel of the configuration, or another sender: docs/alert-rules.md)"},
		{"my_module.Alerter", nil, "r.yaml:3:8: alert: a module of Python cannot be loaded: my_module.Alerter (name a channel of the configuration, or another sender: docs/alert-rules.md)"},
		{"{email: {email: a@b, smtp_auth_file: x}}", nil, "r.yaml:3:45: smtp_auth_file: the file cannot be read: no such file or directory (or write smtp_user and smtp_password, or name a channel of the configuration)"},
		{"{email: {email: a@b, email_from_field: x}}", nil, "r.yaml:3:29: email_from_field: is not supported: whom an alert goes to must not be written by an event (take it away)"},
		{"{slack: {slack_webhook_url: 'https://x', slack_chanel_override: y}}", nil, "r.yaml:3:49: alert.slack.slack_chanel_override: there is no option of this name (did you mean slack_channel_override?)"},
		{"debug\nescalate: [{after: 1m, to: [nobody]}]", []string{"chat"}, `r.yaml:4:28: escalate[0].to: there is no channel "nobody" (there are chat)`},
	} {
		_, got, _ := load(t, rule.Options{Channels: c.channels, Tokens: tokens("X", "y")}, rules(c.alert))
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s says\n%s\nwant\n%s", c.alert, got, c.want)
		}
	}
	for source, want := range map[string]string{"logs": "", "lgos": `r.yaml:4:9: source: there is no source "lgos" (did you mean logs?)`} {
		_, got, _ := load(t, rule.Options{Sources: []string{"logs", "metrics"}}, rules("debug\nsource: "+source))
		if got != want {
			t.Errorf("source %s: %s", source, got)
		}
	}
	set, got, _ := load(t, rule.Options{Sources: []string{"logs"}}, rules("debug"))
	if got != "" || set.Rules[0].Source != "logs" {
		t.Errorf("the only source: %s", got)
	}
}

func TestWhatElastAlertHasInAnotherWayIsNoted(t *testing.T) {
	t.Parallel()
	_, mistakes, notes := load(t, rule.Options{}, map[string]string{"r.yaml": heads["any"] +
		"es_host: h\nes_password: very-secret\nnum_events: 3\nslack_msg_color: danger\njira_server: x\nslack_webhook_url: https://hook\nescalate: [{after: 1m, to: pager}]\nuse_local_time: true\n__praeco_full_path: x\n"})
	if mistakes != "" {
		t.Error(mistakes)
	}
	for _, want := range []string{"4:1: note: es_host: does nothing here: connections of the configuration", "es_password: does nothing here", "(take the secret out of the file)",
		"num_events: does nothing in a rule of type any (it belongs to frequency)", "slack_msg_color: does nothing here: the rule does not alert slack", "jira_server: does nothing here: it belongs to jira", "use_local_time"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q:\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "very-secret") || strings.Contains(notes, "https://hook") || strings.Contains(notes, "praeco") {
		t.Errorf("the notes say too much:\n%s", notes)
	}
}

func TestSeveralFieldsOfAListAreTakenWithANote(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		"type: blacklist\nblacklist: [x]\n":                     "nothing ever matches",
		"type: whitelist\nwhitelist: [x]\nignore_null: true\n":  "nothing ever matches",
		"type: whitelist\nwhitelist: [x]\nignore_null: false\n": "every event matches",
	} {
		_, mistakes, notes := load(t, rule.Options{}, map[string]string{"r.yaml": head + "index: a\nalert: debug\ncompare_key: [k, l]\n"})
		if mistakes != "" || !strings.Contains(notes, "compare_key: several fields together never have a value: "+want) {
			t.Errorf("%s: %s\n%s", head, mistakes, notes)
		}
	}
}

func TestOptionsOfTypesAreTakenOver(t *testing.T) {
	t.Parallel()
	if r := one(t, heads["frequency"]+"attach_related: true\n"); !r.AttachRelated {
		t.Error("attach_related is lost")
	}
	newTerm := "type: new_term\nindex: a\nalert: debug\n"
	if r := one(t, newTerm+"query_key: [u]\n"); len(r.Fields) != 1 || !slices.Equal(r.Fields[0], rule.Field{"u"}) {
		t.Errorf("one key is the fields %v", r.Fields)
	}
	if r := one(t, newTerm+"query_key: [u, h]\n"); len(r.Fields) != 0 || r.Key() != "u,h" {
		t.Errorf("two keys are the fields %v", r.Fields)
	}
}

func TestTheLoginOfAMailServerIsReadFromItsFile(t *testing.T) {
	t.Parallel()
	files := map[string]string{"r.yaml": "type: any\nindex: a\nalert: email\nemail: a@b\nname: r\nsmtp_auth_file: login.inc\n", "login.inc": "user: me\npassword: very-secret\n"}
	set, mistakes, notes := load(t, rule.Options{}, files)
	if mistakes != "" || set.Options("r", 0)["smtp_user"] != "me" || set.Options("r", 0)["smtp_password"] != "very-secret" {
		t.Errorf("%s: %v", mistakes, set.Options("r", 0))
	}
	frozen, err := json.Marshal(set.Rules)
	if err != nil || strings.Contains(string(frozen)+notes, "very-secret") || !strings.Contains(string(frozen), `"secrets":["smtp_auth_file","smtp_password"]`) {
		t.Errorf("%v: %s %s", err, frozen, notes)
	}
	files["login.inc"] = "user: me\n"
	if _, mistakes, _ := load(t, rule.Options{}, files); !strings.Contains(mistakes, "the file must have user and password") {
		t.Error(mistakes)
	}
}

func TestWithoutAConfigurationANameIsTakenForAChannel(t *testing.T) {
	t.Parallel()
	set, mistakes, notes := load(t, rule.Options{}, map[string]string{"r.yaml": "type: any\nindex: a\nalert: [slakc, slack]\n"})
	compare(t, notes, "r.yaml:3:9: note: alert: slakc is taken for a channel of the configuration (did you mean slack?)\nr.yaml:3:16: note: alert: slack is taken for a channel of the configuration")
	if mistakes != "" || len(set.Rules) != 1 || set.Rules[0].Alert[0].Channel != "slakc" || set.Rules[0].Alert[1].Channel != "slack" {
		t.Errorf("%s", mistakes)
	}
}

func TestListsAndDurationsAreReadInAllTheirForms(t *testing.T) {
	t.Parallel()
	set, mistakes, _ := load(t, rule.Options{}, map[string]string{"sub/r.yaml": heads["blacklist"] + "name: r\n", "sub/f.yaml": "type: blacklist\nindex: a\nalert: debug\ncompare_key: [k]\nblacklist: [x, 404, 1.50, true, '!file list.txt', !file list.txt]\nname: f\n" +
		"buffer_time: {hours: 1.5, milliseconds: 500}\nrun_every: 1m30s\nquery_delay: 1d12h\n", "sub/list.txt": "one \n\ntwo\n"})
	if mistakes != "" {
		t.Fatal(mistakes)
	}
	r := set.Rule("f")
	want := []any{"x", json.Number("404"), json.Number("1.50"), true, "one", "two", "one", "two"}
	if !slices.Equal(r.List, want) || r.BufferTime != 90*time.Minute+500*time.Millisecond || r.RunEvery != 90*time.Second || r.QueryDelay != 36*time.Hour {
		t.Errorf("the rule is %+v", r)
	}
	if _, mistakes, _ := load(t, rule.Options{}, map[string]string{"r.yaml": "type: blacklist\nindex: a\nalert: debug\ncompare_key: [k, l]\nblacklist: ['!file none.txt']\n"}); !strings.Contains(mistakes, "5:13: blacklist: the file of its values cannot be read") {
		t.Error(mistakes)
	}
}

func TestCronKnowsBothSundays(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) // a Thursday
	for expr, want := range map[string]time.Weekday{"0 0 * * 7": time.Sunday, "0 0 * * 0": time.Sunday, "0 0 * * 6-7": time.Saturday, "0 0 * * 5,7": time.Friday, "0 0 * * 1-7/3": time.Sunday} {
		s, err := rule.ParseCron(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := s.Next(from).Weekday(); got != want {
			t.Errorf("%s is next on a %s, want %s", expr, got, want)
		}
	}
	for _, expr := range []string{"", "* * * *", "@every 5m", "TZ=UTC * * * * *", "* * * * 8"} {
		if _, err := rule.ParseCron(expr); err == nil {
			t.Errorf("%q is taken", expr)
		}
	}
}

// vectors are behaviour tables of the original, where they are at hand: in shared/vectors/alerts beside a folder around this one.
func vectors(t *testing.T) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if list, _ := filepath.Glob(filepath.Join(dir, "shared", "vectors", "alerts", "*.json")); len(list) > 0 {
			return list
		}
	}
	t.Skip("the tables are not here")
	return nil
}

func TestTheRulesOfTheTablesAreTakenAsTheOriginalTakesThem(t *testing.T) {
	t.Parallel()
	for _, path := range vectors(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Rule          map[string]any `json:"rule"`
			Config        map[string]any `json:"config"`
			ExpectedError string         `json:"expected_error"`
		}
		if err := json.Unmarshal(content, &v); err != nil {
			t.Fatal(err)
		}
		delete(v.Rule, "alert") // its sender is one of the tables' own
		v.Rule["index"], v.Rule["alert"] = "a", "debug"
		text, err := yaml.Marshal(v.Rule)
		if err != nil {
			t.Fatal(err)
		}
		defaults, err := yaml.Marshal(v.Config)
		if err != nil {
			t.Fatal(err)
		}
		_, mistakes, _ := load(t, rule.Options{Defaults: rule.Defaults{BufferTime: 15 * time.Minute}}, map[string]string{"r.yaml": string(text), "defaults.yaml": string(defaults)})
		refused := strings.Contains(v.ExpectedError, "Invalid Rule file") || strings.Contains(v.ExpectedError, "Error initializing rule")
		if (mistakes != "") != refused {
			t.Errorf("%s: the original says %q, and here it is %q", filepath.Base(path), v.ExpectedError, mistakes)
		}
	}
}
