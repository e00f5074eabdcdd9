package prometheustest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain also plays the part of a test binary that is killed: see TestNothingOutlivesAKilledTestBinary.
func TestMain(m *testing.M) {
	if os.Getenv("PROMETHEUSTEST_ROLE") == "victim" {
		s := &server{calls: make(chan func())}
		go s.keep()
		if err := s.start(); err != nil {
			panic(err)
		}
		fmt.Println(s.dir, s.process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

func TestAServerHasTheSamplesThatATestSays(t *testing.T) {
	t.Parallel()
	at := New(t, Options{Metrics: "# TYPE up gauge\nup{job=\"a\"} 1 1700000000\nup{job=\"a\"} 0 1700000015\n# EOF\n"})
	resp, err := http.Get("http://" + at + "/api/v1/query_range?query=up&start=1700000000&end=1700000015&step=15")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"values":[[1700000000,"1"],[1700000015,"0"]]`) {
		t.Errorf("the server answers %s, %v", body, err)
	}
}

func TestNothingOutlivesAKilledTestBinary(t *testing.T) {
	t.Parallel()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "PROMETHEUSTEST_ROLE=victim")
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the victim did not start: %v", err)
	}
	var dir string
	var pid int
	if _, err := fmt.Sscan(line, &dir, &pid); err != nil {
		t.Fatal(err)
	}
	_ = victim.Process.Kill()
	_ = victim.Wait() // it was killed
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := os.Stat(dir)
		if os.IsNotExist(err) && !alive(pid) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("a minute after the kill: %s: %v, the server is alive: %v", dir, err, alive(pid))
		}
	}
}

// alive reports whether a process exists; one that has ended and waits to be collected does not count.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0] != "Z"
}
