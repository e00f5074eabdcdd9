package enginemodel

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// drawn reads the arrows out of docs/states.md: those of jobs and workers from the drawings, those of stages and steps from the table.
func drawn(t *testing.T) map[Move]bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "states.md"))
	if err != nil {
		t.Fatal(err)
	}
	arrows := map[Move]bool{}
	section, of := "", map[string]string{"## Jobs": "job", "## Workers": "worker", "## Stages and steps": "step"}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "## ") {
			section = of[line]
		}
		if from, to, ok := strings.Cut(line, " --> "); ok && (section == "job" || section == "worker") {
			arrows[Move{section, strings.Trim(from, "[*]"), strings.Trim(to, "[*]")}] = true
		}
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		from, to, ok := strings.Cut(cell, "→ ")
		if !ok || section != "step" {
			continue
		}
		kind, from := "step", strings.TrimSpace(from)
		if rest, stage := strings.CutPrefix(from, "stage "); stage {
			kind, from = "stage", rest
		}
		for f := range strings.SplitSeq(from, ", ") {
			arrows[Move{kind, f, to}] = true
		}
	}
	if len(arrows) < 40 {
		t.Fatalf("docs/states.md has only %d arrows; are they drawn in another way?", len(arrows))
	}
	return arrows
}

// notTaken are the arrows that the model has no action for, each with the reason.
var notTaken = map[Move]string{
	{"worker", "draining", "stopped"}:      "a worker that is cut while it drains is a worker that is killed",
	{"worker", "active", "lost"}:           "lost is what others see of a worker that is frozen or gone",
	{"worker", "draining", "lost"}:         "the same",
	{"worker", "drained", "lost"}:          "the same",
	{"worker", "lost", "active"}:           "the same",
	{"worker", "lost", "draining"}:         "the same",
	{"worker", "lost", ""}:                 "the same",
	{"worker", "stopped", ""}:              "its id never comes back",
	{"step", "leased", "later, postponed"}: "as far as the store goes it is given back; rates have tests of their own",
}

// A job, a stage, a step and a worker move along the arrows of docs/states.md and along no others, and each arrow is taken by some run.
func TestTheModelTakesTheArrowsThatAreDrawnAndNoOthers(t *testing.T) {
	t.Parallel()
	arrows, taken := drawn(t), map[Move]bool{}
	for _, c := range usual {
		if c.Faults.All > 1 && c.Control == 0 || c.Faults.All > 0 && c.Workers > 2 {
			continue // nothing new comes of more of the same
		}
		for mv := range explored(t, c, None, 0).Moves {
			taken[mv] = true
		}
	}
	by := func(a, b Move) int {
		return cmp.Or(cmp.Compare(a.Of, b.Of), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	}
	for _, mv := range sorted(taken, by) {
		if !arrows[mv] {
			t.Errorf("a %s goes from %q to %q, and docs/states.md has no such arrow", mv.Of, mv.From, mv.To)
		}
	}
	for _, mv := range sorted(arrows, by) {
		switch why, known := notTaken[mv]; {
		case taken[mv] && known:
			t.Errorf("the arrow of a %s from %q to %q is taken after all", mv.Of, mv.From, mv.To)
		case !taken[mv] && !known:
			t.Errorf("no run takes the arrow of a %s from %q to %q", mv.Of, mv.From, mv.To)
		case !taken[mv]:
			t.Logf("never taken: a %s from %q to %q: %s", mv.Of, mv.From, mv.To, why)
		}
	}
}

func sorted(set map[Move]bool, by func(a, b Move) int) []Move {
	var list []Move
	for mv := range set {
		list = append(list, mv)
	}
	slices.SortFunc(list, by)
	return list
}
