package expression_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/expression"
)

func mustCompile(t *testing.T, source string, scope expression.Scope) *expression.Program {
	t.Helper()
	p, err := expression.Compile(source, scope)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return p
}

func TestAProgramSaysWhatItReads(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][]int{
		`id`: {0}, `1 + 2`: nil, `name + country`: {1, 2}, `row["order date"]`: {5}, `let x = total; 1`: {3}, `filter(lines, .qty > id)`: {0, 6}, `id > 1 ? name : vat`: {0, 1, 7},
	} {
		if got := mustCompile(t, source, exampleScope).Columns(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads %v, want %v", source, got, want)
		}
	}
	for source, want := range map[string]int{`country`: 2, `row["order date"]`: 5, `trim(name)`: -1, `let x = id; x`: -1, `1`: -1} {
		if i, ok := mustCompile(t, source, exampleScope).Column(); i != want || ok != (want >= 0) {
			t.Errorf("%s is column %d, %v, want %d", source, i, ok, want)
		}
	}
	for source, want := range map[string]string{`1 + 2`: "3", `upper("a") + "b"`: "Ab", `nil`: "NULL", `id`: "", `[1, {a: 2}]`: `[1,{"a":2}]`, `ref("customers", 1)`: "", `false and id > 1`: "false", `"AU" ?? country`: "AU"} {
		v, ok := mustCompile(t, source, exampleScope).Constant()
		if ok != (want != "") || ok && v.String() != want {
			t.Errorf("%s is constant %v, %v, want %s", source, v, ok, want)
		}
	}
}

func TestAProgramSaysTypeAndNullability(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`id`: "int", `country`: "text or NULL", `country ?? "AU"`: "text", `country == nil`: "bool", `country == "AU"`: "bool or NULL", `id + 1`: "int", `id / 2`: "decimal", `total`: "float or NULL",
		`total + 1`: "decimal or NULL", `id > 1 ? id : 0.5`: "decimal", `id > 1 ? id : nil`: "int or NULL", `nil`: "null or NULL", `lines[0].qty`: "any or NULL", `[id]`: "json", `round(id)`: "int", `round(total ?? 1, 2)`: "decimal",
		`min(id, 2.5)`: "decimal or NULL", `ref("customers", id)`: "text or NULL", `ref("customers", country)`: "text or NULL", `lookup("vat", vat)`: "decimal or NULL", `required(country)`: "text", `id > 1 ? id : reject("no")`: "int or NULL",
		`parse_time(created, "02/01/2006")`: "timestamp", `parse_time(created, "02/01/2006", "UTC")`: "moment", `null_if(id, 0)`: "int or NULL", `coalesce(country, vat)`: "text", `name + "x"`: "text or NULL",
	} {
		typ, nullable := mustCompile(t, source, exampleScope).Type()
		got := typ.String()
		if nullable {
			got += " or NULL"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", source, got, want)
		}
	}
}

func TestTheKeysOfReferencesAreProgramsOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, `let code = upper(trim(name)); let key = code + "-" + text(id); country == nil ? ref("customers", key, vat) : ref("customers", id)`, exampleScope)
	refs := p.Refs()
	if len(refs) != 2 || refs[0].Stage != "customers" || len(refs[0].Key) != 2 || len(refs[1].Key) != 1 {
		t.Fatalf("refs are %+v", refs)
	}
	r := exampleRow()
	v, err := refs[0].Key[0].Eval(r)
	if err != nil || v.String() != "ANNA BERG-7" {
		t.Errorf("the first part is %v, %v", v, err)
	}
	if got := refs[0].Key[0].Columns(); !reflect.DeepEqual(got, []int{0, 1}) {
		t.Errorf("it reads %v", got)
	}
	if i, ok := refs[0].Key[1].Column(); !ok || i != 7 {
		t.Errorf("the second part is column %d, %v", i, ok)
	}
	if v, err := p.Eval(r); err != nil || v.String() != "c-ANNA BERG-7" {
		t.Errorf("the whole is %v, %v", v, err)
	}
}

