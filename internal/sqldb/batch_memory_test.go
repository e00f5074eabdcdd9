package sqldb

import "testing"

func TestABatchGetsTheMemoryOfAFullOneAtOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 100, 3_000} {
		b := &Batch{limits: Limits{Rows: 10_000, Bytes: 1 << 20}}
		row, moves, had := make([]byte, size), 0, 0
		for b.RowsRead < b.limits.Rows && len(b.data) < b.limits.Bytes {
			b.RowsRead++
			b.data = append(b.roomy(), row...)
			if cap(b.data) != had && len(b.data) > 128<<10 {
				moves++
			}
			had = cap(b.data)
		}
		if most := len(b.data) * 5 / 4; moves > 1 || cap(b.data) > most+64<<10 {
			t.Errorf("rows of %d bytes: %d bytes moved %d times, into %d", size, len(b.data), moves, cap(b.data))
		}
	}
}
