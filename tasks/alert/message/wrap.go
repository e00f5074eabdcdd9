package message

import (
	"slices"
	"strings"
	"unicode"
)

// wrap breaks a line at spaces and after hyphens, and words that are wider than a line wherever it ends, as Python's textwrap does.
func wrap(line string, most int) []string {
	if strings.TrimSpace(line) == "" {
		return []string{""}
	}
	var out []string
	rest := chunks(expand(line))
	for len(rest) > 0 {
		if blank(rest[0]) && len(out) > 0 {
			if rest = rest[1:]; len(rest) == 0 {
				break
			}
		}
		var current []rune
		last := 0 // where the last chunk begins
		for len(rest) > 0 && len(current)+len(rest[0]) <= most {
			last = len(current)
			current, rest = append(current, rest[0]...), rest[1:]
		}
		if len(rest) > 0 && len(rest[0]) > most {
			last = len(current)
			n := longPart(rest[0], max(most-len(current), 0), most)
			current = append(current, rest[0][:n]...)
			rest[0] = rest[0][n:]
		}
		if blank(current[last:]) {
			current = current[:last]
		}
		if len(current) > 0 {
			out = append(out, string(current))
		}
	}
	return out
}

// longPart is how much of a word that is wider than a line goes into the room that is left: up to a hyphen, if there is one.
func longPart(word []rune, room, most int) int {
	if most < 1 {
		return 1
	}
	if at := lastIndex(word[:min(room, len(word))], '-'); at > 0 && slices.ContainsFunc(word[:at], func(r rune) bool { return r != '-' }) {
		return at + 1
	}
	return room
}

func lastIndex(word []rune, r rune) int {
	for i := len(word) - 1; i >= 0; i-- {
		if word[i] == r {
			return i
		}
	}
	return -1
}

func blank(text []rune) bool { return strings.TrimSpace(string(text)) == "" }

// expand writes tabs as spaces, up to each eighth column.
func expand(line string) []rune {
	var out []rune
	for _, r := range line {
		switch {
		case r == '\t':
			out = append(out, []rune(strings.Repeat(" ", 8-len(out)%8))...)
		case unicode.IsSpace(r):
			out = append(out, ' ')
		default:
			out = append(out, r)
		}
	}
	return out
}

// chunks are the parts of a line that are not broken if that can be helped: words, what is between them, and the parts of words with
// hyphens between letters.
func chunks(line []rune) [][]rune {
	letter := func(i int) bool { return i >= 0 && i < len(line) && (unicode.IsLetter(line[i]) || line[i] == '_') }
	hyphen := func(i int) bool { return i >= 0 && i < len(line) && line[i] == '-' }
	breaks := func(i int) bool { // after the hyphen at i
		before := letter(i-1) && (letter(i-2) || hyphen(i-2) && letter(i-3))
		after := letter(i+1) && (letter(i+2) || hyphen(i+2) && letter(i+3))
		return hyphen(i) && before && after
	}
	var out [][]rune
	start := 0
	for i := 1; i < len(line); i++ {
		if (line[i-1] == ' ') != (line[i] == ' ') || breaks(i-1) {
			out = append(out, line[start:i])
			start = i
		}
	}
	return append(out, line[start:])
}
