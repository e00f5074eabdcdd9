package enginemodel

import (
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	for _, c := range []Config{
		{Name: "one stage, 2 steps", Stages: []StageShape{{Pages: []int{2}}}, Window: 2, Workers: 2, Batches: 1},
		{Name: "kill", Stages: []StageShape{{Pages: []int{2}}}, Window: 2, Workers: 2, Batches: 1, Faults: Budget{All: 1, Kill: 1}},
		{Name: "kill, freeze", Stages: []StageShape{{Pages: []int{2}}}, Window: 2, Workers: 2, Batches: 1, Faults: Budget{All: 1, Kill: 1, Freeze: 1, Reply: 1, Lose: 1, Double: 1, Queue: 1}},
		{Name: "kill, freeze", Stages: []StageShape{{Pages: []int{1}}}, Window: 1, Workers: 2, Batches: 2, Faults: Budget{All: 2, Kill: 1, Freeze: 1, Reply: 1, Lose: 1, Double: 1, Queue: 1}},
	} {
		m, err := New(c, None)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		e := m.Explore(3_000_000)
		t.Logf("%s: %d states, %d edges, depth %d, ends %d, full %v, %s: %q", c.Name, e.States, e.Edges, e.Depth, e.Ends, e.Full, time.Since(began), e.Broken)
		for i, a := range e.Trace {
			t.Logf("  %2d %s", i+1, a)
		}
	}
}
