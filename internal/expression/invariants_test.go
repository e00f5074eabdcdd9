package expression_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/expression"
)

// samples are values of each type, the awkward ones among them.
var samples = map[expression.Type][]expression.Value{
	expression.Bool: {expression.OfBool(true), expression.OfBool(false)},
	expression.Int:  {expression.OfInt(7), expression.OfInt(0), expression.OfInt(-1), expression.OfInt(math.MaxInt64), expression.OfInt(math.MinInt64)},
	expression.Decimal: {
		expression.OfDecimal(1250, 2), expression.OfDecimal(-5, 0), expression.OfDecimal(math.MinInt64, 3), decimalOf("123456789012345678901234567890.5"), decimalOf("1e-900"),
	},
	expression.Float: {expression.OfFloat(19.99), expression.OfFloat(-1e300), expression.OfFloat(5e-324), expression.OfFloat(math.NaN()), expression.OfFloat(math.Inf(-1))},
	expression.Text: {
		expression.OfText("Zoë"), expression.OfText(""), expression.OfText("42"), expression.OfText("2024-02-29"), expression.OfText("\xff\x00"), expression.OfText("Europe/Oslo"), expression.OfText(`{"a": 1}`),
	},
	expression.Bytes:     {expression.OfBytes([]byte("abc")), expression.OfBytes(nil), expression.OfBytes(make([]byte, 16))},
	expression.Date:      {expression.OfDate(19782), expression.OfDate(-719162), expression.OfDate(2932896)},
	expression.Time:      {expression.OfTime(0), expression.OfTime(86_399_999_999)},
	expression.Timestamp: {expression.OfTimestamp(1_709_164_800_000_001), expression.OfTimestamp(-62_135_596_800_000_000), expression.OfTimestamp(253_402_300_799_999_999)},
	expression.Moment:    {expression.OfMoment(0), expression.OfMoment(-62_135_596_800_000_000), expression.OfMoment(253_402_300_799_999_999)},
	expression.UUID:      {expression.OfUUID([16]byte{1, 2, 15: 9})},
	expression.JSON: {
		expression.OfJSON([]any{int64(1), "a", nil}), expression.OfJSON(map[string]any{"a": []any{true}}), expression.OfJSONText(`[1.5, {"a": null}]`), expression.OfJSONText(`{`), expression.OfJSONText(`null`),
		expression.OfJSON([]any{}), expression.OfJSON([]any{1.5, math.NaN(), struct{}{}}),
	},
}

func decimalOf(text string) expression.Value {
	v, err := expression.ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return v
}

// typedColumns has, for each type, a column c_TYPE that is never NULL and n_TYPE that may be, and c_any, which has values of all types.
func typedColumns() []expression.Column {
	var out []expression.Column
	for typ := expression.Bool; typ <= expression.JSON; typ++ {
		out = append(out, expression.Column{Name: "c_" + typ.String(), Type: typ}, expression.Column{Name: "n_" + typ.String(), Type: typ, Nullable: true})
	}
	return append(out, expression.Column{Name: "c_any"})
}

// typedRows are rows of them: each value of each type comes up, also in c_any.
func typedRows() []*expression.Row {
	var all []expression.Value
	for typ := expression.Bool; typ <= expression.JSON; typ++ {
		all = append(all, samples[typ]...)
	}
	all = append(all, expression.Value{})
	var rows []*expression.Row
	for i := range all {
		r := &expression.Row{Item: all[i], Resolve: func(_ string, key []expression.Value) (expression.Value, bool, error) {
			return expression.OfText("x"), i%2 == 0, nil
		}}
		for typ := expression.Bool; typ <= expression.JSON; typ++ {
			of := samples[typ]
			r.Values = append(r.Values, of[i%len(of)])
			if i%3 == 0 {
				r.Values = append(r.Values, expression.Value{})
			} else {
				r.Values = append(r.Values, of[(i+1)%len(of)])
			}
		}
		r.Values = append(r.Values, all[i])
		rows = append(rows, r)
	}
	return rows
}

