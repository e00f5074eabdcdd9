package rule

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// shownValue is a scalar as a message may quote it: tokens stay names, and secrets are not shown.
func (l *loader) shownValue(n *yaml.Node, o *Option) string {
	text := n.Value
	if raw, ok := l.filled[n]; ok {
		text = raw
	}
	switch {
	case n.Kind == yaml.MappingNode:
		return "names with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case o != nil && o.Secret:
		return "what is there"
	}
	if r := []rune(text); len(r) > 40 {
		text = string(r[:39]) + "…"
	}
	return strconv.Quote(text)
}

// read turns a node into the value of an option: string, int, float64, bool, []string, []any, time.Duration, Aggregation,
// map[string]any, []Field, []map[string]any, []Level. ok is false where it is not of its kind, which has been taken down then.
func (l *loader) value(o *Option, n *yaml.Node) (v any, ok bool) {
	before := l.mistakes
	if l.variables(o.Name, n); l.mistakes > before {
		return nil, false
	}
	switch o.Kind {
	case KindString, KindWord, KindCron:
		v = l.text(o, n)
	case KindInt, KindNumber:
		v = l.number(o, n)
	case KindBool:
		b, is := boolean(n, l.whole[n])
		if !is {
			l.mistake(n, o.Name, "write true or false", "must be true or false, not %s", l.shownValue(n, o))
		}
		v = b
	case KindStrings, KindList:
		v = l.strings(o, n)
	case KindValues:
		v = l.values(o, n)
	case KindDuration:
		v = l.duration(o.Name, n)
	case KindWindow:
		v = l.window(o, n)
	case KindMap:
		if n.Kind != yaml.MappingNode {
			l.mistake(n, o.Name, "", "must be names with values, not %s", l.shownValue(n, o))
			return nil, false
		}
		v = l.generic(n)
	case KindFields:
		v = l.fields(o, n)
	case KindFilters:
		v = l.filters(o.Name, n)
	case KindLadder:
		v = l.ladder(o, n)
	case KindAny, KindAlerts:
		v = l.generic(n)
	}
	return v, l.mistakes == before
}

// text reads one value as a text. A number stands for what is written.
func (l *loader) text(o *Option, n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode && o.Name == "index":
		l.mistake(n, o.Name, "write them with commas: a-*,b-*", "must be a text, not a list")
	case n.Kind != yaml.ScalarNode:
		l.mistake(n, o.Name, "", "must be a text, not %s", l.shownValue(n, o))
	case n.Tag == "!!null":
		l.mistake(n, o.Name, "give it a value, or take it away", "is empty")
	case n.Tag == "!!bool":
		l.mistake(n, o.Name, "put it in quotes, if it is meant", "must be a text, not %s", l.shownValue(n, o))
	case o.Kind == KindWord && o.Name == "timestamp_type":
		return l.word(o, n, strings.ToLower(strings.TrimSpace(n.Value)))
	case o.Kind == KindWord:
		return l.word(o, n, n.Value)
	case o.Kind == KindCron:
		if _, err := ParseCron(n.Value); err != nil {
			l.mistake(n, o.Name, "minute hour day month weekday: */10 8-18 * * 1-5", "%v", err)
		}
	}
	return n.Value
}

func (l *loader) word(o *Option, n *yaml.Node, text string) string {
	if !slices.Contains(o.Words, text) {
		l.mistake(n, o.Name, or(yamlplace.DidYouMean(text, o.Words), "write one of "+strings.Join(o.Words, ", ")), "%s is none of %s", l.shownValue(n, o), strings.Join(o.Words, ", "))
	}
	return text
}

