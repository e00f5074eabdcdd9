package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/internal/datasets/datasetstest"
)

// duckMissing says how to get DuckDB; "" when it is here.
func duckMissing() string {
	if _, err := exec.LookPath("node"); err != nil {
		return "not installed: Node.js, then `npm install --prefix bench/peers/duckdb`"
	}
	if _, err := os.Stat("peers/duckdb/node_modules/@duckdb/node-api"); err != nil {
		return "not installed: `npm install --prefix bench/peers/duckdb`"
	}
	return ""
}

// ducks finds the pairs with DuckDB, to which the three columns have to be brought first: its extension that reads PostgreSQL itself is a
// download of its own.
func (m *migrationBench) ducks(store string) (exported time.Duration, joined outcome, pairs []datasetstest.Pair) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, store)
	if err != nil {
		m.Fatal(err)
	}
	defer conn.Close(ctx)
	file := filepath.Join(m.dir, "guids.csv")
	defer os.Remove(file)
	start := time.Now()
	f, err := os.Create(file)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := conn.PgConn().CopyTo(ctx, out, "COPY (SELECT customer_id, database_id, guid FROM entity_row) TO STDOUT (FORMAT csv)"); err != nil {
		m.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		m.Fatal(err)
	}
	exported = time.Since(start)
	var text bytes.Buffer
	cmd := exec.Command("node", "peers/duckdb/pairs.js", file)
	cmd.Stdout = &text
	joined = m.timed(cmd)
	for line := range bytes.Lines(text.Bytes()) {
		var p datasetstest.Pair
		if _, err := fmt.Sscan(string(line), &p.Customer, &p.A, &p.B, &p.Shared); err != nil {
			m.Fatalf("DuckDB said %q: %v", line, err)
		}
		pairs = append(pairs, p)
	}
	return exported, joined, pairs
}

// besideDuckDB compares an analysis with DuckDB's, as often as it was made.
func (m *migrationBench) besideDuckDB(r *results, store string, ours []float64, want []datasetstest.Pair, size string) (bars []bar) {
	if why := duckMissing(); why != "" {
		r.add("DuckDB: %s", why)
		r.take("dedupe-duckdb", taken{Missing: why})
		return nil
	}
	var whole, export, memory, cpus []float64
	for range ours {
		exported, o, found := m.ducks(store)
		whole, export = append(whole, exported.Seconds()+o.seconds), append(export, exported.Seconds())
		memory, cpus = append(memory, float64(o.rss)/1024), append(cpus, o.cpu.Seconds())
		if !slices.Equal(found, want) {
			m.Errorf("DuckDB finds %d pairs, and the analysis %d", len(found), len(want))
		}
	}
	r.add("DuckDB: %.1f s, of which %.1f s are the export; CPU %.1f s, peak RSS %.0f MiB; the analysis is %.1f times as fast; the same pairs", median(whole), median(export), median(cpus), median(memory), median(whole)/median(ours))
	r.take("dedupe-duckdb", taken{Figure: median(whole) / median(ours), Runs: len(whole), Measured: fmt.Sprintf("%.1f s", median(ours)), Peer: fmt.Sprintf("%.1f s, of which %.1f s are the export; peak %.0f MiB", median(whole), median(export), median(memory)), Size: size})
	return []bar{{Name: "DuckDB, with exporting", Value: median(whole)}}
}
