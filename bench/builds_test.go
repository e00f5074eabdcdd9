package bench

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// workspace is a folder as a build leaves it, with a change that a step makes.
type workspace struct {
	name string
	dir  string
	edit func(dir string, round int) error
}

// sources are the files of Go's own library: real text, of real sizes.
func sources(b *testing.B, most int) [][]byte {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Fatal(err)
	}
	var out [][]byte
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(at) != ".go" || len(out) == most {
			return err
		}
		text, err := os.ReadFile(at)
		out = append(out, text)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// fillSources writes so many files of so many bytes on average, ten in a folder. No two are equal.
func fillSources(b *testing.B, dir string, files, average int) {
	texts := sources(b, 5000)
	for i := range files {
		text := fmt.Appendf(nil, "// file %d\n", i)
		for n := i; len(text) < average/2+(i*7919)%average; n += 13 {
			text = append(text, texts[n%len(texts)]...)
			text = text[:min(len(text), average*3/2)]
		}
		at := filepath.Join(dir, fmt.Sprintf("p%03d/q%d/f%d.go", i/100, i/10%10, i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, text, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
}

// appendTo changes each so many-th file, in the order of the tree.
func appendTo(dir string, each, round int) error {
	n := 0
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(at, ".go") {
			return err
		}
		if n++; n%each != 0 {
			return nil
		}
		f, err := os.OpenFile(at, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "// round %d\n", round)
		return errors.Join(err, f.Close())
	})
}

// relink writes a program of 80 MB that differs in each kilobyte from that of another round, as addresses do.
func relink(dir string, program []byte, round int) error {
	b := bytes.Clone(program)
	for i := 0; i+8 <= len(b); i += 1024 {
		binary.LittleEndian.PutUint32(b[i:], uint32(i*7+round))
	}
	return os.WriteFile(filepath.Join(dir, "program"), b, 0o755)
}

func workspaces(b *testing.B) []workspace {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		b.Fatal(err)
	}
	for len(program) < 80<<20 {
		program = append(program, program...)
	}
	program = program[:80<<20]
	large, small := b.TempDir(), b.TempDir()
	fillSources(b, large, 700, 28<<10)
	if err := relink(large, program, 0); err != nil {
		b.Fatal(err)
	}
	fillSources(b, small, 25_000, 12<<10)
	return []workspace{
		{"100 MB, 700 files and a program; 7 files and the program change", large, func(dir string, round int) error {
			return errors.Join(appendTo(dir, 100, round), relink(dir, program, round))
		}},
		{"100 MB, 700 files and a program; 7 files change", large, func(dir string, round int) error { return appendTo(dir, 100, round) }},
		{"300 MB, 25,000 files; 250 change", small, func(dir string, round int) error { return appendTo(dir, 100, round) }},
	}
}

// packWhole writes a whole folder as tar | zstd does, and returns its bytes. It is on the disk then.
func packWhole(b *testing.B, dir, file string) int64 {
	out, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	_, noTar := exec.LookPath("tar")
	_, noZstd := exec.LookPath("zstd")
	if noTar == nil && noZstd == nil {
		pipe, pack := exec.Command("tar", "-C", dir, "-cf", "-", "."), exec.Command("zstd", "-1", "-q", "-c", fmt.Sprintf("-T%d", runtime.GOMAXPROCS(0)))
		if pack.Stdin, err = pipe.StdoutPipe(); err != nil {
			b.Fatal(err)
		}
		pack.Stdout = out
		err = errors.Join(pipe.Start(), pack.Start(), pack.Wait(), pipe.Wait())
	} else {
		var z *zstd.Encoder
		if z, err = zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest)); err == nil {
			w := tar.NewWriter(z)
			err = errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), z.Close())
		}
	}
	size, serr := out.Seek(0, io.SeekEnd)
	if err = errors.Join(err, serr, out.Sync(), out.Close()); err != nil {
		b.Fatal(err)
	}
	return size
}

func unpackWhole(b *testing.B, file, dir string) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	unpack, pipe := exec.Command("zstd", "-d", "-q", "-c", file), exec.Command("tar", "-C", dir, "-xf", "-")
	var err error
	if pipe.Stdin, err = unpack.StdoutPipe(); err == nil {
		err = errors.Join(unpack.Start(), pipe.Start(), pipe.Wait(), unpack.Wait())
	}
	if err != nil {
		b.Fatal(err)
	}
}

func seconds(what func()) float64 {
	start := time.Now()
	what()
	return time.Since(start).Seconds()
}

