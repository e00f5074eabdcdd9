package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// dedupeRows is how many rows the store of BenchmarkDedupe has; another one has half as many.
const dedupeRows = 10_000_000

// numberFrom reads a size from the environment, for a shorter run.
func numberFrom(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// storeOf makes a store of data sets of about so many rows, and returns its address and how many rows it has.
func (m *migrationBench) storeOf(rows int) (string, int64) {
	url := m.fresh(false)
	at, err := sqldb.ParseURL(url)
	if err != nil {
		m.Fatal(err)
	}
	db, err := sqldb.Open(context.Background(), at, sqldb.Options{})
	if err != nil {
		m.Fatal(err)
	}
	began := time.Now()
	truth, err := datasetstest.Generate(context.Background(), db, datasetstest.Spec{Seed: 1, Customers: max(2000*rows/dedupeRows, 100), Rows: rows})
	if err = errors.Join(err, db.Close()); err != nil {
		m.Fatal(err)
	}
	fmt.Printf("  a store of %d rows, made in %v\n", truth.Rows(), time.Since(began).Round(time.Second))
	return url, truth.Rows()
}

// analyses runs an analysis as a process of its own and returns what it took, and its pairs.
func (m *migrationBench) analyses(store string) (outcome, []datasetstest.Pair) {
	m.n++
	file := filepath.Join(m.dir, fmt.Sprintf("analysis%d.jsonl", m.n))
	o := m.timed(exec.Command(m.stint, "dedupe", "analyze", "-c", store, "-a", file, "--max-share", "1", "--max-share-customer", "1", "--quiet", "--config", os.DevNull,
		"--data", filepath.Join(m.dir, "data"+strconv.Itoa(m.n)), "--concurrency", "2"))
	f, err := os.Open(file)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	r, err := record.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		m.Fatal(err)
	}
	var pairs []datasetstest.Pair
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			m.Fatal(err)
		}
		if p := line.Pair; p != nil {
			n := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n }
			pair := datasetstest.Pair{Customer: n(p.Customer), A: min(n(p.A), n(p.B)), B: max(n(p.A), n(p.B)), Shared: p.Shared}
			pairs = append(pairs, pair)
		}
	}
	slices.SortFunc(pairs, func(a, b datasetstest.Pair) int {
		return slices.Compare([]int64{a.Customer, a.A, a.B}, []int64{b.Customer, b.A, b.B})
	})
	return o, pairs
}

// reads copies the three columns to a client that throws them away: what no program that reads everything can be faster than.
func (m *migrationBench) reads(store string) float64 {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, store)
	if err != nil {
		m.Fatal(err)
	}
	defer conn.Close(ctx)
	start := time.Now()
	if _, err := conn.PgConn().CopyTo(ctx, io.Discard, "COPY entity_row (customer_id, database_id, guid) TO STDOUT (FORMAT binary)"); err != nil {
		m.Fatal(err)
	}
	return time.Since(start).Seconds()
}

// joins finds the pairs by a self-join, with so much memory.
func (m *migrationBench) joins(store string) (float64, []datasetstest.Pair) {
	at, err := sqldb.ParseURL(store)
	if err != nil {
		m.Fatal(err)
	}
	db, err := sqldb.Open(context.Background(), at, sqldb.Options{})
	if err != nil {
		m.Fatal(err)
	}
	defer db.Close()
	start := time.Now()
	pairs, err := datasetstest.Oracle(context.Background(), db, 25, false)
	if err != nil {
		m.Fatal(err)
	}
	return time.Since(start).Seconds(), pairs
}

