// Package repository fetches what a build is made of: the files of a commit, from a git server that is allowed, without running
// anything that the repository names, and sets the tag on the commit when all else has passed.
//
// An agent keeps a bare mirror of each repository, in which it fetches no more than the history of what it builds. A commit is read
// from there object by object, and each is compared with its own name on the way, from the commit down to the last file: a mirror
// that was damaged, or changed by somebody, gives other bytes to nobody, and is thrown away and fetched anew.
//
// A mirror may be used by several processes at once. One of them fetches, under a lock on a file that git holds with it, so that it
// ends with the last of git's own processes, too; what such a process leaves behind when it is killed is cleared away by the next.
package repository

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/allowed"
	"github.com/stint-run/stint/tasks/builder/git"
)

// ErrNotFound is that a commit has no file of that path, or a repository no such commit, branch or tag.
var ErrNotFound = errors.New("not found")

// Options say where mirrors are and what is allowed.
type Options struct {
	// Dir holds the mirrors. It is made when there is none, for this user alone. Several processes may share it.
	Dir string
	// Allowed are patterns of addresses, as package allowed reads them. None allows nothing.
	Allowed []string
	// Lookup reads the environment, for the few variables that git needs: PATH, certificates, proxies, ssh's agent. Nil is an empty one.
	Lookup func(name string) (string, bool)
	// Credentials give the name and the password for an address over https, or over http on loopback. They reach git in a variable:
	// they are on no command line and in no file. Nil has none.
	Credentials func(url string) (user, password string, ok bool)
}

// Repositories are the repositories that an agent may build. It may be used by several goroutines at once.
type Repositories struct {
	options Options
	list    allowed.List
	invalid error // a pattern that cannot be read

	mu  sync.Mutex
	git *git.Git
}

// New prepares for work; it looks at nothing yet. A pattern that cannot be read is told by the first call of anything, and then nothing
// is allowed.
func New(o Options) *Repositories {
	r := &Repositories{options: o}
	if r.options.Lookup == nil {
		r.options.Lookup = func(string) (string, bool) { return "", false }
	}
	r.list, r.invalid = allowed.Patterns(o.Allowed)
	return r
}

// Check says whether an address may be fetched from, and why not. It is done before anything else is, by each call.
func (r *Repositories) Check(url string) error {
	_, err := r.check(url)
	return err
}

func (r *Repositories) check(url string) (allowed.Address, error) {
	if r.invalid != nil {
		return allowed.Address{}, r.invalid
	}
	a, err := allowed.Parse(url)
	if err != nil {
		return a, err
	}
	if !r.list.Allows(a) {
		return a, tasks.Permanent(tasks.WithHint(nil, "let the agents' configuration list it, if it is to be built", "the repository %s is not among those that agents may build", a))
	}
	return a, nil
}

// Commit is a commit of a repository, and what leads to it.
type Commit struct {
	SHA string
	// Ref is the full name by which it was asked for: refs/heads/main. "" where only its SHA was given.
	Ref string
	// Default is the short name of the remote's default branch; "" where the remote does not say.
	Default string
	// Height is how many commits lead to it, itself included.
	Height int64
	// Time is when it was committed, in UTC.
	Time time.Time
	// Tags are the short names of the tags that are on it, in order.
	Tags []string
}

// mirror is the copy of one repository.
type mirror struct {
	address allowed.Address
	git     *git.Git
	dir     string // of the bare repository
	lock    string // the file that is locked
}

// open checks an address and prepares git for its mirror, which need not be there yet.
func (r *Repositories) open(ctx context.Context, url string) (*mirror, error) {
	address, err := r.check(url)
	if err != nil {
		return nil, err
	}
	base, err := r.base(ctx)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(r.options.Dir, mirrorName(address))
	m := &mirror{address: address, dir: name + ".git", lock: name + ".lock"}
	if m.dir, err = filepath.Abs(m.dir); err != nil {
		return nil, err
	}
	m.git = base.At(m.dir).Talk(address.Scheme)
	if r.options.Credentials == nil || address.Scheme == "ssh" || address.Scheme == "file" {
		return m, nil
	}
	user, password, ok := r.options.Credentials(address.String())
	if !ok {
		return m, nil
	}
	if address.Scheme == "http" && !address.Loopback() {
		return nil, tasks.Permanent(tasks.WithHint(nil, "use https", "the password for %s would be read by whoever listens", address))
	}
	// For this address alone, and no redirect is followed.
	m.git = m.git.Set(git.Setting{Key: "http." + address.String() + ".extraHeader",
		Value: "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))})
	return m, nil
}

// base finds git once.
func (r *Repositories) base(ctx context.Context) (*git.Git, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.git != nil {
		return r.git, nil
	}
	home, err := filepath.Abs(filepath.Join(r.options.Dir, "home"))
	if err == nil {
		err = os.MkdirAll(home, 0o700)
	}
	if err != nil {
		return nil, tasks.WithHint(err, "give agents a folder that they may write to", "the folder for mirrors cannot be made")
	}
	r.git, err = git.Bare(ctx, "", home, r.options.Lookup)
	return r.git, err
}

var (
	sha1Name   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	unreadable = regexp.MustCompile(`[^a-z0-9]+`)
)

// mirrorName is a name for a file: readable in its beginning, and one for each address.
func mirrorName(a allowed.Address) string {
	words := strings.Trim(unreadable.ReplaceAllString(strings.ToLower(a.Host+a.Path), "-"), "-")
	if len(words) > 40 {
		words = strings.Trim(words[len(words)-40:], "-")
	}
	return words + "-" + digest(a.String())[:16]
}

// full checks the name of a commit.
func full(sha string) error {
	if !sha1Name.MatchString(sha) {
		return tasks.Permanent(tasks.WithHint(nil, "give all 40 digits, in small letters", "%q is not the full name of a commit", shown(sha)))
	}
	return nil
}

// shown is a name that somebody else has chosen, as a person may see it.
func shown(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}

// explain says in our words what git says of a remote. Others of its errors stay as they are.
func (m *mirror) explain(err error) error {
	var e *git.Error
	if !errors.As(err, &e) {
		return err
	}
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(e.All, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("returned error: 30", "unable to update url base from redirection"):
		return tasks.Permanent(tasks.WithHint(err, "give the address that it leads to, if that one is allowed", "%s leads to another address, which is not followed", m.address))
	case has("could not read Username", "could not read Password", "Authentication failed", "returned error: 401", "returned error: 403", "Permission denied", "Host key verification failed"):
		return tasks.WithHint(err, "see which name and password, or which key, the agents' configuration has for it", "%s does not let the agent in", m.address)
	case has("does not appear to be a git repository", "not found", "returned error: 404", "does not exist"):
		return tasks.WithHint(err, "see whether the address is right, and whether the agent may see it: servers hide what it may not", "there is no repository %s", m.address)
	case has("unsupported protocol", "not allowed"):
		return tasks.WithHint(err, "see that this git was built with it", "git does not speak %s", m.address.Scheme)
	}
	return tasks.WithHint(err, "it is tried again; see whether the server can be reached from the agent", "%s gave no answer that helps", m.address)
}

// gone is that a remote does not have, or does not give, what was asked for.
func gone(hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(ErrNotFound, hint, format, args...))
}

func noCommit(a fmt.Stringer, sha string) error {
	return gone("see whether it was pushed, or whether its branch was pushed anew without it", "the repository %s has no commit %s any more, or never had", a, sha)
}
