package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// syntaxAt says where a file stops being YAML. The library names a line at best, and often one that is too early; so this
// looks for the longest beginning of the file that is YAML. What follows it is the mistake, or opened what nobody closed. Of a file in
// which that would take too long the place is the library's.
func syntaxAt(path string, content []byte, err error) Place {
	at := Place{File: path, Line: 1, Column: 1}
	if said := yamlLine.FindStringSubmatch(err.Error())[1]; said != "" {
		at.Line, _ = strconv.Atoi(said) // digits
	}
	if len(content) > maxSyntaxSearch {
		return at
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	length := len(content) // of the lines before the mistaken one
	budget := maxSyntaxWork
	for i := len(lines) - 1; i >= 0; i-- {
		length -= len(lines[i])
		if budget -= length; budget < 0 {
			break
		}
		if isYAML(content[:length]) {
			at.Line = i + 1
			at.Column = syntaxColumn(content[:length], bytes.TrimRight(lines[i], "\r\n"), budget)
			return at
		}
	}
	return at
}

// Bounds of the search for a mistake: how large a file may be, in bytes, and how many bytes are read, once for each line.
const (
	maxSyntaxSearch = 64 << 10
	maxSyntaxWork   = 8 << 20
)

func syntaxColumn(before, line []byte, budget int) int {
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	if tab := bytes.IndexByte(indent, '\t'); tab >= 0 {
		return tab + 1
	}
	for end := len(line); end > len(indent); {
		_, size := utf8.DecodeLastRune(line[:end])
		end -= size
		if budget -= len(before) + end; budget < 0 {
			break
		}
		if isYAML(append(bytes.Clone(before), line[:end]...)) {
			return utf8.RuneCount(line[:end]) + 1
		}
	}
	return len(indent) + 1
}

func isYAML(content []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		if err := decoder.Decode(new(yaml.Node)); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxProblem returns an error of the library without its line, and what to do about it.
func syntaxProblem(err error, content []byte, at Place) (message, hint string) {
	message = yamlLine.ReplaceAllString(err.Error(), "")
	line := ""
	if lines := strings.Split(string(content), "\n"); at.Line > 0 && at.Line <= len(lines) {
		line = lines[at.Line-1]
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		return "a tab stands in the indentation", "indent with spaces"
	case strings.Contains(message, "cannot start any token") && strings.Contains(line, "@@"):
		return message, `a value that begins with @@ needs quotes: "@@NAME@@"`
	case strings.Contains(message, "cannot start any token"):
		return message, "put the value in quotes"
	case strings.Contains(message, "mapping values are not allowed"):
		return message, "is the line above complete? A value with a colon and a space in it needs quotes"
	case strings.Contains(message, "unknown anchor"):
		return message, "a value that begins with * needs quotes"
	case strings.Contains(message, "end of stream"):
		return message, "close the quote"
	}
	return message, "look at the indentation, the quotes and the brackets, here and in the line above"
}
