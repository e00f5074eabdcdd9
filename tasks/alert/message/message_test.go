package message_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/message"
	"github.com/stint-run/stint/tasks/alert/rule"
)

func match(t *testing.T, text string) condition.Match {
	t.Helper()
	var m condition.Match
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func ruleOf(typ string, change func(*rule.Rule)) *rule.Rule {
	r := &rule.Rule{Name: "slow checkout", Type: typ, Priority: 2, Owner: "shop team", Timestamp: rule.Timestamp{Field: "@timestamp"}, Timeframe: 5 * time.Minute}
	if change != nil {
		change(r)
	}
	return r
}

const event = `{"@timestamp": "2026-11-26T08:00:30Z", "host": "web-1", "took": 12.5, "n": 3, "none": null, "user": {"name": "bob", "tags": ["a", "b"]}, "empty": {}}`

const fields = `@timestamp: 2026-11-26T08:00:30Z
empty: {}
host: web-1
n: 3
none: None
took: 12.5
user: {
    "name": "bob",
    "tags": [
        "a",
        "b"
    ]
}
`

func TestATextHasTheLayoutOfElastAlert(t *testing.T) {
	t.Parallel()
	half := 0.5
	ten := 10.0
	four := 4
	for name, c := range map[string]struct {
		r       *rule.Rule
		matches []string
		subject string
		text    string
	}{
		"nothing said": {r: ruleOf(rule.Any, nil), matches: []string{event}, subject: "slow checkout", text: "slow checkout\n\n" + fields},
		"a key":        {r: ruleOf(rule.Any, func(r *rule.Rule) { r.QueryKey = []string{"user.name"}; r.Text.BodyType = message.ExcludeFields }), matches: []string{event}, subject: "slow checkout - bob", text: "slow checkout\n\n"},
		"a text of its own": {r: ruleOf(rule.Any, func(r *rule.Rule) { r.Text.Body = "look" }), matches: []string{event},
			subject: "slow checkout", text: "look\n\n" + fields},
		"frequency": {r: ruleOf(rule.Frequency, func(r *rule.Rule) { r.NumEvents = 50; r.Text.BodyType = message.ExcludeFields }), matches: []string{event}, subject: "slow checkout",
			text: "slow checkout\n\nAt least 50 events occurred between 2026-11-26 07:55 UTC and 2026-11-26 08:00 UTC\n\n"},
		"flatline": {r: ruleOf(rule.Flatline, func(r *rule.Rule) { r.Threshold = 2; r.Text.Body = "quiet"; r.Text.BodyType = message.ExcludeFields }), matches: []string{event}, subject: "slow checkout",
			text: "quiet\n\nAn abnormally low number of events occurred around 2026-11-26 08:00 UTC.\nBetween 2026-11-26 07:55 UTC and 2026-11-26 08:00 UTC, there were less than 2 events.\n\n"},
		"spike": {r: ruleOf(rule.Spike, func(r *rule.Rule) { r.Text.Body = "up"; r.Text.BodyType = message.ExcludeFields }), subject: "slow checkout",
			matches: []string{`{"@timestamp": "2026-11-26T08:00:00Z", "spike_count": 30, "reference_count": 3.7}`},
			text:    "up\n\nAn abnormal number (30) of events occurred around 2026-11-26 08:00 UTC.\nPreceding that time, there were only 3 events within 0:05:00\n\n"},
		"spike of a field": {r: ruleOf(rule.Spike, func(r *rule.Rule) { r.FieldValue = "took"; r.Text.Body = "up"; r.Text.BodyType = message.ExcludeFields }), subject: "slow checkout",
			matches: []string{`{"@timestamp": "2026-11-26T08:00:00Z", "spike_count": 30.125, "reference_count": 3}`},
			text:    "up\n\nAn abnormal average value (30.12) of field 'took' occurred around 2026-11-26 08:00 UTC.\nPreceding that time, the field had an average value of (3.00) within 0:05:00\n\n"},
		"spike of a metric": {r: ruleOf(rule.SpikeAggregation, func(r *rule.Rule) {
			r.MetricKey, r.MetricType, r.Timeframe = "took", "avg", 49*time.Hour
			r.Text.Body, r.Text.BodyType = "up", message.ExcludeFields
		}), subject: "slow checkout",
			matches: []string{`{"@timestamp": "2026-11-26T08:00:00Z", "spike_count": 30.456, "reference_count": 3}`},
			text:    "up\n\nAn abnormal avg of took (30.46) occurred around 2026-11-26 08:00 UTC.\nPreceding that time, there was a avg of took of (3) within 2 days, 1:00:00\n\n"},
		"cardinality": {r: ruleOf(rule.Cardinality, func(r *rule.Rule) {
			r.MaxCardinality, r.Cardinality = &four, "host"
			r.Text.Body, r.Text.BodyType = "many", message.ExcludeFields
		}), matches: []string{event}, subject: "slow checkout",
			text: "many\n\nA maximum of 4 unique host(s) occurred since last alert or between 2026-11-26 07:55 UTC and 2026-11-26 08:00 UTC\n\n"},
		"metric": {r: ruleOf(rule.MetricAggregation, func(r *rule.Rule) {
			r.MetricKey, r.MetricType, r.MaxThreshold = "took", "avg", &ten
			r.Text.Body, r.Text.BodyType = "slow", message.ExcludeFields
		}), subject: "slow checkout", matches: []string{`{"@timestamp": "2026-11-26T08:00:00Z", "metric_took_avg": 12.5}`},
			text: "slow\n\nThreshold violation, avg:took 12.5 (min: None max : 10) \n\n"},
		"percentage": {r: ruleOf(rule.PercentageMatch, func(r *rule.Rule) {
			r.MinPercentage, r.MaxPercentage = &half, &ten
			r.Text.Body, r.Text.BodyType = "share", message.ExcludeFields
		}), subject: "slow checkout", matches: []string{`{"@timestamp": "2026-11-26T08:00:00Z", "percentage": 33.333333333333336, "percentage_formatted": "33.3", "denominator": 30}`},
			text: "share\n\nPercentage violation, value: 33.3 (min: 0.5 max : 10) of 30 items\n\n"},
		"arguments": {r: ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Subject, r.Text.SubjectArgs = "{0} is slow: {1:.1f}s ({2})", []string{"host", "took", "owner"}
			r.Text.Body, r.Text.BodyArgs, r.Text.BodyType = "{0} {{x}} {1} {2} {3}", []string{"user.name", "gone", "priority", "user"}, message.TextOnly
		}), matches: []string{event}, subject: "web-1 is slow: 12.5s (shop team)", text: "bob {x} <MISSING VALUE> 2 {'name': 'bob', 'tags': ['a', 'b']}\n\n"},
		"named": {r: ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Body, r.Text.BodyKw, r.Text.BodyType, r.Text.MissingValue = "{who} on {host:>7}, {what}", map[string]any{"user.name": "who", "host": "host", "gone": "what"}, message.TextOnly, "?"
		}), matches: []string{event}, subject: "slow checkout", text: "bob on   web-1, ?\n\n"},
		"an option": {r: ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Subject, r.Text.Body, r.Text.BodyType = "$owner$", "$runbook$", message.TextOnly
		}), matches: []string{event}, subject: "shop team", text: "https://runbook\n\n"},
		"a format that is none": {r: ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Subject, r.Text.SubjectArgs = "slow {9}", []string{"host"}
			r.Text.Body, r.Text.BodyArgs, r.Text.BodyType = "slow {host}", []string{"host"}, message.TextOnly
		}), matches: []string{event}, subject: "slow {9}", text: "slow {host}\n[this text could not be filled in: {host}: nothing is named \"host\"]\n\n"},
		"jinja": {r: ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Subject = "{{ host | upper }} of {{ owner }}"
			r.Text.Body, r.Text.BodyType = "{{ _data['user']['name'] }}{% for t in user.tags %} {{ t }}{% endfor %}{{ gone }} {{ '%.1f' | format(took) }} {{ n + 1 }} {% if took > 10 %}slow{% endif %} {{ none }}", message.Jinja
		}), matches: []string{event}, subject: "WEB-1 of shop team", text: "bob a b 12.5 4 slow \n\n"},
		"several": {r: ruleOf(rule.Any, func(r *rule.Rule) { r.Text.Body, r.Text.BodyType = "look", message.TextOnly }), matches: []string{event, event}, subject: "slow checkout",
			text: "look\n\n\n----------------------------------------\nlook\n\n\n----------------------------------------\n"},
		"top events": {r: ruleOf(rule.Any, func(r *rule.Rule) { r.TopCountKeys = []string{"host", "user"}; r.Text.Body = "look" }), subject: "slow checkout",
			matches: []string{`{"@timestamp": "2026-11-26T08:00:00Z", "top_events_host": {"a": 2, "b": 11, "c": 2}, "top_events_user": {}}`},
			text:    "look\n\nhost:\nb: 11\na: 2\nc: 2\n\nuser:\nNo events found.\n\n@timestamp: 2026-11-26T08:00:00Z\n"},
		"cut subject": {r: ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Subject, r.Text.SubjectMaxLen, r.Text.Body, r.Text.BodyType = "Überlänge", 5, "x", message.TextOnly
		}), matches: []string{event}, subject: "Überl", text: "x\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var matches []condition.Match
			for _, m := range c.matches {
				matches = append(matches, match(t, m))
			}
			subject, text := message.Render(c.r, matches, message.Extra{Options: map[string]any{"runbook": "https://runbook"}})
			if subject != c.subject {
				t.Errorf("the subject is %q, want %q", subject, c.subject)
			}
			if text != c.text {
				t.Errorf("the text is\n%q, want\n%q", text, c.text)
			}
		})
	}
}

