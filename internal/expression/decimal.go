package expression

import (
	"errors"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// A Decimal has at most maxDigits digits, of which maxScale stand behind the point: more than any database column holds, and
// few enough that no expression can make a worker spend its time on one row.
const (
	maxScale  = 1000
	maxDigits = 2000
	// quotientDigits are the significant digits of a division that does not come out even.
	quotientDigits = 28
)

var (
	errRange  = errors.New("numeric value out of range")
	errNumber = errors.New("not a number")
)

// decimal is coefficient / 10^scale. It is exact; big holds the coefficient where 63 bits do not.
type decimal struct {
	n     int64
	scale int64 // below zero only where OfDecimal was given that
	big   *big.Int
}

var powers = func() (p [19]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

func bigPower(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }

// number returns Int, Decimal or Float as a decimal. Errors are NaN and infinities; no other type gets here.
func (v Value) number() (decimal, error) {
	switch v.kind {
	case Int:
		return decimal{n: v.n}, nil
	case Decimal:
		if v.x() != nil {
			return decimal{big: v.x().big, scale: int64(v.low)}, nil
		}
		return decimal{n: v.n, scale: int64(v.low)}, nil
	case Float:
		return decimalOfFloat(v.Float64())
	}
	return decimal{}, errNumber
}

// value returns the Decimal, or an error value if it has too many digits.
func (d decimal) value() Value {
	if d.big == nil {
		return Value{kind: Decimal, n: d.n, low: uint64(d.scale)}
	}
	if d.scale < 0 {
		if -d.scale > maxDigits {
			return fail("22003", "%v", errRange)
		}
		d.big, d.scale = new(big.Int).Mul(d.big, bigPower(-d.scale)), 0
	}
	// 3.33 bits make a digit.
	if d.scale > maxScale || int64(d.big.BitLen()) > maxDigits*333/100 {
		return fail("22003", "%v", errRange)
	}
	if d.big.IsInt64() {
		return Value{kind: Decimal, n: d.big.Int64(), low: uint64(d.scale)}
	}
	v := withExtra(Decimal, 0, &extra{big: d.big})
	v.low = uint64(d.scale)
	return v
}

func (d decimal) coefficient() *big.Int {
	if d.big != nil {
		return d.big
	}
	return big.NewInt(d.n)
}

func (d decimal) sign() int {
	if d.big != nil {
		return d.big.Sign()
	}
	return compareInts(d.n, 0)
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// scaled returns n * 10^k if it fits.
func scaled(n, k int64) (int64, bool) {
	if k == 0 || n == 0 {
		return n, true
	}
	if k >= int64(len(powers)) {
		return 0, false
	}
	return multiply(n, powers[k])
}

func multiply(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 || lo > math.MaxInt64 {
		if hi == 0 && lo == 1<<63 && (a < 0) != (b < 0) {
			return math.MinInt64, true
		}
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func plus(a, b int64) (int64, bool) {
	c := a + b
	return c, (a >= 0) != (b >= 0) || (c >= 0) == (a >= 0)
}

// align brings two decimals to the same scale, if 63 bits are enough for both.
func align(a, b decimal) (x, y, scale int64, ok bool) {
	if a.big != nil || b.big != nil {
		return 0, 0, 0, false
	}
	x, y, scale = a.n, b.n, a.scale
	ok = true
	switch {
	case a.scale < b.scale:
		scale = b.scale
		x, ok = scaled(x, b.scale-a.scale)
	case a.scale > b.scale:
		y, ok = scaled(y, a.scale-b.scale)
	}
	return x, y, scale, ok
}

func alignBig(a, b decimal) (x, y *big.Int, scale int64) {
	x, y = a.coefficient(), b.coefficient()
	switch {
	case a.scale < b.scale:
		return new(big.Int).Mul(x, bigPower(b.scale-a.scale)), y, b.scale
	case a.scale > b.scale:
		return x, new(big.Int).Mul(y, bigPower(a.scale-b.scale)), a.scale
	}
	return x, y, a.scale
}

func (d decimal) add(e decimal) decimal {
	if x, y, scale, ok := align(d, e); ok {
		if sum, ok := plus(x, y); ok {
			return decimal{n: sum, scale: scale}
		}
	}
	x, y, scale := alignBig(d, e)
	return decimal{big: new(big.Int).Add(x, y), scale: scale}
}

func (d decimal) negate() decimal {
	if d.big == nil && d.n != math.MinInt64 {
		return decimal{n: -d.n, scale: d.scale}
	}
	return decimal{big: new(big.Int).Neg(d.coefficient()), scale: d.scale}
}

func (d decimal) multiply(e decimal) decimal {
	scale := d.scale + e.scale
	if d.big == nil && e.big == nil && scale <= maxScale {
		if n, ok := multiply(d.n, e.n); ok {
			return decimal{n: n, scale: scale}
		}
	}
	return decimal{big: new(big.Int).Mul(d.coefficient(), e.coefficient()), scale: scale}
}

// divide returns d / e without trailing zeros: exactly where that takes at most 28 significant digits, else rounded to them,
// half to even. e is not zero.
func (d decimal) divide(e decimal) decimal {
	if x, y, _, ok := align(d, e); ok {
		// Most divisors in plans are 100, 1000, 1.25 and their like: they come out even after a few digits.
		for k := int64(0); k < 8; k++ {
			num, ok := scaled(x, k)
			if !ok {
				break
			}
			if num%y == 0 && !(num == math.MinInt64 && y == -1) {
				return decimal{n: num / y, scale: k}.stripped()
			}
		}
	}
	x, y, _ := alignBig(d, e)
	// digits(x) - digits(y) is off by one at most, so two more than wanted are always enough; the rest is rounded away.
	shift := max(quotientDigits+2-(digits(x)-digits(y)), 0)
	q, r := new(big.Int).QuoRem(new(big.Int).Mul(x, bigPower(shift)), y, new(big.Int))
	out := decimal{big: q, scale: shift}
	if r.Sign() != 0 {
		// A digit that stands for the rest keeps what lies just above a half from being rounded as one.
		sticky := int64(x.Sign() * y.Sign())
		out.big = q.Mul(q, big.NewInt(10)).Add(q, big.NewInt(sticky))
		out.scale++
	}
	if over := digits(out.big) - quotientDigits; over > 0 {
		out = out.round(out.scale-over, halfEven)
	}
	return out.stripped()
}

// remainder returns what is left of d when e is taken from it as often as possible; it has the sign of d, as in SQL.
func (d decimal) remainder(e decimal) decimal {
	if x, y, scale, ok := align(d, e); ok {
		if y == -1 {
			return decimal{scale: scale}
		}
		return decimal{n: x % y, scale: scale}
	}
	x, y, scale := alignBig(d, e)
	return decimal{big: new(big.Int).Rem(x, y), scale: scale}
}

func (d decimal) compare(e decimal) int {
	if x, y, _, ok := align(d, e); ok {
		return compareInts(x, y)
	}
	x, y, _ := alignBig(d, e)
	return x.Cmp(y)
}

func digits(n *big.Int) int64 {
	s := int64(len(n.Text(10)))
	if n.Sign() < 0 {
		s--
	}
	return s
}

// stripped takes zeros off the end, down to a scale of 0.
func (d decimal) stripped() decimal {
	if d.big != nil {
		ten, r := big.NewInt(10), new(big.Int)
		n, q := new(big.Int).Set(d.big), new(big.Int)
		for d.scale > 0 {
			if q.QuoRem(n, ten, r); r.Sign() != 0 {
				break
			}
			n, q = q, n
			d.scale--
		}
		d.big = n
		return d
	}
	for d.scale > 0 && d.n%10 == 0 {
		d.n, d.scale = d.n/10, d.scale-1
	}
	return d
}

// int64 returns a whole decimal, and whether it is whole and fits.
func (d decimal) int64() (n int64, whole, fits bool) {
	if d.scale > 0 {
		d = d.stripped()
	}
	if d.scale > 0 {
		return 0, false, false
	}
	if d.big != nil {
		return d.big.Int64(), true, d.big.IsInt64()
	}
	return d.n, true, true
}

func (d decimal) float() float64 {
	if d.big == nil && d.scale == 0 {
		return float64(d.n)
	}
	f, _ := strconv.ParseFloat(string(d.append(nil)), 64) // the text of a decimal is a number; too large is +Inf
	return f
}

// append writes digits, with a point where the scale asks for one.
func (d decimal) append(dst []byte) []byte {
	start := len(dst)
	if d.big != nil {
		dst = d.big.Append(dst, 10)
	} else {
		dst = strconv.AppendInt(dst, d.n, 10)
	}
	if d.scale <= 0 {
		return dst
	}
	if dst[start] == '-' {
		start++
	}
	for int64(len(dst)-start) <= d.scale {
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	point := len(dst) - int(d.scale)
	dst = append(dst, 0)
	copy(dst[point+1:], dst[point:])
	dst[point] = '.'
	return dst
}

// decimalOfFloat returns the decimal of a float's shortest text: 19.99 is 19.99, not 19.989999999999998436805981327779591083526611328125.
func decimalOfFloat(f float64) (decimal, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return decimal{}, errRange
	}
	// Any two decimals of at most 15 digits are two float64s. So one of 15 digits that gives f is the shortest text's.
	for k := range 7 {
		p := float64(powers[k])
		n := math.Round(f * p)
		if math.Abs(n) >= 1e15 {
			break
		}
		if n/p == f {
			return decimal{n: int64(n), scale: int64(k)}, nil
		}
	}
	var buf [32]byte
	return parseDecimal(string(strconv.AppendFloat(buf[:0], f, 'e', -1, 64)))
}

// parseDecimal reads 12, -12.50, .5 and 1.5e-3. Errors are errNumber and errRange.
func parseDecimal(s string) (decimal, error) {
	rest, negative := s, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		negative = rest[0] == '-'
		rest = rest[1:]
	}
	exponent := int64(0)
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		e, err := strconv.ParseInt(rest[i+1:], 10, 32)
		if err != nil {
			if errors.Is(err, strconv.ErrRange) {
				return decimal{}, errRange
			}
			return decimal{}, errNumber
		}
		exponent, rest = e, rest[:i]
	}
	n, scale, count, fits := int64(0), int64(0), 0, true
	point := false
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			return decimal{}, errNumber
		}
		count++
		if point {
			scale++
		}
		if fits = fits && n <= (math.MaxInt64-9)/10; fits {
			n = n*10 + int64(c-'0')
		}
	}
	if count == 0 {
		return decimal{}, errNumber
	}
	d := decimal{n: n, scale: scale - exponent}
	if !fits {
		if count > maxDigits {
			return decimal{}, errRange
		}
		d.big, _ = new(big.Int).SetString(strings.Replace(rest, ".", "", 1), 10) // digits only, as seen above
	}
	if d.sign() == 0 {
		return decimal{scale: min(max(d.scale, 0), maxScale)}, nil
	}
	if d.scale > maxScale || d.scale < -maxDigits {
		return decimal{}, errRange
	}
	if negative {
		d = d.negate()
	}
	return d.raised(), nil
}

// numberOfJSON makes an Int of a whole number that fits, and a Decimal of any other.
func numberOfJSON(s string) Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return OfInt(n)
	}
	d, err := parseDecimal(s)
	if err != nil {
		return fail("22003", "%s is no number: %v", quote(s), err)
	}
	return d.value()
}

// ParseDecimal makes a Decimal of a text like -1234.50 or 1.5e3. Errors are *ValueError, with 22P02 or 22003.
func ParseDecimal(text string) (Value, error) {
	d, err := parseDecimal(text)
	if errors.Is(err, errRange) {
		return Value{}, &ValueError{Reason: quote(text) + " is out of range", Code: "22003"}
	}
	if err != nil {
		return Value{}, &ValueError{Reason: quote(text) + " is no number", Code: "22P02"}
	}
	v := d.value()
	if v.kind == failed {
		return Value{}, v.x().err
	}
	return v, nil
}
