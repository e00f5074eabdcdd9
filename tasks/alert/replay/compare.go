package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// Compare returns how two JSON values differ, each difference with its place. Numbers are compared by their value: 1 is 1.0.
func Compare(place string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return compareObjects(place, w, g)
		}
	case []any:
		if g, ok := got.([]any); ok {
			return compareLists(place, w, g)
		}
	case json.Number, float64, int, int64:
		a, ok1 := number(want)
		b, ok2 := number(got)
		if ok1 && ok2 && a.Cmp(b) == 0 {
			return nil
		}
	default:
		switch got.(type) {
		case map[string]any, []any: // which Go cannot compare
		default:
			if want == got {
				return nil
			}
		}
	}
	return []string{fmt.Sprintf("%s: want %s, got %s", place, text(want), text(got))}
}

func compareObjects(place string, want, got map[string]any) (out []string) {
	names := maps.Clone(want)
	maps.Copy(names, got)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := place + "." + name
		w, inWant := want[name]
		g, inGot := got[name]
		switch {
		case !inGot:
			out = append(out, fmt.Sprintf("%s: want %s, got nothing", at, text(w)))
		case !inWant:
			out = append(out, fmt.Sprintf("%s: want nothing, got %s", at, text(g)))
		default:
			out = append(out, Compare(at, w, g)...)
		}
	}
	return out
}

func compareLists(place string, want, got []any) (out []string) {
	for i := range max(len(want), len(got)) {
		at := fmt.Sprintf("%s[%d]", place, i)
		switch {
		case i >= len(got):
			out = append(out, fmt.Sprintf("%s: want %s, got nothing", at, text(want[i])))
		case i >= len(want):
			out = append(out, fmt.Sprintf("%s: want nothing, got %s", at, text(got[i])))
		default:
			out = append(out, Compare(at, want[i], got[i])...)
		}
	}
	return out
}

// CompareDocuments is Compare of lists of documents.
func CompareDocuments(place string, want, got []map[string]any) []string {
	return compareLists(place, anys(want), anys(got))
}

func anys(list []map[string]any) []any {
	out := make([]any, len(list))
	for i, m := range list {
		out[i] = m
	}
	return out
}

func number(v any) (*big.Rat, bool) {
	switch v.(type) {
	case json.Number, float64, int, int64:
		return new(big.Rat).SetString(fmt.Sprint(v))
	}
	return nil, false
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
