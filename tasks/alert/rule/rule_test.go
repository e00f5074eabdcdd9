package rule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/alert/rule"
)

// folder writes files of a folder of rules, and returns it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load loads a folder, and shows problems without its path.
func load(t *testing.T, o rule.Options, files map[string]string) (set rule.Set, mistakes, notes string) {
	t.Helper()
	o.Dir = folder(t, files)
	set, problems := rule.Load(o)
	strip := func(p rule.Problems) string {
		return strings.ReplaceAll(p.Error(), o.Dir+string(filepath.Separator), "")
	}
	return set, strip(problems.Mistakes()), strip(problems.Notes())
}

// one loads a single rule, which has to be without mistakes.
func one(t *testing.T, text string) *rule.Rule {
	t.Helper()
	set, mistakes, _ := load(t, rule.Options{}, map[string]string{"r.yaml": text})
	if mistakes != "" || len(set.Rules) != 1 {
		t.Fatalf("%d rules: %s", len(set.Rules), mistakes)
	}
	return set.Rules[0]
}

const whole = `name: many failures
type: frequency
index: logs-*
num_events: 5
timeframe: {minutes: 5, seconds: 30}
query_key: [host, user]
filter:
- query: {query_string: {query: "status:500"}}
- term: {flag: yes}
- range: {ms: {gt: 1_000}}
realert: 90s
aggregation: {schedule: "0 9 * * 1-5"}
aggregation_key: team
include: [message]
alert:
- slack
- email: {email: ops@example.com, alert_subject: "Mail: $team$"}
- pager
slack_webhook_url: "@@HOOK@@"
slack_channel_override: "#$team$"
alert_subject: "{0} at {1} ({2:.2f})"
alert_subject_args: [team, host, ms]
team: core
escalate: [{after: 10m, to: pager}, {after: 1h, to: [sms, pager], until: resolved, repeat: 30m, repeats: 3}]
`

func TestARuleHasWhatItsFileSaysAndWhatHoldsOtherwise(t *testing.T) {
	t.Parallel()
	set, mistakes, notes := load(t, rule.Options{Tokens: tokens("HOOK", "https://hooks.example/secret")}, map[string]string{"web/many.yaml": whole})
	if mistakes != "" || len(set.Rules) != 1 {
		t.Fatal(mistakes)
	}
	r := set.Rule("many failures")
	if r == nil || r.File != "web/many.yaml" || r.Type != rule.Frequency || r.NumEvents != 5 || r.Timeframe != 5*time.Minute+30*time.Second || r.Key() != "host,user" {
		t.Errorf("the rule is %+v", r)
	}
	if want := []map[string]any{{"query_string": map[string]any{"query": "status:500"}}, {"term": map[string]any{"flag": true}},
		{"range": map[string]any{"ms": map[string]any{"gt": json.Number("1000")}}}}; !reflect.DeepEqual(r.Filter, want) {
		t.Errorf("the filter is %v", r.Filter)
	}
	if r.Realert != 90*time.Second || r.RealertKey != r.Name || r.Aggregation.Schedule != "0 9 * * 1-5" || r.Priority != 2 || r.RunEvery != time.Minute || r.BufferTime != 15*time.Minute ||
		r.MaxQuerySize != 10000 || r.Timestamp != (rule.Timestamp{Field: "@timestamp", Type: "iso"}) || r.Text.MissingValue != "<MISSING VALUE>" {
		t.Errorf("the defaults are %+v", r)
	}
	if want := []string{"@timestamp", "host", "message", "team", "user"}; !reflect.DeepEqual(r.Include, want) {
		t.Errorf("it includes %v", r.Include)
	}
	if want := []rule.Alerter{
		{Type: "slack", Options: map[string]any{"slack_channel_override": []any{"#$team$"}}, Secrets: []string{"slack_webhook_url"}},
		{Type: "email", Options: map[string]any{"email": []any{"ops@example.com"}, "alert_subject": "Mail: $team$"}},
		{Channel: "pager"}}; !reflect.DeepEqual(r.Alert, want) {
		t.Errorf("it alerts %+v", r.Alert)
	}
	if v := set.Options(r.Name, 0)["slack_webhook_url"]; !reflect.DeepEqual(v, []any{"https://hooks.example/secret"}) {
		t.Errorf("the webhook is %v", v)
	}
	if set.Options(r.Name, 3) != nil || set.Options("other", 0) != nil {
		t.Error("there are options of what is not there")
	}
	if want := []rule.Level{{After: 10 * time.Minute, To: []string{"pager"}}, {After: time.Hour, To: []string{"sms", "pager"}, Until: "resolved", Repeat: 30 * time.Minute, Repeats: 3}}; !reflect.DeepEqual(r.Escalate, want) {
		t.Errorf("it escalates %+v", r.Escalate)
	}
	if want := map[string]any{"team": "core"}; !reflect.DeepEqual(r.Values, want) {
		t.Errorf("texts refer to %v", r.Values)
	}
	frozen, err := json.Marshal(set.Rules)
	if err != nil || strings.Contains(string(frozen), "hooks.example") {
		t.Errorf("%v: %s", err, frozen)
	}
	if strings.Contains(notes, "hooks.example") {
		t.Errorf("notes: %s", notes)
	}
}

