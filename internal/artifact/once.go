package artifact

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// PutOnce puts an artifact that may have been put before: by an attempt that died, or by a rival. If there is one already it is
// read, and the same bytes are a success; others are ErrDigest, and what is there stays.
func PutOnce(ctx context.Context, s Store, key string, r io.Reader, o PutOptions) (Info, error) {
	o.IfAbsent = true
	offered, err := s.Put(ctx, key, r, o)
	if !errors.Is(err, ErrExists) {
		return offered, err
	}
	there, err := readBack(ctx, s, key)
	if err != nil {
		return offered, err
	}
	if there.Digest != offered.Digest {
		return there, tasks.WithHint(ErrDigest, "who wrote it? Delete it if nobody needs it, and try again",
			"artifact %s is there already with other bytes (%s, %d bytes; now it would be %s, %d bytes)", key, there.Digest, there.Size, offered.Digest, offered.Size)
	}
	return there, nil
}

// readBack reads an artifact to learn its digest: what a server says about it is what it was told.
func readBack(ctx context.Context, s Store, key string) (Info, error) {
	r, info, err := s.Get(ctx, key, 0)
	if err != nil {
		return Info{}, err
	}
	defer r.Close()
	digest, n, err := ReadDigest(r)
	if err != nil {
		return Info{}, fmt.Errorf("read artifact %s: %w", key, err)
	}
	if n != info.Size {
		return Info{}, tasks.WithHint(ErrDigest, "has it been replaced while it was read?", "artifact %s has %d bytes, and %d could be read", key, info.Size, n)
	}
	info.Digest = digest
	return info, nil
}

// Verify reads an artifact and compares it with what it has to be; a size below 0 is any. What differs is ErrDigest.
func Verify(ctx context.Context, s Store, key string, digest Digest, size int64) error {
	info, err := readBack(ctx, s, key)
	if err != nil {
		return err
	}
	if size >= 0 && info.Size != size || info.Digest != digest {
		return tasks.WithHint(ErrDigest, "it was damaged or replaced: write it again", "artifact %s is %s with %d bytes, and was to be %s with %d", key, info.Digest, info.Size, digest, size)
	}
	return nil
}

// Concat reads artifacts one after the other, as if they were one: for a Put of the whole, whose bytes go through this process
// and so have a digest. An artifact that is not there is ErrNotFound when its turn comes.
func Concat(ctx context.Context, s Store, keys []string) io.ReadCloser {
	return &concat{ctx: ctx, store: s, keys: keys}
}

type concat struct {
	ctx   context.Context
	store Store
	keys  []string
	open  io.ReadCloser // nil between two artifacts
}

// Read implements io.Reader.
func (c *concat) Read(p []byte) (int, error) {
	for {
		if c.open == nil {
			if len(c.keys) == 0 {
				return 0, io.EOF
			}
			r, _, err := c.store.Get(c.ctx, c.keys[0], 0)
			if err != nil {
				return 0, err
			}
			c.open, c.keys = r, c.keys[1:]
		}
		n, err := c.open.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		_ = c.open.Close()
		c.open = nil
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (c *concat) Close() error {
	c.keys = nil
	if c.open == nil {
		return nil
	}
	err := c.open.Close()
	c.open = nil
	return err
}

// Probed is what Probe found out.
type Probed struct {
	// Once says that of two writers with IfAbsent the second was refused by the place itself.
	Once bool
	// Took is how long it took to write, read, list and delete a small artifact.
	Took time.Duration
}

// Probe writes, reads, lists and deletes a small artifact below the key stint-probe, and says what does not work. It leaves
// nothing behind unless it may not delete, or is killed.
func Probe(ctx context.Context, s Store) (p Probed, err error) {
	key := OwnProbe + "/" + strings.ToLower(rand.Text())
	content := []byte("written by stint to see whether it can: " + key + "\n")
	start := time.Now()
	if _, err := s.Put(ctx, key, bytes.NewReader(content), PutOptions{IfAbsent: true, ContentType: "text/plain", Digest: DigestOf(content)}); err != nil {
		return p, err
	}
	deleted := false
	defer func() {
		if !deleted {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			err = errors.Join(err, s.Delete(ctx, key))
		}
	}()
	if err := Verify(ctx, s, key, DigestOf(content), int64(len(content))); err != nil {
		return p, err
	}
	list, err := s.List(ctx, key, "", 2)
	if err != nil {
		return p, err
	}
	if len(list) != 1 || list[0].Key != key {
		return p, fmt.Errorf("%s does not list what was just written", s)
	}
	again := func() error {
		_, err := s.Put(ctx, key, bytes.NewReader(content), PutOptions{IfAbsent: true})
		return err
	}
	if bucket, ok := s.(*S3); ok { // what the server does is asked, not what we look up before
		again = func() error { return bucket.putBlindly(ctx, key, content) }
	}
	err = again()
	if err != nil && !errors.Is(err, ErrExists) {
		return p, err
	}
	p.Once = err != nil
	deleted = true
	if err := s.Delete(ctx, key); err != nil {
		return p, err
	}
	if _, err := s.Stat(ctx, key); !errors.Is(err, ErrNotFound) {
		return p, errors.Join(fmt.Errorf("%s still has what was deleted", s), err)
	}
	p.Took = time.Since(start)
	return p, nil
}
