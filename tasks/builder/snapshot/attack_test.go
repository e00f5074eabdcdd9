package snapshot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// victim is a store whose folder an attacker can write to.
type victim struct {
	testing.TB
	*snapshot.Store
	files artifact.Store
	place string
}

func newVictim(t testing.TB) *victim {
	files, place := folder(t)
	return &victim{t, snapshot.New(files, snapshot.Options{MaxFiles: 1000, MaxBytes: 64 << 20}), files, place}
}

// fresh is an agent that has no copy of anything.
func (v *victim) fresh() *snapshot.Store {
	return snapshot.New(v.files, snapshot.Options{MaxFiles: 1000, MaxBytes: 64 << 20})
}

func (v *victim) manifestFile(id snapshot.ID) string {
	return filepath.Join(v.place, "snapshots", strings.TrimPrefix(string(id), "sha256:")+".zst")
}

func (v *victim) write(file string, b []byte) {
	v.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, b, 0o644)); err != nil {
		v.Fatal(err)
	}
}

func packed(text string) []byte {
	enc, _ := zstd.NewWriter(nil)
	defer enc.Close()
	return enc.EncodeAll([]byte(text), nil)
}

func unpacked(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dec, _ := zstd.NewReader(nil)
	defer dec.Close()
	text, err := dec.DecodeAll(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// forge puts a manifest of lines under the ID that they have: one that an attacker can compute.
func (v *victim) forge(lines ...string) snapshot.ID {
	v.Helper()
	id := snapshot.Identify(lines)
	v.write(v.manifestFile(id), packed("stint-snapshot 1\n"+strings.Join(lines, "\n")+"\n"))
	return id
}

// refuses restores a snapshot to a folder of its own and wants ErrDamaged, nothing in the folder, and nothing beside it.
func (v *victim) refuses(id snapshot.ID, say string) {
	v.Helper()
	home := v.TempDir()
	_, err := v.fresh().Restore(v.Context(), id, filepath.Join(home, "sub", "ws"))
	if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), say) || tasks.HintOf(err) == "" {
		v.Errorf("%v; want it to say %q", err, say)
	}
	_ = filepath.WalkDir(home, func(at string, d fs.DirEntry, err error) error {
		if err == nil && at != home && at != filepath.Join(home, "sub") {
			v.Errorf("there is %s", at)
		}
		return nil
	})
}

const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func emptyFile(path string) string { return "f 644 0 0 " + emptyDigest + " 0 0 " + path }

func TestAttackZipSlipByTheNamesOfAManifest(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"../evil", "/evil", "a/../../evil", "a/./b", "a//b", "a/", ".", "..", ".git/config", "sub/.GIT/hooks/post-checkout", strings.Repeat("x", 300), "zero%00byte"} {
		v := newVictim(t)
		v.refuses(v.forge("d 755 0 a", emptyFile(p)), "path")
	}
}

func TestAttackSymlinkThatLeadsOut(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"to the root":            {"l / out"},
		"to the folder above":    {"l .. out"},
		"through a folder":       {"d 755 0 a", "l ../../etc a/out"},
		"over another link":      {"d 755 0 a", "d 755 0 a/b", "l b a/c", "l c/../../.. a/out"},
		"over a link upwards":    {"d 755 0 d", "l s/../../x d/out", "l .. d/s"},
		"absolute behind a link": {"l b a", "l /etc b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			v.refuses(v.forge(lines...), "leads out")
		})
	}
}

func TestAttackFileThroughALink(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.refuses(v.forge("d 755 0 a", "l a link", emptyFile("link/evil")), "is in no folder")
	v.refuses(v.forge("l a f", emptyFile("f")), "order of paths")
	v.refuses(v.forge(emptyFile("file"), emptyFile("file/below")), "is in no folder")
}

