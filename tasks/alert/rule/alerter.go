package rule

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// alerts reads the alert list.
func (b *builder) alerts() {
	e, ok := b.all["alert"]
	if !ok {
		return
	}
	list := []*yaml.Node{e.value}
	if e.value.Kind == yaml.SequenceNode {
		list = e.value.Content
	}
	if len(list) == 0 && b.all["escalate"].value == nil {
		b.mistake(e.value, "alert", "name a channel of the configuration, or one of "+strings.Join(senderNames(), ", "), "nobody is told")
	}
	seen := map[string]bool{}
	for _, n := range list {
		n = yamlplace.Plain(n)
		switch {
		case n.Kind == yaml.ScalarNode && n.Tag != "!!null" && n.Value != "":
			if seen[n.Value] {
				b.mistake(n, "alert", "take it away", "%s stands here twice", n.Value)
				continue
			}
			seen[n.Value] = true
			b.alerter(n, entries{})
		case n.Kind == yaml.MappingNode && len(n.Content) == 2:
			own := yamlplace.Plain(n.Content[1])
			switch {
			case own.Kind == yaml.MappingNode:
				b.alerter(n.Content[0], b.pairs(own))
			case own.Tag == "!!null":
				b.alerter(n.Content[0], entries{})
			default:
				b.mistake(own, "alert", "", "the options of %s must be names with values", n.Content[0].Value)
			}
		case n.Kind == yaml.MappingNode:
			b.mistake(n, "alert", "each in an entry of its own: [{slack: {...}}, {email: {...}}]", "an entry has one name, and this has %d", len(n.Content)/2)
		default:
			b.mistake(n, "alert", "write a name, or {name: {options}}", "an entry must be a name, not %s", b.shownValue(n, nil))
		}
	}
}

// alerter reads an entry: n is its name.
func (b *builder) alerter(n *yaml.Node, own entries) {
	name := n.Value
	s, sends := senderNamed(name)
	channel := slices.Contains(b.o.Channels, name)
	missing := ""
	if sends {
		b.used = append(b.used, name)
		missing = b.missing(s, own)
	}
	switch why, hint := refusal(name); {
	case sends && missing == "" && (len(s.Needs) > 0 || !channel):
		b.sender(n, s, own)
	case channel, sends && b.o.Channels == nil:
		b.channel(n, own)
	case sends:
		b.mistake(n, "alert", "give it, or add a channel "+name+" to the configuration", "%s needs %s", name, missing)
	case why != "":
		b.used = append(b.used, name)
		b.mistake(n, "alert", hint, "%s", why)
	case b.o.Channels == nil:
		b.channel(n, own)
	default:
		b.mistake(n, "alert", or(yamlplace.DidYouMean(name, slices.Concat(b.o.Channels, senderNames())), "there are the channels "+strings.Join(b.o.Channels, ", ")), "there is no channel %q", name)
	}
}

// channel adds an entry that is a channel of the configuration.
func (b *builder) channel(n *yaml.Node, own entries) {
	if b.o.Channels == nil {
		hint := ""
		if _, sends := senderNamed(n.Value); !sends {
			hint = yamlplace.DidYouMean(n.Value, senderNames())
		}
		b.note(n, "alert", hint, "%s is taken for a channel of the configuration", n.Value)
	}
	a := Alerter{Channel: n.Value}
	whole := b.options(own, func(o *Option) bool { return o.isText() }, n.Value)
	if len(whole) > 0 {
		b.mistake(n, "alert", "write it in the rule, or name a sender with its options", "%s is a channel: what it is told is what all are told", n.Value)
	}
	b.entries = append(b.entries, n)
	b.rule.Alert = append(b.rule.Alert, a)
	b.whole = append(b.whole, whole)
}

// missing returns what a sender needs and does not have.
func (b *builder) missing(s Sender, own entries) string {
	for _, need := range s.Needs {
		if !slices.ContainsFunc(strings.Split(need, "|"), func(name string) bool {
			for _, e := range []entry{own[name], b.all[name]} {
				if e.value != nil && e.value.Tag != "!!null" && (e.value.Kind != yaml.ScalarNode || e.value.Value != "") {
					return true
				}
			}
			return false
		}) {
			return strings.ReplaceAll(need, "|", " or ")
		}
	}
	return ""
}

// sender adds an entry that says itself how it is sent.
func (b *builder) sender(n *yaml.Node, s Sender, own entries) {
	all := maps.Clone(own)
	for name, e := range b.all {
		if o, known := option(name); known && o.belongs(s.Name) && all[name].value == nil {
			all[name] = e
		}
	}
	before := b.mistakes
	whole := b.options(all, func(o *Option) bool { return o.belongs(s.Name) || o.isText() }, s.Name)
	if _, own := SplitTexts(whole); b.o.CheckSender != nil && b.mistakes == before {
		if err := b.o.CheckSender(s.Name, own); err != nil {
			b.mistake(n, "alert", "", "%s: %v", s.Name, err)
		}
	}
	a := Alerter{Type: s.Name}
	for name, v := range whole {
		if o, _ := option(name); o.Secret {
			a.Secrets = append(a.Secrets, name)
			continue
		}
		if a.Options == nil {
			a.Options = map[string]any{}
		}
		a.Options[name] = v
	}
	slices.Sort(a.Secrets)
	b.entries = append(b.entries, n)
	b.rule.Alert = append(b.rule.Alert, a)
	b.whole = append(b.whole, whole)
}

