// Package tools fetches the programs that a pipeline pins, so that a fresh agent can build, and proves that an agent has what its
// labels say.
//
// An archive is fetched once for each digest, compared with it before anything of it is unpacked, and unpacked whole or not at all:
//
//	DIGEST.part  →  SHA-256 is right  →  KEY.new/{archive,tree}  →  compared file by file  →  KEY/{archive,tree}
//
// Any number of processes may share the folder: what is about one tool is done under a lock on a file, which ends with its process.
//
// A build runs as the user of its agent, and could change a tool for the builds after it; that the files are read-only keeps out
// mistakes only. So nothing on the disk is believed but the digest in the pipeline. A process compares each tool once with what the
// archive holds, and the archive with the digest. It then remembers, in its own memory, size, times and number of each file: a change
// moves a file's time of change, which no program can set, so that later uses cost a look at each file and no reading. A tool that has
// been changed is unpacked anew.
package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/filelock"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/allowed"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// Options say where tools are kept and where they may come from.
type Options struct {
	// Dir holds the tools. It is made when there is none, for this user alone. Several processes may share it.
	Dir string
	// Client fetches; nil is one with Go's defaults. Its redirects are followed only to where tools may come from.
	Client *http.Client
	// Allowed are patterns of addresses, as package allowed reads them, without what is behind a ?. None is any https, and http on loopback.
	Allowed []string
	// OS and Arch are Go's words for what the tools run on; "" is this machine.
	OS, Arch string
}

// Store is an agent's tools. It may be used by several goroutines at once.
type Store struct {
	options Options
	list    allowed.List
	invalid error
	client  *http.Client
	limits  limits
	wait    func(context.Context, time.Duration) error

	mu    sync.Mutex
	known map[string]*seen // by key: what this process has compared with its digest
}

// New prepares for work; it looks at nothing yet. A pattern that cannot be read is told by the first Ensure.
func New(o Options) *Store {
	if o.OS == "" {
		o.OS = runtime.GOOS
	}
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	s := &Store{options: o, limits: usual, wait: pause, known: map[string]*seen{}}
	s.list, s.invalid = allowed.Patterns(o.Allowed)
	client := http.Client{}
	if o.Client != nil {
		client = *o.Client
	}
	client.CheckRedirect = s.redirect
	s.client = &client
	return s
}

// Ready is what a build finds.
type Ready struct {
	// Path are folders for PATH, absolute, in the order of the tools.
	Path []string
}

// Ensure has tools ready, and fetches those that are not. Note is told of what takes time; nil hears nothing.
func (s *Store) Ensure(ctx context.Context, list []pipeline.Tool, note func(format string, args ...any)) (Ready, error) {
	if note == nil {
		note = func(string, ...any) {}
	}
	if s.invalid != nil {
		return Ready{}, s.invalid
	}
	dir, err := filepath.Abs(s.options.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return Ready{}, tasks.WithHint(err, "give agents a folder that they may write to", "the folder for tools cannot be made")
	}
	var out Ready
	for _, t := range list {
		w, err := s.want(t, dir)
		if err != nil {
			return Ready{}, err
		}
		if err := s.ensure(ctx, w, note); err != nil {
			return Ready{}, err
		}
		found, err := w.folders(t.Path)
		if err != nil {
			return Ready{}, err
		}
		out.Path = append(out.Path, found...)
	}
	return out, nil
}

// wanted is one tool for this machine.
type wanted struct {
	name   string // with its version, for people
	url    string
	digest string
	format format
	strip  int
	file   string // what a bare file is called
	key    string
	dir    string // where the archive and the tree are
	store  string
}

var (
	toolName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)
	sha256Name = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// want reads a tool's lines.
func (s *Store) want(t pipeline.Tool, dir string) (*wanted, error) {
	if !toolName.MatchString(t.Name) {
		return nil, tasks.Permanent(tasks.WithHint(nil, "use letters, digits and . _ + -", "%q is no name for a tool", t.Name))
	}
	w := &wanted{name: strings.TrimSpace(t.Name + " " + t.Version), strip: t.Strip, store: dir}
	w.url = strings.NewReplacer("{version}", t.Version, "{os}", s.options.OS, "{arch}", s.options.Arch).Replace(t.URL)
	if err := s.check(w.url); err != nil {
		return nil, fmt.Errorf("the tool %s: %w", w.name, err)
	}
	platform := s.options.OS + "/" + s.options.Arch
	w.digest = strings.ToLower(t.SHA256[platform])
	if w.digest == "" {
		w.digest = strings.ToLower(t.SHA256["any"])
	}
	if !sha256Name.MatchString(w.digest) {
		var has []string
		for name := range t.SHA256 {
			has = append(has, name)
		}
		slices.Sort(has)
		return nil, tasks.Permanent(tasks.WithHint(nil, "write the SHA-256 of that archive into the pipeline file, 64 hexadecimal digits; it has those for: "+strings.Join(has, ", "), "the tool %s is not pinned for %s", w.name, platform))
	}
	w.format = formatOf(w.url)
	if w.format == plain {
		if w.file = t.Name; s.options.OS == "windows" && path.Ext(w.file) != ".exe" {
			w.file += ".exe"
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "1 %s %s %d %s", w.digest, w.format, w.strip, w.file)) // 1: how it is unpacked, should that change
	w.key = t.Name + "-" + hex.EncodeToString(sum[:8])
	w.dir = filepath.Join(dir, w.key)
	return w, nil
}

