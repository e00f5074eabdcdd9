package enginemodel

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Each of these engines is broken in one place, as engines have been. The exploration has to say of each what it breaks, and how.
func TestEachMutantIsFound(t *testing.T) {
	t.Parallel()
	worker := Budget{All: 2, Kill: 1, Freeze: 1}
	for name, c := range map[string]struct {
		mutant Mutant
		config Config
		want   string // of what is found
		most   int    // actions of the shortest trace
	}{
		"end does not compare the attempt": {EndUnfenced, Config{Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: worker},
			"an attempt changes a step that another one holds", 20},
		"save does not compare the attempt": {SaveUnfenced, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 2, Faults: worker},
			"an attempt changes a step that another one holds", 20},
		"begin does not compare the delivery": {BeginUnfenced, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: every(2)},
			"a task of an earlier delivery begins a step", 20},
		"the ledger's row is written after the commit": {LedgerApart, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Faults: Budget{All: 1, Kill: 1}},
			"the effect of 0/0 is there twice", 20},
		"the sweep keeps the delivery number": {SweepSameDelivery, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Faults: Budget{All: 1, Kill: 1}},
			"handed out twice under one delivery number", 10},
		"tasks are queued before the state is written, and no sweep looks for them": {EnqueueFirst, Config{Stages: oneStep, Window: 1, Workers: 2, Batches: 1},
			"nothing can happen any more, and the job has not ended", 20},
		"no sweep looks for tasks": {NoSweepOfTasks, Config{Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Faults: Budget{All: 1, Kill: 1}},
			"nothing can happen any more, and the job has not ended", 10},
		"no sweep looks for lost workers": {NoSweepOfWorkers, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Faults: Budget{All: 1, Kill: 1}},
			"nothing can happen any more, and the job has not ended", 10},
		"a lease that nobody knows of stays": {NoRevoke, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Faults: Budget{All: 1, FallBack: 1}},
			"nothing can happen any more, and the job has not ended", 20},
		"drained is said before the attempt has come back": {DrainAcknowledgesFast, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Drains: 1},
			"says that it is drained, and an attempt has not come back", 10},
		"a paused job hands out": {DispatchPaused, Config{Planned: true, Stages: []StageShape{{Pages: []int{2}}}, Window: 1, Workers: 1, Batches: 1, Control: 1},
			"a step is handed out although the job is paused", 20},
		"the window is not looked at":                    {WindowIgnored, Config{Planned: true, Stages: twoSteps, Window: 1, Workers: 1, Batches: 1, Control: 1}, "2 steps are out, and the window is 1", 20},
		"a stage opens with the first that it waits for": {StageTooEarly, Config{Stages: diamond, Window: 2, Workers: 1, Batches: 1}, "is open before stage", 60},
		"retry leaves the count of failed steps as it is": {RetryKeepsFailed, Config{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Control: 1, Faults: Budget{All: 1, Permanent: 1}},
			"counts known, done, failed, live, read", 20},
	} {
		t.Run(name, func(t *testing.T) {
			e := explored(t, c.config, c.mutant, 500_000)
			if !strings.Contains(e.Broken, c.want) || len(e.Trace) > c.most {
				t.Errorf("in %d states there is %s\nwant %q", e.States, told(e), c.want)
			}
			t.Logf("%d states: %s", e.States, told(e))
			if c.mutant == LedgerApart && !strings.Contains(modelPage(t), told(e)) {
				t.Errorf("docs/model.md tells another way than this one:\n%s", told(e))
			}
			if sound := explored(t, c.config, None, 0); sound.Broken != "" {
				t.Errorf("without the mutation there is %s", told(sound))
			}
		})
	}
}

// Looking at one order of actions where it stands for all must not hide anything: the same arrows are taken, and everything comes to rest
// in the same states.
func TestTheOrdersThatAreLeftOutHideNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{Stages: twoSteps, Window: 2, Workers: 2, Batches: 1, Faults: every(1)},
		{Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 2, Faults: every(2)},
		{Planned: true, Stages: oneStep, Window: 1, Workers: 3, Batches: 2, Drains: 1, Faults: every(1)},
		{Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Control: 1, Faults: Budget{All: 1, FallBack: 1, Empty: 1}},
		{Stages: oneStep, Window: 1, Workers: 1, Batches: 2, Faults: Budget{All: 1, Kill: 1, Freeze: 1}},
		{Planned: true, Stages: oneStep, Window: 1, Workers: 2, Batches: 1, Faults: Budget{All: 1, Kill: 1, Freeze: 1, Reply: 1}},
		{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Control: 1, Faults: Budget{All: 1, Permanent: 1, Transient: 1}, Retries: 1},
		{Planned: true, Stages: oneStep, Window: 1, Workers: 1, Batches: 1, Drains: 2},
	} {
		fewer := explored(t, c, None, 0)
		c.Whole = true
		all := explored(t, c, None, 0)
		t.Logf("%d states of %d, %d in which all is at rest", fewer.States, all.States, len(all.last))
		if !maps.Equal(fewer.last, all.last) {
			t.Errorf("all comes to rest in %d states, of which %d are left", len(all.last), len(fewer.last))
		}
		if fewer.Broken != all.Broken || !maps.Equal(fewer.Moves, all.Moves) {
			t.Errorf("%q and %q; arrows %v and %v", fewer.Broken, all.Broken, slices.Collect(maps.Keys(fewer.Moves)), slices.Collect(maps.Keys(all.Moves)))
		}
	}
}
