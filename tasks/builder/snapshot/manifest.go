package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
)

// Manifest is what a snapshot consists of.
type Manifest struct {
	// Entries in the order of the bytes of their paths; each stands behind the folder that it is in.
	Entries []Entry

	id      ID
	objects []object
	frames  []frame
}

// object is a layer, or a part of a large one.
type object struct {
	digest artifact.Digest
	size   int64
}

// frame is a piece of an object that can be unpacked on its own.
type frame struct {
	object       int
	offset, size int64 // in the object
	raw          int64 // bytes that it unpacks to
	sum          uint32
}

// ID returns the name of the snapshot.
func (m *Manifest) ID() ID { return m.id }

// Entry returns the entry of a path.
func (m *Manifest) Entry(path string) (Entry, bool) {
	i, found := m.find(path)
	if !found {
		return Entry{}, false
	}
	return m.Entries[i], true
}

func (m *Manifest) find(path string) (int, bool) {
	return slices.BinarySearchFunc(m.Entries, path, func(e Entry, p string) int { return strings.Compare(e.Path, p) })
}

// span returns how many frames a content has. The frames of one that has several belong to it alone.
func (m *Manifest) span(e *Entry) int {
	if e.Kind != File || e.Size == 0 {
		return 0
	}
	n, rest := 0, e.at+e.Size
	for rest > 0 {
		rest -= m.frames[e.frame+n].raw
		n++
	}
	return n
}

const (
	manifestHead = "stint-snapshot 1\n"
	// frameSize is the most that a frame unpacks to: what a worker holds, and what is unpacked for the sake of one small file.
	frameSize = 4 << 20
	// objectSize is when an object has enough: what is held in memory until its digest, and so its key, is known.
	objectSize = 32 << 20
	// entryBytes is what a manifest may have for each entry that the bounds allow.
	entryBytes = 256
)

// maxManifest is how many bytes a manifest may unpack to.
func (s *Store) maxManifest() int64 { return s.o.MaxFiles*entryBytes + 1<<20 }

// escape writes a path so that it is one word: all bytes but blanks, control bytes and % stand for themselves.
func escape(b []byte, path string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c == 0x7f || c == '%' {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// unescape is the reverse; a text that escape would not have written is an error.
func unescape(text string) (string, error) {
	if !strings.ContainsRune(text, '%') {
		return text, nil
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return "", errors.New("a path ends early")
			}
			n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", err
			}
			c = byte(n)
			i += 2
		}
		b = append(b, c)
	}
	if string(escape(nil, string(b))) != text {
		return "", errors.New("a path is written in a form of its own")
	}
	return string(b), nil
}

// identify returns the ID of entries.
func identify(entries []Entry) ID {
	if len(entries) == 0 {
		return ""
	}
	h := sha256.New()
	b := []byte(manifestHead)
	for i := range entries {
		e := &entries[i]
		b = append(b, byte(e.Kind), ' ')
		switch e.Kind {
		case Link:
			b = escape(b, e.Target)
		case File:
			b = strconv.AppendUint(b, uint64(e.Mode), 8)
			b = append(b, ' ')
			b = strconv.AppendInt(b, e.Size, 10)
			b = append(append(b, ' '), e.Digest.Hex()...)
		default:
			b = strconv.AppendUint(b, uint64(e.Mode), 8)
		}
		b = append(escape(append(b, ' '), e.Path), '\n')
		if len(b) > 64<<10 {
			h.Write(b)
			b = b[:0]
		}
	}
	h.Write(b)
	return ID(idScheme + hex.EncodeToString(h.Sum(nil)))
}

// encode returns the text of a manifest.
func (m *Manifest) encode() []byte {
	b := []byte(manifestHead)
	for _, o := range m.objects {
		b = fmt.Appendf(b, "object %s %d\n", o.digest.Hex(), o.size)
	}
	for _, f := range m.frames {
		b = fmt.Appendf(b, "frame %d %d %d %d %d\n", f.object, f.offset, f.size, f.raw, f.sum)
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		b = append(b, byte(e.Kind), ' ')
		if e.Kind == Link {
			b = escape(b, e.Target)
		} else {
			b = strconv.AppendUint(b, uint64(e.Mode), 8)
			b = append(b, ' ')
			b = strconv.AppendInt(b, e.ModTime.UnixNano(), 10)
		}
		if e.Kind == File {
			b = append(b, ' ')
			b = strconv.AppendInt(b, e.Size, 10)
			b = append(append(b, ' '), e.Digest.Hex()...)
			b = append(b, ' ')
			b = strconv.AppendInt(b, int64(e.frame), 10)
			b = append(b, ' ')
			b = strconv.AppendInt(b, e.at, 10)
		}
		b = append(escape(append(b, ' '), e.Path), '\n')
	}
	return b
}

