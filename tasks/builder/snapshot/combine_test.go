package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// after returns the snapshot of base with some files changed; a text of "-" removes one.
func after(t *testing.T, s *snapshot.Store, base snapshot.ID, files map[string]string) snapshot.ID {
	t.Helper()
	dir := restored(t, s, base)
	for name, text := range files {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if text != "-" {
			tree(t, dir, map[string]string{name: text})
		}
	}
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{Parent: base})
	return id
}

func texts(t *testing.T, s *snapshot.Store, id snapshot.ID) string {
	t.Helper()
	dir := restored(t, s, id)
	var out []string
	m, err := s.Manifest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.Entries {
		if e.Kind == snapshot.File {
			b, err := os.ReadFile(filepath.Join(dir, e.Path))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e.Path+"="+string(b[:min(len(b), 10)]))
		} else {
			out = append(out, e.Path)
		}
	}
	return strings.Join(out, " ")
}

var plain = map[string]string{"a": "a0", "b": "b0", "d/x": "x0", "d/y": "y0", "large": noise(1, 9<<20)}

func TestStepsThatBeganWithTheSameFilesArePutTogether(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	base := after(t, s, "", plain)
	one := after(t, s, base, map[string]string{"a": "a1", "d": "-", "same": "s", "large": "-"})
	two := after(t, s, base, map[string]string{"b": "b2", "d/z": "z2", "same": "s", "large2": noise(2, 9<<20)})
	three := after(t, s, base, map[string]string{"out/bin": "bin"})
	id, err := s.Merge(t.Context(), base, []snapshot.ID{one, two, three})
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, s, id); got != "a=a1 b=b2 d d/z=z2 large2="+noise(2, 10)+" out out/bin=bin same=s" {
		t.Error(got)
	}
	if turned, err := s.Merge(t.Context(), base, []snapshot.ID{three, two, one}); turned != id || err != nil {
		t.Errorf("the other way round it is %s, %v", turned, err)
	}
	if same, err := s.Merge(t.Context(), base, nil); same != base || err != nil {
		t.Errorf("of nothing it is %s, %v", same, err)
	}
	if same, err := s.Merge(t.Context(), base, []snapshot.ID{base, one}); same != one || err != nil {
		t.Errorf("of one it is %s, %v", same, err)
	}
	if _, err := s.Merge(t.Context(), base, []snapshot.ID{"sha256:" + snapshot.ID(strings.Repeat("0", 64))}); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("of one that is not there: %v", err)
	}
}

