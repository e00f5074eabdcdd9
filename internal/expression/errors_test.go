package expression_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/expression"
)

func TestAMistakeIsNamedWithItsPlaceAndAHint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source       string
		line, column int
		message      string // a part of it
		hint         string // a part of it
	}{
		{`nmae`, 1, 1, `no column "nmae"`, "did you mean name?"},
		{`trim(nmae)`, 1, 6, `no column "nmae"`, "did you mean name?"},
		{`xyzzy`, 1, 1, `no column "xyzzy"`, "columns: id, name"},
		{`row["oder date"]`, 1, 5, `no column "oder date"`, "did you mean order date?"},
		{`trimm(name)`, 1, 1, "no function trimm", "did you mean trim?"},
		{`now()`, 1, 1, "has to give the same row each time", ""},
		{`uuid4()`, 1, 1, "has to give the same row each time", "uuid5()"},
		{`random()`, 1, 1, "no random number", ""},
		{`substring(name, 1)`, 1, 1, "no function substring", "substr"},
		{`name()`, 1, 1, "is a column", "without the brackets"},
		{`trim`, 1, 1, "trim is a function", "trim(x text"},
		{`name + 5`, 1, 6, "name is text, and 5 is an int", "concat()"},
		{`name * 2`, 1, 6, "* needs numbers, and name is text", "decimal(name)"},
		{`name == 5`, 1, 6, "name is text, and 5 is an int", "decimal()"},
		{`row["order date"] > "2024-01-01"`, 1, 19, "is a date", `date("…")`},
		{`id ? 1 : 2`, 1, 1, "a condition is needed, and id is an int", "id != 0"},
		{`active and true`, 1, 1, "a condition is needed, and active is text", "bool()"},
		{`id > 5 ? "a" : 1`, 1, 16, "this would be of two types", "text()"},
		{`country ?? 5`, 1, 12, "this would be of two types", "text()"},
		{`trim(name, 5)`, 1, 12, "chars of trim has to be text, and 5 is an int", "text()"},
		{`trim()`, 1, 1, "trim does not take 0 arguments", "trim(x text, chars text?)"},
		{`trim(name, "a", "b")`, 1, 1, "trim does not take 3 arguments", ""},
		{`upper(id)`, 1, 7, "has to be text, and id is an int", "text()"},
		{`year(created)`, 1, 6, "has to be date or timestamp, and created is text", "parse_time()"},
		{`parse_time(created, "hello")`, 1, 21, "names nothing of a time", "strftime"},
		{`parse_time(created, "02/01/2006 MST")`, 1, 21, "ambiguous", ""},
		{`parse_time(created, "%q")`, 1, 21, "no %q", ""},
		{`parse_time(created, "15:04")`, 1, 21, "names no day", "parse_clock()"},
		{`parse_time(created, "02/01/2006", "Europe/Olso")`, 1, 35, "no time zone", "Europe/Oslo"},
		{`parse_time(created, "02/01/2006", "Local")`, 1, 35, "no time zone", ""},
		{`parse_time(created, "2006-01-02T15:04:05Z07:00", "UTC")`, 1, 50, "reads an offset", "leave the zone out"},
		{`parse_time(created, name)`, 1, 21, "cannot depend on a row", "constant"},
		{`to_moment(timestamp(created), "UTC", "sometimes")`, 1, 38, "no way", "earlier, later or reject"},
		{`format_time(row["order date"], "15:04")`, 1, 32, "has a time of day", ""},
		{`date_part("yaer", row["order date"])`, 1, 11, "no part", "did you mean year?"},
		{`name matches "("`, 1, 14, "missing closing", "RE2"},
		{`name matches country`, 1, 14, "cannot depend on a row", "quotes"},
		{`regex_replace(name, "[", "")`, 1, 21, "missing closing", "RE2"},
		{`decode(name, "cp1253x")`, 1, 14, "no character set", "did you mean cp125"},
		{`round(total, 2, "bankers")`, 1, 17, "no way of rounding", "half_even"},
		{`money(name, ",", ",")`, 1, 18, "are the same", "1.234,56"},
		{`lookup("vta", vat)`, 1, 8, `no table "vta"`, "did you mean vat?"},
		{`lookup("vat", vat, "none")`, 1, 20, "of two types", ""},
		{`ref("custmers", id)`, 1, 5, "there is no stage custmers", ""},
		{`map(lines, ref("customers", .id))`, 1, 12, "ref() inside of map()", "each:"},
		{`item`, 1, 1, "only where each:", "each:"},
		{`#`, 1, 1, "unexpected token", ""},
		{`filter(name, # > 1)`, 1, 8, "filter needs a list, and name is text", "split()"},
		{`sum(lines, name)`, 1, 12, "sum needs numbers", ""},
		{`name.first`, 1, 6, "only a document has members, and name is text", "json()"},
		{`id[0]`, 1, 3, "only a document has members, and id is an int", ""},
		{`id[0:1]`, 1, 3, "only text and lists have a slice", "text()"},
		{`5 in name`, 1, 3, "in needs a list, and name is text", "contains"},
		{`"a" in [1, 2]`, 1, 9, "is text, and 1 is an int", ""},
		{`lines > 1`, 1, 7, "lines is json", ""},
		{`lines < lines`, 1, 7, "no order", ""},
		{`null`, 1, 1, "NULL is written nil", "nil"},
		{`row`, 1, 1, "row stands for all columns", `row["order date"]`},
		{`let trim = 1; trim`, 1, 5, "has a meaning already; let needs another name", ""},
		{`id ** 2`, 1, 4, "powers", ""},
		{`(id ?? 1) + country ?? 2 * 3`, 1, 26, "cannot be mixed", "(a ?? b) + c"},
		{`1; 2`, 1, 1, "one value", "let"},
		{`id = 5`, 1, 4, "unexpected token", "=="},
		{"trim(\n  name,\n  5)", 3, 3, "chars of trim", ""},
		{`"Zoë" + nmae`, 1, 9, `no column "nmae"`, ""},
		{`int("abc")`, 1, 1, `"abc" is no number`, ""},
		{`1 / 0`, 1, 3, "division", ""},
		{`99999999999999999999`, 1, 20, "invalid integer literal", "decimal("},
		{``, 1, 1, "empty", "nil"},
		{`map(lines, {sku: .sku})`, 1, 16, "unexpected token", "map(list, ({name: .name}))"},
		{`trim(name`, 1, 9, "unexpected token EOF", ""},
		{`"abc`, 1, 5, "not terminated", ""},
		{`name.trim()`, 1, 6, "no methods", "x | f()"},
		{`groupBy(lines, .a)`, 1, 1, "no function groupBy", ""},
		{`json_get(lines, "a..b")`, 1, 17, "is no path", ""},
		{`uuid5("here", id)`, 1, 7, "no namespace", "dns"},
		{`min(name, id)`, 1, 11, "of two types", ""},
	} {
		_, err := expression.Compile(c.source, exampleScope)
		var e *expression.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		if e.Line != c.line || e.Column != c.column || !strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %v\nwant %d:%d %q with %q", c.source, e, c.line, c.column, c.message, c.hint)
		}
	}
}