func TestAttackManifestReplaced(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": "good"})
	good, _ := capture(t, v.Store, dir, snapshot.CaptureOptions{})
	text := unpacked(t, v.manifestFile(good))
	for name, b := range map[string][]byte{
		"another one": packed("stint-snapshot 1\n" + emptyFile("a") + "\n"), "empty": {}, "no zstd": []byte("hello"), "cut": packed(text)[:20], "no end": packed(strings.TrimSuffix(text, "\n")),
		"setuid": packed(strings.Replace(text, "f 644", "f 4644", 1)), "another kind": packed(strings.Replace(text, "f 644", "p 644", 1)),
		"mode": packed(strings.Replace(text, "f 644", "f 755", 1)), "frame": packed(strings.Replace(text, "frame 0 0", "frame 0 9", 1)), "object": packed(strings.Replace(text, "frame 0", "frame 1", 1)),
		"more words": packed(strings.Replace(text, "object ", "object  ", 1)), "version": packed(strings.Replace(text, "snapshot 1", "snapshot 2", 1)),
	} {
		v.write(v.manifestFile(good), b)
		v.refuses(good, "manifest")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	// Who captures the same files again puts the right one back.
	if again, _ := capture(t, v.fresh(), dir, snapshot.CaptureOptions{}); again != good {
		t.Errorf("%s, want %s", again, good)
	}
	restored(t, v.fresh(), good)
}

// layer returns the one layer of a store.
func (v *victim) layer() string {
	v.Helper()
	list, err := filepath.Glob(filepath.Join(v.place, "layers", "*"))
	if err != nil || len(list) != 1 {
		v.Fatalf("%q, %v", list, err)
	}
	return list[0]
}

func TestAttackLayerReplaced(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{"small": {"a": "good text", "b": "more text"}, "large": {"a": noise(1, 9<<20)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			dir := t.TempDir()
			tree(t, dir, files)
			good, _ := capture(t, v.Store, dir, snapshot.CaptureOptions{})
			right, err := os.ReadFile(v.layer())
			if err != nil {
				t.Fatal(err)
			}
			flipped := bytes.Clone(right)
			flipped[len(flipped)/2] ^= 1
			evil := bytes.Repeat([]byte("evil"), len(right))
			for _, b := range [][]byte{flipped, evil, right[:len(right)/2], {}} {
				v.write(v.layer(), b)
				v.refuses(good, "the layer")
				r, _, err := v.fresh().Open(t.Context(), good, "a")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); !errors.Is(err, snapshot.ErrDamaged) {
					t.Errorf("Open: %v", err)
				}
				_ = r.Close()
			}
			// Who captures the same files again puts the right bytes back.
			capture(t, v.fresh(), dir, snapshot.CaptureOptions{})
			restored(t, v.fresh(), good)
			if err := os.Remove(v.layer()); err != nil {
				t.Fatal(err)
			}
			if _, err := v.fresh().Restore(t.Context(), good, filepath.Join(t.TempDir(), "x")); !errors.Is(err, artifact.ErrNotFound) || tasks.HintOf(err) == "" {
				t.Errorf("without the layer: %v", err)
			}
		})
	}
}

// A content of the right size and checksum of zstd, with other bytes, is found by its digest.
func TestAttackEntryWithOtherBytes(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": "aaaaaaaa", "b": "bbbbbbbb"})
	good, _ := capture(t, v.Store, dir, snapshot.CaptureOptions{})
	text := unpacked(t, v.manifestFile(good))
	swapped := strings.NewReplacer(" 0 0 a\n", " 0 8 a\n", " 0 8 b\n", " 0 0 b\n").Replace(text)
	if swapped == text {
		t.Fatalf("nothing to swap in\n%s", text)
	}
	v.write(v.manifestFile(good), packed(swapped))
	v.refuses(good, "the content of")
}

// bomb puts a layer that somebody has made, and a manifest of one file in it.
func (v *victim) bomb(layer []byte, raw int) snapshot.ID {
	d := artifact.DigestOf(layer)
	v.write(filepath.Join(v.place, "layers", d.Hex()+".zst"), layer)
	return v.forge(fmt.Sprintf("object %s %d", d.Hex(), len(layer)), fmt.Sprintf("frame 0 0 %d %d 0", len(layer), raw), fmt.Sprintf("f 644 0 %d %s 0 0 a", raw, d.Hex()))
}

