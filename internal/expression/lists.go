package expression

import (
	"github.com/expr-lang/expr/ast"
)

// listFunctions go over the elements of a list; the parser knows their names, and reads what comes second with # and .name.
var listFunctions = map[string]struct {
	gives Type
	// next takes what the second argument makes of an element and says whether to go on.
	next  func(s *tally, element any, v Value) (more bool)
	last  func(s *tally) Value
	null  bool // of a list that is not NULL, NULL may come out
	tests bool // what comes second is a condition
}{
	"filter": {gives: JSON, tests: true, next: func(s *tally, e any, v Value) bool {
		if v.n != 0 {
			s.list = append(s.list, e)
		}
		return true
	}, last: (*tally).document},
	"map": {gives: JSON, next: func(s *tally, _ any, v Value) bool {
		s.parts += partsOf(v)
		s.list = append(s.list, v.element())
		return s.parts <= maxParts
	}, last: (*tally).document},
	"count": {gives: Int, tests: true, next: func(s *tally, _ any, v Value) bool {
		s.n += v.n
		return true
	}, last: func(s *tally) Value { return OfInt(s.n) }},
	"all":  {gives: Bool, tests: true, null: true, next: until(0), last: decided(0)},
	"any":  {gives: Bool, tests: true, null: true, next: until(1), last: decided(1)},
	"none": {gives: Bool, tests: true, null: true, next: until(1), last: func(s *tally) Value { return not(decided(1)(s)) }},
	"one": {gives: Bool, tests: true, next: func(s *tally, _ any, v Value) bool {
		s.n += v.n
		return s.n < 2
	}, last: func(s *tally) Value { return OfBool(s.n == 1) }},
	"find": {gives: Any, tests: true, null: true, next: func(s *tally, e any, v Value) bool {
		if v.n != 0 {
			s.value = fromDocument(e)
		}
		return v.n == 0
	}, last: func(s *tally) Value { return s.value }},
	"sum": {gives: Decimal, next: func(s *tally, _ any, v Value) bool {
		if v.kind == Any {
			return true
		}
		s.value = asDecimal(add(s.value, v))
		return s.value.kind != failed
	}, last: func(s *tally) Value { return s.value }},
}

// tally is what a list function has found so far.
type tally struct {
	list    []any
	parts   int
	n       int64
	null    bool // a condition was NULL
	decided bool
	value   Value
}

func (s *tally) document() Value { return newDocument(s.list, s.parts+len(s.list)) }

// until goes on to the first condition that decides alone; decided says what that means, with the three values of logic.
func until(decides int64) func(*tally, any, Value) bool {
	return func(s *tally, _ any, v Value) bool {
		s.null = s.null || v.kind == Any
		s.decided = v.kind == Bool && v.n == decides
		return !s.decided
	}
}

func decided(decides int64) func(*tally) Value {
	return func(s *tally) Value {
		switch {
		case s.decided:
			return OfBool(decides != 0)
		case s.null:
			return Value{}
		}
		return OfBool(decides == 0)
	}
}

func not(v Value) Value {
	if v.kind == Bool {
		v.n ^= 1
	}
	return v
}

