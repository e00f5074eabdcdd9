package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// Conflict is a path that two snapshots have changed, each in its own way.
type Conflict struct {
	Path string
	// One and Other are the snapshots. In Graft, One is what was grafted onto, and Other has the changes.
	One, Other ID
}

// Error names the path and the snapshots.
func (c *Conflict) Error() string {
	return fmt.Sprintf("%q was changed in two ways: in %s and in %s", c.Path, c.One, c.Other)
}

func (c *Conflict) hinted() error {
	return tasks.Permanent(tasks.WithHint(c, "let one of the steps need the other, or write to different files", "files cannot be put together"))
}

// version is a path's entry, with the manifest that knows where its content lies. The zero version is a path that is not there.
type version struct {
	e    *Entry
	from *Manifest
}

func (v version) same(o version) bool {
	return v.e == nil && o.e == nil || v.e != nil && o.e != nil && v.e.same(o.e)
}

// versions are files by path.
type versions map[string]version

func versionsOf(m *Manifest) versions {
	v := make(versions, len(m.Entries))
	for i := range m.Entries {
		v[m.Entries[i].Path] = version{&m.Entries[i], m}
	}
	return v
}

// change is a path whose entry differs; the zero version is a path that is not there.
type change struct{ was, is version }

func (c change) path() string {
	if c.is.e != nil {
		return c.is.e.Path
	}
	return c.was.e.Path
}

// changes returns what leads from one manifest to another, in the order of paths.
func changes(from, to *Manifest) []change {
	var out []change
	a, b := from.Entries, to.Entries
	for len(a) > 0 || len(b) > 0 {
		var c change
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = cmp.Compare(a[0].Path, b[0].Path)
		}
		if order <= 0 {
			c.was, a = version{&a[0], from}, a[1:]
		}
		if order >= 0 {
			c.is, b = version{&b[0], to}, b[1:]
		}
		if !c.was.same(c.is) {
			out = append(out, c)
		}
	}
	return out
}

// Diff returns what leads from one snapshot to another: what is only in the second, what is in both and differs (as it is in the
// second), and what is only in the first. Times are no difference.
func (s *Store) Diff(ctx context.Context, from, to ID) (added, changed, removed []Entry, err error) {
	if from == to && from.valid() {
		return nil, nil, nil, nil
	}
	a, err := s.Manifest(ctx, from)
	if err != nil {
		return nil, nil, nil, err
	}
	b, err := s.Manifest(ctx, to)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, c := range changes(a, b) {
		switch {
		case c.was.e == nil:
			added = append(added, *c.is.e)
		case c.is.e == nil:
			removed = append(removed, *c.was.e)
		default:
			changed = append(changed, *c.is.e)
		}
	}
	return added, changed, removed, nil
}

// Merge returns what several steps that began with the files of base have made together: what no step has changed, and what one step
// has, or several in the same way. A path that two have changed differently is a Conflict. A folder that one has removed stays when
// another has put something into it. No ids is base itself.
func (s *Store) Merge(ctx context.Context, base ID, ids []ID) (ID, error) {
	from, err := s.Manifest(ctx, base)
	if err != nil {
		return "", err
	}
	result := versionsOf(from)
	owner := map[string]ID{}
	for _, id := range ids {
		to, err := s.Manifest(ctx, id)
		if err != nil {
			return "", err
		}
		for _, c := range changes(from, to) {
			p := c.path()
			if by, taken := owner[p]; taken && !result[p].same(c.is) {
				return "", (&Conflict{Path: p, One: by, Other: id}).hinted()
			}
			result.set(p, c.is)
			owner[p] = id
		}
	}
	by := func(p string) ID {
		if id, known := owner[p]; known {
			return id
		}
		return base
	}
	return s.combined(ctx, result, func(v version) version { return versionIn(from, v.e.Path) }, by)
}

