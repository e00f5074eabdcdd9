package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig/fire"
)

// grown is by how much something may be more in the last third of a soak than in the second: what a machine that others use as well does
// to it, and no leak.
const grown = 1.15

// A fleet works for an hour, and every ten seconds something goes wrong: each job ends well and is compared, and neither processes nor servers
// take more in the end than in the middle.
func TestScoreSoak(t *testing.T) {
	t.Parallel()
	minutes, interval := size(runs, 0, 60), 10*time.Second
	lasts := time.Duration(minutes) * time.Minute
	if minutes == 0 {
		lasts, interval = 25*time.Second, 4*time.Second
	}
	town := fire.New(t, fire.Options{Soak: true, RedisDisk: true, Hostile: true})
	var faults []fire.Fault
	for _, f := range []fire.Fault{fire.Kill("worker"), fire.Kill("worker"), fire.Kill("worker"), fire.Kill("scheduler"), fire.Kill("serve"), fire.Deploy(), fire.Deploy()} {
		faults = append(faults, fire.Spare(f))
	}
	faults = append(faults, fire.Freeze("worker"), fire.Freeze("scheduler"), fire.Clock(""), fire.RedisKilled(), fire.RedisFrozen(), fire.RedisFull(), fire.RedisSlow(),
		fire.PostgresEnded(), fire.PostgresKilled(), fire.PostgresSlow(), fire.MariaKilled())
	for _, way := range []string{"cut", "half-open", "deaf", "slow", "very slow"} {
		faults = append(faults, fire.Network(way, "worker", "redis"), fire.Network(way, "worker", "cloud"), fire.Network(way, "worker", "target"), fire.Network(way, "worker", "maria"), fire.Network(way, "scheduler", "redis"))
	}
	start := time.Now()
	out := town.Soak(max(*seed, 1), faults, lasts, interval)
	town.End()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(out.Series)) {
		second, last := fire.Growth(out.Series[name])
		if strings.Contains(name, " KiB of ") && last < 32 {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %.1f in the second third, %.1f in the last, %.1f at most (%d times looked at)", name, second, last, slices.Max(out.Series[name]), len(out.Series[name])))
		if minutes >= 10 && last > second*grown && last > second+4 && !strings.Contains(name, " KiB of ") {
			t.Errorf("%s: %.1f in the second third and %.1f in the last", name, second, last)
		}
	}
	for _, name := range []string{"rows", "records"} {
		if out.Jobs[name] == 0 && !t.Failed() {
			t.Errorf("no job of %s has ended", name)
		}
	}
	score(t, "soak of %v, %d faults: kept %v; jobs %v\n%s", time.Since(start).Round(time.Second), len(out.Faults), !t.Failed(), out.Jobs, strings.Join(lines, "\n"))
}
