package expression

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// code is a compiled part of an expression.
type code struct {
	typ      Type
	nullable bool
	eval     func(*Row) Value
	constant bool // value is what eval gives for every row
	value    Value
	column   int              // 1 + the index of the column that this is, or 0
	parts    []code           // of a text that + joins
	written  func(*Row) Value // of text(x): x, for whoever writes it into a longer text
	node     ast.Node
}

// variable is a name that let gives, and where its value lies.
type variable struct {
	name  string
	slot  int
	code  code   // what let was given
	reads []bool // the columns in it
}

// list is the element of the list function around an expression: # and #index.
type list struct{ item, index int }

type compiler struct {
	source  []rune
	scope   Scope
	columns map[string]int
	used    []bool
	refs    []Ref
	vars    []variable
	lists   []list
	slots   int
}

func newCompiler(source string, scope Scope) *compiler {
	c := &compiler{source: []rune(source), scope: scope, columns: make(map[string]int, len(scope.Columns)), used: make([]bool, len(scope.Columns))}
	for i, col := range scope.Columns {
		c.columns[col.Name] = i
	}
	return c
}

func (c *compiler) slot() int {
	c.slots++
	return c.slots - 1
}

// errorf makes an error at the place of a node.
func (c *compiler) errorf(n ast.Node, hint, format string, args ...any) error {
	line, column := c.place(n)
	return &Error{Line: line, Column: column, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func (c *compiler) place(n ast.Node) (line, column int) {
	// The parser gives an `if` no place: its condition has one.
	if cond, ok := n.(*ast.ConditionalNode); ok {
		n = cond.Cond
	}
	return position(string(c.source), n.Location().From)
}

// describe says what an operand is, for messages: `name is text`.
func (c *compiler) describe(x code) string {
	article := ""
	if x.typ == Int {
		return shorten(x.node.String()) + " is an int"
	}
	if x.typ != Text && x.typ != Bytes && x.typ != JSON && x.typ != Null {
		article = "a "
	}
	return shorten(x.node.String()) + " is " + article + x.typ.String()
}

func constant(n ast.Node, v Value) code {
	t := v.Kind()
	return code{typ: t, nullable: t == Null, eval: func(*Row) Value { return v }, constant: true, value: v, node: n}
}

// fold evaluates what depends on no row, now. What fails then would fail for each row: it is an error of the plan.
func (c *compiler) fold(x code, operands ...code) (code, error) {
	for _, o := range operands {
		if !o.constant {
			return x, nil
		}
	}
	v := x.eval(&Row{locals: make([]Value, c.slots)})
	if v.kind == failed {
		e := v.x().err.(*ValueError) // nothing that is constant refers to other stages
		line, column := c.place(x.node)
		return code{}, &Error{Line: line, Column: column, Message: e.Reason, Code: e.Code}
	}
	out := constant(x.node, v)
	if out.typ == Null || x.typ == Any {
		out.typ = x.typ
	}
	return out, nil
}

func (c *compiler) compile(n ast.Node) (code, error) {
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(n, Value{}), nil
	case *ast.BoolNode:
		return constant(n, OfBool(n.Value)), nil
	case *ast.IntegerNode:
		return constant(n, OfInt(int64(n.Value))), nil
	case *ast.FloatNode:
		return c.decimalLiteral(n)
	case *ast.StringNode:
		return constant(n, OfText(n.Value)), nil
	case *ast.BytesNode:
		return constant(n, OfBytes(n.Value)), nil
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.VariableDeclaratorNode:
		return c.declaration(n)
	case *ast.ChainNode:
		return c.compile(n.Node) // a member of NULL is NULL with ?. and without
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.MapNode:
		return c.object(n)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, callee.Value, n.Arguments)
		}
		return code{}, c.errorf(n, "write f(x) or x | f()", "a value has no methods")
	case *ast.SequenceNode:
		return code{}, c.errorf(n, "only let is followed by ;", "an expression is one value")
	}
	return code{}, c.errorf(n, "", "this is not part of the language: %s", shorten(n.String()))
}

// decimalLiteral reads the digits again: the parser has made a float64 of them.
func (c *compiler) decimalLiteral(n *ast.FloatNode) (code, error) {
	at := n.Location()
	v, err := ParseDecimal(strings.ReplaceAll(string(c.source[at.From:at.To]), "_", ""))
	if err != nil {
		return code{}, c.errorf(n, "", "%v", err)
	}
	return constant(n, v), nil
}

