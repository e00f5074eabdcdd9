package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// MinSweepAge is the least age that Sweep takes: what is younger may belong to a snapshot that is being made.
const MinSweepAge = time.Hour

// Sweep removes manifests that are not to be kept, and layers that no manifest needs any more, if they are older than age, by the clock
// of the store; less than MinSweepAge is an error. keep yields what is needed: the snapshots of builds that run, and of results that may
// be taken again. What younger manifests need stays as well. It may run beside anything else; age has to be more than a step takes, so
// that its layers are not removed before it has ended. Manifests go first: killed at any moment, it leaves layers that the next one
// removes. It returns how many objects and how many bytes are gone.
func (s *Store) Sweep(ctx context.Context, keep func(yield func(ID) error) error, age time.Duration) (removed int, bytes int64, err error) {
	if age < MinSweepAge {
		return 0, 0, tasks.WithHint(nil, fmt.Sprintf("choose %v or more", MinSweepAge), "snapshots that are %v old may be being made", age)
	}
	w := &sweep{s: s, before: time.Now().Add(-age), kept: map[ID]bool{}, needed: map[string]bool{}}
	if err := keep(func(id ID) error {
		if !id.valid() {
			return tasks.WithHint(nil, "the record that has it is damaged", "%q is no name of a snapshot", string(id))
		}
		if id == "" || w.kept[id] {
			return nil
		}
		w.kept[id] = true
		return w.mark(ctx, s.manifestKey(id))
	}); err != nil {
		return 0, 0, err
	}
	var old []artifact.Info
	err = s.each(ctx, "snapshots", func(info artifact.Info) error {
		if id, ok := idOf(info.Key); ok && w.kept[id] {
			return nil
		}
		if info.Modified.Before(w.before) {
			old = append(old, info)
			return nil
		}
		return w.mark(ctx, info.Key)
	})
	if err != nil {
		return 0, 0, err
	}
	for _, info := range old {
		if err := w.remove(ctx, info); err != nil {
			return w.removed, w.bytes, err
		}
	}
	err = s.each(ctx, "layers", func(info artifact.Info) error {
		if w.needed[info.Key] || !info.Modified.Before(w.before) {
			return nil
		}
		return w.remove(ctx, info)
	})
	return w.removed, w.bytes, err
}

// sweep is one Sweep.
type sweep struct {
	s       *Store
	before  time.Time
	kept    map[ID]bool
	needed  map[string]bool // keys of layers
	removed int
	bytes   int64
}

// mark notes the layers of a manifest. One that is not there, or is damaged, has none: nobody can restore it.
func (w *sweep) mark(ctx context.Context, key string) error {
	r, _, err := w.s.files.Get(ctx, key, 0)
	if errors.Is(err, artifact.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	source := &failing{r: r}
	z, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	lines := bufio.NewScanner(io.LimitReader(z, w.s.maxManifest()))
	for first := true; lines.Scan(); first = false {
		line := lines.Text()
		digits, isObject := strings.CutPrefix(line, "object ")
		if !isObject {
			if first && line+"\n" == manifestHead {
				continue
			}
			break // the objects come first
		}
		if digits, _, _ = strings.Cut(digits, " "); validHex(digits, idScheme+digits) {
			w.needed[w.s.layerKey(artifact.Digest(idScheme+digits))] = true
		}
	}
	return source.err
}

// failing remembers how a store failed: what it holds may be damaged, but a store that does not answer says nothing about it.
type failing struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// remove deletes an object, unless somebody has put it again since it was listed.
func (w *sweep) remove(ctx context.Context, info artifact.Info) error {
	now, err := w.s.files.Stat(ctx, info.Key)
	if errors.Is(err, artifact.ErrNotFound) || err == nil && !now.Modified.Before(w.before) {
		return nil
	}
	if err == nil {
		err = w.s.files.Delete(ctx, info.Key)
	}
	if err != nil {
		return err
	}
	w.removed++
	w.bytes += info.Size
	return nil
}

// each calls a function for each object of a kind; it may delete what it is called for.
func (s *Store) each(ctx context.Context, kind string, do func(artifact.Info) error) error {
	const page = 1000
	prefix := strings.TrimSuffix(s.key(kind, "xx"), "xx.zst")
	for after := ""; ; {
		list, err := s.files.List(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		for _, info := range list {
			if err := do(info); err != nil {
				return err
			}
			after = info.Key
		}
		if len(list) < page {
			return nil
		}
	}
}

// idOf returns the ID of a manifest's key.
func idOf(key string) (ID, bool) {
	digits, isOurs := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], ".zst")
	return ID(idScheme + digits), isOurs && validHex(digits, idScheme+digits)
}
