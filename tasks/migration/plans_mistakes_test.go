package migration_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

func TestADryRunTellsTheMistakesOfAllStagesAtOnce(t *testing.T) {
	t.Parallel()
	to := filepath.Join(t.TempDir(), "new.db")
	w := shopWorld(t, "sqlite:"+to)
	run(t, to, "CREATE TABLE s (id INTEGER PRIMARY KEY, c INTEGER, must TEXT NOT NULL)")
	p := planOf(t, `
stages:
  - name: lost
    from: {table: custmer}
    map: {id: id}
    to: {table: lost, key: id}
  - name: keyless
    from: {table: customer, key: nr}
    map: {id: id, name: trim(nam)}
    to: {table: k, key: id}
  - name: refers
    from: {table: sale}
    map: {id: idd, zip: id, c: 'ref("lost", customer)'}
    to: {table: s, key: id}
  - name: sends
    from: {table: sale, where: totl > 1, changed: chnged}
    map: {id: id, x: custmer}
    to: {http: {path: /v1/sales}}
`)
	body, err := migration.New(w.dbs).Draft(t.Context(), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: p}))
	if err != nil {
		t.Fatal(err)
	}
	var d migration.DryRun
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range d.Problems {
		got = append(got, p.Path+": "+p.Message)
	}
	slices.Sort(got)
	want := []string{
		`stages[0].from.table: the source has no table custmer`,
		`stages[1].from.key[0]: customer has no column nr`,
		`stages[1].map.name: column 6: there is no column "nam"`,
		`stages[2].map.id: column 1: there is no column "idd"`,
		`stages[2].map.zip: the target s has no column zip`,
		`stages[2].map: the target's column must (TEXT) needs a value and gets none`,
		`stages[3].from.changed: sale has no column chnged`,
		`stages[3].from.where: the source refuses the condition: a table or column is not there: SQL logic error: no such column: totl (1)`,
		`stages[3].map.x: column 1: there is no column "custmer"`,
		`stages[3].to.http: the target is no API`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStagesThatMakeOneTableFitTheFirstOfThem(t *testing.T) {
	t.Parallel()
	problems := func(t *testing.T, w *world, text string) string {
		t.Helper()
		_, err := migration.New(w.dbs).Plan(t.Context(), w.planned(t, text))
		if err == nil {
			return ""
		}
		if !tasks.IsPermanent(err) {
			t.Error("it would be tried again")
		}
		return err.Error()
	}
	w := shopWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	for _, c := range []struct{ second, want string }{
		{"map: {id: id + 100, extra: total}, to: {table: both, key: id}", "stages[1].map.extra: the target both has no column extra (there are: boss, id, name)"},
		{"map: {id: id + 100, boss: \"'007'\"}, to: {table: BOTH, key: id}", "stages[1].map.boss: is text, and the target's boss is INTEGER"},
		{"map: {id: id + 100, name: text(id)}, to: {table: both, mode: upsert, key: name}", "stages[1].to.key: (name) is no key of both"},
		{"map: {id: id + 100, Id: id}, to: {table: other, key: id}", "stages[1].map.Id: the target takes id and Id for the same column (give it another name)"},
	} {
		got := problems(t, w, "stages: [{name: a, from: {table: customer}, map: {id: id, name: name, boss: boss}, to: {table: both, key: id}},\n {name: b, from: {table: sale}, "+c.second+"}]")
		if !strings.Contains(got, c.want) || strings.Count(got, "stages[") != 1 {
			t.Errorf("%s: said %q, want %q", c.second, got, c.want)
		}
	}
}

func TestStagesMayWriteIntoOneTableUnderNamesThatDifferByCase(t *testing.T) {
	t.Parallel()
	w := shopWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	text := `
stages:
  - {name: a, from: {table: customer}, map: {id: id, name: name}, to: {table: both, key: id}}
  - {name: b, from: {table: sale}, map: {id: id + 100, name: text(total)}, to: {table: Both, key: id}}
`
	total, found := drive(t, migration.New(w.dbs), w.planned(t, text))
	adds(t, total, 11, 11, 0, 0)
	for _, f := range found {
		t.Errorf("said: %s", f.Message)
	}
	_, err := migration.New(w.dbs).Plan(t.Context(), w.planned(t, strings.ReplaceAll(strings.Replace(text, "name: name", "name: trim(name)", 1), "table: both", "table: BOTH")))
	if err == nil || !strings.Contains(err.Error(), "would insert the same rows again") {
		t.Errorf("an edited plan loads the same table again: %v", err)
	}
}

func TestEachNoteIsSaidOnce(t *testing.T) {
	t.Parallel()
	from := filepath.Join(t.TempDir(), "old.db")
	run(t, from, "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER CHECK (n > 0)); CREATE TRIGGER g AFTER INSERT ON a BEGIN SELECT 1; END; CREATE VIRTUAL TABLE v USING fts5(x); CREATE VIEW w AS SELECT 1")
	w := worldOf(t, "sqlite:"+from, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	db := w.open(t, w.from)
	p, err := migration.Draft(t.Context(), db, sqldb.SQLite, nil)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for _, f := range p.Findings() {
		if said[f.Message]++; said[f.Message] == 2 {
			t.Errorf("said twice: %s", f.Message)
		}
	}
	for _, want := range []string{"CHECK constraints of table a", "The trigger g", "The virtual table v", "The view w"} {
		if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.HasPrefix(n, want) }) {
			t.Errorf("%s is not said: %q", want, p.Notes)
		}
	}
}

func TestAColumnThatASpecGivesTwiceIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	err := migration.New(nil).Check(json.RawMessage(
		`{"source": "old", "target": "new", "plan": {"stages": [{"name": "a", "from": {"table": "sale"}, "map": {"x": "1", "x": "2"}, "to": {"table": "s"}}]}}`))
	if err == nil || !strings.Contains(err.Error(), "plan.stages[0].map.x stands there twice") || tasks.HintOf(err) == "" {
		t.Errorf("%v (%s)", err, tasks.HintOf(err))
	}
}
