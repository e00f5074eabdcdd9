package tools_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/stint-run/stint/tasks/builder/tools"
)

// FuzzAnyArchiveStaysInItsFolder holds that whatever is unpacked writes nothing beside its folder, has no link that leads out of it, and is
// not larger than an archive of its size may be, in memory and on the disk.
func FuzzAnyArchiveStaysInItsFolder(f *testing.F) {
	tree := append([]file{}, hello...)
	tree = append(tree, file{name: "go/l", kind: tar.TypeSymlink, link: "bin/hello"}, file{name: "go/h", kind: tar.TypeLink, link: "go/bin/hello"}, file{name: "go/bin/up", kind: tar.TypeSymlink, link: ".."})
	seeds := map[string][][]byte{"tar": {tarred(f, tree...), tarred(f, file{name: "../x", text: "x"}), tarred(f, file{name: "a", kind: tar.TypeSymlink, link: ".."}, file{name: "a/x", text: "x"}), tarred(f, file{name: "d", kind: tar.TypeSymlink, link: "d"})},
		"zip": {zipped(f, tree[1:3]...), zipped(f, file{name: "/x", text: "x"}, file{name: "a", kind: tar.TypeSymlink, link: "../../x"})}}
	plain := seeds["tar"][0]
	seeds["tar.gz"] = [][]byte{packed(f, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }, plain)}
	seeds["tar.zst"] = [][]byte{packed(f, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }, plain)}
	seeds["tar.xz"] = [][]byte{packed(f, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }, plain)}
	if bz, err := base64.StdEncoding.DecodeString(bzip2Hello); err == nil {
		seeds["tar.bz2"] = [][]byte{bz}
	}
	for i, of := range tools.Formats() {
		if len(seeds[of]) == 0 {
			f.Fatal("no seeds of ", of)
		}
		for _, data := range append(seeds[of], nil, []byte("PK\x05\x06")) {
			f.Add(i, 0, data)
			f.Add(i, 1, data)
		}
	}
	f.Fuzz(func(t *testing.T, of, strip int, data []byte) {
		if of < 0 || of >= len(tools.Formats()) || strip < 0 || len(data) > 64<<10 {
			t.Skip()
		}
		dir := t.TempDir()
		unlockAfter(t, dir)
		ws := filepath.Join(dir, "ws")
		archive := filepath.Join(dir, "archive")
		if os.Mkdir(ws, 0o755) != nil || os.WriteFile(archive, data, 0o600) != nil {
			t.Fatal("no folder")
		}
		root, err := os.OpenRoot(ws)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		s := tools.New(tools.Options{Dir: dir, OS: "linux", Arch: "amd64"})
		s.Limit(1<<20, 4<<20, 200, 100, 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		things, size, err := s.Unpack(t.Context(), tools.Formats()[of], strip, archive, root)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 320<<20 { // a window of 256 MiB may be asked for
			t.Errorf("%d bytes of %s made %d in memory", len(data), tools.Formats()[of], made)
		}
		if err == nil && (things == 0 || things > 200 || size > 4<<20) {
			t.Errorf("%d things of %d bytes", things, size)
		}
		entries, _ := os.ReadDir(dir)
		if len(entries) != 2 {
			t.Errorf("there is %v beside the folder", entries)
		}
		real, _ := filepath.EvalSymlinks(ws)
		_ = filepath.WalkDir(ws, func(name string, d fs.DirEntry, _ error) error {
			if d != nil && d.Type()&fs.ModeSymlink != 0 && err == nil {
				if to, bad := filepath.EvalSymlinks(name); bad == nil && to != real && !strings.HasPrefix(to, real+"/") {
					t.Errorf("%s leads to %s", name, to)
				}
			}
			if d != nil && d.Type()&^(fs.ModeSymlink|fs.ModeDir) != 0 {
				t.Errorf("%s is a %s", name, d.Type())
			}
			return nil
		})
		if len(data) > 0 && bytes.Count(data, data[:1]) == len(data) && err == nil {
			t.Errorf("%d times %q is an archive", len(data), data[0])
		}
	})
}

func unlockAfter(t *testing.T, dir string) { t.Cleanup(func() { unlocked(t, dir) }) }
