package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/internal/pgtest"
)

// benchRows is how many rows the migration benches move, in three tables; STINT_BENCH_ROWS says fewer.
var benchRows = number("STINT_BENCH_ROWS", 2_000_000)

// number reads a setting of the benches.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// often is how often each of two things is run, in turn.
func often() int { return number("STINT_BENCH_ROUNDS", rounds) }

// rate is how many rows a second came.
func (o outcome) rate() float64 { return float64(benchRows) / o.seconds }

const legacySchema = `
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, created DATETIME NOT NULL, balance DECIMAL(12,2));
CREATE TABLE properties (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, street TEXT NOT NULL, memo TEXT, rent DECIMAL(12,2), active BOOLEAN NOT NULL);
CREATE TABLE entries (id INTEGER PRIMARY KEY, property_id INTEGER NOT NULL, guid UUID NOT NULL, amount DECIMAL(12,2) NOT NULL, booked DATETIME, memo TEXT, void BOOLEAN NOT NULL);`

// legacyFill is one statement for each table; %d is the number of rows.
var legacyFill = []struct {
	table string
	share int // of 100
	sql   string
}{
	{"customers", 5, `SELECT i, 'Customer "' || i || '" & Söhne, Nr. ' || (i * 7919 % 1000), CASE i % 3 WHEN 0 THEN 'AU' WHEN 1 THEN 'NZ' END, datetime(1200000000 + i * 61, 'unixepoch'), (i * 7919 % 1000000) / 100.0 FROM n`},
	{"properties", 10, `SELECT i, i * 31 % 100000 + 1, (i % 300) || ' Long Street, Unit ' || (i % 17), CASE WHEN i % 4 = 0 THEN NULL ELSE 'second floor' || char(10) || 'no "pets"' END, (i * 104729 % 500000) / 100.0, i % 2 FROM n`},
	{"entries", 85, `SELECT i, i * 7919 % 200000 + 1, printf('%08x-%04x-4000-8000-%012x', i, i % 65536, i), (i * 7919 % 100000) / 100.0, datetime(1500000000 + i * 37, 'unixepoch'), CASE WHEN i % 10 = 0 THEN NULL ELSE 'Payment no ' || i || ' for ' || (i % 977) END, i % 50 = 0 FROM n`},
}

func makeBenchLegacy(b *testing.B, path string) { makeLegacy(b, path, benchRows) }

func makeLegacy(b *testing.B, path string, rows int) {
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(off)&_pragma=synchronous(off)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(legacySchema); err != nil {
		b.Fatal(err)
	}
	for _, f := range legacyFill {
		n := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", rows/100*f.share)
		if _, err := db.Exec("INSERT INTO " + f.table + " " + n + f.sql); err != nil {
			b.Fatal(err)
		}
	}
}

const targetSchema = `
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, country text, created timestamp NOT NULL, balance numeric(12,2));
CREATE TABLE properties (id bigint PRIMARY KEY, customer_id bigint NOT NULL, street text NOT NULL, memo text, rent numeric(12,2), active boolean NOT NULL);
CREATE TABLE entries (id bigint PRIMARY KEY, property_id bigint NOT NULL, guid uuid NOT NULL, amount numeric(12,2) NOT NULL, booked timestamp, memo text, void boolean NOT NULL);`

// migrationBench is what the ways to move the rows share.
type migrationBench struct {
	*testing.B
	dir, legacy, stint string
	server             *pgtest.Server
	n                  int
}

// fresh makes an empty database, with tables where the way does not make its own.
func (m *migrationBench) fresh(tables bool) string {
	m.n++
	name := fmt.Sprintf("bench%d", m.n)
	ctx := context.Background()
	if err := m.server.CreateDatabase(ctx, name); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { _ = m.server.DropDatabase(ctx, name) })
	at := m.server.URL(name)
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		m.Fatal(err)
	}
	defer conn.Close(ctx)
	if tables {
		if _, err := conn.Exec(ctx, targetSchema); err != nil {
			m.Fatal(err)
		}
	}
	if _, err := conn.Exec(ctx, "CHECKPOINT"); err != nil {
		m.Fatal(err)
	}
	return at
}

// check counts what arrived.
func (m *migrationBench) check(what, at string) {
	n, sum, err := arrived(at)
	if err != nil || n != benchRows {
		m.Fatalf("%s: %d rows arrived, %v", what, n, err)
	}
	if m.n <= 4 {
		fmt.Printf("  %s: %d rows, sum of amounts %s\n", what, n, sum)
	}
}

// arrived counts the rows of the three tables, and adds up the amounts.
func arrived(at string) (n int, sum string, err error) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM properties) + (SELECT count(*) FROM entries), (SELECT round(sum(amount)::numeric, 2)::text FROM entries)").Scan(&n, &sum)
	return n, sum, err
}

type outcome struct {
	seconds float64
	cpu     time.Duration
	rss     int64 // KiB, the largest process
}

// timed runs commands joined by a pipe, and says what they took.
func (m *migrationBench) timed(cmds ...*exec.Cmd) outcome {
	var errText bytes.Buffer
	for i, c := range cmds {
		if c.Stderr == nil {
			c.Stderr = &errText
		}
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if i > 0 {
			out, err := cmds[i-1].StdoutPipe()
			if err != nil {
				m.Fatal(err)
			}
			c.Stdin = out
		}
	}
	start := time.Now()
	for _, c := range cmds {
		if err := c.Start(); err != nil {
			m.Fatal(err)
		}
	}
	var o outcome
	for i := len(cmds) - 1; i >= 0; i-- {
		if err := cmds[i].Wait(); err != nil {
			m.Fatalf("%s: %v\n%s", cmds[i].Path, err, errText.String())
		}
		o.cpu += cmds[i].ProcessState.UserTime() + cmds[i].ProcessState.SystemTime()
		if u, ok := cmds[i].ProcessState.SysUsage().(*syscall.Rusage); ok {
			o.rss = max(o.rss, u.Maxrss)
		}
	}
	o.seconds = time.Since(start).Seconds()
	return o
}

