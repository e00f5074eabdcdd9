package housetest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

func packagesWithoutComment(files []File) []string {
	commented := map[string]bool{}
	for _, f := range files {
		if !f.IsTest() {
			commented[f.Package()] = commented[f.Package()] || has(f.AST.Doc)
		}
	}
	var out []string
	for pkg, ok := range commented {
		if !ok {
			out = append(out, pkg+": no file has a comment before `package`")
		}
	}
	slices.Sort(out)
	return out
}

// has reports whether a comment says anything; directives do not.
func has(c *ast.CommentGroup) bool { return c != nil && strings.TrimSpace(c.Text()) != "" }

// namesWithoutComment finds exported names without a comment: packages' functions, methods of exported types, types,
// constants and variables. In a group the group's comment counts for all.
func namesWithoutComment(files []File) []string {
	var out []string
	for _, f := range files {
		if f.IsTest() || f.AST.Name.Name == "main" {
			continue
		}
		report := func(n ast.Node, name string) { out = append(out, fmt.Sprintf("%s: %s", f.Place(n), name)) }
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && !has(d.Doc) && ofExported(d) {
					report(d, d.Name.Name)
				}
			case *ast.GenDecl:
				inGroup(d, report)
			}
		}
	}
	return out
}

func inGroup(d *ast.GenDecl, report func(ast.Node, string)) {
	if d.Tok == token.IMPORT || has(d.Doc) {
		return
	}
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && !has(s.Doc) && !has(s.Comment) {
				report(s, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && !has(s.Doc) && !has(s.Comment) {
					report(s, name.Name)
				}
			}
		}
	}
}

// ofExported reports whether a function is no method, or one of an exported type.
func ofExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func longFunctions(files []File) []string {
	var out []string
	for _, f := range files {
		if f.IsTest() {
			continue
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			if lines > MaxFunctionLines {
				out = append(out, fmt.Sprintf("%s: %s has %d lines", f.Place(fn), fn.Name.Name, lines))
			}
		}
	}
	return out
}
