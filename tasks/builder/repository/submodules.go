package repository

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/stint-run/stint/tasks"
)

const (
	// maxNesting is how deep submodules may lie in each other.
	maxNesting = 8
	// mostModules is the largest .gitmodules that is read, in bytes.
	mostModules = 1 << 20
)

// submodules writes those of a commit. Only addresses and places are taken from .gitmodules: a name is never part of a path here, no
// command of it is run, and a place is one of the tree itself.
func (e *export) submodules(ctx context.Context, m *mirror, o *objects, top string, inner []place, at string, nested int) error {
	if nested == maxNesting {
		return tasks.Permanent(tasks.WithHint(nil, "see whether they lead in a circle", "submodules lie in each other more than %d deep, at %q", maxNesting, at))
	}
	said, err := m.modules(ctx, o, top)
	if err != nil {
		return err
	}
	for _, p := range inner {
		here := strings.TrimPrefix(strings.TrimPrefix(p.path, at), "/")
		s, known := said[here]
		if !known || s.url == "" {
			return tasks.Permanent(tasks.WithHint(nil, "git submodule add, or take the folder out of the commit", "the submodule %q has no address in .gitmodules", p.path))
		}
		if s.update == "none" {
			continue
		}
		url, err := m.relative(s.url)
		if err != nil {
			return fmt.Errorf("the submodule %q: %w", p.path, err)
		}
		sub, err := e.repositories.open(ctx, url)
		if err != nil {
			return fmt.Errorf("the submodule %q: %w", p.path, err)
		}
		if err := sub.ensure(ctx, p.sha, ""); err != nil {
			return fmt.Errorf("the submodule %q: %w", p.path, err)
		}
		if err := e.module(ctx, sub, p.sha, p.path, nested+1); err != nil {
			return err
		}
	}
	return nil
}

// said is what .gitmodules says of one submodule.
type said struct{ path, url, update string }

// modules reads .gitmodules, by path.
func (m *mirror) modules(ctx context.Context, o *objects, top string) (map[string]said, error) {
	entries, err := o.tree(top)
	if err != nil {
		return nil, err
	}
	var text []byte
	for _, x := range entries {
		if x.name == ".gitmodules" && x.mode != link && x.mode != folder && x.mode != module {
			if text, err = o.whole(x.sha, "blob", mostModules); err != nil {
				return nil, err
			}
		}
	}
	// git reads its own format, from the bytes that were compared with their name. The end of each value is a zero byte.
	var list bytes.Buffer
	if err := m.git.Pipe(ctx, bytes.NewReader(text), &list, "config", "--no-includes", "--file", "-", "-z", "--list"); err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, "see what git submodule says of it", "the .gitmodules of %s cannot be read", m.address))
	}
	byName := map[string]said{}
	for line := range strings.SplitSeq(list.String(), "\x00") {
		key, value, _ := strings.Cut(line, "\n")
		name, ours := strings.CutPrefix(key, "submodule.")
		dot := strings.LastIndexByte(name, '.')
		if !ours || dot < 0 {
			continue
		}
		s := byName[name[:dot]]
		switch name[dot+1:] {
		case "path":
			s.path = value
		case "url":
			s.url = value
		case "update":
			s.update = value
		}
		byName[name[:dot]] = s
	}
	out := map[string]said{}
	for _, s := range byName {
		if _, twice := out[s.path]; twice {
			return nil, tasks.Permanent(fmt.Errorf("the .gitmodules of %s has the path %q twice", m.address, s.path))
		}
		out[s.path] = s
	}
	return out, nil
}

// short is ssh's own form of an address, which is common in .gitmodules.
var short = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*)@([A-Za-z0-9.-]+):([^/:][^:]*)$`)

// relative gives the address of a submodule. One that begins with ./ or ../ begins at its parent's, as git has it. That it is
// allowed is checked by who opens it.
func (m *mirror) relative(url string) (string, error) {
	if parts := short.FindStringSubmatch(url); parts != nil {
		return "ssh://" + parts[1] + "@" + parts[2] + "/" + parts[3], nil
	}
	if !strings.HasPrefix(url, "./") && !strings.HasPrefix(url, "../") {
		return url, nil
	}
	base := m.address
	rest := strings.TrimRight(url, "/")
	for {
		if after, same := strings.CutPrefix(rest, "./"); same {
			rest = after
		} else if after, up := strings.CutPrefix(rest, "../"); up {
			rest = after
			if base.Path = path.Dir(base.Path); base.Path == "/" && strings.HasPrefix(rest, "../") {
				return "", tasks.Permanent(fmt.Errorf("its address %q leads above its server", shown(url)))
			}
		} else {
			break
		}
	}
	base.Path = strings.TrimSuffix(base.Path, "/") + "/" + rest
	return base.String(), nil
}
