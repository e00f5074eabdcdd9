package snapshot_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// FuzzAnyManifestIsReadAsItWouldBeWrittenOrRefused holds that what is read as a manifest is written as the same text, that its paths stay
// within the tree, and that a small one makes no large one in memory.
func FuzzAnyManifestIsReadAsItWouldBeWrittenOrRefused(f *testing.F) {
	s := newStore(f)
	const head = "stint-snapshot 1\n"
	object := "object " + emptyDigest + " 100\nframe 0 0 50 60 7\nframe 0 50 50 60 7\n"
	for _, seed := range []string{"", head, head + emptyFile("a") + "\n", head + object + "d 755 1 a\nf 644 -1 10 " + emptyDigest + " 0 5 a/b%20c\nl a/b%20c x\n", head + object + "f 644 0 120 " + emptyDigest + " 0 0 a\n", head + object + "f 644 0 9000000000 " + emptyDigest + " 1 59 a\n", head + "l .. a\n", head + "l %2e. a\nd 755 0 a/b\n", head + "f 644 0 0 " + emptyDigest + " 0 0 ../a\n", head + "frame 0 0 0 1 1\n", head + "object x 1\n", head + "d 1777 0 a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		again, m, err := s.Reparse(text)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 1<<20+500*uint64(len(text)) {
			t.Errorf("%d bytes made %d", len(text), made)
		}
		if err != nil {
			return
		}
		if twice, _, err := s.Reparse(again); err != nil || twice != again {
			t.Errorf("%q was written as %q, and then %q: %v", text, again, twice, err)
		}
		for _, e := range m.Entries {
			if !fs.ValidPath(strings.ToValidUTF8(e.Path, "?")) || e.Path == "." || strings.Contains(e.Path, "\x00") || e.Mode&^0o777 != 0 || e.Size < 0 {
				t.Errorf("%q has %+v", text, e)
			}
		}
	})
}

// FuzzAnyBytesOfASnapshotAreNoMoreThanDamaged holds that whatever lies in a store in the place of a manifest, or of a layer, is what was
// captured or ErrDamaged, and that nothing of it is left behind.
func FuzzAnyBytesOfASnapshotAreNoMoreThanDamaged(f *testing.F) {
	build := func(t testing.TB) (*victim, snapshot.ID, string) {
		v := newVictim(t)
		ws := t.TempDir()
		tree(t, ws, map[string]string{"a": "one", "b/c": strings.Repeat("two", 500), "l": "->a"})
		id, _, err := v.Capture(t.Context(), ws, snapshot.CaptureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return v, id, v.layer()
	}
	v, id, layer := build(f)
	for _, file := range []string{v.manifestFile(id), layer} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file == layer, b)
		f.Add(file == layer, b[:len(b)/2])
		f.Add(file == layer, append(b, 0))
	}
	f.Add(false, packed("stint-snapshot 1\n"))
	f.Add(true, []byte{})
	f.Fuzz(func(t *testing.T, isLayer bool, b []byte) {
		v, id, layer := build(t)
		at := v.manifestFile(id)
		if isLayer {
			at = layer
		}
		v.write(at, b)
		to := filepath.Join(t.TempDir(), "ws")
		_, err := v.fresh().Restore(t.Context(), id, to)
		if err != nil {
			if !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("%v", err)
			}
			return
		}
		for name, text := range map[string]string{"a": "one", "b/c": strings.Repeat("two", 500), "l": "one"} {
			if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != text {
				t.Errorf("%s is %q, %v", name, got, err)
			}
		}
	})
}
