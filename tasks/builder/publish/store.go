package publish

import (
	"bytes"
	"context"
	"errors"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
)

// store publishes to a folder or a bucket: PRODUCT/VERSION/NAME, and beside it NAME.sha256, which sha256sum reads.
type store struct{ s artifact.Store }

// NewStore returns the target in a folder or a bucket. What words of keys cannot hold is escaped (artifact.Escape).
func NewStore(s artifact.Store) Target { return &store{s} }

// StoreKeys returns the keys of an artifact in a store: itself, and the checksum beside it.
func StoreKeys(product, version, name string) []string {
	key := artifact.Escape(product) + "/" + artifact.Escape(version) + "/" + artifact.Escape(name)
	return []string{key, key + ".sha256"}
}

// Publish implements Target. What was put is read back: some servers keep other bytes than they were sent, and say nothing.
func (t *store) Publish(ctx context.Context, a Artifact) (at string, already bool, err error) {
	keys := StoreKeys(a.Product, a.Version, a.Name)
	at = t.s.String() + "/" + keys[0]
	r, err := open(ctx, a)
	if err != nil {
		return at, false, err
	}
	defer r.Close()
	_, err = t.s.Put(ctx, keys[0], r, artifact.PutOptions{IfAbsent: true, ContentType: a.ContentType, Digest: a.Digest, Size: a.Size, MaxBytes: max(a.Size, 1)})
	already = errors.Is(err, artifact.ErrExists)
	if err != nil && !already {
		return at, false, err
	}
	there, err := t.read(ctx, keys[0])
	switch {
	case errors.Is(err, artifact.ErrNotFound):
		return at, false, tasks.WithHint(errors.Join(ErrNotStored, err), "look at the server: it loses what it takes", "%s is not there after it was put", at)
	case err != nil:
		return at, false, err
	case there != a.Digest && already:
		return at, false, conflict(at, there, a.Digest)
	case there != a.Digest:
		return at, false, tasks.WithHint(ErrNotStored, "delete it, and look at the server: it keeps other bytes than it is sent", "%s is %s after %s was put", at, there, a.Digest)
	}
	sum := pack.Checksums([]pack.Sum{{Name: a.Name, Digest: a.Digest}})
	if _, err := artifact.PutOnce(ctx, t.s, keys[1], bytes.NewReader(sum), artifact.PutOptions{ContentType: "text/plain; charset=utf-8"}); err != nil {
		return at, false, err
	}
	return at, already, nil
}

func (t *store) read(ctx context.Context, key string) (artifact.Digest, error) {
	r, _, err := t.s.Get(ctx, key, 0)
	if err != nil {
		return "", err
	}
	defer r.Close()
	d, _, err := artifact.ReadDigest(r)
	return d, err
}

// Check implements Target: it writes a small artifact and deletes it.
func (t *store) Check(ctx context.Context) error {
	p, err := artifact.Probe(ctx, t.s)
	if err != nil {
		return err
	}
	if !p.Once {
		return tasks.WithHint(nil, "choose a server that knows If-None-Match: two builds at once could replace each other's packages", "%s takes no conditional writes", t.s)
	}
	return nil
}
