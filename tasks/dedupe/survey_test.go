package dedupe

import (
	"strconv"
	"testing"

	"github.com/stint-run/stint/internal/datasets"
)

// Another edition of the product that each twentieth customer has is among the sample, however the customers are numbered.
func TestTheSampleOfCustomersHasNoStride(t *testing.T) {
	t.Parallel()
	const customers = 20_000
	for shift := range 20 {
		var s samples
		for i := range customers {
			s.offer(datasets.ID{Customer: strconv.Itoa(1000 + i), Database: "1"})
		}
		ids, edition := s.take(), 0
		for _, id := range ids {
			if n, err := strconv.Atoi(id.Customer); err != nil {
				t.Fatal(err)
			} else if n%20 == shift {
				edition++
			}
		}
		if len(ids) != maxSamples || edition < maxSamples/40 {
			t.Errorf("of %d customers in the sample %d have the edition", len(ids), edition)
		}
	}
}
