package buildlog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// Line is one of a log, or a part of one.
type Line struct {
	// Seq grows from line to line, over all attempts. The same line always has the same.
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Stream string    `json:"stream"`
	// Text is what was printed, without secrets, and with all control characters: see Printable.
	Text    string `json:"text"`
	Attempt string `json:"attempt"`
	// Partial: the line goes on in the next of its stream.
	Partial bool `json:"partial,omitempty"`
}

const (
	// attemptLines is how far the Seqs of two attempts are apart: more lines than fit into any log.
	attemptLines = 1e11
	maxAttempts  = 9999
	endName      = "end.zst"
)

func folderOf(prefix string, attempt int) string { return fmt.Sprintf("%s/%04d", prefix, attempt) }

// errClosed ends a walk that is at its end.
var errClosed = errors.New("the log is closed")

// Read gives the lines that are there, of all attempts. An error is the last that it gives.
func Read(ctx context.Context, files artifact.Store, prefix string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		r := &reader{ctx: ctx, files: files, prefix: prefix, yield: yield, number: 1}
		if err := r.walk(); err != nil && !errors.Is(err, errClosed) && !r.stopped {
			yield(Line{}, err)
		}
	}
}

// Follow gives the lines after the Seq from (0 is all of them), those that are there and those to come, until the log of the last
// attempt is closed. It looks for more each poll; 0 is a second. When an attempt is followed by another one, as after the death of an
// agent, its lines follow, the first of which says so. An error is the last that it gives: go on after the last line.
func Follow(ctx context.Context, files artifact.Store, prefix string, from int64, poll time.Duration) iter.Seq2[Line, error] {
	if poll <= 0 {
		poll = time.Second
	}
	return func(yield func(Line, error) bool) {
		r := &reader{ctx: ctx, files: files, prefix: prefix, yield: yield, number: max(1, int(from/attemptLines)), last: from}
		tick := time.NewTicker(poll)
		defer tick.Stop()
		for {
			if err := r.walk(); err != nil {
				if !errors.Is(err, errClosed) && !r.stopped {
					yield(Line{}, err)
				}
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				yield(Line{}, context.Cause(ctx))
				return
			}
		}
	}
}

// reader is a place in the logs under a prefix.
type reader struct {
	ctx     context.Context
	files   artifact.Store
	prefix  string
	yield   func(Line, error) bool
	stopped bool // whoever asked wants no more
	number  int  // of the attempt
	attempt string
	after   string // the key of the last chunk that was read
	last    int64  // the Seq of the last line
}

// walk reads what is there that has not been read; errClosed says that nothing will come any more.
func (r *reader) walk() error {
	for {
		folder := folderOf(r.prefix, r.number)
		if r.attempt == "" {
			if err := r.begin(folder); errors.Is(err, artifact.ErrNotFound) {
				return nil // it is not there yet
			} else if err != nil {
				return err
			}
		}
		// first, so that what an attempt wrote before the next one began is in the list
		_, err := r.files.Stat(r.ctx, folderOf(r.prefix, r.number+1)+"/start")
		next := err == nil
		if err != nil && !errors.Is(err, artifact.ErrNotFound) {
			return err
		}
		closed, err := r.read(folder)
		switch {
		case err != nil:
			return err
		case next:
			r.number++
			r.attempt, r.after = "", ""
		case closed:
			return errClosed
		default:
			return nil
		}
	}
}

func (r *reader) begin(folder string) error {
	f, _, err := r.files.Get(r.ctx, folder+"/start", 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var s start
	if err := json.NewDecoder(io.LimitReader(f, 4<<10)).Decode(&s); err != nil {
		return fmt.Errorf("read the beginning of the log %s: %w", folder, err)
	}
	r.attempt, r.after = s.Attempt, folder+"/"
	return nil
}

// read reads the new chunks of an attempt, or the one file that has taken their place.
func (r *reader) read(folder string) (closed bool, err error) {
	const page = 100
	for {
		list, err := r.files.List(r.ctx, folder+"/", r.after, page)
		if err != nil {
			return false, err
		}
		keys := make(map[string]bool, len(list))
		for _, info := range list {
			keys[info.Key] = true
		}
		if keys[folder+"/"+endName] {
			return true, r.end(folder)
		}
		for i, info := range list {
			first, err := strconv.ParseInt(info.Key[len(folder)+1:], 10, 64)
			if err != nil {
				continue // start
			}
			if i+1 < len(list) && r.skips(list[i+1].Key[len(folder)+1:]) {
				r.after = info.Key
				continue
			}
			if err := r.chunk(info.Key, first); errors.Is(err, artifact.ErrNotFound) {
				return true, r.end(folder) // it was closed in this moment
			} else if err != nil {
				return false, err
			}
			r.after = info.Key
		}
		if len(list) < page {
			return false, nil
		}
	}
}

// skips says whether a chunk, by its first line, begins no later than where the reader goes on, so that the one before it is of no use.
func (r *reader) skips(next string) bool {
	first, err := strconv.ParseInt(next, 10, 64)
	return err == nil && r.seq(first) <= r.last+1
}

func (r *reader) seq(line int64) int64 { return int64(r.number)*attemptLines + line }

func (r *reader) chunk(key string, first int64) error {
	f, _, err := r.files.Get(r.ctx, key, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return r.lines(f, first)
}

func (r *reader) end(folder string) error {
	f, _, err := r.files.Get(r.ctx, folder+"/"+endName, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	return r.lines(z, 1)
}

// lines gives those that have not been given yet.
func (r *reader) lines(from io.Reader, number int64) error {
	in := bufio.NewReaderSize(from, encodedMax)
	for ; ; number++ {
		b, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(b) == 0:
			return nil
		case err != nil:
			return tasks.WithHint(err, "it was written by another program, or damaged", "line %d of a log under %s cannot be read", number, r.prefix)
		case r.seq(number) <= r.last:
			continue
		}
		line, ok := parseLine(string(b))
		if !ok {
			return tasks.WithHint(nil, "it was written by another program, or damaged", "line %d of a log under %s is none", number, r.prefix)
		}
		line.Seq, line.Attempt = r.seq(number), r.attempt
		if !r.yield(line, nil) {
			r.stopped = true
			return errClosed
		}
		r.last = line.Seq
	}
}

func parseLine(text string) (Line, bool) {
	at, rest, ok := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	when, err := time.Parse(stamp, at)
	if !ok || err != nil || len(rest) < 2 {
		return Line{}, false
	}
	return Line{At: when, Stream: rest[:1], Partial: rest[1] == '+', Text: rest[2:]}, true
}
