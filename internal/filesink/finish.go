package filesink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// Manifest says what a stage has written: the parts in the order of their steps, or the one file that they were put together into.
// Readers go by it: a part that it does not name does not count.
type Manifest struct {
	Version int    `json:"version"` // 1
	Format  Format `json:"format"`
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"` // of all parts
	Parts   []Part `json:"parts"`
	// File is the one file, with Format.Single; the parts' own artifacts are gone then. nil without.
	File *File `json:"file,omitempty"`
}

// File is an artifact of a stage.
type File struct {
	Key    string          `json:"key"` // below the folder of the stage
	Bytes  int64           `json:"bytes"`
	Digest artifact.Digest `json:"digest"`
}

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
)

// errIncomplete: a part of a step is missing although a later one is there.
var errIncomplete = errors.New("parts are missing")

// Finish closes a stage whose steps have all ended: it writes the manifest, with Format.Single the one file before it, and removes
// what does not count. It may be called again, and does then what is left to do; after further parts it writes the manifest anew.
// That every step has written all of its rows is for the caller to know: compare Manifest.Rows.
//
// The bytes of the one file go through this process. Neither a part nor the file is held in memory.
func (s *Sink) Finish(ctx context.Context) (Manifest, error) {
	parts, err := s.Parts(ctx)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Version: manifestVersion, Format: s.format, Parts: parts}
	for _, p := range parts {
		m.Rows += p.Rows
		m.Bytes += p.Bytes
	}
	done, err := s.Manifest(ctx)
	switch {
	case err == nil && sameParts(done, m):
		m.File = done.File
	case err == nil && done.File != nil:
		// The artifacts of the parts that it was made of are gone.
		return Manifest{}, tasks.WithHint(errMixed, "run the stage again in a folder of its own", "%s was put together already, and parts came afterwards", s.key(done.File.Key))
	case err == nil || errors.Is(err, artifact.ErrNotFound):
		if s.format.Single {
			if m.File, err = s.join(ctx, m); err != nil {
				return Manifest{}, err
			}
		}
		if err := s.writeManifest(ctx, m); err != nil {
			return Manifest{}, err
		}
	default:
		return Manifest{}, err
	}
	return m, s.removeStray(ctx, m)
}

func sameParts(a, b Manifest) bool {
	return reflect.DeepEqual(a.Format, b.Format) && slices.EqualFunc(a.Parts, b.Parts, func(x, y Part) bool {
		return x.Key == y.Key && x.Digest == y.Digest && x.Bytes == y.Bytes && x.Rows == y.Rows
	})
}

func (s *Sink) writeManifest(ctx context.Context, m Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	_, err = s.store.Put(ctx, s.key(manifestName), bytes.NewReader(append(text, '\n')), artifact.PutOptions{ContentType: "application/json"})
	return err
}

// Manifest returns what Finish has written; artifact.ErrNotFound before.
func (s *Sink) Manifest(ctx context.Context) (Manifest, error) {
	r, _, err := s.store.Get(ctx, s.key(manifestName), 0)
	if err != nil {
		return Manifest{}, err
	}
	defer r.Close()
	var m Manifest
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("read %s: %w", s.key(manifestName), err)
	}
	if m.Version != manifestVersion {
		return Manifest{}, tasks.WithHint(nil, "use the version of stint that wrote it", "%s is of version %d", s.key(manifestName), m.Version)
	}
	return m, nil
}

// readers is how many records are read at once.
const readers = 8

// Parts returns all parts that count, in the order of their steps, and checks that those of each step follow on each other.
func (s *Sink) Parts(ctx context.Context) ([]Part, error) {
	var parts []Part
	prefix := s.key("records") + "/"
	for after := ""; ; {
		page, err := s.store.List(ctx, prefix, after, listPage)
		if err != nil {
			return nil, err
		}
		read, err := s.readAll(ctx, page)
		if err != nil {
			return nil, err
		}
		parts = append(parts, read...)
		if len(page) < listPage {
			break
		}
		after = page[len(page)-1].Key
	}
	slices.SortFunc(parts, func(a, b Part) int {
		if c := compareSteps(a.Step, b.Step); c != 0 {
			return c
		}
		return a.Seq - b.Seq
	})
	for i, p := range parts {
		first := i == 0 || parts[i-1].Step != p.Step
		if first && p.Seq != 0 || !first && (p.Seq != parts[i-1].Seq+1 || !bytes.Equal(p.From, parts[i-1].To)) {
			return nil, tasks.WithHint(errIncomplete, "have records been deleted? Run the stage again in a folder of its own",
				"step %s: part %d does not go on where the part before it ended", p.Step, p.Seq)
		}
	}
	return parts, nil
}

