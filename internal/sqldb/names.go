package sqldb

import (
	"slices"
	"strings"
)

// nearest returns those of the known words that a person may have meant by a word, the nearest first, at most three.
func nearest(word string, known []string) []string {
	type near struct {
		word     string
		distance int
	}
	lower := strings.ToLower(word)
	var found []near
	for _, k := range known {
		d := editDistance(lower, strings.ToLower(k))
		if d <= 1+len(word)/4 || (len(word) >= 3 && strings.Contains(strings.ToLower(k), lower)) {
			found = append(found, near{k, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	var words []string
	for _, f := range found[:min(3, len(found))] {
		words = append(words, f.word)
	}
	return words
}

// editDistance counts the insertions, deletions and replacements of bytes that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
