package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// objectReader reads frames of one object, forwards.
type objectReader struct {
	s   *Store
	key string
	r   io.ReadCloser // nil: not open
	at  int64
	n   int64 // bytes that were read
}

// skippable is up to how many bytes are read for nothing rather than asked for anew.
const skippable = 256 << 10

// frame returns the packed bytes of a frame.
func (o *objectReader) frame(ctx context.Context, f frame) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if skip := f.offset - o.at; o.r != nil && skip != 0 {
		if skip < 0 || skip > skippable {
			o.close()
		} else if n, err := io.CopyN(io.Discard, o.r, skip); err != nil {
			return nil, o.failed(ctx, err)
		} else {
			o.at, o.n = o.at+n, o.n+n
		}
	}
	if o.r == nil {
		r, _, err := o.s.files.Get(ctx, o.key, f.offset)
		if err != nil {
			return nil, o.failed(ctx, err)
		}
		o.r, o.at = r, f.offset
	}
	b := make([]byte, f.size)
	n, err := io.ReadFull(o.r, b)
	o.at, o.n = o.at+int64(n), o.n+int64(n)
	if err != nil {
		return nil, o.failed(ctx, err)
	}
	return b, nil
}

func (o *objectReader) close() {
	if o.r != nil {
		_ = o.r.Close()
		o.r = nil
	}
}

// failed tells a layer that is too short from a store that does not answer.
func (o *objectReader) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, artifact.ErrNotFound):
		return tasks.WithHint(err, "it was removed while the snapshot was still needed: build again from the beginning", "a layer of the snapshot is gone")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return damaged(err, "the layer %s ends early", o.key)
	}
	if info, serr := o.s.files.Stat(ctx, o.key); serr == nil && info.Size < o.at { // it cannot be read from there
		return damaged(err, "the layer %s is shorter than it was", o.key)
	}
	return fmt.Errorf("read the layer %s: %w", o.key, err)
}

// unpack returns what a frame holds; into has room for it.
func (s *Store) unpack(packed []byte, f frame, key string, into []byte) ([]byte, error) {
	b, err := s.dec.DecodeAll(packed, into[:0:f.raw])
	if err == nil && int64(len(b)) != f.raw {
		err = fmt.Errorf("%d bytes are in it instead of %d", len(b), f.raw)
	}
	if err != nil {
		return nil, damaged(err, "the layer %s cannot be unpacked at %d", key, f.offset)
	}
	return b, nil
}

// wrongContent says that what the store has for a file is not the file.
func wrongContent(p string, key string) error {
	return damaged(nil, "the content of %q is not what it has to be, in the layer %s", p, key)
}

// Open reads one file of a snapshot: it is verified on the way, and the end of one that is not what it has to be is ErrDamaged instead
// of io.EOF. A path that is not in the snapshot, or is no file, is artifact.ErrNotFound. Close what it returns.
func (s *Store) Open(ctx context.Context, id ID, path string) (io.ReadCloser, Entry, error) {
	m, err := s.Manifest(ctx, id)
	if err != nil {
		return nil, Entry{}, err
	}
	e, found := m.Entry(path)
	if !found || e.Kind != File {
		return nil, Entry{}, tasks.WithHint(artifact.ErrNotFound, "the path begins at the root of the workspace", "there is no file %q in the snapshot", path)
	}
	return &fileReader{ctx: ctx, s: s, m: m, e: e, left: e.Size, at: e.at, next: e.frame, hash: sha256.New()}, e, nil
}

// fileReader reads a content frame by frame.
type fileReader struct {
	ctx    context.Context
	s      *Store
	m      *Manifest
	e      Entry
	object *objectReader
	in     int    // which object that is
	buffer []byte // what is left of the frame
	at     int64  // where the content begins in the next frame
	next   int
	left   int64 // of the content, behind the buffer
	hash   hash.Hash
	err    error
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (int, error) {
	for len(r.buffer) == 0 && r.err == nil {
		r.err = r.fill()
	}
	n := copy(p, r.buffer)
	r.buffer = r.buffer[n:]
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, r.err
}

func (r *fileReader) fill() error {
	if r.left == 0 {
		if digest := artifact.Digest(idScheme + hex.EncodeToString(r.hash.Sum(nil))); digest != r.e.Digest {
			key := "-"
			if r.object != nil {
				key = r.object.key
			}
			return wrongContent(r.e.Path, key)
		}
		return io.EOF
	}
	f := r.m.frames[r.next]
	if r.object == nil || r.in != f.object {
		if r.object != nil {
			r.object.close()
		}
		r.object, r.in = &objectReader{s: r.s, key: r.s.layerKey(r.m.objects[f.object].digest)}, f.object
	}
	packed, err := r.object.frame(r.ctx, f)
	if err != nil {
		return err
	}
	b, err := r.s.unpack(packed, f, r.object.key, make([]byte, 0, f.raw))
	if err != nil {
		return err
	}
	b = b[r.at:]
	b = b[:min(int64(len(b)), r.left)]
	r.hash.Write(b)
	r.buffer, r.at, r.left, r.next = b, 0, r.left-int64(len(b)), r.next+1
	return nil
}

// Close implements io.Closer.
func (r *fileReader) Close() error {
	if r.object != nil {
		r.object.close()
	}
	r.buffer, r.err = nil, errors.New("read after close")
	return nil
}
