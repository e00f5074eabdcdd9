package expression

import (
	"math/big"
)

type rounding uint8

// The ways to round.
const (
	halfUp   rounding = iota // a half away from zero, as in commerce
	halfEven                 // a half to the even neighbour, as banks do
	halfDown                 // a half towards zero
	up                       // away from zero
	down                     // towards zero
	ceiling                  // towards plus infinity
	floor                    // towards minus infinity
)

var roundings = map[string]rounding{
	"half_up": halfUp, "half_even": halfEven, "half_down": halfDown, "up": up, "down": down, "ceiling": ceiling, "floor": floor,
}

// away reports whether the last digit that stays grows away from zero: half is the comparison of what goes with a half.
func (m rounding) away(half int, odd, negative bool) bool {
	switch m {
	case halfUp:
		return half >= 0
	case halfEven:
		return half > 0 || half == 0 && odd
	case halfDown:
		return half > 0
	case up:
		return true
	case ceiling:
		return !negative
	case floor:
		return negative
	}
	return false
}

// round cuts a decimal to some places behind the point; below zero, to tens and hundreds. It never adds places.
func (d decimal) round(places int64, mode rounding) decimal {
	drop := d.scale - places
	if drop <= 0 {
		return d
	}
	if d.big == nil && drop < int64(len(powers)) {
		p := powers[drop]
		q, r := d.n/p, d.n%p
		if r != 0 {
			rest := magnitude(r)
			if mode.away(compareInts(int64(rest-uint64(p)/2), 0), q%2 != 0, d.n < 0) {
				if d.n < 0 {
					q--
				} else {
					q++
				}
			}
		}
		return decimal{n: q, scale: places}.raised()
	}
	c := d.coefficient()
	if drop > maxDigits+maxScale {
		drop = maxDigits + maxScale + 1
	}
	p := bigPower(drop)
	q, r := new(big.Int).QuoRem(c, p, new(big.Int))
	if r.Sign() != 0 {
		half := r.Abs(r).Lsh(r, 1).Cmp(p)
		if mode.away(half, q.Bit(0) == 1, c.Sign() < 0) {
			q.Add(q, big.NewInt(int64(c.Sign())))
		}
	}
	return decimal{big: q, scale: places}.raised()
}

// raised gives a decimal with a scale below zero a scale of zero.
func (d decimal) raised() decimal {
	if d.scale >= 0 {
		return d
	}
	if n, ok := scaled(d.n, -d.scale); ok && d.big == nil {
		return decimal{n: n}
	}
	return decimal{big: new(big.Int).Mul(d.coefficient(), bigPower(-d.scale))}
}
