package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
)

// The documentation is held to the program: what there is has to be named, and what is shown has to exist.

const repository = "../../.."

// page reads a page of the documentation.
func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are all pages that users read.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"README.md"}
	for _, folder := range []string{"docs", "docs/howto", "docs/explanation"} { // docs/reference is made from the program
		list = append(list, glob(t, folder+"/*.md")...)
	}
	return list
}

func TestEveryKeyOfTheConfigurationIsDocumented(t *testing.T) {
	t.Parallel()
	text := page(t, "docs/configuration.md")
	for _, key := range config.Keys() {
		if !strings.Contains(text, "| `"+key+"` |") {
			t.Errorf("docs/configuration.md has no line for %s", key)
		}
	}
	_, keys, _ := strings.Cut(text, "## Keys")
	keys, _, _ = strings.Cut(keys, "A connection has these parts")
	for line := range strings.Lines(keys) {
		rest, found := strings.CutPrefix(line, "| `")
		if key, _, _ := strings.Cut(rest, "`"); found && !slices.Contains(config.Keys(), key) {
			t.Errorf("docs/configuration.md explains %s, which is no key", key)
		}
	}
}

func TestEveryStateIsDocumented(t *testing.T) {
	t.Parallel()
	states := []string{wire.WorkerActive, wire.WorkerDraining, wire.WorkerDrained, wire.WorkerStopped, wire.WorkerLost}
	for _, s := range []tasks.State{tasks.Accepted, tasks.Planning, tasks.Running, tasks.Paused, tasks.Succeeded, tasks.Failed, tasks.Cancelled} {
		states = append(states, string(s))
	}
	for _, path := range []string{"docs/states.md", "docs/cli-json.md"} {
		text := page(t, path)
		for _, s := range states {
			if !strings.Contains(text, s) {
				t.Errorf("%s does not name the state %s", path, s)
			}
		}
	}
}

func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, path := range pages(t) {
		all.WriteString(page(t, path))
	}
	text := all.String()
	for _, name := range commandNames((&command{}).root()) {
		if !strings.Contains(text, "stint "+name) && !strings.Contains(text, "`"+name) {
			t.Errorf("no page names the command %q", name)
		}
		if forms := page(t, "docs/cli-json.md"); !strings.Contains(forms, "`"+name) {
			t.Errorf("docs/cli-json.md does not say what %q prints", name)
		}
	}
}

// commandNames lists the commands as they are typed, without the program's name.
func commandNames(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			names = append(names, strings.TrimPrefix(sub.CommandPath(), "stint "))
			names = append(names, commandNames(sub)...)
		}
	}
	return names
}

func TestTheCommandsThatAreShownExist(t *testing.T) {
	t.Parallel()
	shown := 0
	for _, path := range pages(t) {
		for _, line := range consoleCommands(page(t, path)) {
			shown++
			if err := understood(line); err != nil {
				t.Errorf("%s shows %q: %v", path, line, err)
			}
		}
	}
	if shown < 10 {
		t.Errorf("found %d commands in the documentation, want more: are they still in ```console blocks?", shown)
	}
}

// consoleCommands returns the stint commands of the ```console blocks of a page.
func consoleCommands(text string) []string {
	var commands []string
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside && line == "```console"
		case inside && strings.HasPrefix(line, "$ stint "):
			commands = append(commands, strings.TrimPrefix(line, "$ "))
		case inside && strings.HasPrefix(line, "$ go run ./cmd/stint "):
			commands = append(commands, "stint "+strings.TrimPrefix(line, "$ go run ./cmd/stint "))
		}
	}
	return commands
}

// understood finds the command of a line and parses its flags and arguments, without running it.
func understood(line string) error {
	line, _, _ = strings.Cut(line, " > ") // what it prints goes into a file
	words := slices.DeleteFunc(strings.Fields(line)[1:], func(w string) bool { return w == "&" })
	cmd, rest, err := (&command{}).root().Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