func typedScope() expression.Scope {
	return expression.Scope{
		Columns: typedColumns(),
		Lookups: map[string]expression.Lookup{"vat": {Type: expression.Decimal, Rows: map[string]expression.Value{"42": expression.OfDecimal(25, 2), "7": expression.OfInt(1)}}},
		Refs:    func(string) (expression.Type, error) { return expression.Text, nil },
		Each:    true,
	}
}

// someOf returns copies of every fifth row, others for each n: tests that run side by side must not share them.
func someOf(rows []*expression.Row, n int) []*expression.Row {
	var out []*expression.Row
	for i := n % 5; i < len(rows); i += 5 {
		r := *rows[i]
		out = append(out, &r)
	}
	return out
}

// keepsItsWord evaluates a program on all rows: what comes out is of the type that the program has named, NULL only if it said
// so, and what goes wrong is an error for people.
func keepsItsWord(t *testing.T, source string, p *expression.Program, rows []*expression.Row) {
	t.Helper()
	typ, nullable := p.Type()
	for i, r := range rows {
		v, err := p.Eval(r)
		var bad *expression.ValueError
		var missing *expression.MissingRef
		switch {
		case errors.As(err, &bad):
			if len(bad.Code) != 5 || bad.Reason == "" {
				t.Errorf("%s, row %d: error %#v", source, i, bad)
			}
		case errors.As(err, &missing):
		case err != nil:
			t.Errorf("%s, row %d: %v", source, i, err)
		case v.IsNull():
			if !nullable {
				t.Errorf("%s, row %d: NULL, and the program said that there is none", source, i)
			}
		case typ != expression.Any && v.Kind() != typ:
			t.Errorf("%s, row %d: %v is %s and not %s", source, i, v, v.Kind(), typ)
		}
		v.JSON()
	}
	if v, ok := p.Constant(); ok && !v.IsNull() && v.Kind() != typ && typ != expression.Any {
		t.Errorf("%s: the constant %v is %s and not %s", source, v, v.Kind(), typ)
	}
}

// arguments of functions whose parameters are constants.
var constants = map[string]string{
	"layout": `"2006-01-02"`, "pattern": `"(a|b)"`, "charset": `"cp1252"`, "path": `"a[0]"`, "part": `"day"`, "table": `"vat"`, "stage": `"s"`, "form": `"NFKD"`, "mode": `"half_even"`, "at_change": `"reject"`, "group": `"."`,
}

// operands are what may stand as an argument: columns of all types, and constants.
func operands() []string {
	out := []string{"c_any", "nil", `"42"`, "5", "2.5", "item"}
	for typ := expression.Bool; typ <= expression.JSON; typ++ {
		out = append(out, "c_"+typ.String(), "n_"+typ.String())
	}
	return out
}

// calls writes calls of a function with all combinations of arguments that differ from the first that fits in at most two places.
func calls(f expression.Function, operands []string, yield func(source string)) {
	_, inside, _ := strings.Cut(strings.TrimSuffix(f.Signature, ")"), "(")
	params := strings.Split(inside, ", ")
	for n := 1; n <= len(params)+1; n++ {
		var fill func(args []string)
		fill = func(args []string) {
			if len(args) == n {
				yield(f.Name + "(" + strings.Join(args, ", ") + ")")
				return
			}
			p := params[min(len(args), len(params)-1)]
			name, _, _ := strings.Cut(p, " ")
			if f.Name == "parse_clock" && name == "layout" {
				fill(append(args, `"15:04"`))
				return
			}
			if c, ok := constants[name]; ok && strings.Contains(p, "!") {
				fill(append(args, c))
				return
			}
			if name == "point" {
				fill(append(args, `","`))
				return
			}
			of := operands
			if len(args) > 1 || n > 2 && len(args) > 0 {
				of = []string{operands[0], "n_text", "c_text", "c_int", "n_decimal", "c_date"}
			}
			for _, o := range of {
				fill(append(args[:len(args):len(args)], o))
			}
		}
		fill(nil)
	}
}

