package enginemodel

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var long = flag.Bool("long", false, "explore the larger configurations as well")

// every is a budget for each fault that hits a process or the queue: so many of them in one run, whichever.
func every(n int) Budget {
	return Budget{All: n, Kill: n, Freeze: n, Lose: n, Queue: n, Double: n, Reply: n, Slow: n}
}

var (
	oneStep    = []StageShape{{Pages: []int{1}}}
	twoSteps   = []StageShape{{Pages: []int{2}}}
	threeSteps = []StageShape{{Pages: []int{3}}}
	twoPages   = []StageShape{{Pages: []int{1, 1}}}
	inTurn     = []StageShape{{Pages: []int{1}}, {After: []int{0}, Pages: []int{1}}}
	beside     = []StageShape{{Pages: []int{1}}, {Pages: []int{1}}}
	diamond    = []StageShape{{Pages: []int{1}}, {After: []int{0}, Pages: []int{1}}, {After: []int{0}, Pages: []int{1}}, {After: []int{1, 2}, Pages: []int{1}}}
	checked    = []StageShape{{Pages: []int{1}}, {After: []int{0}, Pages: []int{1}, Checks: true}}
)

// usual are the configurations that each run of the tests explores. All but those with "from the beginning" begin with a job that is
// planned.
var usual = []Config{
	{Name: "from the beginning, two steps at once, no fault, all orders", Stages: twoSteps, Window: 2, Workers: 2, Batches: 2, Whole: true},
	{Name: "from the beginning, four stages in a diamond, one fault", Stages: diamond, Window: 2, Workers: 2, Batches: 1, Faults: every(1)},
	{Name: "from the beginning, one step of two batches, two faults", Stages: oneStep, Window: 1, Workers: 2, Batches: 2, Faults: every(2)},
	{Name: "from the beginning, two stages in turn, two faults", Stages: inTurn, Window: 2, Workers: 2, Batches: 1, Faults: every(2)},
	{Name: "two steps at once, two faults", Planned: true, Stages: twoSteps, Window: 2, Workers: 2, Batches: 2, Faults: every(2)},
	{Name: "three steps, two at once, one fault", Planned: true, Stages: threeSteps, Window: 2, Workers: 2, Batches: 1, Faults: every(1)},
	{Name: "one step, three faults", Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 2, Faults: every(3)},
	{Name: "one step, three workers, two faults", Planned: true, Stages: oneStep, Window: 1, Workers: 3, Batches: 2, Faults: every(2)},
	{Name: "from the beginning, pause, cancel, retry, restart, three times", Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Control: 3},
	{Name: "from the beginning, the same twice, and one fault", Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Control: 2, Faults: every(1)},
	{Name: "from the beginning, failures, and the job stops", Stages: oneStep, Window: 2, Workers: 2, Batches: 1, Retries: 1, Control: 2, Faults: failures},
	{Name: "two stages at once, failures, and the job stops", Planned: true, Stages: beside, Window: 2, Workers: 2, Batches: 1, Retries: 1, Control: 1, Faults: failures},
	{Name: "two stages in turn, failures, and their steps are skipped", Planned: true, Stages: inTurn, Window: 2, Workers: 2, Batches: 1, Skip: true, Control: 2, Faults: failures},
	{Name: "from the beginning, workers are drained and go back to work", Stages: twoPages, Window: 2, Workers: 2, Batches: 1, Drains: 3},
	{Name: "drains, and one fault", Planned: true, Stages: twoSteps, Window: 2, Workers: 2, Batches: 1, Drains: 2, Faults: every(1)},
	{Name: "from the beginning, Redis falls back", Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: Budget{All: 1, FallBack: 1}},
	{Name: "Redis falls back, and a worker is killed, frozen or told nothing", Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: Budget{All: 2, FallBack: 1, Kill: 1, Freeze: 1, Reply: 1}},
	{Name: "from the beginning, Redis comes back empty, and a worker is killed, frozen or told nothing", Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: Budget{All: 2, Empty: 1, Kill: 1, Freeze: 1, Reply: 1}},
	{Name: "the target forgets, and the last stage counts", Planned: true, Stages: checked, Window: 2, Workers: 2, Batches: 1, Control: 1, Faults: Budget{All: 2, Failover: 2, Kill: 1, Freeze: 1, Reply: 1}},
}

// larger are those that take minutes.
var larger = []Config{
	{Name: "from the beginning, two stages in turn, three faults", Stages: inTurn, Window: 1, Workers: 2, Batches: 1, Faults: every(3)},
	{Name: "three steps, two at once, two faults", Planned: true, Stages: threeSteps, Window: 2, Workers: 2, Batches: 1, Faults: every(2)},
	{Name: "one step, three workers, three faults", Planned: true, Stages: oneStep, Window: 1, Workers: 3, Batches: 2, Faults: every(3)},
	{Name: "drains, and two faults", Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 2, Drains: 2, Faults: every(2)},
	{Name: "from the beginning, Redis falls back, and any other fault", Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: Budget{All: 2, FallBack: 1, Kill: 1, Freeze: 1, Reply: 1, Lose: 1, Double: 1, Slow: 1}},
	{Name: "from the beginning, control twice, and Redis falls back or is empty", Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Control: 2, Faults: Budget{All: 1, FallBack: 1, Empty: 1}},
	{Name: "one step, four faults", Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 2, Faults: every(4)},
}
var failures = Budget{All: 2, Transient: 2, Permanent: 2}

func explored(t *testing.T, c Config, mutant Mutant, most int) Explored {
	t.Helper()
	m, err := New(c, mutant)
	if err != nil {
		t.Fatal(err)
	}
	return m.Explore(most)
}

func told(e Explored) string { return e.Broken + "\n  " + strings.Join(e.Trace, "\n  ") }

func TestNoReachableStateBreaksAPromiseAndEachOfThemEnds(t *testing.T) {
	t.Parallel()
	list := usual
	if *long {
		list = append(slices.Clone(usual), larger...)
	}
	sizes := documented(t)
	for _, c := range list {
		t.Run(c.Name, func(t *testing.T) {
			began := time.Now()
			e := explored(t, c, None, 0)
			t.Logf("%d states, %d edges, the farthest %d actions away, %d states are ends; %s", e.States, e.Edges, e.Depth, e.Ends, time.Since(began).Round(time.Millisecond))
			if e.Broken != "" {
				t.Errorf("%s", told(e))
			}
			if row := fmt.Sprintf("| %s | %d | %d | %d |", c.Name, e.States, e.Edges, e.Depth); sizes[c.Name] != row {
				t.Errorf("docs/model.md says\n%s\nand it is\n%s", sizes[c.Name], row)
			}
		})
	}
}

// documented are the lines of docs/model.md that tell the size of a configuration.
func documented(t *testing.T) map[string]string {
	t.Helper()
	rows := map[string]string{}
	for line := range strings.Lines(modelPage(t)) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok {
			rows[name] = strings.TrimSpace(line)
		}
	}
	return rows
}

func modelPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "model.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
