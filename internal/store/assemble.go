package store

import (
	"regexp"
	"slices"
	"strings"
)

// A script of a job begins with those parts of lib.lua that it needs, and with no others: Redis makes every function in front of a
// script anew for each call, and making all of them would cost more than most scripts do.

// part is one top-level statement of lib.lua: a function or a value, and the names that it gives.
type part struct {
	names []string
	text  string
}

var (
	declared   = regexp.MustCompile(`^local (?:function )?(\w+(?:, \w+)*)`)
	identifier = regexp.MustCompile(`[A-Za-z_]\w*`)
	remark     = regexp.MustCompile(`(?m)(?:^|\s)--.*$`)
	literal    = regexp.MustCompile(`'[^'\n]*'`)
)

// parts takes lib.lua apart. A statement begins with a line that begins with "local", and goes on to the next.
func parts(lib string) []part {
	var all []part
	for line := range strings.Lines(remark.ReplaceAllString(lib, "")) {
		if m := declared.FindStringSubmatch(line); m != nil {
			all = append(all, part{names: strings.Split(m[1], ", ")})
		}
		if strings.TrimSpace(line) != "" && len(all) > 0 {
			all[len(all)-1].text += line
		}
	}
	return all
}

// names finds the identifiers in a text, those of texts and remarks left out.
func names(text string) []string {
	return identifier.FindAllString(literal.ReplaceAllString(remark.ReplaceAllString(text, ""), ""), -1)
}

// assemble puts in front of a script what it uses of lib.lua, and what that uses, in the order of lib.lua.
func assemble(lib, script string) string {
	all := parts(lib)
	used := map[string]bool{}
	use := func(text string) {
		for _, name := range names(text) {
			used[name] = true
		}
	}
	use(script)
	// A part uses only what stands above it: so one look from the end to the beginning finds all.
	need := make([]bool, len(all))
	for i, p := range slices.Backward(all) {
		if need[i] = slices.ContainsFunc(p.names, func(name string) bool { return used[name] }); need[i] {
			use(p.text)
		}
	}
	var b strings.Builder
	for i, p := range all {
		if need[i] {
			b.WriteString(p.text)
		}
	}
	return b.String() + script
}
