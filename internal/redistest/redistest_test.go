package redistest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/localredis/redisproc"
	"github.com/stint-run/stint/internal/redistest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // servers are killed here: refused connections are what is tested
	m.Run()
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestEachServerIsItsOwn(t *testing.T) {
	t.Parallel()
	a, b := redistest.Client(t), redistest.Client(t)
	if err := a.Set(t.Context(), "key", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n := b.Exists(t.Context(), "key").Val(); n != 0 {
		t.Error("one server sees the key of another")
	}
}

func TestTheURLReachesTheServer(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]redistest.Option{"socket": nil, "port": {redistest.TCP()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, options...)
			o, err := redis.ParseURL(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			c := redis.NewClient(o)
			defer c.Close()
			if err := c.Ping(t.Context()).Err(); err != nil {
				t.Errorf("%s: %v", s.URL(), err)
			}
		})
	}
}

func TestAnAppendOnlyFileOutlivesAKill(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []redistest.Option
		keys    int64
	}{
		"none":   {nil, 0},
		"always": {[]redistest.Option{redistest.FsyncAlways()}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, c.options...)
			if err := s.Client().Set(t.Context(), "key", "x", 0).Err(); err != nil {
				t.Fatal(err)
			}
			pid := s.Pid()
			s.Kill()
			if err := s.Client().Ping(t.Context()).Err(); err == nil {
				t.Error("a killed server answers")
			}
			s.Restart()
			if n, err := s.Client().DBSize(t.Context()).Result(); err != nil || n != c.keys {
				t.Errorf("%d keys (%v), want %d", n, err, c.keys)
			}
			if s.Pid() == pid {
				t.Error("no new process was started")
			}
		})
	}
}

func TestRestartKeepsTheDataOfARunningServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.EverySecond())
	if err := s.Client().Set(t.Context(), "key", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	if got, err := s.Client().Get(t.Context(), "key").Result(); got != "x" {
		t.Errorf("got %q (%v)", got, err)
	}
}

func TestAPausedServerAnswersWhenItGoesOn(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	o := s.Options()
	o.ContextTimeoutEnabled = true
	c := redis.NewClient(o)
	defer c.Close()
	if err := c.Ping(ctx).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server says %v", err)
	}
	s.Resume()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		redistest.New(b)
	}
}

func TestAWipedServerIsEmpty(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.FsyncAlways())
	for _, wipe := range []bool{false, true} {
		if err := s.Client().Set(t.Context(), "kept", 1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		s.Kill()
		if wipe {
			s.Wipe()
		}
		s.Restart()
		if n := s.Client().Exists(t.Context(), "kept").Val(); (n == 1) == wipe {
			t.Errorf("wiped %v, %d keys were kept", wipe, n)
		}
	}
}

// Half of a command stands before whole ones, as Redis up to 8.2 leaves it when the disk is full while it rewrites its file.
func TestAServerThatRefusesItsFileIsRevivedWithWhatCanBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := redistest.New(t, redistest.FsyncAlways(), func(c *redisproc.Config) { c.Dir = dir })
	if err := s.Client().Set(t.Context(), "kept", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if cut := s.Revive(); cut != "" {
		t.Errorf("of a whole file was cut: %s", cut)
	}
	s.Kill()
	f, err := os.OpenFile(filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("*3\r\n$3\r\nSET\r\n$4\r\nha*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$1\r\n1\r\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if cut := s.Revive(); !strings.Contains(cut, "was cut at") {
		t.Errorf("%q", cut)
	}
	if v := s.Client().MGet(t.Context(), "kept", "lost").Val(); len(v) != 2 || v[0] != "1" || v[1] != nil {
		t.Errorf("there is %v", v)
	}
}
