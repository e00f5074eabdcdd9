package filesink_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/filesink"
)

// The child writes what is not there yet of its steps, in batches whose size is its own, and ends.
const (
	childStore = "FILESINK_TEST_CHILD"
	childSize  = "FILESINK_TEST_BATCH"
	steps      = 4
	perStep    = 3000
)

func child() {
	address := os.Getenv(childStore)
	if address == "" {
		return
	}
	size, err := strconv.Atoi(os.Getenv(childSize))
	if err == nil {
		err = writeAll(address, size)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func writeAll(address string, size int) error {
	store, err := open(address)
	if err != nil {
		return err
	}
	s, err := filesink.New(store, filesink.Folder("J 1", "customers"), "c", idName(nil))
	if err != nil {
		return err
	}
	for step := range steps {
		at, end, seq := step*perStep, (step+1)*perStep, 0
		last, some, err := s.Resume(context.Background(), strconv.Itoa(step))
		if err != nil {
			return err
		}
		if some {
			seq = last.Seq + 1
			if at, err = strconv.Atoi(string(last.To)); err != nil {
				return err
			}
		}
		for ; at < end; seq++ {
			to := min(at+size, end)
			p, err := s.PutPart(context.Background(), batch(strconv.Itoa(step), seq, at, to), rows(at+1, to), nil)
			if err != nil {
				return err
			}
			if at, err = strconv.Atoi(string(p.To)); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestKilledAndRivalWritersLeaveEachRowOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, address string, store artifact.Store) {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		kills := 0
		var wg sync.WaitGroup
		for rival := range 2 {
			wg.Go(func() {
				life := time.Duration(20+7*rival) * time.Millisecond
				for run := 0; ; run++ {
					cmd := exec.CommandContext(t.Context(), program)
					cmd.Env = append(os.Environ(), childStore+"="+address, fmt.Sprintf("%s=%d", childSize, 20+rival*17+run%7))
					var output bytes.Buffer
					cmd.Stderr = &output
					if err := cmd.Start(); err != nil {
						t.Error(err)
						return
					}
					kill := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
					life += life / 8 // so that one comes to the end, on a busy machine too
					err := cmd.Wait()
					kill.Stop()
					if err == nil {
						return
					}
					if cmd.ProcessState.ExitCode() >= 0 {
						t.Errorf("writer %d: %v: %s", rival, err, &output)
						return
					}
					mu.Lock()
					kills++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if _, err := store.Clean(t.Context(), 0); err != nil {
			t.Error(err)
		}
		s := sink(t, store, idName(nil))
		m := finish(t, s)
		if got := ids(t, store, m); !slices.Equal(got, upTo(steps*perStep)) {
			t.Errorf("%d rows of %d", len(got), steps*perStep)
		}
		if err := s.Verify(t.Context(), m); err != nil {
			t.Error(err)
		}
		if got := len(keysBelow(t, store, "parts/")); got != len(m.Parts) {
			t.Errorf("%d artifacts for %d parts", got, len(m.Parts))
		}
		if kills == 0 {
			t.Error("nobody was killed")
		}
		t.Logf("%d kills, %d parts", kills, len(m.Parts))
	})
}

func keysBelow(t testing.TB, store artifact.Store, prefix string) []artifact.Info {
	t.Helper()
	list, err := store.List(t.Context(), filesink.Folder("J 1", "customers")+"/"+prefix, "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// It does not run beside others: they would be in its measure.
func TestAMillionRowsAreWrittenInConstantMemory(t *testing.T) {
	const total, size, bound = 1_000_000, 10_000, 48 << 20
	store, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := sink(t, store, idName(func(f *filesink.Format) { f.Compress, f.Single = "zstd", true }))
	runtime.GC()
	var before, m runtime.MemStats
	runtime.ReadMemStats(&before)
	largest := uint64(0)
	for seq := range total / size {
		putPart(t, s, "0", seq, seq*size, (seq+1)*size)
		runtime.ReadMemStats(&m)
		largest = max(largest, m.HeapAlloc)
	}
	manifest := finish(t, s)
	runtime.ReadMemStats(&m)
	largest = max(largest, m.HeapAlloc)
	if grown := int64(largest) - int64(before.HeapAlloc); grown > bound || manifest.Rows != total {
		t.Errorf("%d rows, the heap grew by %d MiB", manifest.Rows, grown>>20)
	}
}
