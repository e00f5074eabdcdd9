package flatfile_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

// TestEveryParameterIsDocumented holds docs/files.md to the program: the hint about an unknown parameter lists those that there are.
func TestEveryParameterIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/files.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		forms := strings.Split(strings.TrimSpace(cells[2]), ", ")
		if forms[0] == "all" {
			forms = []string{"csv", "tsv", "ndjson", "dbf"}
		}
		for _, form := range forms {
			documented[form] = append(documented[form], strings.Trim(cells[1], " `"))
		}
	}
	for _, form := range []string{"csv", "tsv", "ndjson", "dbf"} {
		_, err := tryOpen(form + ":" + t.TempDir() + "?no-such-thing=1")
		_, list, _ := strings.Cut(tasks.HintOf(err), "URLs have: ")
		known := strings.Split(list, ", ")
		slices.Sort(known)
		slices.Sort(documented[form])
		if !slices.Equal(known, documented[form]) {
			t.Errorf("%s has the parameters %v; docs/files.md says %v", form, known, documented[form])
		}
	}
}
