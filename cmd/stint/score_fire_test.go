package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig/fire"
)

var tell = flag.String("tell", "", "the file to which each run under fire adds a line")

// scenario is one kind of trouble.
type scenario struct {
	name   string
	town   fire.Options
	faults []fire.Fault
	n      int  // how many hit; 0 is 4
	short  bool // played in CI, too: one of each kind of trouble
}

// networks are all ways in which the links between a kind of process and a server can suffer.
func networks(kind, server string, ways ...string) (list []fire.Fault) {
	for _, way := range ways {
		list = append(list, fire.Network(way, kind, server))
	}
	return list
}

// scenarios are what a fleet has to stand. The last one has them all.
func scenarios() []scenario {
	every := []string{"cut", "half-open", "deaf", "slow", "very slow"}
	list := []scenario{
		{name: "workers killed", faults: []fire.Fault{fire.Kill("worker")}, n: 6},
		{name: "schedulers killed", faults: []fire.Fault{fire.Kill("scheduler")}, n: 5},
		{name: "anybody killed", short: true, faults: []fire.Fault{fire.Kill("")}, n: 8},
		{name: "workers drained and killed", faults: []fire.Fault{fire.Deploy(), fire.Kill("worker")}, n: 6},
		{name: "workers frozen", faults: []fire.Fault{fire.Freeze("worker")}, n: 4},
		{name: "anybody frozen", short: true, faults: []fire.Fault{fire.Freeze("")}, n: 6},
		{name: "clocks of anybody jump", short: true, faults: []fire.Fault{fire.Clock("")}, n: 6},
		{name: "clock of Redis jumps", short: true, faults: []fire.Fault{fire.RedisClock()}, n: 3},
		{name: "network between workers and Redis", short: true, faults: networks("worker", "redis", every...)},
		{name: "network between schedulers and Redis", faults: networks("scheduler", "redis", every...)},
		{name: "network between workers and PostgreSQL", short: true, faults: networks("worker", "cloud", every...)},
		{name: "network between workers and an API", faults: networks("worker", "target", every...)},
		{name: "network between schedulers and a webhook", faults: networks("scheduler", "hook", every...), n: 5},
		{name: "Redis killed", faults: []fire.Fault{fire.RedisKilled()}, n: 3},
		{name: "Redis frozen", faults: []fire.Fault{fire.RedisFrozen()}, n: 3},
		{name: "Redis loses everything", faults: []fire.Fault{fire.RedisEmptied(), fire.Kill("worker")}, n: 2},
		{name: "Redis fails over and loses its last writes", short: true, town: fire.Options{Replica: true}, faults: []fire.Fault{fire.RedisFailover(), fire.RedisFailover(), fire.Kill("worker")}, n: 3},
		{name: "disk of Redis full", short: true, town: fire.Options{RedisDisk: true}, faults: []fire.Fault{fire.RedisFull()}, n: 2},
		{name: "disk of Redis slow", faults: []fire.Fault{fire.RedisSlow(), fire.Kill("worker")}, n: 3},
		{name: "PostgreSQL shut down or killed", town: fire.Options{Postgres: true}, faults: []fire.Fault{fire.PostgresEnded(), fire.PostgresKilled()}, n: 3},
		{name: "PostgreSQL fails over", short: true, town: fire.Options{Standby: true}, faults: []fire.Fault{fire.PostgresFailover(true), fire.PostgresFailover(true), fire.Kill("worker")}, n: 3},
		{name: "disk of PostgreSQL full", town: fire.Options{PostgresDisk: true}, faults: []fire.Fault{fire.PostgresFull()}, n: 2},
		{name: "disk of PostgreSQL slow", short: true, town: fire.Options{Postgres: true}, faults: []fire.Fault{fire.PostgresSlow(), fire.Kill("worker")}, n: 3},
		{name: "an API that answers when the client has gone", town: fire.Options{Hostile: true}, faults: []fire.Fault{fire.Kill("worker"), fire.Network("deaf", "worker", "target")}, n: 4},
		{name: "MariaDB killed", short: true, town: fire.Options{Maria: true}, faults: append(networks("worker", "maria", every...), fire.MariaKilled(), fire.MariaKilled()), n: 4},
	}
	all := scenario{name: "everything at once", short: true, town: fire.Options{Postgres: true, Maria: true, Hostile: true, RedisDisk: true}, n: 8}
	for _, s := range list {
		if !s.town.Replica && !s.town.Standby && !s.town.PostgresDisk && s.name != "Redis loses everything" && s.name != "clock of Redis jumps" {
			all.faults = append(all.faults, s.faults...)
		}
	}
	return append(list, all)
}

// A fleet with work to do is hit by faults of a kind: nothing is lost, nothing takes effect twice, no job stands still for longer than a
// minute after the last fault has ended, counters, events, messages and ticks are what they should be, and every process ends in order.
//
//	go test ./cmd/stint -run 'Fire/workers_killed' -seed 7
func TestScoreFire(t *testing.T) {
	t.Parallel()
	first := max(*seed, 1)
	for _, s := range scenarios() {
		if !s.short && !*long && *runs == 0 && *seed == 0 { // CI plays a part of them
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for i := range uint64(size(runs, 1, 20)) {
				t.Run(fmt.Sprint("seed ", first+i), func(t *testing.T) { burn(t, s, first+i) })
			}
		})
	}
}

func burn(t *testing.T, s scenario, seed uint64) {
	start := time.Now()
	town := fire.New(t, s.town)
	town.Begin()
	if s.n == 0 {
		s.n = 4
	}
	story := town.Play(seed, s.faults, s.n, 5*time.Second)
	healed := time.Now()
	town.Settle()
	settled := time.Since(healed)
	town.Check()
	town.End()
	outcome := "kept"
	if t.Failed() {
		outcome = "BROKEN"
	}
	score(t, "%s, seed %d: %s; settled %v after the last fault; %v in all: %s", s.name, seed, outcome, settled.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), strings.Join(story, "; "))
	if *tell != "" {
		line := strings.Join([]string{s.name, fmt.Sprint(seed), outcome, fmt.Sprint(len(story)), fmt.Sprint(settled.Milliseconds())}, "\t") + "\n"
		f, err := os.OpenFile(filepath.Clean(*tell), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(line)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
}
