package datasets

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
)

// FuzzAnArchiveIsRowsOrDamaged holds that whatever lies in the place of an archive is rows of as many cells as it has columns, or an error,
// and that a small one makes no large one in memory before its digest is known.
func FuzzAnArchiveIsRowsOrDamaged(f *testing.F) {
	const header = `{"stint":"deletion","version":1,"dialect":"sqlite","table":"t","columns":[{"name":"a","type":"bigint"},{"name":"b","type":"text"}],"job":"j1","customer":"7","database":"d","part":1}` + "\n"
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = enc.Close() })
	for _, text := range []string{header + "i7\ttx\\ty\n\\N\tr0.1\n", header, header + "i7\n", header + "\t\n", header + "x1\tb0g\n", header + "i7\ttx", strings.Replace(header, `:1}`, `:2}`, 1), "{}\n", "", strings.Repeat("x", 100_000)} {
		f.Add(enc.EncodeAll([]byte(text), nil), text)
	}
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\xf8\x00"), "")
	f.Add(enc.EncodeAll(bytes.Repeat([]byte{'x'}, 20<<20), nil), "")
	f.Fuzz(func(t *testing.T, packed []byte, text string) {
		files, err := artifact.NewFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = files.Close() }()
		for _, b := range [][]byte{packed, enc.EncodeAll([]byte(text), nil)} {
			info, err := files.Put(t.Context(), "a.zst", bytes.NewReader(b), artifact.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			p := Part{Job: "j1", Set: ID{Customer: "7", Database: "d"}, Number: 1, Table: "t", Key: "a.zst", Size: info.Size, Digest: string(artifact.DigestOf(b))}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			a, err := openArchive(t.Context(), files, p)
			runtime.ReadMemStats(&after)
			if made := after.TotalAlloc - before.TotalAlloc; made > 128<<20 {
				t.Errorf("%d bytes made %d", len(b), made)
			}
			if err != nil {
				continue
			}
			cells := make([][]byte, len(a.header.Columns))
			for err == nil && len(cells) > 0 {
				if err = a.readRow(cells); err != nil {
					break
				}
				for _, cell := range cells {
					_, _ = readTagged(cell)
				}
			}
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				if err := a.verify(p); err != nil {
					t.Errorf("a whole archive is damaged: %v", err)
				}
			}
			a.close()
		}
	})
}

func TestAnArchiveWithoutAHeaderIsNotUnpackedToItsEnd(t *testing.T) {
	t.Parallel()
	files, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = enc.Close() })
	info, err := files.Put(t.Context(), "a.zst", bytes.NewReader(enc.EncodeAll(bytes.Repeat([]byte{'x'}, 64<<20), nil)), artifact.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openArchive(t.Context(), files, Part{Key: "a.zst", Size: info.Size}); err == nil || !strings.Contains(err.Error(), "its first line has more than") {
		t.Errorf("it is read: %v", err)
	}
}