// put writes a manifest, unless there is one of the same ID already that is whole and young: one that Sweep cannot be about to remove.
func (s *Store) put(ctx context.Context, m *Manifest) (int64, error) {
	if m.id == "" {
		return 0, nil
	}
	text := m.encode()
	if int64(len(text)) > s.maxManifest() {
		return 0, tooLarge("exclude what can be made anew, or shorten the paths", "the list of %d files has %d bytes; %d are allowed", len(m.Entries), len(text), s.maxManifest())
	}
	packed := s.enc.EncodeAll(text, nil)
	o := artifact.PutOptions{IfAbsent: true, ContentType: "application/zstd", Size: int64(len(packed))}
	_, err := s.files.Put(ctx, s.manifestKey(m.id), bytes.NewReader(packed), o)
	if errors.Is(err, artifact.ErrExists) {
		if s.sound(ctx, m.id) {
			return 0, nil
		}
		o.IfAbsent = false
		_, err = s.files.Put(ctx, s.manifestKey(m.id), bytes.NewReader(packed), o)
	}
	if err != nil {
		return 0, err
	}
	return int64(len(packed)), nil
}

// young is how old an object may be to be taken as it is, when it is what would be put. Sweep asks for more than that.
const young = 15 * time.Minute

// sound reports whether a manifest can be read, has its objects, and is young.
func (s *Store) sound(ctx context.Context, id ID) bool {
	info, err := s.files.Stat(ctx, s.manifestKey(id))
	if err != nil || time.Since(info.Modified) > young {
		return false
	}
	m, _, err := s.fetch(ctx, id) // as it lies there, not as this process remembers it
	if err != nil {
		return false
	}
	for _, o := range m.objects {
		if info, err := s.files.Stat(ctx, s.layerKey(o.digest)); err != nil || info.Size != o.size {
			return false
		}
	}
	return true
}

// Manifest returns what a snapshot consists of; that of "" is empty. One that is not there is artifact.ErrNotFound.
func (s *Store) Manifest(ctx context.Context, id ID) (*Manifest, error) {
	m, _, err := s.load(ctx, id)
	return m, err
}

// load is Manifest, and says how many bytes were read.
func (s *Store) load(ctx context.Context, id ID) (*Manifest, int64, error) {
	if !id.valid() {
		return nil, 0, damaged(nil, "%q is no name of a snapshot", string(id))
	}
	if id == "" {
		return &Manifest{}, 0, nil
	}
	if m := s.known(id); m != nil {
		return m, 0, nil
	}
	return s.fetch(ctx, id)
}

