package sqldb

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
)

// numbers gives numbers of all lengths, as the four kinds of cells that hold some.
func numbers(n int) []cell {
	r := rand.New(rand.NewPCG(4, 2))
	out := []cell{intCell(-1 << 63), intCell(1<<63 - 1), textCell("-0.00"), textCell("+7."), textCell(".5"), textCell("."), textCell(""), textCell("1e3"), textCell("-"),
		textCell("000000000000000001"), textCell("123456789012345678"), textCell("1234567890123456789"), textCell("1.2.3"), textCell(" 1"), floatCell(1e300), floatCell(0.1 + 0.2)}
	for range n {
		digits, scale := r.Int64N(1<<uint(1+r.IntN(62))), r.IntN(19)
		if r.IntN(4) == 0 {
			digits *= int64(powers[r.IntN(4)]) // zeros at the end, and whatever comes of an overflow
		}
		if r.IntN(2) == 0 {
			digits = -digits
		}
		out = append(out, intCell(digits), DecimalCell(digits, scale), textCell(string(appendScaled(nil, digits, scale))), floatCell(float64(digits)/float64(powers[scale%7])))
	}
	return out
}

func TestANumberIsEncodedTheSameInTheFastWayAndInTheLongOne(t *testing.T) {
	t.Parallel()
	fast := 0
	all := numbers(20_000)
	for _, size := range [][2]int{{0, 0}, {12, 2}, {18, 6}, {40, 10}, {5, 0}, {3, 3}, {30, 0}} {
		c := codec{src: &Column{Name: "n", Kind: KindNumeric}, dst: &Column{Name: "n", Type: "numeric", Kind: KindNumeric, Precision: size[0], Scale: size[1]}, to: Postgres}
		for i := range all {
			got, ok := c.appendScaledNumeric(nil, &all[i])
			if !ok {
				continue
			}
			fast++
			if want, bad := c.appendLongNumeric(nil, &all[i]); bad != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s as numeric(%d,%d): %x, want %x, %v", preview(&all[i]), size[0], size[1], got, want, bad)
			}
		}
	}
	if fast < len(all) {
		t.Errorf("the fast way took %d of %d numbers", fast, 7*len(all))
	}
}

func TestNumbersAreTheSameInTheFastWayIfTheirDigitsAre(t *testing.T) {
	t.Parallel()
	all := numbers(20_000)
	sure, equal := 0, 0
	check := func(a, b cell) {
		same, ok := sameScaled(&a, &b)
		if !ok {
			return
		}
		sure++
		x, okX := appendLikeNumber(nil, &a)
		y, okY := appendLikeNumber(nil, &b)
		if want := okX && okY && bytes.Equal(x, y); same != want {
			t.Fatalf("%s and %s: %v, and their digits say %v", preview(&a), preview(&b), same, want)
		}
		if same {
			equal++
		}
	}
	for i, a := range all {
		check(a, all[(i*7919+1)%len(all)])
		for _, more := range all[i+1 : min(i+4, len(all))] { // the same number in another kind
			check(a, more)
		}
		if a.kind == cellFloat { // as PostgreSQL writes it
			check(a, textCell(strconv.FormatFloat(a.float(), 'f', 6, 64)))
		}
	}
	if sure < len(all) || equal < len(all)/10 {
		t.Errorf("of %d pairs %d were sure and %d equal", 5*len(all), sure, equal)
	}
}

func TestComparingMoneyAllocatesNothing(t *testing.T) {
	c := comparer{like: []likeness{likeNumber}}
	a, b := floatCell(1234.5), textCell("1234.50")
	if n := testing.AllocsPerRun(100, func() {
		if !c.same(0, &a, &b) {
			t.Fatal("1234.5 is not 1234.50")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
