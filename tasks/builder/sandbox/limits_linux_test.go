package sandbox_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/sandbox"
)

// play is what this program does as a command, or as an agent.
func play(part string, args []string) {
	switch part {
	case "memory": // takes 4 MiB at a time, as far as it is let, and no further than so many MiB
		most, _ := strconv.Atoi(args[0])
		var all [][]byte
		for range most / 4 {
			b := make([]byte, 4<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			<-time.After(2 * time.Millisecond)
		}
		fmt.Println("took", len(all)*4, "MiB")
		<-time.After(200 * time.Millisecond)
	case "bomb": // forks as deep as it is told, its children too: 364 processes at 5
		depth, _ := strconv.Atoi(args[0])
		for range 3 {
			if depth > 0 {
				cmd := exec.Command(os.Args[0], "play", "bomb", strconv.Itoa(depth-1), args[1])
				_ = cmd.Start()
			}
		}
		<-time.After(time.Minute)
	case "agent": // runs a command at a level, and is killed
		sandbox.Main()
		l, _ := strconv.Atoi(args[0])
		c := sandbox.Command{Args: args[1:], Dir: "/", Env: []string{path}, Stdout: os.Stdout, Stderr: os.Stderr}
		r, err := sandbox.RunAt(context.Background(), l, c)
		fmt.Println(r, err)
	case "hide":
		err := sandbox.HideEnvironment()
		fmt.Println("hidden", err)
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
}

func TestAForkBombIsStopped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		mark := marker()
		c := sandbox.Command{Args: []string{self(t), "play", "bomb", "5", mark}, Dir: t.TempDir(), Env: []string{path}, Timeout: time.Minute, Limits: sandbox.Limits{Processes: 64}}
		r, _ := ran(t, run, c)
		if r.Cause != sandbox.Processes || r.Signal != "SIGKILL" || r.Left < 32 {
			t.Errorf("%+v", r)
		}
		t.Logf("%d processes", r.Left)
		nothingSurvives(t, mark)
	})
}

func TestAForkBombOfAShellIsStopped(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		mark := marker()
		c := shell(t, "b() { [ $1 = 0 ] && exec sleep "+mark+"; b $(($1-1)) & b $(($1-1)) & wait; }; b 8") // 511 processes
		c.Limits.Processes = 64
		r, _ := ran(t, run, c)
		if r.Cause != sandbox.Processes {
			t.Errorf("%+v", r)
		}
		t.Logf("%d processes", r.Left)
		nothingSurvives(t, mark)
	})
}

func TestMemoryOfAllProcessesTogetherIsBounded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		c := sandbox.Command{Args: []string{self(t), "play", "memory", "800"}, Dir: t.TempDir(), Env: []string{path}, Limits: sandbox.Limits{Memory: 256 << 20}}
		r, out := ran(t, run, c)
		if r.Cause != sandbox.Memory || r.ExitCode != -1 || r.MaxMemory < 256<<20 || r.MaxMemory > 600<<20 {
			t.Errorf("%+v %s", r, out)
		}
		c.Args = []string{"sh", "-c", `for i in 1 2 3 4; do "$0" play memory 100 & done; wait`, self(t)}
		if r, out := ran(t, run, c); r.Cause != sandbox.Memory {
			t.Errorf("four together: %+v %s", r, out)
		}
		c.Args = []string{self(t), "play", "memory", "48"}
		if r, out := ran(t, run, c); r.Cause != "" || r.ExitCode != 0 || !strings.Contains(out, "took 48 MiB") || r.MaxMemory < 48<<20 {
			t.Errorf("within the limit: %+v %s", r, out)
		}
	})
}

func TestMemoryThatProcessesShareCountsOnce(t *testing.T) {
	t.Parallel()
	// a shell with a large variable and children of it: resident in each, and there once
	c := shell(t, "x=$(head -c 30000000 /dev/zero | tr '\\0' x); for i in 1 2 3 4 5 6 7 8; do (sleep 0.5; :) & done; wait; echo ok")
	c.Limits.Memory = 200 << 20
	if r, out := ran(t, sandbox.Run, c); r.Cause != "" || out != "ok\n" {
		t.Errorf("%+v %s", r, out)
	}
}

