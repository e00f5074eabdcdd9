package replay_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/replay"
)

// tables returns the files of behaviour tables that lie beside the repository, if they do.
func tables(t *testing.T) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		files, err := filepath.Glob(filepath.Join(dir, "shared", "vectors", "alerts", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 {
			return files
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("there are no behaviour tables beside the repository")
		}
		dir = up
	}
}

func TestThePageOfDifferencesHasThoseThatTheCommandKnows(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../docs/alerts-differences.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|.*\\| ([^|]*) \\|$").FindAllStringSubmatch(string(b), -1) {
		shown[m[1]] = m[2]
	}
	if !maps.Equal(shown, replay.Documented) {
		t.Errorf("docs/alerts-differences.md has\n%v, want\n%v", shown, replay.Documented)
	}
}

func TestTablesAreEqualOrTheDifferenceIsListed(t *testing.T) {
	t.Parallel()
	files := tables(t)
	known := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		table, err := replay.Parse(b)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		known[table.Name] = true
		for _, restart := range []bool{false, true} {
			r := replay.Run(table, replay.Options{Rule: replay.Rule, Condition: condition.Options{Matches: docsearch.Match}, Restart: restart})
			switch {
			case !r.Equal && table.Advice == replay.AdviceSame:
				t.Errorf("%s (restart %v) differs: %q", table.Name, restart, r.Differences)
			case !r.Equal && replay.Documented[table.Name] == "":
				t.Errorf("%s (restart %v) differs and is not listed: %q", table.Name, restart, r.Differences)
			case r.Equal && replay.Documented[table.Name] != "":
				t.Errorf("%s (restart %v) is equal but listed as different", table.Name, restart)
			}
		}
	}
	for name := range replay.Documented {
		if !known[name] {
			t.Errorf("%s is listed as different but there is no such table", name)
		}
	}
}