// check says whether something may be fetched from an address.
func (s *Store) check(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return tasks.Permanent(tasks.WithHint(nil, "write it as https://host/path", "the address %s cannot be read", allowed.Shown(text)))
	case u.User != nil:
		return tasks.Permanent(tasks.WithHint(nil, "leave it out: the pipeline file is read by many", "the address %s has a name or a password in it", allowed.Shown(text)))
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return tasks.Permanent(tasks.WithHint(nil, "use https", "tools are not fetched from %s", allowed.Shown(text)))
	}
	if s.list.Empty() {
		ip, err := netip.ParseAddr(u.Hostname())
		if u.Scheme == "https" || u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
			return nil
		}
		return tasks.Permanent(tasks.WithHint(nil, "use https", "tools are fetched over http from this machine only, and not from %s", allowed.Shown(text)))
	}
	bare, _, _ := strings.Cut(text, "?")
	a, err := allowed.Parse(bare)
	if err != nil {
		return err
	}
	if !s.list.Allows(a) {
		return tasks.Permanent(tasks.WithHint(nil, "let the agents' configuration list it, if tools may come from there", "%s is not among the addresses that tools may come from", a))
	}
	return nil
}

// mostRedirects is how many redirects are followed.
const mostRedirects = 10

func (s *Store) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= mostRedirects {
		return errors.New("there are too many redirects")
	}
	return s.check(req.URL.String())
}

// folders gives the folders of a tool for PATH.
func (w *wanted) folders(list []string) ([]string, error) {
	top := filepath.Join(w.dir, "tree")
	if len(list) == 0 {
		return []string{top}, nil
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	var out []string
	for _, name := range list {
		local := filepath.FromSlash(path.Clean(name))
		info, err := root.Stat(local)
		if err != nil || !info.IsDir() {
			return nil, tasks.Permanent(tasks.WithHint(err, "see what the archive holds, and how many folders strip leaves out", "the tool %s has no folder %q", w.name, name))
		}
		out = append(out, filepath.Join(top, local))
	}
	return out, nil
}

// lockPoll is how often a lock that another process holds is tried.
const lockPoll = 50 * time.Millisecond

// ensure has one tool ready.
func (s *Store) ensure(ctx context.Context, w *wanted, note func(string, ...any)) error {
	lock, err := os.OpenFile(filepath.Join(w.store, w.digest+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		mine, err := filelock.Try(lock)
		if err != nil {
			return fmt.Errorf("lock the tool %s: %w", w.name, err)
		}
		if mine {
			return s.ready(ctx, w, note)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// ready has one tool ready. Its lock is held.
func (s *Store) ready(ctx context.Context, w *wanted, note func(string, ...any)) error {
	s.mu.Lock()
	before := s.known[w.key]
	s.mu.Unlock()
	if before != nil && before.same(w.dir) {
		return nil
	}
	_, err := os.Lstat(w.dir)
	if there := err == nil; there {
		got, err := s.compare(ctx, w)
		if err == nil {
			s.learn(w, got)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		note("the tool %s is no longer what its archive holds (%v): it is unpacked anew", w.name, err)
	}
	archive := filepath.Join(w.dir, "archive")
	if sum, err := digestOf(archive); err != nil || sum != w.digest {
		note("fetching the tool %s from %s", w.name, allowed.Shown(w.url))
		if archive, err = s.fetch(ctx, w, note); err != nil {
			return err
		}
	}
	got, err := s.install(ctx, w, archive)
	if err != nil {
		return err
	}
	s.learn(w, got)
	return nil
}

func (s *Store) learn(w *wanted, got *seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[w.key] = got
}

// install unpacks an archive whose digest is right, and puts all in its place.
func (s *Store) install(ctx context.Context, w *wanted, archive string) (*seen, error) {
	half := w.dir + ".new"
	if err := discard(half); err != nil {
		return nil, err
	}
	tree := filepath.Join(half, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	want, err := s.unpack(ctx, w, archive, root)
	err = errors.Join(err, root.Close())
	if err != nil {
		return nil, errors.Join(w.cannot(ctx, err), discard(half))
	}
	if err := os.Rename(archive, filepath.Join(half, "archive")); err != nil {
		return nil, err
	}
	if err := discard(w.dir); err != nil {
		return nil, err
	}
	if err := os.Rename(half, w.dir); err != nil {
		return nil, err
	}
	got, err := look(ctx, filepath.Join(w.dir, "tree"), want)
	if err != nil {
		return nil, fmt.Errorf("compare the tool %s with its archive: %w", w.name, err)
	}
	return got, nil
}

// cannot says that an archive cannot be unpacked: with these bytes it never will.
func (w *wanted) cannot(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var system *os.PathError
	if err = fmt.Errorf("unpack the tool %s: %w", w.name, err); errors.As(err, &system) {
		return err // the disk, not the archive
	}
	return tasks.Permanent(tasks.WithHint(err, "see what is in the archive "+allowed.Shown(w.url), "the tool %s is not usable", w.name))
}

// compare compares what is on the disk with the archive, and the archive with the digest.
func (s *Store) compare(ctx context.Context, w *wanted) (*seen, error) {
	archive := filepath.Join(w.dir, "archive")
	if sum, err := digestOf(archive); err != nil {
		return nil, err
	} else if sum != w.digest {
		return nil, errors.New("the archive itself has other bytes")
	}
	want, err := s.unpack(ctx, w, archive, nil)
	if err != nil {
		return nil, err
	}
	return look(ctx, filepath.Join(w.dir, "tree"), want)
}

// discard removes a folder, read-only ones in it, too.
func discard(dir string) error {
	_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(name, 0o755) // RemoveAll says what is left
		}
		return nil
	})
	return os.RemoveAll(dir)
}
