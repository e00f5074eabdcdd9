// Package message writes what people are told of alerts: the subject and text of a rule's matches, with ElastAlert's options and in its
// layout, and what is said when an alert is taken, is over, or gets louder, and when a rule itself is in trouble.
//
// The links with which an alert is taken and shown are no part of a text: each channel has its own form for them.
package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/template"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// The sizes that no message goes beyond, in bytes.
const (
	MaxSubject = 2 << 10
	MaxText    = 64 << 10
)

// The ways in which a text is put together, ElastAlert's alert_text_type; "" is everything.
const (
	TextOnly      = "alert_text_only"
	ExcludeFields = "exclude_fields"
	SummaryOnly   = "aggregation_summary_only"
	Jinja         = "alert_text_jinja"
)

// missing stands for a value that neither match nor rule has.
const missing = "<MISSING VALUE>"

// separator stands between matches that are told together.
const separator = "\n----------------------------------------\n"

// Extra is what a text can say besides what rule and matches do. The zero value is nothing.
type Extra struct {
	// Options are further options of the rule's file, to which texts may refer; they go before those of the rule.
	Options map[string]any
	// Zone is that of times in the sentences of the rule types; nil is UTC.
	Zone *time.Location
}

// Render writes subject and text of matches that are told together, of which there is at least one; none are no more than the rule's
// name. A text whose format cannot be filled in is told as it stands, and says why: an alert with an ugly text is better than none.
func Render(r *rule.Rule, matches []condition.Match, x Extra) (subject, text string) {
	w := &writer{r: r, zone: x.Zone, options: options(r, x.Options)}
	return w.subject(matches), w.body(matches)
}

// Check says what is wrong with a rule's texts, as far as that can be seen without a match.
func Check(r *rule.Rule) error {
	w := &writer{r: r, options: options(r, nil)}
	if r.Text.BodyType == Jinja {
		for option, text := range map[string]string{"alert_text": r.Text.Body, "alert_subject": r.Text.Subject} {
			if _, err := template.ParseJinja(dereference(text, w.options)); err != nil {
				return fmt.Errorf("%s: %w", option, err)
			}
		}
		return nil
	}
	if _, err := w.filled(r.Text.Subject, r.Text.SubjectArgs, nil, nil); err != nil && structural(err) {
		return fmt.Errorf("alert_subject: %w", err)
	}
	if _, err := w.filled(r.Text.Body, r.Text.BodyArgs, r.Text.BodyKw, nil); err != nil && structural(err) {
		return fmt.Errorf("alert_text: %w", err)
	}
	return nil
}

// structural reports whether a format fails for what it is, and not for the values that it was tried with.
func structural(err error) bool {
	for _, ofValues := range []string{"it has ", "is for numbers", "is for texts", "not for this number"} {
		if strings.Contains(err.Error(), ofValues) {
			return false
		}
	}
	return true
}

// Severity is how bad a rule is: critical, error, warning or info, by its option severity, or else by its priority, of which 1 is the
// worst.
func Severity(r *rule.Rule, x Extra) string {
	if s, _ := x.Options["severity"].(string); slices.Contains([]string{"critical", "error", "warning", "info"}, s) {
		return s
	}
	switch {
	case r.Priority == 1:
		return "critical"
	case r.Priority == 3:
		return "warning"
	case r.Priority > 3:
		return "info"
	}
	return "error"
}

// writer writes the texts of one rule.
type writer struct {
	r       *rule.Rule
	zone    *time.Location
	options map[string]any
}

func (w *writer) subject(matches []condition.Match) string {
	text := w.r.Text
	if text.Subject == "" {
		subject := w.r.Name
		if len(matches) > 0 && w.r.Key() != "" {
			if v := document.Value(matches[0], w.r.Key()); truthy(v) {
				subject += " - " + document.Text(v)
			}
		}
		return bounded(subject, MaxSubject)
	}
	subject := dereference(text.Subject, w.options)
	if len(matches) > 0 {
		var filled string
		var err error
		switch {
		case len(text.SubjectArgs) > 0:
			filled, err = w.filled(text.Subject, text.SubjectArgs, nil, matches[0])
		case text.BodyType == Jinja:
			filled, err = w.jinja(subject, matches[0])
		default:
			filled = subject
		}
		if err == nil {
			subject = filled
		}
	}
	most := text.SubjectMaxLen
	if most <= 0 {
		most = MaxSubject
	}
	if utf8.RuneCountInString(subject) > most {
		subject = string([]rune(subject)[:most])
	}
	return bounded(subject, MaxSubject)
}

