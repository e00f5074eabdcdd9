package buildlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/s3test"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

func folder(t testing.TB) artifact.Store {
	t.Helper()
	f, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

var stores = map[string]func(t testing.TB) artifact.Store{
	"folder": folder,
	"s3": func(t testing.TB) artifact.Store {
		server, bucket := s3test.New(t)
		s, err := artifact.NewS3(artifact.S3Options{Bucket: bucket, Endpoint: server.Endpoint, PathStyle: true, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	},
}

func create(t testing.TB, s artifact.Store, attempt string, o buildlog.Options) *buildlog.Log {
	t.Helper()
	l, err := buildlog.Create(t.Context(), s, "logs/b1/compile", attempt, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closed(t testing.TB, l *buildlog.Log, end buildlog.End) {
	t.Helper()
	if err := l.Close(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
}

// all are lines as "stream text", a part with + behind it.
func all(t testing.TB, lines iter.Seq2[buildlog.Line, error]) []string {
	t.Helper()
	var out []string
	last := int64(0)
	for l, err := range lines {
		if err != nil {
			t.Fatal(err)
		}
		if l.Seq <= last || l.At.IsZero() {
			t.Errorf("after %d comes %+v", last, l)
		}
		last = l.Seq
		text := l.Stream + " " + l.Text
		if l.Partial {
			text += "+"
		}
		out = append(out, text)
	}
	return out
}

func read(t testing.TB, s artifact.Store) []string {
	t.Helper()
	return all(t, buildlog.Read(t.Context(), s, "logs/b1/compile"))
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func keys(t testing.TB, s artifact.Store) []string {
	t.Helper()
	list, err := s.List(t.Context(), "logs/", "", 10000)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range list {
		out = append(out, i.Key)
	}
	return out
}

func TestALogIsReadWhileItIsWrittenAndThereIsOneFileOfItAfterwards(t *testing.T) {
	t.Parallel()
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store(t)
			now := time.Date(2026, 11, 22, 10, 0, 1, 250e6, time.UTC)
			l := create(t, s, "a1", buildlog.Options{Every: 10 * time.Millisecond, Now: func() time.Time { return now }})
			write(t, l.Stdout(), "one\ntwo\x1b[31m\r\n\n")
			write(t, l.Stderr(), "bad\n")
			l.Note("first\nsecond %d", 2)
			want := []string{"# attempt a1", "o one", "o two\x1b[31m\r", "o ", "e bad", "# first", "# second 2"}
			until(t, "the lines are there", func() bool { return len(read(t, s)) == len(want) })
			same(t, read(t, s), want...)
			write(t, l.Stdout(), "no end")
			closed(t, l, buildlog.End{ExitCode: 3, Cause: "memory", Took: 1500 * time.Millisecond})
			same(t, read(t, s), append(want, "o no end", "# exit code 3, ended because of: memory, after 1.500 s")...)
			same(t, keys(t, s), "logs/b1/compile/0001/end.zst", "logs/b1/compile/0001/start")
			for line, err := range buildlog.Read(t.Context(), s, "logs/b1/compile") {
				if err != nil || !line.At.Equal(now) || line.Attempt != "a1" {
					t.Errorf("%+v, %v", line, err)
				}
			}
		})
	}
}

func TestAFollowerSeesEveryLineOnceAndANewAttemptAsOne(t *testing.T) {
	t.Parallel()
	s := folder(t)
	follow := make(chan []string, 1)
	var seen atomic.Int64
	go func() {
		var out []string
		for l, err := range buildlog.Follow(t.Context(), s, "logs/b1/compile", 0, time.Millisecond) { // before there is anything
			if err != nil {
				out = append(out, err.Error())
				break
			}
			out = append(out, l.Attempt+l.Stream+l.Text)
			seen.Store(l.Seq)
		}
		follow <- out
	}()
	o := buildlog.Options{Every: 5 * time.Millisecond}
	dead := create(t, s, "a1", o) // its agent is killed: nobody closes it
	var want []string
	want = append(want, "a1#attempt a1")
	for i := range 200 {
		write(t, dead.Stdout(), fmt.Sprintf("line %d\n", i))
		want = append(want, fmt.Sprintf("a1oline %d", i))
		if i%20 == 0 {
			until(t, "something comes", func() bool { return seen.Load() > 0 })
		}
	}
	until(t, "all come", func() bool { return seen.Load()%1e11 == 201 })
	l := create(t, s, "a2", o)
	write(t, l.Stdout(), "again\n")
	closed(t, l, buildlog.End{})
	want = append(want, "a2#attempt a2", "a2oagain", "a2#exit code 0, after 0.000 s")
	same(t, <-follow, want...)

	// who comes later, with the last line that was seen, gets the rest and nothing twice
	var seqs []int64
	for l, err := range buildlog.Read(t.Context(), s, "logs/b1/compile") {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, l.Seq)
	}
	for _, i := range []int{0, 1, 57, 199, 200, 201, 202, 203} {
		rest := all(t, buildlog.Follow(t.Context(), s, "logs/b1/compile", seqs[i], time.Millisecond))
		if len(rest) != len(seqs)-i-1 {
			t.Errorf("after line %d there are %d of %d", i, len(rest), len(seqs))
		}
	}
	closed(t, dead, buildlog.End{}) // it was alive after all, and changes nothing of the other
	if got := read(t, s); len(got) != len(want)+1 {
		t.Errorf("%q", got)
	}
}

func TestALongLineIsCutAndAnUnfinishedOneIsShown(t *testing.T) {
	t.Parallel()
	s := folder(t)
	l := create(t, s, "a", buildlog.Options{Every: 10 * time.Millisecond})
	write(t, l.Stdout(), "Password: ")
	until(t, "the prompt is there", func() bool { return len(read(t, s)) == 2 })
	write(t, l.Stdout(), "thanks\n")
	long := strings.Repeat("ä", 10000)
	write(t, l.Stderr(), long+"\n")
	closed(t, l, buildlog.End{})
	got := read(t, s)
	same(t, got[:3], "# attempt a", "o Password: +", "o thanks")
	text := ""
	for _, line := range got[3 : len(got)-1] {
		text += strings.TrimSuffix(strings.TrimPrefix(line, "e "), "+")
	}
	if text != long || len(got) != 4+3 {
		t.Errorf("%d lines with %d bytes", len(got), len(text))
	}
}

// It does not run beside others: they would be in its measure.
func TestAGigabyteIsBoundedInMemoryAndInTheStoreAndNobodyWaits(t *testing.T) {
	s := folder(t)
	const size, most = 1 << 30, 4 << 20
	l := create(t, s, "a", buildlog.Options{Max: most})
	block := []byte(strings.Repeat(strings.Repeat("x", 1023)+"\n", 64))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	for n := 0; n < size; n += len(block) {
		if _, err := l.Stdout().Write(block); err != nil {
			t.Fatal(err)
		}
	}
	write(t, l.Stdout(), "the last words\n")
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 48<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if took > time.Minute {
		t.Errorf("it took %v", took)
	}
	closed(t, l, buildlog.End{})
	bytes, lines := 0, read(t, s)
	for _, line := range lines {
		bytes += len(line)
	}
	n := len(lines)
	if bytes > most+buildlog.Tail+1000 || lines[n-2] != "o the last words" {
		t.Errorf("%d bytes, %q", bytes, lines[n-2])
	}
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "what follows is counted") || !strings.Contains(text, "are left out\n") {
		t.Error("nothing says what is left out")
	}
	t.Logf("%.0f MB/s, %d lines kept", size/1e6/took.Seconds(), n)
}

// broken is a store that fails, or hangs, while it is told to.
type broken struct {
	artifact.Store
	fails, hangs atomic.Bool
}

func (b *broken) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	if b.hangs.Load() {
		<-ctx.Done()
		return artifact.Info{}, ctx.Err()
	}
	if b.fails.Load() {
		return artifact.Info{}, errors.New("broken")
	}
	return b.Store.Put(ctx, key, r, o)
}

func TestAStoreThatFailsCostsNoLineAsLongAsThereIsRoom(t *testing.T) {
	t.Parallel()
	s := &broken{Store: folder(t)}
	l := create(t, s, "a", buildlog.Options{Every: 5 * time.Millisecond})
	s.fails.Store(true)
	for i := range 1000 {
		write(t, l.Stdout(), fmt.Sprintln(i))
	}
	if err := l.Close(t.Context(), buildlog.End{}); err == nil {
		t.Error("it closes without a store")
	}
	s.fails.Store(false)
	closed(t, l, buildlog.End{})
	if got := read(t, s); len(got) != 1002 || got[1000] != "o 999" {
		t.Errorf("%d lines", len(got))
	}
}

func TestAStoreThatHangsCostsLinesAndNotTheBuild(t *testing.T) {
	t.Parallel()
	s := &broken{Store: folder(t)}
	l := create(t, s, "a", buildlog.Options{Every: 5 * time.Millisecond})
	s.hangs.Store(true)
	began := time.Now()
	block := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 1000)
	for range 120 { // 12 MB
		write(t, l.Stdout(), string(block))
	}
	if took := time.Since(began); took > 50*time.Second {
		t.Errorf("it took %v", took)
	}
	s.hangs.Store(false)
	closed(t, l, buildlog.End{})
	got := read(t, s)
	if text := strings.Join(got[len(got)-3:], "\n"); !strings.Contains(text, "did not take") {
		t.Errorf("%s", text)
	}
}