// tokens are names and their values.
func tokens(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestImportsDefaultsAndEnvironmentsAreLaidOverEachOther(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"defaults.yaml":                "run_every: 30s\nbuffer_time: 5m\npriority: 3\nowner: all\nslack_webhook_url: https://all\nfilter: [{term: {unused: 1}}]\n",
		"environments/production.yaml": "defaults: {buffer_time: 10m}\nrules:\n  ssh: {num_events: 50, alert: [pager]}\n  quiet: {is_enabled: false}\n",
		"base/ssh.yaml":                "import: ../common.inc\nindex: auth-*\ntype: frequency\nnum_events: 5\ntimeframe: 1m\nalert: slack\nname: ssh\nfilter: [{term: {own: 1}}]\n",
		"common.inc":                   "import: [deep.inc, later.inc]\npriority: 1\nfilter: [{term: {common: 1}}]\n",
		"deep.inc":                     "owner: deep\ncategory: deep\nfilter: [{term: {deep: 1}}]\n",
		"later.inc":                    "category: later\n",
		"quiet.yml":                    "index: a\ntype: any\nalert: debug\nname: quiet\n",
		"part.yaml":                    "index: shared\n",
		"user.yaml":                    "import: part.yaml\ntype: any\nalert: debug\n",
		".hidden/bad.yaml":             "{",
		"readme.txt":                   "{",
	}
	set, mistakes, _ := load(t, rule.Options{Environment: "production", Channels: []string{"pager"}}, files)
	if mistakes != "" || len(set.Rules) != 2 || set.Files != 3 || !reflect.DeepEqual(set.Disabled, []string{"quiet"}) {
		t.Fatalf("%d rules of %d files, disabled %v: %s", len(set.Rules), set.Files, set.Disabled, mistakes)
	}
	r := set.Rule("ssh")
	if r.NumEvents != 50 || r.Priority != 1 || r.Owner != "deep" || r.Category != "later" || r.RunEvery != 30*time.Second || r.BufferTime != 10*time.Minute || r.Alert[0].Channel != "pager" {
		t.Errorf("the rule is %+v", r)
	}
	if want := []map[string]any{{"term": map[string]any{"deep": json.Number("1")}}, {"term": map[string]any{"common": json.Number("1")}}, {"term": map[string]any{"own": json.Number("1")}}}; !reflect.DeepEqual(r.Filter, want) {
		t.Errorf("the filter is %v", r.Filter)
	}
	if r := set.Rule("user"); r == nil || r.Index != "shared" || r.Filter[0]["term"].(map[string]any)["unused"] == nil {
		t.Errorf("the rule without a name is %+v", r)
	}
	set, mistakes, notes := load(t, rule.Options{Environment: "prodution"}, files)
	if mistakes != "" || len(set.Rules) != 3 || !strings.Contains(notes, "environments/prodution.yaml: note: there is no such file: the environment changes nothing (did you mean production?)") {
		t.Errorf("%s\n%s", mistakes, notes)
	}
}

func TestAMistakeRefusesItsRuleAlone(t *testing.T) {
	t.Parallel()
	good := "type: any\nindex: a\nalert: debug\n"
	set, mistakes, _ := load(t, rule.Options{Environment: "e"}, map[string]string{
		"a.yaml": good, "b.yaml": "type: any\nindex: a\nalert: debug\nalrt: x\n", "c.yaml": "a: [", "d.yaml": good + "import: c.inc\n", "c.inc": "x_y: 1\nx_y: 2\n",
		"e.yaml": good + "name: a\n", "f.yaml": good + "import: g.inc\n", "g.inc": "import: f.yaml\n", "environments/e.yaml": "rules: {nobody: {}, a: {index: '@@NONE@@'}}\nruels: {}\n",
	})
	if len(set.Rules) != 0 {
		t.Errorf("%d rules are left", len(set.Rules))
	}
	want := `b.yaml:4:1: alrt: there is no option of this name (did you mean alert?)
c.inc:2:1: x_y: stands here a second time; the first is in line 1, column 1 (take one of them away: the second would be forgotten, or the first)
c.yaml:1:4: did not find expected node content (look at the indentation, the quotes and the brackets, here and in the line above)
e.yaml:4:7: name: the rule "a" is in a.yaml:1:1 already (give one of them another name)
environments/e.yaml:1:9: rules: there is no rule "nobody" (take it away, or mend its name)
environments/e.yaml:1:32: token @@NONE@@ has no value (set it below tokens: of the configuration, or as the variable NONE)
environments/e.yaml:2:1: ruels: is unknown here (did you mean rules?)
g.inc:1:9: import: f.yaml imports this file, by way of others or itself (take one of the imports away)`
	compare(t, mistakes, want)
	set, mistakes, _ = load(t, rule.Options{}, map[string]string{"a.yaml": good, "defaults.yaml": "- x\n"})
	if len(set.Rules) != 0 || mistakes != "defaults.yaml:1:1: options with their values are wanted (name: value, one in each line)" {
		t.Errorf("%d rules: %s", len(set.Rules), mistakes)
	}
}

