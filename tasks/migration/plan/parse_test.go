package plan_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/migration/plan"
)

// good is a plan with every entry that may stand beside each other.
const good = `name: legacy-to-cloud
source: legacy
target: cloud
policy: {on_reject: quarantine, max_rejects: 100, retries: 8}
window: 8
lookups:
  countries: {NO: Norway, SE: Sweden}
  rates: {A: 1.25, B: 2}
stages:
  - name: customers
    from: {table: customer, key: [id], where: deleted = 0, as: {born: text}, changed: updated_at}
    chunk: {rows: 10_000}
    filter: id > 0
    map:
      zip: zip
      legacy_id: id
      active: true
      rank: 5
      nothing:
      country: lookup("countries", country, "?")
    to: {table: customers, mode: upsert, key: legacy_id, id: id}
  - name: phones
    after: customers
    from: {table: customer}
    chunk: {time: 1s}
    each: [phone1, phone2]
    map: {customer: 'ref("customers", id)', number: item, pos: index}
    to: {table: phones}
  - name: invoices
    after: [customers, phones]
    from:
      query: |
        SELECT i.id, c.name FROM invoice i JOIN customer c ON c.id = i.customer
      key: id
    map: {name: name}
    to:
      http: {path: /v1/invoices, batch: 50, rate: 20/s, id: "$.data[*].id"}
verify: {rows: "sample: 1%"}
`

func parse(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, _, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPlanIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	p := parse(t, good)
	if err := validate(t, good); err != nil {
		t.Errorf("the schema does not allow it: %v", err)
	}
	var columns []string
	for _, a := range p.Stages[0].Map {
		columns = append(columns, a.Column+"="+a.Expr)
	}
	if got := strings.Join(columns, " | "); got != `zip=zip | legacy_id=id | active=true | rank=5 | nothing=nil | country=lookup("countries", country, "?")` {
		t.Errorf("the map is %s", got)
	}
	if s := p.Stage("phones"); s.Each != "[phone1, phone2]" || !reflect.DeepEqual(s.After, []string{"customers"}) || time.Duration(s.Chunk.Time) != time.Second {
		t.Errorf("phones is %+v", s)
	}
	if s := p.Stage("customers"); s.Chunk.Rows != 10_000 || !reflect.DeepEqual(s.To.Key, []string{"legacy_id"}) || s.From.As["born"] != "text" {
		t.Errorf("customers is %+v", s)
	}
	if p.Stage("nobody") != nil {
		t.Error("found a stage that is not there")
	}
}

func TestAPlanIsTheSameInYAMLAndInJSON(t *testing.T) {
	t.Parallel()
	p := parse(t, good)
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	q, err := plan.FromJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(q)
	if err != nil || string(again) != string(body) {
		t.Errorf("JSON is read as %s, and was %s: %v", again, body, err)
	}
	asYAML, _, err := plan.Parse("plan.json", body) // JSON is YAML
	if err != nil || !reflect.DeepEqual(asYAML, q) {
		t.Errorf("the file of JSON is read as %+v, %v", asYAML, err)
	}
	rendered := plan.Render(p, map[string]string{"stages[0].map.zip": "text\nto text"}, []string{"a note"})
	back, _, err := plan.Parse("plan.yaml", rendered)
	if err != nil {
		t.Fatalf("%v in\n%s", err, rendered)
	}
	again, err = json.Marshal(back)
	if err != nil || string(again) != string(body) {
		t.Errorf("what was rendered is read as %s, and was %s: %v", again, body, err)
	}
	if !strings.Contains(string(rendered), "zip: zip # text to text") || !strings.HasPrefix(string(rendered), "# a note\n") {
		t.Errorf("comments are missing:\n%s", rendered)
	}
	if err := validate(t, string(rendered)); err != nil {
		t.Errorf("the schema does not allow it: %v", err)
	}
}

