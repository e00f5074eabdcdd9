package expression

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// ref compiles ref("stage", key...). Its arguments are programs of their own, for the caller who collects the keys of a batch.
func (c *compiler) ref(n ast.Node, args []code, reads [][]bool) (code, error) {
	stage := args[0].value.s()
	if c.scope.Refs == nil {
		return code{}, c.errorf(n, "", "ref() is not allowed here")
	}
	if len(c.lists) > 0 {
		return code{}, c.errorf(n, "each: makes rows of a list, and those may refer", "ref() inside of map(), filter() and their like is not allowed: the keys of a batch are looked up before its rows are made")
	}
	typ, err := c.scope.Refs(stage)
	if err != nil {
		return code{}, c.errorf(args[0].node, "", "%v", err)
	}
	out := code{typ: typ, nullable: true, node: n} // a stage may have loaded a row whose key the target has not told
	ref := Ref{Stage: stage}
	for i, a := range args[1:] {
		if a.typ == JSON || a.typ == Float {
			return code{}, c.errorf(a.node, "", "a key cannot be %s", a.typ)
		}
		ref.Key = append(ref.Key, c.key(a, reads[i+1]))
	}
	out.eval = invokeMany(resolver(stage, typ), c.spot(n), Value.stops, args[1:])
	c.refs = append(c.refs, ref)
	return out, nil
}

// key makes a program of an argument. What let has named around it is evaluated first.
func (c *compiler) key(a code, reads []bool) *Program {
	at := c.spot(a.node)
	p := &Program{
		source: a.node.String(), typ: a.typ, nullable: a.nullable, eval: a.eval, constant: a.constant, value: a.value, column: a.column - 1,
	}
	for _, v := range slices.Backward(c.vars) {
		if !v.code.constant {
			p.eval = withLocal(v.slot, v.code.eval, p.eval)
		}
	}
	inner := p.eval
	p.eval = func(r *Row) Value { return at.mark(inner(r)) }
	p.columns = marked(reads)
	return p
}

func resolver(stage string, typ Type) func(*Row, []Value) Value {
	what := "the key of stage " + stage
	return func(r *Row, key []Value) Value {
		if r.Resolve == nil {
			return fail("55000", "ref(%q): there is nobody to look keys up here", stage)
		}
		v, ok, err := r.Resolve(stage, key)
		if err != nil {
			return failWith(err)
		}
		if !ok {
			kept := slices.Clone(key)
			for i := range kept {
				kept[i] = kept[i].clone()
			}
			return failWith(&MissingRef{Stage: stage, Key: kept})
		}
		return conform(v, typ, what)
	}
}
