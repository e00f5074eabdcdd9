package elastic

import (
	"strings"
	"time"

	"github.com/stint-run/stint/internal/strftime"
)

// maxIndices is how long a list of indices may be, in bytes, since it stands in the first line of a request.
const maxIndices = 2000

// Indices returns the indices of a window for a pattern with the directives of strftime, in UTC: one per day, per hour where the
// pattern has hours, per minute where it has minutes; with extra, one more before them. More of them than a request can carry are a
// pattern with * instead. A pattern without directives is returned as it is.
func Indices(pattern string, start, end time.Time, extra bool) string {
	if !strings.Contains(pattern, "%") {
		return pattern
	}
	step := 24 * time.Hour
	switch {
	case strings.Contains(pattern, "%M"):
		step = time.Minute
	case strings.Contains(pattern, "%H") || strings.Contains(pattern, "%I"):
		step = time.Hour
	}
	at := start.UTC().Truncate(step)
	if extra {
		at = at.Add(-step)
	}
	var list []string
	size := 0
	seen := map[string]bool{}
	for ; !at.After(end.UTC()); at = at.Add(step) {
		name := strftime.Format(at, pattern)
		if seen[name] {
			continue
		}
		seen[name] = true
		list = append(list, name)
		if size += len(name) + 1; size > maxIndices {
			return AnyIndex(pattern)
		}
	}
	return strings.Join(list, ",")
}

// AnyIndex returns a pattern with * in the place of its directives, from the first to the last of them in each name of a list.
func AnyIndex(pattern string) string {
	names := strings.Split(pattern, ",")
	for i, n := range names {
		from, to := strings.Index(n, "%"), strings.LastIndex(n, "%")
		if from >= 0 {
			names[i] = n[:from] + "*" + n[min(to+2, len(n)):]
		}
	}
	return strings.Join(names, ",")
}