func TestTimeOnProcessorsOfAllProcessesTogetherIsBounded(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		c := shell(t, "(while :; do :; done) & (while :; do :; done) & wait")
		c.Limits.CPU = 500 * time.Millisecond
		r, _ := ran(t, run, c)
		if r.Cause != sandbox.CPU || r.CPU < 450*time.Millisecond || r.CPU > 5*time.Second {
			t.Errorf("%+v", r)
		}
		c = shell(t, "while :; do sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'; done")
		c.Limits.CPU = 400 * time.Millisecond // of processes that have ended, too
		if r, out := ran(t, run, c); r.Cause != sandbox.CPU {
			t.Errorf("%+v %s", r, out)
		}
	})
}

func TestADiskIsNotFilled(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"by one file":            "head -c 300000000 /dev/zero > a; sleep 30",
		"by many files":          "i=0; while [ $i -lt 30 ]; do head -c 10000000 /dev/zero > f$i; i=$((i+1)); done; sleep 30",
		"by empty files":         "i=0; while [ $i -lt 20000 ]; do : > f$i; i=$((i+1)); done; sleep 30",
		"by a file with no name": "exec 9>a; rm a; i=0; while [ $i -lt 30 ]; do head -c 3000000 /dev/zero >&9; i=$((i+1)); done; sleep 30",
		"faster than we look":    "head -c 40000000 /dev/zero > a; head -c 40000000 /dev/zero > b",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := shell(t, script)
			if err := os.WriteFile(filepath.Join(c.Dir, "before"), make([]byte, 80<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			c.Limits.Disk = 50 << 20
			r, out := ran(t, sandbox.Run, c)
			if r.Cause != sandbox.Disk {
				t.Errorf("%+v %s", r, out)
			}
		})
	}
	c := shell(t, "rm before; head -c 100000000 /dev/zero > a; head -c 1000 /dev/zero > b")
	if err := os.WriteFile(filepath.Join(c.Dir, "before"), make([]byte, 80<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Limits.Disk = 50 << 20
	if r, out := ran(t, sandbox.Run, c); r.Cause != "" || r.ExitCode != 0 {
		t.Errorf("what takes the place of another: %+v %s", r, out)
	}
}

func TestOpenFilesAreBoundedAndOtherwiseThoseOfTheSystem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		c := shell(t, "ulimit -n; sleep 0.3; ulimit -Hn")
		c.Limits.Files = 50
		if _, out := ran(t, run, c); out != "50\n50\n" {
			t.Errorf("%q", out)
		}
	})
}

func TestNoProgramGetsPrivileges(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		_, out := ran(t, run, shell(t, "grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status"))
		fields := strings.Fields(out)
		const dangerous = 1<<21 | 1<<19 | 1<<16 | 1<<17 | 1<<12 // SYS_ADMIN, SYS_PTRACE, SYS_MODULE, SYS_RAWIO, NET_ADMIN
		for i := 1; i < len(fields); i += 2 {
			bits, err := strconv.ParseUint(fields[i], 16, 64)
			if fields[i-1] == "NoNewPrivs:" {
				if bits != 1 {
					t.Error(out)
				}
			} else if fields[i-1] == "CapBnd:" && os.Geteuid() != 0 { // of no use to who gets no privileges, and not ours to take away
				continue
			} else if err != nil || bits&dangerous != 0 {
				t.Errorf("%s %v", out, err)
			}
		}
	})
}

