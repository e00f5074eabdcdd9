package expression

import (
	"strings"

	"github.com/expr-lang/expr/ast"
)

func (c *compiler) unary(n *ast.UnaryNode) (code, error) {
	x, err := c.compile(n.Node)
	if err != nil {
		return code{}, err
	}
	if n.Operator == "not" || n.Operator == "!" {
		if x, err = c.condition(x); err != nil {
			return code{}, err
		}
		eval := x.eval
		return c.fold(code{typ: Bool, nullable: x.nullable, node: n, eval: func(r *Row) Value {
			v := eval(r)
			if v.kind == Bool {
				v.n ^= 1
			}
			return v
		}}, x)
	}
	switch {
	case x.typ == Null:
		return constant(n, Value{}), nil
	case x.typ != Any && !x.typ.isNumber():
		return code{}, c.errorf(n, "", "%s needs a number, and %s", n.Operator, c.describe(x))
	}
	typ := x.typ
	if typ == Float {
		typ = Decimal
	}
	eval, sub := x.eval, subtract
	if n.Operator == "+" {
		sub = func(_, v Value) Value { return add(OfInt(0), v) }
	}
	return c.fold(c.placed(n, code{typ: typ, nullable: x.nullable, node: n, eval: func(r *Row) Value {
		v := eval(r)
		if v.stops() {
			return v
		}
		return sub(Value{kind: Int}, v)
	}}), x)
}

// spot is where an operator or function stands.
type spot struct{ line, column int }

func (c *compiler) spot(n ast.Node) spot {
	line, column := c.place(n)
	return spot{line, column}
}

// mark gives an error that has no place yet this one.
func (at spot) mark(v Value) Value {
	if v.kind == failed {
		at.place(v)
	}
	return v
}

func (at spot) place(v Value) {
	if e, ok := v.x().err.(*ValueError); ok && e.Line == 0 {
		e.Line, e.Column = at.line, at.column
	}
}

// placed gives errors of code the place where it stands.
func (c *compiler) placed(n ast.Node, x code) code {
	at, eval := c.spot(n), x.eval
	x.eval = func(r *Row) Value { return at.mark(eval(r)) }
	return x
}

func (c *compiler) binary(n *ast.BinaryNode) (code, error) {
	switch n.Operator {
	case "|":
		return code{}, c.errorf(n, "", "a pipe leads to a function")
	case "**", "^":
		return code{}, c.errorf(n, "multiply, or do it in the source's query", "powers are not part of the language")
	case "..":
		return c.rangeList(n)
	case "in":
		return c.in(n)
	}
	left := n.Left
	if n.Operator == "??" {
		left = orNull(left)
	}
	x, err := c.compile(left)
	if err != nil {
		return code{}, err
	}
	y, err := c.compile(n.Right)
	if err != nil {
		return code{}, err
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		return c.logic(n, x, y)
	case "??":
		return c.coalesce(n, []code{x, y})
	case "==", "!=", "<", "<=", ">", ">=":
		return c.comparison(n, x, y)
	case "matches":
		return c.matches(n, x, y)
	case "contains", "startsWith", "endsWith":
		return c.textTest(n, x, y)
	case "+", "-", "*", "/", "%":
		return c.arithmetic(n, x, y)
	}
	return code{}, c.errorf(n, "", "there is no operator %s", n.Operator)
}

// orNull makes of a lookup without a default one whose default is NULL, where something else is said for NULL: `lookup("t", k) ?? x`
// would otherwise fail before it came to x.
func orNull(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.BinaryNode:
		if n.Operator == "??" {
			n.Right = orNull(n.Right) // of a ?? b ?? c
		}
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "lookup" && len(n.Arguments) == 2 {
			null := &ast.NilNode{}
			null.SetLocation(n.Location())
			n.Arguments = append(n.Arguments, null)
		}
	}
	return n
}

// logic is three-valued: false and NULL is false, true or NULL is true, all else with NULL is NULL.
func (c *compiler) logic(n *ast.BinaryNode, x, y code) (code, error) {
	var err error
	if x, err = c.condition(x); err != nil {
		return code{}, err
	}
	if y, err = c.condition(y); err != nil {
		return code{}, err
	}
	decides := int64(0) // the value that decides alone
	if n.Operator == "or" || n.Operator == "||" {
		decides = 1
	}
	left, right := x.eval, y.eval
	out := code{typ: Bool, nullable: x.nullable || y.nullable, node: n, eval: func(r *Row) Value {
		a := left(r)
		if a.kind == failed || a.kind == Bool && a.n == decides {
			return a
		}
		b := right(r)
		if b.kind != Bool || b.n == decides {
			return b
		}
		return a // NULL, or as undecided as b
	}}
	if x.constant && x.value.kind == Bool && x.value.n == decides {
		return c.fold(out, x)
	}
	return c.fold(out, x, y)
}