// Graft returns onto, with the changes that lead from from to to. Where onto is in a changed path what to is, it stays; where it is
// neither that nor what from is, that is a Conflict.
func (s *Store) Graft(ctx context.Context, onto, from, to ID) (ID, error) {
	if onto == from {
		_, err := s.Manifest(ctx, to)
		return to, err
	}
	var m [3]*Manifest
	for i, id := range []ID{onto, from, to} {
		var err error
		if m[i], err = s.Manifest(ctx, id); err != nil {
			return "", err
		}
	}
	result := versionsOf(m[0])
	changed := map[string]bool{}
	for _, c := range changes(m[1], m[2]) {
		p := c.path()
		if now := result[p]; !now.same(c.was) && !now.same(c.is) {
			return "", (&Conflict{Path: p, One: onto, Other: to}).hinted()
		}
		result.set(p, c.is)
		changed[p] = true
	}
	by := func(p string) ID {
		if changed[p] {
			return to
		}
		return onto
	}
	folder := func(v version) version {
		if f := versionIn(v.from, v.e.Path); f.e != nil {
			return f
		}
		return versionIn(m[0], v.e.Path)
	}
	return s.combined(ctx, result, folder, by)
}

func (v versions) set(p string, to version) {
	if to.e == nil {
		delete(v, p)
	} else {
		v[p] = to
	}
}

// versionIn returns the folder that a path is in, as a manifest has it.
func versionIn(m *Manifest, p string) version {
	if i, found := m.find(parent(p)); found {
		return version{&m.Entries[i], m}
	}
	return version{}
}

// combined puts a manifest together and keeps it. folder finds the folder of what has none any more, and by says whose a path is.
func (s *Store) combined(ctx context.Context, v versions, folder func(version) version, by func(string) ID) (ID, error) {
	for _, p := range slices.Sorted(maps.Keys(v)) {
		for e := v[p]; parent(e.e.Path) != ""; {
			dir := parent(e.e.Path)
			above, there := v[dir]
			if there && above.e.Kind != Folder {
				return "", (&Conflict{Path: dir, One: by(dir), Other: by(p)}).hinted()
			}
			if there {
				break
			}
			if above = folder(e); above.e == nil || above.e.Kind != Folder {
				if above = versionIn(e.from, e.e.Path); above.e == nil { // an entry is never without its folder there
					return "", damaged(nil, "%q is in no folder", e.e.Path)
				}
			}
			v[dir], e = above, above
		}
	}
	a := newAssembly()
	for _, p := range slices.Sorted(maps.Keys(v)) {
		a.add(*v[p].e, v[p].from)
	}
	var total int64
	for i := range a.entries {
		total += a.entries[i].Size
	}
	if int64(len(a.entries)) > s.o.MaxFiles || total > s.o.MaxBytes {
		return "", tooLarge("exclude what can be made anew", "together there are more than %d files or %d bytes", s.o.MaxFiles, s.o.MaxBytes)
	}
	if err := checkTree(a.entries); err != nil {
		return "", refused("links that lead out together, and not each alone, are not put together", "the files cannot be put together: %v", err)
	}
	m := a.manifest()
	_, err := s.put(ctx, m)
	return m.id, err
}

// DigestOf returns a digest over paths, kinds, modes and contents of the files and links that fit the globs, or are in a folder that
// does; none is all. Folders themselves, and times, do not count. Nothing that fits has a digest, too.
func (s *Store) DigestOf(ctx context.Context, id ID, patterns []string) (artifact.Digest, error) {
	g, err := readGlobs(patterns)
	if err != nil {
		return "", err
	}
	m, err := s.Manifest(ctx, id)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	var b []byte
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Kind == Folder || len(g) > 0 && !g.covers(e.Path) {
			continue
		}
		b = append(b[:0], byte(e.Kind), ' ')
		b = strconv.AppendUint(b, uint64(e.Mode), 8)
		b = append(append(b, ' '), e.Digest...)
		b = escape(append(b, ' '), e.Target)
		b = append(escape(append(b, ' '), e.Path), '\n')
		h.Write(b)
	}
	return artifact.Digest(idScheme + hex.EncodeToString(h.Sum(nil))), nil
}
