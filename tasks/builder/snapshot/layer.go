package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stint-run/stint/internal/artifact"
)

// layer writes the contents of files into new objects. The files are read in the order of paths, and which of them share a frame
// depends on nothing but their sizes, so that an attempt that is repeated makes the same objects.
//
//	feed ── small files, a frame full each ──► workers: read, hash, compress ──┐ in order
//	   └─── large files, hashed here, in pieces ──► workers: compress ─────────┴──► collect ── 32 MiB ──► put
type layer struct {
	c      *capture
	ctx    context.Context
	cancel context.CancelCauseFunc

	slots   chan struct{} // one for each frame that is in memory
	buffers sync.Pool     // of *[]byte, frameSize
	order   chan *job

	// What collect has made.
	objects []object
	frames  []frame
	stored  int64
	open    pending
	puts    sync.WaitGroup
	putting chan struct{} // one for each put that runs
	mu      sync.Mutex    // of stored
}

// job is a frame that is being made.
type job struct {
	files  []*found // whose contents begin in it
	packed []byte   // nil: nothing is left to put
	raw    int64
	done   chan struct{}
}

// pending is an object that has not been put yet.
type pending struct {
	pieces [][]byte
	size   int64
	hash   hash.Hash
}

// maxPuts is how many objects are put at the same time.
const maxPuts = 2

func newLayer(c *capture) *layer {
	l := &layer{c: c, order: make(chan *job, c.s.o.Workers+1), slots: make(chan struct{}, c.s.o.Workers+1), putting: make(chan struct{}, maxPuts)}
	l.buffers.New = func() any { b := make([]byte, 0, frameSize); return &b }
	return l
}

// write reads what has to be read, and puts what is new of it.
func (l *layer) write(ctx context.Context) error {
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	defer l.cancel(nil)
	l.open.hash = sha256.New()
	var feeding sync.WaitGroup
	feeding.Go(func() {
		defer close(l.order)
		if err := l.feed(); err != nil {
			l.cancel(err)
		}
	})
	for j := range l.order {
		<-j.done
		if l.ctx.Err() == nil {
			l.collect(j)
		}
	}
	feeding.Wait()
	if l.ctx.Err() == nil && l.open.size > 0 {
		l.flush()
	}
	l.puts.Wait()
	return context.Cause(l.ctx)
}

// feed cuts the files into frames.
func (l *layer) feed() error {
	folders := &folders{root: l.c.root}
	defer folders.close()
	todo := l.c.todo
	for len(todo) > 0 {
		if todo[0].Size > frameSize {
			if err := l.large(folders, todo[0]); err != nil {
				return err
			}
			todo = todo[1:]
			continue
		}
		n, size := 0, int64(0)
		for n < len(todo) && size+todo[n].Size <= frameSize {
			size += todo[n].Size
			n++
		}
		batch := todo[:n]
		todo = todo[n:]
		if err := l.start(func(j *job) error { return l.small(batch, j) }); err != nil {
			return err
		}
	}
	return nil
}

// start runs the making of a frame when there is room for one.
func (l *layer) start(make func(j *job) error) error {
	select {
	case l.slots <- struct{}{}:
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
	return l.run(make)
}

// run is start for who has a slot already.
func (l *layer) run(work func(j *job) error) error {
	j := &job{done: make(chan struct{})}
	select {
	case l.order <- j:
	case <-l.ctx.Done():
		<-l.slots
		return context.Cause(l.ctx)
	}
	go func() {
		defer close(j.done)
		defer func() { <-l.slots }()
		if err := work(j); err != nil {
			l.cancel(err)
		}
	}()
	return nil
}

// small reads files into one frame. Those whose content the parent has, or the frame, are not in it again.
func (l *layer) small(files []*found, j *job) error {
	buffer := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buffer)
	b := (*buffer)[:0]
	folders := &folders{root: l.c.root}
	defer folders.close()
	here := map[artifact.Digest]int64{}
	for _, f := range files {
		if err := context.Cause(l.ctx); err != nil {
			return err
		}
		before := len(b)
		var err error
		if b, err = l.read(folders, f, b); err != nil {
			return err
		}
		if f.gone {
			b = b[:before]
			continue
		}
		f.Digest = artifact.DigestOf(b[before:])
		at, known := here[f.Digest]
		if known || l.c.stored[f.Digest] != nil {
			f.at = at
			b = b[:before]
		} else {
			f.at, here[f.Digest] = int64(before), int64(before)
		}
		if l.c.stored[f.Digest] == nil {
			j.files = append(j.files, f)
		}
	}
	l.pack(b, j)
	return nil
}