func (c *compiler) listFunction(n ast.Node, name string, args []ast.Node) (code, error) {
	f := listFunctions[name]
	if len(args) == 0 {
		return code{}, c.errorf(n, "write "+functions[name].Signature, "%s needs a list", name)
	}
	list, err := c.compile(args[0])
	if err != nil {
		return code{}, err
	}
	if list.typ != JSON && list.typ != Any && list.typ != Null {
		return code{}, c.errorf(args[0], "split() makes a list of text", "%s needs a list, and %s", name, c.describe(list))
	}
	body := code{typ: Any, constant: true, eval: func(*Row) Value { return OfBool(true) }}
	item, index := c.slot(), c.slot()
	if len(args) > 1 {
		c.lists = append(c.lists, struct{ item, index int }{item, index})
		p, ok := args[1].(*ast.PredicateNode)
		if !ok {
			return code{}, c.errorf(args[1], "", "%s needs an expression with # second", name)
		}
		body, err = c.compile(p.Node)
		c.lists = c.lists[:len(c.lists)-1]
		if err != nil {
			return code{}, err
		}
	} else if name == "sum" {
		body.eval = func(r *Row) Value { return r.locals[item] }
	}
	switch {
	case f.tests && len(args) > 1:
		if body, err = c.condition(body); err != nil {
			return code{}, err
		}
	case name == "sum" && body.typ != Any && body.typ != Null && !body.typ.isNumber():
		return code{}, c.errorf(args[1], "", "sum needs numbers, and %s", c.describe(body))
	}
	of, each := list.eval, body.eval
	out := code{typ: f.gives, nullable: list.nullable || f.null, node: n, eval: func(r *Row) Value {
		v := of(r)
		if v.stops() {
			return v
		}
		all, bad := elements(v)
		if bad.kind == failed {
			return bad
		}
		s := tally{value: Value{}}
		switch f.gives {
		case JSON:
			s.list = make([]any, 0, len(all))
		case Decimal:
			s.value = OfDecimal(0, 0)
		}
		for i, e := range all {
			if r.steps++; r.steps > maxSteps {
				return fail("54000", "lists of lists: more than %d elements are gone through for one row", maxSteps)
			}
			element := fromDocument(e)
			if element.kind == failed {
				return element
			}
			r.locals[item], r.locals[index] = element, OfInt(int64(i))
			v := each(r)
			if v.kind == failed {
				return v
			}
			if !f.next(&s, e, v) {
				break
			}
		}
		return f.last(&s)
	}}
	// A list of constants is not worth folding: its slots are there for rows.
	return c.placed(n, out), nil
}

// The entries of the list functions in the table of functions, for the page and for messages.
func init() {
	register("Lists", []Function{
		{Signature: "filter(list json, condition)", gives: JSON, Summary: "The elements for which the condition is true. # is the element, .name its member, #index its place from 0.",
			Examples: []string{`filter([{qty: 0}, {qty: 2}], .qty > 0) → [{qty: 2}]`, `filter([1, 2, nil], # > 1) → [2]`}},
		{Signature: "map(list json, expression)", gives: JSON, Summary: "What the expression makes of each element.",
			Examples: []string{`map(["a ", " b"], trim(#)) → ["a", "b"]`, `map([5, 6], #index) → [0, 1]`}},
		{Signature: "count(list json, condition?)", gives: Int, Summary: "How many elements there are, or for how many the condition is true.",
			Examples: []string{`count([1, 2, 3], # > 1) → 2`, `count([nil, 5]) → 2`}},
		{Signature: "sum(list json, number?)", gives: Decimal, Summary: "The sum of numbers; NULLs are left out, and of nothing it is 0.",
			Errors: "42804 an element is no number", Examples: []string{`sum([1, 2.5, nil]) → 3.5`, `sum([{qty: 2, price: 19.99}], .qty * .price) → 39.98`, `sum([]) → decimal(0)`}},
		{Signature: "all(list json, condition)", gives: Bool, Summary: "Whether the condition is true for each element.", Null: "NULL also if it is NULL for one and false for none",
			Examples: []string{`all([1, 2], # > 0) → true`, `all([1, nil], # > 0) → nil`, `all([], # > 0) → true`}},
		{Signature: "any(list json, condition)", gives: Bool, Summary: "Whether the condition is true for an element.", Null: "NULL also if it is NULL for one and true for none",
			Examples: []string{`any([1, 2], # > 1) → true`, `any([1, nil], # > 1) → nil`}},
		{Signature: "none(list json, condition)", gives: Bool, Summary: "Whether the condition is true for no element.", Null: "NULL also if it is NULL for one and true for none",
			Examples: []string{`none([1, 2], # > 5) → true`}},
		{Signature: "one(list json, condition)", gives: Bool, Summary: "Whether the condition is true for exactly one element.",
			Examples: []string{`one([1, 2], # > 1) → true`}},
		{Signature: "find(list json, condition)", gives: Any, Summary: "The first element for which the condition is true.", Null: "NULL also if there is none",
			Examples: []string{`find([1, 2, 3], # > 1) → 2`, `find([1], # > 1) → nil`}},
	})
}
