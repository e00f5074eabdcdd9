package snapshot

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// Limits of a path, in bytes: those of Linux.
const (
	maxPath = 4096
	maxName = 255
)

// pathFault says why a path cannot be one in a workspace; "" when it can.
func pathFault(p string) string {
	if p == "" || len(p) >= maxPath {
		return fmt.Sprintf("it has %d bytes", len(p))
	}
	for name := range strings.SplitSeq(p, "/") {
		switch {
		case name == "":
			return "it is absolute, or a name in it is empty"
		case name == "." || name == "..":
			return "it leads elsewhere"
		case len(name) > maxName:
			return fmt.Sprintf("a name has more than %d bytes", maxName)
		case isGit(name):
			return "git's own files do not travel"
		case strings.IndexByte(name, 0) >= 0:
			return "it has a zero byte"
		case runtime.GOOS == "windows" && strings.ContainsAny(name, `\:*?"<>|`):
			return "it is no path on Windows"
		}
	}
	return ""
}

// isGit reports whether a name is that of git's own folder, or file, where the file system may take it for that.
func isGit(name string) bool {
	if strings.EqualFold(name, ".git") {
		return true
	}
	if runtime.GOOS != "windows" {
		return false
	}
	base, _, _ := strings.Cut(name, ":")
	base = strings.TrimRight(base, " .")
	return strings.EqualFold(base, ".git") || strings.EqualFold(base, "git~1")
}

// checkTree finds what makes entries no tree: a wrong order, a path twice, one without its folder, a link that leads out.
func checkTree(entries []Entry) error {
	folders := map[string]bool{"": true}
	links := map[string]string{}
	for i := range entries {
		e := &entries[i]
		if i > 0 && entries[i-1].Path >= e.Path {
			return fmt.Errorf("%q is not in its place in the order of paths", e.Path)
		}
		if !folders[parent(e.Path)] {
			return fmt.Errorf("%q is in no folder", e.Path)
		}
		switch e.Kind {
		case Folder:
			folders[e.Path] = true
		case Link:
			links[e.Path] = e.Target
		}
	}
	for from := range links {
		if leadsOut(from, links) {
			return fmt.Errorf("the link %q to %q leads out of the workspace", from, links[from])
		}
	}
	return nil
}

// parent returns the folder of a path; "" is the workspace.
func parent(p string) string { return p[:max(0, strings.LastIndexByte(p, '/'))] }

// maxLinks is how many links a system follows before it gives up.
const maxLinks = 40

// leadsOut reports whether following a link leaves the workspace on its way, through other links of it, too.
func leadsOut(from string, links map[string]string) bool {
	var at []string
	if dir := parent(from); dir != "" {
		at = strings.Split(dir, "/")
	}
	todo := []string{links[from]} // what is left to follow, the next at the end
	if absolute(links[from]) {
		return true
	}
	for hops := 0; len(todo) > 0; {
		target := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for target != "" {
			name, rest, _ := strings.Cut(target, "/")
			target = rest
			switch name {
			case "", ".":
			case "..":
				if len(at) == 0 {
					return true
				}
				at = at[:len(at)-1]
			default:
				next, isLink := links[path.Join(path.Join(at...), name)]
				if !isLink {
					at = append(at, name)
					continue
				}
				if hops++; hops > maxLinks {
					return false // a circle: nobody comes to its end
				}
				if absolute(next) {
					return true
				}
				todo = append(todo, target, next)
				target = ""
			}
		}
	}
	return false
}

// absolute reports whether a link's target begins at a root, on Windows, too.
func absolute(target string) bool {
	if strings.HasPrefix(target, "/") {
		return true
	}
	return runtime.GOOS == "windows" && strings.ContainsAny(target, `\:`)
}