// BenchmarkDedupe analyses a store of ten million rows beside reading them, beside the self-join with and without an index of its own,
// and beside a store of half the size. The pairs have to be those of the self-join.
func BenchmarkDedupe(b *testing.B) {
	m := newDedupeBench(b)
	defer m.server.Stop()
	rows := numberFrom("STINT_BENCH_DEDUPE_ROWS", dedupeRows)
	whole, made := m.storeOf(rows)
	half, _ := m.storeOf(rows / 2)
	r := &results{name: "dedupe"}
	var ours, read, smaller, memory, cpus []float64
	var pairs []datasetstest.Pair
	for range numberFrom("STINT_BENCH_ROUNDS", rounds) {
		var o outcome
		o, pairs = m.analyses(whole)
		ours, memory, cpus = append(ours, o.seconds), append(memory, float64(o.rss)/1024), append(cpus, o.cpu.Seconds())
		read = append(read, m.reads(whole))
		s, _ := m.analyses(half)
		smaller = append(smaller, s.seconds)
	}
	r.add("analysis of %d rows: %.1f s, CPU of the process %.1f s, peak RSS %.0f MiB, %d pairs", made, median(ours), median(cpus), median(memory), len(pairs))
	r.add("three columns by COPY: %.1f s; the analysis takes %.2f of it", median(read), median(ours)/median(read))
	r.add("half the rows: %.1f s; twice the rows take %.2f times as long", median(smaller), median(ours)/median(smaller))
	size := thousands(float64(made)) + " GUIDs"
	words := fmt.Sprintf("%.1f s", median(ours))
	r.take("dedupe-copy", taken{Figure: median(ours) / median(read), Runs: len(ours), Measured: words, Peer: fmt.Sprintf("%.1f s", median(read)), Size: size})
	r.take("dedupe-memory", taken{Figure: median(memory), Runs: len(memory), Measured: fmt.Sprintf("%.0f MiB", median(memory)), Size: size})
	bars := []bar{{Name: "stint dedupe analyze", Value: median(ours), Ours: true}, {Name: "COPY of three columns", Value: median(read)}}
	join := func(what string) {
		seconds, want := m.joins(whole)
		r.add("self-join, %s: %.1f s; the analysis is %.1f times as fast; the same pairs: %v (%d)", what, seconds, seconds/median(ours), slices.Equal(pairs, want), len(want))
		bars = append(bars, bar{Name: "self-join, " + what, Value: seconds})
		if what == "primary key only" {
			r.take("dedupe-join", taken{Figure: seconds / median(ours), Runs: 1, Measured: words, Peer: fmt.Sprintf("%.1f s", seconds), Size: size})
		}
		if !slices.Equal(pairs, want) {
			b.Errorf("the pairs are not those of the self-join: %d and %d", len(pairs), len(want))
		}
	}
	join("primary key only")
	m.exec(whole, "CREATE INDEX bench_covering ON entity_row (customer_id, guid, database_id)", "VACUUM ANALYZE entity_row")
	join("with a covering index")
	bars = append(bars, m.besideDuckDB(r, whole, ours, pairs, size)...)
	for i := range bars {
		bars[i].Text = fmt.Sprintf("%.1f s", bars[i].Value)
	}
	r.draw("dedupe", 1.1*median(read), bars...)
	r.write(b)
}

func newDedupeBench(b *testing.B) *migrationBench {
	dir := b.TempDir()
	m := &migrationBench{B: b, dir: dir, stint: filepath.Join(dir, "stint")}
	if out, err := exec.Command("go", "build", "-o", m.stint, "../cmd/stint").CombinedOutput(); err != nil {
		b.Fatalf("build stint: %v\n%s", err, out)
	}
	var err error
	if m.server, err = pgtest.Start("", pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "2GB", "max_wal_size": "8GB", "work_mem": "256MB"}}); err != nil {
		b.Fatal(err)
	}
	return m
}

func (m *migrationBench) exec(url string, statements ...string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		m.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			m.Fatalf("%s: %v", s, err)
		}
	}
}

// BenchmarkDedupeSkewed analyses one customer with very many rows in 200 data sets: 100 databases that were uploaded twice.
func BenchmarkDedupeSkewed(b *testing.B) {
	m := newDedupeBench(b)
	defer m.server.Stop()
	rows := numberFrom("STINT_BENCH_SKEWED_ROWS", 50_000_000)
	store := m.fresh(false)
	m.exec(store, "CREATE TABLE data_set (customer_id int, database_id int, last_synced_at timestamptz, PRIMARY KEY (customer_id, database_id))",
		"INSERT INTO data_set SELECT 1, d, now() - (201 - d) * interval '10 days' FROM generate_series(1, 200) d",
		"CREATE UNLOGGED TABLE entity_row (customer_id int NOT NULL, database_id int NOT NULL, guid uuid NOT NULL)")
	began := time.Now()
	for d := 1; d <= 200; d++ {
		m.exec(store, fmt.Sprintf("INSERT INTO entity_row SELECT 1, %d, md5(%d || '-' || n)::uuid FROM generate_series(1, %d) n", d, d%100, rows/200))
	}
	m.exec(store, "SET maintenance_work_mem = '1GB'; ALTER TABLE entity_row ADD PRIMARY KEY (customer_id, database_id, guid)", "VACUUM ANALYZE entity_row")
	fmt.Printf("  a customer of %d rows, made in %v\n", rows, time.Since(began).Round(time.Second))
	r := &results{name: "dedupe-skewed"}
	o, pairs := m.analyses(store)
	r.add("one customer, %d rows in 200 data sets: %.1f s, CPU of the process %.1f s, peak RSS %.0f MiB, %d pairs", rows, o.seconds, o.cpu.Seconds(), float64(o.rss)/1024, len(pairs))
	if len(pairs) != 100 || float64(o.rss)/1024 > 512 {
		b.Errorf("%d pairs, want 100; %d KiB", len(pairs), o.rss)
	}
	r.write(b)
}

