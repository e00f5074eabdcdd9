// Package housetest keeps the rules of this house: each is a function that reads the source and says what breaks it,
// with the reason of the rule in its words. Its test applies them to the whole module.
package housetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the path that all of our import paths begin with.
const Module = "github.com/stint-run/stint"

// File is a Go file of the module.
type File struct {
	Path  string // slash-separated, from the module's root
	Lines int
	AST   *ast.File
	fset  *token.FileSet
}

// Package returns the folder of the file, which is also its package's import path without the module; "." at the root.
func (f File) Package() string { return path.Dir(f.Path) }

// IsTest reports whether only `go test` compiles the file.
func (f File) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Place returns FILE:LINE of a node.
func (f File) Place(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.Path, f.fset.Position(n.Pos()).Line)
}

// Imports returns the import paths of the file.
func (f File) Imports() []string {
	var out []string
	for _, i := range f.AST.Imports {
		p, _ := strconv.Unquote(i.Path.Value) // the parser has read it as a string already
		out = append(out, p)
	}
	return out
}

// Parse makes a File of source code.
func Parse(name, source string) (File, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return File{}, err
	}
	return File{Path: name, Lines: strings.Count(source, "\n"), AST: tree, fset: fset}, nil
}

// Load parses all Go files below a module's root.
func Load(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f, err := Parse(filepath.ToSlash(rel), string(source))
		files = append(files, f)
		return err
	})
	return files, err
}

// Rule is something that this house keeps to.
type Rule struct {
	Name   string
	Reason string
	// Breaks lists what breaks the rule, beginning with a file or folder.
	Breaks func(files []File) []string
	// Allowed are files that may break it, each with its reason.
	Allowed map[string]string
}

// Check returns what breaks the rule and is not allowed to, and what is allowed to but does not any more.
func (r Rule) Check(files []File) []string {
	var out []string
	used := map[string]bool{}
	for _, b := range r.Breaks(files) {
		file, _, _ := strings.Cut(b, ":")
		if _, ok := r.Allowed[file]; ok {
			used[file] = true
			continue
		}
		out = append(out, b)
	}
	for file := range r.Allowed {
		if !used[file] {
			out = append(out, file+": is on the list of exceptions and keeps the rule; take it off")
		}
	}
	slices.Sort(out)
	return out
}

// inside reports whether a package is a folder or lies below it.
func inside(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// ours returns a package without the module's path, and whether it is of this module.
func ours(importPath string) (string, bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}
