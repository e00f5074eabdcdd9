package sqldb

import (
	"context"

	"github.com/stint-run/stint/tasks"
)

// filesDialect is folders of files: no database at all, but rows are read from them.
type filesDialect struct{ sourceOnly }

func (filesDialect) system() (name, loading string) { return "files", "INSERT" }
func (filesDialect) foldsNames() bool               { return true }
func (filesDialect) enforces() bool                 { return false }
func (filesDialect) quote(name string) string       { return quoteDouble(name) }
func (filesDialect) literal(text string) string     { return quoteSingle(text) }

func (filesDialect) urls() (schemes []string, form string) {
	return []string{"csv", "tsv", "ndjson", "dbf"}, "csv:DIR, tsv:DIR, ndjson:DIR or dbf:DIR"
}

func (filesDialect) parseURL(scheme, url string) (Location, error) {
	return parseFiles(scheme, url[len(scheme)+1:])
}

func (filesDialect) open(context.Context, Location, Options) (*DB, error) {
	return nil, tasks.WithHint(nil, urlForms(), "cannot open a database without a location")
}

func (filesDialect) ping(ctx context.Context, db *DB) error {
	_, err := db.Files.Schema(ctx)
	return err
}

func (filesDialect) querier(*DB) querier              { return nil }
func (filesDialect) classify(err error) (error, bool) { return err, false }
func (filesDialect) rowFault(error) (code, reason, column string, ok bool) {
	return "", "", "", false
}
func (filesDialect) lacksTable(error, string) bool { return false }
func (filesDialect) lockTimeout(error) bool        { return false }

func (filesDialect) introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	return introspectFiles(ctx, db, only)
}

func (filesDialect) from(t *Table) string                   { return quoteDouble(t.Name) }
func (filesDialect) binary(Kind) bool                       { return false }
func (filesDialect) expression(s selected, t *Table) string { return quoteDouble(s.column.Name) }
func (filesDialect) place(int, *Column) string              { return "?" }
func (filesDialect) rowValues() bool                        { return false }
func (filesDialect) valuesList() (word string, ok bool)     { return "", false }
func (filesDialect) page(int, int) (head, tail string)      { return "", "" }
func (filesDialect) integers(*Table, *Column) bool          { return false }
func (filesDialect) parseDefault(string) (literal, bool)    { return literal{}, false }

func (filesDialect) rows(context.Context, *DB, []string, string, []any, []selected) (rowSource, error) {
	return nil, errNoQueries
}

func (filesDialect) boundaries(ctx context.Context, db *DB, t *Table, _ Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	return db.Files.Boundaries(ctx, t, after, rows, limit)
}
