package datasets_test

import (
	"testing"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
)

// BenchmarkScan reads all rows of a store, a hundred customers at a time.
func BenchmarkScan(b *testing.B) {
	for name, url := range datasets.StoreURLs {
		b.Run(name, func(b *testing.B) {
			db := datasets.OpenURL(b, url(b))
			truth, err := datasetstest.Generate(b.Context(), db, datasetstest.Spec{Seed: 1, Customers: 400, Rows: 300_000})
			if err != nil {
				b.Fatal(err)
			}
			s, err := datasets.Open(b.Context(), db, datasets.Layout{})
			if err != nil {
				b.Fatal(err)
			}
			var customers []string
			for i := range truth.Sets {
				if c := truth.Sets[i].ID().Customer; len(customers) == 0 || customers[len(customers)-1] != c {
					customers = append(customers, c)
				}
			}
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				rows = 0
				for first := 0; first < len(customers); first += 100 {
					sc := datasets.Scan{Customers: customers[first:min(first+100, len(customers))], Lookup: func(datasets.ID) int32 { return 1 }}
					if err := s.Scan(b.Context(), sc, func(batch []datasets.Row) error { rows += len(batch); return nil }); err != nil {
						b.Fatal(err)
					}
				}
			}
			if int64(rows) != truth.Rows() {
				b.Fatalf("%d rows of %d", rows, truth.Rows())
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
