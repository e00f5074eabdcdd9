package yamlplace

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

// Mistake is where a file stops being YAML, and what to do about it.
type Mistake struct {
	Line, Column  int // from 1
	Message, Hint string
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// Syntax finds the place of an error that the library had while it parsed a file. The library names a line at best, and often one that
// is too early; so this looks for the longest beginning of the file that is YAML. What follows it is the mistake, or opened what nobody
// closed. Of a file in which that would take too long the place is the library's.
func Syntax(content []byte, err error) Mistake {
	m := Mistake{Line: 1, Column: 1, Message: yamlLine.ReplaceAllString(err.Error(), ""), Hint: "look at the indentation, the quotes and the brackets, here and in the line above"}
	if said := yamlLine.FindStringSubmatch(err.Error())[1]; said != "" {
		m.Line, _ = strconv.Atoi(said)
	}
	if len(content) > maxSearched {
		return m
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	length, budget := len(content), maxSearch
	for i := len(lines) - 1; i >= 0; i-- {
		length -= len(lines[i])
		if budget -= length; budget < 0 {
			break
		}
		if isYAML(content[:length]) {
			line := bytes.TrimRight(lines[i], "\r\n")
			m.Line, m.Column = i+1, column(content[:length], line, budget)
			m.explain(string(line))
			break
		}
	}
	return m
}

// Bounds of the search for a mistake: how large a file may be, and how many bytes are parsed.
const (
	maxSearched = 64 << 10
	maxSearch   = 8 << 20
)

// explain finds out what people did who wrote such a line.
func (m *Mistake) explain(line string) {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		m.Message, m.Hint = "a tab stands in the indentation", "indent with spaces"
	case strings.Contains(m.Message, "cannot start any token") && strings.Contains(line, "@@"):
		m.Hint = `a value that begins with a token and goes on needs quotes: "@@NAME@@..."`
	case strings.Contains(m.Message, "cannot start any token"):
		m.Hint = "put the value in quotes"
	case strings.Contains(m.Message, "mapping values are not allowed"):
		m.Hint = "is the line above complete? A value with a colon and a space in it needs quotes"
	case strings.Contains(m.Message, "unknown anchor"):
		m.Hint = "a value that begins with * needs quotes"
	}
}

func column(before, line []byte, budget int) int {
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
	d := yaml.NewDecoder(bytes.NewReader(content))
	for {
		if err := d.Decode(new(yaml.Node)); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}
