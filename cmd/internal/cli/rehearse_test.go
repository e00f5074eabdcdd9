package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// scratchFile makes a target as a run of a rehearsal leaves it.
func scratchFile(t *testing.T, job string, written int, statements ...string) *place {
	t.Helper()
	at, err := sqldb.ParseURL("sqlite:" + filepath.Join(t.TempDir(), "scratch.db"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(context.Background(), at, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := sqldb.EnsureLedger(context.Background(), db); err != nil {
		t.Fatal(err)
	}
	statements = append([]string{"CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE log (text TEXT)",
		"INSERT INTO person VALUES (1, 'Ada'), (2, 'Bjørn')", "INSERT INTO log VALUES ('a'), ('b'), ('a')",
		fmt.Sprintf(`INSERT INTO stint_ledger (job, stage, step, from_key, to_key, done, rows_read, rows_written, rows_quarantined, bytes, checksum, worker, attempt)
			VALUES ('%s', 'load:person', '0', '', '', 1, %d, %[2]d, 0, 1, '', '', '')`, job, written)}, statements...)
	for _, s := range statements {
		if _, err := db.SQL.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return &place{database: database{at: at}}
}

func TestARehearsalSeesWhatIsLostAndWhatIsThereTwice(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		written     int
		change      string
		lost, twice int64
		says        string // "" means equal
	}{
		"nothing":                        {2, "SELECT 1", 0, 0, ""},
		"a row is missing":               {2, "DELETE FROM person WHERE id = 2", 1, 0, "person, key [2]: the row is missing"},
		"a row is there besides":         {2, "INSERT INTO person VALUES (3, 'Chloë')", 0, 1, "person, key [3]: the row is in the disturbed run only"},
		"a cell differs":                 {2, "UPDATE person SET name = 'Eva' WHERE id = 1", 0, 0, "column name"},
		"a row without a key is twice":   {2, "INSERT INTO log VALUES ('b')", 0, 1, "log, key"},
		"a row without a key is missing": {2, "DELETE FROM log WHERE rowid = 1", 1, 0, "log, key"},
		"a table is missing":             {2, "DROP TABLE log", 3, 0, "log: the table is missing"},
		"the ledger differs":             {3, "SELECT 1", 0, 0, "load:person: 3 rows written, undisturbed 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			re := &rehearsal{crew: &crew{command: &command{}}, expected: []string{"person", "log"}, calmJob: "mig-a"}
			re.calm, re.disturbed = scratchFile(t, "mig-a", 2), scratchFile(t, "mig-b", test.written, test.change)
			if err := re.compare(context.Background(), "mig-b"); err != nil {
				t.Fatal(err)
			}
			r := re.res
			if r.Equal != (test.says == "") || r.Lost != test.lost || r.Twice != test.twice {
				t.Errorf("equal %v, lost %d, twice %d: %v", r.Equal, r.Lost, r.Twice, r.Differences)
			}
			if all := strings.Join(r.Differences, "\n"); !strings.Contains(all, test.says) {
				t.Errorf("it says %s\nwant %s", all, test.says)
			}
		})
	}
}

func TestColumnsThatDifferFromRunToRunAreLeftOut(t *testing.T) {
	t.Parallel()
	re := &rehearsal{m: &move{plan: &plan.Plan{Stages: []plan.Stage{
		{Name: "people", Map: plan.Map{{Column: "legacy_id", Expr: "id"}, {Column: "state", Expr: `"new"`}}, To: plan.To{Table: "people", ID: "id", Key: []string{"legacy_id"}}},
		{Name: "bills", Map: plan.Map{{Column: "id", Expr: "id"}, {Column: "person_id", Expr: `ref("people", customer)`}}, To: plan.To{Table: "bills", Key: []string{"id"}}},
		{Name: "lines", Map: plan.Map{{Column: "bill_id", Expr: `ref("bills", bill)`}}, To: plan.To{Table: "lines"}},
	}}}, leftOut: map[string][]string{}}
	people := &sqldb.Table{Name: "people", Columns: []sqldb.Column{{Name: "id", Identity: true}, {Name: "legacy_id"}, {Name: "made", Default: "now()"},
		{Name: "state", Default: "upper('x')"}, {Name: "kind", Default: "'person'"}}}
	re.leftOut["people"] = ownColumns(re.m.plan.Stage("people"), people)
	re.leaveReferences()
	for table, want := range map[string][]string{"people": {"id", "made"}, "bills": {"person_id"}, "lines": nil} {
		if got := re.leftOut[table]; !slices.Equal(got, want) {
			t.Errorf("%s: %v are left out, want %v", table, got, want)
		}
	}
}