func TestAReferenceThatIsNotThereIsAMissingRefWithItsKey(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, `ref("customers", id, trim(name))`, exampleScope)
	r := exampleRow()
	r.Resolve = func(string, []expression.Value) (expression.Value, bool, error) {
		return expression.Value{}, false, nil
	}
	_, err := p.Eval(r)
	var missing *expression.MissingRef
	if !errors.As(err, &missing) || missing.Stage != "customers" || len(missing.Key) != 2 || missing.Key[1].Text() != "Anna Berg" || err.Error() != `ref: customers has no 7, "Anna Berg"` {
		t.Errorf("got %v", err)
	}
	r.Resolve = func(string, []expression.Value) (expression.Value, bool, error) {
		return expression.OfInt(1), true, nil
	}
	if _, err := p.Eval(r); codeOf(err) != "42804" {
		t.Errorf("a key of another type is %v", err)
	}
	broken := errors.New("the target is away")
	r.Resolve = func(string, []expression.Value) (expression.Value, bool, error) {
		return expression.Value{}, false, broken
	}
	if _, err := p.Eval(r); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	r.Resolve = nil
	if _, err := p.Eval(r); codeOf(err) != "55000" {
		t.Errorf("got %v", err)
	}
	r.Values[1] = expression.Value{}
	if v, err := p.Eval(r); err != nil || !v.IsNull() {
		t.Errorf("of NULL it is %v, %v", v, err)
	}
}

func TestEachKnowsItemAndIndex(t *testing.T) {
	t.Parallel()
	scope := exampleScope
	scope.Each = true
	scope.Columns = append(scope.Columns[:len(scope.Columns):len(scope.Columns)], expression.Column{Name: "item", Type: expression.Text})
	r := exampleRow()
	r.Values = append(r.Values, expression.OfText("column"))
	r.Item, r.Index = expression.OfJSON(map[string]any{"qty": json.Number("2"), "sku": "A"}), 3
	for source, want := range map[string]string{`item.sku`: "A", `item.qty * 1.5`: "3.0", `index + 1`: "4", `row["item"]`: "column", `map([1], item.sku)`: `["A"]`, `ref("customers", item.sku)`: "c-A"} {
		if v, err := mustCompile(t, source, scope).Eval(r); err != nil || v.String() != want {
			t.Errorf("%s is %v, %v, want %s", source, v, err, want)
		}
	}
}

func TestAnErrorOfARowHasItsPlaceAndTheBeginningOfTheValue(t *testing.T) {
	t.Parallel()
	long := "x"
	for range 6 {
		long += long
	}
	for source, want := range map[string]string{
		`upper(text(int(name)))`: `1:12 22P02 "` + long[:40] + `…" is no number`,
		`id +
  int(name)`: `2:3 22P02 "` + long[:40] + `…" is no number`,
		`lines[0].qty + name`:             "",
		`parse_date(name, "2006-01-02")`:  `1:1 22007 "` + long[:40] + `…" is not of the form 2006-01-02`,
		`trim(item.qty)`:                  `1:1 42804 x of trim has to be text, and 2 is int here`,
		`item.qty == "2"`:                 `1:10 42804 2 is int and "2" is text here: they cannot be compared`,
		`item.qty ? 1 : 2`:                `1:6 42804 item.qty is int here, and not bool: 2`,
		`filter([1, "a"], # > 0)`:         `1:20 42804 "a" is text and 0 is int here: they cannot be compared`,
		`1 / (id - 7)`:                    `1:3 22012 division of 1 by zero`,
		`required(country, "no country")`: `1:1 23502 no country`,
		`required(country)`:               `1:1 23502 country is NULL`,
	} {
		scope := exampleScope
		scope.Each = true
		p, err := expression.Compile(source, scope)
		if want == "" {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		r := exampleRow()
		r.Values[1], r.Item = expression.OfText(long), expression.OfJSON(map[string]any{"qty": int64(2)})
		_, err = p.Eval(r)
		var v *expression.ValueError
		if !errors.As(err, &v) {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s %s", v.Line, v.Column, v.Code, v.Reason); got != want {
			t.Errorf("%s: %s\nwant %s", source, got, want)
		}
	}
}

func TestARowThatBreaksItsColumnsPromiseIsAnError(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`id == 3`: `1:1 42804 column id is int, and in this row "1,50", which is text`,
		`total`:   "3", `amount + 1`: "8", `amount`: "7",
	} {
		scope := exampleScope
		scope.Columns = append(scope.Columns[:len(scope.Columns):len(scope.Columns)], expression.Column{Name: "amount", Type: expression.Decimal})
		r := exampleRow()
		r.Values[0], r.Values[3] = expression.OfText("1,50"), expression.OfInt(3)
		r.Values = append(r.Values, expression.OfInt(7))
		p := mustCompile(t, source, scope)
		v, err := p.Eval(r)
		got := v.String()
		var bad *expression.ValueError
		if errors.As(err, &bad) {
			got = fmt.Sprintf("%d:%d %s %s", bad.Line, bad.Column, bad.Code, bad.Reason)
		}
		if typ, _ := p.Type(); got != want || err == nil && v.Kind() != typ {
			t.Errorf("%s is %s, %v, want %s", source, got, err, want)
		}
	}
}

