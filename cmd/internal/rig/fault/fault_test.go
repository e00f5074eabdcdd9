package fault_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/cmd/internal/rig/fault"
	"github.com/stint-run/stint/internal/localredis/redisproc"
	"github.com/stint-run/stint/internal/redistest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // links are cut here
	m.Run()
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// possible skips a test whose fault this machine cannot make, or does not let us make.
func possible(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, fault.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A process of C and one of Go read another time each, and the right one again; the machine's own stays as it is.
func TestTheClockOfOneProcessMoves(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	clock := func() time.Time {
		at, err := s.Client().Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, by := range []time.Duration{time.Hour, -48 * time.Hour, 0} {
		possible(t, fault.MoveClock(s.Pid(), by))
		if off := clock().Sub(time.Now().Add(by)); off.Abs() > time.Minute {
			t.Errorf("moved by %v, it is %v off", by, off)
		}
	}
	if err := fault.MoveClock(1<<30, time.Hour); err == nil {
		t.Error("the clock of nobody was moved")
	}
	if err := fault.MoveClock(s.Pid(), 100*365*24*time.Hour); err == nil || !strings.Contains(err.Error(), "68 years") {
		t.Errorf("by a century: %v", err)
	}
}

// Who writes to a full disk hears of it: a Redis that keeps a file refuses writes, and takes them again when there is room.
func TestADiskIsFullUntilItIsFreed(t *testing.T) {
	t.Parallel()
	d, err := fault.NewDisk(t, 32<<20)
	possible(t, err)
	s := redistest.New(t, redistest.TCP(), redistest.FsyncAlways(), func(c *redisproc.Config) { c.Dir = d.Dir })
	set := func() error { return s.Client().Set(t.Context(), "k", strings.Repeat("v", 10_000), 0).Err() }
	if err := set(); err != nil {
		t.Fatal(err)
	}
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "x"), make([]byte, 1<<16), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a file on the full disk: %v", err)
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "x"), make([]byte, 1<<16), 0o600); err != nil {
		t.Error(err)
	}
	if err := d.Free(); err != nil {
		t.Errorf("freed twice: %v", err)
	}
}

// await asks until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(30 * time.Second); !so(); {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("not so: %s", what)
		}
	}
}

// What docs/deploy.md tells people whose Redis had a full disk.
func TestARedisWhoseDiskWasFullStartsAgainWithAFileThatItWroteAnew(t *testing.T) {
	t.Parallel()
	d, err := fault.NewDisk(t, 4<<20)
	possible(t, err)
	s := redistest.New(t, redistest.TCP(), redistest.EverySecond(), func(c *redisproc.Config) { c.Dir = d.Dir })
	for _, mend := range []bool{false, true} {
		// A file that a rewrite has begun, with a page that has room for a part of what is written next.
		if err := s.Rewritten(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Client().Set(t.Context(), "before", 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if err := d.Fill(); err != nil {
			t.Fatal(err)
		}
		_ = s.Client().Set(t.Context(), "cut", strings.Repeat("v", 10_000), 0).Err() // refused, or not, by when the file is written
		await(t, "redis refuses writes", func() bool { return s.Client().Set(t.Context(), "cut", 1, 0).Err() != nil })
		if err := d.Free(); err != nil {
			t.Fatal(err)
		}
		await(t, "redis takes writes again", func() bool { return s.Client().Set(t.Context(), "after", 1, 0).Err() == nil })
		if mend {
			if err := s.Rewritten(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.Kill()
		cut := s.Revive()
		if mend && cut != "" {
			t.Errorf("what was written anew was cut: %s", cut)
		}
		t.Logf("written anew %v, cut %v", mend, cut != "") // a later Redis needs no mending
		if n := s.Client().Exists(t.Context(), "before", "after").Val(); mend && n != 2 {
			t.Errorf("of two keys there are %d", n)
		}
	}
}

func TestSyncsAreSlowUntilTheyAreLetGo(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.FsyncAlways())
	took := func() time.Duration {
		start := time.Now()
		if err := s.Client().Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	undo, err := fault.SlowSync(400*time.Millisecond, s.Pid())
	possible(t, err)
	if d := took(); d < 400*time.Millisecond {
		t.Errorf("a write took %v, want 400 ms at least", d)
	}
	undo()
	if d := took(); d > 300*time.Millisecond {
		t.Errorf("afterwards a write took %v", d)
	}
	if _, err := fault.SlowSync(time.Second, 1<<30); err == nil {
		t.Error("the syncs of nobody are slow")
	}
}

func TestALinkIsDisturbedAndHealed(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.TCP())
	l := fault.NewLink(t, s.Addr())
	client := func() *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: l.Addr, MaxRetries: -1, DialTimeout: time.Second, ReadTimeout: 500 * time.Millisecond, DialerRetries: 1})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	count := func(c *redis.Client) error { return c.Incr(t.Context(), "n").Err() }
	had := func() int {
		n, err := s.Client().Get(t.Context(), "n").Int()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, f := range []struct {
		name   string
		do     func() error
		counts int // how many of one call take effect though it fails
	}{
		{"cut", l.Cut, 0}, {"half-open", l.HalfOpen, 0}, {"deaf", l.Deaf, 1},
	} {
		c := client()
		if err := count(c); err != nil {
			t.Fatalf("before %s: %v", f.name, err)
		}
		before := had()
		if err := f.do(); err != nil {
			t.Fatal(err)
		}
		if err := count(c); err == nil {
			t.Errorf("%s: it answers", f.name)
		}
		if n := had() - before; n > f.counts || f.counts > 0 && n == 0 {
			t.Errorf("%s: %d calls took effect, want %d", f.name, n, f.counts)
		}
		if f.name != "cut" {
			if conn, err := net.Dial("tcp", l.Addr); err != nil {
				t.Errorf("%s: no new connection: %v", f.name, err)
			} else {
				conn.Close()
			}
		}
		if err := l.Heal(); err != nil {
			t.Fatal(err)
		}
		if err := count(client()); err != nil {
			t.Errorf("after %s: %v", f.name, err)
		}
	}
	if err := l.Slow(100 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := count(client()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 100*time.Millisecond {
		t.Errorf("slow: %v", took)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	other := redistest.New(t, redistest.TCP())
	if err := l.Point(other.Addr()); err != nil {
		t.Fatal(err)
	}
	if err := client().Set(t.Context(), "here", 1, 0).Err(); err != nil || other.Client().Exists(t.Context(), "here").Val() != 1 {
		t.Errorf("it does not lead to the other server: %v", err)
	}
}
