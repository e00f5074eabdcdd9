package buildlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// Bounds, in bytes.
const (
	DefaultMax = 64 << 20 // of a log that are kept, where nothing else is said
	Tail       = 64 << 10 // of its end that are kept beyond that
	chunkSize  = 64 << 10 // when a chunk is put before its time
	largest    = 1 << 20  // of a chunk
	waiting    = 4 << 20  // that may wait for the store
	longest    = 8 << 10  // of a line's text, before it is cut into parts
	encodedMax = 2*longest + 64
)

// Streams of a Log.
const (
	Stdout = "o"
	Stderr = "e"
	Notes  = "#" // our own words
)

// Options of a log. The zero value is good.
type Options struct {
	// Max is how many bytes are kept; 0 is DefaultMax. Of what comes after them, a line says how much was left out, and the last Tail
	// bytes are kept.
	Max int64
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Every is how often a chunk is put while something comes, and how long a line may stay unfinished before it is written; 0 is a second.
	Every time.Duration
}

// End is how a command ended, for the last line.
type End struct {
	ExitCode int
	Signal   string // "" is none
	Cause    string // why it was ended; "" where it came to its own end
	Took     time.Duration
}

// String is the text of the last line.
func (e End) String() string {
	text := fmt.Sprintf("exit code %d", e.ExitCode)
	if e.Signal != "" {
		text = e.Signal
	}
	if e.Cause != "" {
		text += ", ended because of: " + e.Cause
	}
	return text + fmt.Sprintf(", after %.3f s", e.Took.Seconds())
}

// Log is one attempt's, for one writer of each stream. What is printed waits for the store only when more than a few megabytes are on
// their way, and no longer than a few seconds: a store that does not answer costs lines, which are counted, and not the build.
type Log struct {
	files  artifact.Store
	folder string
	o      Options
	stop   context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
	wake   chan struct{}

	mu      sync.Mutex
	room    *sync.Cond // there is more room for lines, or no use in waiting
	streams [2]stream
	pending bytes.Buffer // whole lines that are in no chunk yet
	line    int64        // number of the last line
	kept    int64        // bytes in chunks and pending
	full    bool
	sick    bool    // the store has failed at last
	held    int     // writers that wait for room, in the middle of a line
	tail    []byte  // the last lines beyond Max
	out     leftOut // lines beyond Max, those in tail too
	dropped leftOut // lines that the store did not take in time
	putting sync.Mutex
	chunks  []string // keys, in order
	frozen  []byte   // a chunk that is being put; the same bytes until it is there
	frozenN int64    // the number of its first line
	first   int64    // the number of the first line in pending
}

type leftOut struct{ lines, bytes int64 }

// stream is one of the two that a command prints to.
type stream struct {
	l       *Log
	name    string
	partial []byte
	since   time.Time // when the first of partial came
}

// start is what stands in the object of that name.
type start struct {
	Attempt string    `json:"attempt"`
	At      time.Time `json:"at"`
}

// Create begins the log of an attempt under a prefix, a key of the store, behind those of earlier attempts. Its first line says so.
func Create(ctx context.Context, files artifact.Store, prefix, attempt string, o Options) (*Log, error) {
	if o.Max <= 0 {
		o.Max = DefaultMax
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	b, err := json.Marshal(start{Attempt: attempt, At: o.Now().UTC()})
	if err != nil {
		return nil, err
	}
	l := &Log{files: files, o: o, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	for n := 1; ; n++ {
		if n > maxAttempts {
			return nil, tasks.WithHint(nil, "has its agent been dying again and again? Delete what is there", "there are %d logs of attempts under %s", maxAttempts, prefix)
		}
		l.folder = folderOf(prefix, n)
		_, err := files.Put(ctx, l.folder+"/start", bytes.NewReader(b), artifact.PutOptions{IfAbsent: true, ContentType: "application/json"})
		if err == nil {
			break
		}
		if !errors.Is(err, artifact.ErrExists) {
			return nil, fmt.Errorf("begin the log %s: %w", prefix, err)
		}
	}
	l.room = sync.NewCond(&l.mu)
	l.streams = [2]stream{{l: l, name: Stdout}, {l: l, name: Stderr}}
	l.Note("attempt %s", attempt)
	// It outlives the caller's context: what was printed before a cancel is wanted most.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go l.run(run)
	return l, nil
}

// Stdout takes what a command prints there.
func (l *Log) Stdout() io.Writer { return &l.streams[0] }

// Stderr takes what a command prints there.
func (l *Log) Stderr() io.Writer { return &l.streams[1] }

// Note writes a line of our own.
func (l *Log) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		l.add(Notes, []byte(text[:min(len(text), longest)]), false)
	}
}

