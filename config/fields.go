package config

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a leaf of Config: a key that can be set.
type field struct {
	key   string // dotted, such as worker.drain_timeout
	typ   reflect.Type
	index []int // for reflect.Value.FieldByIndex
}

// Named lists are read by lists.go; all other leaves are of these types.
var (
	stringType   = reflect.TypeFor[string]()
	intType      = reflect.TypeFor[int]()
	floatType    = reflect.TypeFor[float64]()
	boolType     = reflect.TypeFor[bool]()
	durationType = reflect.TypeFor[time.Duration]()
	listType     = reflect.TypeFor[[]string]()
	secretType   = reflect.TypeFor[Secret]()
	urlType      = reflect.TypeFor[URL]()
	jsonType     = reflect.TypeFor[json.RawMessage]() // of named lists only
)

// fields are all leaves of Config, in the order of the struct.
var fields = leaves(reflect.TypeFor[Config](), "", nil)

func leaves(t reflect.Type, prefix string, index []int) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, at := prefix+f.Tag.Get("key"), append(slices.Clone(index), i)
		switch {
		case f.Anonymous:
			out = append(out, leaves(f.Type, prefix, at)...)
		case f.Type.Kind() == reflect.Struct && f.Type != secretType && f.Type != urlType:
			out = append(out, leaves(f.Type, key+".", at)...)
		default:
			out = append(out, field{key: key, typ: f.Type, index: at})
		}
	}
	return out
}

// fieldOf returns the leaf of a key.
func fieldOf(key string) (field, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
	if i < 0 {
		return field{}, false
	}
	return fields[i], true
}

// isSection reports whether keys begin with this one and a dot.
func isSection(key string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return strings.HasPrefix(f.key, key+".") })
}

// Keys returns all keys that can be set, in the order of docs/stint.example.yaml.
func Keys() []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// isList reports whether the leaf is a named list.
func (f field) isList() bool {
	return f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct
}

// parse turns one text into the value of a leaf. A list is separated by commas.
func (f field) parse(text string) (any, error) {
	switch f.typ {
	case stringType:
		return text, nil
	case secretType:
		return Secret{text}, nil
	case urlType:
		return URL{text}, nil
	case intType:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("want a whole number, got %q", text)
		}
		return n, nil
	case floatType:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("want a number, got %q", text)
		}
		return x, nil
	case boolType:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return text == "true", nil
	case durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("want a duration, got %q", text)
		}
		return d, nil
	case listType:
		list := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("cannot be set by one text")
}

// hint says how a value of the leaf is written.
func (f field) hint() string {
	switch f.typ {
	case intType:
		return "write it as 8"
	case floatType:
		return "write it as 0.5"
	case boolType:
		return "write true or false"
	case durationType:
		return "write it as 500ms, 30s or 5m"
	case listType:
		return "write it as [a, b]"
	}
	return "write one text"
}

// show returns a value as a person reads it, without secrets.
func show(value any) string {
	switch v := value.(type) {
	case []string:
		return strings.Join(v, ",")
	case json.RawMessage:
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}

// isReference reports whether a text names where a secret is, instead of being it.
func isReference(text string) bool {
	return strings.HasPrefix(text, "file:") || strings.HasPrefix(text, "env:")
}

// isSecret reports whether a text of the leaf may say where the value is. That artifacts are kept in a folder is no secret.
func (f field) isSecret(text string) bool {
	return f.typ == secretType || f.typ == urlType && !(f.key == "artifacts.url" && strings.HasPrefix(text, "file:"))
}

// nearest returns the candidate that a mistyped word most likely meant; "" when none is near.
func nearest(word string, candidates []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to make a into b.
func distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
