package expression

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Function describes a function of the language, for pages, completion and messages.
type Function struct {
	Name      string
	Group     string
	Signature string   // trim(x text, chars text?): ? may be left out, ... may be repeated, ! is the same for all rows
	Gives     string   // the type of what comes out
	Summary   string   // what it does, in a sentence
	Null      string   // what it makes of NULL, where that is not NULL
	Errors    string   // SQLSTATEs and what they are about; may be empty
	Examples  []string // EXPRESSION → EXPRESSION or → error SQLSTATE

	params []parameter
	gives  Type
	impl
	lax     bool // it sees NULLs; all others are not called with one
	mayNull bool // it makes NULL of what is not NULL
	impure  bool // the same arguments may have another outcome
	// bind makes the function for arguments that are the same for all rows, or whose types matter. It may be nil.
	bind func(b *binding) (impl, error)
}

// impl is what runs, by the number of arguments; many is for numbers that have none of their own.
type impl struct {
	typ   Type // instead of the function's, if not Any
	one   func(a Value) Value
	two   func(a, b Value) Value
	three func(a, b, c Value) Value
	write func(r *Row, a Value) Value    // like one, and makes a text for the row
	shape func(r *Row, a, b Value) Value // like two, and makes a text for the row
	many  func(r *Row, args []Value) Value
}

type parameter struct {
	name                     string
	kinds                    kinds
	optional, many, constant bool
}

// kinds is a set of types.
type kinds uint32

const anyKind = ^kinds(0)

func (k kinds) has(t Type) bool { return k&(1<<t) != 0 }

func (k kinds) String() string {
	var names []string
	for t := Bool; t <= JSON; t++ {
		if k.has(t) {
			names = append(names, t.String())
		}
	}
	return strings.Replace(strings.Join(names, " or "), "int or decimal or float", "a number", 1)
}

var functions = map[string]*Function{}

// groups keeps the order of the page.
var groups []*Function

// Functions returns all functions, group by group.
func Functions() []Function {
	out := make([]Function, len(groups))
	for i, f := range groups {
		out[i] = *f
	}
	return out
}

func register(group string, list []Function) {
	for i := range list {
		f := &list[i]
		f.Group = group
		name, params, ok := strings.Cut(strings.TrimSuffix(f.Signature, ")"), "(")
		if !ok || functions[name] != nil {
			panic("expression: function " + f.Signature)
		}
		f.Name = name
		for _, p := range strings.Split(params, ", ") {
			if p != "" {
				f.params = append(f.params, parseParameter(p))
			}
		}
		if f.Gives == "" {
			f.Gives = f.gives.String()
		}
		functions[name] = f
		groups = append(groups, f)
	}
}

// parseParameter reads `chars text?`.
func parseParameter(s string) parameter {
	var p parameter
	s, p.optional = strings.CutSuffix(s, "?")
	s, p.many = strings.CutSuffix(s, "...")
	s, p.constant = strings.CutSuffix(s, "!")
	p.kinds = anyKind
	name, types, typed := strings.Cut(s, " ")
	p.name = name
	if typed {
		p.kinds = 0
		for _, t := range strings.Split(types, "|") {
			switch t {
			case "any":
				p.kinds = anyKind
			case "number":
				p.kinds |= 1<<Int | 1<<Decimal | 1<<Float
			default:
				typ, ok := ParseType(t)
				if !ok {
					panic("expression: parameter " + s)
				}
				p.kinds |= 1 << typ
			}
		}
	}
	return p
}

// param returns the parameter of the i-th argument.
func (f *Function) param(i int) parameter {
	if n := len(f.params); i >= n {
		return f.params[n-1]
	}
	return f.params[i]
}

func (f *Function) accepts(n int) bool {
	least, most := 0, len(f.params)
	for _, p := range f.params {
		if !p.optional {
			least++
		}
		if p.many {
			most = 1000
		}
	}
	return n >= least && n <= most
}

// refused are names that people look for and shall not find.
var refused = map[string]string{
	"now": "clock", "today": "clock", "current_timestamp": "clock", "getdate": "clock", "current_date": "clock",
	"random": "random number", "rand": "random number", "uuid4": "random number", "uuid_v4": "random number", "gen_random_uuid": "random number",
	"newid": "random number", "env": "environment", "getenv": "environment",
}

