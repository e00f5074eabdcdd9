package docsearch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/document"
)

// options are those of one query or aggregation. What was not asked for by the end is unknown, and an error.
type options struct {
	where string
	m     map[string]any
	seen  map[string]bool
	errs  []error
}

func newOptions(where string, m map[string]any) *options {
	return &options{where: where, m: m, seen: map[string]bool{}}
}

func (o *options) fail(format string, args ...any) {
	o.errs = append(o.errs, fmt.Errorf(o.where+" "+format, args...))
}

// take returns an option, and whether it is there and not null.
func (o *options) take(key string) (any, bool) {
	o.seen[key] = true
	v, ok := o.m[key]
	return v, ok && v != nil
}

// skip accepts options that change nothing here.
func (o *options) skip(keys ...string) {
	for _, k := range keys {
		o.seen[k] = true
	}
}

func (o *options) text(key, otherwise string) string {
	v, ok := o.take(key)
	if !ok {
		return otherwise
	}
	if _, isList := v.([]any); isList {
		o.fail("wants a text for %s, not a list", key)
	}
	if _, isMap := v.(map[string]any); isMap {
		o.fail("wants a text for %s, not an object", key)
	}
	return queryText(v)
}

func (o *options) number(key string, otherwise float64) float64 {
	v, ok := o.take(key)
	if !ok {
		return otherwise
	}
	f, ok := number(v)
	if !ok {
		o.fail("wants a number for %s, not %s", key, kindOf(v))
	}
	return f
}

func (o *options) whole(key string, otherwise int) int {
	f := o.number(key, float64(otherwise))
	if f != float64(int(f)) || f < 0 {
		o.fail("wants a whole number from 0 for %s", key)
		return otherwise
	}
	return int(f)
}

func (o *options) flag(key string, otherwise bool) bool {
	v, ok := o.take(key)
	if !ok {
		return otherwise
	}
	switch v {
	case true, "true":
		return true
	case false, "false":
		return false
	}
	o.fail("wants true or false for %s", key)
	return otherwise
}

func (o *options) list(key string) []any {
	v, ok := o.take(key)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case []any:
		return v
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	}
	return []any{v}
}

func (o *options) texts(key string) []string {
	var out []string
	for _, v := range o.list(key) {
		s, ok := v.(string)
		if !ok {
			o.fail("wants texts for %s, not %s", key, kindOf(v))
		}
		out = append(out, s)
	}
	return out
}

func (o *options) end() error {
	for _, k := range slices.Sorted(maps.Keys(o.m)) {
		if !o.seen[k] {
			o.fail("does not support [%s]", k)
		}
	}
	return errors.Join(o.errs...)
}

// single returns the only entry of an object of one field, whose value is an object of options or the value of one of them.
func single(kind string, body any, short string) (field string, o *options, err error) {
	m, ok := body.(map[string]any)
	if !ok {
		return "", nil, fmt.Errorf("[%s] wants an object, not %s", kind, kindOf(body))
	}
	outer := map[string]any{}
	for k, v := range m {
		if k == "_name" || k == "boost" {
			outer[k] = v
			continue
		}
		if field != "" {
			return "", nil, fmt.Errorf("[%s] is of one field, not of %s and %s", kind, min(field, k), max(field, k))
		}
		field = k
		inner, isMap := v.(map[string]any)
		if !isMap {
			inner = map[string]any{short: v}
		}
		o = newOptions(fmt.Sprintf("[%s] of %s", kind, k), maps.Clone(inner))
	}
	if o == nil {
		return "", nil, fmt.Errorf("[%s] names no field", kind)
	}
	maps.Copy(o.m, outer)
	return field, o, nil
}

// number returns the value of a number, also of one in a text.
func number(v any) (float64, bool) {
	if f, ok := document.Number(v); ok {
		return f, true
	}
	s, ok := v.(string)
	if !ok || s == "" || !strings.ContainsAny(s[:1], "+-.0123456789") || strings.ContainsAny(s, "xX_pPnN") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// queryText writes a value as a query that is a text has it.
func queryText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	}
	return fmt.Sprint(v)
}

// kindOf names the kind of a JSON value.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case string:
		return "a text"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

// atLeast reads minimum_should_match: 2, -1, "75%", "-25%", or "2<75%" and several of those.
func atLeast(v any, clauses int) (int, error) {
	text := strings.TrimSpace(queryText(v))
	wrong := fmt.Errorf("minimum_should_match cannot be %q", text)
	if strings.Contains(text, "<") {
		least := clauses
		for part := range strings.FieldsSeq(text) {
			above, then, _ := strings.Cut(part, "<")
			n, err := strconv.Atoi(above)
			if err != nil {
				return 0, wrong
			}
			if clauses <= n {
				return least, nil
			}
			if least, err = atLeast(then, clauses); err != nil {
				return 0, wrong
			}
		}
		return least, nil
	}
	percent := strings.HasSuffix(text, "%")
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil {
		return 0, wrong
	}
	if percent {
		n = n * clauses / 100
	}
	if n < 0 || n == 0 && strings.HasPrefix(text, "-") {
		n += clauses
	}
	return max(0, n), nil
}
