package expression

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func init() {
	register("Numbers and money", []Function{
		{Signature: "round(x number, places int?, mode text!?)", Gives: "int of an int, else decimal", gives: Decimal, bind: bindRound,
			Summary:  "x with so many places, 0 if not said; below zero, tens and hundreds. Modes: half_up (away from zero; the default), half_even, half_down, up, down, ceiling, floor.",
			Errors:   "22003 no number, or too large",
			Examples: []string{`round(2.345, 2) → 2.35`, `round(-2.5) → decimal(-3)`, `round(2.5, 0, "half_even") → decimal(2)`, `round(1250, -2) → 1300`, `round(1.5, 4) → 1.5`}},
		{Signature: "floor(x number)", Gives: "int of an int, else decimal", gives: Decimal, Summary: "The nearest whole number that is not larger.", Examples: []string{`floor(-1.5) → decimal(-2)`}, bind: bindRounding(floor)},
		{Signature: "ceil(x number)", Gives: "int of an int, else decimal", gives: Decimal, Summary: "The nearest whole number that is not smaller.", Examples: []string{`ceil(1.1) → decimal(2)`}, bind: bindRounding(ceiling)},
		{Signature: "trunc(x number)", Gives: "int of an int, else decimal", gives: Decimal, Summary: "x without what stands behind the point.", Examples: []string{`trunc(-1.9) → decimal(-1)`}, bind: bindRounding(down)},
		{Signature: "abs(x number)", Gives: "int of an int, else decimal", gives: Decimal, Summary: "x without its sign.", Errors: "22003 the smallest int has no positive twin", Examples: []string{`abs(-7) → 7`, `abs(-1.5) → 1.5`}, bind: bindNumber(abs)},
		{Signature: "sign(x number)", gives: Int, Summary: "-1, 0 or 1.", Examples: []string{`sign(-0.01) → -1`}, impl: impl{one: sign}},
		{Signature: "min(x any, y any...?)", Gives: "the type of its arguments", bind: bindExtreme(-1), Summary: "The smallest of its arguments, or of the elements of one list.", Null: "NULL if an argument is NULL; elements that are NULL are left out", mayNull: true,
			Examples: []string{`min(3, 2.5) → 2.5`, `min(["b", "a"]) → "a"`, `min(1, nil) → nil`}},
		{Signature: "max(x any, y any...?)", Gives: "the type of its arguments", bind: bindExtreme(1), Summary: "The largest of its arguments, or of the elements of one list.", Null: "NULL if an argument is NULL; elements that are NULL are left out", mayNull: true,
			Examples: []string{`max(3, 2) → 3`, `max(date("2024-01-01"), date("2024-02-01")) → date("2024-02-01")`, `max([]) → nil`}},
		{Signature: "fixed(x number, places int)", gives: Text, Summary: "The text of x, rounded half up, with exactly so many places.", Errors: "22023 places is not 0 to 100", Examples: []string{`fixed(2.5, 2) → "2.50"`, `fixed(19.995, 2) → "20.00"`}, impl: impl{two: fixed}},
		{Signature: "money(x text, point text!, group text!?)", gives: Decimal, bind: bindMoney,
			Summary: "The amount in a text, with what stands for the point and, if given, what stands between groups of digits. Currency signs and codes, and blanks at the ends, are left out; a minus may stand in front or behind, or brackets around.",
			Errors:  "22P02 it is no amount, also if a group has not two or three digits", Examples: []string{`money("1.234,56 €", ",", ".") → 1234.56`, `money("CHF 1'234.50", ".", "'") → 1234.50`, `money("($5.00)", ".", ",") → -5.00`, `money("1.23", ",", ".") → error 22P02`}},
		{Signature: "cents(x number)", gives: Int, Summary: "x * 100, exactly.", Errors: "22003 it is not whole: round(x, 2) first", Examples: []string{`cents(19.99) → 1999`, `cents(1.005) → error 22003`}, impl: impl{one: cents}},
		{Signature: "from_cents(n int)", gives: Decimal, Summary: "n / 100, with two places.", Examples: []string{`from_cents(1999) → 19.99`}, impl: impl{one: func(n Value) Value { return OfDecimal(n.n, 2) }}},
	})
}

