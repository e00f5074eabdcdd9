package firebirdtest

import (
	"bufio"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain also plays the part of a test binary that is killed: see TestNothingOutlivesAKilledTestBinary.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "victim" {
		s, err := Start()
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(s.Dir() + " " + strconv.Itoa(s.process.Pid) + "\n")
		select {}
	}
	code := m.Run()
	Stop()
	os.Exit(code)
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("firebirdsql", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestEachTestGetsAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	urls := make([]string, 4)
	var wg sync.WaitGroup
	for i := range urls {
		wg.Go(func() { urls[i] = New(t, "DEFAULT CHARACTER SET UTF8") })
	}
	wg.Wait()
	for _, url := range urls {
		Script(t, url, "CREATE TABLE only_here (n INTEGER);")
		var n int
		if err := open(t, url).QueryRow("SELECT COUNT(*) FROM only_here").Scan(&n); err != nil || n != 0 {
			t.Errorf("got %d rows, %v", n, err)
		}
	}
}

func TestTheExampleDatabaseHasItsEmployees(t *testing.T) {
	t.Parallel()
	var n int
	if err := open(t, Employee(t)).QueryRow("SELECT COUNT(*) FROM employee").Scan(&n); err != nil || n != 42 {
		t.Errorf("got %d employees, %v; want 42", n, err)
	}
}

func TestADatabaseOfDialect1HasNumericAsDouble(t *testing.T) {
	t.Parallel()
	url := NewDialect1(t)
	Script(t, url, "CREATE TABLE old (amount NUMERIC(15,2));")
	var typ int
	err := open(t, url).QueryRow("SELECT f.RDB$FIELD_TYPE FROM RDB$RELATION_FIELDS r JOIN RDB$FIELDS f ON f.RDB$FIELD_NAME = r.RDB$FIELD_SOURCE " +
		"WHERE r.RDB$FIELD_NAME = 'AMOUNT'").Scan(&typ)
	if err != nil || typ != 27 {
		t.Errorf("the type is %d, %v; want 27, a double", typ, err)
	}
}

func TestNothingOutlivesAKilledTestBinary(t *testing.T) {
	t.Parallel()
	victim := exec.Command(os.Args[0], "victim")
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := os.Stat(dir)
		if os.IsNotExist(err) && !alive(pid) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("a minute after the kill: %s: %v, server %d alive: %v", dir, err, pid, alive(pid))
		}
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
