package pipeline

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// commandsForm reads one command, or a list of them.
var commandsForm = form[[]Command]{
	func() schema {
		one := schema{"anyOf": []schema{textForm.schema, listOf(textForm, false).schema, scriptForm.schema}}
		return schema{"anyOf": []schema{textForm.schema, {"type": "array", "items": one, "minItems": 1}}}
	}(),
	readCommands,
}

func readCommands(r *reader, n *yaml.Node, path string) ([]Command, bool) {
	if n.Kind != yaml.SequenceNode {
		args, ok := readArguments(r, n, path)
		return []Command{{Args: args}}, ok
	}
	if isOneCommand(n) {
		r.add(n, path, "one command: write it as a text, or put its list into a list, [[…]]; several: begin each with - in a line of its own",
			"may be one command or several")
		return nil, false
	}
	var out []Command
	for i, item := range n.Content {
		item = yamlplace.Plain(item)
		at := fmt.Sprintf("%s[%d]", path, i)
		r.places[at] = item
		var c Command
		if item.Kind == yaml.MappingNode {
			c = readScript(r, item, at)
		} else {
			c.Args, _ = readArguments(r, item, at)
		}
		out = append(out, c)
	}
	return out, true
}

// isOneCommand reports whether a list in brackets has nothing but single words: [go, build] looks like one command, and is two.
func isOneCommand(n *yaml.Node) bool {
	if n.Style&yaml.FlowStyle == 0 || len(n.Content) < 2 {
		return false
	}
	for i, item := range n.Content {
		item = yamlplace.Plain(item)
		if item.Kind != yaml.ScalarNode {
			return false
		}
		if i > 0 && strings.HasPrefix(item.Value, "-") {
			return true
		}
		if strings.ContainsAny(item.Value, " \t\n") {
			return false
		}
	}
	return true
}

var scriptForm = object([]field[Command]{
	must(entry("script", textForm, func(c *Command) *string { return &c.Script }, "A script for sh -e, on Windows for cmd.")),
}, nil)

func readScript(r *reader, n *yaml.Node, path string) Command {
	c, _ := scriptForm.read(r, n, path)
	return c
}

// readArguments reads the words of one command: a text, which is split, or a list, which is taken as it is.
func readArguments(r *reader, n *yaml.Node, path string) ([]string, bool) {
	if n.Kind == yaml.SequenceNode {
		args, ok := listOf(textForm, false).read(r, n, path)
		return args, ok
	}
	text, ok := textForm.read(r, n, path)
	if !ok {
		return nil, false
	}
	if asked, _ := facts(text); len(asked) > 0 {
		r.add(n, path, factInCommand, "%s is never filled into a command", asked[0])
		return nil, false
	}
	args, err := split(text)
	if err != nil {
		r.add(n, path, err.hint, "%s", err.message)
		return nil, false
	}
	return args, true
}

// splitError says why a text is no command without a shell.
type splitError struct{ message, hint string }

const (
	useScript = "write it below script:, which a shell runs, or put the word in single quotes, or list the words: [[…]]"
	useList   = "put the word in single quotes, or list the words: [[…]]"
)

// meanings are the letters that a shell does something with outside of quotes.
var meanings = map[rune]string{
	'$': "puts a variable in its place", '`': "runs a command", '*': "puts names of files in its place", '?': "puts names of files in its place",
	'[': "puts names of files in its place", ';': "ends a command", '|': "joins two commands", '&': "joins two commands", '<': "reads a file",
	'>': "writes a file", '(': "groups commands", ')': "groups commands", '{': "puts several words in its place", '}': "puts several words in its place",
}

func meaning(letter rune) *splitError {
	return &splitError{fmt.Sprintf("a shell %s where %c stands; here no shell runs", meanings[letter], letter), useScript}
}

// split cuts a text into words as a shell does, with 'single' and "double" quotes, and does nothing else that a shell does: what would
// ask for it is an error. In double quotes \" and \\ are the letters; elsewhere a backslash is refused, because Windows
// means folders with it and a shell takes it away.
func split(text string) ([]string, *splitError) {
	words := []string{}
	var word strings.Builder
	inWord := false
	letters := []rune(strings.TrimSpace(text))
	for i := 0; i < len(letters); i++ {
		c := letters[i]
		switch {
		case c == '\'' || c == '"':
			inWord = true
			length, err := quote(letters[i:], &word)
			if err != nil {
				return nil, err
			}
			i += length - 1
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '\n' || c == '\r':
			return nil, &splitError{"a command has one line", "write several as a list, each begun with -, or all of it below script:"}
		case c == '\\':
			return nil, &splitError{`a shell takes \ away; Windows means folders with it`, "write /, or " + useList}
		case meanings[c] != "":
			return nil, meaning(c)
		case !inWord && c == '~':
			return nil, &splitError{"a shell puts a home in the place of ~; here no shell runs", useScript}
		case !inWord && c == '#':
			return nil, &splitError{"what follows # is a comment to a shell, and a part of the command here", useList}
		default:
			inWord = true
			word.WriteRune(c)
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) > 0 {
		if name, _, found := strings.Cut(words[0], "="); found && variableForm.MatchString(name) && !strings.HasPrefix(string(letters), `'`) {
			return nil, &splitError{fmt.Sprintf("%s= in front of a command sets a variable in a shell; here no shell runs", name), "write it below environment: of the step"}
		}
	}
	return words, nil
}

// quote reads a quoted part, and returns how long it is.
func quote(letters []rune, word *strings.Builder) (int, *splitError) {
	mark := letters[0]
	for i := 1; i < len(letters); i++ {
		c := letters[i]
		switch {
		case c == mark:
			return i + 1, nil
		case mark == '"' && (c == '$' || c == '`'):
			return 0, meaning(c)
		case mark == '"' && c == '\\' && i+1 < len(letters) && (letters[i+1] == '"' || letters[i+1] == '\\'):
			i++
			word.WriteRune(letters[i])
		default:
			word.WriteRune(c)
		}
	}
	return 0, &splitError{fmt.Sprintf("the quote %c is not closed", mark), "close it; a quote that is a letter stands in quotes of the other kind"}
}