// options reads those of an entry that it takes.
func (b *builder) options(all entries, takes func(*Option) bool, sender string) map[string]any {
	whole := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e := all[name]
		o, known := option(name)
		switch {
		case free(name) || !known && (b.refs[name] || b.owned(name)):
		case !known:
			b.mistake(e.key, "alert."+sender+"."+name, yamlplace.DidYouMean(name, names()), "there is no option of this name")
		case o.Standing == Refused && harmless(name, e.value):
		case o.Standing == Refused:
			if o.Of != "" { // the others are looked at with the rule
				b.mistake(e.key, name, "take it away", "%s", "is not supported: "+o.Why)
			}
		case o.Standing == Elsewhere:
			if !e.inherited {
				b.note(e.key, name, secretHint(o), "does nothing here: %s", o.Why)
			}
		case !takes(o):
			b.note(e.key, name, "", "does nothing in an entry of %s", sender)
		default:
			v, ok := b.value(o, e.value)
			if !ok || v == nil {
				continue
			}
			if o.Secret && name != "smtp_auth_file" && b.filled[e.value] == "" && e.value.Kind == yaml.ScalarNode && !e.inherited {
				b.note(e.value, name, `write "@@NAME@@", or name a channel of the configuration`, "a secret stands in the file")
			}
			whole[name] = plainValue(b.resolve(o, v))
			if name == "smtp_auth_file" {
				b.login(e.value, whole)
			}
		}
	}
	return whole
}

// login reads the user and the password of a mail server from the file that a rule names.
func (b *builder) login(n *yaml.Node, whole map[string]any) {
	path := n.Value
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(b.of[n]), path)
	}
	content, err := readBounded(path)
	if err != nil {
		b.mistake(n, "smtp_auth_file", "or write smtp_user and smtp_password, or name a channel of the configuration", "the file cannot be read: %s", reason(err))
		return
	}
	var login struct{ User, Password string }
	if err := yaml.Unmarshal(content, &login); err != nil || login.User == "" || login.Password == "" {
		b.mistake(n, "smtp_auth_file", "user: NAME, and password: WORD in the next line", "the file must have user and password")
		return
	}
	whole["smtp_user"], whole["smtp_password"] = login.User, login.Password
}

// plainValue is a value as JSON has it, so that it is the same before and after a rule is frozen.
func plainValue(v any) any {
	if list, ok := v.([]string); ok {
		out := make([]any, len(list))
		for i := range list {
			out[i] = list[i]
		}
		return out
	}
	return v
}

// ladder reads the rungs of escalate.
func (l *loader) ladder(o *Option, n *yaml.Node) []Level {
	if n.Kind != yaml.SequenceNode {
		l.mistake(n, o.Name, "escalate: [{after: 10m, to: [email]}]", "must be a list, not %s", l.shownValue(n, o))
		return nil
	}
	var list []Level
	last := time.Duration(0)
	for i, c := range n.Content {
		c = yamlplace.Plain(c)
		path := fmt.Sprintf("%s[%d]", o.Name, i)
		if c.Kind != yaml.MappingNode {
			l.mistake(c, path, "write {after: 10m, to: [email]}", "must be names with values, not %s", l.shownValue(c, nil))
			continue
		}
		level := l.level(path, c)
		if level.After < last {
			l.mistake(c, path, "put the rungs in the order of their times", "comes before the rung above it")
		}
		last = level.After
		list = append(list, level)
	}
	if len(n.Content) == 0 {
		l.mistake(n, o.Name, "take it away, or write escalate: [{after: 10m, to: [email]}]", "has no rungs")
	}
	return list
}

func (l *loader) level(path string, n *yaml.Node) Level {
	var r Level
	all := l.pairs(n)
	known := []string{"after", "to", "until", "repeat", "repeats"}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e, at := all[name], path+"."+name
		switch name {
		case "after":
			r.After = l.duration(at, e.value)
		case "repeat":
			if r.Repeat = l.duration(at, e.value); r.Repeat == 0 {
				l.mistake(e.value, at, "take it away", "must be more than 0")
			}
		case "repeats":
			if r.Repeats, _ = l.number(&Option{Name: at, Kind: KindInt}, e.value).(int); r.Repeats < 0 {
				l.mistake(e.value, at, "", "must not be less than 0")
			}
		case "until":
			r.Until = l.text(&Option{Name: at, Kind: KindWord, Words: []string{"acked", "resolved"}}, e.value)
		case "to":
			for _, c := range l.strings(&Option{Name: at, Kind: KindStrings}, e.value) {
				if l.o.Channels != nil && !slices.Contains(l.o.Channels, c) {
					l.mistake(e.value, at, or(yamlplace.DidYouMean(c, l.o.Channels), "there are "+strings.Join(l.o.Channels, ", ")), "there is no channel %q", c)
				}
				r.To = append(r.To, c)
			}
		default:
			l.mistake(e.key, at, or(yamlplace.DidYouMean(name, known), "write "+strings.Join(known, ", ")), "is unknown here")
		}
	}
	if len(r.To) == 0 {
		l.mistake(n, path, "to: [email]", "says nobody to tell")
	}
	if r.Repeats > 0 && r.Repeat == 0 {
		l.mistake(n, path, "add repeat: 10m", "has repeats without repeat")
	}
	return r
}
