// Package versions says which builds are meant by a selector: those that a fence parks, or that a command drains.
//
// A selector is a version, which means the builds that call themselves so, or a constraint on semantic versions such as
// "<2.0" or ">=1.4, <1.6". It is a constraint when an operator, a comma, a space or a wildcard is in it. A build whose
// version is not a semantic one ("dev", the id of a commit) is meant by its own text only, never by a constraint.
package versions

import (
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

const hint = "write a version such as 1.4.0, or a constraint such as <2.0 or >=1.4, <1.6"

var wildcard = regexp.MustCompile(`^v?([0-9]+\.){0,2}[xX]$`)

// Matches reports whether a version is meant by a selector. Prereleases are versions like others: 1.9.0-rc.1 is <2.0, and so is
// 2.0.0-rc.1; who wants to spare that one writes <2.0.0-0. A leading v of either side does not count. An empty selector and a
// constraint that cannot be read are errors with a hint.
func Matches(selector, version string) (bool, error) {
	selector = strings.TrimSpace(selector)
	if selector == "" {
		return false, tasks.WithHint(nil, hint, "a version selector is empty")
	}
	if !isConstraint(selector) {
		return bare(selector) == bare(version), nil
	}
	c, err := semver.NewConstraint(selector)
	if err != nil {
		return false, tasks.WithHint(err, hint, "%q is no constraint on versions", selector)
	}
	c.IncludePrerelease = true
	if !strings.Contains(version, ".") { // a number alone is more likely a commit than a version
		return false, nil
	}
	v, err := semver.NewVersion(version)
	if err != nil {
		return false, nil
	}
	return c.Check(v), nil
}

// Check returns why nothing can be meant by a selector, with a hint; nil when it can be read.
func Check(selector string) error {
	_, err := Matches(selector, "")
	return err
}

func isConstraint(selector string) bool {
	return strings.ContainsAny(selector, "<>=!~^*|, ") || wildcard.MatchString(selector)
}

// bare is a version without the v that tags have in front.
func bare(version string) string {
	if len(version) > 1 && version[0] == 'v' && version[1] >= '0' && version[1] <= '9' {
		return version[1:]
	}
	return version
}

// Parks reports whether a fence keeps a version from claiming. A fence whose selector this build cannot read was set by a
// newer one, against older ones: it parks, and the error says why.
func Parks(f wire.Fence, version string) (bool, error) {
	if f.Version != "" {
		meant, err := Matches(f.Version, version)
		return meant || err != nil, err
	}
	meant, err := Matches(f.NotVersion, version)
	return !meant || err != nil, err
}

// Text is a fence as people read it: "version <2.0" or "not-version 1.5.0".
func Text(f wire.Fence) string {
	if f.Version != "" {
		return "version " + f.Version
	}
	return "not-version " + f.NotVersion
}
