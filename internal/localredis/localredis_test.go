package localredis_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/localredis/redisproc"
	"github.com/stint-run/stint/tasks"
)

// ownerCommand makes the test binary a process that owns a data folder until it is killed.
const ownerCommand = "own-a-data-folder"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == ownerCommand {
		_, err := localredis.Start(context.Background(), localredis.Options{Dir: os.Args[2], Mode: localredis.Mode(os.Args[3])})
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("ready\n")
		select {}
	}
	redis.SetLogger(silent{}) // servers are killed here: refused connections are what is tested
	os.Exit(m.Run())
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// awaitTakeover returns when a server that joined has become the owner.
func awaitTakeover(t *testing.T, s *localredis.Server) {
	t.Helper()
	ctx := context30(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.Joined() {
		select {
		case <-ctx.Done():
			t.Fatal("the data folder was not taken over")
		case <-tick.C:
		}
	}
}

// ownerProcess starts another process that owns dir. kill ends it with SIGKILL and returns when it is gone.
func ownerProcess(t *testing.T, dir string, mode localredis.Mode) (pid int, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], ownerCommand, dir, string(mode))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		_ = cmd.Process.Kill() // it fails only when the process is gone
		_ = cmd.Wait()         // always "signal: killed"
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("owner process says %q (%v)", line, err)
	}
	return cmd.Process.Pid, kill
}

// shortDir returns a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func context30(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func needServer(t *testing.T) {
	t.Helper()
	if _, _, err := redisproc.Find(t.Context()); err != nil {
		t.Fatalf("%v; install it: apt-get install redis-server", err)
	}
}

func closeNow(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func dial(t *testing.T, s *localredis.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(s.Options())
	t.Cleanup(func() { c.Close() }) // a test that closed it already is fine
	return c
}

func set(t *testing.T, c *redis.Client, key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}

// want waits until a key has a value: a server that is being taken over or started again refuses commands for a moment.
func want(t *testing.T, c *redis.Client, key, value string) {
	t.Helper()
	ctx := context30(t)
	for {
		got, err := c.Get(ctx, key).Result()
		if err == nil && got == value {
			return
		}
		if ctx.Err() != nil || err == nil || errors.Is(err, redis.Nil) {
			t.Fatalf("%s is %q (%v), want %q", key, got, err, value)
		}
		runtime.Gosched() // the client's own backoff paces this loop
	}
}

func start(t *testing.T, o localredis.Options) *localredis.Server {
	t.Helper()
	o.Log = quiet()
	s, err := localredis.Start(context30(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, s) })
	return s
}

func TestDataSurvivesASIGKILLOfTheOwner(t *testing.T) {
	t.Parallel()
	needServer(t)
	dir := shortDir(t)
	_, kill := ownerProcess(t, dir, localredis.External)
	joined, err := localredis.Connect(context30(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, joined)
	for i := range 1000 {
		set(t, c, "key"+strconv.Itoa(i), strconv.Itoa(i))
	}
	kill()
	s := start(t, localredis.Options{Dir: dir, Mode: localredis.External})
	if n, err := dial(t, s).DBSize(t.Context()).Result(); err != nil || n != 1000 {
		t.Errorf("after the kill there are %d keys (%v), want 1000", n, err)
	}
	if s.Joined() || !s.Durable() || s.Notice() != "" {
		t.Errorf("joined %v, durable %v, notice %q; want an owner of a durable server", s.Joined(), s.Durable(), s.Notice())
	}
}

func TestTheSecondOwnerLearnsWhoTheFirstIs(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	pid, _ := ownerProcess(t, dir, localredis.InProcess)
	_, err := localredis.Start(context30(t), localredis.Options{Dir: dir, Mode: localredis.InProcess, Log: quiet()})
	if !errors.Is(err, localredis.ErrInUse) || tasks.HintOf(err) == "" || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(pid)) {
		t.Errorf("got %v (hint %q), want an ErrInUse that names process %d", err, tasks.HintOf(err), pid)
	}
}

func TestConnectSaysWhenNothingRuns(t *testing.T) {
	t.Parallel()
	_, err := localredis.Connect(context30(t), shortDir(t))
	if !errors.Is(err, localredis.ErrNotRunning) || tasks.HintOf(err) == "" {
		t.Errorf("got %v, want ErrNotRunning with a hint", err)
	}
}