func (s *Sink) readAll(ctx context.Context, page []artifact.Info) ([]Part, error) {
	parts, errs := make([]Part, len(page)), make([]error, len(page))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(readers, len(page)) {
		wg.Go(func() {
			for i := range next {
				parts[i], errs[i] = s.read(ctx, page[i].Key)
			}
		})
	}
	for i := range page {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// join puts the head and all parts together into the one file. Members of gzip and frames of zstd may follow each other.
func (s *Sink) join(ctx context.Context, m Manifest) (*File, error) {
	var head bytes.Buffer
	enc, err := Encode(&head, s.format, true)
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return nil, err
	}
	content := &partsReader{ctx: ctx, s: s, parts: m.Parts}
	defer content.close()
	info, err := s.store.Put(ctx, s.key(s.fileName()), io.MultiReader(&head, content),
		artifact.PutOptions{ContentType: s.format.contentType(), Size: m.Bytes + int64(head.Len())})
	if err != nil {
		return nil, err
	}
	return &File{Key: s.fileName(), Bytes: info.Size, Digest: info.Digest}, nil
}

// partsReader reads parts one after the other and checks that each has the digest of its record.
type partsReader struct {
	ctx   context.Context
	s     *Sink
	parts []Part
	open  io.ReadCloser // nil between two parts
	hash  hash.Hash     // of the part that is open
	n     int64
}

// Read implements io.Reader.
func (r *partsReader) Read(p []byte) (int, error) {
	for {
		if r.open == nil {
			if len(r.parts) == 0 {
				return 0, io.EOF
			}
			open, _, err := r.s.store.Get(r.ctx, r.s.key(r.parts[0].Key), 0)
			if err != nil {
				return 0, err
			}
			r.open, r.hash, r.n = open, sha256.New(), 0
		}
		n, err := r.open.Read(p)
		r.hash.Write(p[:n])
		r.n += int64(n)
		if err == nil || n > 0 {
			return n, ignoreEOF(err)
		}
		if !errors.Is(err, io.EOF) {
			return 0, err
		}
		if part := r.parts[0]; r.n != part.Bytes || hex.EncodeToString(r.hash.Sum(nil)) != part.Digest.Hex() {
			return 0, tasks.WithHint(artifact.ErrDigest, "it was damaged or replaced: run the stage again in a folder of its own",
				"part %s has other bytes than its record says", r.s.key(part.Key))
		}
		r.close()
		r.parts = r.parts[1:]
	}
}

// ignoreEOF leaves the end of a part to the next read.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (r *partsReader) close() {
	if r.open != nil {
		_ = r.open.Close() // it was only read
		r.open = nil
	}
}

// removeStray deletes what the manifest does not name: artifacts of attempts that died before their record, and with one file the
// artifacts of the parts.
func (s *Sink) removeStray(ctx context.Context, m Manifest) error {
	counts := map[string]bool{}
	if m.File == nil {
		for _, p := range m.Parts {
			counts[p.Key] = true
		}
	}
	prefix := s.key("parts") + "/"
	for after := ""; ; {
		page, err := s.store.List(ctx, prefix, after, listPage)
		if err != nil {
			return err
		}
		for _, a := range page {
			after = a.Key
			if counts[strings.TrimPrefix(a.Key, s.folder+"/")] {
				continue
			}
			if err := s.store.Delete(ctx, a.Key); err != nil {
				return err
			}
		}
		if len(page) < listPage {
			return nil
		}
	}
}

// Verify reads everything that a manifest names and says what is not as it was written: artifact.ErrDigest or
// artifact.ErrNotFound.
func (s *Sink) Verify(ctx context.Context, m Manifest) error {
	if m.File != nil {
		return artifact.Verify(ctx, s.store, s.key(m.File.Key), m.File.Digest, m.File.Bytes)
	}
	for _, p := range m.Parts {
		if err := artifact.Verify(ctx, s.store, s.key(p.Key), p.Digest, p.Bytes); err != nil {
			return err
		}
	}
	return nil
}
