package rig

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Figures are durations that were measured.
type Figures []time.Duration

// Quantile returns the smallest duration that a share q of all does not exceed; 0 of none.
func (f Figures) Quantile(q float64) time.Duration {
	if len(f) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(f))
	return s[max(0, int(math.Ceil(q*float64(len(s))))-1)]
}

// String returns number, median, 99th percentile and maximum.
func (f Figures) String() string {
	r := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("n=%d p50=%v p99=%v max=%v", len(f), r(f.Quantile(0.5)), r(f.Quantile(0.99)), r(f.Quantile(1)))
}
