package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/git"
)

// Resolve asks the remote which commit a name stands for, and fetches it. The name is a branch's, a tag's, one in full
// (refs/pull/42/head), or all 40 digits of a commit; "" is the default branch. A name that is both a branch's and a tag's is an error
// that says so. ErrNotFound: there is no such name.
func (r *Repositories) Resolve(ctx context.Context, url, ref string) (Commit, error) {
	return r.resolve(ctx, url, ref, "")
}

// ResolveAt is Resolve for a commit that a branch or a tag has led to: the branch may have moved on. That the commit is one of
// its own is checked, or anybody's commit could be built under the name of the main branch.
func (r *Repositories) ResolveAt(ctx context.Context, url, ref, sha string) (Commit, error) {
	if err := full(sha); err != nil {
		return Commit{}, err
	}
	if ref == "" {
		ref, sha = sha, ""
	}
	return r.resolve(ctx, url, ref, sha)
}

func (r *Repositories) resolve(ctx context.Context, url, ref, sha string) (Commit, error) {
	if err := r.Check(url); err != nil {
		return Commit{}, err
	}
	if err := refName(ref); ref != "" && err != nil {
		return Commit{}, err
	}
	m, err := r.open(ctx, url)
	if err != nil {
		return Commit{}, err
	}
	there, err := m.look(ctx, ref)
	if err != nil {
		return Commit{}, err
	}
	c := Commit{Default: there.main}
	tip, err := there.find(m, ref, &c)
	if err != nil {
		return Commit{}, err
	}
	read := func(ctx context.Context) error { return m.describe(ctx, tip, &c) }
	if sha != "" && sha != tip {
		read = func(ctx context.Context) error { return m.on(ctx, tip, sha, &c) }
	}
	if err := m.with(ctx, tip, c.Ref, read); err != nil {
		return Commit{}, err
	}
	c.Tags = []string{}
	for name, at := range there.tags {
		if at == c.SHA {
			c.Tags = append(c.Tags, name)
		}
	}
	slices.Sort(c.Tags)
	return c, nil
}

// on describes a commit that must be one of those that lead to the tip.
func (m *mirror) on(ctx context.Context, tip, sha string, c *Commit) error {
	_, err := m.own(ctx, "merge-base", "--is-ancestor", sha, tip)
	var said *git.Error
	if git.Failed(err, 1) || errors.As(err, &said) && strings.Contains(said.All, "Not a valid commit") {
		return tasks.Permanent(tasks.WithHint(nil, "give the branch that it is on, or the commit alone", "the commit %s is not on %s of %s", sha, c.Ref, m.address))
	}
	if err != nil {
		return err
	}
	return m.describe(ctx, sha, c)
}

// describe reads a commit from the mirror.
func (m *mirror) describe(ctx context.Context, sha string, c *Commit) error {
	text, err := m.own(ctx, "log", "-1", "--no-show-signature", "--format=%H %ct", sha, "--")
	if err != nil {
		return err
	}
	name, seconds, _ := strings.Cut(strings.TrimSpace(text), " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("read the commit %s: %w", sha, err)
	}
	count, err := m.own(ctx, "rev-list", "--count", sha, "--")
	if err != nil {
		return err
	}
	c.SHA, c.Time = name, time.Unix(at, 0).UTC()
	c.Height, err = strconv.ParseInt(strings.TrimSpace(count), 10, 64)
	return err
}

// remote is what a remote lists.
type remote struct {
	head string            // the commit of the default branch
	main string            // its short name
	refs map[string]string // full name -> commit: those that were asked for
	tags map[string]string // short name -> commit
}

// look lists the names of a remote. Of a million names only tags are kept, and those that ref can mean.
func (m *mirror) look(ctx context.Context, ref string) (*remote, error) {
	there := &remote{refs: map[string]string{}, tags: map[string]string{}}
	out := &split{at: '\n', each: func(line string) error { there.take(line, ref); return nil }}
	args := append([]string{"ls-remote", "--symref"}, m.other("upload-pack")...)
	if err := m.git.Pipe(ctx, nil, out, append(args, "--", m.address.String())...); err != nil {
		return nil, m.explain(err)
	}
	return there, nil
}

