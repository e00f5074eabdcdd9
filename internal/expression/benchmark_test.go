package expression_test

import (
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/stint-run/stint/internal/expression"
)

// typical are ten expressions of a plan, and the same for expr's own machine, which is given the functions it lacks.
var typical = []struct{ name, source, peer string }{
	{"column", `id`, `id`},
	{"trim", `trim(name)`, `trim(name)`},
	{"coalesce", `country ?? "AU"`, `country ?? "AU"`},
	{"comparison", `status == "active"`, `status == "active"`},
	{"conditional", `qty > 10 ? "large" : "small"`, `qty > 10 ? "large" : "small"`},
	{"integers", `qty * 2 + 1`, `qty * 2 + 1`},
	{"cents", `int(total * 100)`, `int(total * 100)`},
	{"in", `status in ["active", "paused"] and qty >= 1`, `status in ["active", "paused"] and qty >= 1`},
	{"date", `parse_date(created, "02/01/2006")`, `date(created, "02/01/2006")`},
	{"concat", `upper(left(name, 2)) + "-" + text(id)`, `upper(name[:2]) + "-" + string(id)`},
}

func benchScope() expression.Scope {
	return expression.Scope{Columns: []expression.Column{
		{Name: "id", Type: expression.Int}, {Name: "name", Type: expression.Text}, {Name: "country", Type: expression.Text, Nullable: true},
		{Name: "status", Type: expression.Text}, {Name: "qty", Type: expression.Int}, {Name: "total", Type: expression.Float}, {Name: "created", Type: expression.Text},
		{Name: "amount", Type: expression.Decimal},
	}}
}

func benchRow() *expression.Row {
	return &expression.Row{Values: []expression.Value{
		expression.OfInt(4711), expression.OfText("  Anna Berg "), {}, expression.OfText("active"), expression.OfInt(7), expression.OfFloat(19.99), expression.OfText("29/02/2024"),
		expression.OfDecimal(1999, 2),
	}}
}

func programs(tb testing.TB) []*expression.Program {
	var out []*expression.Program
	for _, e := range typical {
		p, err := expression.Compile(e.source, benchScope())
		if err != nil {
			tb.Fatalf("%s: %v", e.source, err)
		}
		out = append(out, p)
	}
	return out
}

func BenchmarkEachTypicalExpression(b *testing.B) {
	for i, p := range programs(b) {
		b.Run(typical[i].name, func(b *testing.B) {
			r := benchRow()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Eval(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTenTypicalExpressions(b *testing.B) {
	all, r := programs(b), benchRow()
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range all {
			if _, err := p.Eval(r); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkTenTypicalExpressionsOnTheMachineOfExpr(b *testing.B) {
	env := map[string]any{"id": 4711, "name": "  Anna Berg ", "country": nil, "status": "active", "qty": 7, "total": 19.99, "created": "29/02/2024"}
	var all []*vm.Program
	for _, e := range typical {
		p, err := expr.Compile(e.peer, expr.Env(env))
		if err != nil {
			b.Fatalf("%s: %v", e.peer, err)
		}
		all = append(all, p)
	}
	var machine vm.VM
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range all {
			if _, err := machine.Run(p, env); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	scope := benchScope()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := expression.Compile(typical[7].source, scope); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSimpleExpressionsAllocateNothing(t *testing.T) {
	r := benchRow()
	for _, source := range []string{
		`id`, `"constant"`, `trim(name)`, `country ?? "AU"`, `status == "active"`, `qty > 10 ? "large" : "small"`, `qty * 2 + 1`, `amount * 1.25 - 3`, `int(total * 100)`, `round(total, 1)`,
		`status in ["active", "paused"] and qty >= 1`, `parse_date(created, "02/01/2006")`, `parse_time(created, "%d/%m/%Y", "Europe/Oslo")`, `left(name, 3)`, `name contains "Anna"`, `name matches "^ *A"`,
		`amount / 100`, `amount > 5`, `year(parse_date(created, "02/01/2006"))`, `uuid5("dns", "customers", id)`, `let x = qty + 1; x * x`, `cents(amount)`, `split_part(name, " ", 2)`, `coalesce(country, nil, name)`,
		`upper(name)`, `lower(name) + "/" + text(id)`, `text(amount)`, `format_time(parse_date(created, "02/01/2006"), "2006-01-02")`, `concat_ws("-", id, qty, name)`,
	} {
		p, err := expression.Compile(source, benchScope())
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		n := testing.AllocsPerRun(100, func() {
			r.Next()
			if _, err := p.Eval(r); err != nil {
				t.Fatalf("%s: %v", source, err)
			}
		})
		if n > 0 {
			t.Errorf("%s: %v allocations", source, n)
		}
	}
}