func TestMatchesThatAreToldTogetherAreCounted(t *testing.T) {
	t.Parallel()
	var matches []condition.Match
	for _, abc := range []string{"cde from match", "abc from match", "abc from match", "abc from match", "cde from match"} {
		matches = append(matches, match(t, fmt.Sprintf(`{"field": "field_value", "abc": %q}`, abc)))
	}
	const head = "Aggregation resulted in the following data for summary_table_fields ==> ['field', 'abc', 'count']:\n\n"
	for name, c := range map[string]struct {
		change func(*rule.Text)
		want   string
	}{
		"ascii": {func(*rule.Text) {}, head + `+-------------+----------------+-------+
|    field    |      abc       | count |
+=============+================+=======+
| field_value | cde from match | 2     |
+-------------+----------------+-------+
| field_value | abc from match | 3     |
+-------------+----------------+-------+

`},
		"the first": {func(x *rule.Text) { x.SummaryMax, x.SummaryPrefix, x.SummarySuffix = 1, "before", "after" }, "before\n" + head + `+-------------+----------------+-------+
|    field    |      abc       | count |
+=============+================+=======+
| field_value | abc from match | 3     |
+-------------+----------------+-------+

Showing top 1 rows
after`},
		"markdown": {func(x *rule.Text) { x.SummaryType = "markdown" }, head + "| field | abc | count |\n|-----|-----|-----|\n| field_value | cde from match | 2 |\n| field_value | abc from match | 3 |\n\n"},
		"html": {func(x *rule.Text) { x.SummaryType, x.SummaryFields = "html", []string{"field"} }, `<table frame="box" rules="all">
    <thead>
        <tr>
            <th style="padding-left: 1em; padding-right: 1em; text-align: center">field</th>
            <th style="padding-left: 1em; padding-right: 1em; text-align: center">count</th>
        </tr>
    </thead>
    <tbody>
        <tr>
            <td style="padding-left: 1em; padding-right: 1em; text-align: center; vertical-align: top">field_value</td>
            <td style="padding-left: 1em; padding-right: 1em; text-align: center; vertical-align: top">5</td>
        </tr>
    </tbody>
</table>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := ruleOf(rule.Any, func(r *rule.Rule) {
				r.Aggregation.For = time.Minute
				r.Text.SummaryFields, r.Text.BodyType = []string{"field", "abc"}, message.SummaryOnly
				c.change(&r.Text)
			})
			if _, text := message.Render(r, matches, message.Extra{}); text != c.want {
				t.Errorf("got\n%s\nwant\n%s", text, c.want)
			}
		})
	}
	r := ruleOf(rule.Any, func(r *rule.Rule) {
		r.Aggregation.For = time.Minute
		r.Text.SummaryFields, r.Text.BodyType = []string{"url", "n"}, message.SummaryOnly
	})
	_, text := message.Render(r, []condition.Match{{"url": "https://shop.example.com/checkout/" + strings.Repeat("x", 60) + " and some words that go on"}}, message.Extra{})
	lines := strings.Split(strings.TrimSpace(text), "\n")[2:]
	for _, line := range lines {
		if len(line) != 80 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
	if len(lines) != 6 {
		t.Errorf("\n%s", text)
	}
}

func TestTextsAreBounded(t *testing.T) {
	t.Parallel()
	r := ruleOf(rule.Any, func(r *rule.Rule) {
		r.Text.Subject, r.Text.SubjectArgs, r.Text.SubjectMaxLen = "{0}", []string{"long"}, 100_000
	})
	var matches []condition.Match
	for range 1000 {
		matches = append(matches, condition.Match{"long": strings.Repeat("ü", 5000)})
	}
	subject, text := message.Render(r, matches, message.Extra{})
	if len(subject) != message.MaxSubject || len(text) > message.MaxText || len(text) < message.MaxText-10 || !strings.HasSuffix(text, "\n[cut here: a text has at most 64 KiB; there were 1000 matches]\n") {
		t.Errorf("%d, %d: %s", len(subject), len(text), text[len(text)-100:])
	}
	r = ruleOf(rule.Any, func(r *rule.Rule) {
		r.Text.Body, r.Text.BodyType = "{% for i in range(9999) %}{% for j in range(9999) %}xxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}", message.Jinja
	})
	if _, text := message.Render(r, matches[:1], message.Extra{}); len(text) > message.MaxText || !strings.Contains(text, "cut here") {
		t.Errorf("%d", len(text))
	}
	if subject, text := message.Render(ruleOf(rule.Any, nil), nil, message.Extra{}); subject != "slow checkout" || text != "" {
		t.Errorf("%q %q", subject, text)
	}
}

func TestATemplateReadsNoFilesAndEndsNoProcess(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{% include '/etc/passwd' %}", "{% include 'jinja.go' %}", "{{ range(99999999) }}", "{{ 1 / 0 }}", "{{ x.y.z() }}", "{% if %}", "{{ range(1, 5, 0) | list }}"} {
		r := ruleOf(rule.Any, func(r *rule.Rule) { r.Text.Body, r.Text.BodyType = text, message.Jinja })
		if _, got := message.Render(r, []condition.Match{{}}, message.Extra{}); strings.Contains(got, "root:") || strings.Contains(got, "package message") {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestAMistakeInATextIsFoundWithoutAMatch(t *testing.T) {
	t.Parallel()
	for want, x := range map[string]rule.Text{
		"":                                       {Body: "{0} {1[a]} {2:d}", BodyArgs: []string{"a", "b", "c"}},
		"alert_text: {1}: there are 1":           {Body: "{1}", BodyArgs: []string{"a"}},
		"alert_subject: {who}: nothing is named": {Subject: "{who}", SubjectArgs: []string{"a"}},
		"alert_text: the template cannot be read": {Body: "{% if %}", BodyType: message.Jinja},
		"alert_text: {x}: nothing is named":       {Body: "{x}", BodyKw: map[string]any{"a": "y"}},
		"alert_text: {0:q}: the format":           {Body: "{0:q}", BodyArgs: []string{"a"}},
		"'%.1f' | format(took)":                   {Body: "{% if x == 'a' %}{{ '%.1f' % took }}{% endif %}", BodyType: message.Jinja},
		"has a single { or }":                     {Body: "{0", BodyArgs: []string{"a"}},
	} {
		option, err := message.Check(ruleOf(rule.Any, func(r *rule.Rule) { r.Text = x }))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(option+": "+err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestHowBadARuleIsFollowsFromItsPriority(t *testing.T) {
	t.Parallel()
	for priority, want := range map[int]string{0: "error", 1: "critical", 2: "error", 3: "warning", 4: "info", 5: "info"} {
		if got := message.Severity(&rule.Rule{Priority: priority}, message.Extra{}); got != want {
			t.Errorf("%d: %s, want %s", priority, got, want)
		}
	}
	if got := message.Severity(&rule.Rule{Priority: 1}, message.Extra{Options: map[string]any{"severity": "info"}}); got != "info" {
		t.Errorf("%s", got)
	}
}

func TestWhatBecomesOfAnAlertIsToldInASentence(t *testing.T) {
	t.Parallel()
	o := message.Open{Subject: "slow checkout", Text: "p99 is high\n", For: 10*time.Minute + 2*time.Second, Times: 3}
	until := time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)
	two := func(subject, text string) string { return subject + "|" + text }
	for want, got := range map[string]string{
		"[open for 10 minutes] slow checkout|Still open after 10 minutes, nobody has taken it.\n\np99 is high\n":                                     two(message.Escalated(o, "")),
		"[open for 10 minutes] slow checkout|Still open after 10 minutes, although ann has taken it.\n\np99 is high\n":                               two(message.Escalated(o, "ann")),
		"[still open] slow checkout|Still open after 10 minutes; it has happened 3 times.\n\np99 is high\n":                                          two(message.Repeated(o)),
		"[taken] slow checkout|Taken by ann after 10 minutes, until 2026-11-26 09:00 UTC.\nlooking\n":                                                two(message.Acknowledged(o, "ann", "looking", until)),
		"[taken] slow checkout|Taken by somebody with the link after 10 minutes.\n":                                                                  two(message.Acknowledged(o, "", "", time.Time{})),
		"[over] slow checkout|Over after 10 minutes: the rule matches no more. It had happened 3 times.\n":                                           two(message.Resolved(o, "", "")),
		"[over] slow checkout|Over after 10 minutes, says ann. It had happened 3 times.\nmended\n":                                                   two(message.Resolved(o, "ann", "mended")),
		"[rule works again] r|The rule r is evaluated again, after 1 hour 5 minutes.\n":                                                              two(message.Mended("r", 65*time.Minute)),
		"stint watches|3 rules are evaluated; the one that is furthest behind is so by 45 seconds. 1 alert is open.\n":                               two(message.Alive(3, 1, 45*time.Second)),
		"7 more alerts were held back|This channel takes 5 messages a minute. 7 further alerts were not told here; `stint alert list` shows them.\n": two(message.Dropped(7, 5)),
	} {
		if got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	if s, text := message.Failing("r", "connection refused", "start it", until, 90*time.Second); s != "[rule fails] r" || !strings.HasPrefix(text, "The rule r has not been evaluated since 2026-11-26 09:00 UTC (1 minute 30 seconds behind):\nconnection refused\nstart it\n") {
		t.Errorf("%s %s", s, text)
	}
	if s, text := message.Silent("r", time.Time{}, 5*time.Minute); s != "[rule stands still] r" || !strings.HasPrefix(text, "The rule r has never been evaluated, and should be each 5 minutes.") {
		t.Errorf("%s %s", s, text)
	}
	for d, want := range map[time.Duration]string{0: "0 seconds", time.Second: "1 second", 90 * time.Second: "1 minute 30 seconds", 26 * time.Hour: "1 day 2 hours", 24*time.Hour + time.Minute: "1 day", 48 * time.Hour: "2 days"} {
		if got := message.Span(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}
