package config

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// namedList is a key whose value is a list of things that have names: connections, tenants, schedules, webhooks, channels, tables. A later layer lays
// single parts over the item of the same name. Names are values and not keys, because they are the user's own words.
type namedList struct {
	key      string // connections
	one      string // connection, for messages
	fits     func(name string) bool
	nameHint string
	index    []int   // of the slice in Config
	parts    []field // but for the name; their keys are single words, or two with a dot
	// fresh returns a pointer to an item of which nothing is set. The rest of the Config is there already.
	fresh func(c *Config) any
}

// namedLists are all of them, in the order of the struct.
var namedLists = []*namedList{
	list("connections", "connection", `^[A-Za-z_][A-Za-z0-9_.-]*$`, math.MaxInt, "use letters, digits, _, - and .",
		func(*Config) any { return &Connection{} }),
	list("tenants", "tenant", `^[A-Za-z0-9_][A-Za-z0-9_.-]*$`, 64, "use letters, digits, _, - and ., at most 64",
		func(c *Config) any { return &Tenant{Limits: c.Limits} }),
	list("schedules", "schedule", `^[a-z0-9][a-z0-9._-]*$`, 64, "use a-z, digits, _, - and ., at most 64",
		func(*Config) any { s := defaultSchedule; return &s }),
	list("webhooks", "webhook", `^[a-z0-9][a-z0-9._-]*$`, 64, "use a-z, digits, _, - and ., at most 64",
		func(*Config) any { return &Webhook{} }),
	list("alerts.channels", "channel", `^[a-z0-9][a-z0-9._-]*$`, 64, "use a-z, digits, _, - and ., at most 64",
		func(*Config) any { return &AlertChannel{} }),
	list("dedupe.layout.tables", "table", `^[\pL_][\pL\d_$#.]*$`, 128, "use letters, digits, _, $, # and ., at most 128",
		func(*Config) any { return &DedupeTable{} }),
	list("builds.credentials", "credential", `^[a-z0-9][a-z0-9._-]*$`, 64, "use a-z, digits, _, - and ., at most 64",
		func(*Config) any { return &BuildCredential{} }),
	list("builds.secrets", "secret", `^[A-Za-z_][A-Za-z0-9_]*$`, 64, "use letters, digits and _: a command finds it in the variable of that name",
		func(*Config) any { return &BuildSecret{} }),
	list("builds.targets", "target", `^[a-z0-9][a-z0-9._-]*$`, 64, "use a-z, digits, _, - and ., at most 64",
		func(*Config) any { return &BuildTarget{} }),
	list("builds.environments", "environment", `^[a-z0-9][a-z0-9-]*$`, 64, "use a-z, digits and -, at most 64",
		func(*Config) any { return &BuildEnvironment{} }),
}

func list(key, one, name string, most int, nameHint string, fresh func(*Config) any) *namedList {
	// Compiled when it is first needed, and without the bound: hundreds of copies of a class are megabytes that every command would make.
	form := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(name) })
	fits := func(name string) bool { return utf8.RuneCountInString(name) <= most && form().MatchString(name) }
	l := &namedList{key: key, one: one, fits: fits, nameHint: nameHint, fresh: fresh}
	f, _ := fieldOf(key)
	l.index = f.index
	for _, part := range leaves(f.typ.Elem(), "", nil) {
		if part.key != "name" {
			l.parts = append(l.parts, part)
		}
	}
	return l
}

// listOf returns the named list of a key; nil when the key is none.
func listOf(key string) *namedList {
	if i := slices.IndexFunc(namedLists, func(l *namedList) bool { return l.key == key }); i >= 0 {
		return namedLists[i]
	}
	return nil
}

// part returns a part by its word, and whether there is one.
func (l *namedList) part(word string) (field, bool) {
	if i := slices.IndexFunc(l.parts, func(f field) bool { return f.key == word }); i >= 0 {
		return l.parts[i], true
	}
	return field{}, false
}

// item is what one layer says about one thing of a named list.
type item struct {
	name     string
	place    Place
	settings map[string]setting // by part
}

// itemKey returns the key under which errors and origins name a part of an item. A name may have dots in it, a part has none.
func itemKey(list, name, part string) string {
	if name == "" {
		return list + "." + part
	}
	return list + "." + name + "." + part
}

// items reads the list of a file.
func (r *reader) items(d document, l *namedList, n *yaml.Node) []item {
	if n.Kind != yaml.SequenceNode {
		r.problem(d.at(n), l.key, "write each as `- name: NAME`", "want a list")
		return nil
	}
	var out []item
	for _, node := range n.Content {
		node = resolve(node)
		if node.Kind != yaml.MappingNode {
			r.problem(d.at(node), l.key, "write each as `- name: NAME`", "want keys and values")
			continue
		}
		it := r.item(d, l, node)
		switch {
		case it.name == "":
			r.problem(d.at(node), l.key, "add name:", "a %s has no name", l.one)
		case !l.fits(it.name):
			r.problem(it.place, l.key, l.nameHint, "%q is no name for a %s", it.name, l.one)
		case slices.ContainsFunc(out, func(other item) bool { return other.name == it.name }):
			r.problem(it.place, l.key, "put them together, or rename one", "the %s %q is in this file twice", l.one, it.name)
		default:
			out = append(out, it)
		}
	}
	return out
}