func (c *compiler) coalesce(n ast.Node, operands []code) (code, error) {
	typ, err := c.unify(operands)
	if err != nil {
		return code{}, err
	}
	out := code{typ: typ, nullable: true, node: n}
	evals := make([]func(*Row) Value, len(operands))
	for i, o := range operands {
		evals[i] = to(typ, o).eval
		out.nullable = out.nullable && o.nullable
	}
	if len(evals) == 2 {
		first, second := evals[0], evals[1]
		out.eval = func(r *Row) Value {
			if v := first(r); v.kind != Any {
				return v
			}
			return second(r)
		}
	} else {
		out.eval = func(r *Row) Value {
			for _, e := range evals {
				if v := e(r); v.kind != Any {
					return v
				}
			}
			return Value{}
		}
	}
	if operands[0].constant && !operands[0].nullable {
		return c.fold(out, operands[0])
	}
	return c.fold(out, operands...)
}

// textOperands makes sure that both sides of an operator are Text.
func (c *compiler) textOperands(n *ast.BinaryNode, x, y code) (code, code, error) {
	for _, o := range []*code{&x, &y} {
		switch o.typ {
		case Text, Null:
		case Any:
			*o = c.checked(*o, Text)
		default:
			return x, y, c.errorf(n, "text() makes text of any value", "%s needs text on both sides, and %s", n.Operator, c.describe(*o))
		}
	}
	return x, y, nil
}

func (c *compiler) textTest(n *ast.BinaryNode, x, y code) (code, error) {
	x, y, err := c.textOperands(n, x, y)
	if err != nil {
		return code{}, err
	}
	test := strings.Contains
	switch n.Operator {
	case "startsWith":
		test = strings.HasPrefix
	case "endsWith":
		test = strings.HasSuffix
	}
	return c.strict(n, Bool, x, y, func(a, b Value) Value { return OfBool(test(a.s(), b.s())) })
}

func (c *compiler) matches(n *ast.BinaryNode, x, y code) (code, error) {
	x, y, err := c.textOperands(n, x, y)
	if err != nil {
		return code{}, err
	}
	if y.typ == Null {
		return code{}, c.errorf(n, "", "matches needs a pattern")
	}
	if !y.constant {
		return code{}, c.errorf(y.node, "write the pattern in quotes", "the pattern of matches is compiled once, so it cannot depend on a row")
	}
	re, err := compilePattern(y.value.s())
	if err != nil {
		return code{}, c.errorf(y.node, "patterns are RE2: https://github.com/google/re2/wiki/Syntax", "%v", err)
	}
	return c.strict(n, Bool, x, y, func(a, _ Value) Value { return OfBool(re.MatchString(a.s())) })
}

// strict makes an operator of which NULL makes NULL.
func (c *compiler) strict(n ast.Node, typ Type, x, y code, op func(a, b Value) Value) (code, error) {
	left, right := x.eval, y.eval
	at := c.spot(n)
	out := code{typ: typ, nullable: x.nullable || y.nullable, node: n}
	if y.constant && !y.value.stops() {
		b := y.value
		out.eval = func(r *Row) Value {
			a := left(r)
			if a.stops() {
				return a
			}
			return at.mark(op(a, b))
		}
	} else {
		out.eval = func(r *Row) Value {
			a := left(r)
			if a.stops() {
				return a
			}
			b := right(r)
			if b.stops() {
				return b
			}
			return at.mark(op(a, b))
		}
	}
	return c.fold(out, x, y)
}

// join makes one operator of a + b + c, so that the texts in between are not made.
func (c *compiler) join(n ast.Node, x, y code) (code, error) {
	parts := append(x.parts[:len(x.parts):len(x.parts)], y)
	if x.parts == nil {
		parts = []code{x, y}
	}
	for i, p := range parts {
		if p.written != nil {
			parts[i].eval = p.written
		}
	}
	out := code{typ: Text, node: n, parts: parts, eval: invokeMany(concat, c.spot(n), Value.stops, parts)}
	for _, p := range parts {
		out.nullable = out.nullable || p.nullable
	}
	return c.fold(out, x, y)
}

