package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stint-run/stint/internal/pgtest"
)

// verifyRows is how many rows the bench of verifications moves and compares.
const verifyRows = 1_000_000

// verifyPlan computes some columns, leaves rows out, and refers to rows.
const verifyPlan = `
name: bench
verify: {rows: none}
stages:
  - name: customers
    from: {table: customers}
    map: {legacy_id: id, name: 'upper(name)', country: 'country ?? "AU"', created: created, cents: 'int(balance * 100)'}
    to: {table: customers, key: [legacy_id]}
  - name: properties
    from: {table: properties}
    filter: active
    map: {legacy_id: id, street: trim(street), memo: memo, rent: rent}
    to: {table: properties, key: [legacy_id]}
  - name: entries
    from: {table: entries}
    map: {legacy_id: id, property: property_id, guid: guid, amount: amount, booked: booked, memo: memo, void: void}
    to: {table: entries, key: [legacy_id]}
`

// verifies runs stint once, with a data folder of its own.
func (m *migrationBench) verifies(args ...string) float64 {
	m.n++
	base := []string{"--quiet", "--config", os.DevNull, "--data", filepath.Join(m.dir, "data"+strconv.Itoa(m.n)), "--concurrency", "2"}
	cmd := exec.Command(m.stint, append(args, base...)...)
	cmd.Stdout = nil
	return m.timed(cmd).seconds
}

// BenchmarkVerification compares what was moved with its source, beside moving it: as it is, by a plan, and from PostgreSQL.
func BenchmarkVerification(b *testing.B) {
	dir := b.TempDir()
	m := &migrationBench{B: b, dir: dir, legacy: filepath.Join(dir, "legacy.db"), stint: filepath.Join(dir, "stint")}
	if out, err := exec.Command("go", "build", "-o", m.stint, "../cmd/stint").CombinedOutput(); err != nil {
		b.Fatalf("build stint: %v\n%s", err, out)
	}
	rows := verifyRows
	if text, ok := os.LookupEnv("STINT_BENCH_VERIFY_ROWS"); ok {
		rows, _ = strconv.Atoi(text)
	}
	makeLegacy(b, m.legacy, rows)
	var err error
	if m.server, err = pgtest.Start("", pgtest.Options{Fsync: true, Settings: map[string]string{"shared_buffers": "512MB", "max_wal_size": "8GB"}}); err != nil {
		b.Fatal(err)
	}
	defer m.server.Stop()
	file := filepath.Join(dir, "plan.yaml")
	if err := os.WriteFile(file, []byte(verifyPlan), 0o600); err != nil {
		b.Fatal(err)
	}
	r := &results{name: "verification"}
	n := rounds
	if text, ok := os.LookupEnv("STINT_BENCH_ROUNDS"); ok {
		n, _ = strconv.Atoi(text)
	}
	speeds := map[string][2][]float64{}
	measure := func(what string, plan []string, from, to string) {
		ends := []string{"--from", from, "--to", to}
		moved := float64(rows) / m.verifies(append(append([]string{"migrate"}, plan...), ends...)...)
		compared := float64(rows) / m.verifies(append(append([]string{"verify"}, plan...), ends...)...)
		s := speeds[what]
		speeds[what] = [2][]float64{append(s[0], compared), append(s[1], moved)}
	}
	for range n {
		as := m.fresh(false)
		measure("verify : migrate, SQLite to PostgreSQL", nil, "sqlite:"+m.legacy, as)
		measure("verify : migrate, by a plan", []string{file}, "sqlite:"+m.legacy, m.fresh(false))
		measure("verify : migrate, PostgreSQL to PostgreSQL", []string{"--tables", "customers,properties,entries"}, as, m.fresh(false))
	}
	for _, what := range []string{"verify : migrate, SQLite to PostgreSQL", "verify : migrate, by a plan", "verify : migrate, PostgreSQL to PostgreSQL"} {
		r.ratio(what, speeds[what][0], speeds[what][1], "rows/s")
	}
	r.write(b)
}
