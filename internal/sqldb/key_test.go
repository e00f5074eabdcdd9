package sqldb

import (
	"encoding/json"
	"math"
	"testing"
)

func TestARowKeySurvivesJSONAsItIs(t *testing.T) {
	t.Parallel()
	for _, k := range []RowKey{
		nil, {}, {int64(math.MinInt64), int64(math.MaxInt64)}, {0.1, math.Inf(1), math.Inf(-1), 1e308, 5e-324, 1.0},
		{"", "plain", "\"\\\x00\x1f\x7f\u2028é", "M\xfcller"}, {[]byte{}, []byte{0, 255}}, {nil, "x", nil},
	} {
		text := k.String()
		back, err := ParseRowKey(text)
		if err != nil || !back.Equal(k) {
			t.Errorf("%#v became %s and %#v: %v", k, text, back, err)
		}
		whole, err := json.Marshal(map[string]RowKey{"k": k})
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]RowKey
		if err := json.Unmarshal(whole, &m); err != nil || !m["k"].Equal(k) {
			t.Errorf("%#v became %s and %#v: %v", k, whole, m["k"], err)
		}
	}
}

func TestRowKeysOfDifferentTypesAreNotEqual(t *testing.T) {
	t.Parallel()
	keys := []RowKey{nil, {}, {int64(1)}, {1.0}, {"1"}, {[]byte("1")}, {nil}, {int64(1), int64(1)}}
	for i, a := range keys {
		for j, b := range keys {
			if a.Equal(b) != (i == j) {
				t.Errorf("%#v and %#v", a, b)
			}
		}
	}
}

func TestAWrongRowKeyIsRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"{", "[1.5]", `[{"x":"1"}]`, `[{"f":"abc"}]`, `[{"b":"!"}]`, `[{}]`, `[true]`, `["a"`} {
		if k, err := ParseRowKey(s); err == nil {
			t.Errorf("%s became %#v", s, k)
		}
	}
	if _, err := (RowKey{int32(1)}).MarshalJSON(); err == nil {
		t.Error("an int32 was taken as part of a key")
	}
}

func TestAKeyIsPackedAndUnpackedInABatch(t *testing.T) {
	t.Parallel()
	cells := []cell{intCell(-5), floatCell(0.1), textCell("ä"), {kind: cellBytes, s: "\x00"}, {}}
	if got := unpackKey(packKey(nil, cells), len(cells)); !got.Equal(keyOf(cells)) {
		t.Errorf("%#v", got)
	}
}