func (r *reader) item(d document, l *namedList, n *yaml.Node) item {
	it := item{place: d.at(n), settings: map[string]setting{}}
	// The name first, for the errors about the rest.
	r.pairs(d, n, func(word string, _, value *yaml.Node) {
		if word == "name" && value.Kind == yaml.ScalarNode {
			it.name, it.place = value.Value, d.at(value)
		}
	})
	r.parts(d, l, &it, n, "")
	return it
}

// parts reads the parts of an item, or those of a section of it.
func (r *reader) parts(d document, l *namedList, it *item, n *yaml.Node, prefix string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		word := prefix + key.Value
		if word == "name" || isNull(value) {
			continue
		}
		f, known := l.part(word)
		if !known && prefix == "" && l.hasSection(word) {
			if value.Kind != yaml.MappingNode {
				r.problem(d.at(value), itemKey(l.key, it.name, word), "write its keys below it, indented", "want keys and values")
				continue
			}
			r.pairs(d, value, func(string, *yaml.Node, *yaml.Node) {}) // keys that are there twice
			r.parts(d, l, it, value, word+".")
			continue
		}
		if !known {
			r.problem(d.at(key), "", l.unknownPart(it.name, word), "unknown key %q", itemKey(l.key, it.name, word))
			continue
		}
		f.key = itemKey(l.key, it.name, f.key)
		if v, ref, ok := r.leaf(d, f, value); ok {
			it.settings[word] = setting{v, d.at(value), ref}
		}
	}
}

// hasSection reports whether parts begin with this word and a dot.
func (l *namedList) hasSection(word string) bool {
	return slices.ContainsFunc(l.parts, func(f field) bool { return strings.HasPrefix(f.key, word+".") })
}

// unknownPart is the hint for a part that no item has.
func (l *namedList) unknownPart(name, word string) string {
	words := []string{"name"}
	for _, f := range l.parts {
		words = append(words, f.key)
	}
	if meant := nearest(word, words); meant != "" {
		return fmt.Sprintf("did you mean %q?", itemKey(l.key, name, meant))
	}
	last := len(words) - 1
	return fmt.Sprintf("a %s has %s and %s", l.one, strings.Join(words[:last], ", "), words[last])
}

// itemsFromEnv reads STINT_CONNECTIONS_NAME_URL and the like of the items that the files name. It marks the variables that
// it knew in used.
func (r *reader) itemsFromEnv(l *namedList, known []item, used map[string]bool) []item {
	var out []item
	for _, k := range known {
		it := item{name: k.name, settings: map[string]setting{}}
		for _, f := range l.parts {
			if f.typ == jsonType {
				continue // no text for one variable
			}
			part := f.key
			f.key = itemKey(l.key, k.name, part)
			name := envName(f.key)
			used[name] = true
			text := r.env.Get(name)
			if text == "" {
				continue
			}
			at := Place{Source: "env " + name}
			if v, ref, ok := r.text(at, f, text); ok {
				it.settings[part] = setting{v, at, ref}
			}
		}
		out = append(out, it)
	}
	return out
}

// mergeItems lays the items of one layer over those of the layers below, by name.
func mergeItems(below, above []item) []item {
	for _, it := range above {
		i := slices.IndexFunc(below, func(other item) bool { return other.name == it.name })
		if i < 0 {
			below = append(below, it)
			continue
		}
		for part, s := range it.settings {
			below[i].settings[part] = s
		}
	}
	return below
}

// show returns a part as a person may read it.
func (l *namedList) show(f field, value any) string {
	if u, is := value.(URL); is && l.key == "alerts.channels" {
		return showAddress(u)
	}
	return show(value)
}

// build puts the merged items into c, and says where their parts came from.
func (l *namedList) build(c *Config, items []item) []Origin {
	to := reflect.ValueOf(c).Elem().FieldByIndex(l.index)
	var origins []Origin
	for _, it := range items {
		one := reflect.ValueOf(l.fresh(c)).Elem()
		one.FieldByName("Name").SetString(it.name)
		for _, f := range l.parts {
			if s, ok := it.settings[f.key]; ok {
				one.FieldByIndex(f.index).Set(reflect.ValueOf(s.value))
				origins = append(origins, Origin{Key: itemKey(l.key, it.name, f.key), Value: l.show(f, s.value), Place: s.place, Ref: s.ref})
			}
		}
		to.Set(reflect.Append(to, one))
	}
	return origins
}
