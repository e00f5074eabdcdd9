// Package filesink writes rows into files, each row exactly once: CSV by RFC 4180 or JSON lines, as they are, in gzip or in zstd.
//
// A step writes parts. A part is some rows in one artifact, whole or not there, with a record beside it that says which rows they
// are; the record is what counts, and the first one wins:
//
//	exports/JOB/STAGE/parts/STEP/000003-1f9a0c52.csv.gz   the rows, named by their digest
//	exports/JOB/STAGE/records/STEP/000003.json            part 3 of the step: from, to, rows, bytes, digest
//	exports/JOB/STAGE/manifest.json                       all parts in order, when the stage has ended (Finish)
//	exports/JOB/STAGE/customers.csv.gz                    or all parts as one file
//
// A step that is killed before the record and repeated writes the same artifact again, or another one that then counts instead; one
// killed after it is told what the record says and goes on from there (Part.To). So do rivals: an old attempt that was thought dead
// and a new one may cut their batches differently, and still every row is in one part. What has no record no manifest names, and
// Finish removes it. Nothing of this needs Redis: a job submitted again finds its records and skips what they cover (Resume).
package filesink

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// MaxPartBytes is the most that one part may have, compressed or not; it is held in memory until it is put.
const MaxPartBytes = 256 << 20

// ErrPartTooLarge: the rows of a part have more than MaxPartBytes. Nothing was put.
var ErrPartTooLarge = errors.New("part too large")

// errMixed: the artifacts here were written by another plan or with other bounds of steps.
var errMixed = errors.New("artifacts of another run")

// Sink is where one stage of one job writes. Its methods may be called at the same time, also from many processes.
type Sink struct {
	store  artifact.Store
	folder string
	name   string
	format Format
}

// Folder returns where a stage of a job writes when nobody says otherwise.
func Folder(job, stage string) string {
	return path.Join("exports", artifact.Escape(job), artifact.Escape(stage))
}

// New returns the sink of a folder, which is the beginning of a key and the stage's alone. name is that of the one file, without
// extension; it is of use only with Format.Single. It writes nothing yet.
func New(store artifact.Store, folder, name string, f Format) (*Sink, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	s := &Sink{store: store, folder: folder, name: artifact.Escape(name), format: f}
	if err := artifact.CheckKey(s.key(s.fileName())); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Sink) key(parts ...string) string { return path.Join(append([]string{s.folder}, parts...)...) }

// fileName is that of the one file.
func (s *Sink) fileName() string { return s.name + s.format.extension() }

// Batch says which rows a part is to have.
type Batch struct {
	Step string // the step's ID
	Seq  int    // 0 is the first part of the step; the next is one more
	// From and To are cursors of the caller's: the part has the rows after From up to To. From is the To of the part before.
	From, To []byte
}

// Part is a part as its record has it.
type Part struct {
	Step   string          `json:"step"`
	Seq    int             `json:"seq"`
	From   []byte          `json:"from,omitempty"` // base64
	To     []byte          `json:"to,omitempty"`   // base64
	Key    string          `json:"key"`            // below the folder of the stage
	Rows   int64           `json:"rows"`
	Bytes  int64           `json:"bytes"`
	Digest artifact.Digest `json:"digest"`
}

// PutPart writes the rows of a batch and returns the part that counts: this one or, where an earlier attempt or a rival has put the
// part already, that one. Go on from its To, which may not be the batch's. Once it has returned a crash loses nothing.
//
// An error that rows gives ends it and nothing is put. A row that cannot be written is a *CellError: with reject it is given to that
// function, with its number from 0, and left out if the function returns nil; else it ends the part. What reject keeps, a
// quarantine, has to be safe before it returns. Where the part is there already rows is not called.
func (s *Sink) PutPart(ctx context.Context, b Batch, rows iter.Seq2[[]any, error], reject func(row int64, err *CellError) error) (Part, error) {
	there, err := s.recorded(ctx, b)
	if err == nil || !errors.Is(err, artifact.ErrNotFound) {
		return there, err
	}
	var content bytes.Buffer
	enc, err := Encode(&content, s.format, !s.format.Single)
	if err != nil {
		return Part{}, err
	}
	n := int64(0)
	for row, err := range rows {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return Part{}, err
		}
		err := enc.WriteRow(row)
		if bad := (*CellError)(nil); errors.As(err, &bad) && reject != nil {
			err = reject(n, bad)
		}
		if err != nil {
			return Part{}, err
		}
		n++
		if content.Len() > MaxPartBytes {
			return Part{}, tasks.WithHint(ErrPartTooLarge, "choose smaller chunks", "part %d of step %s has more than %d MiB after %d rows", b.Seq, b.Step, MaxPartBytes>>20, n)
		}
	}
	if err := enc.Close(); err != nil {
		return Part{}, err
	}
	digest := artifact.DigestOf(content.Bytes())
	p := Part{Step: b.Step, Seq: b.Seq, From: b.From, To: b.To, Rows: enc.Rows(), Bytes: int64(content.Len()), Digest: digest,
		Key: path.Join("parts", artifact.Escape(b.Step), fmt.Sprintf("%06d-%s%s", b.Seq, digest.Hex()[:16], s.format.extension()))}
	if _, err := artifact.PutOnce(ctx, s.store, s.key(p.Key), &content, artifact.PutOptions{ContentType: s.format.contentType(), Digest: digest}); err != nil {
		return Part{}, err
	}
	return s.record(ctx, b, p)
}