// cpuSeconds is the CPU time of what runs in this process, or of its children.
func cpuSeconds(who int, what func()) float64 {
	now := func() float64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(who, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	before := now()
	what()
	return now() - before
}

// BenchmarkBuilds takes snapshots of workspaces beside tar | zstd -1 of the whole, with as many threads: at first, after a change, and
// after nothing. Both write to a file system and have it on the disk.
func BenchmarkBuilds(b *testing.B) {
	r := &results{name: "builds"}
	ctx := context.Background()
	for _, w := range workspaces(b) {
		r.add("%s", w.name)
		dir := b.TempDir()
		at := func(format string, args ...any) string { return filepath.Join(dir, fmt.Sprintf(format, args...)) }
		store := func(name string) *snapshot.Store {
			files, err := artifact.NewFolder(at("%s", name))
			if err != nil {
				b.Fatal(err)
			}
			return snapshot.New(files, snapshot.Options{})
		}
		capture := func(s *snapshot.Store, dir string, parent snapshot.ID) (id snapshot.ID, stats snapshot.Stats, took, cpu float64) {
			var err error
			cpu = cpuSeconds(syscall.RUSAGE_SELF, func() {
				took = seconds(func() { id, stats, err = s.Capture(ctx, dir, snapshot.CaptureOptions{Parent: parent}) })
			})
			if err != nil {
				b.Fatal(err)
			}
			return id, stats, took, cpu
		}
		var first, whole, change, nothing, restore, unpack, firstCPU, wholeCPU, changeCPU []float64
		var firstBytes, wholeBytes, changeBytes int64
		for round := 1; round <= numberFrom("STINT_BENCH_ROUNDS", rounds); round++ {
			s := store(fmt.Sprintf("store%d", round))
			id, stats, took, cpu := capture(s, w.dir, "")
			firstCPU = append(firstCPU, cpu)
			first, firstBytes = append(first, took), stats.Stored
			file := at("whole.tar.zst")
			wholeCPU = append(wholeCPU, cpuSeconds(syscall.RUSAGE_CHILDREN, func() {
				whole = append(whole, seconds(func() { wholeBytes = packWhole(b, w.dir, file) }))
			}))
			ours, theirs := at("ours%d", round), at("theirs")
			agent := store(fmt.Sprintf("store%d", round)) // it knows nothing of the folder yet
			restore = append(restore, seconds(func() {
				if _, err := agent.Restore(ctx, id, ours); err != nil {
					b.Fatal(err)
				}
			}))
			if _, err := exec.LookPath("zstd"); err == nil {
				unpack = append(unpack, seconds(func() { unpackWhole(b, file, theirs) }))
			}
			same, stats, took, _ := capture(agent, ours, id)
			if same != id || stats.Stored != 0 {
				b.Errorf("nothing has changed, and it is %s: %+v", same, stats)
			}
			nothing = append(nothing, took)
			if err := w.edit(ours, round); err != nil {
				b.Fatal(err)
			}
			_, stats, took, cpu = capture(agent, ours, id)
			changeCPU = append(changeCPU, cpu)
			change, changeBytes = append(change, took), stats.Stored
			if err := errors.Join(os.RemoveAll(ours), os.RemoveAll(theirs), os.RemoveAll(at("store%d", round))); err != nil {
				b.Fatal(err)
			}
		}
		r.add("  first: %.3f s, %.1f MB; tar | zstd -1 of the whole: %.3f s, %.1f MB: it takes %.2f of that", median(first), float64(firstBytes)/1e6, median(whole), float64(wholeBytes)/1e6, median(first)/median(whole))
		r.add("  after the change: %.3f s, %.3f MB: 1/%.1f of the time and 1/%.1f of the bytes of the whole", median(change), float64(changeBytes)/1e6, median(whole)/median(change), float64(wholeBytes)/float64(changeBytes))
		r.add("  CPU: %.2f s at first and %.3f s after the change; tar | zstd: %.2f s", median(firstCPU), median(changeCPU), median(wholeCPU))
		r.add("  after nothing: %.1f ms, 0 bytes", median(nothing)*1000)
		inTime := func(id string, figure float64, measured string) {
			r.take(id, taken{Figure: figure, Runs: len(first), Measured: measured, Size: w.name})
		}
		switch {
		case strings.HasSuffix(w.name, "program; 7 files change"):
			inTime("builds-first", median(first)/median(whole), fmt.Sprintf("%.2f s", median(first)))
			inTime("builds-change", median(whole)/median(change), fmt.Sprintf("%.3f s", median(change)))
			inTime("builds-nothing", median(nothing)*1000, fmt.Sprintf("%.0f ms", median(nothing)*1000))
		case strings.Contains(w.name, "25,000 files"):
			inTime("builds-many", median(whole)/median(change), fmt.Sprintf("%.2f s", median(change)))
		}
		r.add("  restored: %.3f s, each file verified; zstd -d | tar -x: %.3f s", median(restore), median(unpack))
	}
	r.write(b)
}