func TestACommandInANamespaceDoesNotSeeTheAgent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		if strings.Contains(t.Name(), "without") {
			_, out := ran(t, run, shell(t, "cat /proc/"+strconv.Itoa(os.Getpid())+"/environ >/dev/null 2>&1 || echo refused"))
			if os.Geteuid() == 0 && out != "refused\n" { // root without the capabilities of root
				t.Errorf("%q", out)
			}
			return
		}
		_, out := ran(t, run, shell(t, "ls /proc | grep -c '^[0-9]'; umount /proc 2>/dev/null && echo unmounted; kill -KILL 1; kill -TERM 1; echo here"))
		if n, rest, _ := strings.Cut(out, "\n"); rest != "here\n" || len(n) != 1 {
			t.Errorf("%q", out)
		}
	})
}

func TestWhenTheAgentIsKilledNothingIsLeft(t *testing.T) {
	t.Parallel()
	for name, l := range levels() {
		for _, nobody := range []bool{false, true} {
			if nobody && (os.Geteuid() != 0 || name == "namespace of root") {
				continue
			}
			t.Run(fmt.Sprintf("%s, as nobody %v", name, nobody), func(t *testing.T) {
				t.Parallel()
				mark := marker()
				program := self(t)
				if nobody {
					program = forNobody(t)
				}
				cmd := exec.Command(program, "play", "agent", strconv.Itoa(l), "sh", "-c", "trap '' TERM; (setsid sleep "+mark+" &); (sleep "+mark+" &); echo ready; while :; do sleep "+mark+"; done", mark)
				if nobody {
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				}
				out, err := cmd.StdoutPipe()
				if err == nil {
					err = cmd.Start()
				}
				if err != nil {
					t.Fatal(err)
				}
				line, err := bufio.NewReader(out).ReadString('\n')
				if err != nil || line != "ready\n" {
					t.Errorf("%q, %v", line, err)
				}
				until(t, "all are there", func() bool { return len(survivors(mark)) >= 4 || t.Failed() })
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				until(t, "all are gone", func() bool { return len(survivors(mark)) == 0 })
			})
		}
	}
}

func TestAHiddenEnvironmentIsNotReadByAnotherProcessOfTheSameUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("root alone can start processes of two users")
	}
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd := exec.Command(forNobody(t), "play", "hide")
	cmd.Env, cmd.SysProcAttr = []string{"TOKEN=hunter2"}, nobody
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "hidden <nil>\n" {
		t.Errorf("%q, %v", line, err)
	}
	reader := exec.Command("cat", fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid))
	reader.SysProcAttr = nobody
	if b, err := reader.CombinedOutput(); err == nil || strings.Contains(string(b), "hunter2") {
		t.Errorf("%s, %v", b, err)
	}
	_ = in.Close()
	_ = cmd.Wait()
}

// forNobody is this program where every user can run it.
func forNobody(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "program")
	// not written by us: who forks beside us would hold it open for a moment
	if out, err := exec.Command("cp", self(t), program).CombinedOutput(); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

func TestASupervisorThatIsKilledIsAnErrorAndNotASuccess(t *testing.T) {
	t.Parallel()
	if l, ok := levels()["without a namespace"]; ok {
		mark := marker()
		c := shell(t, "trap '' TERM HUP; sleep "+mark+" & sleep 0.3; kill -KILL $PPID; sleep "+mark)
		r, err := sandbox.RunAt(t.Context(), l, c)
		if err == nil || r.ExitCode == 0 || tasks.HintOf(err) == "" {
			t.Errorf("%+v, %v", r, err)
		}
		until(t, "what it left is gone", func() bool { return len(survivors(mark)) == 0 })
	}
}

func TestSupportSaysWhatItFound(t *testing.T) {
	t.Parallel()
	s := sandbox.Support()
	if len(s) < 5 {
		t.Errorf("%q", s)
	}
	t.Log(strings.Join(s, "\n"))
}

func BenchmarkTrue(b *testing.B) {
	for name, l := range levels() {
		b.Run(name, func(b *testing.B) {
			c := sandbox.Command{Args: []string{"true"}, Dir: "/", Env: []string{path}}
			for b.Loop() {
				if r, err := sandbox.RunAt(b.Context(), l, c); err != nil || r.ExitCode != 0 {
					b.Fatal(r, err)
				}
			}
		})
	}
}
