package sqldb

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
)

// dialect is what one kind of database does in its own way. Its values have no state. A further dialect is files of its own, a
// name in model.go and a line in words; one that is only read from embeds sourceOnly. What is asked for each value of each row
// (codecs, readers of rows) is decided once for each plan or query, and not asked here.
type dialect interface {
	// system names the database in traces, as OpenTelemetry does; loading is the operation that loads rows.
	system() (name, loading string)
	// foldsNames says that names of tables and columns are the same in any case.
	foldsNames() bool
	// enforces says that the columns of a source hold what their types say: widths, lengths and ranges mean something.
	enforces() bool
	// quote returns a name as an identifier; it holds no NUL byte.
	quote(name string) string
	// literal returns a text as a string literal; it holds no NUL byte.
	literal(text string) string
	// longestName returns how many bytes, or characters, a name may have, 0 for no limit, with words for people.
	longestName() (n int, characters bool, words string)
	// longestKey returns how many bytes a key as text may have in an index of the ledger, besides another one; 0 for no limit.
	longestKey() int

	opener
	reader
	target
}

// opener finds and opens databases.
type opener interface {
	// urls returns what its URLs begin with, and how one is written.
	urls() (schemes []string, form string)
	// parseURL reads a URL that begins with one of its schemes.
	parseURL(scheme, url string) (Location, error)
	// open opens a database and asks it for a sign of life.
	open(ctx context.Context, at Location, opts Options) (*DB, error)
	// ping asks it again. Its errors are those of open.
	ping(ctx context.Context, db *DB) error
	// querier returns who runs statements outside of transactions.
	querier(db *DB) querier
	// transaction runs a function in a transaction that is for writing, and that the server ends should we fall silent.
	transaction(ctx context.Context, db *DB, do func(q querier) error) error
	// classify is Classify for errors of this dialect's driver; false for all others.
	classify(err error) (error, bool)
	// rowFault is rowFault for errors of this dialect's driver.
	rowFault(err error) (code, reason, column string, ok bool)
	// lacksTable reports whether an error says that a table is not there.
	lacksTable(err error, table string) bool
	// lockTimeout reports whether an error says that a lock of somebody else was not had in time.
	lockTimeout(err error) bool
}

// reader reads schemas and rows.
type reader interface {
	// introspect is Introspect, but for the order of the tables.
	introspect(ctx context.Context, db *DB, only []string) (*Schema, error)
	// from returns a table as FROM wants it, for its own rows alone.
	from(t *Table) string
	// binary says that a column is read in a binary form of the database's own, which decodePostgres understands.
	binary(k Kind) bool
	// expression returns a column as a query names it.
	expression(s selected, t *Table) string
	// rows starts a query: SELECT expressions, and the rest of it. cols say what the expressions are, one by one.
	rows(ctx context.Context, db *DB, expressions []string, rest string, args []any, cols []selected) (rowSource, error)
	// place returns the place of argument n, from 1, in a query; c is the column that it is compared with.
	place(n int, c *Column) string
	// rowValues says that (a, b) > (?, ?) is understood, and found in an index.
	rowValues() bool
	// valuesList says what goes before the rows of an IN list of several columns, and false where there are no such lists.
	valuesList() (word string, ok bool)
	// page returns what limits a sorted query to n rows behind the first skip: behind SELECT, and at the end.
	page(n, skip int) (head, tail string)
	// integers says that a column of a key holds integers, and nothing else.
	integers(t *Table, c *Column) bool
	// boundaries finds the borders of chunks of a walk by key or place of row.
	boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error)
	// parseDefault understands what no other dialect writes as a default.
	parseDefault(e string) (literal, bool)
}

