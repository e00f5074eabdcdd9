package buildlog_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

// TestMain is also the agent that is killed while it writes.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LOG_UNTIL_KILLED"); dir != "" {
		files, err := artifact.NewFolder(dir)
		if err != nil {
			panic(err)
		}
		l, err := buildlog.Create(context.Background(), files, "logs/b1/compile", "killed", buildlog.Options{Every: 5 * time.Millisecond})
		if err != nil {
			panic(err)
		}
		for i := 0; ; i++ {
			_, _ = fmt.Fprintf(l.Stdout(), "line %d\n", i)
			if i%100 == 0 {
				<-time.After(time.Millisecond)
			}
		}
	}
	os.Exit(m.Run())
}

func TestAfterAKillEveryLineIsWholeAndNoneIsMissingBeforeTheLast(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := artifact.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const kills = 3
	for range kills {
		before := len(read(t, s))
		cmd := exec.Command(self)
		cmd.Env = []string{"LOG_UNTIL_KILLED=" + dir}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "it writes", func() bool { return len(read(t, s)) > before+1000 })
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	attempts, next := 0, 0
	for _, line := range read(t, s) {
		if line == "# attempt killed" {
			attempts, next = attempts+1, 0
			continue
		}
		if line != fmt.Sprintf("o line %d", next) {
			t.Fatalf("%q, want line %d", line, next)
		}
		next++
	}
	if attempts != kills {
		t.Errorf("%d attempts", attempts)
	}
	l := create(t, s, "last", buildlog.Options{})
	closed(t, l, buildlog.End{})
	if lines := read(t, s); lines[len(lines)-2] != "# attempt last" {
		t.Errorf("%q", lines[len(lines)-2:])
	}
}
