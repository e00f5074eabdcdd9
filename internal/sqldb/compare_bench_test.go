package sqldb

import (
	"context"
	"testing"
)

// BenchmarkCompareSQLiteWithPostgres compares a table that was loaded with its source: beside BenchmarkLoadSQLiteIntoPostgres.
func BenchmarkCompareSQLiteWithPostgres(b *testing.B) {
	const rows = 100_000
	src, table := legacySQLite(b, rows)
	dst := durablePostgres(b)
	if err := tryRun(dst, legacyTarget); err != nil {
		b.Fatal(err)
	}
	if err := EnsureLedger(context.Background(), dst); err != nil {
		b.Fatal(err)
	}
	m, err := MapByName(table, legacyTargetTable())
	if err != nil {
		b.Fatal(err)
	}
	if err := loadAll(context.Background(), src, dst, m, "job", 20_000, 1); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := CompareRange(context.Background(), src, dst, m, WalkOf(table), nil, nil, "", func(Difference) bool { return true })
		if err != nil || r.Equal != rows {
			b.Fatalf("%+v %v", r, err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