func (l *layer) pack(b []byte, j *job) {
	if len(b) > 0 {
		j.packed, j.raw = l.c.s.enc.EncodeAll(b, make([]byte, 0, len(b)/2+1024)), int64(len(b))
	}
}

// read appends the content of a file to b, which has room for it.
func (l *layer) read(folders *folders, f *found, b []byte) ([]byte, error) {
	file, err := l.openFile(folders, f)
	if err != nil || file == nil {
		return b, err
	}
	defer file.Close()
	from := len(b)
	b = b[:from+int(f.Size)]
	if _, err := io.ReadFull(file, b[from:]); err != nil {
		return b, changing(f.Path, err)
	}
	return b, unchanged(file, f)
}

// openFile opens a file that is still the one that was listed; nil when it has vanished.
func (l *layer) openFile(folders *folders, f *found) (*os.File, error) {
	file, err := folders.open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		f.gone = true
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(err, f.Path)
	}
	if err := unchanged(file, f); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// unchanged compares an open file with what was listed.
func unchanged(file *os.File, f *found) error {
	info, err := file.Stat()
	if err != nil {
		return unreadable(err, f.Path)
	}
	if !info.Mode().IsRegular() || statOf(info) != f.stat {
		return changing(f.Path, nil)
	}
	return nil
}

