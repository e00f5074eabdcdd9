package bench

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
)

var long = flag.Bool("long", false, "memory at 20 million rows, too")

// planText moves the three tables as they are; its gaps are what is compared in the end, and the mapping of the large one.
const planText = `name: bench
verify: {rows: %s}
stages:
  - name: customers
    from: {table: customers}
    map: {id: id, name: name, country: country, created: created, balance: balance}
    to: {table: customers}
  - name: properties
    from: {table: properties}
    map: {id: id, customer_id: customer_id, street: street, memo: memo, rent: rent, active: active}
    to: {table: properties}
  - name: entries
    from: {table: entries}
    map:
      id: id
%s    to: {table: entries}
lookups:
  kinds: {"0": rent, "1": water, "2": power, "3": repair}
`

// tenExpressions is a mapping as people write them: what is trimmed, cut, joined, compared, looked up, and made from other values.
// A moment is text in SQLite; elsewhere it is one already.
func tenExpressions(source string) string {
	booked := `format_time(booked, "02/01/2006 15:04")`
	if source == "sqlite" {
		booked = `format_time(parse_time(booked, "2006-01-02 15:04:05", "UTC"), "02/01/2006 15:04")`
	}
	return `      property_id: property_id
      amount: amount
      void: void
      memo: trim(memo)
      memo_key: lower(memo)
      payer: memo ?? "unknown"
      cents: int(amount * 100)
      booked_on: ` + booked + `
      label: text(id) + "/" + text(property_id)
      large: amount > 500
      kind: lookup("kinds", property_id % 4)
      row_id: uuid5("url", id)
      short: substr(memo, 0, 12)
`
}

// source makes the rows in SQLite and, if that is not where they are to come from, moves them. It gives their address, and what
// pgloader calls it; "" where there is no such server.
func (m *migrationBench) source(name string) (from, loader string) {
	makeBenchLegacy(m.B, m.legacy)
	legacy := "sqlite:" + m.legacy
	var server *mariadbtest.Server
	switch name {
	case "postgres":
		from = m.fresh(true)
	case "mariadb":
		var err error
		if server, err = mariadbtest.Start(); err != nil {
			return "", ""
		}
		m.Cleanup(func() { _ = server.Stop() })
		if err := server.Run("CREATE DATABASE legacy CHARACTER SET utf8mb4"); err != nil {
			m.Fatal(err)
		}
		from = server.URL("legacy")
		loader = strings.Replace(from, "mariadb://", "mysql://", 1)
	default:
		return legacy, "sqlite://" + m.legacy
	}
	m.migrate("", legacy, from)
	if name == "mariadb" {
		m.forPgloader(server)
	}
	return from, loader
}

// forPgloader takes what pgloader 3.6 stumbles over out of the source. It gives up at stint's own tables (a default that it makes a
// text of, a column that is computed), and its client ends the connection at a column whose collation has a number above 255, such
// as the one that stint chooses (utf8mb4_nopad_bin).
func (m *migrationBench) forPgloader(server *mariadbtest.Server) {
	tables, err := server.Tables("legacy")
	if err != nil {
		m.Fatal(err)
	}
	for _, table := range tables {
		do := "ALTER TABLE legacy." + table + " CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		if strings.HasPrefix(table, "stint_") {
			do = "DROP TABLE legacy." + table
		}
		if err := server.Run(do); err != nil {
			m.Fatal(err)
		}
	}
}

// migrate runs one stint process, with a plan or, without one, of all tables.
func (m *migrationBench) migrate(plan, from, to string) outcome {
	args := []string{"migrate"}
	if plan != "" {
		args = append(args, plan)
	}
	args = append(args, "--quiet", "--output", "json", "--config", os.DevNull, "--data", filepath.Join(m.dir, "data"), "--concurrency", "4", "--from", from, "--to", to)
	return m.timed(exec.Command(m.stint, args...))
}

// plan writes a plan's file. verify is what is compared in the end: none or all rows.
func (m *migrationBench) plan(name, verify, mapping string) string {
	file := filepath.Join(m.dir, name+"-"+verify+".yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, planText, verify, mapping), 0o600); err != nil {
		m.Fatal(err)
	}
	return file
}

// binaryPipe is COPY TO binary | COPY FROM binary, one table after the other.
func (m *migrationBench) binaryPipe(from string) outcome {
	at := m.fresh(true)
	var all outcome
	for _, f := range legacyFill {
		o := m.timed(exec.Command("psql", from, "-q", "-c", `\copy `+f.table+` TO STDOUT WITH (FORMAT binary)`), exec.Command("psql", at, "-q", "-c", `\copy `+f.table+` FROM STDIN WITH (FORMAT binary)`))
		all = outcome{all.seconds + o.seconds, all.cpu + o.cpu, max(all.rss, o.rss)}
	}
	m.check("binary COPY pipe", at)
	return all
}

// dumped is pg_dump --data-only | psql.
func (m *migrationBench) dumped(from string) outcome {
	at := m.fresh(true)
	args := []string{from, "--data-only"}
	for _, f := range legacyFill {
		args = append(args, "--table", f.table)
	}
	restore := exec.Command("psql", at, "-q", "-v", "ON_ERROR_STOP=1")
	o := m.timed(exec.Command("pg_dump", args...), restore)
	m.check("pg_dump", at)
	return o
}

// pgloader runs it with its defaults. It ends with 0 when it has moved nothing, too: the text is what it said then.
func (m *migrationBench) pgloader(from string) (o outcome, failed string) {
	at := m.fresh(false)
	u, _ := url.Parse(at)
	u.RawQuery = ""
	var said bytes.Buffer
	cmd := exec.Command("pgloader", "--no-ssl-cert-verification", from, u.String())
	cmd.Stdout = &said
	o = m.timed(cmd)
	// Tables of MariaDB go into a schema that is named as their database.
	if n, _, err := arrived(at + "&search_path=legacy,public"); err != nil || n != benchRows {
		return o, said.String()
	}
	return o, ""
}

