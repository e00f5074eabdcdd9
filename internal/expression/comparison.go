package expression

import (
	"bytes"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// class groups the types that can be compared with each other.
func class(t Type) Type {
	if t.isNumber() {
		return Decimal
	}
	return t
}

// comparable makes sure that two operands can be compared, as far as that is known without a row.
func (c *compiler) comparable(n ast.Node, x, y code) error {
	if x.typ == Any || y.typ == Any || x.typ == Null || y.typ == Null || class(x.typ) == class(y.typ) {
		return nil
	}
	hint := ""
	pair := func(a, b Type) bool { return x.typ == a && y.typ == b || x.typ == b && y.typ == a }
	other := func() code {
		if x.typ == Text {
			return y
		}
		return x
	}
	switch {
	case pair(Timestamp, Moment), pair(Date, Moment):
		hint = "to_moment(ts, zone) and in_zone(m, zone) lead from one to the other"
	case pair(Timestamp, Date):
		hint = "date(x) is the day of a timestamp"
	case x.typ == Text || y.typ == Text:
		switch o := other().typ; {
		case o.isNumber():
			hint = "decimal() makes a number of text, text() makes text of a number"
		case o == Bool:
			hint = "bool() understands Y/N, true/false, 1/0 and their like"
		case o == Moment || o == Timestamp:
			hint = "parse_time() reads text"
		case o == Date || o == UUID || o == Time:
			hint = "write " + o.String() + `("…") around the text`
		}
	case pair(Bool, Int):
		hint = "a bool is compared with true or false, or stands alone"
	}
	return c.errorf(n, hint, "%s, and %s", c.describe(x), c.describe(y))
}

func (c *compiler) comparison(n *ast.BinaryNode, x, y code) (code, error) {
	equality := n.Operator == "==" || n.Operator == "!="
	if equality && (isNil(n.Left) || isNil(n.Right)) {
		return c.isNull(n, x, y)
	}
	if err := c.comparable(n, x, y); err != nil {
		return code{}, err
	}
	if !equality && (x.typ == JSON || y.typ == JSON) {
		return code{}, c.errorf(n, "", "documents have no order")
	}
	wanted := map[string][3]bool{
		"==": {false, true, false}, "!=": {true, false, true}, "<": {true, false, false},
		"<=": {true, true, false}, ">": {false, false, true}, ">=": {false, true, true},
	}[n.Operator]
	switch {
	case x.typ == Int && y.typ == Int:
		return c.strict(n, Bool, x, y, func(a, b Value) Value { return OfBool(wanted[1+compareInts(a.n, b.n)]) })
	case x.typ == Text && y.typ == Text && equality:
		equal := n.Operator == "=="
		return c.strict(n, Bool, x, y, func(a, b Value) Value { return OfBool((a.s() == b.s()) == equal) })
	}
	return c.strict(n, Bool, x, y, func(a, b Value) Value {
		order, bad := compare(a, b)
		if bad.kind == failed {
			return bad
		}
		if !equality && a.kind == JSON {
			return fail("42804", "documents have no order")
		}
		return OfBool(wanted[1+order])
	})
}

func isNil(n ast.Node) bool {
	_, ok := n.(*ast.NilNode)
	return ok
}

// isNull is == nil and != nil: IS NULL and IS NOT NULL.
func (c *compiler) isNull(n *ast.BinaryNode, x, y code) (code, error) {
	if isNil(n.Left) {
		x = y
	}
	eval, equal := x.eval, n.Operator == "=="
	out := code{typ: Bool, node: n, eval: func(r *Row) Value {
		v := eval(r)
		if v.kind == failed {
			return v
		}
		return OfBool((v.kind == Any) == equal)
	}}
	return c.fold(out, x)
}

// compare orders two values that are not NULL. Text goes by bytes, which for UTF-8 is by code points.
func compare(a, b Value) (order int, bad Value) {
	if a.kind == Int && b.kind == Int {
		return compareInts(a.n, b.n), Value{}
	}
	if class(a.kind) != class(b.kind) {
		return 0, fail("42804", "%s is %s and %s is %s here: they cannot be compared", quoted(a), a.kind, quoted(b), b.kind)
	}
	switch a.kind {
	case Int, Decimal, Float:
		d, e, ok := numbers(a, b)
		if !ok {
			return 0, notNumbers(a, b, "a comparison")
		}
		return d.compare(e), Value{}
	case Text, Bytes:
		return strings.Compare(a.s(), b.s()), Value{}
	case UUID:
		u, w := a.UUID(), b.UUID()
		return bytes.Compare(u[:], w[:]), Value{}
	case JSON:
		return compareDocuments(a, b)
	}
	return compareInts(a.n, b.n), Value{}
}

// compareDocuments says 0 for documents that are equal: numbers by value, objects without regard to order.
func compareDocuments(a, b Value) (order int, bad Value) {
	x, err := a.document()
	if err != nil {
		return 0, badDocument(a, err)
	}
	y, err := b.document()
	if err != nil {
		return 0, badDocument(b, err)
	}
	if equalDocuments(x, y) {
		return 0, Value{}
	}
	return 1, Value{}
}

func equalDocuments(x, y any) bool {
	switch x := x.(type) {
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equalDocuments(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name, e := range x {
			f, ok := y[name]
			if !ok || !equalDocuments(e, f) {
				return false
			}
		}
		return true
	}
	a, b := fromDocument(x), fromDocument(y)
	if a.stops() || b.stops() || class(a.kind) != class(b.kind) || b.kind == JSON {
		return a.kind == Any && b.kind == Any
	}
	order, bad := compare(a, b)
	return order == 0 && bad.kind != failed
}

func badDocument(v Value, err error) Value {
	return fail("22P02", "%s is no JSON: %v", quote(v.s()), err)
}

// in is SQL's IN: NULL where the value is NULL, or is not there but a NULL is.
func (c *compiler) in(n *ast.BinaryNode) (code, error) {
	x, err := c.compile(n.Left)
	if err != nil {
		return code{}, err
	}
	switch right := n.Right.(type) {
	case *ast.ArrayNode:
		return c.inList(n, x, right)
	case *ast.BinaryNode:
		if right.Operator == ".." {
			return c.inRange(n, x, right)
		}
	}
	y, err := c.compile(n.Right)
	if err != nil {
		return code{}, err
	}
	if y.typ != JSON && y.typ != Any && y.typ != Null {
		hint := ""
		if y.typ == Text {
			hint = "write " + shorten(n.Right.String()) + " contains " + shorten(n.Left.String())
		}
		return code{}, c.errorf(n, hint, "in needs a list, and %s", c.describe(y))
	}
	out, err := c.strict(n, Bool, x, y, inDocument)
	out.nullable = true
	return out, err
}

func inDocument(a, b Value) Value {
	if b.kind != JSON {
		return fail("42804", "in needs a list, and %s is %s here", quoted(b), b.kind)
	}
	doc, err := b.document()
	if err != nil {
		return badDocument(b, err)
	}
	switch d := doc.(type) {
	case map[string]any:
		_, ok := d[a.s()]
		return OfBool(ok && a.kind == Text)
	case []any:
		null := false
		for _, e := range d {
			v := fromDocument(e)
			null = null || v.kind == Any
			if v.stops() || class(v.kind) != class(a.kind) {
				continue
			}
			if order, bad := compare(a, v); bad.kind == failed || order == 0 {
				return OfBool(bad.kind != failed)
			}
		}
		if null {
			return Value{}
		}
		return OfBool(false)
	}
	return fail("42804", "in needs a list, and %s is none", quoted(b))
}

func (c *compiler) inRange(n *ast.BinaryNode, x code, r *ast.BinaryNode) (code, error) {
	bounds, err := c.all([]ast.Node{r.Left, r.Right})
	if err != nil {
		return code{}, err
	}
	for _, o := range append(bounds, x) {
		if o.typ != Any && o.typ != Null && !o.typ.isNumber() {
			return code{}, c.errorf(n, "write x >= from and x <= to", "a range has numbers, and %s", c.describe(o))
		}
	}
	value, from, upto := x.eval, bounds[0].eval, bounds[1].eval
	out := code{typ: Bool, nullable: x.nullable || bounds[0].nullable || bounds[1].nullable, node: n, eval: func(r *Row) Value {
		v, lo, hi := value(r), from(r), upto(r)
		for _, o := range [...]Value{v, lo, hi} {
			if o.stops() {
				return o
			}
		}
		below, bad := compare(v, lo)
		if bad.kind == failed {
			return bad
		}
		above, bad := compare(v, hi)
		if bad.kind == failed {
			return bad
		}
		return OfBool(below >= 0 && above <= 0)
	}}
	return c.fold(c.placed(n, out), x, bounds[0], bounds[1])
}

func (c *compiler) inList(n *ast.BinaryNode, x code, list *ast.ArrayNode) (code, error) {
	elements, err := c.all(list.Nodes)
	if err != nil {
		return code{}, err
	}
	nullable, texts, ints := x.nullable, x.typ == Text, x.typ == Int
	for _, e := range elements {
		if err := c.comparable(e.node, x, e); err != nil {
			return code{}, err
		}
		nullable = nullable || e.nullable
		texts = texts && e.constant && e.typ == Text
		ints = ints && e.constant && e.typ == Int
	}
	value := x.eval
	out := code{typ: Bool, nullable: nullable, node: n}
	if texts || ints {
		return c.fold(c.inSet(out, value, elements, texts), append(elements, x)...)
	}
	out.eval = func(r *Row) Value {
		a := value(r)
		if a.stops() {
			return a
		}
		null := false
		for i := range elements {
			b := elements[i].eval(r)
			if b.kind == failed {
				return b
			}
			if b.kind == Any {
				null = true
				continue
			}
			if order, bad := compare(a, b); bad.kind == failed {
				return bad
			} else if order == 0 {
				return OfBool(true)
			}
		}
		if null {
			return Value{}
		}
		return OfBool(false)
	}
	return c.fold(c.placed(n, out), append(elements, x)...)
}

// inSet looks a text or int up in a list of constants.
func (c *compiler) inSet(out code, value func(*Row) Value, elements []code, texts bool) code {
	set, numbers := map[string]struct{}{}, map[int64]struct{}{}
	for _, e := range elements {
		set[e.value.s()], numbers[e.value.n] = struct{}{}, struct{}{}
	}
	out.eval = func(r *Row) Value {
		v := value(r)
		if v.stops() {
			return v
		}
		ok := false
		if texts {
			_, ok = set[v.s()]
		} else {
			_, ok = numbers[v.n]
		}
		return OfBool(ok)
	}
	return out
}
