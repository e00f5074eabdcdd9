package pack

import (
	"bytes"
	"fmt"
)

// Bounds of a Cargo.lock, which is far within them. The library reads what is nested by calling itself, so that megabytes of brackets, or of
// dots in one name, would be the end of its stack and of the process.
const (
	maxTOMLLine  = 64 << 10 // bytes; a name, and a table within braces, stand on one line
	maxTOMLDepth = 100      // lists in lists
)

// shallow says why TOML is nested too deep to be read.
func shallow(content []byte) error {
	depth := 0
	for i, line := 0, 0; i < len(content); i++ {
		if line++; line > maxTOMLLine {
			return fmt.Errorf("it has a line of more than %d bytes", maxTOMLLine)
		}
		switch c := content[i]; c {
		case '\n':
			line = 0
		case '#':
			for i+1 < len(content) && content[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			i += quotedTOML(content[i:])
		case '[':
			if depth++; depth > maxTOMLDepth {
				return fmt.Errorf("it has more than %d lists in each other", maxTOMLDepth)
			}
		case ']':
			depth = max(0, depth-1)
		}
	}
	return nil
}

// quotedTOML returns how many bytes stand between the first byte of a text and its last; a text that does not end ends with the file.
func quotedTOML(content []byte) int {
	end := content[:1]
	if len(content) > 2 && content[1] == content[0] && content[2] == content[0] {
		end = content[:3]
	}
	for i := len(end); i < len(content); i++ {
		switch {
		case content[i] == '\\' && content[0] == '"':
			i++
		case content[i] == '\n' && len(end) == 1: // it is a mistake, and ends there
			return i - 1
		case bytes.HasPrefix(content[i:], end):
			return i + len(end) - 1
		}
	}
	return len(content) - 1
}
