package artifact

import (
	"slices"
	"strings"
)

// First words of the keys of stint's own records. Whoever keeps records of a new kind adds its word here, so that no plan writes there.
const (
	OwnBuilds        = "builds"         // of jobs that build: starts, results, logs, packages, snapshots
	OwnReleases      = "releases"       // the catalogue of versions
	OwnRemoved       = "removed"        // versions whose packages are gone
	OwnEnvironments  = "environments"   // promotions
	OwnDedupe        = "dedupe"         // analyses, deletions and their archives
	OwnDedupeHistory = "dedupe-history" // what stays of analyses
	OwnProbe         = "stint-probe"    // what Probe writes
)

// Own lists the first words of stint's own keys, in order.
func Own() []string {
	return []string{OwnBuilds, OwnDedupe, OwnDedupeHistory, OwnEnvironments, OwnReleases, OwnRemoved, OwnProbe}
}

// IsOwn reports whether a key, or the beginning of one, that CheckKey lets in lies among stint's own records. So does one whose first word
// Windows may have made up as the short name of a longer one, such as enviro~1.
func IsOwn(key string) bool {
	first, _, _ := strings.Cut(key, "/")
	return slices.Contains(Own(), first) || isShort(first)
}

// isShort reports whether Windows may have made up a word as the short name of a longer one: at most eight bytes with ~ and a number at
// their end, and an extension.
func isShort(word string) bool {
	name, _, _ := strings.Cut(word, ".")
	_, number, found := strings.Cut(name, "~")
	return found && len(name) <= 8 && number != "" && strings.Trim(number, "0123456789") == ""
}