// BenchmarkDedupeReader has somebody read rows while others are deleted: the slowest reads beside those of a store that is left alone.
func BenchmarkDedupeReader(b *testing.B) {
	m := newDedupeBench(b)
	defer m.server.Stop()
	store, _ := m.storeOf(numberFrom("STINT_BENCH_DEDUPE_ROWS", dedupeRows))
	_, _ = m.analyses(store)
	file := filepath.Join(m.dir, fmt.Sprintf("analysis%d.jsonl", m.n))
	alone := func() []time.Duration { return m.readsRows(store, func() { <-time.NewTimer(30 * time.Second).C }) }
	before := alone()
	began := time.Now()
	during := m.readsRows(store, func() {
		m.timed(exec.Command(m.stint, "dedupe", "apply", file, "-c", store, "-d", filepath.Join(m.dir, "deletions.jsonl"), "--limit-deletions", "1000000", "--quiet", "--config", os.DevNull,
			"--data", filepath.Join(m.dir, "data"+strconv.Itoa(m.n))))
	})
	took := time.Since(began).Round(time.Second)
	after := alone() // a machine that others use as well reads now so, now so
	r := &results{name: "dedupe-reader"}
	n := int64(0)
	if f, err := os.Open(filepath.Join(m.dir, "deletions.jsonl")); err == nil {
		defer f.Close()
		if d, err := record.NewDeletionReader(f); err == nil {
			for {
				line, err := d.Next()
				if err != nil {
					break
				}
				if line.Set != nil {
					n += line.Set.Rows
				}
			}
		}
	}
	r.add("%d rows deleted in %v; reads of one row beside it: p50 %v, p99 %v", n, took, percentile(during, 0.5), percentile(during, 0.99))
	ms := func(d []time.Duration) float64 { return 1000 * secs(percentile(d, .99)) }
	r.take("dedupe-reader", taken{Figure: ms(during) / ms(before), Runs: 1, Measured: fmt.Sprintf("%.1f ms", ms(during)), Peer: fmt.Sprintf("%.1f ms", ms(before)), Size: thousands(float64(n)) + " rows",
		Note: fmt.Sprintf("beside the half minute after, %.1f ms, it is %.2f", ms(after), ms(during)/ms(after))})
	for name, d := range map[string][]time.Duration{"before": before, "after": after} {
		r.add("%s: p50 %v, p99 %v; p99 beside the deletion %.2f times that", name, percentile(d, 0.5), percentile(d, 0.99), float64(percentile(during, 0.99))/float64(percentile(d, 0.99)))
	}
	r.write(b)
}

// readsRows reads 200 rows a second, by their time table, while something runs, and returns how long after its time each was there.
func (m *migrationBench) readsRows(store string, while func()) (took []time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	conn, err := pgx.Connect(ctx, store)
	if err != nil {
		m.Fatal(err)
	}
	go func() {
		defer close(done)
		defer conn.Close(context.WithoutCancel(ctx))
		for due := time.Now(); ctx.Err() == nil; due = due.Add(5 * time.Millisecond) {
			if wait := time.Until(due); wait > 0 {
				<-time.NewTimer(wait).C
			}
			var rows int
			customer := 1001 + int(due.UnixNano()/1000)%1000
			if err := conn.QueryRow(context.WithoutCancel(ctx), "SELECT count(*) FROM (SELECT 1 FROM entity_row WHERE customer_id = $1 LIMIT 20) r", customer).Scan(&rows); err != nil {
				m.Error(err)
				return
			}
			took = append(took, time.Since(due))
		}
	}()
	while()
	cancel()
	<-done
	return took
}
