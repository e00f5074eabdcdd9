// Package yamlplace is what the readers of YAML files that people write have in common: where a file stops being YAML and what to do
// about it, how large it may grow by its aliases, and which word a mistyped one was meant to be.
package yamlplace

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Within reports whether a node keeps to a depth and to a number of nodes once its aliases are written out: a few lines of them can
// stand for more than fits into memory, or for themselves.
func Within(n *yaml.Node, depth, nodes int) bool { return within(n, depth, &nodes) }

func within(n *yaml.Node, depth int, left *int) bool {
	if *left--; depth == 0 || *left < 0 {
		return false
	}
	if n.Kind == yaml.AliasNode {
		return within(n.Alias, depth-1, left)
	}
	return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !within(c, depth-1, left) })
}

// Plain follows aliases to what they stand for.
func Plain(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Nearest returns the candidate that a mistyped word most likely meant; "" when none is near: when more than one letter in so many is
// another.
func Nearest(word string, candidates []string, in int) string {
	best, least := "", max(1, len(word)/in)+1
	for _, c := range candidates {
		if diff := len(c) - len(word); diff >= least || -diff >= least {
			continue
		}
		if d := Distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean is the hint of a mistyped word, "" when no candidate is near.
func DidYouMean(word string, candidates []string) string {
	if n := Nearest(word, candidates, 3); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

// Distance counts the letters to insert, delete, replace or swap with their neighbour to make a into b. Small and capital letters are
// the same.
func Distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
