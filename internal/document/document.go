// Package document reads and compares fields of documents as they come out of search engines: maps of JSON values whose numbers are
// json.Number, in which "a.b" may be a field b of a, or a field whose name has a dot in it.
package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Keyword is how Elasticsearch names the exact form of a text; documents do not have it.
const Keyword = ".keyword"

var indexed = regexp.MustCompile(`\[(\d)\]`)

// Get returns the value of a field, and whether there is one; null is a value. A name may go down into objects by dots and into lists
// by [0] to [9]. A name as it stands goes before its parts, and a shorter part before a longer one.
func Get(doc map[string]any, name string) (any, bool) {
	if v, ok := doc[name]; ok {
		return v, true
	}
	name = strings.TrimSuffix(name, Keyword)
	if v, ok := doc[name]; ok {
		return v, true
	}
	if name == "" {
		return nil, false
	}
	var at any = doc
	for name != "" {
		part, index, rest := name, -1, ""
		if i := indexed.FindStringSubmatchIndex(name); i != nil {
			part, rest = name[:i[0]], strings.TrimPrefix(name[i[1]:], ".")
			index, _ = strconv.Atoi(name[i[2]:i[3]])
		}
		if part != "" {
			var ok bool
			if at, ok = descend(at, part); !ok {
				return nil, false
			}
		}
		if index >= 0 {
			list, ok := at.([]any)
			if !ok || index >= len(list) {
				return nil, false
			}
			at = list[index]
		}
		name = rest
	}
	return at, true
}

// descend follows a name without indexes.
func descend(at any, name string) (any, bool) {
	key := ""
	parts := strings.Split(name, ".")
	for i, p := range parts {
		key += p
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok := m[key]; ok {
			if at, key = v, ""; i == len(parts)-1 {
				return at, true
			}
			continue
		}
		key += "."
	}
	return nil, false
}

// Value is Get with null for a field that is not there.
func Value(doc map[string]any, name string) any {
	v, _ := Get(doc, name)
	return v
}

// Set puts a value where Get would find it, or under the name as it stands where there is none yet.
func Set(doc map[string]any, name string, value any) {
	if _, ok := doc[name]; ok {
		doc[name] = value
		return
	}
	parts := strings.Split(strings.TrimSuffix(name, Keyword), ".")
	for m, from, i := doc, 0, 0; i < len(parts); i++ {
		v, ok := m[strings.Join(parts[from:i+1], ".")]
		if !ok {
			continue
		}
		if i == len(parts)-1 {
			m[strings.Join(parts[from:], ".")] = value
			return
		}
		if m, ok = v.(map[string]any); !ok {
			break
		}
		from = i + 1
	}
	doc[name] = value
}

// Clone copies a document with all that is in it.
func Clone(doc map[string]any) map[string]any {
	if doc == nil {
		return nil
	}
	return clone(doc).(map[string]any)
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = clone(x)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = clone(x)
		}
		return l
	}
	return v
}

// Number returns the value of a number, and whether it is one. A text is none.
func Number(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	}
	return 0, false
}

// Same returns a text that two values share if, and only if, they are equal: 1 and 1.0 are, 1 and "1" are not.
func Same(v any) string {
	switch v := v.(type) {
	case nil:
		return "n"
	case bool:
		return "b" + strconv.FormatBool(v)
	case string:
		return "s" + v
	}
	if f, ok := Number(v); ok {
		if n, isNumber := v.(json.Number); isNumber && f == math.Trunc(f) && math.Abs(f) >= 1<<53 && !strings.ContainsAny(n.String(), ".eE") {
			return "d" + n.String() // a whole number that a float cannot tell from its neighbours
		}
		return "d" + strconv.FormatFloat(f, 'g', -1, 64)
	}
	return "t" + Text(v)
}

// Equal reports whether two values are the same.
func Equal(a, b any) bool { return Same(a) == Same(b) }

// Text writes a value as Python's str does, which is how ElastAlert makes keys and texts of values: None, True, 1.0, ['a', 'b'].
func Text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return quote(v)
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			return v.String()
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return float(f)
	case float64:
		return float(v)
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = repr(x)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, quote(k)+": "+repr(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// float writes a float as Python does: always with a point or an exponent.
func float(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		s = strconv.FormatFloat(f, 'e', -1, 64)
	}
	if !strings.ContainsAny(s, ".eIN") {
		s += ".0"
	}
	return s
}

// quote writes a text in single quotes, or in double ones where it has single ones alone.
func quote(s string) string {
	q := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = `"`
	}
	r := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, q, `\`+q)
	return q + r.Replace(s) + q
}

// Decode reads JSON with numbers as json.Number.
func Decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}
