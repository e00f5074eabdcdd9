// Package snapshot carries a workspace from one agent to the next: what a step has left in its folder becomes a manifest and a layer of
// what is new, in the store of artifacts, and Restore makes the same folder of it anywhere.
//
//	workspace ──Capture──► layers/SHA256 ..., then snapshots/ID ──Restore──► workspace
//	             what has not been touched is not read          each file is verified before it has its name
//
// The ID is the digest of what the files are: paths, kinds, permissions, contents, the targets of links. Times are not in it, nor is
// where the contents lie, so that the same files have the same ID on any way they came about. A layer is contents in a row, without
// names, compressed in frames of 4 MiB that can be read on their own. docs/builds-snapshots.md has the format.
//
// The store is not trusted. What it gives has the digest that the ID promises, or is ErrDamaged; paths are followed inside of the
// workspace only (os.Root); and what unpacks to more than it says ends at what it said.
//
// A process that is killed in Capture leaves layers that nobody refers to, for Sweep; one that is killed in Restore leaves a folder
// beside the workspace, which the next Restore to the same place removes.
//
// Memory of Capture: for each worker 12 MiB, at most 3 objects of 36 MiB that wait to be put, and what the store holds of each put. Of
// Restore: for each worker 8 MiB, and 80 MiB that were read ahead. On top comes the manifest, about 300 bytes and the path for each file.
package snapshot

import (
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// What callers decide by. The errors that wrap them have a message and, where something can be done, a hint.
var (
	// ErrDamaged: what lies in the store is not what the ID promises. No retry helps; the step that made it has to run again.
	ErrDamaged = errors.New("snapshot damaged")
	// ErrChanging: a file was written to while it was read. Nothing was captured; try again when nobody writes any more.
	ErrChanging = errors.New("file changed while it was read")
	// ErrTooLarge: there are more files or bytes than the bounds allow.
	ErrTooLarge = errors.New("snapshot too large")
	// ErrRefused: a file is of a kind, or a path of a form, that does not travel.
	ErrRefused = errors.New("file refused")
)

// ID names what a workspace has in it: sha256: and 64 hexadecimal digits. "" is the empty tree, which needs no store.
type ID string

const idScheme = "sha256:"

// valid reports whether an ID may become part of a key.
func (id ID) valid() bool {
	return id == "" || validHex(strings.TrimPrefix(string(id), idScheme), string(id))
}

func (id ID) hex() string { return strings.TrimPrefix(string(id), idScheme) }

// validHex reports whether text is the scheme with 64 lower-case hexadecimal digits.
func validHex(digits, text string) bool {
	if len(digits) != 64 || len(text) != len(idScheme)+64 {
		return false
	}
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Kind says what an Entry is.
type Kind byte

// The kinds of entries. There are no others: devices, pipes and sockets do not travel, and hard links become files of their own.
const (
	File   Kind = 'f'
	Folder Kind = 'd'
	Link   Kind = 'l' // a symbolic link
)

// Entry is one file, folder or symbolic link.
type Entry struct {
	// Path is relative, with slashes; otherwise it is the bytes that the file system had: not always UTF-8.
	Path string
	Kind Kind
	// Mode are permission bits (0777) and no others; 0 of a link.
	Mode fs.FileMode
	// Size in bytes; 0 of what is no file.
	Size int64
	// ModTime is when it was last written to, to the nanosecond; zero of a link. It is no part of the ID.
	ModTime time.Time
	// Digest of the content; "" of what is no file.
	Digest artifact.Digest
	// Target of a link, as it was written.
	Target string

	frame int   // of the manifest: where the content begins
	at    int64 // bytes into that frame
}

// same reports whether two entries are the same in all that an ID is made of.
func (e *Entry) same(o *Entry) bool {
	return e.Path == o.Path && e.Kind == o.Kind && e.Mode == o.Mode && e.Size == o.Size && e.Digest == o.Digest && e.Target == o.Target
}

// Stats say what was done.
type Stats struct {
	Files int64 // files and links of the snapshot; folders are not counted
	Bytes int64 // of their contents
	// NewFiles are those that were put or written, and NewBytes their contents.
	NewFiles, NewBytes int64
	// Stored are the bytes that were put into the store, or read from it.
	Stored int64
	Layers int // objects that the contents lie in
}

// Options bound a Store.
type Options struct {
	// Prefix of all keys, such as "builds"; "" is none.
	Prefix string
	// MaxBytes is the most that the files of a snapshot may have together; 0 is DefaultMaxBytes.
	MaxBytes int64
	// MaxFiles is the most entries, folders included; 0 is DefaultMaxFiles.
	MaxFiles int64
	// Workers is how many files are read, hashed and compressed at the same time; 0 is one for each processor.
	Workers int
}

// What holds where Options say nothing.
const (
	DefaultMaxBytes = 100 << 30
	DefaultMaxFiles = 1_000_000
)

// Store keeps snapshots. Its methods may be called at the same time, for different folders.
type Store struct {
	files artifact.Store
	o     Options
	enc   *zstd.Encoder
	dec   *zstd.Decoder

	mu      sync.Mutex
	indexes map[string]*index // by absolute folder: what was there when this Store had last to do with it
	order   []string          // of the folders, the one that was used last at the end
}

// New returns the snapshots in a store of artifacts. It keeps nothing open.
func New(files artifact.Store, o Options) *Store {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = DefaultMaxFiles
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	// None of these options can be wrong.
	enc, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(o.Workers), zstd.WithWindowSize(frameSize))
	dec, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(o.Workers), zstd.WithDecoderMaxWindow(frameSize), zstd.WithDecoderMaxMemory(2*frameSize), zstd.WithDecodeAllCapLimit(true))
	return &Store{files: files, o: o, enc: enc, dec: dec, indexes: map[string]*index{}}
}

func (s *Store) key(kind, digits string) string {
	key := kind + "/" + digits + ".zst" // no folders by the first digits: each would have to be made, and synced, for one object
	if s.o.Prefix != "" {
		key = strings.TrimSuffix(s.o.Prefix, "/") + "/" + key
	}
	return key
}

func (s *Store) manifestKey(id ID) string          { return s.key("snapshots", id.hex()) }
func (s *Store) layerKey(d artifact.Digest) string { return s.key("layers", d.Hex()) }

// damaged says what is wrong with something in the store.
func damaged(cause error, format string, args ...any) error {
	return tasks.WithHint(errors.Join(ErrDamaged, cause), "somebody has changed what lies in the store: delete it, and build again from the beginning", format, args...)
}

// refused says why a file cannot travel. No retry helps.
func refused(hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(ErrRefused, hint, format, args...))
}

// tooLarge says which bound was broken. No retry helps.
func tooLarge(hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(ErrTooLarge, hint, format, args...))
}