// boolean reads true and false as YAML 1.1 has them, which ElastAlert reads.
func boolean(n *yaml.Node, token bool) (v, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && !token {
		return false, false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}

// number reads an int or a float64, as the option has it.
func (l *loader) number(o *Option, n *yaml.Node) any {
	if text, ok := numeral(n, l.whole[n]); ok {
		if f, err := strconv.ParseFloat(text, 64); err == nil && o.Kind == KindNumber {
			return f
		}
		if i, err := strconv.Atoi(text); err == nil && o.Kind == KindInt {
			return i
		}
	}
	l.mistake(n, o.Name, "", "must be a %s, not %s", o.Kind, l.shownValue(n, o))
	return 0
}

// numeral returns a number as JSON writes it.
func numeral(n *yaml.Node, token bool) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" && !token {
		return "", false
	}
	var i int64
	var u uint64
	var f float64
	bare := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value} // a token's value is in quotes
	switch {
	case json.Valid([]byte(n.Value)) && !strings.ContainsAny(n.Value, "\"{[tfn"):
		return strings.TrimSpace(n.Value), true
	case bare.Decode(&i) == nil:
		return strconv.FormatInt(i, 10), true
	case bare.Decode(&u) == nil:
		return strconv.FormatUint(u, 10), true
	case bare.Decode(&f) == nil && !math.IsNaN(f) && !math.IsInf(f, 0):
		return strconv.FormatFloat(f, 'g', -1, 64), true
	}
	return "", false
}

func (l *loader) strings(o *Option, n *yaml.Node) []string {
	one := *o
	one.Kind = KindString
	switch {
	case n.Kind == yaml.SequenceNode:
		list := make([]string, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, l.text(&one, yamlplace.Plain(c)))
		}
		return list
	case o.Kind == KindList:
		hint := ""
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" && !o.Secret {
			hint = "write " + o.Name + ": [" + strings.Trim(l.shownValue(n, o), `"`) + "]"
		}
		l.mistake(n, o.Name, hint, "must be a list, not %s", l.shownValue(n, o))
		return nil
	}
	return []string{l.text(&one, n)}
}

// values reads the list of a blacklist, with the lines of the files that it names.
func (l *loader) values(o *Option, n *yaml.Node) []any {
	if n.Kind != yaml.SequenceNode {
		l.mistake(n, o.Name, "write a list: ["+strings.Trim(l.shownValue(n, o), `"`)+"]", "must be a list, not %s", l.shownValue(n, o))
		return nil
	}
	list := []any{}
	for _, c := range n.Content {
		c = yamlplace.Plain(c)
		path, isFile := strings.CutPrefix(c.Value, "!file")
		if c.Tag == "!file" {
			path, isFile = c.Value, true
		}
		switch {
		case c.Kind != yaml.ScalarNode || c.Tag == "!!null":
			l.mistake(c, o.Name, "", "a value must be a text, a number, true or false, not %s", l.shownValue(c, o))
		case isFile:
			list = append(list, l.lines(o, c, strings.TrimSpace(path))...)
		default:
			list = append(list, l.generic(c))
		}
	}
	return list
}

// lines are those of a file, without those that are empty.
func (l *loader) lines(o *Option, n *yaml.Node, path string) []any {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(l.of[n]), path)
	}
	content, err := readBounded(path)
	if err != nil || path == filepath.Dir(l.of[n]) {
		if err == nil {
			err = os.ErrInvalid
		}
		l.mistake(n, o.Name, "the path is relative to the rule's file", "the file of its values cannot be read: %s", reason(err))
		return nil
	}
	var list []any
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// generic reads a value of any form. Numbers are json.Number; yes, no, on and off are what ElastAlert reads them as.
func (l *loader) generic(n *yaml.Node) any {
	n = yamlplace.Plain(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for name, e := range l.pairs(n) {
			m[name] = l.generic(e.value)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = l.generic(c)
		}
		return list
	}
	if n.Tag == "!!null" {
		return nil
	}
	if b, ok := boolean(n, false); ok {
		return b
	}
	if text, ok := numeral(n, false); ok {
		return json.Number(text)
	}
	return n.Value
}

