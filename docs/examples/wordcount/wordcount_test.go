package wordcount_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/docs/examples/wordcount"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/taskstest"
)

func TestWordcountKeepsThePromisesOfAFamily(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		in, out := t.TempDir(), t.TempDir()
		want := map[string]string{}
		for i := range 5 {
			name := fmt.Sprintf("text%d.txt", i)
			lines := i * 4_000
			put(t, filepath.Join(in, name), strings.Repeat("to be or not\n", lines))
			want[name+".count"] = fmt.Sprintln(4 * lines)
		}
		want["total"] = fmt.Sprintln(4 * 4_000 * (1 + 2 + 3 + 4))
		spec, err := json.Marshal(wordcount.Spec{In: in, Out: out})
		if err != nil {
			t.Fatal(err)
		}
		return taskstest.Subject{
			Family: wordcount.Family{},
			Job:    tasks.Job{ID: "wor-example", Kind: wordcount.Kind, Spec: spec},
			Check: func(t *testing.T) {
				entries, err := os.ReadDir(out)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					got, err := os.ReadFile(filepath.Join(out, e.Name()))
					if err != nil || string(got) != want[e.Name()] {
						t.Errorf("%s holds %q, want %q (%v)", e.Name(), got, want[e.Name()], err)
					}
				}
				if len(entries) != len(want) {
					t.Errorf("there are %d results, want %d", len(entries), len(want))
				}
			},
		}
	})
}

func TestASpecThatCannotBeRightFailsForGoodAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := wordcount.Family{}.Plan(t.Context(), tasks.Job{ID: "wor-example", Spec: []byte(`{"in": "texts"}`)})
	if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("want a permanent error with a hint, got %v", err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
