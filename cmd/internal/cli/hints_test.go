package cli

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/config"
)

// runnable lists the commands that do something, with the words that their usage asks for.
func runnable(c *cobra.Command) (list [][]string) {
	for _, sub := range c.Commands() {
		if sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if sub.Runnable() && !sub.Hidden {
			words := strings.Fields(sub.CommandPath())[1:]
			_, rest, _ := strings.Cut(sub.Use, " ")
			for _, word := range argument.FindAllString(flagsOfUse.ReplaceAllString(rest, ""), -1) {
				words = append(words, strings.ToLower(word))
			}
			list = append(list, words)
		}
		list = append(list, runnable(sub)...)
	}
	return list
}

var (
	argument   = regexp.MustCompile(`\b[A-Z][A-Z-]*\b`)
	flagsOfUse = regexp.MustCompile(`--[a-z-]+ [A-Z]+`)
)

// alone are commands that ask no server, or run until they are told to stop; of the last three doctor says in its list what to do, and the
// others wait for the server and say so.
var alone = []string{"serve", "worker", "scheduler", "up", "demo", "version", "config check", "config show", "build stamp", "build version", "healthcheck", "doctor", "jobs watch", "build log"}

func TestWhoCannotReachAServerIsToldWhatToDo(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, words := range runnable((&command{}).root()) {
		line := strings.Join(words, " ")
		if slices.ContainsFunc(alone, func(name string) bool { return line == name || strings.HasPrefix(line, name+" ") }) {
			continue
		}
		tried++
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			env := Env{Args: append(slices.Clone(words), "--server", "http://127.0.0.1:1", "--data", t.TempDir(), "--config", os.DevNull), Stdin: strings.NewReader(""),
				Stdout: io.Discard, Stderr: &stderr, Vars: config.Env{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, Now: time.Now, Signals: make(chan os.Signal), Self: "/nonexistent"}
			done := make(chan int, 1)
			go func() { done <- Main(env) }()
			select {
			case code := <-done:
				if code != exitDone && !strings.Contains(stderr.String(), "hint: ") {
					t.Errorf("ends with %d and without a hint: %s", code, stderr.String())
				}
			case <-time.After(30 * time.Second):
				t.Error("does not end")
			}
		})
	}
	if tried < 40 {
		t.Errorf("tried %d commands, want more", tried)
	}
}
