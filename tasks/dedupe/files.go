package dedupe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// What a job writes, below dedupe/JOB. The first three are for its own steps; the others outlive it.
const (
	fileSurvey    = "survey.jsonl.zst"
	fileTemplates = "templates.jsonl.zst"
	folderCounts  = "counts"
	fileAnalysis  = "analysis.jsonl"
	fileCSV       = "analysis.csv"
	fileSummary   = "summary.txt"
	fileOrders    = "orders.jsonl.zst"
	folderDone    = "done" // what became of each data set
	folderArchive = "archive"
	fileDeletions = "deletions.jsonl"
	fileDeleted   = "deletions.txt"
)

// folderHistory has one small file of each run, by store.
const folderHistory = artifact.OwnDedupeHistory

// folderOf returns the folder of a job's files.
func folderOf(job string) string { return artifact.OwnDedupe + "/" + artifact.Escape(job) }

func keyOf(job, name string) string { return folderOf(job) + "/" + name }

// putFirst writes an artifact of what write gives. Whoever is first wins: what a rival or an earlier attempt has written stays, as
// others may have read it already. When it returns write has ended, also where the store did not want all of it.
func (s *shared) putFirst(ctx context.Context, key string, write func(io.Writer) error) error {
	store, err := s.o.Artifacts()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		buffered := bufio.NewWriterSize(w, 64<<10)
		err := write(buffered)
		if err == nil {
			err = buffered.Flush()
		}
		w.CloseWithError(err)
	}()
	_, err = store.Put(ctx, key, r, artifact.PutOptions{IfAbsent: true})
	_ = r.CloseWithError(errors.New("nobody reads on")) // ends the writer where the store has not read to the end
	<-written
	if errors.Is(err, artifact.ErrExists) {
		return nil
	}
	return err
}

// What compresses and what reads it is kept between files: each has some MiB of tables, and every step reads and writes a file or two.
var (
	encoders = sync.Pool{New: func() any {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			panic(err) // the options are constants
		}
		return z
	}}
	decoders = sync.Pool{New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			panic(err) // the options are constants
		}
		return z
	}}
)

// putLines writes JSON lines, compressed, as putFirst does.
func (s *shared) putLines(ctx context.Context, key string, write func(line func(any) error) error) error {
	return s.putFirst(ctx, key, func(w io.Writer) error {
		z := encoders.Get().(*zstd.Encoder)
		z.Reset(w)
		defer func() {
			z.Reset(nil)
			encoders.Put(z)
		}()
		enc := json.NewEncoder(z)
		if err := write(enc.Encode); err != nil {
			return errors.Join(err, z.Close())
		}
		return z.Close()
	})
}

// lines reads what putLines wrote.
type lines struct {
	key  string
	body io.ReadCloser
	z    *zstd.Decoder
	r    *bufio.Reader
	n    int
}

// openLines opens JSON lines. Close it.
func (s *shared) openLines(ctx context.Context, key string) (*lines, error) {
	store, err := s.o.Artifacts()
	if err != nil {
		return nil, err
	}
	body, _, err := store.Get(ctx, key, 0)
	if err != nil {
		return nil, err
	}
	z := decoders.Get().(*zstd.Decoder)
	if err := z.Reset(body); err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return &lines{key: key, body: body, z: z, r: bufio.NewReaderSize(z, 64<<10)}, nil
}

// next reads the next line into v, or skips it when v is nil; io.EOF at the end.
func (l *lines) next(v any) error {
	line, err := l.line()
	if err != nil {
		return err
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(line, v); err != nil {
		return tasks.Permanent(fmt.Errorf("read %s, line %d: %w", l.key, l.n, err))
	}
	return nil
}

func (l *lines) line() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		var long bytes.Buffer
		for errors.Is(err, bufio.ErrBufferFull) {
			long.Write(line)
			line, err = l.r.ReadSlice('\n')
		}
		long.Write(line)
		line = long.Bytes()
	}
	switch {
	case err == nil:
		l.n++
		return line, nil
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, tasks.Permanent(fmt.Errorf("read %s: the last line is cut off", l.key))
	}
	return nil, fmt.Errorf("read %s: %w", l.key, err)
}

// Close ends the reading. It is called once.
func (l *lines) Close() error {
	if err := l.z.Reset(nil); err == nil {
		decoders.Put(l.z)
	}
	l.z = nil
	return l.body.Close()
}
