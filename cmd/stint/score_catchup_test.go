package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks/migration"
)

// liveSchema has what a catch-up can trip over: a row that refers to one of its own table, unique values that move from row to row, and
// a composite key that changes.
var liveSchema = []string{
	"CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(80) NOT NULL, boss INTEGER REFERENCES customer(id))",
	"CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer(id), number VARCHAR(20) NOT NULL UNIQUE, cents INTEGER NOT NULL)",
	"CREATE TABLE line (invoice INTEGER NOT NULL REFERENCES invoice(id), pos INTEGER NOT NULL, text VARCHAR(80), PRIMARY KEY (invoice, pos))",
}

// liveRows are the texts by which the tables are compared; every database writes them the same way.
var liveRows = []string{
	"SELECT concat('customer ', id, ' ', name, ' ', coalesce(boss, 0)) FROM customer",
	"SELECT concat('invoice ', id, ' ', customer, ' ', number, ' ', cents) FROM invoice",
	"SELECT concat('line ', invoice, '/', pos, ' ', coalesce(text, '-')) FROM line",
}

// people work in the legacy system: each call is a change, or several in one transaction, some of which fail like those of people do.
type people struct {
	url    string
	random *rand.Rand
	rows   int
	next   int
	done   int // changes that took effect
	before []string
}

func (p *people) work(ctx context.Context) {
	n := func(of int) int { return 1 + p.random.IntN(of) }
	p.next++
	id, c, i := p.rows+p.next, n(p.rows/10), n(p.rows/3)
	var changes []string
	switch p.random.IntN(10) {
	case 0:
		changes = []string{fmt.Sprintf("INSERT INTO customer VALUES (%d, 'new %d', %d)", id, id, c)}
	case 1:
		changes = []string{fmt.Sprintf("INSERT INTO invoice VALUES (%d, %d, 'N-%d', %d)", id, c, id, n(1000)), fmt.Sprintf("INSERT INTO line VALUES (%d, 1, 'first of %d')", id, id)}
	case 2, 3:
		changes = []string{fmt.Sprintf("UPDATE customer SET name = 'changed %d' WHERE id = %d", p.next, c), fmt.Sprintf("UPDATE invoice SET cents = %d WHERE id = %d", p.next, i)}
	case 4: // all of an invoice goes
		changes = []string{fmt.Sprintf("DELETE FROM line WHERE invoice = %d", i), fmt.Sprintf("DELETE FROM invoice WHERE id = %d", i)}
	case 5: // a number goes to another invoice
		changes = []string{fmt.Sprintf("UPDATE invoice SET number = concat(number, '-old') WHERE id = %d AND length(number) < 15", i),
			fmt.Sprintf("INSERT INTO invoice VALUES (%d, %d, 'R-%d', 1)", id, c, i)}
	case 6: // lines move up
		changes = []string{fmt.Sprintf("UPDATE line SET pos = pos + 100 WHERE invoice = %d AND pos < 100", i)}
	case 7: // a customer goes, and another takes the invoices
		changes = []string{fmt.Sprintf("UPDATE invoice SET customer = %d WHERE customer = %d", n(p.rows/10), c), fmt.Sprintf("UPDATE customer SET boss = NULL WHERE boss = %d", c),
			fmt.Sprintf("DELETE FROM customer WHERE id = %d", c)}
	case 8:
		changes = []string{fmt.Sprintf("UPDATE line SET text = NULL WHERE invoice = %d", i)}
	default: // goes, and comes back as somebody else
		changes = []string{fmt.Sprintf("DELETE FROM line WHERE invoice = %d AND pos = 2", i), fmt.Sprintf("INSERT INTO line VALUES (%d, 2, 'back %d')", i, p.next)}
	}
	if strings.HasPrefix(p.url, "sqlite:") {
		p.before = []string{"PRAGMA foreign_keys = ON"}
	}
	if rig.Execute(ctx, p.url, slices.Concat(p.before, []string{"BEGIN"}, changes, []string{"COMMIT"})...) == nil {
		p.done++
	}
}

// begin lets people work until the function that it returns is called.
func (p *people) begin(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.work(context.WithoutCancel(ctx))
			case <-ctx.Done():
				return
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-ended
		}
	}
	t.Cleanup(stop)
	return stop
}

