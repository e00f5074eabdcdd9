package expression

import (
	"math"
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// drawDecimal draws decimals, near the borders of 63 bits as often as anywhere.
func drawDecimal(t *rapid.T, name string) decimal {
	scale := rapid.Int64Range(0, 25).Draw(t, name+" scale")
	if rapid.Bool().Draw(t, name+" is large") {
		n, _ := new(big.Int).SetString(rapid.StringMatching(`-?[1-9][0-9]{0,40}`).Draw(t, name), 10)
		return decimal{big: n, scale: scale}
	}
	n := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2000, 2000), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, math.MinInt64 + 1, 0, 1, -1, 10, 100})).Draw(t, name)
	return decimal{n: n, scale: scale}
}

func (d decimal) rat() *big.Rat {
	return new(big.Rat).SetFrac(d.coefficient(), bigPower(d.scale))
}

func same(t *rapid.T, what string, got decimal, want *big.Rat) {
	if got.rat().Cmp(want) != 0 {
		t.Fatalf("%s is %s, want %s", what, got.append(nil), want.FloatString(40))
	}
}

func TestDecimalsCalculateAsRationalsDo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDecimal(t, "a"), drawDecimal(t, "b")
		x, y := a.rat(), b.rat()
		same(t, "sum", a.add(b), new(big.Rat).Add(x, y))
		same(t, "difference", a.add(b.negate()), new(big.Rat).Sub(x, y))
		same(t, "product", a.multiply(b), new(big.Rat).Mul(x, y))
		if got := a.compare(b); got != x.Cmp(y) {
			t.Fatalf("comparison is %d, want %d", got, x.Cmp(y))
		}
		if b.sign() == 0 {
			return
		}
		quotient := new(big.Rat).Quo(x, y)
		whole := new(big.Int).Quo(quotient.Num(), quotient.Denom())
		same(t, "remainder", a.remainder(b), new(big.Rat).Sub(x, new(big.Rat).Mul(y, new(big.Rat).SetInt(whole))))
		got := a.divide(b)
		if got.scale > 0 && got.stripped().scale != got.scale {
			t.Fatalf("quotient %s has zeros at its end", got.append(nil))
		}
		diff := new(big.Rat).Sub(got.rat(), quotient)
		// Half a unit in the 28th digit is the most that rounding may take.
		limit := new(big.Rat).Mul(new(big.Rat).Abs(quotient), big.NewRat(1, 2))
		limit.Quo(limit, new(big.Rat).SetInt(bigPower(quotientDigits-1)))
		if diff.Abs(diff).Cmp(limit) > 0 {
			t.Fatalf("quotient is %s, want %s", got.append(nil), quotient.FloatString(40))
		}
	})
}

func TestDecimalsRoundAsRationalsDo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDecimal(t, "d")
		places := rapid.Int64Range(-25, 25).Draw(t, "places")
		for name, mode := range roundings {
			got := d.round(places, mode)
			same(t, name, got, roundedRat(d, places, mode))
		}
	})
}

// roundedRat rounds by the words of each mode.
func roundedRat(d decimal, places int64, mode rounding) *big.Rat {
	if places >= d.scale {
		return d.rat()
	}
	unit := new(big.Rat).SetInt(bigPower(max(places, -places)))
	if places > 0 {
		unit.Inv(unit)
	}
	scaled := new(big.Rat).Quo(d.rat(), unit)
	low := new(big.Int).Div(scaled.Num(), scaled.Denom()) // towards minus infinity, as the denominator is above zero
	rest := new(big.Rat).Sub(scaled, new(big.Rat).SetInt(low))
	negative := d.sign() < 0
	half := rest.Cmp(big.NewRat(1, 2))
	more := false
	switch mode {
	case halfUp:
		more = half > 0 || half == 0 && !negative
	case halfDown:
		more = half > 0 || half == 0 && negative
	case halfEven:
		more = half > 0 || half == 0 && low.Bit(0) == 1
	case up:
		more = rest.Sign() > 0 && !negative
	case down:
		more = rest.Sign() > 0 && negative
	case ceiling:
		more = rest.Sign() > 0
	}
	if more {
		low.Add(low, big.NewInt(1))
	}
	return new(big.Rat).Mul(new(big.Rat).SetInt(low), unit)
}

func TestADecimalIsReadFromItsText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawDecimal(t, "d")
		text := string(d.append(nil))
		got, err := parseDecimal(text)
		if err != nil || got.scale != d.scale || got.rat().Cmp(d.rat()) != 0 {
			t.Fatalf("%s is read as %s, %v", text, got.append(nil), err)
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok || want.Cmp(d.rat()) != 0 {
			t.Fatalf("%s is the text of %s", text, d.rat())
		}
	})
}

func TestAFloatIsTheDecimalOfItsShortestText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.OneOf(rapid.Float64(), rapid.Custom(func(t *rapid.T) float64 {
			return float64(rapid.Int64Range(-1e15, 1e15).Draw(t, "n")) / float64(powers[rapid.IntRange(0, 8).Draw(t, "places")])
		})).Draw(t, "f")
		d, err := decimalOfFloat(f)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := new(big.Rat).SetString(strconv.FormatFloat(f, 'f', -1, 64))
		same(t, strconv.FormatFloat(f, 'g', -1, 64), d, want)
		if v := d.value(); v.kind == Decimal && v.Float64() != f {
			t.Fatalf("%v comes back as %v", f, v.Float64())
		}
	})
}

func TestNumbersThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "-", ".", "1.2.3", "1e", "1e+", "e5", "0x10", "1_000", "١", "NaN", "Inf", "1 2", "--1", "1-", "1e99999999999999999999", "1e2001", "1e-1001"} {
		if v, err := ParseDecimal(text); err == nil {
			t.Errorf("%q is %v", text, v)
		}
	}
	for text, want := range map[string]string{"1.": "1", ".5": "0.5", "+7": "7", "-0": "0", "1e3": "1000", "1E-3": "0.001", "0e5000": "0", "00012": "12", "-9223372036854775808": "-9223372036854775808", "1.5e1": "15"} {
		if v, err := ParseDecimal(text); err != nil || v.String() != want {
			t.Errorf("%q is %v, %v, want %s", text, v, err, want)
		}
	}
}