// record makes a part count, unless there is one already.
func (s *Sink) record(ctx context.Context, b Batch, p Part) (Part, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return Part{}, fmt.Errorf("write the record of a part: %w", err)
	}
	_, err = s.store.Put(ctx, s.recordKey(b), bytes.NewReader(text), artifact.PutOptions{IfAbsent: true, ContentType: "application/json"})
	if !errors.Is(err, artifact.ErrExists) {
		return p, err
	}
	there, err := s.recorded(ctx, b)
	if errors.Is(err, artifact.ErrNotFound) {
		// A server that is not consistent for a moment; the step is harmless to repeat.
		return Part{}, tasks.RetryAfter(err, time.Second)
	}
	if err == nil && there.Key != p.Key {
		// A rival was faster. Whoever else wrote these bytes is refused as we are.
		err = s.store.Delete(ctx, s.key(p.Key))
	}
	return there, err
}

func (s *Sink) recordKey(b Batch) string {
	return s.key("records", artifact.Escape(b.Step), fmt.Sprintf("%06d.json", b.Seq))
}

// recorded returns the part that counts; ErrNotFound when there is none.
func (s *Sink) recorded(ctx context.Context, b Batch) (Part, error) {
	p, err := s.read(ctx, s.recordKey(b))
	if err == nil && (p.Step != b.Step || p.Seq != b.Seq || !bytes.Equal(p.From, b.From)) {
		err = tasks.WithHint(errMixed, "does something else write below "+s.folder+"? Give this job a folder of its own", "part %d of step %s begins elsewhere in %s", b.Seq, b.Step, s.store)
	}
	return p, err
}

// maxRecord bounds a record, in bytes: cursors are short.
const maxRecord = 1 << 20

func (s *Sink) read(ctx context.Context, key string) (Part, error) {
	r, _, err := s.store.Get(ctx, key, 0)
	if err != nil {
		return Part{}, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return Part{}, fmt.Errorf("read %s: %w", key, err)
	}
	var p Part
	if err := json.Unmarshal(text, &p); err != nil || p.Key == "" {
		return Part{}, tasks.WithHint(err, "who wrote it? Delete it if nobody needs it, and the step writes the part again", "%s in %s is no record of a part", key, s.store)
	}
	return p, nil
}

// Resume returns the last part of a step that counts, and whether there is one: a new attempt goes on after it, whatever was saved
// elsewhere.
func (s *Sink) Resume(ctx context.Context, step string) (last Part, any bool, err error) {
	prefix := s.key("records", artifact.Escape(step)) + "/"
	for after := ""; ; {
		page, err := s.store.List(ctx, prefix, after, listPage)
		if err != nil {
			return Part{}, false, err
		}
		if len(page) > 0 {
			after = page[len(page)-1].Key
		}
		if len(page) < listPage {
			if after == "" {
				return Part{}, false, nil
			}
			last, err := s.read(ctx, after)
			return last, err == nil, err
		}
	}
}

// listPage is how many artifacts are listed at once.
const listPage = 1000

// compareSteps compares IDs as a person would: digits in a row count as a number, so that 9 stands before 10.
func compareSteps(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		dx, dy := digits(x), digits(y)
		if dx == 0 || dy == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		m, n := strings.TrimLeft(x[:dx], "0"), strings.TrimLeft(y[:dy], "0")
		if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
			return c
		}
		x, y = x[dx:], y[dy:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// digits returns how many digits a text begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