// rowsOf reads all rows of the tables as texts.
func rowsOf(t *testing.T, url string) map[string]int {
	t.Helper()
	db, err := rig.Look(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows := map[string]int{}
	for _, query := range liveRows {
		if err := db.Texts(t.Context(), query, func(text string) { rows[text]++ }); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// emptyDatabase makes a database of a kind.
func emptyDatabase(t *testing.T, kind string) string {
	switch kind {
	case "postgres":
		return pgtest.New(t)
	case "mariadb":
		return mariadbtest.New(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "live.db")
}

// liveSource makes a source of some rows.
func liveSource(t *testing.T, kind string, n int) string {
	t.Helper()
	source := emptyDatabase(t, kind)
	series := map[string]string{"postgres": "generate_series(1, %d) AS n(i)", "mariadb": "(SELECT seq AS i FROM seq_1_to_%d) AS n",
		"sqlite": "(WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < %d) SELECT i FROM c) AS n"}[kind]
	fill := func(insert string, rows int) string { return insert + fmt.Sprintf(series, rows) }
	setup := append(slices.Clone(liveSchema), fill("INSERT INTO customer SELECT i, concat('customer ', i), NULL FROM ", n/10),
		"UPDATE customer SET boss = 1 + id % 7", fill(fmt.Sprintf("INSERT INTO invoice SELECT i, 1 + i %% %d, concat('R-', i), i FROM ", n/10), n/3),
		fill(fmt.Sprintf("INSERT INTO line SELECT 1 + i %% %d, (i - i %% %d) / %d, concat('line ', i) FROM ", n/3, n/3, n/3), n/2))
	if kind == "sqlite" {
		setup = append([]string{"PRAGMA journal_mode = WAL"}, setup...)
	}
	if err := rig.Execute(t.Context(), source, setup...); err != nil {
		t.Fatal(err)
	}
	return source
}

// People work in the source while it is migrated, and while every process that takes part is killed again and again: after the
// cutover source and target are equal.
func TestScoreCatchUpWithASourceThatIsWrittenToThroughKills(t *testing.T) {
	t.Parallel()
	n, kills := size(rows, 6_000, 300_000), size(runs, 10, 100)
	// The source, and the target; the short form plays the first two.
	pairs := [][2]string{{"sqlite", "postgres"}, {"mariadb", "mariadb"}, {"postgres", "postgres"}, {"mariadb", "postgres"}, {"sqlite", "mariadb"}}
	if !*long {
		pairs = pairs[:2]
	}
	for _, ends := range pairs {
		t.Run(ends[0]+" to "+ends[1], func(t *testing.T) {
			t.Parallel()
			source := liveSource(t, ends[0], n)
			target := emptyDatabase(t, ends[1])
			r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: source}, rig.Connection{Name: "cloud", URL: target})
			random := moments(t)
			p := &people{url: source, random: rand.New(rand.NewPCG(random.Uint64(), random.Uint64())), rows: n}
			job, rounds := followed(t, r, p, random, kills, n)
			cut(t, r, job, random)
			want, got := rowsOf(t, source), rowsOf(t, target)
			if !maps.Equal(want, got) {
				for text := range want {
					if got[text] != want[text] {
						t.Errorf("the target has %d times, not %d: %s", got[text], want[text], text)
					}
				}
				for text := range got {
					if want[text] == 0 {
						t.Errorf("only the target has %s", text)
					}
				}
			}
			score(t, "catch-up from %s to %s: equal %v, %d rows, %d changes meanwhile, %d kills, %d rounds", ends[0], ends[1], maps.Equal(want, got), len(want), p.done, kills, rounds)
		})
	}
}

// followed plays the first pass and rounds of a live source while processes are killed, and returns the migration and its rounds.
func followed(t *testing.T, r *rig.Rig, p *people, random *rand.Rand, kills, n int) (job string, rounds int) {
	stop := p.begin(t)
	defer stop()
	r.Start("scheduler")
	crew := []*rig.Process{r.Worker(), r.Worker()}
	args := []string{"--from", "legacy", "--to", "cloud", "--catch-up", "--every", "100ms", "--chunk-rows", fmt.Sprint(max(n/100, 50)), "--batch-rows", fmt.Sprint(max(n/400, 20))}
	follow := r.Start("migrate", args...)
	for k := range kills {
		wait := time.NewTimer(time.Duration(100+random.IntN(900)) * time.Millisecond)
		select {
		case <-wait.C:
		case <-follow.Exited():
			t.Fatalf("the migration has ended by itself\n%s", follow.Log())
		}
		if k%3 == 2 {
			follow.Kill()
			follow = r.Start("migrate", args...)
			continue
		}
		i := random.IntN(len(crew))
		crew[i].Kill()
		crew[i] = r.Worker()
	}
	r.Until(3*time.Minute+time.Duration(n)*time.Millisecond, "a round ends after the last kill", func(ctx context.Context) (bool, error) {
		select {
		case <-follow.Exited():
			t.Fatalf("the migration has ended by itself\n%s", follow.Log())
		default:
		}
		page, err := catchUps(ctx, r)
		rounds = 0
		for _, j := range page {
			if j.State == "succeeded" {
				rounds++
			}
			job = j.Labels["catch_up"]
		}
		return rounds >= 2, err
	})
	follow.Kill()
	return job, rounds
}

// catchUps lists the latest rounds.
func catchUps(ctx context.Context, r *rig.Rig) ([]*wire.Job, error) {
	list, _, err := r.Store.List(ctx, store.Filter{Kind: migration.CatchUpKind, Limit: 200})
	return list, err
}

// cut cuts over, and kills the command and a worker meanwhile.
func cut(t *testing.T, r *rig.Rig, job string, random *rand.Rand) {
	worker := r.Worker()
	for range 2 {
		p := r.Start("cutover", job)
		moment := time.NewTimer(time.Duration(100+random.IntN(500)) * time.Millisecond)
		select {
		case <-moment.C:
		case <-p.Exited():
		}
		p.Kill()
		worker.Kill()
		worker = r.Worker()
	}
	p := r.Start("cutover", job)
	if code := p.Wait(5 * time.Minute); code != 0 {
		t.Errorf("the cutover ended with %d\n%s\n%s", code, p.Out(), p.Log())
	}
}
