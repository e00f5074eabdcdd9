package web

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the databases of these tests

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// itemPlan sets the row 2 of the table item aside, whose price is no number.
const itemPlan = `name: items
source: old
target: new
stages:
  - name: items
    from: {table: item, key: [id]}
    map:
      id: id
      what: what
      price: int(price)
    to: {table: items, mode: upsert, key: [id]}
`

// moving makes a house that can migrate the database old, of a file, into the database new.
func moving(t *testing.T) (h *house, families []tasks.Family, old string) {
	t.Helper()
	dir := t.TempDir()
	old = filepath.Join(dir, "old.db")
	execute(t, old, `CREATE TABLE item (id INTEGER PRIMARY KEY, what TEXT, price TEXT)`, `CREATE TABLE "<i>odd</i>" (id INTEGER PRIMARY KEY)`,
		`INSERT INTO item VALUES (1, 'one', '10'), (2, '<script>alert(1)</script>', 'cheap'), (3, 'three', '30')`)
	dbs := migration.NewDatabases(func(name string) (sqldb.Location, error) {
		file, known := map[string]string{"old": "sqlite:" + old, "new": "sqlite:" + filepath.Join(dir, "new.db")}[name]
		if !known {
			return sqldb.Location{}, tasks.Permanent(tasks.WithHint(nil, "name it in the configuration", "the connection %q is not known", name))
		}
		return sqldb.ParseURL(file)
	}, 4)
	t.Cleanup(func() {
		if err := dbs.Close(); err != nil {
			t.Error(err)
		}
	})
	h = newHouse(t, func(o *api.Options) {
		o.Families = append(o.Families, migration.New(dbs), migration.NewVerifier(dbs))
		families = o.Families
	})
	return h, families, old
}