func TestAttackDecompressionBomb(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.refuses(v.bomb(packed(strings.Repeat("\x00", 100<<20)), 1000), "cannot be unpacked")
	v.refuses(v.bomb(packed("less than it says"), 1000), "cannot be unpacked")
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 19 << 3, 1<<3 | 1, 0, 0, 'x'} // one byte, in a window of 512 MiB
	v.refuses(v.bomb(window, 1), "cannot be unpacked")
	id := v.forge(emptyFile("a"))
	v.write(v.manifestFile(id), packed("stint-snapshot 1\n"+strings.Repeat("d 755 0 x\n", 10<<20)))
	if _, err := v.fresh().Restore(t.Context(), id, filepath.Join(t.TempDir(), "x")); !errors.Is(err, snapshot.ErrTooLarge) {
		t.Errorf("a manifest of 100 MB: %v", err)
	}
	if _, err := v.fresh().Restore(t.Context(), v.forge("f 644 0 9000000000000000000 "+emptyDigest+" 0 0 a"), filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("a file of 9 EB is taken")
	}
}

func TestAttackMoreFilesThanAManifestMayHave(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	var lines []string
	for i := range 1001 {
		lines = append(lines, emptyFile(fmt.Sprintf("f%04d", i)))
	}
	if _, err := v.fresh().Manifest(t.Context(), v.forge(lines...)); !errors.Is(err, snapshot.ErrTooLarge) || tasks.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
}

// Frames of one content are no others': else one of two files would be left out, or many would be open at once.
func TestAttackContentsThatOverlap(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	layer := packed("x")
	d := artifact.DigestOf(layer).Hex()
	v.write(filepath.Join(v.place, "layers", d+".zst"), layer)
	head := []string{fmt.Sprintf("object %s %d", d, len(layer)), fmt.Sprintf("frame 0 0 %d 1 0", len(layer)), fmt.Sprintf("frame 0 0 %d 1 0", len(layer)), fmt.Sprintf("frame 0 0 %d 1 0", len(layer))}
	file := func(size, frame, at int, name string) string {
		return fmt.Sprintf("f 644 0 %d %s %d %d %s", size, d, frame, at, name)
	}
	for _, files := range [][]string{{file(2, 0, 0, "a"), file(2, 1, 0, "b")}, {file(2, 0, 0, "a"), file(3, 0, 0, "b")}, {file(2, 0, 0, "a"), file(1, 0, 0, "b")}, {file(1, 1, 0, "a"), file(2, 0, 0, "b")}} {
		v.refuses(v.forge(append(head, files...)...), "frames of another")
	}
	v.refuses(v.forge(append(head, file(4, 0, 0, "a"))...), "in its frames")
	v.refuses(v.forge(append(head, file(1, 0, 1, "a"))...), "in its frames")
}

func TestAttackNamesThatAreNoIDs(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for _, id := range []snapshot.ID{"sha256:", "x", "sha256:../../../../etc/passwd", snapshot.ID("sha256:" + strings.Repeat("A", 64)), snapshot.ID("sha256:" + strings.Repeat("a", 65))} {
		v.refuses(id, "no name of a snapshot")
	}
}

func TestWhatCannotTravelIsNamed(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(dir string) error{
		`pipe\n`: func(dir string) error { return mkfifo(filepath.Join(dir, "pipe\n")) },
		"socket": func(dir string) error {
			l, err := net.Listen("unix", filepath.Join(dir, "socket"))
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		},
		"out":  func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "out")) },
		"up":   func(dir string) error { return os.Symlink("..", filepath.Join(dir, "up")) },
		"over": func(dir string) error { tree(t, dir, map[string]string{"d/s": "->..", "over": "->d/s/.."}); return nil },
	} {
		dir, err := os.MkdirTemp("", "snap") // short: a socket's path has at most 100 bytes
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		s := newStore(t)
		if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{}); !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(err.Error(), `"`+name) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{Exclude: []string{"pipe*", "socket", "out", "up", "over"}}); err != nil {
			t.Errorf("%s, excluded: %v", name, err)
		}
	}
}

func TestAHardLinkBecomesAFileOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": "x"})
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{})
	back := restored(t, s, id)
	tree(t, back, map[string]string{"a": "changed"})
	if b, err := os.ReadFile(filepath.Join(back, "b")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}
