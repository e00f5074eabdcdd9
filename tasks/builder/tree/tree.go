// Package tree says what may stand in a tree of files that comes from elsewhere: a commit, an archive. Writing through os.Root keeps
// the writer in its folder; this keeps the tree from leading whoever reads it out of it.
package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
)

// Name checks the path of a file, from the root of its tree, with slashes.
func Name(name string) error {
	switch {
	case !fs.ValidPath(name) || name == ".": // not absolute, no empty part, no . and no ..
		return fmt.Errorf("%q is no path in a tree", name)
	case strings.Contains(name, "\x00"):
		return fmt.Errorf("%q has a zero byte in it", name)
	case runtime.GOOS == "windows" && strings.ContainsAny(name, `\:`):
		return fmt.Errorf("%q cannot be the name of a file on Windows", name)
	}
	return nil
}

// Links are the symbolic links of a tree. The zero value is ready.
type Links struct {
	targets map[string]string
	order   []string
}

// Add takes a link down. Both its name, from the root of the tree, and its target, as it stands in the link, have slashes.
func (l *Links) Add(name, target string) error {
	if target == "" || strings.Contains(target, "\x00") {
		return fmt.Errorf("the link %q leads to %q, which is no path", name, target)
	}
	if l.targets == nil {
		l.targets = map[string]string{}
	}
	key := fold(name)
	if _, there := l.targets[key]; there {
		return fmt.Errorf("%q is in the tree twice", name)
	}
	l.targets[key] = target
	l.order = append(l.order, name)
	return nil
}

// All gives the links in the order in which they were added.
func (l *Links) All(yield func(name, target string) bool) {
	for _, name := range l.order {
		if !yield(name, l.targets[fold(name)]) {
			return
		}
	}
}

// fold is the name that a file system without capital letters knows.
func fold(name string) string {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return strings.ToLower(name)
	}
	return name
}

// ErrOut is that a link leads out of its tree.
var ErrOut = errors.New("it leads out of the tree")

// maxFollowed is more links than any system follows in one path.
const maxFollowed = 255

// Check finds the first link that leads out of the tree, by itself or by way of others: x/up -> .. is inside, and so is x/up/.. by
// its letters, but not on the disk. A link that leads nowhere, or in a circle, is none of its business.
func (l *Links) Check() error {
	for name, target := range l.All {
		if err := l.follow(name, target); err != nil {
			return fmt.Errorf("the link %q to %q: %w", name, target, err)
		}
	}
	return nil
}

func (l *Links) follow(name, target string) error {
	var at []string
	if dir := path.Dir(name); dir != "." {
		at = strings.Split(dir, "/")
	}
	if strings.HasPrefix(target, "/") {
		return ErrOut
	}
	rest := []string{target} // the last one comes first
	for followed := 0; len(rest) > 0; {
		first, more, _ := strings.Cut(rest[len(rest)-1], "/")
		rest = rest[:len(rest)-1]
		if more != "" {
			rest = append(rest, more)
		}
		switch first {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return ErrOut
			}
			at = at[:len(at)-1]
			continue
		}
		if runtime.GOOS == "windows" && strings.ContainsAny(first, `\:`) {
			return ErrOut
		}
		at = append(at, first)
		if next, link := l.targets[fold(strings.Join(at, "/"))]; link {
			if followed++; followed > maxFollowed {
				return nil
			}
			if strings.HasPrefix(next, "/") {
				return ErrOut
			}
			at = at[:len(at)-1]
			rest = append(rest, next)
		}
	}
	return nil
}
