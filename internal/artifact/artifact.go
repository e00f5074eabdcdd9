// Package artifact keeps files that outlive a worker: exported rows, packages, archives of what was deleted. A Store is a
// local folder or a bucket of an S3-compatible server; both pass the same tests.
//
//	key      exports/j1/customers/parts/000001-1f9a.csv: lower-case words with slashes, the same everywhere (CheckKey)
//	Put      whole or not there: a reader never sees a part of it, whatever dies
//	IfAbsent of any number of writers at once one wins; the others learn so (ErrExists)
//	Clean    removes what writers that were killed have left: temp files, unfinished uploads
//
// An artifact never changes once it is there, by custom: whoever writes names it by what it is, puts it with IfAbsent, and
// takes "the same is there already" for success (PutOnce). So a step that is killed and repeated writes it once.
package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/stint-run/stint/tasks"
)

// What callers decide by. The errors that wrap them have a message and, where something can be done, a hint.
var (
	// ErrNotFound: there is no artifact of this key.
	ErrNotFound = errors.New("no such artifact")
	// ErrExists: there is one already, and IfAbsent was asked for. It may be of the same bytes: see PutOnce.
	ErrExists = errors.New("artifact exists")
	// ErrDigest: the bytes are not those that were promised. Nothing was put.
	ErrDigest = errors.New("digest differs")
	// ErrTooLarge: there are more bytes than the bound allows. Nothing was put.
	ErrTooLarge = errors.New("artifact too large")
)

// Store keeps artifacts by key. Its methods may be called at the same time, also from many processes.
type Store interface {
	// Put writes an artifact whole, or leaves everything as it was; once it has returned, a crash loses nothing. It reads r to
	// the end in constant memory. The Info has the digest of what was read, with ErrExists too.
	Put(ctx context.Context, key string, r io.Reader, o PutOptions) (Info, error)
	// Get opens an artifact at an offset in bytes; 0 is the whole of it, its size the empty rest. Close what it returns. A key
	// that is not there is ErrNotFound.
	Get(ctx context.Context, key string, offset int64) (io.ReadCloser, Info, error)
	// Stat says what there is of a key; ErrNotFound when there is nothing.
	Stat(ctx context.Context, key string) (Info, error)
	// List returns artifacts whose keys begin with prefix and stand after the key after ("" is the beginning), in the order of
	// their bytes, at most limit of them. Fewer than limit means that there are no more.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)
	// Delete removes an artifact. One that is not there is deleted already.
	Delete(ctx context.Context, key string) error
	// Clean removes what puts that never ended have left and nobody has touched for so long, and returns how many. An age of
	// 0 takes those that run now along.
	Clean(ctx context.Context, age time.Duration) (int, error)
	// Close lets go of what the store holds open. It is not usable afterwards.
	Close() error
	// String names the place, without secrets: a folder, or s3://BUCKET/PREFIX.
	String() string
}

// PutOptions say how an artifact is put. The zero value replaces what is there.
type PutOptions struct {
	// IfAbsent puts only when there is nothing of this key yet, else ErrExists.
	IfAbsent bool
	// ContentType is a MIME type, for those who fetch the artifact from a bucket; folders do not keep it. "" is none.
	ContentType string
	// Digest is what the bytes have to have; others are ErrDigest. The zero value is any.
	Digest Digest
	// MaxBytes is the most that may be read; more is ErrTooLarge. 0 is no bound.
	MaxBytes int64
	// Size is about how many bytes will come, where it is known: uploads of more than 156 GiB need it. 0 is unknown.
	Size int64
}

// Info is what is known about an artifact.
type Info struct {
	Key  string
	Size int64 // bytes
	// Digest is of the content; Put tells it always, Stat, Get and List only where the store keeps it. "" is unknown.
	Digest      Digest
	ContentType string    // "" is unknown
	Modified    time.Time // by the store's clock; zero after a Put
}

// Digest is sha256: and 64 lower-case hex digits. The zero value is an unknown one.
type Digest string

const digestScheme = "sha256:"

// DigestOf returns the digest of some bytes.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(digestScheme + hex.EncodeToString(sum[:]))
}

// ReadDigest reads to the end and returns the digest and the number of bytes.
func ReadDigest(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return digestSum(h), n, err
}

// Hex returns the digits alone; of an unknown digest, "".
func (d Digest) Hex() string {
	if len(d) < len(digestScheme) {
		return ""
	}
	return string(d[len(digestScheme):])
}

func digestSum(h hash.Hash) Digest { return Digest(digestScheme + hex.EncodeToString(h.Sum(nil))) }

// intake is the reader that every Put reads through: it counts, hashes, keeps to the bound and ends with the context.
type intake struct {
	ctx  context.Context
	r    io.Reader
	hash hash.Hash
	n    int64
	max  int64 // 0 is no bound
	key  string
}

func newIntake(ctx context.Context, key string, r io.Reader, max int64) *intake {
	return &intake{ctx: ctx, r: r, hash: sha256.New(), max: max, key: key}
}

// Read implements io.Reader.
func (i *intake) Read(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	n, err := i.r.Read(p)
	i.hash.Write(p[:n])
	i.n += int64(n)
	if i.max > 0 && i.n > i.max {
		return n, tasks.WithHint(ErrTooLarge, "raise the bound, or write it in smaller parts", "artifact %s has more than %d bytes", i.key, i.max)
	}
	return n, err
}

// info returns what has been read; it is of use at the end.
func (i *intake) info(o PutOptions) Info {
	return Info{Key: i.key, Size: i.n, Digest: digestSum(i.hash), ContentType: o.ContentType}
}

// keeps checks the promise about the bytes, once all are read.
func (i *intake) keeps(o PutOptions) error {
	if got := digestSum(i.hash); o.Digest != "" && got != o.Digest {
		return tasks.WithHint(ErrDigest, "it was damaged on its way, or its maker gives other bytes each time", "artifact %s is %s, and was to be %s", i.key, got, o.Digest)
	}
	return nil
}

func notFound(key string, cause error) error {
	return tasks.WithHint(errors.Join(ErrNotFound, cause), "it was never written, or was deleted", "there is no artifact %s", key)
}

func exists(key string) error {
	return tasks.WithHint(ErrExists, "choose another name, or delete it first", "artifact %s is there already", key)
}