func TestWhatIsTooLargeIsAnErrorAndNoCrash(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"brackets":        strings.Repeat("(", 30_000) + "1" + strings.Repeat(")", 30_000),
		"lists":           strings.Repeat("[", 60_000),
		"calls":           strings.Repeat("trim(", 10_000) + `""` + strings.Repeat(")", 10_000),
		"minus":           strings.Repeat("-", 60_000) + "1",
		"minus and blank": strings.Repeat("- ", 30_000) + "1",
		"not":             strings.Repeat("not ", 15_000) + "true",
		"exclamation":     strings.Repeat("!", 60_000) + "true",
		"conditions":      strings.Repeat("true?1:", 9_000) + "1",
		"lets":            strings.Repeat("let a=1;", 8_000) + "a",
		"ifs":             strings.Repeat("if true {1} else ", 3_800) + "{1}",
		"powers":          strings.Repeat("1^", 30_000) + "1",
		"sums":            strings.Repeat("1+", 30_000) + "1",
		"commas":          "[" + strings.Repeat("1,", 30_000) + "1]",
		"coalesce":        strings.Repeat("nil??", 13_000) + "1",
		"members":         "lines" + strings.Repeat(".a", 30_000),
		"pipes":           `""` + strings.Repeat("|trim()", 9_000),
		"shared operands": strings.Repeat("1<(1<int(", 30) + "1" + strings.Repeat(")<2 ? 1 : 2)<3", 30),
		"long":            strings.Repeat(" ", 70_000) + "1",
		"no UTF-8":        "\"\xff\"",
	} {
		if _, err := expression.Compile(source, exampleScope); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for source, code := range map[string]string{
		`pad_left("a", 2000000)`:                                                  "54000",
		`count(1..100000, len(1..#) > 0)`:                                         "54000",
		`count(1..100000, len(pad_left(text(#), 1000000)) > 0)`:                   "54000",
		"let a = pad_left(name, 1000000); count(1..100000, len(a + text(#)) > 0)": "54000",
		`count(1..100000, count(1..100000, true) > 0)`:                            "54000",
		`1..1000000`: "54000",
		"let a = 1..100000; let b = [a,a,a,a,a,a,a,a]; [b,b,b,b,b,b,b,b,b,b]":                                                "54000",
		"let a = pad_left(\"\", 1000000); let b = a+a+a+a+a+a+a+a; let c = b+b+b+b+b+b+b+b; c+c+c+c":                         "54000",
		"let a = pad_left(\"\", 1000000); let b = concat(a,a,a,a,a,a,a,a); let c = concat(b,b,b,b,b,b,b,b); concat(c,c,c,c)": "54000",
		`replace(pad_left("", 1000000), " ", pad_left("", 1000000))`:                                                         "54000",
		`regex_replace(pad_left("", 1000000), " ", pad_left("", 1000000))`:                                                   "54000",
		"let a = decimal(\"1e1900\"); a * a":                                                                                 "22003",
		"let a = decimal(\"1e-900\"); a * a":                                                                                 "22003",
		`decimal("1e999999999")`:                                                                                             "22003",
		`round(9000000000000000000, -20)`:                                                                                    "",
		`round(9000000000000000000, -20, "up")`:                                                                              "22003",
		`round(decimal("1e1999"), -5000)`:                                                                                    "",
		`add_days(date("2024-01-01"), 9223372036854775807)`:                                                                  "22008",
		`add_months(date("2024-01-01"), -9223372036854775807)`:                                                               "22008",
		`add_seconds(unix(0), 9223372036854775807)`:                                                                          "22008",
		`split_part("a,b", ",", -9223372036854775807)`:                                                                       "",
		`substr("abc", -9223372036854775807, 9223372036854775807)`:                                                           "",
		`-(-9223372036854775807 - 1)`:                                                                                        "22003",
		`abs(-9223372036854775807 - 1)`:                                                                                      "22003",
		`(-9223372036854775807 - 1) % -1`:                                                                                    "",
		`(-9223372036854775807 - 1) * -1`:                                                                                    "22003",
		`text((-9223372036854775807 - 1) / -1) == "9223372036854775808"`:                                                     "",
	} {
		if _, err := evaluate(source); codeOf(err) != code || code == "" && err != nil {
			t.Errorf("%s: %v, want %q", source, err, code)
		}
	}
}

