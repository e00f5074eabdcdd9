package fire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig/fault"
)

// Fault is something that goes wrong, by name. Begin makes it so and returns in words what it did, how long it lasts, and how it ends.
type Fault struct {
	Name  string
	Begin func(t *Town, random *rand.Rand) (Effect, error)
}

// Effect is a fault that has begun.
type Effect struct {
	What string
	For  time.Duration
	End  func() error
}

// between draws a time.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}

// victim takes a member of a kind, "" being any, that no fault has yet.
func (t *Town) victim(random *rand.Rand, kind string) (*Member, error) {
	whole := slices.DeleteFunc(t.Of(kind), func(m *Member) bool { return m.hurt })
	if len(whole) == 0 {
		return nil, errNobody
	}
	m := whole[random.IntN(len(whole))]
	m.hurt = true
	return m, nil
}

// errNobody is that all who could be hit are hit already.
var errNobody = errors.New("everybody is hurt already")

// errNotYet is that a fault cannot end yet: it is asked again soon.
var errNotYet = errors.New("not yet")

// onMember is a fault of one member.
func onMember(name, kind string, least, most time.Duration, begin func(t *Town, m *Member, random *rand.Rand) (what string, end func() error, err error)) Fault {
	return Fault{Name: name, Begin: func(t *Town, random *rand.Rand) (Effect, error) {
		m, err := t.victim(random, kind)
		if err != nil {
			return Effect{}, err
		}
		lasts := between(random, least, most)
		what, end, err := begin(t, m, random)
		return Effect{What: m.Name() + " " + what, For: lasts, End: func() error {
			m.hurt = false
			if end == nil {
				return nil
			}
			return end()
		}}, err
	}}
}

// Kill ends a member of a kind by SIGKILL, and starts another one in its place a little later.
func Kill(kind string) Fault {
	return onMember("SIGKILL "+kind, kind, 0, 2*time.Second, func(t *Town, m *Member, _ *rand.Rand) (string, func() error, error) {
		m.P.Kill()
		return "is killed", func() error { t.Start(m); return nil }, nil
	})
}

// Deploy drains a worker by SIGTERM, wants it to end in order, and starts another one in its place.
func Deploy() Fault {
	return onMember("drain worker", "worker", 0, time.Second, func(t *Town, m *Member, _ *rand.Rand) (string, func() error, error) {
		// One that has only just begun does not listen to signals yet, and ends by them.
		t.R.Until(30*time.Second, m.Name()+" is ready", func(context.Context) (bool, error) { return strings.Contains(m.P.Log(), `ready"`), nil })
		if err := m.P.Signal(syscall.SIGTERM); err != nil {
			return "", nil, err
		}
		asked := time.Now()
		return "is drained", func() error {
			if m.P.Running() && time.Since(asked) < time.Minute {
				m.hurt = true
				return errNotYet // other faults have to end, or to begin, meanwhile
			}
			if code := m.P.Wait(time.Second); code != 0 {
				return fmt.Errorf("%s, drained, ended with %d", m.Name(), code)
			}
			t.Start(m)
			return nil
		}, nil
	})
}

// Freeze stops a member by SIGSTOP; it goes on later as if nothing had happened.
func Freeze(kind string) Fault {
	return onMember("freeze "+kind, kind, 200*time.Millisecond, 8*time.Second, func(_ *Town, m *Member, _ *rand.Rand) (string, func() error, error) {
		return "is frozen", func() error { return m.P.Signal(syscall.SIGCONT) }, m.P.Signal(syscall.SIGSTOP)
	})
}

// jumps are by how much clocks are set wrong.
var jumps = []time.Duration{-48 * time.Hour, -time.Hour, -time.Minute, -5 * time.Second, 5 * time.Second, time.Minute, time.Hour, 48 * time.Hour}

// Clock sets the clock of a member wrong, and right again.
func Clock(kind string) Fault {
	return onMember("clock of "+kind, kind, time.Second, 6*time.Second, func(_ *Town, m *Member, random *rand.Rand) (string, func() error, error) {
		by := jumps[random.IntN(len(jumps))]
		return fmt.Sprintf("has its clock set by %v", by), func() error {
			if !m.P.Running() {
				return nil
			}
			return fault.MoveClock(m.P.PID(), 0)
		}, fault.MoveClock(m.P.PID(), by)
	})
}

