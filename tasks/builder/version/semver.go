package version

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// semverForm is the expression that semver.org gives for a version. Go's $ is the end of the text and nothing before it, so
// that a version with a line break after it is none.
var semverForm = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
	`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)

// SemVer is a version of SemVer 2.0.0. Its numbers are kept as they are written: the specification sets no limit, and the
// libraries that parse them into 64 bits refuse versions that are valid. The zero value is no version.
type SemVer struct {
	Major, Minor, Patch string
	Pre                 []string // the identifiers of the pre-release; empty for a release
	Build               []string // the identifiers of the build metadata, which no order looks at
}

// Parse reads a version of SemVer 2.0.0: no leading v, no blank, nothing left out.
func Parse(s string) (SemVer, error) {
	m := semverForm.FindStringSubmatch(s)
	if m == nil {
		return SemVer{}, fmt.Errorf("%q is no version of SemVer 2.0.0", s)
	}
	v := SemVer{Major: m[1], Minor: m[2], Patch: m[3]}
	if m[4] != "" {
		v.Pre = strings.Split(m[4], ".")
	}
	if m[5] != "" {
		v.Build = strings.Split(m[5], ".")
	}
	return v, nil
}

// Valid reports whether a text is a version of SemVer 2.0.0.
func Valid(s string) bool { return semverForm.MatchString(s) }

// String writes the version as it was read.
func (v SemVer) String() string {
	s := v.Major + "." + v.Minor + "." + v.Patch
	if len(v.Pre) > 0 {
		s += "-" + strings.Join(v.Pre, ".")
	}
	if len(v.Build) > 0 {
		s += "+" + strings.Join(v.Build, ".")
	}
	return s
}

// Compare orders two versions by the precedence of SemVer 2.0.0: negative when v comes first, 0 when neither does. Versions
// that differ in their build metadata alone are equal.
func (v SemVer) Compare(w SemVer) int {
	if c := cmp.Or(numbers(v.Major, w.Major), numbers(v.Minor, w.Minor), numbers(v.Patch, w.Patch)); c != 0 {
		return c
	}
	switch {
	case len(v.Pre) == 0 && len(w.Pre) == 0:
		return 0
	case len(v.Pre) == 0: // a release comes after all that led to it
		return 1
	case len(w.Pre) == 0:
		return -1
	}
	for i := range min(len(v.Pre), len(w.Pre)) {
		if c := identifiers(v.Pre[i], w.Pre[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.Pre), len(w.Pre))
}

// numbers compares two whole numbers of any length, written without leading zeros.
func numbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// identifiers compares two identifiers of pre-releases: numbers by their value, words by ASCII, a number before a word.
func identifiers(a, b string) int {
	numA, numB := numeric(a), numeric(b)
	switch {
	case numA && numB:
		return numbers(a, b)
	case numA:
		return -1
	case numB:
		return 1
	}
	return cmp.Compare(a, b)
}

func numeric(s string) bool { return strings.Trim(s, "0123456789") == "" }
