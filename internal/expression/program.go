package expression

import (
	"slices"
)

// Column is a column of the rows that an expression reads.
type Column struct {
	Name     string
	Type     Type
	Nullable bool
}

// Lookup is a table of constants that a plan gives, for lookup("name", key).
type Lookup struct {
	Type Type             // of the values; Any where they differ
	Rows map[string]Value // by the key's canonical text
}

// Scope is what an expression may name. The zero value has no columns, no tables and no stages.
type Scope struct {
	Columns []Column
	Lookups map[string]Lookup
	// Refs returns the type of the key that a stage gives to what it loads, or an error, whose text a person will read, if
	// this expression may not refer to it. Nil: ref() is not allowed here.
	Refs func(stage string) (Type, error)
	// AnyColumn says that the columns are not known yet: each name that has no other meaning is one, of any type. What compiles with the
	// columns then compiles without them; the Program is for nothing else.
	AnyColumn bool
	// Each says that the row is one of several that `each:` makes: item and index are known.
	Each bool
}

// Ref is one call of ref().
type Ref struct {
	Stage string
	// Key are the parts of the key, as programs of their own, so that the keys of a batch can be collected and looked up
	// together. A part that is NULL or an error makes no key; Eval says then what becomes of the row.
	Key []*Program
}

// Program is a compiled expression. It never changes: goroutines may share it.
type Program struct {
	source   string
	typ      Type
	nullable bool
	eval     func(*Row) Value
	constant bool
	value    Value
	column   int
	columns  []int
	refs     []Ref
	slots    int
}

// Source returns the text that was compiled.
func (p *Program) Source() string { return p.source }

// Type returns the type of the values that Eval gives, and whether NULL may be among them. A value is of this type or NULL; Any
// promises nothing.
func (p *Program) Type() (t Type, nullable bool) { return p.typ, p.nullable }

// Constant returns the value of an expression that is the same for every row, and whether it is one.
func (p *Program) Constant() (Value, bool) { return p.value, p.constant }

// Column returns which column an expression is that is nothing but a column, and whether it is one. The caller can take a
// faster road for it.
func (p *Program) Column() (index int, ok bool) { return p.column, p.column >= 0 }

// Columns returns the indexes of the columns that are read, in order. They must not be changed.
func (p *Program) Columns() []int { return p.columns }

// Refs returns the calls of ref(), in the order of the text. They must not be changed.
func (p *Program) Refs() []Ref { return p.refs }

// Row is what programs are evaluated on. A goroutine makes one and fills it anew for each row, so that its memory is used again;
// Item and Index matter to `each:` only.
type Row struct {
	// Values are the columns', in the order of Scope.Columns: each NULL or of its column's type, where a column of Decimals also takes
	// other numbers. Another type, as SQLite allows, is an error of the row if the column is read; columns of Any take all.
	Values []Value
	// Item and Index are the element of `each:` and its place in the list, from 0.
	Item  Value
	Index int64
	// Resolve returns what another stage made of a key, and whether it knows the key. An error ends the evaluation as it is. The
	// key must not be kept, and nothing be evaluated on this row meanwhile.
	Resolve func(stage string, key []Value) (Value, bool, error)

	steps  int     // what was spent, of maxSteps
	locals []Value // let, and the elements of lists
	stack  []Value // arguments of calls with more than three
	buf    []byte
	texts  []byte // that were made since Next; values point into it
}

// Next says that what was made for the row is no longer used: the memory of its texts is taken again. Whoever never says so gets texts
// that stay as they are.
func (r *Row) Next() {
	if cap(r.texts) > 16*mostTexts { // one giant row must not stay for ever
		r.texts = nil
	}
	r.texts = r.texts[:0]
}

// mostTexts is how large the memory for the texts of a row may become before other memory is taken.
const mostTexts = 4096

// room gives what a text is to be appended to, which made makes a value of.
func (r *Row) room() (b []byte, start int) {
	if len(r.texts) > mostTexts {
		r.texts = make([]byte, 0, mostTexts)
	}
	return r.texts, len(r.texts)
}

// made makes a Text of what was appended to the room. Should that have moved, the old one lives on with the texts in it.
func (r *Row) made(b []byte, start int) Value {
	r.texts = b
	return ofBuffer(b[start:])
}

// Eval evaluates an expression. Errors are *ValueError, *MissingRef and what Resolve returns. Text and Bytes may share memory
// with the values of the row, and with the row until its Next.
func (p *Program) Eval(r *Row) (Value, error) {
	if len(r.locals) < p.slots {
		r.locals = slices.Grow(r.locals, p.slots)[:p.slots]
	}
	r.steps = 0
	v := p.eval(r)
	if v.kind == failed {
		r.stack = r.stack[:0]
		return Value{}, v.x().err
	}
	return v, nil
}

// True reports whether a filter is fulfilled: NULL is not. Errors are those of Eval.
func (p *Program) True(r *Row) (bool, error) {
	v, err := p.Eval(r)
	return v.Bool(), err
}

// Compile parses, checks and compiles an expression. Errors are *Error.
func Compile(source string, scope Scope) (*Program, error) {
	root, err := parse(source)
	if err != nil {
		return nil, err
	}
	c := newCompiler(source, scope)
	out, err := c.compile(root)
	if err != nil {
		return nil, err
	}
	return c.program(source, out), nil
}

// program makes a Program of compiled code. Programs of keys share the compiler with the whole.
func (c *compiler) program(source string, out code) *Program {
	p := &Program{
		source: source, typ: out.typ, nullable: out.nullable, eval: out.eval, constant: out.constant, value: out.value,
		column: out.column - 1, refs: c.refs, slots: c.slots,
	}
	for _, ref := range c.refs {
		for _, k := range ref.Key {
			k.slots = c.slots
		}
	}
	p.columns = marked(c.used)
	return p
}

func marked(used []bool) []int {
	var out []int
	for i, u := range used {
		if u {
			out = append(out, i)
		}
	}
	return out
}