func TestWhatCompilesWithItsColumnsCompilesBeforeTheyAreKnown(t *testing.T) {
	t.Parallel()
	closed, open := exampleScope, exampleScope
	closed.Columns = append(slices.Clone(closed.Columns), expression.Column{Name: "row", Type: expression.Text})
	open.Columns, open.AnyColumn = nil, true
	sources := []string{`row["order date"] > date("2024-01-01")`, `upper`, `null`, `lines[0].qty + id`, `map(lines, .qty * total)`, `let x = name; x + "!"`, `row`, `trim(row) + row["row"]`}
	for _, f := range expression.Functions() {
		sources = append(sources, f.Examples...)
	}
	sources = append(sources, strings.Split(strings.TrimSpace(cases), "\n")...)
	for _, source := range sources {
		source, _, _ = strings.Cut(source, " → ")
		_, with := expression.Compile(source, closed)
		if _, without := expression.Compile(source, open); without != nil && with == nil {
			t.Errorf("%s: %v", source, without)
		}
	}
	for source, want := range map[string]string{`trim(nmae`: "line 1, column 9", `trimm(nmae)`: "did you mean trim?", `trim()`: "0 arguments", `lookup("vta", nmae)`: "did you mean vat?",
		`ref("customer", nmae)`: "no stage customer", `parse_time(nmae, "hello")`: "names nothing of a time", `upper(5)`: "has to be text"} {
		if _, err := expression.Compile(source, open); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}
