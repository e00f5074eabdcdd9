package fire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig/fault"
)

// Play has faults hit the town: so many, each at a moment of the first seconds, each ended some seconds later. Which, when, whom and for
// how long follow from the seed. It returns what happened, when all of them have ended.
func (t *Town) Play(seed uint64, faults []Fault, n int, within time.Duration) (story []string) {
	t.T.Helper()
	type moment struct {
		at     time.Duration
		fault  Fault
		random *rand.Rand
		end    func() error
		what   string
	}
	random := rand.New(rand.NewPCG(seed, 0x5714e7))
	var plan []moment
	for i := range n {
		plan = append(plan, moment{at: between(random, 200*time.Millisecond, within), fault: faults[random.IntN(len(faults))], random: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	sort := func() { slices.SortStableFunc(plan, func(a, b moment) int { return int(a.at - b.at) }) }
	start := time.Now()
	for sort(); len(plan) > 0; sort() {
		next := plan[0]
		plan = plan[1:]
		wait(time.Until(start.Add(next.at)))
		t.Supervise()
		if next.end != nil {
			if err := next.end(); errors.Is(err, errNotYet) {
				next.at = time.Since(start) + 100*time.Millisecond
				plan = append(plan, next)
			} else if err != nil {
				t.T.Errorf("end of %q: %v", next.what, err)
			}
			continue
		}
		effect, err := next.fault.Begin(t, next.random)
		if errors.Is(err, errNobody) {
			continue
		}
		if errors.Is(err, fault.ErrUnsupported) {
			t.T.Skip(err)
		}
		if err != nil {
			t.T.Fatalf("%s: %v", next.fault.Name, err)
		}
		story = append(story, fmt.Sprintf("%.1f s: %s for %.1f s", next.at.Seconds(), effect.What, effect.For.Seconds()))
		plan = append(plan, moment{at: time.Since(start) + effect.For, end: effect.End, what: effect.What})
	}
	return story
}