// bindNumber makes a function that gives an Int of an Int, and a Decimal of all other numbers.
func bindNumber(f func(a Value) Value) func(*binding) (impl, error) {
	return func(b *binding) (impl, error) {
		typ := numberType(b.args[0].typ)
		if typ == Int {
			return impl{typ: typ, one: f}, nil
		}
		return impl{typ: typ, one: func(a Value) Value { return asDecimal(f(a)) }}, nil
	}
}

// numberType is what a function of one number gives; what may be any number is a Decimal.
func numberType(t Type) Type {
	if t == Int {
		return Int
	}
	return Decimal
}

func bindRounding(mode rounding) func(*binding) (impl, error) {
	return func(b *binding) (impl, error) {
		typ := numberType(b.args[0].typ)
		return impl{typ: typ, one: func(x Value) Value { return roundTo(x, 0, mode, typ) }}, nil
	}
}

func bindRound(b *binding) (impl, error) {
	mode := halfUp
	if name, ok := b.text(2); ok {
		if mode, ok = roundings[name]; !ok {
			return impl{}, b.errorf(2, "half_up, half_even, half_down, up, down, ceiling or floor", "there is no way of rounding %s", quote(name))
		}
	}
	typ := numberType(b.args[0].typ)
	return impl{
		typ:   typ,
		one:   func(x Value) Value { return roundTo(x, 0, mode, typ) },
		two:   func(x, places Value) Value { return roundTo(x, places.n, mode, typ) },
		three: func(x, places, _ Value) Value { return roundTo(x, places.n, mode, typ) },
	}, nil
}

// roundTo gives what the program has promised: a number whose type is known only with a row becomes a Decimal.
func roundTo(x Value, places int64, mode rounding, typ Type) Value {
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	places = min(max(places, -maxDigits-1), maxScale)
	d = d.round(places, mode)
	if typ == Int {
		n, _, fits := d.int64()
		if !fits {
			return fail("22003", "%s rounded does not fit into 64 bits", x)
		}
		return OfInt(n)
	}
	return d.value()
}

func abs(x Value) Value {
	if x.kind == Int {
		if x.n < 0 {
			return subtract(OfInt(0), x)
		}
		return x
	}
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	if d.sign() < 0 {
		d = d.negate()
	}
	return d.value()
}

func sign(x Value) Value {
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	return OfInt(int64(d.sign()))
}

func fixed(x, places Value) Value {
	if places.n < 0 || places.n > 100 {
		return fail("22023", "fixed has 0 to 100 places, not %d", places.n)
	}
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	d = d.round(places.n, halfUp)
	d = d.add(decimal{scale: places.n})
	return ofBuffer(d.append(nil))
}

func bindExtreme(wanted int) func(*binding) (impl, error) {
	better := func(best, v Value) Value {
		order, bad := compare(v, best)
		if bad.kind == failed {
			return bad
		}
		if order == wanted {
			return v
		}
		return best
	}
	return func(b *binding) (impl, error) {
		if len(b.args) == 1 && (b.args[0].typ == JSON || b.args[0].typ == Any || b.args[0].typ == Null) {
			return impl{one: func(l Value) Value { return extremeOf(l, better) }}, nil
		}
		typ, err := b.c.unify(b.args)
		if err != nil {
			return impl{}, err
		}
		if typ == JSON {
			return impl{}, b.errorf(0, "", "documents have no order")
		}
		return impl{typ: typ, many: func(_ *Row, args []Value) Value {
			best := args[0]
			for _, v := range args[1:] {
				if best = better(best, v); best.kind == failed {
					return best
				}
			}
			if typ == Decimal {
				return asDecimal(best)
			}
			return best
		}}, nil
	}
}

func extremeOf(l Value, better func(best, v Value) Value) Value {
	list, bad := elements(l)
	if bad.kind == failed {
		return bad
	}
	best := Value{}
	for _, e := range list {
		v := fromDocument(e)
		switch {
		case v.kind == failed:
			return v
		case v.kind == Any:
			continue
		case best.kind == Any:
			best = v
			continue
		}
		if best = better(best, v); best.kind == failed {
			return best
		}
	}
	return best
}