func TestTokensAreFilledInWithOrWithoutQuotes(t *testing.T) {
	t.Parallel()
	text := "type: frequency\nindex: logs-@@ENV@@-* # of an environment\nnum_events: @@N@@ # events\ntimeframe: {minutes: \"@@N@@\"}\nalert: debug\nis_enabled: '@@ON@@'\n" +
		"filter:\n- term: {host: \"@@N@@\"}\nalert_text: |\n  n: @@N@@\n  mail: a@@@@b\n"
	set, mistakes, _ := load(t, rule.Options{Tokens: tokens("ENV", "prod", "N", "7", "ON", "true")}, map[string]string{"r.yaml": text})
	if mistakes != "" {
		t.Fatal(mistakes)
	}
	r := set.Rules[0]
	if r.Index != "logs-prod-*" || r.NumEvents != 7 || r.Timeframe != 7*time.Minute || r.Text.Body != "n: 7\nmail: a@@b\n" || !reflect.DeepEqual(r.Filter, []map[string]any{{"term": map[string]any{"host": "7"}}}) {
		t.Errorf("the rule is %+v", r)
	}
	_, mistakes, _ = load(t, rule.Options{Tokens: tokens("N", "very-secret")}, map[string]string{"r.yaml": text})
	compare(t, mistakes, `r.yaml:2:8: token @@ENV@@ has no value (set it below tokens: of the configuration, or as the variable ENV)
r.yaml:3:13: num_events: must be a whole number, not "@@N@@"
r.yaml:4:22: timeframe: minutes: must be a number, not "@@N@@" (write {minutes: 5}, or 5m)
r.yaml:6:13: token @@ON@@ has no value (set it below tokens: of the configuration, or as the variable ON)`)
}

func TestVariablesAreFilledInAsElastAlertDoes(t *testing.T) {
	t.Parallel()
	text := heads["any"] + "owner: $TEAM\ncategory: ${TEAM}-${NONE}\npriority: ${N}\nfilter: [{regexp: {a: 'x$HOME'}}]\nslack_webhook_url: ${HOOK}\n"
	set, mistakes, _ := load(t, rule.Options{Tokens: tokens("TEAM", "core", "HOME", "/root", "N", "4")}, map[string]string{"r.yaml": text})
	if mistakes != "" {
		t.Fatal(mistakes)
	}
	r := set.Rules[0]
	if r.Owner != "core" || r.Category != "core-${NONE}" || r.Priority != 4 || !reflect.DeepEqual(r.Filter, []map[string]any{{"regexp": map[string]any{"a": "x$HOME"}}}) {
		t.Errorf("the rule is %+v", r)
	}
	_, mistakes, notes := load(t, rule.Options{}, map[string]string{"r.yaml": strings.ReplaceAll(text, "alert: debug", "alert: slack")})
	compare(t, mistakes, `r.yaml:4:8: owner: $TEAM has no value (set it below tokens: of the configuration, or as the variable TEAM)
r.yaml:6:11: priority: ${N} has no value (set it below tokens: of the configuration, or as the variable N)
r.yaml:8:20: slack_webhook_url: ${HOOK} has no value (set it below tokens: of the configuration, or as the variable HOOK)`)
	compare(t, notes, `r.yaml:5:11: note: category: ${TEAM} has no value, and stays as it is`)
}

func TestATeamCanHaveOptionsOfItsOwn(t *testing.T) {
	t.Parallel()
	good := heads["any"] + "risk: high\nmitre_tactic: [a]\nslack:\nx_y: 1\n"
	_, mistakes, notes := load(t, rule.Options{}, map[string]string{"r.yaml": good, "defaults.yaml": "own_options: [risk, 'mitre_*']\n"})
	if mistakes != "" || notes != "r.yaml:6:1: note: slack: does nothing: it has no value" {
		t.Errorf("%s\n%s", mistakes, notes)
	}
	_, mistakes, _ = load(t, rule.Options{}, map[string]string{"r.yaml": good})
	compare(t, mistakes, `r.yaml:4:1: risk: there is no option of this name (if it is a name of your own, for people or for texts, write own_options: [risk] into defaults.yaml, or begin it with x_)
r.yaml:5:1: mitre_tactic: there is no option of this name (if it is a name of your own, for people or for texts, write own_options: [mitre_tactic] into defaults.yaml, or begin it with x_)`)
}

// compare shows the lines that differ; hints that are in the way are not a part of every line that is wanted.
func compare(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("line %d is\n  %s\nwant\n  %s", i+1, a, b)
		}
	}
}
