package sqldb

import "encoding/binary"

// Most numbers that people migrate have less than 19 digits. These are taken as a whole number and a power of ten, without writing out
// their digits: n / 10^scale.

// The bounds of what is taken this way.
const (
	maxScaledDigits = 18
	maxScaledScale  = 16
)

// powers are the powers of ten that fit.
var powers = func() (p [maxScaledDigits + 1]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 10 * p[i-1]
	}
	return p
}()

// parseScaled reads [+-]digits[.digits] of at most 18 digits in all, zeros included.
func parseScaled(s string) (n int64, scale int, ok bool) {
	i, point := 0, -1
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	digits := 0
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && point < 0 {
			point = i
			continue
		}
		if c < '0' || c > '9' || digits == maxScaledDigits {
			return 0, 0, false
		}
		n = 10*n + int64(c-'0')
		digits++
	}
	if point >= 0 {
		scale = len(s) - point - 1
	}
	if s != "" && s[0] == '-' {
		n = -n
	}
	return n, scale, digits > 0
}

// scaled returns a whole number, a decimal or the text of one, exactly.
func (c *cell) scaled() (n int64, scale int, ok bool) {
	switch c.kind {
	case cellInt:
		return c.int(), 0, true
	case cellDecimal:
		return c.int(), int(c.scale), true
	case cellText:
		return parseScaled(c.s)
	}
	return 0, 0, false
}

// sameScaled reports whether two numbers are the same, and whether it is sure: not of those that do not fit.
func sameScaled(a, b *cell) (same, sure bool) {
	if a.kind == cellFloat {
		a, b = b, a
	}
	n, scale, ok := a.scaled()
	if !ok {
		return false, false
	}
	if b.kind == cellFloat {
		m, ok := scaledFloat(b.float(), scale)
		return m == n, ok
	}
	m, other, ok := b.scaled()
	if !ok {
		return false, false
	}
	if scale > other {
		n, scale, m, other = m, other, n, scale
	}
	for other > scale && m%10 == 0 {
		m, other = m/10, other-1
	}
	return m == n && other == scale || m == 0 && n == 0, true
}

// appendScaledNumeric appends the binary form of n / 10^scale for a numeric column. It gives up where the number does not fit into the
// column, or into what is taken this way.
func (c *codec) appendScaledNumeric(dst []byte, v *cell) ([]byte, bool) {
	whole := c.dst.Precision - c.dst.Scale
	n, scale, ok := v.scaled()
	if v.kind == cellFloat {
		if scale = c.dst.Scale; c.dst.Precision == 0 {
			scale = 0
		}
		n, ok = scaledFloat(v.float(), scale)
	}
	if !ok || scale > maxScaledScale || c.dst.Precision > 0 && (c.dst.Scale < 0 || whole < 0) {
		return dst, false
	}
	u, sign, shown := uint64(n), byte(0), scale
	if n < 0 {
		u, sign = -u, 0x40
	}
	if u == 0 {
		sign, scale = 0, 0
	}
	for scale > 0 && u%10 == 0 {
		u, scale = u/10, scale-1
	}
	w, f := u/powers[scale], u%powers[scale]
	if c.dst.Precision > 0 {
		if shown = c.dst.Scale; scale > shown || whole < len(powers) && w >= powers[whole] {
			return dst, false
		}
	}
	var groups [10]uint16 // of four digits, the last ones last
	at, behind := len(groups), (scale+3)/4
	for f *= powers[4*behind-scale]; behind > 0; behind-- {
		at--
		groups[at], f = uint16(f%10_000), f/10_000
	}
	weight := -1
	for ; w > 0; w /= 10_000 {
		at--
		groups[at] = uint16(w % 10_000)
		weight++
	}
	end := len(groups)
	for ; at < end && groups[at] == 0; at++ {
		weight--
	}
	for end > at && groups[end-1] == 0 {
		end--
	}
	if at == end {
		weight = 0
	}
	count := end - at
	dst = append(dst, 0, 0, 0, byte(8+2*count), 0, byte(count), byte(weight>>8), byte(weight), sign, 0, byte(shown>>8), byte(shown))
	for _, g := range groups[at:end] {
		dst = binary.BigEndian.AppendUint16(dst, g)
	}
	return dst, true
}