// Write implements io.Writer. It never fails.
func (s *stream) Write(p []byte) (int, error) {
	l, n := s.l, len(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := longest - len(s.partial); len(line) > room {
			line, rest, whole = p[:room], p[room:], false
		}
		if len(s.partial) == 0 {
			s.since = l.o.Now()
		}
		s.partial, p = append(s.partial, line...), rest
		switch {
		case whole:
			l.add(s.name, s.partial, false)
			s.partial = s.partial[:0]
		case len(s.partial) >= longest:
			cut := runeBorder(s.partial)
			l.add(s.name, s.partial[:cut], true)
			s.partial = append(s.partial[:0], s.partial[cut:]...)
		}
	}
	return n, nil
}

// runeBorder is where the last character that is not whole begins, or the end.
func runeBorder(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

const stamp = "2006-01-02T15:04:05.000Z"

// add writes a line, or a part of one, to where there is room for it. The caller holds the lock.
func (l *Log) add(name string, text []byte, more bool) {
	b := l.o.Now().UTC().AppendFormat(make([]byte, 0, len(text)+40), stamp)
	b = append(append(b, ' '), name...)
	if more {
		b = append(b, '+')
	} else {
		b = append(b, ' ')
	}
	b = append(append(b, text...), '\n')
	if !l.full && l.kept+int64(len(b)) > l.o.Max {
		l.full = true
		l.append(fmt.Appendf(nil, "%s %s the log has its %d bytes: what follows is counted, and the last %d bytes are kept\n", l.o.Now().UTC().Format(stamp), Notes, l.o.Max, Tail))
	}
	if l.full {
		l.out.lines, l.out.bytes = l.out.lines+1, l.out.bytes+int64(len(b))
		l.tail = append(l.tail, b...)
		if len(l.tail) > 2*Tail {
			l.tail = append(l.tail[:0], lastLines(l.tail)...)
		}
		return
	}
	if l.pending.Len() > waiting && !l.waitForRoom() {
		l.dropped.lines, l.dropped.bytes = l.dropped.lines+1, l.dropped.bytes+int64(len(b))
		return
	}
	if l.dropped.lines > 0 {
		l.append(fmt.Appendf(nil, "%s %s the artifact store did not take %d lines (%d bytes) in time\n", l.o.Now().UTC().Format(stamp), Notes, l.dropped.lines, l.dropped.bytes))
		l.dropped = leftOut{}
	}
	l.append(b)
}

func (l *Log) append(b []byte) {
	if l.line++; l.pending.Len() == 0 {
		l.first = l.line
	}
	l.pending.Write(b)
	if l.kept += int64(len(b)); l.pending.Len() >= chunkSize {
		l.hurry()
	}
}

func (l *Log) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// patience is how long a command waits for the store, before its lines are dropped.
const patience = 5 * time.Second

func (l *Log) waitForRoom() bool {
	deadline := time.Now().Add(patience)
	timer := time.AfterFunc(patience, l.room.Broadcast)
	defer timer.Stop()
	l.held++
	for l.pending.Len() > waiting && !l.sick && time.Now().Before(deadline) {
		l.hurry()
		l.room.Wait()
	}
	l.held--
	if l.pending.Len() > waiting {
		l.sick = true // the next line does not wait again
		return false
	}
	return true
}

// lastLines is the end of some lines, Tail bytes at most, from the beginning of a line.
func lastLines(b []byte) []byte {
	if len(b) <= Tail {
		return b
	}
	b = b[len(b)-Tail:]
	return b[bytes.IndexByte(b, '\n')+1:]
}

// run puts chunks, and writes lines that stay unfinished.
func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(l.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.unfinished(l.o.Every, true)
		case <-l.wake:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = l.put(ctx); err != nil {
				break // the next tick tries again
			}
		}
	}
}