// elsewhere are functions of expr-lang and SQL that have another name here.
var elsewhere = map[string]string{
	"string": "text", "str": "text", "toJSON": "to_json", "fromJSON": "json", "toBase64": "base64", "indexOf": "contains, or split_part()",
	"trimPrefix": "regex_replace", "trimSuffix": "regex_replace", "ifnull": "coalesce", "isnull": "coalesce", "nvl": "coalesce", "nullif": "null_if",
	"substring": "substr", "strftime": "format_time", "strptime": "parse_time", "to_date": "parse_date", "to_char": "format_time",
	"repeat": "pad_left or pad_right", "integer": "int", "numeric": "decimal", "boolean": "bool", "lcase": "lower", "ucase": "upper",
	"len": "length", "char_length": "length", "initcap": "title", "unaccent": "fold", "cast": "int(), decimal(), text() and their like",
	"filterIndex": "filter", "greatest": "max", "least": "min", "uuid_v5": "uuid5", "get": "json_get",
}

func (c *compiler) call(n ast.Node, name string, nodes []ast.Node) (code, error) {
	f := functions[name]
	if f == nil {
		return code{}, c.unknownFunction(n, name)
	}
	if !f.accepts(len(nodes)) {
		return code{}, c.errorf(n, "write "+f.Signature, "%s does not take %s", name, plural(len(nodes), "argument"))
	}
	if _, ok := listFunctions[name]; ok {
		return c.listFunction(n, name, nodes)
	}
	args, reads := make([]code, len(nodes)), make([][]bool, len(nodes))
	for i := range args {
		var err error
		if name == "coalesce" && i < len(nodes)-1 {
			nodes[i] = orNull(nodes[i])
		}
		if args[i], reads[i], err = c.apart(nodes[i]); err != nil {
			return code{}, err
		}
		if args[i], err = c.argument(n, f, i, args[i]); err != nil {
			return code{}, err
		}
	}
	switch name {
	case "ref":
		return c.ref(n, args, reads)
	case "coalesce":
		return c.coalesce(n, args)
	}
	do := f.impl
	if f.bind != nil {
		var err error
		if do, err = f.bind(&binding{c, n, args}); err != nil {
			return code{}, err
		}
	}
	out := code{typ: f.gives, nullable: f.mayNull, node: n}
	if do.typ != Any {
		out.typ = do.typ
	}
	if !f.lax {
		for _, a := range args {
			out.nullable = out.nullable || a.nullable
		}
	}
	out.eval = invoke(do, c.spot(n), f.lax, args)
	if name == "text" && args[0].typ != Any && args[0].typ != Bytes {
		out.written = args[0].eval
	}
	if f.impure {
		return out, nil
	}
	return c.fold(out, args...)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// argument checks one argument, or has it checked for each row.
func (c *compiler) argument(n ast.Node, f *Function, i int, x code) (code, error) {
	p := f.param(i)
	if p.constant && !x.constant {
		return x, c.errorf(x.node, "write it as a constant", "%s of %s is read once, so it cannot depend on a row", p.name, f.Name)
	}
	if x.typ == Null || p.kinds.has(x.typ) && x.typ != Any || p.kinds == anyKind {
		if p.constant && x.typ == Null {
			return x, c.errorf(x.node, "write "+f.Signature, "%s of %s is NULL", p.name, f.Name)
		}
		return x, nil
	}
	if x.typ != Any {
		hint := "write " + f.Signature
		if p.kinds.has(Text) {
			hint = "text() makes text of any value"
		} else if x.typ == Text && (p.kinds.has(Date) || p.kinds.has(Moment)) {
			hint = "parse_time() and parse_date() read text"
		} else if x.typ == Text && p.kinds.has(Decimal) {
			hint = "decimal() makes a number of text"
		}
		return x, c.errorf(x.node, hint, "%s of %s has to be %s, and %s", p.name, f.Name, p.kinds, c.describe(x))
	}
	eval, kinds := x.eval, p.kinds
	x.eval = func(r *Row) Value {
		v := eval(r)
		if v.stops() || kinds.has(v.kind) {
			return v
		}
		return fail("42804", "%s of %s has to be %s, and %s is %s here", p.name, f.Name, kinds, quoted(v), v.kind)
	}
	return x, nil
}

// invoke makes a call of the implementation that fits the number of arguments.
func invoke(do impl, at spot, lax bool, args []code) func(*Row) Value {
	stops := Value.stops
	if lax {
		stops = func(v Value) bool { return v.kind == failed }
	}
	switch {
	case len(args) == 1 && do.write != nil && !lax:
		x, f := args[0].eval, do.write
		return func(r *Row) Value {
			a := x(r)
			if a.stops() {
				return at.mark(a)
			}
			return at.mark(f(r, a))
		}
	case len(args) == 2 && do.shape != nil && !lax:
		x, y, f := args[0].eval, args[1].eval, do.shape
		return func(r *Row) Value {
			a := x(r)
			if a.stops() {
				return at.mark(a)
			}
			b := y(r)
			if b.stops() {
				return at.mark(b)
			}
			return at.mark(f(r, a, b))
		}
	case len(args) == 1 && do.one != nil && !lax:
		x, f := args[0].eval, do.one
		return func(r *Row) Value {
			a := x(r)
			if a.stops() {
				return at.mark(a)
			}
			return at.mark(f(a))
		}
	case len(args) == 2 && do.two != nil && !lax:
		x, y, f := args[0].eval, args[1].eval, do.two
		return func(r *Row) Value {
			a := x(r)
			if a.stops() {
				return at.mark(a)
			}
			b := y(r)
			if b.stops() {
				return at.mark(b)
			}
			return at.mark(f(a, b))
		}
	}
	do.many = do.spread(len(args))
	return invokeMany(do.many, at, stops, args)
}

// spread makes the implementation for so many arguments one that takes a list of them.
func (do impl) spread(n int) func(*Row, []Value) Value {
	switch {
	case n == 1 && do.write != nil:
		return func(r *Row, args []Value) Value { return do.write(r, args[0]) }
	case n == 2 && do.shape != nil:
		return func(r *Row, args []Value) Value { return do.shape(r, args[0], args[1]) }
	case n == 1 && do.one != nil:
		return func(_ *Row, args []Value) Value { return do.one(args[0]) }
	case n == 2 && do.two != nil:
		return func(_ *Row, args []Value) Value { return do.two(args[0], args[1]) }
	case n == 3 && do.three != nil:
		return func(_ *Row, args []Value) Value { return do.three(args[0], args[1], args[2]) }
	}
	return do.many
}

// invokeMany keeps the arguments on the row's own stack, so that a call allocates nothing.
func invokeMany(f func(*Row, []Value) Value, at spot, stops func(Value) bool, args []code) func(*Row) Value {
	return func(r *Row) Value {
		base := len(r.stack)
		for i := range args {
			v := args[i].eval(r)
			if stops(v) {
				r.stack = r.stack[:base]
				return at.mark(v)
			}
			r.stack = append(r.stack, v)
		}
		out := f(r, r.stack[base:])
		r.stack = r.stack[:base]
		return at.mark(out)
	}
}

// binding is a call whose function looks at its arguments before there is a row.
type binding struct {
	c    *compiler
	n    ast.Node
	args []code
}

// text returns a constant argument, and whether it is there and constant.
func (b *binding) text(i int) (string, bool) {
	if i >= len(b.args) || !b.args[i].constant {
		return "", false
	}
	return b.args[i].value.s(), true
}

// errorf makes an error at an argument.
func (b *binding) errorf(i int, hint, format string, args ...any) error {
	return b.c.errorf(b.args[i].node, hint, format, args...)
}

func (c *compiler) unknownFunction(n ast.Node, name string) error {
	if what, ok := refused[strings.ToLower(name)]; ok {
		return c.errorf(n, "take it from the source's query, or derive it: uuid5() makes the same id of the same key",
			"there is no %s(): a mapping has to give the same row each time it runs, so it knows no %s", name, what)
	}
	if instead, ok := elsewhere[name]; ok {
		return c.errorf(n, "here it is "+instead, "there is no function %s", name)
	}
	if _, ok := c.columns[name]; ok {
		return c.errorf(n, "write "+name+" without the brackets", "%s is a column and no function", name)
	}
	names := make([]string, 0, len(functions))
	for f := range functions {
		names = append(names, f)
	}
	slices.Sort(names)
	return c.errorf(n, didYouMean(name, names), "there is no function %s", name)
}

// enumerate lists names for a hint.
func enumerate(names []string, most int) string {
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// didYouMean returns a hint with the name that is nearest to a misspelt one, or "".
func didYouMean(name string, names []string) string {
	best, least := "", len([]rune(name))/3+1
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d <= least && (best == "" || d < least) {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// distance is Levenshtein's, with a swap of two neighbours as one change.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