func TestWhoJoinedTakesOverWhenTheOwnerIsKilled(t *testing.T) {
	t.Parallel()
	for _, mode := range []localredis.Mode{localredis.External, localredis.InProcess} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			_, kill := ownerProcess(t, dir, mode)
			s, err := localredis.StartOrJoin(context30(t), localredis.Options{Dir: dir, Log: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			defer closeNow(t, s)
			if !s.Joined() {
				t.Fatal("did not join the owner")
			}
			c := dial(t, s)
			set(t, c, "a", "1")
			if mode == localredis.InProcess {
				awaitSnapshot(t, dir, "a")
			}
			kill()
			awaitTakeover(t, s)
			want(t, c, "a", "1") // through the same client
		})
	}
}

func TestWhoJoinedTakesOverWhenTheOwnerCloses(t *testing.T) {
	t.Parallel()
	for _, mode := range []localredis.Mode{localredis.Auto, localredis.InProcess} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			o := localredis.Options{Dir: shortDir(t), Mode: mode, Log: quiet()}
			first, err := localredis.StartOrJoin(context30(t), o)
			if err != nil {
				t.Fatal(err)
			}
			second, err := localredis.StartOrJoin(context30(t), o)
			if err != nil {
				t.Fatal(err)
			}
			defer closeNow(t, second)
			if first.Joined() || !second.Joined() {
				t.Fatalf("joined: first %v, second %v", first.Joined(), second.Joined())
			}
			c := dial(t, second)
			set(t, c, "a", "1")
			closeNow(t, first)
			closeNow(t, first) // closing again is allowed
			awaitTakeover(t, second)
			want(t, c, "a", "1")
		})
	}
}

func TestASocketPathThatIsTooLongMakesAPortWithAPassword(t *testing.T) {
	t.Parallel()
	needServer(t)
	dir := filepath.Join(shortDir(t), strings.Repeat("long", 30))
	s := start(t, localredis.Options{Dir: dir, Mode: localredis.External})
	o := s.Options()
	if o.Network != "tcp" || o.Password == "" {
		t.Errorf("network %q, password %q; want tcp with a password", o.Network, o.Password)
	}
	set(t, dial(t, s), "a", "1")
	o.Password, o.MaxRetries = "", -1
	open := redis.NewClient(o)
	defer open.Close()
	if err := open.Ping(t.Context()).Err(); err == nil {
		t.Error("the server lets in who has no password")
	}
	joined, err := localredis.Connect(context30(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, dial(t, joined), "a", "1")
	closeNow(t, s)
	again := start(t, localredis.Options{Dir: dir, Mode: localredis.External})
	if !reflect.DeepEqual(s.Options(), again.Options()) {
		t.Errorf("the address changed from %v to %v", s.Options(), again.Options())
	}
	want(t, dial(t, again), "a", "1")
}

func TestStaleFilesAreReplaced(t *testing.T) {
	t.Parallel()
	needServer(t)
	dir := shortDir(t)
	for name, content := range map[string]string{
		"r.sock": "", "redis.json": "{not json", "owner.lock": "999999", "server.lock": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, localredis.Options{Dir: dir, Mode: localredis.External})
	set(t, dial(t, s), "a", "1")
	info, err := os.Stat(filepath.Join(dir, "redis.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("redis.json is %v (%v), want mode 0600", info, err)
	}
}

func TestARedisServerThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	needServer(t)
	s := start(t, localredis.Options{Dir: shortDir(t), Mode: localredis.External, Fsync: localredis.Always})
	c := dial(t, s)
	set(t, c, "a", "1")
	info, err := c.InfoMap(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	want(t, c, "a", "1")
}

func TestUnknownWordsAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []localredis.Options{
		{}, {Dir: t.TempDir(), Mode: "cluster"}, {Dir: t.TempDir(), Fsync: "never"},
	} {
		if _, err := localredis.Start(context30(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestWithoutAUsableRedisServerTheQueueIsInThisProcess(t *testing.T) {
	// Not parallel: it changes PATH.
	for name, script := range map[string]string{
		"none":    "",
		"too old": "#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0'\n",
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			if script != "" {
				if err := os.WriteFile(filepath.Join(bin, "redis-server"), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			_, err := localredis.Start(context30(t), localredis.Options{Dir: shortDir(t), Mode: localredis.External, Log: quiet()})
			if !errors.Is(err, redisproc.ErrNotFound) || tasks.HintOf(err) == "" {
				t.Errorf("got %v, want ErrNotFound with a hint", err)
			}
			s := start(t, localredis.Options{Dir: shortDir(t)})
			if s.Durable() || !strings.Contains(s.Notice(), "redis-server") {
				t.Errorf("durable %v, notice %q", s.Durable(), s.Notice())
			}
			set(t, dial(t, s), "a", "1")
		})
	}
}
