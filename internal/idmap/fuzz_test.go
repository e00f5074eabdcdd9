package idmap

import (
	"encoding/json"
	"testing"
)

// FuzzWhatIsKeptOfAnIDIsTheID holds that keys and ids come back as they were packed, that different keys are kept apart, and that whatever
// another version, or a hand, has written is read without a panic.
func FuzzWhatIsKeptOfAnIDIsTheID(f *testing.F) {
	for _, seed := range []string{`["a"]`, `["a","b"]`, `[""]`, `["\""]`, `["0123456789ab-cdef"]`, `["01234567-89ab-cdef-0123-456789abcdef"]`, `"01234567-89ab-cdef-0123-456789abcdef"`, "null", "5", `"5"`, "", "\x01", "\x01short", "\x02", `""`, `"`} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		_, _, _ = unpackKey(text), unpackID(text), sameID(text, other)
		list := func(s string) string {
			b, err := json.Marshal([]string{s})
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		a, b := list(text), list(other)
		if (packKey(a) == packKey(b)) != (a == b) {
			t.Errorf("%s and %s are kept as %q and %q", a, b, packKey(a), packKey(b))
		}
		if len(a) <= maxField && unpackKey(packKey(a)) != a {
			t.Errorf("%s is kept as %q, and read as %s", a, packKey(a), unpackKey(packKey(a)))
		}
		if id := a[1 : len(a)-1]; unpackID(packID(id)) != id || !sameID(id, id) {
			t.Errorf("%s is kept as %q, and read as %s", id, packID(id), unpackID(packID(id)))
		}
	})
}