func TestWhatAnEnemyPrintsStaysInTheLogAndOffTheTerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain ünïcode\t日本":                          "plain ünïcode\t日本",
		"\x1b[1;31mred\x1b[0m and \x1b[38;5;9mmore":  "\x1b[1;31mred\x1b[0m and \x1b[38;5;9mmore\x1b[0m",
		"\x1b[2J\x1b[H\x1b[?25lcleared":              "cleared",
		"\x1b]0;title\x07a\x1b]52;c;aGFjaw==\x1b\\b": "ab",
		"10%\r50%\r100%\r\n":                         "100%",
		"\x07\x08\x00bell\x7f":                       "bell",
		"\x1b[6n\x1bPq#0\x1b\\dcs\x9b31mx":           "dcs\uFFFD31mx",
		"\u009b2Jc1":                                 "c1",
		"user \u202Etxt.exe":                         "user txt.exe",
		"bad \xff utf8":                              "bad \uFFFD utf8",
		"unfinished \x1b[31":                         "unfinished ",
		"unfinished \x1b]0;abc":                      "unfinished ",
		"end \x1b":                                   "end ",
		"\x1b[31;$mx":                                "x",
		"\x1bé":                                      "é",
	} {
		if got := buildlog.Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	s := folder(t)
	l := create(t, s, "a", buildlog.Options{})
	hostile := "\x1b[2J 2026-11-22T10:00:01.250Z # exit code 0\x00\r"
	write(t, l.Stdout(), hostile+"\n")
	closed(t, l, buildlog.End{ExitCode: -1, Signal: "SIGKILL"})
	same(t, read(t, s), "# attempt a", "o "+hostile, "# SIGKILL, after 0.000 s")
}