func TestAPathThatTwoStepsHaveChangedIsAConflict(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	base := after(t, s, "", plain)
	for name, c := range map[string]struct {
		one, two map[string]string
		path     string
	}{
		"other texts":        {map[string]string{"a": "1"}, map[string]string{"a": "2"}, "a"},
		"changed, removed":   {map[string]string{"a": "1"}, map[string]string{"a": "-"}, "a"},
		"both new":           {map[string]string{"n": "1"}, map[string]string{"n": "2"}, "n"},
		"a file in a folder": {map[string]string{"n": "1"}, map[string]string{"n/m": "2"}, "n"},
		"a file for one":     {map[string]string{"d": "file"}, map[string]string{"d/new": "2"}, "d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := after(t, s, base, c.one), after(t, s, base, c.two)
			_, err := s.Merge(t.Context(), base, []snapshot.ID{one, two})
			var conflict *snapshot.Conflict
			if !errors.As(err, &conflict) || conflict.Path != c.path || conflict.One != one || conflict.Other != two || tasks.HintOf(err) == "" || !tasks.IsPermanent(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAStepsChangesAreGraftedOntoOtherFiles(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	from := after(t, s, "", plain)
	to := after(t, s, from, map[string]string{"d/out": "o", "b": "-", "bin/large": noise(5, 9<<20)})
	onto := after(t, s, from, map[string]string{"a": "other", "new/n": "n", "d/x": "-"})
	id, err := s.Graft(t.Context(), onto, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, s, id); got != "a=other bin bin/large="+noise(5, 10)+" d d/out=o d/y=y0 large="+noise(1, 10)+" new new/n=n" {
		t.Error(got)
	}
	if again, err := s.Graft(t.Context(), id, from, to); again != id || err != nil {
		t.Errorf("once more it is %s, %v", again, err)
	}
	if same, err := s.Graft(t.Context(), from, from, to); same != to || err != nil {
		t.Errorf("onto what it began with it is %s, %v", same, err)
	}
	differs := after(t, s, from, map[string]string{"b": "changed"})
	var conflict *snapshot.Conflict
	if _, err := s.Graft(t.Context(), differs, from, to); !errors.As(err, &conflict) || conflict.Path != "b" || conflict.One != differs || conflict.Other != to {
		t.Errorf("%v", err)
	}
}

func TestADigestOfGlobsDependsOnWhatFitsAlone(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	base := after(t, s, "", plain)
	other := after(t, s, base, map[string]string{"a": "other"})
	digest := func(id snapshot.ID, globs ...string) artifact.Digest {
		d, err := s.DigestOf(t.Context(), id, globs)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, globs := range [][]string{{"d"}, {"d/**"}, {"**/x", "b"}, {"nothing"}} {
		if digest(base, globs...) != digest(other, globs...) {
			t.Errorf("%q sees a", globs)
		}
	}
	for _, globs := range [][]string{nil, {"**"}, {"?"}, {"**/a"}} {
		if digest(base, globs...) == digest(other, globs...) {
			t.Errorf("%q does not see a", globs)
		}
	}
	if digest(base, "d") == digest(base, "b") || digest(base, "d") != digest(base, "d/*") {
		t.Error("digests are not of what fits")
	}
	if _, err := s.DigestOf(t.Context(), base, []string{"[a"}); err == nil {
		t.Error("a bad pattern is taken")
	}
}

func TestSweepKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	files, place := folder(t)
	s := snapshot.New(files, snapshot.Options{Prefix: "b"})
	base := after(t, s, "", plain)
	kept := after(t, s, base, map[string]string{"a": "kept"})
	after(t, s, base, map[string]string{"a": "gone"})
	age(t, files, place)
	young := after(t, s, base, map[string]string{"b": "young"})
	keep := func(yield func(snapshot.ID) error) error {
		return errors.Join(yield(kept), yield(""), yield(snapshot.ID("sha256:"+strings.Repeat("1", 64))))
	}
	if _, _, err := s.Sweep(t.Context(), keep, snapshot.MinSweepAge-1); err == nil {
		t.Error("an age is taken at which snapshots are being made")
	}
	removed, freed, err := s.Sweep(t.Context(), keep, snapshot.MinSweepAge)
	if err != nil || removed != 3 || freed == 0 { // two manifests, one layer
		t.Errorf("%d, %d, %v", removed, freed, err)
	}
	agent := snapshot.New(files, snapshot.Options{Prefix: "b"})
	for id, want := range map[snapshot.ID]string{kept: "a=kept", young: "b=young"} {
		if got := texts(t, agent, id); !strings.Contains(got, want) {
			t.Errorf("%s", got)
		}
	}
	stop := errors.New("stop")
	if n, _, err := s.Sweep(t.Context(), func(func(snapshot.ID) error) error { return stop }, snapshot.MinSweepAge); n != 0 || !errors.Is(err, stop) {
		t.Errorf("%d, %v", n, err)
	}
}

// Files that are captured again make the objects of long ago young: a Sweep that goes on must not take them.
func TestWhatIsCapturedAgainIsYoungAgain(t *testing.T) {
	t.Parallel()
	files, place := folder(t)
	dir := t.TempDir()
	tree(t, dir, plain)
	id, _ := capture(t, snapshot.New(files, snapshot.Options{}), dir, snapshot.CaptureOptions{})
	age(t, files, place)
	agent := snapshot.New(files, snapshot.Options{})
	if again, _ := capture(t, agent, dir, snapshot.CaptureOptions{}); again != id {
		t.Errorf("%s, want %s", again, id)
	}
	if removed, _, err := agent.Sweep(t.Context(), func(func(snapshot.ID) error) error { return nil }, snapshot.MinSweepAge); removed != 0 || err != nil {
		t.Errorf("%d, %v", removed, err)
	}
	restored(t, snapshot.New(files, snapshot.Options{}), id)
}