// unfinished writes what has come of lines that have not ended for so long.
func (l *Log) unfinished(age time.Duration, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held > 0 { // theirs is on its way
		return
	}
	for i := range l.streams {
		s := &l.streams[i]
		if len(s.partial) == 0 || l.o.Now().Sub(s.since) < age {
			continue
		}
		cut := len(s.partial)
		if more {
			cut = runeBorder(s.partial)
		}
		if cut > 0 {
			l.add(s.name, s.partial[:cut], more)
			s.partial = append(s.partial[:0], s.partial[cut:]...)
		}
	}
}

// put puts the next chunk, and reports whether another one is worth it at once.
func (l *Log) put(ctx context.Context) (more bool, err error) {
	l.putting.Lock()
	defer l.putting.Unlock()
	l.mu.Lock()
	if l.frozen == nil && l.pending.Len() > 0 {
		b := l.pending.Bytes()
		if len(b) > largest {
			b = b[:bytes.LastIndexByte(b[:largest], '\n')+1]
		}
		l.frozen, l.frozenN = bytes.Clone(b), l.first
		l.pending.Next(len(b))
		l.first += int64(bytes.Count(b, []byte("\n")))
		l.room.Broadcast()
	}
	chunk, key := l.frozen, fmt.Sprintf("%s/%010d", l.folder, l.frozenN)
	l.mu.Unlock()
	if chunk == nil {
		return false, nil
	}
	const most = 30 * time.Second // a store that hangs is one that fails
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_, err = l.files.Put(ctx, key, bytes.NewReader(chunk), artifact.PutOptions{ContentType: "text/plain; charset=utf-8", Size: int64(len(chunk))})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sick = err != nil; err == nil {
		l.frozen, l.chunks = nil, append(l.chunks, key)
	}
	l.room.Broadcast()
	return err == nil && l.pending.Len() >= chunkSize, err
}

// Close writes what has come, and how the command ended as the last line; then it makes one file of it. After an error it can be called
// again; until then the log can be read, and is an open one. Nothing may be written to it any more.
func (l *Log) Close(ctx context.Context, end End) error {
	l.stop()
	<-l.done
	l.unfinished(0, false)
	l.mu.Lock()
	full, last := l.full, fmt.Appendf(nil, "%s %s %s\n", l.o.Now().UTC().Format(stamp), Notes, end)
	var rest []byte
	if full {
		tail := lastLines(l.tail)
		lines := l.out.lines - int64(bytes.Count(tail, []byte("\n")))
		rest = fmt.Appendf(nil, "%s %s %d lines (%d bytes) are left out\n", l.o.Now().UTC().Format(stamp), Notes, lines, l.out.bytes-int64(len(tail)))
		rest = append(rest, tail...)
	}
	if l.dropped.lines > 0 {
		rest = fmt.Appendf(rest, "%s %s the artifact store did not take %d lines (%d bytes) in time\n", l.o.Now().UTC().Format(stamp), Notes, l.dropped.lines, l.dropped.bytes)
	}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		left := l.pending.Len() + len(l.frozen)
		l.mu.Unlock()
		if left == 0 {
			break
		}
		if _, err := l.put(ctx); err != nil {
			return fmt.Errorf("keep the log %s: %w", l.folder, err)
		}
	}
	if err := l.pack(ctx, append(rest, last...)); err != nil {
		return fmt.Errorf("close the log %s: %w", l.folder, err)
	}
	for _, key := range l.chunks {
		if err := l.files.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete a part of the log %s: %w", l.folder, err)
		}
	}
	return nil
}

// pack puts the one file: the chunks as they are in the store, and the rest.
func (l *Log) pack(ctx context.Context, rest []byte) error {
	chunks := artifact.Concat(ctx, l.files, l.chunks)
	r, w := io.Pipe()
	done := make(chan struct{})
	defer func() {
		_ = r.Close()
		<-done
		_ = chunks.Close()
	}()
	go func() {
		defer close(done)
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err == nil {
			_, err = io.Copy(z, io.MultiReader(chunks, bytes.NewReader(rest)))
			err = errors.Join(err, z.Close())
		}
		_ = w.CloseWithError(err)
	}()
	_, err := l.files.Put(ctx, l.folder+"/"+endName, r, artifact.PutOptions{ContentType: "application/zstd"})
	return err
}
