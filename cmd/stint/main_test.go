package main

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
)

// The scores of this package play the promises at full size, with real processes and servers. CI plays the short forms;
// `make soak` the long ones, or by hand:
//
//	go test ./cmd/stint -run Score/kills -long -runs 20 -rows 1000000 -timeout 10h
var (
	long = flag.Bool("long", false, "play the long forms of the scores")
	runs = flag.Int("runs", 0, "how often, or how many disturbances, instead of the score's own number")
	rows = flag.Int("rows", 0, "rows of the source, instead of the score's own number")
	seed = flag.Uint64("seed", 0, "of the random moments; 0 takes another one each time with -long, and the same one without")
)

func TestMain(m *testing.M) { rig.Main(m) }

// size gives the number for the form that is played.
func size(asked *int, short, longer int) int {
	switch {
	case *asked > 0:
		return *asked
	case *long:
		return longer
	}
	return short
}

// moments gives a score its random source, and logs the seed so that it can be played again.
func moments(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = 1
		if *long {
			s = uint64(time.Now().UnixNano())
		}
	}
	t.Logf("seed %d", s)
	return rand.New(rand.NewPCG(s, s))
}

// score prints the line that a person may quote.
func score(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("SCORE "+format, args...)
}

// equal fails the test unless the target holds exactly what it must.
func equal(t *testing.T, source, target string, tables []rig.Table) rig.Verdict {
	t.Helper()
	v, err := rig.Compare(t.Context(), source, target, tables)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Equal() {
		t.Errorf("source and target: %v", v)
	}
	return v
}