func TestTheConnectionOfIDsMayStandAlone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]plan.IDs{"ids: cache\n": {Connection: "cache"}, "ids: {connection: cache, max_ids: 5_000_000}\n": {Connection: "cache", MaxIDs: 5_000_000},
		"ids: redis://localhost:6379/1\n": {Connection: "redis://localhost:6379/1"}} {
		p := parse(t, text+requests)
		if p.IDs == nil || *p.IDs != want {
			t.Errorf("%s is read as %+v", text, p.IDs)
		}
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := plan.FromJSON(body); err != nil || *q.IDs != want {
			t.Errorf("%s comes back as %+v: %v", body, q.IDs, err)
		}
		if back := parse(t, string(plan.Render(p, nil, nil))); *back.IDs != want {
			t.Errorf("what was rendered is read as %+v", back.IDs)
		}
		if err := validate(t, text+requests); err != nil {
			t.Errorf("the schema does not allow %s: %v", text, err)
		}
	}
	if p, err := plan.FromJSON([]byte(`{"ids": "cache", "stages": [{"name": "a", "from": {"table": "t"}, "map": {"x": "x"}, "to": {"http": {"path": "/x"}}}]}`)); err != nil || p.IDs.Connection != "cache" {
		t.Errorf("a text in JSON: %v", err)
	}
	if p := parse(t, "ids:\n"+requests); p.IDs != nil {
		t.Errorf("nothing is read as %+v", p.IDs)
	}
}

