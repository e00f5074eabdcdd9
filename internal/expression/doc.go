// Package expression is the language of a migration plan's mapping: it parses, checks and compiles what stands in `map:`,
// `filter:` and `each:`, and evaluates it on rows.
//
// The syntax, and the parser, are those of github.com/expr-lang/expr. Types, NULL, numbers and functions are ours, because
// rows of a legacy database need other rules than configuration does (docs/adr/0007-expressions.md):
//
//   - NULL is SQL's: an operator or function of NULL gives NULL. Nothing panics, whatever is in row 800,000.
//   - Numbers are exact. A REAL is taken as its shortest decimal text, so that int(19.99 * 100) is 1999.
//   - What can be known before the first row is said before it: each *Error has line, column, message and hint.
//   - What a row alone can tell is a *ValueError, with a reason for people and an SQLSTATE. The row is set aside.
//   - The same row gives the same values each time: there is no clock, no random number and no reading of anything else.
//
// Compile makes a Program, which any number of goroutines share; each brings a Row of its own:
//
//	source, scope ──parser──> tree ──compiler──> closures ──Eval(row)──> Value
//	                  │                 │                        │
//	               *Error            *Error          *ValueError, *MissingRef
//
// docs/expressions.md is the page for the authors of plans. A test evaluates its examples.
package expression
