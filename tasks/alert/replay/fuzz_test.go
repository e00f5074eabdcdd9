package replay_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stint-run/stint/tasks/alert/replay"
)

// FuzzAnyTableIsReadOrRefused holds that a behaviour table is refused in words, or is read the same each time, and that its rule is one or an
// error.
func FuzzAnyTableIsReadOrRefused(f *testing.F) {
	paths, err := filepath.Glob("../../../../shared/vectors/alerts/*.json") // beside the project, where they are at hand
	if err != nil {
		f.Fatal(err)
	}
	own, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for i, path := range append(own, paths...) {
		text, err := os.ReadFile(path)
		if err != nil || i > 40 || len(text) > 20_000 {
			continue
		}
		f.Add(text)
	}
	for _, seed := range []string{`{"name":"x","level":"ruletype","rule":{"type":"any"},"steps":[]}`, `{"level":"engine","steps":[{"at":"x"}]}`, `{}`, `[]`, `null`, "\xff", `{"steps":[null]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := replay.Parse(text)
		if (table == nil) != (err != nil) || err != nil && (err.Error() == "" || len(err.Error()) > 5000) {
			t.Errorf("%v, %v", table, err)
		}
		if table == nil {
			return
		}
		if _, err := replay.Parse(text); err != nil {
			t.Errorf("it is read once, and then %v", err)
		}
	})
}