func TestWhatIsUnknownInAJobsPlanIsRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"stages": [], "extra": 1}`, `{"stages": []}`, `[]`, `{"ids": {"conn": "x"}, "stages": []}`, `{"ids": 5, "stages": []}`, `{"stages": [{"name": "a", "map": {"x": {"y": 1}}}]}`} {
		if _, err := plan.FromJSON([]byte(body)); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// stage is a plan of one stage, in which line 5 is free.
func stage(line string) string {
	return "name: a\nstages:\n  - name: t\n    from: {table: t}\n" + line + "\n    map: {x: x}\n    to: {table: t}\n"
}

// requests is a plan whose only stage sends requests.
var requests = strings.Replace(stage(""), "to: {table: t}", "to: {http: {path: /x}}", 1)

// mistakes are plans, each with one mistake, and what is said of it; "|" parts message and hint.
var mistakes = []struct{ text, want string }{
	{"", "1:1: the plan is empty|stint plan --from SOURCE"},
	{"name: a", "1:1: stages: there are none|stint plan --from"},
	{"stages: []", "1:1: stages: there are none|"},
	{"[]", "1:1: must be an object"},
	{"name: a\n  stages: []", "mapping values are not allowed|is the line above complete"},
	{"name: a\nstages:\n\t- name: t", "3:1: a tab stands in the indentation|indent with spaces"},
	{"name: [a\n", "did not find expected|indentation"},
	{"name: a\nname: b\nstages: []", "2:1: name: stands here twice|leave one"},
	{"a: 1\n---\nb: 2", "2:1: a second document begins here|one plan"},
	{"nam: a\n" + stage(""), "1:1: nam: there is no such entry|did you mean name?"},
	{"zzzzzzzzzz: a\n" + stage(""), "1:1: zzzzzzzzzz: there is no such entry|there are: ids, lookups, name"},
	{"source: x\ntarget: x\n" + stage(""), "2:1: target: source and target are the same connection, x|name two"},
	{"window: -1\n" + stage(""), "1:1: window: must be positive|leave it away"},
	{"window: many\n" + stage(""), `1:9: window: must be a whole number, not "many"`},
	{"window: [1]\n" + stage(""), "1:9: window: must be one value"},
	{"policy: {on_reject: explode}\n" + stage(""), `1:10: policy.on_reject: must be quarantine or stop, not "explode"`},
	{"policy: {max_rejects: -1}\n" + stage(""), "1:10: policy.max_rejects: must not be negative|0 stops"},
	{"policy: {retries: -2}\n" + stage(""), "1:10: policy.retries: must be -1 or more|-1 means never"},
	{"policy: {reties: 2}\n" + stage(""), "1:10: policy.reties: there is no such entry|did you mean retries?"},
	{"policy: 5\n" + stage(""), "1:9: policy: must be an object"},
	{"verify: {rows: some}\n" + stage(""), `1:10: verify.rows: "some" is not known|all, sample: 1%`},
	{"verify: {rows: 'sample: 0%'}\n" + stage(""), `1:10: verify.rows: "sample: 0%" is no sample`},
	{"verify: {rows: 'sample: 5'}\n" + stage(""), `1:10: verify.rows: "sample: 5" is no sample`},
	{"ids: [cache]\n" + requests, "1:6: ids: must be an object"},
	{"ids: ''\n" + requests, "1:1: ids.connection: is missing|redis://"},
	{"ids: {max_ids: 5}\n" + requests, "1:1: ids.connection: is missing|redis://"},
	{"ids:\n  connection: cache\n  max_ids: -5\n" + requests, "3:3: ids.max_ids: must be positive|default"},
	{"ids:\n  connection: cache\n  max_id: 5\n" + requests, "3:3: ids.max_id: there is no such entry|did you mean max_ids?"},
	{"ids: {connection: cache, max_ids: many}\n" + requests, `1:35: ids.max_ids: must be a whole number, not "many"`},
	{"target: cache\nids: cache\n" + requests, "2:1: ids: cache is what the plan reads, writes to or keeps its ledger in|of a Redis"},
	{"ids: cache\n" + stage(""), "1:1: ids: the stage t writes into a table: its ids are kept in the target, where they commit with its rows|leave ids away"},
	{"ids: cache\n" + strings.Replace(stage(""), "to: {table: t}", "to: {file: {format: ndjson}}", 1), "1:1: ids: no stage sends requests|leave ids away"},
	{"lookups: {c: 5}\n" + stage(""), "1:14: lookups.c: must be key: value"},
	{"lookups: {c: {a: [1]}}\n" + stage(""), "1:18: lookups.c.a: must be one value"},
	{strings.Replace(stage(""), "name: t\n", "name: ''\n", 1), `3:5: stages[0].name: "" is no name for a stage|letters`},
	{strings.Replace(stage(""), "name: t\n", "name: a/b\n", 1), `3:5: stages[0].name: "a/b" is no name`},
	{stage("") + strings.SplitN(stage(""), "stages:\n", 2)[1], "8:5: stages[1].name: two stages are called t|give it another"},
	{stage("    after: [u]"), `5:13: stages[0].after[0]: there is no stage "u"|`},
	{stage("    after: [t]"), "2:1: stages: these wait for each other: t > t|a row may refer"},
	{stage("    after: {}"), "5:12: stages[0].after: must be a list"},
	{stage("    after:"), "5:11: stages[0].after: must be a list"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{}\n\n", 1), "4:5: stages[0].from: names neither a table nor a query|write from: {table: NAME}"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{table: t, query: SELECT 1}\n\n", 1), "4:5: stages[0].from: table and query cannot both|take one"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{query: SELECT 1 AS x}\n\n", 1), "4:5: stages[0].from.key: a query needs a key|name the columns"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{query: SELECT 1, key: x, where: y}\n\n", 1), "4:37: stages[0].from.where: a query has its own|put the condition"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{query: SELECT 1;, key: x}\n\n", 1), "4:12: stages[0].from.query: is used within another query|semicolon"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{query: \"SELECT 1) x; ATTACH 'y' AS e; SELECT (2\", key: x}\n\n", 1), "stages[0].from.query: is used within another query|semicolon"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{table: t, where: \"1=1) x; ATTACH 'y' AS e; SELECT (2\"}\n\n", 1), "stages[0].from.where: is used within another query|semicolon"},
	{strings.Replace(stage(""), "{table: t}\n\n", "{table: t, key: [x, x]}\n\n", 1), `4:31: stages[0].from.key[1]: "x" stands there twice`},
	{strings.Replace(stage(""), "{table: t}\n\n", "{table: t, as: {x: integer}}\n\n", 1), `4:27: stages[0].from.as.x: "integer" is no type|`},
	{strings.Replace(stage(""), "{table: t}\n\n", "{tabel: t}\n\n", 1), "4:12: stages[0].from.tabel: there is no such entry|did you mean table?"},
	{stage("    chunk: {rows: -1}"), "5:5: stages[0].chunk: must be positive|default"},
	{stage("    chunk: {rows: 5, time: 1s}"), "5:5: stages[0].chunk: rows and time cannot both|take one"},
	{stage("    chunk: {rows: 10_000_001}"), "5:13: stages[0].chunk.rows: 10000001 are too many|given back sooner"},
	{stage("    chunk: {time: soon}"), `5:19: stages[0].chunk.time: "soon" is no duration; write 500ms`},
	{stage("    chunk: {time: [1]}"), "5:19: stages[0].chunk.time: must be one value"},
	{stage("    each: {a: b}"), "5:11: stages[0].each: must be an expression, or a list of them"},
	{strings.Replace(stage(""), "map: {x: x}", "map: {}", 1), "6:5: stages[0].map: is empty|name the target's columns"},
	{strings.Replace(stage(""), "    map: {x: x}\n", "", 1), "3:5: stages[0].map: is empty"},
	{strings.Replace(stage(""), "map: {x: x}", "map: [x]", 1), "6:10: stages[0].map: must be column: expression"},
	{strings.Replace(stage(""), "map: {x: x}", "map: {x: ''}", 1), "6:11: stages[0].map.x: has no expression|write nil"},
	{strings.Replace(stage(""), "map: {x: x}", "map: {x: {y: z}}", 1), "6:14: stages[0].map.x: must be an expression|quotes"},
	{strings.Replace(stage(""), "map: {x: x}", "map: {x: 2024-02-01}", 1), "6:14: stages[0].map.x: is a subtraction, and looks like a date|write date(\"2024-02-01\")"},
	{strings.Replace(stage(""), "map: {x: x}", "map: {x: x, x: y}", 1), "6:17: stages[0].map.x: stands here twice"},
	{strings.Replace(stage(""), "map: {x: x}", "map: {'': x}", 1), "stages[0].map: a column has no name|"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {}", 1), "7:5: stages[0].to: must name a table, an API's requests or files|write to:"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {table: t, http: {path: /x}}", 1), "7:5: stages[0].to: must name a table"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {http: {path: /x}, key: x}", 1), "7:5: stages[0].to: mode, key and id are for tables|leave them away"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {table: t, mode: merge}", 1), `7:20: stages[0].to.mode: must be insert or upsert or replace, not "merge"`},
	{strings.Replace(stage(""), "to: {table: t}", "to: {table: t, mode: upsert}", 1), "7:5: stages[0].to.key: upsert needs one|known again"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {table: t, mode: replace, key: [y]}", 1), "7:41: stages[0].to.key[0]: the key's column y gets no value|expression in map"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {table: t, key: [x, x]}", 1), `7:29: stages[0].to.key[1]: "x" stands there twice`},
	{strings.Replace(stage(""), "to: {table: t}", "to: {http: {pth: /x}}", 1), "7:17: stages[0].to.http.pth: there is no such entry|did you mean path?"},
	{strings.Replace(stage(""), "to: {table: t}", "to: {http: {batch: 5}}", 1), "7:10: stages[0].to.http.path: "},
	{strings.Replace(stage(""), "to: {table: t}", "to: {http: {path: /x, rate: fast}}", 1), "7:27: stages[0].to.http.rate: "},
}

func TestEachMistakeIsSaidWithItsPlaceAndWhatToDo(t *testing.T) {
	t.Parallel()
	for i, m := range mistakes {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			_, _, err := plan.Parse("plan.yaml", []byte(m.text))
			var problems plan.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v of\n%s", err, m.text)
			}
			message, hint, _ := strings.Cut(m.want, "|")
			first := problems[0]
			if !strings.HasPrefix(first.String(), "plan.yaml") || !strings.Contains(first.String(), message) || !strings.Contains(first.Hint, hint) {
				t.Errorf("said %q, want %q\n%s", problems, m.want, m.text)
			}
			if len(problems) != 1 {
				t.Errorf("said more: %v", problems)
			}
		})
	}
}

func TestAllMistakesAreSaidAtOnceInTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	_, _, err := plan.Parse("p.yaml", []byte("window: -1\n"+strings.Replace(stage("    chunk: {rows: -1}"), "{table: t}", "{table: t, mode: x}", 1)))
	if err == nil || strings.Count(err.Error(), "\n") != 2 || !strings.HasPrefix(err.Error(), "p.yaml:1:1: window") || !strings.Contains(err.Error(), "\np.yaml:5:22: stages[0].from.mode") {
		t.Errorf("%v", err) // what is no entry of a plan is said beside what is wrong with others
	}
	_, _, err = plan.Parse("p.yaml", []byte("window: -1\n"+stage("    chunk: {rows: -1}")))
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.HasPrefix(err.Error(), "p.yaml:1:1: window") {
		t.Errorf("%v", err)
	}
	_, _, err = plan.Parse("p.yaml", []byte("policy: {max_rejects: -1, retries: -2}\n"+strings.Replace(strings.Replace(stage("    after: [u]\n    chunk: {rows: -1}"),
		"{table: t}", "{table: t, as: {x: txt}}", 1), "to: {table: t}", "to: {table: t, mode: merge}", 1)))
	for _, want := range []string{"policy.max_rejects", "policy.retries", "stages[0].from.as.x", "stages[0].after[0]", "stages[0].chunk", "stages[0].to.mode"} {
		if err == nil || strings.Count(err.Error(), ": "+want+": ") != 1 {
			t.Errorf("%s is not said in: %v", want, err) // what is wrong with the values of a stage hides nothing else of the stage
		}
	}
}

func TestCirclesOfStagesAreNamed(t *testing.T) {
	t.Parallel()
	text := "stages:\n"
	for _, s := range []string{"a after: [c]", "b after: [a]", "c after: [b]"} {
		name, after, _ := strings.Cut(s, " ")
		text += "  - name: " + name + "\n    " + after + "\n    from: {table: t}\n    map: {x: x}\n    to: {table: " + name + "}\n"
	}
	if _, _, err := plan.Parse("p.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "a > c > b > a") {
		t.Errorf("%v", err)
	}
}

func TestAValueThatIsNoTextIsItsConstant(t *testing.T) {
	t.Parallel()
	p := parse(t, strings.Replace(stage(""), "{x: x}", "{x: True, y: 5, z: ~, d: '2024-02-01'}", 1))
	for column, want := range map[string]string{"x": "true", "y": "5", "z": "nil", "d": "2024-02-01"} {
		if got, _ := p.Stages[0].Map.Get(column); got != want {
			t.Errorf("%s is %q, want %q", column, got, want)
		}
	}
}

func TestAnchorsStandForWhatTheyName(t *testing.T) {
	t.Parallel()
	p := parse(t, "stages:\n  - &s\n    name: a\n    from: &f {table: t}\n    map: &m {x: x}\n    to: {table: a}\n  - {name: b, from: *f, map: *m, to: {table: b}}\n")
	if p.Stages[1].From.Table != "t" || len(p.Stages[1].Map) != 1 {
		t.Errorf("%+v", p.Stages[1])
	}
}

func TestAProblemThatIsFoundLaterIsWhereItsEntryIs(t *testing.T) {
	t.Parallel()
	_, places, err := plan.Parse("plan.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	got := places.Locate(plan.Problems{{Path: "stages[2].to.http.timeout", Message: "x"}, {Path: "stages[0].map.zip", Message: "y"}, {Path: "stages[1].each[7]", Message: "z"}})
	var at []string
	for _, p := range got {
		at = append(at, fmt.Sprintf("%d:%d", p.Line, p.Column))
	}
	if strings.Join(at, " ") != "15:7 26:5 37:7" {
		t.Errorf("they are at %v", got)
	}
	var none *plan.Places
	if p := none.Locate(plan.Problems{{Message: "x"}}); p[0].String() != "x" {
		t.Errorf("%v", p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("a: &x {b: *x}")
	f.Add("? [a]: b\n: c\n")
	f.Add("<<: {name: a}\nstages: !!binary aGk=")
	f.Add("stages:\n  - *nowhere")
	f.Add("lookups: {a: {1: 2, true: null, 2020-01-01: 1e999}}")
	for _, m := range mistakes {
		f.Add(m.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, _, err := plan.Parse("p", []byte(text))
		if err != nil {
			return
		}
		body, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plan.FromJSON(body); err != nil {
			t.Errorf("taken as YAML, refused as JSON: %v\n%s\n%s", err, text, body)
		}
	})
}
