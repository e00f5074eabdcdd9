package docsearch

import (
	"strings"
	"unicode"
)

// Analyze returns the words of a text in lower case, as the standard analyzer tells them apart: letters, digits and _ belong together,
// and so do two letters with one of . ' : between them, and two digits with one of . ' , ; between them.
func Analyze(text string) []string {
	var words []string
	runes := []rune(text)
	for i := 0; i < len(runes); {
		if !inWord(runes[i]) {
			i++
			continue
		}
		from := i
		for i++; i < len(runes) && !ideograph(runes[from]); i++ {
			if ideograph(runes[i]) {
				break
			}
			if !inWord(runes[i]) && !(i+1 < len(runes) && joins(runes[i-1], runes[i], runes[i+1])) {
				break
			}
		}
		words = append(words, strings.ToLower(string(runes[from:i])))
	}
	return words
}

func inWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r)
}

// ideograph reports whether a letter is a word by itself.
func ideograph(r rune) bool { return unicode.Is(unicode.Han, r) || unicode.Is(unicode.Hiragana, r) }

// joins reports whether a mark between two characters leaves them in one word.
func joins(before, mark, after rune) bool {
	letters := unicode.IsLetter(before) && unicode.IsLetter(after) && !ideograph(after)
	digits := unicode.IsDigit(before) && unicode.IsDigit(after)
	switch mark {
	case '.', '\'', '\u2019':
		return letters || digits
	case ':', '\u00b7':
		return letters
	case ',', ';':
		return digits
	}
	return false
}

// distance returns how many letters have to be inserted, deleted, changed or swapped with their neighbour to make b of a; more than
// most is most+1.
func distance(a, b string, most int) int {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > most || -d > most {
		return most + 1
	}
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return min(last[len(y)], most+1)
}

// phrase reports whether words stand in a text one after another, moved by at most slop places in all.
func phrase(text, words []string, slop int, lastIsPrefix bool) bool {
	if len(words) == 0 {
		return false
	}
	same := func(at, i int) bool {
		if lastIsPrefix && i == len(words)-1 {
			return strings.HasPrefix(text[at], words[i])
		}
		return text[at] == words[i]
	}
	// The words fit where each stands at most slop places after its own, counted from the same start. Equal words take the first
	// place that is free, which leaves the later ones to those after them.
	for start := 1 - len(words) - slop; start < len(text); start++ {
		used := map[int]bool{}
		for i := range words {
			at := max(0, start+i)
			for at < len(text) && at <= start+i+slop && (used[at] || !same(at, i)) {
				at++
			}
			if at >= len(text) || at > start+i+slop {
				break
			}
			if used[at] = true; i == len(words)-1 {
				return true
			}
		}
	}
	return false
}
