package artifact_test

import (
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
)

// It is the only test of its package that does not run beside others: they would be in its measure.
func TestTwoHundredMegabytesGoThroughInConstantMemory(t *testing.T) {
	const size, bound = 200 << 20, 40 << 20
	for _, name := range []string{"folder", "s3"} {
		t.Run(name, func(t *testing.T) {
			s := stores[name](t)
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			g := &generated{left: size}
			for i := range g.block {
				g.block[i] = byte(rand.Uint32())
			}
			info, err := s.Put(t.Context(), "large", g, artifact.PutOptions{IfAbsent: true, Size: size})
			if err != nil || info.Size != size {
				t.Fatalf("%+v, %v", info, err)
			}
			if grown := int64(g.largest) - int64(before.HeapAlloc); grown > bound {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
			r, _, err := s.Get(t.Context(), "large", 0)
			if err != nil {
				t.Fatal(err)
			}
			digest, n, err := artifact.ReadDigest(struct{ io.Reader }{r})
			if err != nil || n != size || digest != info.Digest {
				t.Errorf("read %d bytes, %s, %v; want %s", n, digest, err, info.Digest)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