// ours migrates with one stint process, embedded queue and all. The second figure is the job alone, without the process' start
// and end.
func (m *migrationBench) ours(concurrency int) (outcome, float64) {
	at := m.fresh(false)
	var out bytes.Buffer
	cmd := exec.Command(m.stint, "migrate", "--quiet", "--output", "json", "--config", os.DevNull, "--data", filepath.Join(m.dir, "data"), "--concurrency", strconv.Itoa(concurrency),
		"--from", "sqlite:"+m.legacy, "--to", at)
	cmd.Stdout = &out
	o := m.timed(cmd)
	var report struct {
		DurationMS float64 `json:"duration_ms"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		m.Fatal(err)
	}
	m.check("stint", at)
	return o, report.DurationMS / 1000
}

// copied is the fastest program without a ledger: see copier_test.go.
func (m *migrationBench) copied() outcome {
	at := m.fresh(true)
	cmd := exec.Command(os.Args[0], "-test.run", "^$")
	cmd.Env = append(os.Environ(), "STINT_BENCH_COPY_FROM="+m.legacy, "STINT_BENCH_COPY_TO="+at)
	o := m.timed(cmd)
	m.check("plain COPY", at)
	return o
}

// piped is sqlite3 -csv | psql \copy, one table after the other.
func (m *migrationBench) piped() (outcome, bool) {
	sqlite, err1 := exec.LookPath("sqlite3")
	psql, err2 := exec.LookPath("psql")
	if errors.Join(err1, err2) != nil {
		return outcome{}, false
	}
	at := m.fresh(true)
	var all outcome
	for _, f := range legacyFill {
		o := m.timed(exec.Command(sqlite, "-csv", m.legacy, "SELECT * FROM "+f.table),
			exec.Command(psql, at, "-q", "-c", `\copy `+f.table+` FROM STDIN WITH (FORMAT csv)`))
		all = outcome{all.seconds + o.seconds, all.cpu + o.cpu, max(all.rss, o.rss)}
	}
	m.check("csv pipe", at)
	return all, true
}

// loaded is pgloader with its defaults.
func (m *migrationBench) loaded() (outcome, bool) {
	path, err := exec.LookPath("pgloader")
	if err != nil {
		return outcome{}, false
	}
	at := m.fresh(false)
	u, _ := url.Parse(at)
	u.RawQuery = ""
	cmd := exec.Command(path, "--no-ssl-cert-verification", "sqlite://"+m.legacy, u.String())
	o := m.timed(cmd)
	m.check("pgloader", at)
	return o, true
}

// BenchmarkMigration moves 2 million rows from SQLite into PostgreSQL: stint beside a plain COPY program, a CSV pipe and pgloader.
func BenchmarkMigration(b *testing.B) {
	m := newMigrationBench(b)
	makeBenchLegacy(b, m.legacy)
	r := &results{name: "migration"}
	n := often()
	var ours, job, plain, pipe, loader []float64
	var cost [4]outcome
	for range n {
		o, j := m.ours(4)
		ours, job, cost[0] = append(ours, o.rate()), append(job, float64(benchRows)/j), o
		o = m.copied()
		plain, cost[1] = append(plain, o.rate()), o
		if o, ok := m.piped(); ok {
			pipe, cost[2] = append(pipe, o.rate()), o
		}
		if o, ok := m.loaded(); ok {
			loader, cost[3] = append(loader, o.rate()), o
		}
	}
	r.ratio("stint (whole process) : plain COPY", ours, plain, "rows/s")
	r.ratio("stint (job alone)     : plain COPY", job, plain, "rows/s")
	size := thousands(float64(benchRows)) + " rows"
	bars := []bar{{Name: "stint", Value: median(ours), Ours: true}}
	for i, theirs := range [][]float64{plain, pipe, loader} {
		id := []string{"migration-copy", "migration-csv", "migration-pgloader"}[i]
		if len(theirs) == 0 {
			r.take(id, taken{Missing: "not installed", Size: size})
			continue
		}
		t := ratioOf(ours, theirs, "rows/s")
		t.Size = size
		if i == 0 {
			t.Note = fmt.Sprintf("the job alone, without the start and the end of the process: %.2f", median(pairs(job, plain)))
		}
		r.take(id, t)
		bars = append(bars, bar{Name: []string{"plain COPY, not resumable", "sqlite3 -csv | psql", "pgloader"}[i], Value: median(theirs)})
	}
	for i := range bars {
		bars[i].Text = thousands(bars[i].Value)
	}
	r.draw("migration", 0.97*median(plain), bars...)
	for what, theirs := range map[string][]float64{"stint (whole process) : sqlite3|psql": pipe, "stint (whole process) : pgloader": loader} {
		if len(theirs) == 0 {
			r.add("%-44s not installed: a gap", what)
			continue
		}
		r.ratio(what, ours, theirs, "rows/s")
	}
	for i, what := range []string{"stint", "plain COPY", "sqlite3|psql", "pgloader"} {
		r.add("  %-14s client cpu %5.1f s   peak rss %4d MiB", what, cost[i].cpu.Seconds(), cost[i].rss/1024)
	}
	r.write(b)
}