// target is what a database does into which rows are loaded.
type target interface {
	// mapColumn gives column j of table i its type, in a mapping from another dialect.
	mapColumn(m *schemaMap, i, j int)
	// mapRows says how the target knows the rows of table i, and how it numbers them, in a mapping from another dialect.
	mapRows(m *schemaMap, i int)
	// hasSchemas says that tables of a source that has schemas keep theirs.
	hasSchemas() bool
	// taken returns a name that is like the wanted one and not taken by the database itself.
	taken(name string, what nameOf) string
	// sharesNames says that keys and indexes share their names with tables; namesKeys that keys must have names.
	sharesNames() bool
	namesKeys() bool
	// strictReferences says that a foreign key needs the same types on both sides.
	strictReferences() bool
	// partialIndexes says that an index may cover a part of the rows.
	partialIndexes() bool
	// writeDefault writes a literal as the default of a column of this kind, "" when it cannot be one.
	writeDefault(l literal, kind Kind) string

	// ownDefault writes again a default that comes from this same dialect, and that was understood as l.
	ownDefault(e string, l literal) string

	// createTypes makes the enum types that tables need.
	createTypes(s *Schema) []Statement
	// createTable and createIndexes are CreateTable and CreateIndexes.
	createTable(t *Table) []string
	createIndexes(t *Table) []Statement
	// made reports whether an error of createIndexes says that its work is done.
	made(err error) bool
	// asItIs is asItIs, for a table whose inheritance is not known.
	asItIs(ctx context.Context, db *DB, t *Table) error
	// hasTable is HasTable; its errors are not classified.
	hasTable(ctx context.Context, db *DB, t *Table) (bool, error)
	// checkLoadable is CheckLoadable.
	checkLoadable(ctx context.Context, db *DB, t *Table) error
	// refer is ReferTable.
	refer(ctx context.Context, db *DB, t *Table) ([]Orphans, error)
	// setSequence is SetSequences for one column; its errors are not classified.
	setSequence(ctx context.Context, db *DB, t *Table, c *Column) error

	// ensureLedger makes stint's own tables, where some are missing.
	ensureLedger(ctx context.Context, db *DB) error
	// lockStage lets one transaction at a time decide the chunks of a stage.
	lockStage(ctx context.Context, q querier, job, stage string) error
	// insertNew turns an INSERT into one that does nothing where the key is there; key names its columns.
	insertNew(insert, key string) string
	// checksEachRow is Dialect.ChecksEachRow.
	checksEachRow() bool
	// upsert turns an INSERT into one that overwrites some columns where the key is there; key names the columns of the only one.
	upsert(insert, key string, set ...string) string
	// lockRows goes behind a SELECT of rows of a target that are to be deleted, so that whoever is writing them is waited for.
	lockRows() string
	// referred reports whether an error says that a row cannot be deleted as others refer to it.
	referred(err error) bool
	// unsettled is IsUnsettled.
	unsettled(err error) bool
	// lockingRead goes behind a SELECT whose row insertNew has written or found, so that it is seen.
	lockingRead() string
	// bigint casts an expression to an integer of 64 bits.
	bigint(expression string) string

	// encoding says what rows are encoded into.
	encoding() encoding
	// sink opens a Loader's connection.
	sink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (loadSink, error)
	// endRivals is EndRivals.
	endRivals(ctx context.Context, db *DB, job, stage, step string) (int, error)
}

// encoding is the form in which the rows of a batch wait for their target.
type encoding byte

const (
	encodeCopy   encoding = iota // data and ends: PostgreSQL's COPY
	encodeValues                 // values: of SQLite's driver
	encodeSQL                    // data and ends: rows as an INSERT of MySQL has them, each with a comma behind it
)

// keyWriter is a dialect that writes keys into its queries, where others give them as arguments.
type keyWriter interface {
	// keyLiteral writes a value of a key as it is compared with a column; false where it has to be an argument.
	keyLiteral(c *Column, v any) (string, bool)
}

// rowKeeper is a dialect whose indexes have no room for the keys in stint_rows.
type rowKeeper interface {
	// keptRows chooses by row_key, keptTargets by target_key: one of the keys.
	keptRows(keys []string) someRows
	keptTargets(keys []string) someRows
	// keptPage selects the different keys behind one ($3) of a job and stage ($1, $2), $4 at most, in any order that stays the same.
	keptPage(condition string) string
}

