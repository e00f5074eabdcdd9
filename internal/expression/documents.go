package expression

import (
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// Limits of what lists and objects grow to. Lists of rows may be longer.
const (
	maxRange = 100_000   // elements of from..to
	maxParts = 1_000_000 // elements of a document that an expression builds, those of its parts included
	maxSteps = 1_000_000 // elements that list functions go through in one evaluation: a worker must not spend hours on a row
)

// member is row["order date"], doc.name, doc["name"], list[0] and list[-1].
func (c *compiler) member(n *ast.MemberNode) (code, error) {
	if id, ok := n.Node.(*ast.IdentifierNode); ok && (id.Value == "row" || id.Value == "$env") {
		name, ok := n.Property.(*ast.StringNode)
		if !ok {
			return code{}, c.errorf(n.Property, `write row["order date"]`, "the name of a column is a text in quotes")
		}
		if i, ok := c.columns[name.Value]; ok {
			return c.column(n, i), nil
		}
		if c.scope.AnyColumn {
			return unknownColumn(n), nil
		}
		return code{}, c.unknownName(name, name.Value)
	}
	x, err := c.compile(n.Node)
	if err != nil {
		return code{}, err
	}
	p, err := c.compile(n.Property)
	if err != nil {
		return code{}, err
	}
	if x.typ != JSON && x.typ != Any && x.typ != Null {
		hint := ""
		if x.typ == Text {
			hint = "json() reads a document from text; left(), right(), substr() and x[0:3] cut text"
		}
		return code{}, c.errorf(n, hint, "only a document has members, and %s", c.describe(x))
	}
	if p.typ != Text && p.typ != Int && p.typ != Any && p.typ != Null {
		return code{}, c.errorf(n.Property, "", "members have a name or a number, and %s", c.describe(p))
	}
	out, err := c.strict(n, Any, x, p, memberOf)
	out.nullable = true
	return out, err
}

// memberOf returns NULL for what is not there.
func memberOf(doc, property Value) Value {
	if doc.kind != JSON {
		return fail("42804", "%s is %s here, and has no members", quoted(doc), doc.kind)
	}
	d, err := doc.document()
	if err != nil {
		return badDocument(doc, err)
	}
	switch d := d.(type) {
	case map[string]any:
		if property.kind == Text {
			return fromDocument(d[property.s()])
		}
	case []any:
		if property.kind == Int {
			i := property.n
			if i < 0 {
				i += int64(len(d))
			}
			if i < 0 || i >= int64(len(d)) {
				return Value{}
			}
			return fromDocument(d[i])
		}
	case nil:
		return Value{}
	default:
		return fail("42804", "%s is neither list nor object, and has no member %s", quoted(doc), quoted(property))
	}
	return fail("42804", "%s has no member %s: a list has numbers, an object has names", quoted(doc), quoted(property))
}

// slice is x[from:to] of a text, by characters, or a list. What lies outside is cut off.
func (c *compiler) slice(n *ast.SliceNode) (code, error) {
	x, err := c.compile(n.Node)
	if err != nil {
		return code{}, err
	}
	if x.typ != Text && x.typ != JSON && x.typ != Any && x.typ != Null {
		return code{}, c.errorf(n, "text() makes text of any value", "only text and lists have a slice, and %s", c.describe(x))
	}
	bounds := [2]code{constant(n, OfInt(0)), constant(n, OfInt(1<<62))}
	for i, b := range [2]ast.Node{n.From, n.To} {
		if b == nil {
			continue
		}
		if bounds[i], err = c.compile(b); err != nil {
			return code{}, err
		}
		switch bounds[i].typ {
		case Int, Null:
		case Any:
			bounds[i] = c.checked(bounds[i], Int)
		default:
			return code{}, c.errorf(b, "", "a slice goes from int to int, and %s", c.describe(bounds[i]))
		}
	}
	value, from, upto := x.eval, bounds[0].eval, bounds[1].eval
	out := code{typ: x.typ, nullable: x.nullable || bounds[0].nullable || bounds[1].nullable, node: n, eval: func(r *Row) Value {
		v, lo, hi := value(r), from(r), upto(r)
		for _, o := range [...]Value{v, lo, hi} {
			if o.stops() {
				return o
			}
		}
		return sliceOf(v, lo.n, hi.n)
	}}
	return c.fold(c.placed(n, out), x, bounds[0], bounds[1])
}

func sliceOf(v Value, from, upto int64) Value {
	if v.kind == Text {
		return OfText(substring(v.s(), from, upto))
	}
	list, bad := elements(v)
	if bad.kind == failed {
		return bad
	}
	from, upto = clip(from, upto, int64(len(list)))
	return newDocument(list[from:upto], int(upto-from))
}

// clip brings bounds, of which those below zero count from the end, into 0 <= from <= upto <= n.
func clip(from, upto, n int64) (int64, int64) {
	if from < 0 {
		from = max(from+n, 0)
	}
	if upto < 0 {
		upto = max(upto+n, 0)
	}
	upto = min(upto, n)
	return min(from, upto), upto
}

// substring cuts by characters.
func substring(s string, from, upto int64) string {
	n := int64(len(s))
	if from < 0 || upto < 0 || !isASCII(s) {
		n = int64(utf8.RuneCountInString(s))
	}
	from, upto = clip(from, upto, n)
	if n == int64(len(s)) {
		return s[from:upto]
	}
	start := byteOffset(s, from)
	return s[start : start+byteOffset(s[start:], upto-from)]
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// byteOffset returns where the n-th character begins.
func byteOffset(s string, n int64) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// newDocument makes a JSON of what an expression has built. parts guards against lists of lists that double and double.
func newDocument(doc any, parts int) Value {
	if parts > maxParts {
		return fail("54000", "a document of more than %d elements would come out", maxParts)
	}
	return withExtra(JSON, int64(parts), &extra{doc: doc})
}

// elements returns those of a list.
func elements(v Value) ([]any, Value) {
	if v.kind != JSON {
		return nil, fail("42804", "a list is needed, and %s is %s here", quoted(v), v.kind)
	}
	doc, err := v.document()
	if err != nil {
		return nil, badDocument(v, err)
	}
	list, ok := doc.([]any)
	if !ok {
		return nil, fail("42804", "a list is needed, and %s is none", quoted(v))
	}
	return list, Value{}
}

// array is [a, b].
func (c *compiler) array(n *ast.ArrayNode) (code, error) {
	items, err := c.all(n.Nodes)
	if err != nil {
		return code{}, err
	}
	out := code{typ: JSON, node: n, eval: func(r *Row) Value {
		list, parts := make([]any, len(items)), len(items)
		for i := range items {
			v := items[i].eval(r)
			if v.kind == failed {
				return v
			}
			parts += partsOf(v)
			list[i] = v.element()
		}
		return newDocument(list, parts)
	}}
	return c.fold(c.placed(n, out), items...)
}

func partsOf(v Value) int {
	if v.kind == JSON && v.low != unread {
		return int(v.n)
	}
	return 0
}

// object is {name: value}.
func (c *compiler) object(n *ast.MapNode) (code, error) {
	names, values := make([]code, len(n.Pairs)), make([]code, len(n.Pairs))
	for i, p := range n.Pairs {
		pair := p.(*ast.PairNode) // the parser makes nothing else
		var err error
		if names[i], err = c.compile(pair.Key); err != nil {
			return code{}, err
		}
		if names[i].typ != Text && names[i].typ != Any {
			return code{}, c.errorf(pair.Key, "", "the name of a member is text, and %s", c.describe(names[i]))
		}
		if names[i].typ == Any {
			names[i] = c.checked(names[i], Text)
		}
		if values[i], err = c.compile(pair.Value); err != nil {
			return code{}, err
		}
	}
	out := code{typ: JSON, node: n, eval: func(r *Row) Value {
		doc, parts := make(map[string]any, len(names)), len(names)
		for i := range names {
			name := names[i].eval(r)
			if name.kind == failed {
				return name
			}
			if name.kind == Any {
				return fail("22004", "the name of a member is NULL")
			}
			v := values[i].eval(r)
			if v.kind == failed {
				return v
			}
			parts += partsOf(v)
			doc[name.s()] = v.element()
		}
		return newDocument(doc, parts)
	}}
	return c.fold(c.placed(n, out), append(names, values...)...)
}

// rangeList is from..to where it is no right side of in.
func (c *compiler) rangeList(n *ast.BinaryNode) (code, error) {
	bounds, err := c.all([]ast.Node{n.Left, n.Right})
	if err != nil {
		return code{}, err
	}
	for i, b := range bounds {
		switch b.typ {
		case Int, Null:
		case Any:
			bounds[i] = c.checked(b, Int)
		default:
			return code{}, c.errorf(n, "", "a range goes from int to int, and %s", c.describe(b))
		}
	}
	from, upto, at := bounds[0].eval, bounds[1].eval, c.spot(n)
	out := code{typ: JSON, nullable: bounds[0].nullable || bounds[1].nullable, node: n, eval: func(r *Row) Value {
		a, b := from(r), upto(r)
		for _, o := range [...]Value{a, b} {
			if o.stops() {
				return o
			}
		}
		return at.mark(rangeOf(r, a.n, b.n))
	}}
	return c.fold(out, bounds...)
}

func rangeOf(r *Row, from, upto int64) Value {
	if from > upto {
		return newDocument([]any{}, 0)
	}
	if uint64(upto)-uint64(from) >= maxRange {
		return fail("54000", "%d..%d has more than %d elements", from, upto, maxRange)
	}
	if !r.spend(int(upto - from + 1)) {
		return tooMuch()
	}
	list := make([]any, 0, upto-from+1)
	for i := from; ; i++ {
		list = append(list, i)
		if i == upto {
			return newDocument(list, len(list))
		}
	}
}

// spend counts work that a few characters of source can multiply: elements of lists, and text by 256 bytes. It reports whether
// the evaluation may go on.
func (r *Row) spend(n int) bool {
	r.steps += n
	return r.steps <= maxSteps
}

func tooMuch() Value {
	return fail("54000", "lists of lists: more than %d elements are gone through for one row", maxSteps)
}
