package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain also plays the part of a test binary that is killed: see TestNothingOutlivesAKilledTestBinary.
func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_ROLE") == "victim" {
		s, err := Start("", Options{})
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(s.Dir() + " " + strconv.Itoa(s.process.Pid) + "\n")
		select {}
	}
	Main(m)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestEachTestGetsAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	urls := make([]string, 6)
	var wg sync.WaitGroup
	for i := range urls {
		wg.Go(func() { urls[i] = New(t) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, url := range urls {
		conn := connect(t, url)
		if _, err := conn.Exec(ctx, "CREATE TABLE only_here (n int)"); err != nil {
			t.Errorf("%s is not empty: %v", url, err)
		}
		if seen[url] {
			t.Errorf("%s was given twice", url)
		}
		seen[url] = true
	}
}

func TestADatabaseIsDroppedThoughSomebodyIsConnected(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var url string
	t.Run("inner", func(t *testing.T) {
		url = New(t)
		// No cleanup: still connected when the test ends.
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn
	})
	if _, err := pgx.Connect(ctx, url); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("connecting after the test gives %v, want that it does not exist", err)
	}
}

func TestAServerComesBackWithItsDataAfterAKill(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := Start("", Options{Fsync: true, Settings: map[string]string{"work_mem": "5MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
			t.Errorf("the directory is still there: %v", err)
		}
	})
	conn := connect(t, s.URL("postgres"))
	if _, err := conn.Exec(ctx, "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(ctx); err == nil {
		t.Error("a session survived the kill")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	var n int
	var fsync, workMem string
	conn = connect(t, s.SocketURL("postgres"))
	if err := conn.QueryRow(ctx, "SELECT n, current_setting('fsync'), current_setting('work_mem') FROM kept").
		Scan(&n, &fsync, &workMem); err != nil {
		t.Fatal(err)
	}
	if n != 42 || fsync != "on" || workMem != "5MB" {
		t.Errorf("got %d, fsync %s, work_mem %s", n, fsync, workMem)
	}
}

func TestNothingOutlivesAKilledTestBinary(t *testing.T) {
	t.Parallel()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "PGTEST_ROLE=victim")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the victim did not start: %v", err)
	}
	dir, pidText, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, _ := strconv.Atoi(pidText)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := os.Stat(dir)
		if os.IsNotExist(err) && !alive(pid) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a minute after the kill: %s: %v, server %d alive: %v", dir, err, pid, alive(pid))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// alive reports whether a process exists; one that has ended and waits to be collected does not count.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !os.IsNotExist(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0] != "Z"
}

// A standby has what was committed before it was parted from its primary, and takes writes once it is promoted.
func TestAStandbyFollowsAndIsPromoted(t *testing.T) {
	t.Parallel()
	primary, err := Start("", Options{Fsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := primary.Stop(); err != nil {
			t.Error(err)
		}
	})
	standby, err := primary.Standby(fmt.Sprintf("127.0.0.1:%d", primary.Port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := primary.CreateDatabase(t.Context(), "followed"); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); ; <-tick.C {
		conn, err := pgx.Connect(t.Context(), standby.URL("followed"))
		if err == nil {
			_ = conn.Close(t.Context())
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	if err := standby.CreateDatabase(t.Context(), "own"); err == nil {
		t.Error("a standby takes writes")
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := standby.CreateDatabase(t.Context(), "own"); err != nil {
		t.Error(err)
	}
}
