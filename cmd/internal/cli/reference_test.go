package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

func TestTheReferenceOfTheCommandsIsTheOneInTheDocs(t *testing.T) {
	t.Parallel()
	root := (&command{}).root()
	var b strings.Builder
	b.WriteString("# Commands\n\nEvery command, as `--help` says it. This page is made from the program: `go test ./cmd/internal/cli -run Reference -update`.\n" +
		"What `--output json` prints is in [cli-json.md](../cli-json.md), exit codes in the [README](../../README.md#exit-codes).\n\n## Everywhere\n\n```\n")
	b.WriteString(trimmed(root.PersistentFlags().FlagUsages()) + "\n```\n")
	describe(&b, root)
	path := filepath.Join(repository, "docs", "reference", "cli.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if page(t, "docs/reference/cli.md") != b.String() {
		t.Error("docs/reference/cli.md is not what the program says; write it anew with: go test ./cmd/internal/cli -run Reference -update")
	}
}

// describe writes what is known of the commands below one.
func describe(b *strings.Builder, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		fmt.Fprintf(b, "\n## %s\n\n%s.\n", sub.CommandPath(), strings.TrimSuffix(sub.Short, "."))
		fmt.Fprintf(b, "\n```\n%s\n```\n", sub.UseLine())
		if sub.Long != "" {
			fmt.Fprintf(b, "\n```text\n%s\n```\n", trimmed(sub.Long))
		}
		if flags := trimmed(sub.NonInheritedFlags().FlagUsages()); flags != "" {
			fmt.Fprintf(b, "\nFlags:\n\n```\n%s\n```\n", flags)
		}
		if sub.Example != "" {
			fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", unindented(sub.Example))
		}
		describe(b, sub)
	}
}

// trimmed is a text without blank lines around it and without blanks at the ends of lines.
func trimmed(text string) string {
	var lines []string
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func unindented(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(trimmed(text), "  "), "\n  ", "\n")
}