// large reads a file of several frames.
func (l *layer) large(folders *folders, f *found) error {
	file, err := l.openFile(folders, f)
	if err != nil || file == nil {
		return err
	}
	defer file.Close()
	h := sha256.New()
	for at := int64(0); at < f.Size; at += frameSize {
		select {
		case l.slots <- struct{}{}:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
		buffer := l.buffers.Get().(*[]byte)
		b := (*buffer)[:min(frameSize, f.Size-at)]
		_, err := io.ReadFull(file, b)
		if err == nil && at == 0 {
			var known bool
			if known, err = l.hasBegun(file, f, b); known && err == nil {
				l.buffers.Put(buffer)
				<-l.slots
				return unchanged(file, f)
			}
		}
		if err != nil {
			<-l.slots
			return changing(f.Path, err)
		}
		h.Write(b)
		err = l.run(func(j *job) error {
			defer l.buffers.Put(buffer)
			if at == 0 {
				j.files = []*found{f}
			}
			l.pack(b, j)
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.Digest, f.at = artifact.Digest(idScheme+hex.EncodeToString(h.Sum(nil))), 0
	return unchanged(file, f)
}

// hasBegun reports whether the parent has a content that begins like this file and is, when all of it has been read, the same. Then it
// need not be put. The file is read on from where it was.
func (l *layer) hasBegun(file *os.File, f *found, first []byte) (bool, error) {
	sum := uint32(xxhash.Sum64(first))
	alike := false
	for _, e := range l.c.bySize[f.Size] {
		alike = alike || l.c.parent.frames[e.frame].sum == sum
	}
	if !alike {
		return false, nil
	}
	h := sha256.New()
	h.Write(first)
	if _, err := io.CopyBuffer(h, io.LimitReader(readerOnly{&ended{l.ctx, file}}, f.Size-int64(len(first))), make([]byte, 256<<10)); err != nil {
		return false, err
	}
	digest := artifact.Digest(idScheme + hex.EncodeToString(h.Sum(nil)))
	if l.c.stored[digest] != nil {
		f.Digest = digest
		return true, nil
	}
	_, err := file.Seek(int64(len(first)), io.SeekStart)
	return false, err
}

// ended is a reader that ends with a context.
type ended struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (e *ended) Read(p []byte) (int, error) {
	if err := context.Cause(e.ctx); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

type readerOnly struct{ io.Reader }

// collect takes the next frame.
func (l *layer) collect(j *job) {
	for _, f := range j.files {
		f.frame = len(l.frames)
	}
	if j.packed == nil {
		return
	}
	l.frames = append(l.frames, frame{object: len(l.objects), offset: l.open.size, size: int64(len(j.packed)), raw: j.raw, sum: checksum(j.packed)})
	l.open.pieces = append(l.open.pieces, j.packed)
	l.open.size += int64(len(j.packed))
	l.open.hash.Write(j.packed)
	if l.open.size >= objectSize {
		l.flush()
	}
}

// checksum returns the last four bytes of a frame: zstd ends it with the lower half of the xxhash of what it unpacks to.
func checksum(packed []byte) uint32 { return binary.LittleEndian.Uint32(packed[len(packed)-4:]) }

// flush puts an object, while the next one is being filled.
func (l *layer) flush() {
	p := l.open
	l.open = pending{hash: sha256.New()}
	digest := artifact.Digest(idScheme + hex.EncodeToString(p.hash.Sum(nil)))
	l.objects = append(l.objects, object{digest: digest, size: p.size})
	select {
	case l.putting <- struct{}{}:
	case <-l.ctx.Done():
		return
	}
	l.puts.Go(func() {
		defer func() { <-l.putting }()
		n, err := l.put(digest, p)
		if err != nil {
			l.cancel(err)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stored += n
	})
}

// put puts an object, and returns the bytes that this took. One that is there already has to have the same bytes; it is put again when it
// is old, lest a Sweep that goes by its age removes it now.
func (l *layer) put(digest artifact.Digest, p pending) (int64, error) {
	key, o := l.c.s.layerKey(digest), artifact.PutOptions{ContentType: "application/zstd", Digest: digest, Size: p.size}
	info, err := artifact.PutOnce(l.ctx, l.c.s.files, key, p.reader(), o)
	if err == nil && !info.Modified.IsZero() && time.Since(info.Modified) <= young {
		return 0, nil
	}
	if err == nil && !info.Modified.IsZero() || errors.Is(err, artifact.ErrDigest) {
		_, err = l.c.s.files.Put(l.ctx, key, p.reader(), o) // whatever else has this name is not what it says
	}
	return p.size, err
}

func (p *pending) reader() io.Reader {
	readers := make([]io.Reader, len(p.pieces))
	for i, b := range p.pieces {
		readers[i] = bytes.NewReader(b)
	}
	return io.MultiReader(readers...)
}

// folders opens files by the folder that they are in, which stays open for the next one. It is not safe for concurrent use.
type folders struct {
	root *os.Root
	path string
	last *os.Root // nil: the root itself
}

// at returns the folder of a path, and the name in it.
func (d *folders) at(p string) (*os.Root, string, error) {
	dir := parent(p)
	name := p
	if dir != "" {
		name = p[len(dir)+1:]
	}
	if dir != d.path {
		d.close()
	}
	if dir != "" && d.last == nil {
		next, err := d.root.OpenRoot(filepath.FromSlash(dir))
		if err != nil {
			return nil, "", err
		}
		d.path, d.last = dir, next
	}
	if d.last == nil {
		return d.root, name, nil
	}
	return d.last, name, nil
}

func (d *folders) open(p string) (*os.File, error) {
	dir, name, err := d.at(p)
	if err != nil {
		return nil, err
	}
	return dir.OpenFile(name, os.O_RDONLY|nonblock, 0)
}

func (d *folders) close() {
	if d.last != nil {
		_ = d.last.Close()
	}
	d.path, d.last = "", nil
}
