package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// connectionPatch is what one layer says about one connection.
type connectionPatch struct {
	name     string
	place    Place
	settings map[string]setting // by the last word of the key: url, password, schema
}

// connectionFields are the keys of a connection, but for its name.
var connectionFields = []field{
	{key: "url", typ: urlType},
	{key: "password", typ: secretType},
	{key: "schema", typ: stringType},
}

var connectionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// connections reads the list of a file. Names are values here and not keys, because they are the user's own words.
func (r *reader) connections(d document, n *yaml.Node) []connectionPatch {
	if n.Kind != yaml.SequenceNode {
		r.problem(d.at(n), "connections", "write each as `- name: NAME`", "want a list")
		return nil
	}
	var out []connectionPatch
	for _, item := range n.Content {
		item = resolve(item)
		if item.Kind != yaml.MappingNode {
			r.problem(d.at(item), "connections", "write name: and url:", "want keys and values")
			continue
		}
		p := r.connection(d, item)
		switch {
		case p.name == "":
			r.problem(d.at(item), "connections", "add name:", "a connection has no name")
		case !connectionName.MatchString(p.name):
			r.problem(p.place, "connections", "use letters, digits, _, - and .", "%q is no name for a connection", p.name)
		case slices.ContainsFunc(out, func(q connectionPatch) bool { return q.name == p.name }):
			r.problem(p.place, "connections", "", "the connection %q is in this file twice", p.name)
		default:
			out = append(out, p)
		}
	}
	return out
}

func (r *reader) connection(d document, n *yaml.Node) connectionPatch {
	p := connectionPatch{place: d.at(n), settings: map[string]setting{}}
	// The name first, for the errors about the rest.
	r.pairs(d, n, func(name string, _, value *yaml.Node) {
		if name == "name" && value.Kind == yaml.ScalarNode {
			p.name, p.place = value.Value, d.at(value)
		}
	})
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		if key.Value == "name" || isNull(value) {
			continue
		}
		at := slices.IndexFunc(connectionFields, func(f field) bool { return f.key == key.Value })
		if at < 0 {
			hint := "a connection has name, url, password and schema"
			r.problem(d.at(key), "", hint, "unknown key %q", connectionKey(p.name, key.Value))
			continue
		}
		f := connectionFields[at]
		f.key = connectionKey(p.name, f.key)
		if v, ref, ok := r.leaf(d, f, value); ok {
			p.settings[key.Value] = setting{v, d.at(value), ref}
		}
	}
	return p
}

// connectionKey returns the key under which errors and origins name a part of a connection.
func connectionKey(name, part string) string {
	if name == "" {
		return "connections." + part
	}
	return "connections." + name + "." + part
}

// connectionsFromEnv reads STINT_CONNECTIONS_NAME_URL, _PASSWORD and _SCHEMA of the connections that the files name. It
// marks the variables that it knew in used.
func (r *reader) connectionsFromEnv(known []connectionPatch, used map[string]bool) []connectionPatch {
	var out []connectionPatch
	for _, k := range known {
		p := connectionPatch{name: k.name, settings: map[string]setting{}}
		for _, f := range connectionFields {
			name := envName(connectionKey(k.name, f.key))
			used[name] = true
			text := r.env.Get(name)
			if text == "" {
				continue
			}
			at := Place{Source: "env " + name}
			part := f.key
			f.key = connectionKey(k.name, part)
			if v, ref, ok := r.text(at, f, text); ok {
				p.settings[part] = setting{v, at, ref}
			}
		}
		out = append(out, p)
	}
	return out
}

// mergeConnections lays the patches of one layer over those of the layers below, by name.
func mergeConnections(below, above []connectionPatch) []connectionPatch {
	for _, p := range above {
		i := slices.IndexFunc(below, func(q connectionPatch) bool { return q.name == p.name })
		if i < 0 {
			below = append(below, p)
			continue
		}
		for part, s := range p.settings {
			below[i].settings[part] = s
		}
	}
	return below
}

// build turns the merged patches into connections.
func build(patches []connectionPatch) Connections {
	var out Connections
	for _, p := range patches {
		c := Connection{Name: p.name}
		if s, ok := p.settings["url"]; ok {
			c.URL = s.value.(URL)
		}
		if s, ok := p.settings["password"]; ok {
			c.Password = s.value.(Secret)
		}
		if s, ok := p.settings["schema"]; ok {
			c.Schema = s.value.(string)
		}
		out = append(out, c)
	}
	return out
}

// connectionSchemes are those that can be opened, and how one is written.
var connectionSchemes = map[string]string{
	"sqlite": "sqlite:FILE", "postgres": "postgres://HOST/DATABASE", "postgresql": "postgresql://HOST/DATABASE",
}

var postgresSchemes = map[string]bool{"postgres": true, "postgresql": true}

// laterSchemes are planned and cannot be opened yet: whoever writes one has not mistyped.
var laterSchemes = []string{"mysql", "sqlserver", "csv", "ndjson", "http", "https"}

// schemeList returns the forms of all schemes, for hints.
func schemeList() string {
	forms := make([]string, 0, len(connectionSchemes))
	for _, form := range connectionSchemes {
		forms = append(forms, form)
	}
	slices.Sort(forms)
	return strings.Join(forms, ", ")
}

var plainSchema = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// withSearchPath puts a schema into the query of a PostgreSQL address, and leaves the rest of it as it was written: to
// encode a query anew would make + of its spaces, which only web servers read as spaces.
func withSearchPath(address, schema string) string {
	if !plainSchema.MatchString(schema) {
		// search_path is a list of identifiers: without quotes a comma would separate and upper case be lost.
		schema = `"` + strings.ReplaceAll(schema, `"`, `""`) + `"`
	}
	value := strings.ReplaceAll(url.QueryEscape(schema), "+", "%20")
	before, query, _ := strings.Cut(address, "?")
	if query = strings.TrimRight(query, "&"); query != "" {
		query += "&"
	}
	return before + "?" + query + "search_path=" + value
}

// hasSearchPath reports whether the query of a PostgreSQL address sets search_path, by itself or within options.
func hasSearchPath(query url.Values) bool {
	for name, values := range query {
		if strings.EqualFold(name, "search_path") || name == "options" && slices.ContainsFunc(values, func(v string) bool {
			return strings.Contains(strings.ReplaceAll(strings.ToLower(v), "-", "_"), "search_path")
		}) {
			return true
		}
	}
	return false
}
