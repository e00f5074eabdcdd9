package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/tree"
)

// mostFile is the largest file that ReadFile gives, in bytes.
const mostFile = 4 << 20

// ReadFile gives one file of a commit, of up to 4 MiB; the path has slashes and begins at the repository's root. It does not ask the
// remote where the commit was fetched before. ErrNotFound: the commit has no such file.
func (r *Repositories) ReadFile(ctx context.Context, url, sha, path string) ([]byte, error) {
	if err := r.Check(url); err != nil {
		return nil, err
	}
	if err := full(sha); err != nil {
		return nil, err
	}
	if err := tree.Name(path); err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, "give it from the root of the repository, with slashes", "a file of a repository cannot be found by that path"))
	}
	m, err := r.open(ctx, url)
	if err != nil {
		return nil, err
	}
	var data []byte
	err = m.with(ctx, sha, "", func(ctx context.Context) error {
		o := m.read(ctx)
		defer o.Close()
		data, err = m.file(o, sha, path)
		return err
	})
	return data, err
}

// file walks down to a file.
func (m *mirror) file(o *objects, sha, path string) ([]byte, error) {
	at, _, err := o.commit(sha)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		entries, err := o.tree(at)
		if err != nil {
			return nil, err
		}
		var found entry
		for _, e := range entries {
			if e.name == part {
				found = e
				break
			}
		}
		last := i == len(parts)-1
		switch {
		case found.sha == "", !last && found.mode != folder:
			return nil, gone("see whether it was committed, and how its name is written", "the commit %s of %s has no file %q", sha, m.address, path)
		case !last:
			at = found.sha
			continue
		case found.mode == folder, found.mode == module, found.mode == link:
			return nil, tasks.Permanent(tasks.WithHint(nil, "give a regular file", "%q of the commit %s of %s is no file", path, sha, m.address))
		}
		data, err := o.whole(found.sha, "blob", mostFile)
		var large *tooLarge
		if errors.As(err, &large) {
			return nil, tasks.Permanent(tasks.WithHint(err, "keep it small", "%q of the commit %s of %s is not read", path, sha, m.address))
		}
		return data, err
	}
	return nil, fmt.Errorf("%q is no path", path)
}
