package version

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/git"
)

// BaseFile is the name of the version file where nothing else is said.
const BaseFile = "VERSION"

// Repository says where facts are looked up.
type Repository struct {
	// Dir is a folder of the repository's working tree: its root, or the folder of one of its products; "" is the current one.
	Dir string
	// File is the version file; "" is the nearest VERSION from Dir up to the repository's root. A relative path begins in Dir.
	File string
	// Lookup reads the environment, for the few variables that git needs. Nil is an empty environment.
	Lookup func(name string) (string, bool)
}

// Facts are what a repository says, and where.
type Facts struct {
	In
	Root string // the repository's root, absolute
	File string // the version file, from the root, with slashes
}

// Read looks the facts up with the git program: all but CI and Counter, which no repository knows. It changes nothing, and
// runs no hook, no filter and no other program that the repository names. Default is what the clone's remote said it is, if
// it did.
func (r Repository) Read(ctx context.Context) (Facts, error) {
	g, dir, err := r.open(ctx)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{Root: g.Dir, In: In{Tags: []string{}}}
	for _, look := range []func(context.Context, *git.Git) error{f.commit, f.names, f.history} {
		if err := look(ctx, g); err != nil {
			return Facts{}, err
		}
	}
	if err := r.base(ctx, g, dir, &f); err != nil {
		return Facts{}, err
	}
	if !f.Dirty {
		if f.Dirty, err = dirty(ctx, g, r.lookup, maxNesting); err != nil {
			return Facts{}, tasks.WithHint(err, "git status says more; what a partial clone lacks is not loaded from its remote: clone it whole", "the files cannot be compared with the commit")
		}
	}
	return f, nil
}

// Root is the root of the repository, absolute and without links, as Read gives it, without a look at anything else.
func (r Repository) Root(ctx context.Context) (string, error) {
	g, _, err := r.open(ctx)
	if err != nil {
		return "", err
	}
	return g.Dir, nil
}

// open finds the folder and its repository. The git that it gives works in the root.
func (r Repository) open(ctx context.Context) (g *git.Git, dir string, err error) {
	if dir, err = filepath.Abs(r.Dir); err != nil {
		return nil, "", fmt.Errorf("find the folder: %w", err)
	}
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, "", tasks.WithHint(nil, "give the right path", "there is no %s", r.Dir)
	} else if err != nil {
		return nil, "", err
	} else if !info.IsDir() {
		return nil, "", tasks.WithHint(nil, "give the folder that it is in", "%s is no folder", r.Dir)
	}
	if g, err = git.Open(ctx, dir, r.lookup); err != nil {
		return nil, "", unreadable(err, r.Dir)
	}
	if g.Dir, err = top(ctx, g); err != nil {
		return nil, "", unreadable(err, r.Dir)
	}
	return g, dir, nil
}

func (r Repository) lookup(name string) (string, bool) {
	if r.Lookup == nil {
		return "", false
	}
	return r.Lookup(name)
}

// unreadable says in our words what git says of a folder that it cannot work in.
func unreadable(err error, shown string) error {
	var e *git.Error
	if !errors.As(err, &e) {
		return err
	}
	if shown == "" {
		shown = "the current folder"
	}
	switch {
	case strings.Contains(e.Said, "not a git repository"):
		return tasks.WithHint(nil, "versions are made from a git repository: git init, or give a folder of one", "%s is in no git repository", shown)
	case strings.Contains(e.Said, "dubious ownership"):
		return tasks.WithHint(err, "if you trust it: git config --global --add safe.directory FOLDER", "%s is in a repository of another user", shown)
	case strings.Contains(e.Said, "bare repository"):
		return errBare(shown)
	}
	return tasks.WithHint(err, "git status says more", "the repository of %s cannot be read", shown)
}

func errBare(shown string) error {
	return tasks.WithHint(nil, "give a folder of a working tree", "%s is in a repository, and not among its files", shown)
}