func TestAFilterThatIsNULLIsNotFulfilled(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{`country == "AU"`: false, `not (country == "AU")`: false, `id == 7`: true, `nil`: false} {
		if got, err := mustCompile(t, source, exampleScope).True(exampleRow()); got != want || err != nil {
			t.Errorf("%s is %v, %v", source, got, err)
		}
	}
}

func TestAProgramIsSharedByGoroutines(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, `let n = upper(trim(name)) + "-" + text(id); {n: n, total: int(total * 100), lines: map(filter(lines, .qty > 0), ({s: .sku, i: #index, id: id})), at: parse_time(created, "02/01/2006", "Europe/Oslo"), ref: ref("customers", n, id)}`, exampleScope)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := exampleRow()
			for i := range 200 {
				id := int64(g*1000 + i)
				r.Values[0] = expression.OfInt(id)
				v, err := p.Eval(r)
				want := fmt.Sprintf(`{"at":"2024-02-28T23:00:00Z","lines":[{"i":0,"id":%d,"s":"A"}],"n":"ANNA BERG-%d","ref":"c-ANNA BERG-%d","total":1999}`, id, id, id)
				if err != nil || v.String() != want {
					t.Errorf("got %v, %v, want %s", v, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestValuesHaveOneTextAndOneJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v          expression.Value
		text, json string
	}{
		{expression.Value{}, "", "null"},
		{expression.OfBool(true), "true", "true"},
		{expression.OfInt(math.MinInt64), "-9223372036854775808", "-9223372036854775808"},
		{expression.OfDecimal(-5, 3), "-0.005", "-0.005"},
		{expression.OfDecimal(1250, 2), "12.50", "12.50"},
		{decimalOf("123456789012345678901234567890.10"), "123456789012345678901234567890.10", "123456789012345678901234567890.10"},
		{expression.OfFloat(0.1), "0.1", "0.1"},
		{expression.OfFloat(1e21), "1e+21", "1e+21"},
		{expression.OfFloat(math.NaN()), "NaN", `"NaN"`},
		{expression.OfText("a\"b\n<é>\x01"), "a\"b\n<é>\x01", `"a\"b\n<é>\u0001"`},
		{expression.OfBytes([]byte{0, 255}), `\x00ff`, `"AP8="`},
		{expression.OfDate(-719162), "0001-01-01", `"0001-01-01"`},
		{expression.OfTime(86_399_500_000), "23:59:59.5", `"23:59:59.5"`},
		{expression.OfTimestamp(-1), "1969-12-31 23:59:59.999999", `"1969-12-31T23:59:59.999999"`},
		{expression.OfMoment(253_402_300_799_000_000), "9999-12-31T23:59:59Z", `"9999-12-31T23:59:59Z"`},
		{expression.OfUUID([16]byte{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}), "6ba7b810-9dad-11d1-80b4-00c04fd430c8", `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`},
		{expression.OfJSON(map[string]any{"b": []any{nil, json.Number("1.50")}, "a": expression.OfDate(0)}), `{"a":"1970-01-01","b":[null,1.50]}`, `{"a":"1970-01-01","b":[null,1.50]}`},
		{expression.OfJSONText(`{"b": 1}`), `{"b": 1}`, `{"b":1}`},
	} {
		if got := string(c.v.AppendText(nil)); got != c.text {
			t.Errorf("%s: text %s, want %s", c.v.Kind(), got, c.text)
		}
		var buf jsonBuffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		if err := e.Encode(c.v.JSON()); err != nil || string(buf[:len(buf)-1]) != c.json {
			t.Errorf("%s: JSON %s, %v, want %s", c.v.Kind(), buf, err, c.json)
		}
		// The language's own encoder writes the same.
		if got, err := mustCompile(t, `to_json(x)`, expression.Scope{Columns: []expression.Column{{Name: "x"}}}).Eval(&expression.Row{Values: []expression.Value{c.v}}); err == nil && !got.IsNull() && c.v.Kind() != expression.JSON && got.Text() != c.json {
			t.Errorf("%s: to_json %s, want %s", c.v.Kind(), got, c.json)
		}
	}
}

type jsonBuffer []byte

func (b *jsonBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func FuzzCompileAndEval(f *testing.F) {
	for _, fn := range expression.Functions() {
		for _, e := range fn.Examples {
			f.Add(e)
		}
	}
	for _, s := range []string{`id + total`, `let a = id; a ?? 1`, `filter(lines, .qty > 0 and #index < 2)[0:1]`, `{a: [1..3], (name): nil}`, `1 < id < 5`, `name?.a?[0]`, "if id > 1 { `x` } else if true { 'y' } else { b\"\\xff\" }", `a ?: b`, `::len([1])`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := expression.Compile(source, exampleScope)
		if err != nil {
			var e *expression.Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Message == "" {
				t.Fatalf("%q: %#v", source, err)
			}
			return
		}
		typ, nullable := p.Type()
		r := exampleRow()
		v, err := p.Eval(r)
		again, errAgain := p.Eval(r)
		if v.String() != again.String() || (err == nil) != (errAgain == nil) {
			t.Fatalf("%q is %v, %v and then %v, %v", source, v, err, again, errAgain)
		}
		if err == nil && (v.IsNull() && !nullable || !v.IsNull() && typ != expression.Any && v.Kind() != typ) {
			t.Fatalf("%q is %s %v, and said %s, %v", source, v.Kind(), v, typ, nullable)
		}
	})
}

func TestTextsThatWereMadeStayUntilTheRowIsDone(t *testing.T) {
	t.Parallel()
	scope := expression.Scope{Columns: []expression.Column{{Name: "id", Type: expression.Int}, {Name: "name", Type: expression.Text}}}
	program := func(source string) *expression.Program {
		p, err := expression.Compile(source, scope)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		return p
	}
	all := []struct {
		*expression.Program
		want func(i int64) string
	}{
		{program(`upper(name)`), func(i int64) string { return fmt.Sprintf("ANNA %d", i) }},
		{program(`lower("ÄB" + name)`), func(i int64) string { return fmt.Sprintf("äbanna %d", i) }},
		{program(`text(id)`), func(i int64) string { return fmt.Sprint(i) }},
		{program(`text(id) + "/" + text(id + 1)`), func(i int64) string { return fmt.Sprintf("%d/%d", i, i+1) }},
		{program(`let t = text(id); t + "." + upper(t + "a")`), func(i int64) string { return fmt.Sprintf("%d.%dA", i, i) }},
		{program(`join(map([1, 2], text(#) + text(id)), ",")`), func(i int64) string { return fmt.Sprintf("1%d,2%d", i, i) }},
		{program(`pad_left(name, 9, "-") + format_time(add_days(date("2024-02-28"), id % 2), "02/01/2006")`),
			func(i int64) string {
				return fmt.Sprintf("%s%02d/02/2024", strings.Repeat("-", 4-len(fmt.Sprint(i)))+fmt.Sprintf("Anna %d", i), 28+i%2)
			}},
	}
	for _, rows := range []int{1, 3, 400} { // until Next is called
		r := &expression.Row{Values: make([]expression.Value, 2)}
		for first := int64(1); first < 2_000; first += int64(rows) {
			r.Next()
			got := map[int64][]expression.Value{}
			for i := first; i < first+int64(rows); i++ {
				r.Values[0], r.Values[1] = expression.OfInt(i), expression.OfText(fmt.Sprintf("Anna %d", i))
				for _, p := range all {
					v, err := p.Eval(r)
					if err != nil {
						t.Fatalf("%s: %v", p.Source(), err)
					}
					got[i] = append(got[i], v)
				}
			}
			for i, values := range got {
				for j, v := range values {
					if want := all[j].want(i); v.Text() != want {
						t.Fatalf("%s of %d: %q, want %q", all[j].Source(), i, v.Text(), want)
					}
				}
			}
		}
	}
}