func cents(x Value) Value {
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	n, whole, fits := d.multiply(decimal{n: 100}).int64()
	switch {
	case !whole:
		return fail("22003", "%s has more than two places: round(x, 2) says how to drop them", x)
	case !fits:
		return fail("22003", "%s * 100 does not fit into 64 bits", x)
	}
	return OfInt(n)
}

func bindMoney(b *binding) (impl, error) {
	point, _ := b.text(1)
	group, _ := b.text(2)
	for i, s := range []string{point, group} {
		if utf8.RuneCountInString(s) != 1 && (i == 0 || s != "") || strings.ContainsAny(s, "0123456789-()") {
			return impl{}, b.errorf(min(i+1, len(b.args)-1), `money(x, ",", ".") reads 1.234,56`, "a separator is one character, and no digit or sign")
		}
	}
	if point == group {
		return impl{}, b.errorf(2, `money(x, ",", ".") reads 1.234,56`, "the point and what stands between groups are the same")
	}
	read := func(x Value) Value {
		d, ok := readMoney(x.s(), point, group)
		if !ok {
			return fail("22P02", "%s is no amount with %q as its point", quote(x.s()), point)
		}
		return d.value()
	}
	return impl{two: func(x, _ Value) Value { return read(x) }, three: func(x, _, _ Value) Value { return read(x) }}, nil
}

// currencies are the signs of letters that people write beside amounts; codes of three capital letters need no list.
var currencies = []string{"kr.", "kr", "Kr.", "Kr", "Fr.", "Fr", "sFr.", "zł", "Kč", "Ft", "lei", "Lei", "лв", "руб.", "Rs.", "Rs", "R", "RM", "Rp"}

// trimCurrency takes one sign or code, and blanks, off each end. Any other letter stays, and makes the text no amount: 12O is not 12.
func trimCurrency(s string) string {
	sign := func(r rune) bool { return unicode.Is(unicode.Sc, r) || unicode.IsSpace(r) }
	s = strings.TrimFunc(s, sign)
	for _, c := range currencies {
		if rest, ok := strings.CutPrefix(s, c); ok && !startsWithLetter(rest) {
			s = rest
			break
		}
		if rest, ok := strings.CutSuffix(s, c); ok {
			s = rest
			break
		}
	}
	if len(s) > 3 && isCode(s[:3]) && !startsWithLetter(s[3:]) {
		s = s[3:]
	} else if n := len(s) - 3; n > 0 && isCode(s[n:]) {
		s = s[:n]
	}
	return strings.TrimFunc(s, sign)
}

func startsWithLetter(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r)
}

func isCode(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func readMoney(s, point, group string) (decimal, bool) {
	s = trimCurrency(s)
	negative := false
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") {
		negative, s = true, s[1:len(s)-1]
	}
	s = strings.ReplaceAll(s, "−", "-")
	if rest, ok := strings.CutPrefix(s, "-"); ok && !negative {
		negative, s = true, rest
	} else if rest, ok := strings.CutSuffix(s, "-"); ok && !negative {
		negative, s = true, rest
	}
	s = trimCurrency(s)
	whole, fraction, pointed := strings.Cut(s, point)
	if pointed && fraction == "" || whole == "" && fraction == "" {
		return decimal{}, false
	}
	if group != "" {
		if group == "'" {
			whole = strings.ReplaceAll(whole, "’", "'")
		}
		if group == " " {
			whole = strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(whole)
		}
		parts := strings.Split(whole, group)
		for i, p := range parts {
			if i > 0 && len(p) != 3 && (len(p) != 2 || i == len(parts)-1) || len(parts) > 1 && (len(p) == 0 || len(p) > 3) {
				return decimal{}, false
			}
		}
		whole = strings.Join(parts, "")
	}
	if strings.Trim(whole+fraction, "0123456789") != "" {
		return decimal{}, false
	}
	d, err := parseDecimal(whole + "." + fraction)
	if err == nil && negative {
		d = d.negate()
	}
	return d, err == nil
}