func execute(t *testing.T, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// jobs lists the ids of all jobs.
func (h *house) jobs() []string {
	h.t.Helper()
	list, err := h.client.Jobs(h.t.Context(), client.Filter{})
	if err != nil {
		h.t.Fatal(err)
	}
	var ids []string
	for _, j := range list.Jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

func TestAMigrationIsTriedAndStartedFromTheForm(t *testing.T) {
	t.Parallel()
	h, families, _ := moving(t)
	b := h.browser("")
	start := func(fields url.Values) *page { return b.post("/jobs/new", "/jobs/new", fields) }
	b.get("/jobs").shows(t, `href="/jobs/new"`)
	b.get("/").shows(t, `href="/jobs/new"`)

	p := start(url.Values{"kind": {"migration"}, "source": {"old"}, "target": {"elsewhere"}, "labels": {"team=<b>"}, "do": {"start"}})
	if p.Code != http.StatusUnprocessableEntity && p.Code != http.StatusOK {
		t.Errorf("an unknown target: %d", p.Code)
	}
	p = start(url.Values{"kind": {"migration"}, "source": {"old"}, "target": {"old"}, "tables": {"item"}, "labels": {"team=<b>"}, "do": {"start"}})
	p.shows(t, "Source and target are the same connection", `value="old"`, `value="item"`, `value="team=&lt;b&gt;"`)
	if p.Code != http.StatusUnprocessableEntity {
		t.Errorf("the same database twice: %d", p.Code)
	}
	p = start(url.Values{"kind": {"migration"}, "plan": {strings.Replace(itemPlan, "int(price)", "int(prize)", 1)}, "do": {"start"}})
	p.shows(t, "The plan does not fit", "plan:10:18: stages[0].map.price", "prize", "name: items")
	start(url.Values{"kind": {"migration"}, "plan": {"stages: ["}, "do": {"start"}}).shows(t, "The plan does not fit", "plan:1:")
	start(url.Values{"kind": {"migration"}, "plan": {itemPlan}, "tables": {"item"}, "do": {"draft"}}).shows(t, "A plan and tables cannot both be given")
	start(url.Values{"kind": {"migration"}, "source": {"old"}, "target": {"new"}, "window": {"many"}, "do": {"draft"}}).shows(t, "Write a whole number from 0 to 10000", `value="many"`)
	start(url.Values{"kind": {"migration"}, "source": {"old"}, "target": {"new"}, "labels": {"team"}, "do": {"draft"}}).shows(t, "has no value")

	p = start(url.Values{"kind": {"migration"}, "source": {"old"}, "target": {"new"}, "do": {"draft"}})
	p.shows(t, "It can be started", `<th scope="row">item</th>`, "&lt;i&gt;odd&lt;/i&gt;", "Nothing was written")
	p.hides(t, "<i>odd")
	p = start(url.Values{"kind": {"migration"}, "plan": {itemPlan}, "do": {"draft"}})
	p.shows(t, "It can be started", "int(price)", "Of the first 3 rows, 2 would be written, 1 set aside", "Row <code>[2]</code>, price")
	p.hides(t, "<script>alert(1)")
	for _, id := range h.jobs() {
		if j, err := h.client.Job(t.Context(), id); err != nil || strings.Contains(string(j.Spec), `"target":"new"`) {
			t.Errorf("a draft has started %s, %v", id, err)
		}
	}

	h.runSteps(families, "w")
	p = start(url.Values{"kind": {"migration"}, "plan": {itemPlan}, "labels": {"team=billing"}, "do": {"start"}})
	p.shows(t, "The job was started.", "team=billing")
	b.await(p.Path, "the end", func(p *page) bool { return strings.Contains(p.Body, "succeeded") }).shows(t, "load:items", "Set aside", p.Path+"/rejects")
	id := strings.TrimPrefix(p.Path, "/jobs/")
	planned, _, err := plan.Parse("plan.yaml", []byte(itemPlan))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(migration.VerifySpec{Source: "old", Target: "new", Job: id, Plan: planned})
	if err != nil {
		t.Fatal(err)
	}
	check := b.post("/jobs/new?kind=verification", "/jobs/new", url.Values{"kind": {"verification"}, "spec": {string(spec)}, "do": {"start"}})
	enginetest.WaitState(t, h.st, strings.TrimPrefix(check.Path, "/jobs/"), tasks.Succeeded)
	b.await(check.Path, "what it is about", func(p *page) bool { return strings.Contains(p.Body, "About") }).shows(t, `href="/jobs/`+id)
	b.await(p.Path, "the verification", func(p *page) bool { return strings.Contains(p.Body, "equal") }).shows(t, "Verified", check.Path)
	like := b.get("/jobs/new?like=" + id)
	like.shows(t, `value="team=billing"`, "int(price)", `value="old"`)
}

func TestRowsThatWereSetAsideAreShownSavedAndSentAgain(t *testing.T) {
	t.Parallel()
	h, families, old := moving(t)
	h.runSteps(families, "w")
	b := h.browser(h.token("admin"))
	at := b.post("/jobs/new", "/jobs/new", url.Values{"kind": {"migration"}, "plan": {itemPlan}, "do": {"start"}}).Path
	id := strings.TrimPrefix(at, "/jobs/")
	b.await(at, "the end", func(p *page) bool { return strings.Contains(p.Body, "succeeded") })
	p := b.get(at + "/rejects")
	p.shows(t, "[2]", "<strong>price</strong>", "&lt;script&gt;alert(1)", "Send them again")
	p.hides(t, "<script>alert(1)", "[1]")
	viewer := h.browser(h.token("viewer")).get(at + "/rejects")
	viewer.shows(t, "[2]", at+"/rejects.csv")
	viewer.hides(t, at+"/rejects/again")

	p = b.get(at + "/rejects.csv")
	rows, err := csv.NewReader(strings.NewReader(p.Body)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][2] != "[2]" || rows[1][3] != "price" || !strings.Contains(rows[1][6], "<script>") {
		t.Errorf("csv: %q, %v", rows, err)
	}
	if got := p.Head.Get("Content-Disposition"); got != "attachment; filename*=UTF-8''"+id+"-rejects.csv" {
		t.Errorf("csv: %s", got)
	}
	if p = b.get(at + "/rejects.ndjson"); strings.Count(p.Body, "\n") != 1 || !strings.HasPrefix(p.Body, "{") {
		t.Errorf("ndjson: %s", p.Body)
	}
	b.await(at+"/report", "the report of its end", func(p *page) bool { return strings.Contains(p.Body, "What the target proves") }).shows(t, "3 rows read: 2 written, 1 set aside")

	execute(t, old, `UPDATE item SET price = '20' WHERE id = 2`)
	again := b.post(at+"/rejects", at+"/rejects/again", nil)
	again.shows(t, "This job tries the rows again that "+id+" has set aside")
	b.await(again.Path, "the end", func(p *page) bool { return strings.Contains(p.Body, "succeeded") })
	b.get(again.Path+"/rejects").shows(t, "This job tries rows again", at+"/rejects")
	b.get(at+"/rejects").shows(t, "Nothing is set aside")
	if p := b.send(at+"/rejects/again", url.Values{"form": {formOf(b, at)}, "back": {at + "/rejects"}}); !strings.Contains(p.Body, "Nothing is set aside any more") {
		t.Errorf("sent again when nothing is set aside: %s", p.Body)
	}
}

// formOf is the secret of the forms of a page.
func formOf(b *browser, path string) string {
	m := formSecret.FindStringSubmatch(b.get(path).Body)
	if m == nil {
		b.t.Fatalf("%s has no form", path)
	}
	return html.UnescapeString(m[1])
}

func TestAJobOfAnyKindIsStartedFromTheFormOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser(h.token("submitter"))
	form := "/jobs/new?kind=test"
	b.get(form).shows(t, "Spec, as JSON", `<option value="test" selected>`)
	p := b.post(form, "/jobs/new", url.Values{"kind": {"test"}, "spec": {"{\n  \"stages\": [1,\n}"}, "do": {"start"}})
	p.shows(t, "The spec is no JSON, at line 3, column 1", "&#34;stages&#34;: [1,")
	if p.Code != http.StatusUnprocessableEntity {
		t.Errorf("no JSON: %d", p.Code)
	}
	b.post(form, "/jobs/new", url.Values{"kind": {"test"}, "spec": {"{}"}, "do": {"draft"}}).shows(t, "cannot be drafted")
	ask := url.Values{"kind": {"test"}, "spec": {`{"stages":[2]}`}, "key": {"pressed"}, "do": {"start"}}
	one := b.post(form, "/jobs/new", ask)
	two := b.post(form, "/jobs/new", ask)
	one.shows(t, "The job was started.")
	if len(h.jobs()) != 1 || two.Path != one.Path {
		t.Errorf("pressed twice: %s and %s", one.Path, two.Path)
	}
	j, err := h.client.Job(t.Context(), h.jobs()[0])
	if err != nil || string(j.Spec) != `{"stages":[2]}` {
		t.Errorf("%+v, %v", j, err)
	}
	viewer := h.browser(h.token("viewer"))
	if p := viewer.get("/jobs/new"); p.Code != http.StatusForbidden {
		t.Errorf("a viewer: %d", p.Code)
	}
	viewer.get("/jobs").hides(t, "/jobs/new")
	if p := viewer.send("/jobs/new", url.Values{"form": {formOf(viewer, "/jobs")}, "kind": {"test"}, "spec": {"{}"}, "do": {"start"}}); p.Code != http.StatusForbidden || len(h.jobs()) != 1 {
		t.Errorf("a viewer starts one: %d", p.Code)
	}
	if p := b.send("/jobs/new", url.Values{"form": {"x"}, "kind": {"test"}, "spec": {"{}"}, "do": {"start"}}); p.Code != http.StatusForbidden || len(h.jobs()) != 1 {
		t.Errorf("a form of another session: %d", p.Code)
	}
}
