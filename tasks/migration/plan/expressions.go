package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/expression"
)

// expressions checks what a stage's expressions say, as far as that can be told before its columns are known.
func (c *checker) expressions(p *Plan, s *Stage, path string, tables map[string]expression.Lookup) {
	scope := expression.Scope{AnyColumn: true, Lookups: tables, Refs: func(stage string) (expression.Type, error) {
		_, err := p.Referred(stage)
		return expression.Any, err
	}}
	check := func(text, at string) {
		if strings.TrimSpace(text) == "" {
			return
		}
		if _, err := expression.Compile(text, scope); err != nil {
			c.problems = append(c.problems, OfExpression(at, err))
		}
	}
	check(s.Filter, path+".filter")
	check(string(s.Each), path+".each")
	scope.Each = s.Each != ""
	for _, a := range s.Map {
		check(a.Expr, path+".map."+a.Column)
	}
}

// OfExpression is what is wrong with the expression of an entry.
func OfExpression(path string, err error) Problem {
	var e *expression.Error
	if !errors.As(err, &e) {
		return Problem{Path: path, Message: err.Error()}
	}
	return Within(path, e.Line, e.Column, e.Message, e.Hint)
}

// Referred returns the place of the stage that ref() names, or why nothing may refer to it.
func (p *Plan) Referred(stage string) (int, error) {
	for i := range p.Stages {
		s := &p.Stages[i]
		switch {
		case s.Name != stage:
			continue
		case s.Each != "":
			return i, fmt.Errorf("the stage %s makes several rows of one, so none of them can be referred to", stage)
		case s.To.HTTP != nil && s.To.HTTP.ID == "" && s.To.HTTP.Partial == nil:
			return i, fmt.Errorf("the stage %s does not say where the new id stands in the answer; give its to.http an id", stage)
		case s.To.HTTP == nil && s.To.IDColumn() == "":
			return i, fmt.Errorf("the stage %s does not say which column names its rows; give its to an id", stage)
		}
		return i, nil
	}
	return -1, fmt.Errorf("there is no stage %q; %s", stage, Near(stage, p.names()))
}

// IDColumn returns the column of the target that names a stage's rows for others; "" when none is said to.
func (t *To) IDColumn() string {
	switch {
	case t.ID != "":
		return t.ID
	case len(t.Key) == 1:
		return t.Key[0]
	}
	return ""
}

// Tables returns the plan's constant tables as expressions know them. One whose numbers are whole and others holds decimals.
func (p *Plan) Tables() map[string]expression.Lookup {
	out := map[string]expression.Lookup{}
	for name, rows := range p.Lookups {
		l := expression.Lookup{Rows: map[string]expression.Value{}}
		types := map[expression.Type]bool{}
		for key, v := range rows {
			value := constant(v)
			l.Rows[key] = value
			if !value.IsNull() {
				types[value.Kind()] = true
			}
		}
		if len(types) == 2 && types[expression.Int] && types[expression.Decimal] {
			delete(types, expression.Int)
			for key, v := range l.Rows {
				if v.Kind() == expression.Int {
					l.Rows[key] = expression.OfDecimal(v.Int64(), 0)
				}
			}
		}
		l.Type = expression.Any
		if len(types) == 1 {
			for t := range types {
				l.Type = t
			}
		}
		out[name] = l
	}
	return out
}

// constant returns the value of an entry of a constant table.
func constant(v any) expression.Value {
	switch x := v.(type) {
	case string:
		return expression.OfText(x)
	case bool:
		return expression.OfBool(x)
	case json.Number:
		if n, err := strconv.ParseInt(x.String(), 10, 64); err == nil {
			return expression.OfInt(n)
		}
		if n, err := expression.ParseDecimal(x.String()); err == nil {
			return n
		}
		return expression.OfText(x.String())
	}
	return expression.Value{}
}
