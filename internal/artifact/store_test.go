package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/s3test"
)

// stores are all there are; each test of this file holds for every one.
var stores = map[string]func(t *testing.T) artifact.Store{
	"folder": func(t *testing.T) artifact.Store { return folder(t, t.TempDir()) },
	"s3":     func(t *testing.T) artifact.Store { return bucket(t, nil) },
	"s3 below a prefix": func(t *testing.T) artifact.Store {
		return bucket(t, func(o *artifact.S3Options) { o.Prefix = "Team/a" })
	},
}

func each(t *testing.T, test func(t *testing.T, s artifact.Store)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func folder(t *testing.T, dir string) *artifact.Folder {
	t.Helper()
	f, err := artifact.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// bucket returns the store of a fresh bucket. Parts are as small as can be.
func bucket(t *testing.T, change func(*artifact.S3Options)) *artifact.S3 {
	t.Helper()
	server, name := s3test.New(t)
	o := artifact.S3Options{Bucket: name, Endpoint: server.Endpoint, PathStyle: true, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PartSize: 5 << 20}
	if change != nil {
		change(&o)
	}
	s, err := artifact.NewS3(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, s artifact.Store, key, content string) artifact.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, strings.NewReader(content), artifact.PutOptions{})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return info
}

func get(t *testing.T, s artifact.Store, key string, offset int64) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), key, offset)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return string(b)
}

func keys(infos []artifact.Info) []string {
	var out []string
	for _, i := range infos {
		out = append(out, i.Key)
	}
	return out
}

func list(t *testing.T, s artifact.Store, prefix, after string, limit int) []string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix, after, limit)
	if err != nil {
		t.Fatalf("list %q after %q: %v", prefix, after, err)
	}
	return keys(infos)
}

func TestWhatWasPutIsReadWholeAndFromAnOffset(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		want := "0123456789"
		info := put(t, s, "a/b.txt", want)
		if info.Key != "a/b.txt" || info.Size != 10 || info.Digest != artifact.DigestOf([]byte(want)) {
			t.Errorf("put says %+v", info)
		}
		for _, offset := range []int64{0, 1, 9, 10} {
			if got := get(t, s, "a/b.txt", offset); got != want[offset:] {
				t.Errorf("from %d: got %q", offset, got)
			}
		}
		for _, offset := range []int64{-1, 11} {
			if _, _, err := s.Get(t.Context(), "a/b.txt", offset); err == nil || errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("from %d: %v", offset, err)
			}
		}
		there, err := s.Stat(t.Context(), "a/b.txt")
		if err != nil || there.Size != 10 || time.Since(there.Modified).Abs() > time.Hour || there.Digest != "" && there.Digest != info.Digest {
			t.Errorf("stat says %+v, %v", there, err)
		}
		put(t, s, "a/b.txt", "")
		if got := get(t, s, "a/b.txt", 0); got != "" {
			t.Errorf("replaced by nothing: got %q", got)
		}
	})
}

func TestWhatIsNotThereIsNotFoundAndDeletedAlready(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		missing := func(key string) {
			t.Helper()
			if _, err := s.Stat(t.Context(), key); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("stat %s: %v", key, err)
			}
			if _, _, err := s.Get(t.Context(), key, 0); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("get %s: %v", key, err)
			}
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("delete %s: %v", key, err)
			}
		}
		missing("a/b")
		if got := list(t, s, "", "", 10); len(got) != 0 {
			t.Errorf("an empty store lists %v", got)
		}
		put(t, s, "a/b", "x")
		missing("a/c")
		missing("a") // a folder of the file system is no artifact
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
		missing("a/b")
		put(t, s, "a", "where a folder was")
	})
}