func (c *compiler) arithmetic(n *ast.BinaryNode, x, y code) (code, error) {
	mayText := n.Operator == "+"
	for _, o := range []code{x, y} {
		if o.typ != Any && o.typ != Null && !o.typ.isNumber() && !(mayText && o.typ == Text) {
			return code{}, c.errorf(n, arithmeticHint(n.Operator, o), "%s needs numbers, and %s", n.Operator, c.describe(o))
		}
	}
	if mayText && (x.typ == Text && y.typ.isNumber() || x.typ.isNumber() && y.typ == Text) {
		return code{}, c.errorf(n, "concat() joins values of any type; decimal() makes a number of text", "%s, and %s", c.describe(x), c.describe(y))
	}
	typ := Decimal
	switch {
	case x.typ == Null && y.typ == Null:
		typ = Null
	case x.typ == Text || y.typ == Text:
		typ = Text
	case n.Operator == "/":
	case x.typ == Any || y.typ == Any:
		typ = Any
	case (x.typ == Int || x.typ == Null) && (y.typ == Int || y.typ == Null):
		typ = Int
	}
	if typ == Text {
		x, y, err := c.textOperands(n, x, y)
		if err != nil {
			return code{}, err
		}
		return c.join(n, x, y)
	}
	op := map[string]func(a, b Value) Value{"+": add, "-": subtract, "*": times, "/": divide, "%": modulo}[n.Operator]
	return c.strict(n, typ, x, y, op)
}

func arithmeticHint(operator string, o code) string {
	switch {
	case o.typ == Text:
		return "decimal(" + shorten(o.node.String()) + ") makes a number of text"
	case (o.typ == Date || o.typ == Timestamp || o.typ == Moment) && (operator == "+" || operator == "-"):
		return "add_days() and add_months() move dates, days_between() takes their difference"
	case o.typ == Bool:
		return "write " + shorten(o.node.String()) + " ? 1 : 0"
	}
	return ""
}

// maxText is the longest text that an expression makes, in bytes. Texts of rows may be longer.
const maxText = 64 << 20

func tooLong() Value { return fail("54000", "a text of more than %d MiB would come out", maxText>>20) }

func concatenate(a, b Value) Value {
	if len(a.s())+len(b.s()) > maxText {
		return tooLong()
	}
	return OfText(a.s() + b.s())
}

func notNumbers(a, b Value, operator string) Value {
	if operator == "+" && a.kind == Text && b.kind == Text {
		return concatenate(a, b)
	}
	if a.kind.isNumber() {
		a = b
	}
	if a.kind == Float {
		return fail("22003", "%s is no number to calculate with", a)
	}
	return fail("42804", "%s needs numbers, and %s is %s here", operator, quoted(a), a.kind)
}

func add(a, b Value) Value {
	if a.kind == Int && b.kind == Int {
		sum, ok := plus(a.n, b.n)
		if !ok {
			return intOverflow(a, "+", b)
		}
		return OfInt(sum)
	}
	d, e, ok := numbers(a, b)
	if !ok {
		return notNumbers(a, b, "+")
	}
	return d.add(e).value()
}

func subtract(a, b Value) Value {
	if a.kind == Int && b.kind == Int {
		diff := a.n - b.n
		if (a.n >= 0) != (b.n >= 0) && (diff >= 0) != (a.n >= 0) {
			return intOverflow(a, "-", b)
		}
		return OfInt(diff)
	}
	d, e, ok := numbers(a, b)
	if !ok {
		return notNumbers(a, b, "-")
	}
	return d.add(e.negate()).value()
}

func times(a, b Value) Value {
	if a.kind == Int && b.kind == Int {
		n, ok := multiply(a.n, b.n)
		if !ok {
			return intOverflow(a, "*", b)
		}
		return OfInt(n)
	}
	d, e, ok := numbers(a, b)
	if !ok {
		return notNumbers(a, b, "*")
	}
	return d.multiply(e).value()
}

func divide(a, b Value) Value {
	d, e, ok := numbers(a, b)
	if !ok {
		return notNumbers(a, b, "/")
	}
	if e.sign() == 0 {
		return fail("22012", "division of %s by zero", quoted(a))
	}
	return d.divide(e).value()
}

func modulo(a, b Value) Value {
	d, e, ok := numbers(a, b)
	if !ok {
		return notNumbers(a, b, "%")
	}
	if e.sign() == 0 {
		return fail("22012", "division of %s by zero", quoted(a))
	}
	rest := d.remainder(e)
	if a.kind == Int && b.kind == Int {
		return OfInt(rest.n)
	}
	return rest.value()
}

func numbers(a, b Value) (d, e decimal, ok bool) {
	d, err := a.number()
	if err != nil {
		return d, e, false
	}
	e, err = b.number()
	return d, e, err == nil
}

func intOverflow(a Value, operator string, b Value) Value {
	return fail("22003", "%s %s %s does not fit into 64 bits; decimal() of one of them has room", a, operator, b)
}
