package publish

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"net/http"
	"os"

	"github.com/stint-run/stint/tasks"
)

// signaturePart is the entry that a feed adds to a package that it signs.
const signaturePart = ".signature.p7s"

// sameContent reports whether the package that a feed has differs from the one that is to be published in nothing but the feed's
// signature. A zip is read from its end, so both are brought to temporary files.
func (n *nuget) sameContent(ctx context.Context, address string, a Artifact) (same bool, err error) {
	theirs, err := spool(a.Size+1<<20, func() (io.ReadCloser, error) {
		r, err := n.client.request(ctx, http.MethodGet, address, 0, nil)
		if err != nil {
			return nil, err
		}
		res, err := n.client.do(r)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			defer drain(res)
			return nil, n.client.refusal(res)
		}
		return res.Body, nil
	})
	if errors.Is(err, errLarge) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer theirs.remove(&err)
	ours, err := spool(a.Size, func() (io.ReadCloser, error) { return open(ctx, a) })
	if err != nil {
		return false, err
	}
	defer ours.remove(&err)
	one, size, err := ours.entries(math.MaxInt64)
	if err != nil {
		return false, tasks.WithHint(err, "pack it again", "%s is no package of NuGet's", a.Name)
	}
	two, _, err := theirs.entries(size + 1<<20)
	if err != nil { // what is there is no package at all, or one that would never end
		return false, nil
	}
	if _, signed := two[signaturePart]; !signed {
		return false, nil
	}
	delete(two, signaturePart)
	delete(one, signaturePart)
	if len(one) != len(two) {
		return false, nil
	}
	for name, digest := range one {
		if two[name] != digest {
			return false, nil
		}
	}
	return true, nil
}

var errLarge = errors.New("larger than expected")

// spooled is a temporary file.
type spooled struct {
	*os.File
	size int64
}

func spool(most int64, open func() (io.ReadCloser, error)) (s *spooled, err error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := os.CreateTemp("", "stint-publish-")
	if err != nil {
		return nil, err
	}
	s = &spooled{File: f}
	defer func() {
		if err != nil {
			s.remove(&err)
		}
	}()
	if s.size, err = io.Copy(f, io.LimitReader(r, most+1)); err == nil && s.size > most {
		err = errLarge
	}
	return s, err
}

func (s *spooled) remove(err *error) {
	*err = errors.Join(*err, s.Close(), os.Remove(s.Name()))
}

// entries returns the digest of what is in each entry, and how many bytes that is together: not more than most.
func (s *spooled) entries(most int64) (found map[string][sha256.Size]byte, size int64, err error) {
	z, err := zip.NewReader(s.File, s.size)
	if err != nil {
		return nil, 0, err
	}
	found = make(map[string][sha256.Size]byte, len(z.File))
	for _, f := range z.File {
		if _, twice := found[f.Name]; twice {
			return nil, 0, zip.ErrFormat
		}
		r, err := f.Open()
		if err != nil {
			return nil, 0, err
		}
		h := sha256.New()
		n, err := io.Copy(h, io.LimitReader(r, most-size))
		_ = r.Close() // the reader before has said what there is to say
		if size += n; err == nil && size >= most {
			err = errLarge
		}
		if err != nil {
			return nil, 0, err
		}
		found[f.Name] = [sha256.Size]byte(h.Sum(nil))
	}
	return found, size, nil
}