// exactKeys is a dialect to which keys may be equal that a source tells apart.
type exactKeys interface {
	// exactRows chooses the rows of a table that have the very keys.
	exactRows(t *Table, columns []string, keys []RowKey) someRows
}

// operand writes a value of a key as it is compared with a column of a query, and adds it to the arguments where it is one.
func (d Dialect) operand(c *Column, v any, args *[]any) string {
	words := d.words()
	if w, ok := words.(keyWriter); ok {
		if text, ok := w.keyLiteral(c, v); ok {
			return text
		}
	}
	*args = append(*args, v)
	return words.place(len(*args), c)
}

// ChecksEachRow says that the database looks at foreign keys row by row within a statement: of rows that refer to each other none can
// come, or go, first.
func (d Dialect) ChecksEachRow() bool { return d.words().checksEachRow() }

// nameOf says what a name is for.
type nameOf byte

const (
	nameOfTable nameOf = iota
	nameOfColumn
	nameOfIndex
)

// words returns what a dialect does in its own way; an unknown one does nothing but fail.
func (d Dialect) words() dialect {
	switch d {
	case SQLite:
		return sqliteDialect{}
	case Postgres:
		return postgresDialect{}
	case MySQL:
		return mysqlDialect{}
	case Firebird:
		return firebirdDialect{}
	case SQLServer:
		return sqlserverDialect{}
	}
	return filesDialect{}
}

// dialects are all there are, in the order in which people are told of them.
var dialects = []Dialect{SQLite, Postgres, MySQL, Firebird, SQLServer, Files}

// Quote returns a name as an identifier that means exactly this name, whatever is in it. A NUL byte, which no name can hold
// (see CheckName), becomes U+FFFD, so that the statement fails by naming nothing.
func (d Dialect) Quote(name string) string {
	return d.words().quote(strings.ReplaceAll(name, "\x00", "\uFFFD"))
}

// quoteDouble quotes a name as the SQL standard does.
func quoteDouble(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteSingle quotes a text as the SQL standard does.
func quoteSingle(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// QuoteList returns names as identifiers, separated by commas.
func (d Dialect) QuoteList(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(d.Quote(name))
	}
	return b.String()
}

// QuoteTable returns a table's name as an identifier, with its schema when that is not "".
func (d Dialect) QuoteTable(schema, name string) string {
	if schema == "" {
		return d.Quote(name)
	}
	return d.Quote(schema) + "." + d.Quote(name)
}

// Literal returns a text as a string literal that means exactly this text. Like Quote it replaces NUL bytes.
func (d Dialect) Literal(text string) string {
	return d.words().literal(strings.ReplaceAll(text, "\x00", "\uFFFD"))
}

// CheckName says why a name cannot be the name of a table or column in this dialect, with a hint; nil when it can.
func (d Dialect) CheckName(name string) error {
	n, characters, words := d.words().longestName()
	unit := "bytes"
	if characters {
		unit = "characters"
	}
	switch size := nameLength(name, characters); {
	case name == "":
		return tasks.WithHint(nil, "give it a name", "a name is empty")
	case strings.ContainsRune(name, 0):
		return tasks.WithHint(nil, "take the NUL byte out of the name", "the name %q holds a NUL byte", name)
	case n > 0 && size > n:
		return tasks.WithHint(nil, fmt.Sprintf("use a name of at most %d %s", n, unit), "the name %q has %d %s, %s %d", name, size, unit, words, n)
	}
	return nil
}

// nameLength returns the length of a name in bytes or characters.
func nameLength(name string, characters bool) int {
	if characters {
		return utf8.RuneCountInString(name)
	}
	return len(name)
}

// isLedgerName reports whether a table is stint's own (ledger, chunks, quarantine) and so never part of a migration.
func isLedgerName(name string) bool { return strings.HasPrefix(strings.ToLower(name), "stint_") }