// fetch reads a manifest from the store.
func (s *Store) fetch(ctx context.Context, id ID) (*Manifest, int64, error) {
	text, n, err := s.text(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	m, err := s.parse(text)
	if err == nil {
		if m.id = identify(m.Entries); m.id != id {
			err = fmt.Errorf("its files make %s", m.id)
		}
	}
	if err != nil && !errors.Is(err, ErrTooLarge) {
		err = damaged(err, "the manifest of %s cannot be used", id)
	}
	if err != nil {
		return nil, 0, err
	}
	return m, n, nil
}

// text returns the unpacked text of a manifest, and the bytes that were read for it.
func (s *Store) text(ctx context.Context, id ID) (string, int64, error) {
	r, info, err := s.files.Get(ctx, s.manifestKey(id), 0)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	z, err := zstd.NewReader(io.LimitReader(r, s.maxManifest()), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return "", 0, err
	}
	defer z.Close()
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(z, s.maxManifest()+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return "", 0, context.Cause(ctx)
	case err != nil:
		return "", 0, damaged(err, "the manifest of %s cannot be unpacked", id)
	case n > s.maxManifest():
		return "", 0, tooLarge("raise the bound on files", "the manifest of %s has more than %d bytes", id, s.maxManifest())
	}
	return b.String(), info.Size, nil
}

// parse reads the text of a manifest. It does not check that the entries are those of an ID.
func (s *Store) parse(text string) (*Manifest, error) {
	text, ok := strings.CutPrefix(text, manifestHead)
	if !ok {
		return nil, errors.New("it does not begin like one")
	}
	m := &Manifest{}
	p := &parser{}
	lines := strings.Count(text, "\n")
	m.Entries = make([]Entry, 0, min(int64(lines), s.o.MaxFiles))
	var total int64
	for n := 1; text != ""; n++ {
		line, rest, ended := strings.Cut(text, "\n")
		if text = rest; !ended {
			return nil, errors.New("its last line has no end")
		}
		p.rest = line
		switch word := p.word(); word {
		case "object":
			m.objects = append(m.objects, p.object())
		case "frame":
			m.frames = append(m.frames, p.frame(m))
		default:
			e := p.entry(word, m)
			total += e.Size
			if int64(len(m.Entries)) >= s.o.MaxFiles || total > s.o.MaxBytes {
				return nil, tooLarge("raise the bounds of agents, if it is right", "the snapshot has more than %d files or %d bytes", s.o.MaxFiles, s.o.MaxBytes)
			}
			m.Entries = append(m.Entries, e)
		}
		if p.rest != "" {
			p.fail("has too many words")
		}
		if p.err != nil {
			return nil, fmt.Errorf("line %d %w", n+1, p.err)
		}
	}
	return m, errors.Join(checkTree(m.Entries), m.checkSpans())
}

// parser takes a line apart, word by word; the first mistake stays.
type parser struct {
	rest string
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *parser) word() string {
	word, rest, _ := strings.Cut(p.rest, " ")
	p.rest = rest
	return word
}

// number reads a decimal number from 0 to a bound.
func (p *parser) number(most int64) int64 {
	word := p.word()
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < 0 || n > most {
		p.fail("has %.40q where a number up to %d has to be", word, most)
		return 0
	}
	return n
}

func (p *parser) digest() artifact.Digest {
	word := p.word()
	d := idScheme + word
	if !validHex(word, d) {
		p.fail("has %.80q where a digest has to be", word)
		return ""
	}
	return artifact.Digest(d)
}

// largest is more than any object has: parts of a layer are put when they have 32 MiB.
const largest = objectSize + 4*frameSize

func (p *parser) object() object { return object{digest: p.digest(), size: p.number(largest)} }

func (p *parser) frame(m *Manifest) frame {
	f := frame{object: int(p.number(int64(len(m.objects)) - 1)), offset: p.number(largest), size: p.number(largest), raw: p.number(frameSize), sum: uint32(p.number(1<<32 - 1))}
	if p.err == nil && (f.raw == 0 || f.offset+f.size > m.objects[f.object].size) {
		p.fail("is a frame that does not lie in its object")
	}
	return f
}

func (p *parser) entry(kind string, m *Manifest) Entry {
	var e Entry
	if len(kind) != 1 || !strings.Contains("fdl", kind) {
		p.fail("begins with %.40q", kind)
		return e
	}
	e.Kind = Kind(kind[0])
	if e.Kind == Link {
		e.Target = p.path()
	} else {
		mode, err := strconv.ParseUint(p.word(), 8, 16)
		if err != nil || mode > 0o777 {
			p.fail("has other bits than permissions")
		}
		e.Mode = fs.FileMode(mode)
		nano, err := strconv.ParseInt(p.word(), 10, 64)
		if err != nil {
			p.fail("has no time")
		}
		e.ModTime = time.Unix(0, nano)
	}
	if e.Kind == File {
		e.Size, e.Digest = p.number(1<<62), p.digest()
		e.frame, e.at = int(p.number(max(0, int64(len(m.frames))-1))), p.number(frameSize)
	}
	if e.Path = p.path(); p.err == nil {
		if why := pathFault(e.Path); why != "" {
			p.fail("has the path %q: %s", e.Path, why)
		}
	}
	return e
}

func (p *parser) path() string {
	path, err := unescape(p.word())
	if err != nil {
		p.fail("has a path that cannot be read: %w", err)
	}
	return path
}

// checkSpans finds contents that do not lie in their frames, and frames of a content of several that another one claims.
func (m *Manifest) checkSpans() error {
	owner := make([]*Entry, len(m.frames)) // of a frame
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Kind != File || e.Size == 0 {
			continue
		}
		n := e.frame
		for rest := e.at + e.Size; rest > 0; n++ {
			if n >= len(m.frames) || n == e.frame && e.at >= m.frames[n].raw {
				return fmt.Errorf("the content of %q does not lie in its frames", e.Path)
			}
			rest -= m.frames[n].raw
		}
		if n > e.frame+1 && e.at != 0 {
			return fmt.Errorf("the content of %q begins inside of a frame", e.Path)
		}
		for f := e.frame; f < n; f++ {
			o := owner[f]
			owner[f] = e
			single := n == e.frame+1 && (o == nil || o.at+o.Size <= m.frames[f].raw && o.frame == f)
			if o != nil && !single && (o.frame != e.frame || o.Size != e.Size || o.Digest != e.Digest) {
				return fmt.Errorf("the content of %q has frames of another", e.Path)
			}
		}
	}
	return nil
}
