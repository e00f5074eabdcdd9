package plan_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/migration/plan"
)

// problemsOf parses a plan, and returns a line for each of its mistakes.
func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	_, _, err := plan.Parse("p.yaml", []byte(text))
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestMistakesOfFormAndOfExpressionsAreToldTogether(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, `windw: 3
lookups:
  vat: {N: 0.25}
stages:
  - name: customers
    from: {table: customer}
    filter: trimm(name) == "x"
    map:
      id: id
      rate: lookup("vta", country)
      boss: ref("custmers", boss)
      name: trim(name
      born: parse_time(born, "hello")
      born: nil
    to: {table: people, mode: upsrt, key: id}
  - name: lines
    from: {tabel: line}
    each: split(parts, ",", 5, 6)
    map: {id: item.id, line: 'ref("customers", no)'}
    to: {table: lines, key: [id, zip]}
  - name: pieces
    from: {table: piece}
    map: {id: 'ref("lines", id)'}
    to: {table: pieces, key: [id, zip]}
  - name: pairs
    from: {table: pair}
    map: {id: 'ref("pieces", id)', sent: 'ref("sent", id)', me: 'ref("stored", id)'}
    to: {http: {path: /v1/pairs, id: $.id}}
  - name: sent
    from: {table: pair}
    map: {id: 'ref("pairs", id)'}
    to: {http: {path: /v1/sent}}
  - name: stored
    from: {table: pair}
    map: {id: id, n: n}
    to: {file: {format: csv}}
`)
	for _, want := range []string{
		`p.yaml:1:1: windw: there is no such entry (did you mean window?)`,
		`p.yaml:7:13: stages[0].filter: there is no function trimm`,
		`p.yaml:10:20: stages[0].map.rate: the plan has no table "vta"`,
		`p.yaml:11:17: stages[0].map.boss: there is no stage "custmers"; did you mean customers?`,
		`stages[0].map.name: unexpected token EOF`,
		`p.yaml:14:7: stages[0].map.born: stands here twice`,
		`p.yaml:15:25: stages[0].to.mode: must be insert or upsert or replace`,
		`p.yaml:17:12: stages[1].from.tabel: there is no such entry`,
		`p.yaml:18:11: stages[1].each: split does not take 4 arguments`,
		`stages[1].to.key[1]: the key's column zip gets no value`,
		`stages[2].map.id: the stage lines makes several rows of one`,
		`stages[3].map.id: the stage pieces does not say which column names its rows; give its to an id`,
		`stages[3].map.sent: the stage sent does not say where the new id stands in the answer; give its to.http an id`,
		`stages[3].map.me: the stage stored does not say which column names its rows`,
		`stages[2].to.key[1]: the key's column zip gets no value`,
	} {
		n := 0
		for _, line := range got {
			if strings.Contains(line, want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d times %s", n, want)
		}
	}
	if len(got) != 15 || t.Failed() { // born stands there twice: which of them is meant is not known
		t.Errorf("%d: %s", len(got), strings.Join(got, "\n"))
	}
}

func TestWhatWasMisspelledIsNotToldAsMissingToo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"stags:\n  - name: a\n": "stags: there is no such entry",
		"stages:\n  - {name: a, form: {table: x}, map: {id: id}, to: {table: a, key: id}}\n":      "stages[0].form: there is no such entry",
		"stages:\n  - {name: a, from: {table: x}, mpa: {id: id}, to: {table: a, key: id}}\n":      "stages[0].mpa: there is no such entry",
		"stages:\n  - {name: a, from: {table: x}, map: {id: id, x: [1]}, to: {table: a}}\n":       "stages[0].map.x: must be an expression",
		"window: many\nstages:\n  - {name: a, from: {table: x}, map: {id: id}, to: {table: a}}\n": "window: must be a whole number",
	} {
		if got := problemsOf(t, text); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s\n%s", text, strings.Join(got, "\n"))
		}
	}
}

func TestAPlanWhoseExpressionsNeedItsColumnsIsNotRefusedBeforeTheyAreKnown(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, `lookups:
  rate: {N: 1, S: 2.5}
stages:
  - name: a
    from: {table: x}
    filter: deleted == 0 and born > date("1900-01-01")
    map:
      id: row["order no"] + 1
      kind: upper
      rate: (lookup("rate", country) ?? 0) * total
      doc: lines[0].sku ?? name
    to: {table: a, key: id}
`)
	if got != nil {
		t.Error(strings.Join(got, "\n"))
	}
}
