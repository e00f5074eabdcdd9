package pipeline

import (
	"path"
	"strings"

	"github.com/stint-run/stint/tasks/builder/glob"
)

// Place returns where a file of the folder that is built lies in the package; false when the entry does not mean it. A folder gets
// what lies below those folders of the pattern that are plain: out/** puts out/a/b at a/b, out/a puts it at a.
func (f Files) Place(name string) (place string, ok bool) {
	switch {
	case !glob.Match(f.From, name):
		return "", false
	case f.To == "":
		return name, true
	case !strings.HasSuffix(f.To, "/"):
		return f.To, true
	}
	return path.Join(f.To, strings.TrimPrefix(name, plainFolders(f.From))), true
}

// plainFolders is what all files of a pattern have in front, with / at its end.
func plainFolders(pattern string) string {
	end := 0
	for i, c := range pattern {
		if glob.Special(pattern[:i]) {
			break
		}
		if c == '/' {
			end = i + 1
		}
	}
	return pattern[:end]
}