func TestListsAreInTheOrderOfBytesAndGoOnAfterAKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		all := []string{"a-b", "a.b", "a/b", "a/c/d", "a/c/e", "a0", "b/1", "b/10", "b/2", "~/z"}
		slices.Sort(all)
		for _, i := range rand.Perm(len(all)) {
			put(t, s, all[i], all[i])
		}
		for _, prefix := range []string{"", "a", "a/", "a/c", "a/c/", "a/c/d", "b/1", "c", "zz"} {
			var want []string
			for _, k := range all {
				if strings.HasPrefix(k, prefix) {
					want = append(want, k)
				}
			}
			if got := list(t, s, prefix, "", 100); !slices.Equal(got, want) {
				t.Errorf("below %q: got %v, want %v", prefix, got, want)
			}
			var paged []string
			for after := ""; ; {
				page := list(t, s, prefix, after, 3)
				paged = append(paged, page...)
				if len(page) < 3 {
					break
				}
				after = page[2]
			}
			if !slices.Equal(paged, want) {
				t.Errorf("below %q by pages: got %v, want %v", prefix, paged, want)
			}
		}
		if got := list(t, s, "", "a/bb", 2); !slices.Equal(got, []string{"a/c/d", "a/c/e"}) {
			t.Errorf("after a key that is not there: %v", got)
		}
	})
}

func TestOfManyWritersWithIfAbsentOneWins(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		var won atomic.Int64
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				content := strings.Repeat(fmt.Sprint(i), 1000+i)
				info, err := s.Put(t.Context(), "k/x", strings.NewReader(content), artifact.PutOptions{IfAbsent: true})
				switch {
				case err == nil:
					won.Add(1)
					winner.Store(content)
				case !errors.Is(err, artifact.ErrExists):
					t.Errorf("writer %d: %v", i, err)
				}
				if info.Digest != artifact.DigestOf([]byte(content)) {
					t.Errorf("writer %d is told %+v", i, info)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d writers won", won.Load())
		}
		if got := get(t, s, "k/x", 0); got != winner.Load() {
			t.Error("what is there is not what the winner wrote")
		}
	})
}

func TestPutOnceTakesTheSameBytesForASuccessAndOthersNot(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		large := strings.Repeat("0123456789abcdef", 700_000) // of three parts
		for _, content := range []string{"", "small", large} {
			key := fmt.Sprintf("once/%d", len(content))
			for try := range 2 {
				info, err := artifact.PutOnce(t.Context(), s, key, strings.NewReader(content), artifact.PutOptions{})
				if err != nil || info.Digest != artifact.DigestOf([]byte(content)) || info.Size != int64(len(content)) {
					t.Fatalf("try %d of %s: %+v, %v", try, key, info, err)
				}
			}
			if _, err := artifact.PutOnce(t.Context(), s, key, strings.NewReader(content+"!"), artifact.PutOptions{}); !errors.Is(err, artifact.ErrDigest) {
				t.Errorf("other bytes for %s: %v", key, err)
			}
			if get(t, s, key, 0) != content {
				t.Errorf("%s has been replaced", key)
			}
			if err := artifact.Verify(t.Context(), s, key, artifact.DigestOf([]byte(content)), int64(len(content))); err != nil {
				t.Error(err)
			}
			if err := artifact.Verify(t.Context(), s, key, artifact.DigestOf([]byte("x")), -1); !errors.Is(err, artifact.ErrDigest) {
				t.Errorf("verify by another digest: %v", err)
			}
		}
	})
}

func TestAPutThatFailsLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		broken := errors.New("the source broke")
		cancelled, cancel := context.WithCancelCause(t.Context())
		cancel(broken)
		promise := artifact.DigestOf([]byte("something else"))
		for _, size := range []int{100, 12 << 20} {
			content := bytes.Repeat([]byte("x"), size)
			key := fmt.Sprintf("fails/%d", size)
			put(t, s, key, "as it was")
			for name, c := range map[string]struct {
				ctx  context.Context
				r    io.Reader
				o    artifact.PutOptions
				want error
			}{
				"broken":    {t.Context(), io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), artifact.PutOptions{}, broken},
				"cancelled": {cancelled, bytes.NewReader(content), artifact.PutOptions{}, broken},
				"digest":    {t.Context(), bytes.NewReader(content), artifact.PutOptions{Digest: promise}, artifact.ErrDigest},
				"too large": {t.Context(), bytes.NewReader(content), artifact.PutOptions{MaxBytes: int64(size) - 1}, artifact.ErrTooLarge},
			} {
				if _, err := s.Put(c.ctx, key, c.r, c.o); !errors.Is(err, c.want) {
					t.Errorf("%s of %d bytes: %v", name, size, err)
				}
				c.o.IfAbsent = true
				if _, err := s.Put(c.ctx, "fails/absent", iotest.ErrReader(broken), c.o); err == nil {
					t.Errorf("%s of %d bytes, if absent: no error", name, size)
				}
			}
			if got := get(t, s, key, 0); got != "as it was" {
				t.Errorf("%s now has %d bytes", key, len(got))
			}
			if _, err := s.Put(t.Context(), key, bytes.NewReader(content), artifact.PutOptions{MaxBytes: int64(size), Digest: artifact.DigestOf(content)}); err != nil {
				t.Errorf("within the bound: %v", err)
			}
		}
		if got := list(t, s, "", "", 10); !slices.Equal(got, []string{"fails/100", "fails/12582912"}) {
			t.Errorf("there are %v", got)
		}
		if n, err := s.Clean(t.Context(), 0); n != 0 || err != nil {
			t.Errorf("%d remains, %v", n, err)
		}
	})
}

func TestKeysThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", ".tmp/x", "a/.b", "a.", "A", "ä", "a b", "a\\b", "a\x00",
			"con", "a/nul", "aux.txt", "lpt1.csv", "c:", strings.Repeat("a", 121), strings.Repeat("a/", 256) + "a"} {
			if _, err := s.Put(t.Context(), key, strings.NewReader("x"), artifact.PutOptions{}); err == nil {
				t.Errorf("%q can be put", key)
			}
			if _, _, err := s.Get(t.Context(), key, 0); err == nil || errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("%q can be asked for: %v", key, err)
			}
			if err := s.Delete(t.Context(), key); err == nil {
				t.Errorf("%q can be deleted", key)
			}
		}
		long := strings.Repeat(strings.Repeat("a", 100)+"/", 4) + "b"
		put(t, s, long, "x")
		if got := get(t, s, long, 0); got != "x" {
			t.Errorf("a long key: %q", got)
		}
	})
}

func TestConcatReadsArtifactsAsOne(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		put(t, s, "p/1", "one ")
		put(t, s, "p/2", "")
		put(t, s, "p/3", "three")
		r := artifact.Concat(t.Context(), s, []string{"p/1", "p/2", "p/3"})
		info, err := s.Put(t.Context(), "whole", r, artifact.PutOptions{})
		if err != nil || get(t, s, "whole", 0) != "one three" || info.Digest != artifact.DigestOf([]byte("one three")) {
			t.Errorf("%+v, %v", info, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(artifact.Concat(t.Context(), s, []string{"p/1", "p/4"})); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("a part is missing: %v", err)
		}
	})
}

func TestTheProbeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s artifact.Store) {
		p, err := artifact.Probe(t.Context(), s)
		if err != nil || !p.Once || p.Took <= 0 {
			t.Errorf("%+v, %v", p, err)
		}
		if got := list(t, s, "", "", 10); len(got) != 0 {
			t.Errorf("left %v", got)
		}
	})
}

// generated gives so many bytes, and notes the largest heap while it does.
type generated struct {
	left    int64
	block   [64 << 10]byte
	reads   int
	largest uint64
}

func (g *generated) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, g.block[:min(g.left, int64(len(g.block)))])
	g.left -= int64(n)
	if g.reads++; g.reads%256 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		g.largest = max(g.largest, m.HeapAlloc)
	}
	return n, nil
}
