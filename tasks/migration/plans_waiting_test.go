package migration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

// tree is a plan of stages that refer to themselves, to each other and to later ones.
const tree = `
stages:
  - {name: sales, from: {table: sale}, map: {id: id, customer_id: 'ref("customers", customer)'}, to: {table: sales, key: id}}
  - name: customers
    from: {table: customer}
    map: {id: id + 1000, name: trim(name), boss: 'ref("customers", boss)'}
    to: {table: customers, key: [id]}
  - {name: phones, from: {table: customer}, each: [phone1, phone2], map: {customer: 'ref("customers", id)', pos: index, number: text(item)}, to: {table: phones, key: [customer, pos]}}
`

func TestAPlanWithReferencesKeepsThePromises(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, _ string) {
		postgres := strings.HasSuffix(t.Name(), "postgres")
		taskstest.Run(t, func(t *testing.T) taskstest.Subject {
			to := "sqlite:" + filepath.Join(t.TempDir(), "new.db")
			if postgres {
				to = pgtest.New(t)
			}
			w := shopWorld(t, to, "INSERT INTO customer (id, name, boss, phone1) WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i < 40) SELECT i, 'c' || i, i + 1, '1' FROM n",
				"UPDATE customer SET boss = NULL WHERE id = 40")
			job := w.planned(t, tree)
			return taskstest.Subject{Family: migration.New(w.dbs), Job: job, Check: func(t *testing.T) {
				w.want(t, "SELECT CAST(count(*) AS TEXT) FROM customers", "37")
				w.want(t, "SELECT CAST(count(*) AS TEXT) FROM customers c JOIN customers b ON b.id = c.boss", "34")
				w.want(t, "SELECT CAST(count(*) AS TEXT) FROM phones", "39")
				w.want(t, "SELECT CAST(count(*) AS TEXT) FROM sales", "4")
				if got := w.aside(t, job.ID); len(got) != 1 || !strings.Contains(got[0], "load:sales [3] customer_id 23503") {
					t.Errorf("set aside: %v", got)
				}
			}}
		})
	})
}

func TestRowsOfFilesWaitForOthersToo(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		dir := t.TempDir()
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("person.csv", "id,name,boss\n1,Ada,2\n2,Bo,3\n3,Cy,\n4,Di,77\n")
		write("car.csv", "plate,owner\nAB 1,3\nAB 2,1\nAB 3,9\n")
		w := worldOf(t, "csv:"+dir, to)
		w.dbs.Besides(func(at sqldb.Location) (sqldb.Tabular, error) { return flatfile.Open(at, flatfile.Options{}) }, nil)
		text := `
stages:
  - {name: cars, from: {table: car, key: plate}, map: {plate: plate, owner: 'ref("people", owner)'}, to: {table: cars, key: plate}}
  - {name: people, from: {table: person, key: id}, map: {id: int(id), name: name, boss: 'ref("people", null_if(text(boss), ""))'}, to: {table: people, key: id}}
`
		job := w.planned(t, text)
		total, _ := drive(t, migration.New(w.dbs), job)
		adds(t, total, 7, 5, 2, 0)
		w.list(t, "name || coalesce(boss, 0) FROM people ORDER BY id", "Ada2 | Bo3 | Cy0")
		w.list(t, "plate || owner FROM cars ORDER BY plate", "AB 13 | AB 21")
		again := w.again(t, job, strings.Replace(text, `ref("people", owner)`, `owner == "9" ? nil : ref("people", owner)`, 1))
		total, _ = drive(t, migration.New(w.dbs), again)
		adds(t, total, 2, 1, 1, 0)
	})
}

func TestAnEditedPlanDoesNotInsertTheSameRowsAgain(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := shopWorld(t, to)
		text := "stages: [{name: sales, from: {table: sale}, map: {n: id}, to: {table: sales}}]"
		first := w.planned(t, text)
		drive(t, migration.New(w.dbs), first)
		drive(t, migration.New(w.dbs), first) // the same job
		edited := strings.Replace(text, "n: id", "n: id + 0", 1)
		_, _, err := try(t, migration.New(w.dbs), w.planned(t, edited))
		refused(t, err, "job "+first.ID+" has loaded sales", "stint jobs rejects "+first.ID)
		w.want(t, "SELECT CAST(count(*) AS TEXT) FROM sales", "5")
		w.inTarget(t, "DELETE FROM sales")
		drive(t, migration.New(w.dbs), w.planned(t, edited))
		w.want(t, "SELECT CAST(count(*) AS TEXT) FROM sales", "5")
	})
}
