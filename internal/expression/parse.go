package expression

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// Limits of what is compiled. Parser, compiler and closures are recursive: the limits keep them off the end of the stack.
const (
	maxSource   = 64 << 10 // bytes
	maxBrackets = 200      // open at once
	maxPrefixes = 1000     // tokens that make the parser go deeper without a bracket, in the whole source
	maxDepth    = 1000     // of the tree: operators in a row nest to the left
	maxVisits   = 100_000  // nodes of the tree: a < b < c has b twice, and the like in b four times
)

// parse makes a tree of a source.
func parse(source string) (ast.Node, error) {
	at := func(rune int, hint, format string, args ...any) error {
		line, column := position(source, rune)
		return &Error{Line: line, Column: column, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	if len(source) > maxSource {
		return nil, at(0, "tables of constants belong into the plan's lookups", "an expression has at most %d bytes, this one has %d", maxSource, len(source))
	}
	if !utf8.ValidString(source) {
		return nil, at(0, "", "the expression is not valid UTF-8")
	}
	if strings.TrimSpace(source) == "" {
		return nil, at(0, "write nil for NULL, or \"\" for an empty text", "the expression is empty")
	}
	if err := checkNesting(source, at); err != nil {
		return nil, err
	}
	tree, err := parser.Parse(source)
	if err != nil {
		var e *file.Error
		if errors.As(err, &e) {
			return nil, at(e.From, syntaxHint(e.Message), "%s", e.Message)
		}
		return nil, at(0, "", "%v", err)
	}
	visits := 0
	if deep := deepest(tree.Node, 0, &visits); deep != nil {
		return nil, at(deep.Location().From, "split it, or use concat() or a list", "the expression is too large: it nests more than %d operators, or has more than %d of them", maxDepth, maxVisits)
	}
	return tree.Node, nil
}

// syntaxHint explains those of the parser's messages that need it.
func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "coalesce expressions"):
		return "write (a ?? b) + c"
	case strings.Contains(message, `unexpected token Operator(":")`):
		return "inside of map() and its like, an object stands in brackets: map(list, ({name: .name}))"
	case strings.Contains(message, `Operator("=")`):
		return "comparison is written =="
	case strings.Contains(message, "invalid integer literal"):
		return `write decimal("12345678901234567890")`
	}
	return ""
}

// checkNesting refuses what would take the parser, which knows no limit of its own, too deep.
func checkNesting(source string, at func(rune int, hint, format string, args ...any) error) error {
	tokens, err := lexer.Lex(file.NewSource(source))
	if err != nil {
		return nil // the parser finds the same, with its place
	}
	open, prefixes := 0, 0
	operand := false // whether the token before ends an operand, so that + and - are no prefixes
	for _, t := range tokens {
		after := t.Kind != lexer.Operator
		switch {
		case t.Is(lexer.Bracket, "(") || t.Is(lexer.Bracket, "[") || t.Is(lexer.Bracket, "{"):
			open++
			after = false
		case t.Is(lexer.Bracket):
			open--
		case t.Is(lexer.Operator, "?") || t.Is(lexer.Operator, "let") || t.Is(lexer.Operator, "if") || t.Is(lexer.Operator, "^") || t.Is(lexer.Operator, "**"):
			prefixes++
		case t.Kind == lexer.Operator && !operand:
			prefixes++
		}
		operand = after
		if open > maxBrackets {
			return at(t.From, "", "more than %d brackets are open", maxBrackets)
		}
		if prefixes > maxPrefixes {
			return at(t.From, "a lookup table is easier to read", "the expression has more than %d prefixes and conditions", maxPrefixes)
		}
	}
	return nil
}

// position turns the index of a character into line and column, from 1.
func position(source string, rune int) (line, column int) {
	line, column = 1, 1
	for _, r := range source {
		if rune <= 0 {
			break
		}
		rune--
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// deepest returns the node with which a tree is too deep or too large, or nil.
func deepest(n ast.Node, depth int, visits *int) ast.Node {
	if n == nil {
		return nil
	}
	if *visits++; depth > maxDepth || *visits > maxVisits {
		return n
	}
	for _, child := range children(n) {
		if deep := deepest(child, depth+1, visits); deep != nil {
			return deep
		}
	}
	return nil
}

func children(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		return []ast.Node{n.Left, n.Right}
	case *ast.ChainNode:
		return []ast.Node{n.Node}
	case *ast.MemberNode:
		return []ast.Node{n.Node, n.Property}
	case *ast.SliceNode:
		return []ast.Node{n.Node, n.From, n.To}
	case *ast.CallNode:
		return append([]ast.Node{n.Callee}, n.Arguments...)
	case *ast.BuiltinNode:
		return n.Arguments
	case *ast.PredicateNode:
		return []ast.Node{n.Node}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.SequenceNode:
		return n.Nodes
	case *ast.ArrayNode:
		return n.Nodes
	case *ast.MapNode:
		return n.Pairs
	case *ast.PairNode:
		return []ast.Node{n.Key, n.Value}
	}
	return nil
}