// ways are what a link can suffer.
var ways = map[string]func(*fault.Link) error{
	"cut":       (*fault.Link).Cut,
	"half-open": (*fault.Link).HalfOpen,
	"deaf":      (*fault.Link).Deaf,
	"slow":      func(l *fault.Link) error { return l.Slow(150 * time.Millisecond) },
	"very slow": func(l *fault.Link) error { return l.Slow(1200 * time.Millisecond) },
}

// Network disturbs the link of a member of a kind to a server: cut, half-open, deaf, slow or very slow.
func Network(way, kind, server string) Fault {
	return onMember(way+" between "+kind+" and "+server, kind, 500*time.Millisecond, 8*time.Second, func(_ *Town, m *Member, _ *rand.Rand) (string, func() error, error) {
		l := m.Links[server]
		return "and " + server + ": " + way, l.Heal, ways[way](l)
	})
}

// once makes a fault of a server that can be hit only by one at a time.
func once(name string, least, most time.Duration, begin func(t *Town, random *rand.Rand) (what string, end func() error, err error)) Fault {
	return Fault{Name: name, Begin: func(t *Town, random *rand.Rand) (Effect, error) {
		lasts := between(random, least, most)
		if t.lost["busy"] {
			return Effect{}, errNobody
		}
		t.lost["busy"] = true
		what, end, err := begin(t, random)
		return Effect{What: what, For: lasts, End: func() error {
			t.lost["busy"] = false
			return end()
		}}, err
	}}
}

// RedisKilled kills Redis and starts it again with its file.
func RedisKilled() Fault {
	return once("Redis killed, with its file", 0, 5*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		t.Redis.Kill()
		return "Redis is killed", func() error {
			if cut := t.Redis.Revive(); cut != "" {
				t.lost["redis"] = true // with the rest of the file
				t.T.Logf("after %v Redis refuses its file: %s", time.Since(t.began).Round(time.Second), cut)
			}
			return nil
		}, nil
	})
}

// RedisEmptied kills Redis and starts it again without its file.
func RedisEmptied() Fault {
	return once("Redis killed, without its file", 0, 3*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		t.Redis.Wipe()
		t.lost["redis"] = true
		return "Redis loses all", func() error { t.Redis.Restart(); return nil }, nil
	})
}

// RedisFrozen stops Redis for a while.
func RedisFrozen() Fault {
	return once("freeze Redis", 200*time.Millisecond, 8*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		t.Redis.Pause()
		return "Redis is frozen", func() error { t.Redis.Resume(); return nil }, nil
	})
}

// RedisClock sets the clock of Redis wrong, and right again.
func RedisClock() Fault {
	return once("clock of Redis", time.Second, 6*time.Second, func(t *Town, random *rand.Rand) (string, func() error, error) {
		by := jumps[random.IntN(len(jumps))]
		t.lost["clock"] = true
		return fmt.Sprintf("Redis has its clock set by %v", by), func() error { return fault.MoveClock(t.Redis.Pid(), 0) }, fault.MoveClock(t.Redis.Pid(), by)
	})
}

// RedisFull fills the disk of Redis. When it has room again the file of Redis is written anew, as docs/deploy.md tells operators.
func RedisFull() Fault {
	return once("disk of Redis full", time.Second, 6*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		return "the disk of Redis is full", func() error {
			if err := t.redisDisk.Free(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			return t.Redis.Rewritten(ctx)
		}, t.redisDisk.Fill()
	})
}

// RedisSlow makes the disk of Redis slow.
func RedisSlow() Fault {
	return once("disk of Redis slow", 2*time.Second, 6*time.Second, func(t *Town, random *rand.Rand) (string, func() error, error) {
		by := between(random, 300*time.Millisecond, 1500*time.Millisecond)
		undo, err := fault.SlowSync(by, t.Redis.Pid())
		return fmt.Sprintf("each sync of Redis takes %v", by.Round(time.Millisecond)), func() error { undo(); return nil }, err
	})
}