func (c *compiler) identifier(n *ast.IdentifierNode) (code, error) {
	for _, v := range slices.Backward(c.vars) {
		if v.name == n.Value {
			c.mark(v.reads)
			return c.local(n, v.slot, v.code), nil
		}
	}
	if c.scope.Each {
		switch n.Value {
		case "item":
			return code{typ: Any, nullable: true, eval: func(r *Row) Value { return r.Item }, node: n}, nil
		case "index":
			return code{typ: Int, eval: func(r *Row) Value { return OfInt(r.Index) }, node: n}, nil
		}
	}
	if i, ok := c.columns[n.Value]; ok {
		return c.column(n, i), nil
	}
	if c.scope.AnyColumn { // also row, which is all columns only where none is called so
		return unknownColumn(n), nil
	}
	return code{}, c.unknownName(n, n.Value)
}

// unknownColumn stands for a column of which nothing is known.
func unknownColumn(n ast.Node) code {
	return code{typ: Any, nullable: true, eval: func(*Row) Value { return Value{} }, node: n}
}

func (c *compiler) unknownName(n ast.Node, name string) error {
	switch {
	case name == "row" || name == "$env":
		return c.errorf(n, `write row["order date"] for a column whose name has blanks`, "row stands for all columns; name one of them")
	case strings.EqualFold(name, "null"):
		return c.errorf(n, "write nil", "NULL is written nil")
	case name == "item" || name == "index":
		return c.errorf(n, "use it in a stage that has each:", "%s is known only where each: makes rows of a list", name)
	case functions[name] != nil:
		return c.errorf(n, "write "+functions[name].Signature, "%s is a function", name)
	}
	if len(c.scope.Columns) == 0 {
		return c.errorf(n, `text is written in quotes: "`+name+`"`, "there is no column here, and so none named %q", name)
	}
	names := make([]string, 0, len(c.scope.Columns)+len(c.vars))
	for _, col := range c.scope.Columns {
		names = append(names, col.Name)
	}
	for _, v := range c.vars {
		names = append(names, v.name)
	}
	hint := didYouMean(name, names)
	if hint == "" {
		hint = "columns: " + enumerate(names, 12)
	}
	return c.errorf(n, hint, "there is no column %q", name)
}

func (c *compiler) column(n ast.Node, i int) code {
	c.used[i] = true
	col := c.scope.Columns[i]
	out := code{typ: col.Type, nullable: col.Nullable || col.Type == Null || col.Type == Any, column: i + 1, node: n}
	if col.Type == Any {
		out.eval = func(r *Row) Value { return r.Values[i] }
		return out
	}
	at := c.spot(n)
	what := "column " + col.Name
	out.eval = func(r *Row) Value {
		v := r.Values[i]
		if v.kind == col.Type || v.kind == Any {
			return v
		}
		return at.mark(conform(v, col.Type, what))
	}
	return out
}

// conform makes what is there of what was promised, by a column, a table or another stage. Type checks rely on the promise.
func conform(v Value, typ Type, what string) Value {
	if typ == Any || v.stops() || v.kind == typ {
		return v
	}
	if typ == Decimal && v.kind.isNumber() {
		return asDecimal(v)
	}
	if f := float64(v.n); typ == Float && v.kind == Int && int64(f) == v.n && v.n < 1<<62 {
		return OfFloat(f)
	}
	return fail("42804", "%s is %s, and in this row %s, which is %s", what, typ, quoted(v), v.kind)
}

// local reads what a slot holds. A constant needs no slot.
func (c *compiler) local(n ast.Node, slot int, x code) code {
	if !x.constant {
		x.eval = func(r *Row) Value { return r.locals[slot] }
	}
	x.node, x.column, x.parts, x.written = n, 0, nil, nil
	return x
}

func (c *compiler) pointer(n *ast.PointerNode) (code, error) {
	if len(c.lists) == 0 {
		return code{}, c.errorf(n, "", "# stands for the element of a list, inside filter(), map() and their like")
	}
	l := c.lists[len(c.lists)-1]
	switch n.Name {
	case "":
		return c.local(n, l.item, code{typ: Any, nullable: true}), nil
	case "index":
		return c.local(n, l.index, code{typ: Int}), nil
	}
	return code{}, c.errorf(n, "# and #index are known", "there is no #%s", n.Name)
}

func (c *compiler) declaration(n *ast.VariableDeclaratorNode) (code, error) {
	value, reads, err := c.apart(n.Value)
	if err != nil {
		return code{}, err
	}
	if functions[n.Name] != nil || n.Name == "row" || n.Name == "$env" || c.scope.Each && (n.Name == "item" || n.Name == "index") {
		return code{}, c.errorf(n, "", "%s has a meaning already; let needs another name", n.Name)
	}
	slot := c.slot()
	c.vars = append(c.vars, variable{name: n.Name, slot: slot, code: value, reads: reads})
	body, err := c.compile(n.Expr)
	c.vars = c.vars[:len(c.vars)-1]
	if err != nil {
		return code{}, err
	}
	body.node = n
	if body.constant || value.constant {
		return body, nil
	}
	body.eval = withLocal(slot, value.eval, body.eval)
	return body, nil
}

