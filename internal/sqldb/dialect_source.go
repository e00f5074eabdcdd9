package sqldb

import (
	"context"
	"errors"

	"github.com/stint-run/stint/tasks"
)

// sourceOnly is embedded by dialects that rows are only read from. Whoever asks one to be a target is told so by Loadable, and
// gets an error for all that may be asked before.
type sourceOnly struct{}

var (
	errNoQueries  = errors.New("files cannot be queried")
	errSourceOnly = tasks.Permanent(tasks.WithHint(nil, "choose another target", "rows can be read from this kind of database, and not be written to it"))
)

func (sourceOnly) longestName() (n int, characters bool, words string) { return 0, false, "" }
func (sourceOnly) longestKey() int                                     { return 0 }
func (sourceOnly) transaction(context.Context, *DB, func(querier) error) error {
	return errSourceOnly
}
func (sourceOnly) mapColumn(*schemaMap, int, int)            {}
func (sourceOnly) mapRows(*schemaMap, int)                   {}
func (sourceOnly) hasSchemas() bool                          { return false }
func (sourceOnly) taken(name string, _ nameOf) string        { return name }
func (sourceOnly) sharesNames() bool                         { return false }
func (sourceOnly) namesKeys() bool                           { return false }
func (sourceOnly) partialIndexes() bool                      { return false }
func (sourceOnly) strictReferences() bool                    { return false }
func (sourceOnly) writeDefault(literal, Kind) string         { return "" }
func (sourceOnly) ownDefault(e string, _ literal) string     { return e }
func (sourceOnly) createTypes(*Schema) []Statement           { return nil }
func (sourceOnly) createTable(*Table) []string               { return nil }
func (sourceOnly) createIndexes(*Table) []Statement          { return nil }
func (sourceOnly) made(error) bool                           { return false }
func (sourceOnly) asItIs(context.Context, *DB, *Table) error { return nil }
func (sourceOnly) hasTable(context.Context, *DB, *Table) (bool, error) {
	return false, errSourceOnly
}
func (sourceOnly) checkLoadable(context.Context, *DB, *Table) error { return errSourceOnly }
func (sourceOnly) refer(context.Context, *DB, *Table) ([]Orphans, error) {
	return nil, errSourceOnly
}
func (sourceOnly) setSequence(context.Context, *DB, *Table, *Column) error  { return errSourceOnly }
func (sourceOnly) ensureLedger(context.Context, *DB) error                  { return errSourceOnly }
func (sourceOnly) lockStage(context.Context, querier, string, string) error { return errSourceOnly }
func (sourceOnly) insertNew(insert, _ string) string                        { return insert }
func (sourceOnly) upsert(insert, _ string, _ ...string) string              { return insert }
func (sourceOnly) checksEachRow() bool                                      { return false }
func (sourceOnly) lockRows() string                                         { return "" }
func (sourceOnly) referred(error) bool                                      { return false }
func (sourceOnly) unsettled(error) bool                                     { return false }
func (sourceOnly) lockingRead() string                                      { return "" }
func (sourceOnly) bigint(expression string) string                          { return expression }
func (sourceOnly) encoding() encoding                                       { return encodeValues }
func (sourceOnly) sink(context.Context, *DB, *Mapping, LoaderOptions) (loadSink, error) {
	return nil, errSourceOnly
}
func (sourceOnly) endRivals(context.Context, *DB, string, string, string) (int, error) {
	return 0, nil
}