// BenchmarkPlan moves the same rows from three kinds of databases into PostgreSQL, as they are and through ten expressions, beside
// what else does it.
func BenchmarkPlan(b *testing.B) {
	for _, name := range []string{"postgres", "sqlite", "mariadb"} {
		b.Run(name, func(b *testing.B) {
			m := newMigrationBench(b)
			r := &results{name: "plan-" + name}
			if from, loader := m.source(name); from == "" {
				r.add("%s: no server is installed: a gap", name)
			} else {
				m.beside(r, name, from, loader)
			}
			r.write(b)
		})
	}
}

// newMigrationBench builds the program and starts a server.
func newMigrationBench(b *testing.B) *migrationBench {
	dir := b.TempDir()
	m := &migrationBench{B: b, dir: dir, legacy: filepath.Join(dir, "legacy.db"), stint: buildStint(b, dir)}
	var err error
	m.server, err = pgtest.Start("", pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "512MB", "max_wal_size": "8GB"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.server.Stop() })
	return m
}

// way is one way to move the rows.
type way struct {
	name string
	run  func() outcome
	took []outcome
}

func (m *migrationBench) beside(r *results, name, from, loader string) {
	var ways []*way
	add := func(what, tool string, run func() outcome) {
		if _, err := exec.LookPath(tool); tool != "" && err != nil {
			r.add("%s beside %s: not installed: a gap", name, what)
			return
		}
		ways = append(ways, &way{name: what, run: run})
	}
	add("stint", "", func() outcome {
		at := m.fresh(false)
		o := m.migrate("", from, at)
		m.check("stint", at)
		return o
	})
	planned := func(what, verify string) {
		file := m.plan(name, verify, tenExpressions(name))
		add(what, "", func() outcome {
			at := m.fresh(false)
			o := m.migrate(file, from, at)
			m.check(what, at)
			return o
		})
	}
	planned("ten expressions", "none")
	planned("the same, compared", "all")
	ours := len(ways)
	if loader == "" {
		add("binary COPY pipe", "psql", func() outcome { return m.binaryPipe(from) })
		add("pg_dump | psql", "pg_dump", func() outcome { return m.dumped(from) })
	} else {
		add("pgloader", "pgloader", func() outcome {
			o, failed := m.pgloader(loader)
			if failed != "" {
				m.Fatalf("pgloader: %s", failed)
			}
			return o
		})
	}
	if len(ways) > ours && loader != "" {
		if _, failed := m.pgloader(loader); failed != "" {
			r.add("%s beside pgloader: it ended with 0, and not all rows had arrived: a gap", name)
			m.Log(failed)
			ways = ways[:ours]
		}
	}
	for range often() {
		for _, w := range ways {
			w.took = append(w.took, w.run())
		}
	}
	for _, w := range ways[ours:] {
		for _, our := range ways[:ours] {
			r.ratio(fmt.Sprintf("%s, %s : %s", name, our.name, w.name), rates(our.took), rates(w.took), "rows/s")
			id := map[string]string{"sqlite, ten expressions : pgloader": "plan-pgloader", "mariadb, ten expressions : pgloader": "plan-mariadb", "postgres, stint : binary COPY pipe": "plan-pipe"}[name+", "+our.name+" : "+w.name]
			if id != "" {
				t := ratioOf(rates(our.took), rates(w.took), "rows/s")
				t.Size = thousands(float64(benchRows)) + " rows"
				r.take(id, t)
			}
		}
	}
	for _, w := range ways {
		r.add("  %s, %-24s client cpu %5.1f s   peak rss %4d MiB", name, w.name, median(each(w.took, func(o outcome) float64 { return o.cpu.Seconds() })),
			int(slices.Max(each(w.took, func(o outcome) float64 { return float64(o.rss) })))/1024)
	}
}

func rates(took []outcome) []float64 { return each(took, outcome.rate) }

func each(took []outcome, of func(outcome) float64) []float64 {
	var all []float64
	for _, o := range took {
		all = append(all, of(o))
	}
	return all
}

// BenchmarkMemory takes the peak of a worker that moves 1, 5 and, with -long, 20 million rows through ten expressions.
func BenchmarkMemory(b *testing.B) {
	m := newMigrationBench(b)
	r := &results{name: "memory"}
	millions := []int{1, 5}
	if *long {
		millions = append(millions, 20)
	}
	for _, n := range millions {
		from := m.fresh(true)
		conn, err := pgx.Connect(context.Background(), from)
		if err != nil {
			b.Fatal(err)
		}
		_, err = conn.Exec(context.Background(), fmt.Sprintf(`INSERT INTO entries SELECT i, i %% 200000 + 1, md5(i::text)::uuid, (i %% 100000) / 100.0,
			timestamp '2017-07-14' + i * interval '37 s', 'Payment no ' || i, i %% 50 = 0 FROM generate_series(1, %d) i`, n*1_000_000))
		_ = conn.Close(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		o := m.migrate(m.plan("memory", "none", tenExpressions("postgres")), from, m.fresh(false))
		r.add("%3d million rows: peak rss %4d MiB, client cpu %6.1f s, %9.0f rows/s", n, o.rss/1024, o.cpu.Seconds(), float64(n)*1e6/o.seconds)
		r.take("plan-memory", taken{Figure: float64(o.rss / 1024), Runs: 1, Measured: fmt.Sprintf("%d MiB", o.rss/1024), Size: fmt.Sprintf("%d million rows", n)})
	}
	r.write(b)
}