func (w *writer) body(matches []condition.Match) string {
	var b strings.Builder
	b.WriteString(w.summary(matches))
	if w.r.Text.BodyType == SummaryOnly {
		return note(b.String(), 0, 0)
	}
	for i, m := range matches {
		if b.Len() > MaxText {
			return note(b.String(), i, len(matches))
		}
		b.WriteString(w.match(m))
		if len(matches) > 1 {
			b.WriteString(separator)
		}
	}
	return note(b.String(), len(matches), len(matches))
}

// note cuts a text to its size, and says what is missing.
func note(text string, written, of int) string {
	if len(text) <= MaxText && written >= of {
		return text
	}
	said := fmt.Sprintf("\n[cut here: a text has at most %d KiB", MaxText>>10)
	if of > 1 {
		said += fmt.Sprintf("; there were %d matches", of)
	}
	said += "]\n"
	return bounded(text, MaxText-len(said)) + said
}

// bounded is as much of a text as has room, in whole characters.
func bounded(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// match writes one match.
func (w *writer) match(m condition.Match) string {
	var b strings.Builder
	end := func() { // with an empty line
		for !strings.HasSuffix(b.String(), "\n\n") {
			b.WriteByte('\n')
		}
	}
	if w.r.Text.Body == "" {
		b.WriteString(w.r.Name + "\n\n")
	}
	b.WriteString(w.custom(m))
	end()
	if t := w.r.Text.BodyType; t == TextOnly || t == Jinja {
		return b.String()
	}
	b.WriteString(w.sentence(m))
	end()
	if len(w.r.TopCountKeys) > 0 {
		topCounts(&b, m)
	}
	if w.r.Text.BodyType != ExcludeFields {
		items(&b, m)
	}
	return b.String()
}

// custom is the rule's own text.
func (w *writer) custom(m condition.Match) string {
	text := w.r.Text
	body := dereference(text.Body, w.options)
	var filled string
	var err error
	if text.BodyType == Jinja {
		filled, err = w.jinja(body, m)
	} else {
		filled, err = w.filled(text.Body, text.BodyArgs, text.BodyKw, m)
	}
	if err != nil {
		return body + "\n[this text could not be filled in: " + err.Error() + "]"
	}
	return filled
}

// filled puts values into a text, if it has any.
func (w *writer) filled(text string, args []string, kw map[string]any, m condition.Match) (string, error) {
	text = dereference(text, w.options)
	switch {
	case len(args) > 0:
		values := make([]any, len(args))
		for i, arg := range args {
			arg = dereference(arg, w.options)
			v := document.Value(m, arg)
			if v == nil && truthy(w.options[arg]) {
				v = w.options[arg]
			}
			values[i] = w.orMissing(v)
		}
		return template.Format(text, values, nil)
	case len(kw) > 0:
		named := make(map[string]any, len(kw))
		for field, name := range kw {
			v := document.Value(m, field)
			if v == nil {
				v = w.options[field]
			}
			named[document.Text(name)] = w.orMissing(v)
		}
		return template.Format(text, nil, named)
	}
	return text, nil
}

// jinja fills in a template with the fields of a match, and the options of the rule where those have none of that name.
func (w *writer) jinja(text string, m condition.Match) (string, error) {
	t, err := template.ParseJinja(text)
	if err != nil {
		return "", err
	}
	values := make(map[string]any, len(w.options)+len(m)+2)
	maps.Copy(values, w.options)
	maps.Copy(values, m)
	root, _ := w.options["jinja_root_name"].(string)
	return t.Fill(values, root, MaxText)
}

func (w *writer) orMissing(v any) any {
	switch {
	case v != nil:
		return v
	case w.r.Text.MissingValue != "":
		return w.r.Text.MissingValue
	}
	return missing
}

const topEvents = "top_events_"

// topCounts writes what was most often in the top_count_keys.
func topCounts(b *strings.Builder, m condition.Match) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		field, is := strings.CutPrefix(key, topEvents)
		counts, isMap := m[key].(map[string]any)
		if !is || !isMap {
			continue
		}
		b.WriteString(field + ":\n")
		if len(counts) == 0 {
			b.WriteString("No events found.\n")
		}
		terms := slices.Sorted(maps.Keys(counts))
		sort.SliceStable(terms, func(i, j int) bool { return number(counts[terms[i]]) > number(counts[terms[j]]) })
		for _, term := range terms {
			b.WriteString(term + ": " + document.Text(counts[term]) + "\n")
		}
		b.WriteByte('\n')
	}
}

// items writes the fields of a match.
func items(b *strings.Builder, m condition.Match) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(key, topEvents) {
			continue
		}
		text := document.Text(m[key])
		switch m[key].(type) {
		case map[string]any, []any:
			var j bytes.Buffer
			e := json.NewEncoder(&j)
			e.SetEscapeHTML(false)
			e.SetIndent("", "    ")
			if e.Encode(m[key]) == nil {
				text = strings.TrimSuffix(j.String(), "\n")
			}
		}
		b.WriteString(key + ": " + text + "\n")
	}
}
