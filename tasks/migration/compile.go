package migration

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// mapped is a stage of a plan, compiled against its source and its target. It never changes, and is shared.
type mapped struct {
	stage   *plan.Stage
	source  *sqldb.Table
	walk    sqldb.Walk
	columns []expression.Column // of the source, in its order
	reads   []sqldb.Input       // those that anything needs
	at      []int               // of each of reads, its place in columns
	filter  *expression.Program // nil: every row
	each    *expression.Program // nil: one row of one row
	outs    []output
	key     []int // of the columns that name a row of the source: their places in reads; empty when nothing names it
	refs    map[string]expression.Type
	keeps   bool // the ids of its rows are kept
}

// output is one column of the target.
type output struct {
	column string
	prog   *expression.Program
	plain  int // its place in reads, where it is a column as it stands; else -1
	kind   sqldb.Kind
}

// compiler compiles the stages of one plan.
type compiler struct {
	plan     *plan.Plan
	tables   map[string]expression.Lookup // the plan's constants
	problems plan.Problems
}

func newCompiler(p *plan.Plan) *compiler { return &compiler{plan: p, tables: p.Tables()} }

func (c *compiler) add(path, hint, format string, args ...any) {
	c.problems = append(c.problems, plan.Problem{Path: path, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// scopeOf says what expressions may name that read a table.
func (c *compiler) scopeOf(d sqldb.Dialect, s *plan.Stage, source *sqldb.Table, refs func(string) (expression.Type, error), path string) expression.Scope {
	scope := expression.Scope{Lookups: c.tables, Refs: refs}
	for i := range source.Columns {
		col := &source.Columns[i]
		t := typeOf(d, col.Kind)
		if as, ok := s.From.As[col.Name]; ok {
			t, _ = expression.ParseType(as)
		}
		scope.Columns = append(scope.Columns, expression.Column{Name: col.Name, Type: t, Nullable: !col.NotNull})
	}
	for name := range s.From.As {
		if source.Column(name) == nil {
			c.add(path+".from.as."+name, c.didYouMean(name, source), "%s has no column %s", source.FullName(), name)
		}
	}
	return scope
}

func (c *compiler) didYouMean(name string, t *sqldb.Table) string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return plan.Near(name, names)
}

// compile compiles a stage. keyed are the columns that name a row of the source.
func (c *compiler) compile(i int, d sqldb.Dialect, source *sqldb.Table, walk sqldb.Walk, keyed []string, refs func(string) (expression.Type, error)) *mapped {
	s := &c.plan.Stages[i]
	path := fmt.Sprintf("stages[%d]", i)
	m := &mapped{stage: s, source: source, walk: walk, refs: map[string]expression.Type{}}
	scope := c.scopeOf(d, s, source, func(stage string) (expression.Type, error) {
		t, err := refs(stage)
		if err == nil {
			m.refs[stage] = t
		}
		return t, err
	}, path)
	m.columns = scope.Columns
	u := &uses{place: map[int]int{}, m: m}
	compileOne := func(text, at string, scope expression.Scope) *expression.Program {
		if strings.TrimSpace(text) == "" {
			return nil
		}
		p, err := expression.Compile(text, scope)
		if err != nil {
			c.problems = append(c.problems, plan.OfExpression(at, err))
			return nil
		}
		return p
	}
	if m.filter = compileOne(s.Filter, path+".filter", scope); m.filter != nil {
		if t, _ := m.filter.Type(); t != expression.Bool && t != expression.Any {
			c.add(path+".filter", "compare something, such as deleted == 0", "is %s, and must be true or false", t)
		}
		u.program(m.filter)
	}
	if m.each = compileOne(string(s.Each), path+".each", scope); m.each != nil {
		if t, _ := m.each.Type(); t != expression.JSON && t != expression.Any {
			c.add(path+".each", "write a list, such as [phone1, phone2]", "is %s, and must be a list", t)
		}
		u.program(m.each)
		scope.Each = true
	}
	for _, a := range s.Map {
		p := compileOne(a.Expr, path+".map."+a.Column, scope)
		if p == nil {
			continue
		}
		t, _ := p.Type()
		o := output{column: a.Column, prog: p, plain: -1, kind: kindOf(t)}
		if col, ok := p.Column(); ok {
			o.plain = u.column(col, false)
		} else {
			u.program(p)
		}
		m.outs = append(m.outs, o)
	}
	for _, name := range keyed {
		at := slices.IndexFunc(source.Columns, func(col sqldb.Column) bool { return col.Name == name })
		if at < 0 {
			c.add(path+".from.key", c.didYouMean(name, source), "%s has no column %s", source.FullName(), name)
			continue
		}
		m.key = append(m.key, u.column(at, true))
	}
	return m
}

// uses collects which columns a stage reads.
type uses struct {
	m     *mapped
	place map[int]int // of a column in reads
}

func (u *uses) column(col int, seen bool) int {
	at, ok := u.place[col]
	if !ok {
		at = len(u.m.reads)
		u.place[col] = at
		u.m.reads = append(u.m.reads, sqldb.Input{Name: u.m.source.Columns[col].Name})
		u.m.at = append(u.m.at, col)
	}
	u.m.reads[at].Seen = u.m.reads[at].Seen || seen
	return at
}

func (u *uses) program(p *expression.Program) {
	for _, col := range p.Columns() {
		u.column(col, true)
	}
}

// check compares the types of a stage with the columns of its target.
func (c *compiler) check(i int, m *mapped, target *sqldb.Table) {
	path := fmt.Sprintf("stages[%d].map", i)
	for _, o := range m.outs {
		col := target.Column(o.column)
		if col == nil {
			c.add(path+"."+o.column, c.didYouMean(o.column, target), "the target %s has no column %s", target.FullName(), o.column)
			continue
		}
		if col.Generated {
			c.add(path+"."+o.column, "leave it away", "the target computes %s.%s itself", target.FullName(), o.column)
			continue
		}
		if o.plain >= 0 {
			from := m.source.Columns[m.at[o.plain]]
			if !sqldb.Holds(col.Kind, from.Kind) && !assignable(m.columns[m.at[o.plain]].Type, col.Kind) {
				c.add(path+"."+o.column, conversion(col.Kind), "%s is %s, and the target's %s is %s", from.Name, from.Type, col.Name, col.Type)
			}
			continue
		}
		if t, _ := o.prog.Type(); !assignable(t, col.Kind) {
			c.add(path+"."+o.column, conversion(col.Kind), "is %s, and the target's %s is %s", t, col.Name, col.Type)
		}
	}
	for j := range target.Columns {
		col := &target.Columns[j]
		if _, given := m.stage.Map.Get(col.Name); !given && col.NotNull && col.Default == "" && !col.Identity && !col.Generated {
			c.add(path, "give it an expression", "the target's column %s (%s) needs a value and gets none", col.Name, col.Type)
		}
	}
}

// assignable reports whether a value of a type may be written to a column of a kind, apart from single values that do not fit.
func assignable(t expression.Type, k sqldb.Kind) bool {
	switch t {
	case expression.Any, expression.Null:
		return true
	case expression.Text:
		return !slices.Contains([]sqldb.Kind{sqldb.KindBool, sqldb.KindInt16, sqldb.KindInt32, sqldb.KindInt64, sqldb.KindNumeric, sqldb.KindFloat32, sqldb.KindFloat64}, k)
	case expression.JSON:
		return k == sqldb.KindJSON || k == sqldb.KindText || k == sqldb.KindOther
	case expression.Bytes:
		return k == sqldb.KindBytes
	}
	if k == sqldb.KindText || k == sqldb.KindOther {
		return true
	}
	switch t {
	case expression.Bool:
		return k == sqldb.KindBool || k == sqldb.KindJSON || isInteger(k)
	case expression.Int:
		return isInteger(k) || k == sqldb.KindNumeric || k == sqldb.KindFloat32 || k == sqldb.KindFloat64 || k == sqldb.KindBool || k == sqldb.KindJSON
	case expression.Decimal, expression.Float:
		return k == sqldb.KindNumeric || k == sqldb.KindFloat32 || k == sqldb.KindFloat64 || k == sqldb.KindJSON
	case expression.Date:
		return k == sqldb.KindDate || k == sqldb.KindTimestamp
	case expression.Timestamp, expression.Moment:
		return k == kindOf(t)
	case expression.Time:
		return k == sqldb.KindTime
	case expression.UUID:
		return k == sqldb.KindUUID
	}
	return false
}

func isInteger(k sqldb.Kind) bool {
	return k == sqldb.KindInt16 || k == sqldb.KindInt32 || k == sqldb.KindInt64
}

// conversion says what makes a value fit for a kind.
func conversion(k sqldb.Kind) string {
	switch k {
	case sqldb.KindInt16, sqldb.KindInt32, sqldb.KindInt64:
		return "int(...) makes a whole number, round(...) first where there are fractions"
	case sqldb.KindNumeric, sqldb.KindFloat32, sqldb.KindFloat64:
		return "decimal(...) reads a number"
	case sqldb.KindBool:
		return "bool(...) understands Y/N, T/F, 1/0 and the like"
	case sqldb.KindDate:
		return "date(...) or parse_date(text, layout)"
	case sqldb.KindTimestamp:
		return "parse_time(text, layout), or timestamp(...)"
	case sqldb.KindTimestampTZ:
		return `parse_time(text, layout, "Europe/Oslo") gives a moment`
	case sqldb.KindJSON:
		return "to_json(...) makes a document"
	}
	return "text(...) writes it as text"
}
