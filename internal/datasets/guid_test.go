package datasets

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

const aGUID = "0f8fad5b-d9cb-469f-a165-70867728950e"

func TestAGUIDIsTheSameHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	plain := strings.ReplaceAll(aGUID, "-", "")
	for _, s := range []string{aGUID, strings.ToUpper(aGUID), plain, strings.ToUpper(plain), "{" + aGUID + "}", "{" + plain + "}",
		"urn:uuid:" + aGUID, "URN:UUID:" + strings.ToUpper(aGUID), aGUID + "    ", "  " + aGUID + " ", "  {" + aGUID + "}", "0F8fad5b-d9cb-469f-a165-70867728950E"} {
		if got := ParseGUID([]byte(s)).String(); got != aGUID {
			t.Errorf("%q became %s", s, got)
		}
	}
	raw := ParseGUID([]byte(aGUID))
	if got, w := bytesGUID(raw[:]); got != raw || w != asBytes {
		t.Errorf("its 16 bytes became %s", got)
	}
}

func TestATextThatIsNoGUIDIsTakenByItsHash(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "x", "item-17", strings.Replace(aGUID, "0", "g", 1), strings.Replace(aGUID, "-", "0", 1), aGUID[:35], aGUID + "0",
		"{" + aGUID, "urn:uuid:", "0f8fad5bd-9cb-469f-a165-70867728950e", "0f8fad5b\xd9\xcb-469f-a165-70867728950e"} {
		sum := sha256.Sum256([]byte(s))
		got, w := parseGUID([]byte(s))
		if got != GUID(sum[:16]) || w != other {
			t.Errorf("%q became %s (%b)", s, got, w)
		}
	}
	if ParseGUID([]byte("item-17   ")) != ParseGUID([]byte("item-17")) {
		t.Error("spaces that fill up a column make another GUID")
	}
}

func TestOrderHoldsOnlyAmongGUIDsThatAreWrittenAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{aGUID, "ffffffff-d9cb-469f-a165-70867728950e", true},
		{aGUID, strings.ToUpper(aGUID), false},
		{aGUID, "00000000-0000-0000-0000-000000000001", true},
		{strings.ToUpper(aGUID), "00000000-0000-0000-0000-000000000001", true},
		{aGUID, "{" + aGUID + "}", false},
		{aGUID, strings.ReplaceAll(aGUID, "-", ""), false},
		{aGUID, "item-17", false},
		{"item-16", "item-17", true},
		{aGUID + " ", aGUID, false},
	} {
		_, a := parseGUID([]byte(c.a))
		_, b := parseGUID([]byte(c.b))
		if a.same(b) != c.want || b.same(a) != c.want {
			t.Errorf("%q and %q: got %v", c.a, c.b, !c.want)
		}
	}
}

func TestReadingAGUIDDoesNotAllocate(t *testing.T) { // AllocsPerRun does not go with t.Parallel
	s := []byte(strings.ToUpper(aGUID))
	if n := testing.AllocsPerRun(100, func() { ParseGUID(s) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseGUID(f *testing.F) {
	for _, s := range []string{aGUID, strings.ToUpper(aGUID), "{" + aGUID + "}", "urn:uuid:" + aGUID, "", "x", " ", "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		before := bytes.Clone(s)
		g, w := parseGUID(s)
		if !bytes.Equal(before, s) {
			t.Fatal("the text was changed")
		}
		if w == other {
			sum := sha256.Sum256(bytes.TrimRight(s, " "))
			if g != GUID(sum[:16]) {
				t.Fatalf("%q became %s", s, g)
			}
			return
		}
		if ParseGUID([]byte(g.String())) != g {
			t.Fatalf("%q became %s, which is read as another", s, g)
		}
		if !strings.Contains(strings.ReplaceAll(strings.ToLower(string(s)), "-", ""), strings.ReplaceAll(g.String(), "-", "")) {
			t.Fatalf("%q became %s", s, g)
		}
	})
}
