package snapshot

import (
	"path"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// globs are patterns over whole paths: name by name as path.Match has it, and ** for any number of folders. A pattern that fits a
// folder covers all that is in it.
type globs [][]string

func readGlobs(patterns []string) (globs, error) {
	var g globs
	for _, p := range patterns {
		parts := strings.Split(strings.Trim(strings.TrimPrefix(p, "./"), "/"), "/")
		for _, part := range parts {
			if _, err := path.Match(part, ""); err != nil || part == "" {
				return nil, tasks.Permanent(tasks.WithHint(err, "write * ? [a-z] within a name and ** for any number of folders", "the pattern %q cannot be read", p))
			}
		}
		g = append(g, parts)
	}
	return g, nil
}

// fits reports whether a path itself is what one of the patterns means.
func (g globs) fits(p string) bool {
	if len(g) == 0 {
		return false
	}
	names := strings.Split(p, "/")
	for _, pattern := range g {
		if fit(pattern, names) {
			return true
		}
	}
	return false
}

// fit goes through a pattern once: at a mismatch only the last ** takes one name more, as more of an earlier one could not help.
func fit(pattern, names []string) bool {
	star, mark := -1, 0
	p, n := 0, 0
	for n < len(names) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, mark = p, n
			p++
			continue
		case p < len(pattern):
			if ok, _ := path.Match(pattern[p], names[n]); ok {
				p++
				n++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, n = star+1, mark
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

// covers reports whether a path, or a folder that it is in, is what one of the patterns means.
func (g globs) covers(p string) bool {
	for ; p != ""; p = parent(p) {
		if g.fits(p) {
			return true
		}
	}
	return false
}
