package flatfile_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
)

// FuzzASqueezedFileIsBoundedInMemory holds that compressed files, in any encoding, are rows or an error, the same in chunks, and that a small
// one makes no large one in memory.
func FuzzASqueezedFileIsBoundedInMemory(f *testing.F) {
	encodings := []string{"auto", "utf-16le", "utf-16be", "cp1252", "cp437", "shift_jis", "gb18030", "big5", "euc-kr", "iso-8859-15", "koi8-r", "ascii"}
	for i := range encodings {
		for _, text := range []string{"a,b\n1,2\n", "a\n\"x\n", "\xff\xfea\x00\n\x001\x00", "\x83\x5c,b\n\x81\n", strings.Repeat("x", 300_000)} {
			f.Add([]byte(gzipped(f, text)), i, true)
			f.Add([]byte(zstandard(f, text)), i, false)
		}
	}
	f.Add([]byte(gzipped(f, "a\n1\n")+gzipped(f, "2\n")), 0, true)
	f.Add([]byte("\x1f\x8b"), 0, true)
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\xff\xff\xff\xff"), 0, false)
	f.Fuzz(func(t *testing.T, data []byte, encoding int, gzip bool) {
		if encoding < 0 || encoding >= len(encodings) || len(data) > 16<<10 {
			t.Skip()
		}
		name := "t.csv.zst"
		if gzip {
			name = "t.csv.gz"
		}
		src, err := tryOpen("csv:" + folder(t, map[string]string{name: string(data)}) + "?row_bytes=65536&encoding=" + encodings[encoding])
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := src.Schema(context.Background())
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 320<<20 { // a window of 128 MiB may be asked for, as zstd --long does
			t.Errorf("%d bytes made %d", len(data), made)
		}
		if err != nil || len(s.Tables) == 0 || s.Tables[0].Rows > 100 {
			return
		}
		if err := checkChunks(src, &s.Tables[0], 2, 2); err != nil && !strings.Contains(err.Error(), "t.csv") {
			t.Error(err)
		}
	})
}