func TestEachFunctionGivesWhatItsProgramSays(t *testing.T) {
	t.Parallel()
	rows, scope := typedRows(), typedScope()
	for _, f := range expression.Functions() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			compiled := 0
			calls(f, operands(), func(source string) {
				p, err := expression.Compile(source, scope)
				if err != nil {
					var e *expression.Error
					if !errors.As(err, &e) || e.Line != 1 || e.Column < 1 || e.Message == "" {
						t.Errorf("%s: error %#v", source, err)
					}
					return
				}
				compiled++
				keepsItsWord(t, source, p, someOf(rows, compiled))
			})
			if compiled == 0 {
				t.Error("no call of it compiles")
			}
		})
	}
}

// lax are the functions that see NULLs: the page says what they make of them.
var lax = map[string]bool{"coalesce": true, "null_if": true, "required": true, "reject": true, "concat": true, "concat_ws": true, "json_set": true, "lookup": true}

func TestAFunctionOfNULLGivesNULLWhicheverArgumentItIs(t *testing.T) {
	t.Parallel()
	scope := typedScope()
	null := &expression.Row{Values: make([]expression.Value, len(scope.Columns))}
	whole := typedRows()[0]
	for _, f := range expression.Functions() {
		if lax[f.Name] {
			if f.Null == "" {
				t.Errorf("%s sees NULLs, and the page does not say what it makes of them", f.Name)
			}
			continue
		}
		tried := 0
		calls(f, operands(), func(source string) {
			if !strings.Contains(source, "n_") {
				return
			}
			p, err := expression.Compile(source, scope)
			if err != nil {
				return
			}
			// Only columns n_ are NULL, all others are whole.
			r := &expression.Row{Values: append([]expression.Value(nil), whole.Values...), Item: whole.Item}
			for i, c := range scope.Columns {
				if strings.HasPrefix(c.Name, "n_") {
					r.Values[i] = null.Values[i]
				}
			}
			v, err := p.Eval(r)
			var bad *expression.ValueError
			// What stands before the NULL may be what does not fit, and what a list function makes of elements is its own.
			_, second, _ := strings.Cut(source, ",")
			if errors.As(err, &bad) && (bad.Code == "42804" || bad.Code == "22023") || f.Group == "Lists" && strings.Contains(second, "n_") {
				return
			}
			tried++
			if err != nil || !v.IsNull() {
				t.Errorf("%s gives %v, %v", source, v, err)
			}
		})
		if tried == 0 && !strings.Contains(f.Signature, "condition") {
			t.Errorf("%s: no call with NULL was tried", f.Name)
		}
	}
}

func TestEachOperatorGivesWhatItsProgramSays(t *testing.T) {
	t.Parallel()
	rows, scope := typedRows(), typedScope()
	forms := map[string][]string{"": {"c_bool ? A : B", "A in [B, A]", "(A)[B:A]", "(A)[B]", "{a: A, b: [B]}", "not A", "-A", "A == nil", "A in A..B"}}
	for _, op := range []string{"+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "contains", "startsWith", "endsWith", "matches", "and", "or", "??", ".."} {
		forms[op] = []string{"A " + op + " B", "let x = A; -(x " + op + " B)", "map(c_json, # " + op + " B)"}
	}
	for op, forms := range forms {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			compiled := 0
			for _, form := range forms {
				for _, a := range operands() {
					for _, b := range operands() {
						source := strings.NewReplacer("A", a, "B", b).Replace(form)
						p, err := expression.Compile(source, scope)
						if err != nil {
							continue
						}
						compiled++
						keepsItsWord(t, source, p, someOf(rows, compiled))
					}
				}
			}
		})
	}
}