// RedisFailover parts Redis from its replica, kills it a moment later, and puts the replica in its place: the last writes are lost.
func RedisFailover() Fault {
	return once("failover of Redis that loses its last writes", 0, time.Second, func(t *Town, random *rand.Rand) (string, func() error, error) {
		if t.lost["failed over"] {
			return "", nil, errNobody
		}
		t.lost["failed over"], t.lost["redis"] = true, true
		if err := t.redisLink.Cut(); err != nil {
			return "", nil, err
		}
		gap := between(random, 50*time.Millisecond, time.Second)
		wait(gap)
		t.Redis.Kill()
		return fmt.Sprintf("Redis fails over and loses its last %v", gap.Round(time.Millisecond)), func() error {
			err := t.Replica.Client().ReplicaOf(context.Background(), "NO", "ONE").Err()
			for _, m := range t.Members {
				err = errors.Join(err, m.Links["redis"].Point(t.Replica.Addr()))
			}
			t.Redis = t.Replica
			return err
		}, nil
	})
}

// PostgresEnded shuts PostgreSQL down in order and starts it again.
func PostgresEnded() Fault {
	return once("PostgreSQL shut down", 0, 3*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		return "PostgreSQL is shut down and started again", func() error { return nil }, t.Post.Restart()
	})
}

// PostgresKilled kills PostgreSQL and starts it again.
func PostgresKilled() Fault {
	return once("PostgreSQL killed", 0, 4*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		return "PostgreSQL is killed", t.Post.Restart, t.Post.Kill()
	})
}

// PostgresFull fills the disk of PostgreSQL.
func PostgresFull() Fault {
	return once("disk of PostgreSQL full", time.Second, 5*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		return "the disk of PostgreSQL is full", func() error {
			// A server that could not write its log has ended itself.
			return errors.Join(t.postDisk.Free(), t.Post.Restart())
		}, t.postDisk.Fill()
	})
}

// PostgresSlow makes the disk of PostgreSQL slow.
func PostgresSlow() Fault {
	return once("disk of PostgreSQL slow", 2*time.Second, 6*time.Second, func(t *Town, random *rand.Rand) (string, func() error, error) {
		by := between(random, 100*time.Millisecond, 800*time.Millisecond)
		undo, err := fault.SlowSync(by, family(t.Post.PID())...)
		return fmt.Sprintf("each sync of PostgreSQL takes %v", by.Round(time.Millisecond)), func() error { undo(); return nil }, err
	})
}

// PostgresFailover kills PostgreSQL and promotes its standby, which had been parted from it a moment before where it loses.
func PostgresFailover(loses bool) Fault {
	name := "failover of PostgreSQL"
	if loses {
		name += " that loses its last commits"
	}
	return once(name, 0, time.Second, func(t *Town, random *rand.Rand) (string, func() error, error) {
		if t.lost["failed over"] {
			return "", nil, errNobody
		}
		t.lost["failed over"] = true
		gap := time.Duration(0)
		if loses {
			t.lost["cloud"] = true
			if err := t.postLink.Cut(); err != nil {
				return "", nil, err
			}
			gap = between(random, 50*time.Millisecond, time.Second)
			wait(gap)
		}
		return fmt.Sprintf("PostgreSQL fails over and loses its last %v", gap.Round(time.Millisecond)), func() error {
			err := t.Standby.Promote(context.Background())
			t.cloud = t.Standby.URL("cloud")
			for _, m := range t.Members {
				err = errors.Join(err, m.Links["cloud"].Point(addressOf(t.cloud)))
			}
			return err
		}, t.Post.Kill()
	})
}

// MariaKilled kills MariaDB and starts it again.
func MariaKilled() Fault {
	return once("MariaDB killed", 0, 4*time.Second, func(t *Town, _ *rand.Rand) (string, func() error, error) {
		return "MariaDB is killed", t.Maria.Restart, t.Maria.Kill()
	})
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}
