package snapshot

import (
	"os"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/artifact"
)

// Identify returns the ID that lines of a manifest have, whatever is wrong with them.
func Identify(lines []string) ID {
	var entries []Entry
	for _, line := range lines {
		w := strings.Split(line, " ")
		e := Entry{Kind: Kind(w[0][0])}
		if len(w[0]) > 1 {
			continue // objects and frames
		}
		e.Path, _ = unescape(w[len(w)-1])
		mode, _ := strconv.ParseUint(w[1], 8, 16)
		e.Mode = os.FileMode(mode)
		if e.Kind == File {
			e.Size, _ = strconv.ParseInt(w[3], 10, 64)
			e.Digest = artifact.Digest(idScheme + w[4])
		}
		if e.Kind == Link {
			e.Mode, e.Target = 0, w[1]
		}
		entries = append(entries, e)
	}
	return identify(entries)
}

// Reparse reads the text of a manifest and writes it again.
func (s *Store) Reparse(text string) (again string, m *Manifest, err error) {
	if m, err = s.parse(text); err != nil {
		return "", nil, err
	}
	return string(m.encode()), m, nil
}