// top finds the working tree that the folder is in.
func top(ctx context.Context, g *git.Git) (string, error) {
	inside, err := g.Run(ctx, "rev-parse", "--is-inside-work-tree")
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(inside) != "true" {
		return "", errBare(g.Dir)
	}
	top, err := g.Run(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(filepath.FromSlash(strings.TrimSuffix(top, "\n")))
}

// commit finds what is checked out.
func (f *Facts) commit(ctx context.Context, g *git.Git) error {
	sha, err := g.Run(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	if git.Failed(err, 1) {
		return &Error{SHAMissing, tasks.WithHint(nil, "commit first: a version names the commit that it was built from", "the repository has no commit")}
	}
	if err != nil {
		return tasks.WithHint(err, "git fsck says what is broken", "the commit that is checked out cannot be read")
	}
	f.SHA = strings.TrimSpace(sha)
	return nil
}

// names finds the branch, the default branch and the tags.
func (f *Facts) names(ctx context.Context, g *git.Git) error {
	ref, err := g.Run(ctx, "symbolic-ref", "--quiet", "HEAD")
	if err != nil && !git.Failed(err, 1) { // 1: HEAD is detached
		return fmt.Errorf("find the branch: %w", err)
	}
	f.Ref = strings.TrimSuffix(ref, "\n")
	main, err := g.Run(ctx, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD")
	if err != nil && !git.Failed(err, 1) && !git.Failed(err, 128) { // there is none, or it is no symbolic one
		return fmt.Errorf("find the default branch: %w", err)
	}
	f.Default, _ = strings.CutPrefix(strings.TrimSuffix(main, "\n"), "refs/remotes/origin/")
	tags, err := g.Run(ctx, "for-each-ref", "--points-at=HEAD", "--format=%(refname)", "--", "refs/tags/")
	if err != nil {
		return fmt.Errorf("list the tags: %w", err)
	}
	for tag := range strings.Lines(tags) {
		f.Tags = append(f.Tags, strings.TrimPrefix(strings.TrimSuffix(tag, "\n"), "refs/tags/"))
	}
	return nil
}

// history counts the commits.
func (f *Facts) history(ctx context.Context, g *git.Git) error {
	shallow, err := g.Run(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return err
	}
	f.Shallow = strings.TrimSpace(shallow) == "true"
	count, err := g.Run(ctx, "rev-list", "--count", f.SHA, "--")
	if err != nil {
		return tasks.WithHint(err, "git fsck says what is missing; a shallow clone is made whole by git fetch --unshallow", "the commits cannot be counted")
	}
	f.Height, err = strconv.ParseInt(strings.TrimSpace(count), 10, 64)
	return err
}

// base reads the version file. It is read through the root: a link that leads out of the repository is no file of it.
func (r Repository) base(ctx context.Context, g *git.Git, dir string, f *Facts) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(f.Root)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	name, err := r.find(root, f.Root, dir)
	if err != nil {
		return err
	}
	f.File = filepath.ToSlash(name)
	if f.Base, err = readSmall(root, name); err != nil {
		return tasks.WithHint(err, "the version file is a small file of the repository, with MAJOR.MINOR in it", "the version file %s cannot be read", f.File)
	}
	// One that git does not know is in no commit, even where git is told to ignore it.
	known, err := g.Run(ctx, "ls-files", "-z", "--", f.File)
	if err != nil {
		return fmt.Errorf("look for the version file: %w", err)
	}
	f.Dirty = known == ""
	return nil
}

// find gives the version file's path from the root.
func (r Repository) find(root *os.Root, top, dir string) (string, error) {
	if r.File != "" {
		path := r.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		} else if resolved, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			path = filepath.Join(resolved, filepath.Base(path))
		}
		name, err := filepath.Rel(top, path)
		if err != nil || !filepath.IsLocal(name) {
			return "", tasks.WithHint(nil, "the version is part of the commit: keep its file in the repository", "the version file %s is not in the repository %s", r.File, top)
		}
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return "", tasks.WithHint(nil, "write MAJOR.MINOR into it, as 1.0, and commit it", "there is no version file %s", r.File)
		}
		return name, nil
	}
	for at := dir; ; at = filepath.Dir(at) {
		name, err := filepath.Rel(top, filepath.Join(at, BaseFile))
		if err != nil {
			return "", err
		}
		if info, err := root.Lstat(name); err == nil && !info.IsDir() {
			return name, nil
		}
		if at == top || at == filepath.Dir(at) {
			return "", tasks.WithHint(nil, "write MAJOR.MINOR into a file of this name, as 1.0, and commit it; or name another file",
				"there is no file %s in the folder or above it in the repository", BaseFile)
		}
	}
}

// smallFile is more than any version file has, in bytes.
const smallFile = 4 << 10

func readSmall(root *os.Root, name string) (string, error) {
	info, err := root.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return "", errors.New("it is no regular file")
	}
	file, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, smallFile+1))
	if err == nil && len(text) > smallFile {
		err = fmt.Errorf("it has more than %d bytes", smallFile)
	}
	return string(text), err
}

// maxNesting is how deep submodules may lie in each other.
const maxNesting = 8

// dirty reports whether the files are those of the commit. Files that git neither knows nor ignores count: a compiler would
// take them. Submodules are asked one by one, each without what its own configuration would run.
func dirty(ctx context.Context, g *git.Git, lookup func(string) (string, bool), nesting int) (bool, error) {
	changes := &git.Capped{Most: 1}
	if err := g.Pipe(ctx, nil, changes, "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames", "--ignore-submodules=dirty"); err != nil {
		return false, err
	}
	if changes.Len() > 0 {
		return true, nil
	}
	list, err := g.Run(ctx, "ls-files", "--stage", "-z")
	if err != nil {
		return false, err
	}
	for entry := range strings.SplitSeq(list, "\x00") {
		info, name, found := strings.Cut(entry, "\t")
		if !found || !strings.HasPrefix(info, "160000 ") {
			continue
		}
		sub := filepath.Join(g.Dir, filepath.FromSlash(name))
		if _, err := os.Lstat(filepath.Join(sub, ".git")); err != nil {
			continue // not checked out
		}
		if nesting == 0 {
			return false, fmt.Errorf("submodules lie in each other more than %d deep", maxNesting)
		}
		inner, err := git.Open(ctx, sub, lookup)
		if err != nil {
			return false, err
		}
		if found, err := dirty(ctx, inner, lookup, nesting-1); found || err != nil {
			return found, err
		}
	}
	return false, nil
}
