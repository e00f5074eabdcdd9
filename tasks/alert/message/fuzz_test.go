package message_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/message"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// An alert is told whatever its rule's text is, and whatever its matches are like.
func FuzzAnyTextIsTold(f *testing.F) {
	for _, doc := range []string{`{}`, `{"a": null, "@timestamp": 5}`, `{"a": [{"b": 1}], "top_events_a": {"x": "y"}, "key": {}}`, `{"a": "é\u0000", "spike_count": "many", "@timestamp": "yesterday"}`} {
		for _, text := range []string{"{0} {0[b]} {0:>9}", "{a}", "{{ a }} {% if a %}{{ a.b }}{% endif %}", "$a$", "{0!r:.3}"} {
			f.Add(text, "a", []byte(doc))
		}
	}
	f.Fuzz(func(t *testing.T, text, arg string, raw []byte) {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		var m condition.Match
		if strings.Contains(text, "range") || strings.Contains(text, "*") || d.Decode(&m) != nil { // such texts may count for long
			return
		}
		for _, typ := range rule.TypesOfRules {
			for _, way := range []string{"", message.TextOnly, message.ExcludeFields, message.SummaryOnly, message.Jinja} {
				r := &rule.Rule{Name: "r", Type: typ, QueryKey: []string{arg}, TopCountKeys: []string{arg}, Timestamp: rule.Timestamp{Field: "@timestamp"}, Aggregation: rule.Aggregation{For: time.Minute},
					Text: rule.Text{Subject: text, SubjectArgs: []string{arg}, Body: text, BodyArgs: []string{arg}, BodyType: way, SummaryFields: []string{arg}}}
				subject, body := message.Render(r, []condition.Match{m, nil, m}, message.Extra{Options: map[string]any{arg: text}})
				if len(subject) > message.MaxSubject || len(body) > message.MaxText || utf8.ValidString(text) && utf8.Valid(raw) && utf8.ValidString(arg) && !utf8.ValidString(subject+body) {
					t.Errorf("%d and %d bytes: %q %q", len(subject), len(body), subject, body)
				}
				_, _ = message.Check(r)
			}
		}
	})
}