var units = map[string]time.Duration{"weeks": 7 * 24 * time.Hour, "days": 24 * time.Hour, "hours": time.Hour, "minutes": time.Minute, "seconds": time.Second, "milliseconds": time.Millisecond}

var unitNames = []string{"weeks", "days", "hours", "minutes", "seconds", "milliseconds"}

// longest bounds a duration: what is longer is a slip.
const longest = 100 * 365 * 24 * time.Hour

// duration reads {minutes: 5, seconds: 30} or 5m30s.
func (l *loader) duration(name string, n *yaml.Node) time.Duration {
	const hint = "write {minutes: 5}, or 5m"
	total := 0.0
	switch n.Kind {
	case yaml.ScalarNode:
		d, err := parseDuration(n.Value)
		if err != nil || n.Tag == "!!null" {
			l.mistake(n, name, hint, "must be a duration, not %s", l.shownValue(n, nil))
			return 0
		}
		total = d
	case yaml.MappingNode:
		all := l.pairs(n)
		if len(all) == 0 {
			l.mistake(n, name, hint, "must be a duration, not nothing")
		}
		for unit, e := range all {
			text, ok := numeral(e.value, l.whole[e.value])
			f, err := strconv.ParseFloat(text, 64)
			switch {
			case units[unit] == 0:
				l.mistake(e.key, name, or(yamlplace.DidYouMean(unit, unitNames), hint), "%q is none of %s", unit, strings.Join(unitNames, ", "))
			case !ok || err != nil:
				l.mistake(e.value, name, hint, "%s: must be a number, not %s", unit, l.shownValue(e.value, nil))
			case f < 0:
				l.mistake(e.value, name, "", "%s: must not be less than 0", unit)
			default:
				total += f * float64(units[unit])
			}
		}
	default:
		l.mistake(n, name, hint, "must be a duration, not a list")
	}
	switch {
	case total < 0:
		l.mistake(n, name, "", "must not be less than 0")
	case total > float64(longest):
		l.mistake(n, name, "", "is more than 100 years")
		return 0
	}
	return time.Duration(math.Round(total))
}

var durationPart = regexp.MustCompile(`^(\d+(?:\.\d*)?|\.\d+)(ms|[wdhms])`)

// parseDuration reads 1d12h, 5m, 1.5s, 100ms, and 0, in nanoseconds.
func parseDuration(text string) (float64, error) {
	rest, sign := strings.TrimSpace(text), 1.0
	if after, ok := strings.CutPrefix(rest, "-"); ok {
		rest, sign = after, -1
	}
	switch rest {
	case "0":
		return 0, nil
	case "":
		return 0, errors.New("is empty")
	}
	total := 0.0
	for rest != "" {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, fmt.Errorf("%q is no duration", text)
		}
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, err
		}
		unit := map[string]time.Duration{"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond}[m[2]]
		total += f * float64(unit)
		rest = rest[len(m[0]):]
	}
	return sign * total, nil
}

// window reads a duration, or {schedule: "0 9 * * *"}.
func (l *loader) window(o *Option, n *yaml.Node) Aggregation {
	if n.Kind == yaml.MappingNode {
		if e, ok := l.pairs(n)["schedule"]; ok {
			if len(l.pairs(n)) > 1 {
				l.mistake(n, o.Name, "choose one", "has a schedule and a duration")
			}
			return Aggregation{Schedule: l.text(&Option{Name: o.Name + ".schedule", Kind: KindCron}, e.value)}
		}
	}
	return Aggregation{For: l.duration(o.Name, n)}
}

// fields reads those of new_term.
func (l *loader) fields(o *Option, n *yaml.Node) []Field {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	out := make([]Field, 0, len(list))
	for _, c := range list {
		if f := l.strings(&Option{Name: o.Name, Kind: KindStrings}, yamlplace.Plain(c)); len(f) > 0 {
			out = append(out, f)
		}
	}
	return out
}