func (t *remote) take(line, ref string) {
	first, name, _ := strings.Cut(line, "\t")
	if target, symbolic := strings.CutPrefix(first, "ref: "); symbolic {
		if main, branch := strings.CutPrefix(target, "refs/heads/"); branch && name == "HEAD" {
			t.main = main
		}
		return
	}
	name = strings.TrimSuffix(name, "^{}") // what an annotated tag is on comes after the tag itself
	switch tag, isTag := strings.CutPrefix(name, "refs/tags/"); {
	case !sha1Name.MatchString(first):
	case name == "HEAD":
		t.head = first
	case isTag:
		t.tags[tag] = first
	case name == ref || name == "refs/heads/"+ref:
		t.refs[name] = first
	}
}

// find says which commit a name means, and writes its full name down.
func (t *remote) find(m *mirror, ref string, c *Commit) (sha string, err error) {
	if ref == "" || ref == "HEAD" {
		if t.head == "" {
			return "", gone("push a first commit, or name the branch", "the repository %s has no default branch with a commit on it", m.address)
		}
		if t.main != "" {
			c.Ref = "refs/heads/" + t.main
		}
		return t.head, nil
	}
	branch, isBranch := t.refs["refs/heads/"+ref]
	tag, isTag := t.tags[ref]
	if name, full := strings.CutPrefix(ref, "refs/tags/"); full {
		tag, isTag = t.tags[name]
		ref = name
	}
	exact, isExact := t.refs[ref]
	switch {
	case sha1Name.MatchString(ref): // whatever branch is called like it
		return ref, nil
	case isExact:
		c.Ref = ref
		return exact, nil
	case isBranch && isTag:
		return "", tasks.Permanent(tasks.WithHint(nil, "write refs/heads/"+shown(ref)+" or refs/tags/"+shown(ref), "%s has both a branch and a tag %q", m.address, shown(ref)))
	case isBranch:
		c.Ref = "refs/heads/" + ref
		return branch, nil
	case isTag:
		c.Ref = "refs/tags/" + ref
		return tag, nil
	}
	return "", gone("give a branch, a tag, a name that begins with refs/, or all 40 digits of a commit", "the repository %s has no branch and no tag %q", m.address, shown(ref))
}

// refName checks a name by git's own rules. Valid are $(touch x), `x`, a;b and a&&b: they are names, and no shell ever sees them.
func refName(ref string) error {
	bad := ref == "" || ref == "@" || len(ref) > 1024 || strings.HasPrefix(ref, "-") || strings.HasSuffix(ref, ".") ||
		strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.ContainsAny(ref, " ~^:?*[\\\x7f")
	for _, r := range []byte(ref) {
		bad = bad || r < ' '
	}
	for part := range strings.SplitSeq(ref, "/") {
		bad = bad || part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return tasks.Permanent(tasks.WithHint(nil, "git check-ref-format has the rules; nothing begins with a dash", "%q cannot be the name of a branch or a tag", shown(ref)))
	}
	return nil
}

// split hands on what is written piece by piece, each without the byte that ends it.
type split struct {
	at   byte
	each func(string) error
	rest bytes.Buffer
}

// longest is more than a piece can have, in bytes: a path, a name.
const longest = 1 << 20

// Write takes whole pieces out of what has come so far.
func (s *split) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, s.at)
		if i < 0 {
			if s.rest.Len()+len(p) > longest {
				return 0, errors.New("git prints a line without an end")
			}
			s.rest.Write(p)
			return n, nil
		}
		s.rest.Write(p[:i])
		err := s.each(s.rest.String())
		s.rest.Reset()
		if err != nil {
			return 0, err
		}
		p = p[i+1:]
	}
}