// apart compiles a node and says which columns stand in it.
func (c *compiler) apart(n ast.Node) (code, []bool, error) {
	outer := c.used
	c.used = make([]bool, len(outer))
	out, err := c.compile(n)
	reads := c.used
	c.used = outer
	c.mark(reads)
	return out, reads, err
}

func (c *compiler) mark(reads []bool) {
	for i, r := range reads {
		c.used[i] = c.used[i] || r
	}
}

// withLocal evaluates let. A value that is an error lies in its slot until somebody asks for it, as with any other name.
func withLocal(slot int, value, body func(*Row) Value) func(*Row) Value {
	return func(r *Row) Value {
		r.locals[slot] = value(r)
		return body(r)
	}
}

func (c *compiler) conditional(n *ast.ConditionalNode) (code, error) {
	cond, err := c.compile(n.Cond)
	if err != nil {
		return code{}, err
	}
	if cond, err = c.condition(cond); err != nil {
		return code{}, err
	}
	branches, err := c.all([]ast.Node{n.Exp1, n.Exp2})
	if err != nil {
		return code{}, err
	}
	typ, err := c.unify(branches)
	if err != nil {
		return code{}, err
	}
	yes, no := to(typ, branches[0]), to(typ, branches[1])
	test := cond.eval
	out := code{typ: typ, nullable: yes.nullable || no.nullable, node: n, eval: func(r *Row) Value {
		v := test(r)
		if v.kind == failed {
			return v
		}
		if v.n != 0 { // of NULL it is 0: a condition that is NULL is not fulfilled
			return yes.eval(r)
		}
		return no.eval(r)
	}}
	if cond.constant {
		out.eval = no.eval
		if cond.value.n != 0 {
			out.eval = yes.eval
		}
	}
	return c.fold(out, cond, yes, no)
}

// condition makes sure that an operand is a Bool.
func (c *compiler) condition(x code) (code, error) {
	switch x.typ {
	case Bool, Null:
		return x, nil
	case Any:
		return c.checked(x, Bool), nil
	}
	hint := ""
	switch {
	case x.typ == Int:
		hint = "write " + shorten(x.node.String()) + " != 0, or bool() of it"
	case x.typ == Text:
		hint = "bool() understands Y/N, true/false, 1/0 and their like"
	}
	return code{}, c.errorf(x.node, hint, "a condition is needed, and %s", c.describe(x))
}

// checked makes sure that what is known only with a row is of a type.
func (c *compiler) checked(x code, typ Type) code {
	eval, what := x.eval, shorten(x.node.String())
	line, column := c.place(x.node)
	x.typ = typ
	x.eval = func(r *Row) Value {
		v := eval(r)
		if v.stops() || v.kind == typ {
			return v
		}
		return failWith(&ValueError{
			Reason: fmt.Sprintf("%s is %s here, and not %s: %s", what, v.kind, typ, quoted(v)), Code: "42804", Line: line, Column: column,
		})
	}
	return x
}

func (c *compiler) all(nodes []ast.Node) ([]code, error) {
	out := make([]code, len(nodes))
	for i, n := range nodes {
		var err error
		if out[i], err = c.compile(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unify returns the type of what may be one of several operands: numbers become Decimals, NULL takes any type, all else has to
// be of one type.
func (c *compiler) unify(operands []code) (Type, error) {
	out, from := Null, code{}
	for _, o := range operands {
		switch {
		case out == Any || o.typ == Null || o.typ == out:
		case out == Null || o.typ == Any:
			out, from = o.typ, o
		case out.isNumber() && o.typ.isNumber():
			out = Decimal
		default:
			hint := ""
			if o.typ == Text || out == Text {
				hint = "text() makes text of any value"
			}
			return 0, c.errorf(o.node, hint, "this would be of two types: %s, %s", c.describe(from), c.describe(o))
		}
	}
	return out, nil
}

// to converts an operand to the type that unify found.
func to(typ Type, x code) code {
	if typ != Decimal || x.typ == Decimal || !x.typ.isNumber() {
		return x
	}
	eval := x.eval
	x.typ = Decimal
	x.eval = func(r *Row) Value { return asDecimal(eval(r)) }
	x.value = asDecimal(x.value)
	return x
}

func asDecimal(v Value) Value {
	if v.stops() || v.kind == Decimal {
		return v
	}
	d, err := v.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", v)
	}
	return d.value()
}

// Name returns a column's name as an expression writes it: as it stands, or as row["..."] where it is no identifier or a word of the
// language.
func Name(column string) string {
	p, err := Compile(column, Scope{Columns: []Column{{Name: column, Type: Text}}})
	if err == nil {
		if _, ok := p.Column(); ok {
			return column
		}
	}
	return "row[" + strconv.Quote(column) + "]"
}
