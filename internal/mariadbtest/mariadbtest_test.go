package mariadbtest

import (
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
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
	if os.Getenv("MARIADBTEST_ROLE") == "victim" {
		s, err := Start()
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(s.dir + " " + strconv.Itoa(s.process.Pid) + "\n")
		select {}
	}
	Main(m)
}

func TestEachTestGetsAnEmptyDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	names := make([]string, 4)
	for i := range names {
		wg.Go(func() { names[i] = New(t) })
	}
	wg.Wait()
	for _, url := range names {
		_, name, _ := strings.Cut(strings.TrimPrefix(url, "mysql://"), "/")
		db, err := sql.Open("mysql", Shared(t).dsn()+name)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var tables int
		if err := db.QueryRow("SELECT count(*) FROM information_schema.tables WHERE table_schema = database()").Scan(&tables); err != nil || tables != 0 {
			t.Errorf("%s has %d tables, %v", url, tables, err)
		}
		if _, err := db.Exec("CREATE TABLE t (id int)"); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingOutlivesAKilledTestBinary(t *testing.T) {
	t.Parallel()
	if !diesWithStarter {
		t.Skip("here the guardian ends the server, some time after")
	}
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "MARIADBTEST_ROLE=victim")
	var said bytes.Buffer
	victim.Stderr = &said
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = victim.Wait() // it has ended, and what it said is whole then
		t.Fatalf("%v\n%s", err, said.String())
	}
	var dir string
	var pid int
	if _, err := fmt.Sscan(line, &dir, &pid); err != nil {
		t.Fatal(err)
	}
	_ = victim.Process.Kill()
	_ = victim.Wait() // it was killed
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		_, gone := os.Stat(dir)
		if os.IsNotExist(gone) && syscall.Kill(pid, 0) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still there: %s (%v) or process %d", dir, gone, pid)
		}
	}
}
