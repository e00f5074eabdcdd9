// Package glob says which files a pattern of a pipeline means. It is one for the whole family: what a step produces, what does not
// travel, what is stamped, packed and read for a cache's key are patterns of the same kind.
//
//   - any letters within a name, also none          out/*.exe
//     ?        one letter                                    part-?.bin
//     [a-z]    one of these letters; [!a-z] one of others    lib[0-9].so
//     {a,b}    the one or the other                          *.{c,h}
//     **       any number of folders, also none              src/**/*.go, out/**
//
// Names are told apart by small and capital letters, on Windows, too: the same pattern means the same files on each agent. A name that
// begins with a dot is a name like another one. A letter that means something is itself in brackets: [*].
package glob

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// maxAlternatives is how many patterns one with braces may stand for.
const maxAlternatives = 256

// Check says what is wrong with a pattern; nil when it can be used.
func Check(pattern string) error {
	_, err := expand(pattern)
	return err
}

// Expand writes the braces of a pattern out; nil for one that Check refuses.
func Expand(pattern string) []string {
	out, err := expand(pattern)
	if err != nil {
		return nil
	}
	return out
}

// Special reports whether a pattern has any letter that means something, and is not just a path.
func Special(pattern string) bool { return strings.ContainsAny(pattern, "*?[{}") }

// Match reports whether a path, with slashes and without one in front, is meant by a pattern. A pattern that Check refuses means
// nothing. It takes time in proportion to the product of their lengths at most, whatever they are.
func Match(pattern, path string) bool {
	if !Special(pattern) {
		return pattern == path && utf8.ValidString(path)
	}
	alternatives, err := expand(pattern)
	if err != nil {
		return false
	}
	name := strings.Split(path, "/")
	for _, a := range alternatives {
		if folders(strings.Split(a, "/"), name) {
			return true
		}
	}
	return false
}

// expand writes the braces of a pattern out.
func expand(pattern string) ([]string, error) {
	if !utf8.ValidString(pattern) {
		return nil, errors.New("it is no UTF-8")
	}
	out := []string{""}
	for rest := pattern; rest != ""; {
		i := strings.IndexAny(rest, "[{}")
		if i < 0 {
			i = len(rest)
		}
		parts, n := []string{rest[:i]}, i
		if i == 0 {
			var err error
			switch rest[0] {
			case '}':
				return nil, errors.New("a } closes nothing; write [}] for the letter")
			case '[':
				n, err = class(rest)
				parts = []string{rest[:n]}
			default:
				parts, n, err = braces(rest)
			}
			if err != nil {
				return nil, err
			}
		}
		if len(out)*len(parts) > maxAlternatives {
			return nil, errors.New("its braces stand for too many patterns: 256 is the most")
		}
		next := make([]string, 0, len(out)*len(parts))
		for _, before := range out {
			for _, p := range parts {
				next = append(next, before+p)
			}
		}
		out, rest = next, rest[n:]
	}
	for _, a := range out {
		for name := range strings.SplitSeq(a, "/") {
			if name != "**" && strings.Contains(name, "**") {
				return nil, errors.New("** stands for folders, and so alone between two slashes; within a name write *")
			}
		}
	}
	return out, nil
}

// braces reads {a,b} in front of a text, and returns how long it is.
func braces(s string) (parts []string, length int, err error) {
	begin := 1
	for i := 1; i < len(s); {
		switch s[i] {
		case '{':
			return nil, 0, errors.New("braces stand in braces")
		case '[':
			n, err := class(s[i:])
			if err != nil {
				return nil, 0, err
			}
			i += n
			continue
		case ',', '}':
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
		if s[i] == '}' {
			if len(parts) == 1 {
				return nil, 0, errors.New("braces have one thing in them; write {a,b}, or [{] for the letter")
			}
			return parts, i + 1, nil
		}
		i++
	}
	return nil, 0, errors.New("a { is not closed; write [{] for the letter")
}

// class returns how long the class of letters in front of a text is: [a-z], [!a-z]. A ] or - is a letter where it stands first.
func class(s string) (int, error) {
	set, length, ok := cutClass(s)
	if !ok {
		return 0, errors.New("a [ is not closed; write [[] for the letter")
	}
	if strings.ContainsRune(set, '/') {
		return 0, errors.New("a / stands in brackets")
	}
	for r := range ranges(set) {
		if r[0] > r[1] {
			return 0, errors.New("a range in brackets runs backwards")
		}
	}
	return length, nil
}

// cutClass returns what is in the brackets, and how long they are with it.
func cutClass(s string) (set string, length int, ok bool) {
	begin := 1
	if strings.HasPrefix(s[begin:], "!") || strings.HasPrefix(s[begin:], "^") {
		begin++
	}
	if begin >= len(s) {
		return "", 0, false
	}
	_, first := utf8.DecodeRuneInString(s[begin:]) // a ] that stands first is a letter
	end := strings.IndexByte(s[begin+first:], ']')
	if end < 0 {
		return "", 0, false
	}
	end += begin + first
	return s[begin:end], end + 1, true
}

// ranges are the letters of a class, each from one to another.
func ranges(set string) func(yield func([2]rune) bool) {
	return func(yield func([2]rune) bool) {
		letters := []rune(set)
		for i := 0; i < len(letters); i++ {
			r := [2]rune{letters[i], letters[i]}
			if i+2 < len(letters) && letters[i+1] == '-' {
				r[1] = letters[i+2]
				i += 2
			}
			if !yield(r) {
				return
			}
		}
	}
}

// folders matches a path, name by name. Only the last ** that was met is tried at more places than one: what an earlier one could take
// more of, the later one can take, too.
func folders(pattern, name []string) bool {
	p, n := 0, 0
	star, from := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, from = p, n
			p++
		case p < len(pattern) && word(pattern[p], name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

// word matches one name, in the same way.
func word(pattern, name string) bool {
	p, n := 0, 0
	star, from := -1, 0
	for n < len(name) {
		r, size := utf8.DecodeRuneInString(name[n:])
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, n
			p++
			continue
		}
		if p < len(pattern) {
			if length, ok := letter(pattern[p:], r); ok {
				p += length
				n += size
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, size = utf8.DecodeRuneInString(name[from:])
		from += size
		p, n = star+1, from
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// letter reports whether what a pattern begins with means a letter, and how long that is.
func letter(pattern string, r rune) (length int, ok bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		set, length, closed := cutClass(pattern)
		if !closed {
			return 0, false
		}
		in := false
		for c := range ranges(set) {
			in = in || c[0] <= r && r <= c[1]
		}
		return length, in == (pattern[1] != '!' && pattern[1] != '^')
	}
	first, length := utf8.DecodeRuneInString(pattern)
	return length, first == r
}
