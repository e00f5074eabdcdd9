package repository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/filelock"
	"github.com/stint-run/stint/tasks/builder/git"
)

const (
	// lockPoll is how often a lock that another process holds is tried.
	lockPoll = 50 * time.Millisecond
	// mostPacks is from how many packs on the smaller ones become one: each fetch brings one.
	mostPacks = 20
	// mostTips is how many commits are kept from being forgotten by a name of their own; what they lead to does not count.
	mostTips = 500
	// tips are those names in a mirror, and copied are those of the remote where it gives no commit by its own name.
	tips   = "refs/commits/"
	copied = "refs/copied/"
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// damaged is that a mirror does not hold what it should.
type damaged struct {
	mirror *mirror
	seen   fs.FileInfo // the mirror that it was
	err    error
}

func (e *damaged) Error() string {
	return fmt.Sprintf("the mirror of %s is damaged: %v", e.mirror.address, e.err)
}

func (e *damaged) Unwrap() error { return e.err }

// own runs git in the mirror, where it needs nobody else: that it fails is the mirror's fault.
func (m *mirror) own(ctx context.Context, args ...string) (string, error) {
	seen, _ := os.Stat(m.dir)
	out, err := m.git.Run(ctx, args...)
	var said *git.Error
	if errors.As(err, &said) {
		err = &damaged{m, seen, err}
	}
	return out, err
}

// with fetches a commit where the mirror has not got it, and has use read it. A mirror that turns out to be damaged is fetched anew,
// and use begins again, once. The name of a ref helps with servers that give no commit by its own name; it may be "".
func (m *mirror) with(ctx context.Context, sha, ref string, use func(context.Context) error) error {
	for again := false; ; again = true {
		if err := m.ensure(ctx, sha, ref); err != nil {
			return err
		}
		err := use(ctx)
		var bad *damaged
		if again || ctx.Err() != nil || !errors.As(err, &bad) {
			return err
		}
		// It may be that of a submodule.
		if err := bad.mirror.locked(ctx, func(*git.Git) error { return bad.mirror.discard(bad.seen) }); err != nil {
			return err
		}
	}
}

// ensure has the commit in the mirror, with all that leads to it. It does not ask the remote where it is there already.
func (m *mirror) ensure(ctx context.Context, sha, ref string) error {
	if m.has(ctx, m.git, sha) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return m.locked(ctx, func(g *git.Git) error {
		if m.has(ctx, g, sha) { // another process was faster
			return nil
		}
		err := m.fetch(ctx, g, sha, ref)
		if err == nil || ctx.Err() != nil || m.sound(ctx, g) {
			return err
		}
		now, _ := os.Stat(m.dir)
		if err := m.discard(now); err != nil {
			return err
		}
		return m.fetch(ctx, g, sha, ref)
	})
}

// has reports whether the mirror has a commit whole: names are given only to what has come with all that it leads to.
func (m *mirror) has(ctx context.Context, g *git.Git, sha string) bool {
	if _, err := os.Stat(m.dir); err != nil {
		return false
	}
	beyond, err := g.Run(ctx, "rev-list", "--max-count=1", sha+"^{commit}", "--not", "--all", "--")
	return err == nil && beyond == ""
}

// sound reports whether the mirror can be read at all.
func (m *mirror) sound(ctx context.Context, g *git.Git) bool {
	_, err := g.Run(ctx, "rev-list", "--quiet", "--all", "--")
	return err == nil
}

// discard throws the mirror away, unless it is no longer the one that was seen. The lock is held.
func (m *mirror) discard(seen fs.FileInfo) error {
	now, err := os.Stat(m.dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (seen == nil || !os.SameFile(seen, now)) {
		return nil
	}
	away := m.dir + ".away"
	if err := os.RemoveAll(away); err != nil {
		return err
	}
	// Out of its place first: who reads it now finds nothing, rather than half of it.
	if err := os.Rename(m.dir, away); err != nil {
		return fmt.Errorf("put the damaged mirror away: %w", err)
	}
	return os.RemoveAll(away)
}

// locked does something while no other process changes the mirror.
func (m *mirror) locked(ctx context.Context, do func(*git.Git) error) error {
	file, err := os.OpenFile(m.lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the mirror: %w", err)
	}
	defer func() { _ = file.Close() }()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		mine, err := filelock.Try(file)
		if err != nil {
			return fmt.Errorf("lock the mirror: %w", err)
		}
		if mine {
			return do(m.git.Holding(file))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// fetch brings a commit and its history from the remote. The lock is held.
//
// The whole history of the one commit, and no other branch: Height is right, and any server will do. Without files (a partial clone)
// it would be less at first, but then each export has to ask again, and a commit that was pushed away meanwhile could not be built.
// Later fetches bring what is new.
func (m *mirror) fetch(ctx context.Context, g *git.Git, sha, ref string) error {
	if err := m.prepare(ctx, g); err != nil {
		return err
	}
	err := m.bring(ctx, g, sha+":"+tips+sha)
	if refused(err) && ref != "" {
		if err = m.bring(ctx, g, "+"+ref+":"+tips+sha); err == nil && !m.has(ctx, g, sha) {
			err = errMoved
		}
		if err != nil { // moved meanwhile: the name must not stay on another commit
			if _, undo := g.Run(ctx, "update-ref", "-d", tips+sha); undo != nil {
				return undo
			}
		}
	}
	if refused(err) {
		err = m.bring(ctx, g, "--prune", "+refs/heads/*:"+copied+"heads/*", "+refs/tags/*:"+copied+"tags/*")
	}
	if err != nil {
		return m.explain(err)
	}
	if !m.has(ctx, g, sha) {
		return noCommit(m.address, sha)
	}
	m.tidy(ctx, g)
	return nil
}

// errMoved is that a branch was elsewhere when it was fetched.
var errMoved = errors.New("it was moved meanwhile")

// refused reports whether a remote gives nothing under that name.
func refused(err error) bool {
	var e *git.Error
	if errors.Is(err, errMoved) {
		return true
	}
	return errors.As(err, &e) && (strings.Contains(e.All, "unadvertised object") || strings.Contains(e.All, "not our ref") || strings.Contains(e.All, "couldn't find remote ref"))
}

// bring runs git fetch for some refspecs, all of them made here.
func (m *mirror) bring(ctx context.Context, g *git.Git, refspecs ...string) error {
	args := append([]string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"}, m.other("upload-pack")...)
	if refspecs[0] == "--prune" {
		args, refspecs = append(args, "--prune"), refspecs[1:]
	}
	_, err := g.Run(ctx, append(append(args, "--", m.address.String()), refspecs...)...)
	return err
}

// other says how git runs in a repository of this machine, which it does by itself, without our settings: nothing that its
// configuration names is run there, either.
func (m *mirror) other(program string) []string {
	if m.address.Scheme != "file" {
		return nil
	}
	return []string{"--" + program + "=git -c core.hooksPath=" + os.DevNull + " -c core.fsmonitor=false -c core.alternateRefsCommand= -c receive.autogc=false -c gc.auto=0 -c 'safe.directory=*' " + program}
}

// prepare makes the mirror where there is none, and clears away what git leaves when it is killed: the lock is held by all who write,
// so that there is nobody whose it could be.
func (m *mirror) prepare(ctx context.Context, g *git.Git) error {
	if _, err := os.Stat(m.dir); errors.Is(err, fs.ErrNotExist) {
		return m.make(ctx, g)
	} else if err != nil {
		return err
	}
	return filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		name := filepath.Base(path)
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".keep") || strings.HasPrefix(name, "tmp_") || strings.HasPrefix(name, ".tmp-") {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("clear away what a killed git has left: %w", err)
			}
		}
		return nil
	})
}

// make makes an empty mirror, whole or not at all.
func (m *mirror) make(ctx context.Context, g *git.Git) error {
	half := m.dir + ".new" // of one that was killed
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	if _, err := g.At(half).Run(ctx, "init", "--quiet", "--bare", "--template=", "--initial-branch=main"); err != nil {
		return fmt.Errorf("make a mirror: %w", err)
	}
	return os.Rename(half, m.dir)
}

// tidy keeps a mirror from growing worse with each fetch. What fails here is done after the next one.
func (m *mirror) tidy(ctx context.Context, g *git.Git) {
	if packs, _ := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "pack-*.pack")); len(packs) > mostPacks {
		_, _ = g.Run(ctx, "repack", "-q", "-d", "--geometric=2")
	}
	list, err := g.Run(ctx, "for-each-ref", "--sort=-committerdate", "--format=delete %(refname)", "--", tips)
	if lines := strings.SplitAfter(list, "\n"); err == nil && len(lines) > mostTips {
		// Their objects stay, and when one is asked for that nothing else leads to, the remote is.
		old := strings.Join(lines[mostTips/2:], "")
		_ = g.Pipe(ctx, strings.NewReader(old), &git.Capped{}, "update-ref", "--stdin")
		_, _ = g.Run(ctx, "pack-refs", "--all")
	}
}
