// Package publish brings packages to where people fetch them, and says which version stands in which environment.
//
//	Target        a folder, a bucket, an HTTP server or a NuGet feed: the same version never gets other bytes there
//	Catalogue     which versions there are, of which bytes: entered once, and kept when the packages are gone
//	Environments  which version stands in ci, staging, production: a promotion is a record and moves no bytes
//
// Everything may be done again: a step that was killed after a server had taken a package finds the same bytes there, and is done. What
// is there with other bytes is a *Conflict, and stays.
package publish

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

// Artifact is a file to publish. Open is called as often as it is sent.
type Artifact struct {
	Product, Version, Channel string
	Name                      string // of the file
	Size                      int64  // bytes
	Digest                    artifact.Digest
	ContentType               string // "" is application/octet-stream
	Open                      func(ctx context.Context) (io.ReadCloser, error)
}

// Target is where packages are published to. Its methods may be called at the same time, also from many processes.
type Target interface {
	// Publish brings an artifact there, or leaves everything as it was. at says where it is, without secrets; already that the same
	// bytes were there before. Other bytes are a *Conflict.
	Publish(ctx context.Context, a Artifact) (at string, already bool, err error)
	// Check says whether the target can be reached and takes the credentials, as far as that can be known without publishing.
	Check(ctx context.Context) error
}

// Conflict is that a version has been published with other bytes. What is there stays.
type Conflict struct {
	At string // where
	// There is of what is there; "" where the server does not let it be read.
	There   artifact.Digest
	Offered artifact.Digest
}

// Error says what is there and what was to be.
func (c *Conflict) Error() string {
	there := "cannot be read"
	if c.There != "" {
		there = "is " + string(c.There)
	}
	return fmt.Sprintf("%s has been published before: what is there %s, and this is %s", c.At, there, c.Offered)
}

// conflict gives a Conflict its hint. No retry can help.
func conflict(at string, there, offered artifact.Digest) error {
	c := &Conflict{At: at, There: there, Offered: offered}
	return tasks.Permanent(tasks.WithHint(c, "build a new version: a published one never changes. Has the build another result each time?", "publish %s", at))
}

// ErrNotStored: the server says that it has taken a package, and does not have it.
var ErrNotStored = errors.New("the server has not kept what it took")

// ErrSource: an artifact has not the bytes that it was said to have. Nothing was published.
var ErrSource = errors.New("artifact has other bytes than it should")

// Scanned returns a target that refuses what scan finds fault with, before a byte is sent: a secret in a package. scan reads as much as
// it likes.
func Scanned(t Target, scan func(a Artifact, r io.Reader) error) Target { return &scanned{t, scan} }

type scanned struct {
	Target
	scan func(Artifact, io.Reader) error
}

// Publish implements Target.
func (s *scanned) Publish(ctx context.Context, a Artifact) (at string, already bool, err error) {
	r, err := open(ctx, a)
	if err != nil {
		return "", false, err
	}
	err = s.scan(a, r)
	_ = r.Close() // it was only read
	if err != nil {
		return "", false, tasks.Permanent(tasks.WithHint(err, "take it out of the files, and change the secret: it has been in a build's workspace", "%s is not published", a.Name))
	}
	return s.Target.Publish(ctx, a)
}

// source reads an artifact and hands out its last bytes only when all of them are what they should be: a receiver that waits for
// Size bytes never gets a whole of others.
type source struct {
	a    Artifact
	r    io.ReadCloser
	hash hash.Hash
	n    int64
	err  error
}

func open(ctx context.Context, a Artifact) (*source, error) {
	r, err := a.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", a.Name, err)
	}
	return &source{a: a, r: r, hash: sha256.New()}, nil
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (int, error) {
	if s.err != nil || len(b) == 0 {
		return 0, s.err
	}
	n, err := s.r.Read(b)
	s.hash.Write(b[:n])
	s.n += int64(n)
	ended := errors.Is(err, io.EOF)
	switch {
	case err != nil && !ended:
		s.err = fmt.Errorf("read %s: %w", s.a.Name, err)
	case s.n > s.a.Size || ended && s.n < s.a.Size, s.n == s.a.Size && hex.EncodeToString(s.hash.Sum(nil)) != s.a.Digest.Hex():
		s.err = tasks.WithHint(ErrSource, "pack it again: it was damaged or replaced", "%s is not %s with %d bytes", s.a.Name, s.a.Digest, s.a.Size)
	case ended:
		s.err = io.EOF
	default:
		return n, nil
	}
	if s.err == io.EOF { //nolint:errorlint // it was set above
		return n, io.EOF
	}
	return 0, s.err
}

// Close implements io.Closer.
func (s *source) Close() error { return s.r.Close() }
