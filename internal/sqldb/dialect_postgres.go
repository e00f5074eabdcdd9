package sqldb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgresDialect is PostgreSQL, which is spoken to by pgx and not through database/sql.
type postgresDialect struct{}

// maxPostgresName is how many bytes of a name PostgreSQL keeps (NAMEDATALEN - 1); it cuts off the rest without an error.
const maxPostgresName = 63

func (postgresDialect) system() (name, loading string) { return "postgresql", "COPY" }
func (postgresDialect) foldsNames() bool               { return false }
func (postgresDialect) enforces() bool                 { return true }
func (postgresDialect) quote(name string) string       { return quoteDouble(name) }

// literal writes a backslash in an E string, which means the same whether or not the server runs with
// standard_conforming_strings.
func (postgresDialect) literal(text string) string {
	quoted := quoteSingle(text)
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// longestKey leaves room for two keys, a job, a stage and a step in an entry of an index, which has 2,704 bytes.
func (postgresDialect) longestKey() int { return 1_000 }

func (postgresDialect) longestName() (n int, characters bool, words string) {
	return maxPostgresName, false, "PostgreSQL keeps"
}

func (postgresDialect) urls() (schemes []string, form string) {
	return []string{"postgres", "postgresql"}, "postgres://USER:PASSWORD@HOST:PORT/DATABASE"
}

func (postgresDialect) parseURL(_, url string) (Location, error) { return parsePostgres(url) }

func (postgresDialect) open(ctx context.Context, at Location, opts Options) (*DB, error) {
	return openPostgres(ctx, at, opts)
}

func (postgresDialect) ping(ctx context.Context, db *DB) error {
	return explainPostgres(db.Location, db.Pool.Ping(ctx))
}

func (postgresDialect) querier(db *DB) querier { return postgresQuerier{db.Pool} }

// beginShort begins a transaction that the server ends when its client falls silent for a while: a worker that is stopped
// between two statements must not hold its locks for ever.
const beginShort = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"

func (postgresDialect) transaction(ctx context.Context, db *DB, do func(q querier) error) error {
	return pgx.BeginTxFunc(ctx, db.Pool, pgx.TxOptions{BeginQuery: beginShort}, func(tx pgx.Tx) error { return do(postgresQuerier{tx}) })
}

func (postgresDialect) classify(err error) (error, bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err, false
	}
	return classifyPostgres(err, pg), true
}

func (postgresDialect) rowFault(err error) (code, reason, column string, ok bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return "", "", "", false
	}
	switch class := pg.Code[:2]; {
	case pg.Code == "23503": // the target has a foreign key already; its rows may just not be there yet
		return "", "", "", false
	case class == "22" || class == "23" || class == "44": // data exception, integrity constraint, view's check option
	case class == "54" && pg.Code != "54001": // program limit exceeded, such as an index entry that is too large
	case pg.Code == "P0001" || class == "21": // RAISE in a trigger; cardinality
	case class == "42" && regInput.MatchString(pg.Routine): // the name of a function that is not there, or that several have
	default:
		return "", "", "", false
	}
	reason = pg.Message
	if pg.Detail != "" {
		reason += ": " + pg.Detail
	}
	return pg.Code, reason, pg.ColumnName, true
}

// regInput finds the functions that read regproc and the like; their names are in no language.
var regInput = regexp.MustCompile(`^reg[a-z]+in$`)

func (postgresDialect) lacksTable(err error, _ string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

func (postgresDialect) lockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

func (postgresDialect) introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	return introspectPostgres(ctx, db, only)
}

func (postgresDialect) from(t *Table) string {
	if t.Only {
		return "ONLY " + Postgres.QuoteTable(t.Schema, t.Name)
	}
	return Postgres.QuoteTable(t.Schema, t.Name)
}

func (postgresDialect) binary(k Kind) bool { return k != KindOther }

func (postgresDialect) expression(s selected, _ *Table) string {
	switch {
	case s.column == nil:
		return "ctid"
	case s.binary:
		return Postgres.Quote(s.column.Name)
	}
	switch s.column.Kind {
	case KindNumeric, KindUUID, KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		// Asked for in text form it comes as the cast would write it, which would only be a step more for each value.
		return Postgres.Quote(s.column.Name)
	}
	return Postgres.Quote(s.column.Name) + "::text"
}

func (postgresDialect) rows(ctx context.Context, db *DB, expressions []string, rest string, args []any, cols []selected) (rowSource, error) {
	return queryPostgres(ctx, db, "SELECT "+strings.Join(expressions, ", ")+rest, args, cols)
}

func (postgresDialect) place(n int, c *Column) string { return "$" + strconv.Itoa(n) + "::" + c.Type }
func (postgresDialect) rowValues() bool               { return true }

func (postgresDialect) valuesList() (word string, ok bool) { return "", true }

func (postgresDialect) page(n, skip int) (head, tail string) { return "", limitOffset(n, skip) }

func (postgresDialect) integers(_ *Table, c *Column) bool { return c != nil && isIntKind(c.Kind) }

func (postgresDialect) boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	if w.Kind == WalkCTID {
		return ctidBoundaries(ctx, db, t, after, rows, limit)
	}
	if keys, dense, err := denseBoundaries(ctx, db, t, w, after, rows, limit); err != nil || dense {
		return keys, err
	}
	return postgresBoundaries(ctx, db, t, w, after, rows, limit)
}

func (postgresDialect) parseDefault(string) (literal, bool) { return literal{}, false }

func (postgresDialect) mapColumn(m *schemaMap, i, j int) {
	t, src := &m.dst.Tables[i], &m.src.Tables[i]
	c := &t.Columns[j]
	if !m.src.Dialect.words().enforces() && !knownInSQLite(c.Type) {
		m.note("Column %s of table %s has the type %s, which is not known here; it becomes text.", c.Name, t.FullName(), c.Type)
	}
	if c.Kind == KindJSON && isIndexed(src, src.Columns[j].Name) {
		m.note("Column %s of table %s becomes text instead of json, as json cannot be indexed.", c.Name, t.FullName())
		c.Kind = KindText
	}
	toPostgresType(c, m.src.Dialect.words().enforces())
}

func (postgresDialect) mapRows(m *schemaMap, i int) {
	t := &m.dst.Tables[i]
	t.RowID, t.Autoincr = "", false
	if t.PrimaryKey != nil {
		for _, name := range t.PrimaryKey.Columns {
			t.Column(name).NotNull = true // SQLite has NULLs in keys; PostgreSQL has not
		}
	}
}

func (postgresDialect) hasSchemas() bool       { return true }
func (postgresDialect) sharesNames() bool      { return true }
func (postgresDialect) namesKeys() bool        { return true }
func (postgresDialect) partialIndexes() bool   { return true }
func (postgresDialect) strictReferences() bool { return true }

// systemColumns are the names that PostgreSQL has taken in each table.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

func (postgresDialect) taken(name string, what nameOf) string {
	if what == nameOfColumn && slices.Contains(systemColumns, name) {
		return name + "_"
	}
	return name
}

func (postgresDialect) writeDefault(l literal, kind Kind) string { return l.in(Postgres, kind) }
func (postgresDialect) ownDefault(e string, _ literal) string    { return e }

func (postgresDialect) createTypes(s *Schema) []Statement  { return createPostgresTypes(s) }
func (postgresDialect) createTable(t *Table) []string      { return createPostgresTable(t) }
func (postgresDialect) createIndexes(t *Table) []Statement { return createPostgresIndexes(t) }

func (postgresDialect) made(error) bool { return false }

func (postgresDialect) asItIs(ctx context.Context, db *DB, t *Table) error {
	return db.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'r')",
		Postgres.QuoteTable(t.Schema, t.Name)).Scan(&t.Only)
}

func (postgresDialect) hasTable(ctx context.Context, db *DB, t *Table) (found bool, err error) {
	err = db.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relkind IN ('r', 'p'))",
		Postgres.QuoteTable(t.Schema, t.Name)).Scan(&found)
	return found, err
}

func (postgresDialect) checkLoadable(ctx context.Context, db *DB, t *Table) error {
	return checkPostgresLoadable(ctx, db, t)
}

func (postgresDialect) refer(ctx context.Context, db *DB, t *Table) ([]Orphans, error) {
	return referPostgres(ctx, db, t)
}

func (postgresDialect) setSequence(ctx context.Context, db *DB, t *Table, c *Column) error {
	return setPostgresSequence(ctx, db, t, c)
}

func (postgresDialect) ensureLedger(ctx context.Context, db *DB) error {
	var n int
	err := db.Pool.QueryRow(ctx, "SELECT count(to_regclass(name)) FROM unnest(ARRAY["+ledgerNames()+"]) AS t(name)").Scan(&n)
	if err != nil || n == len(ledgerTables) {
		return err
	}
	words := strings.NewReplacer("@TIME", "timestamptz", "@NOW", "clock_timestamp()")
	// Several statements in one message are one transaction.
	_, err = db.Pool.Exec(ctx, fmt.Sprintf("DO $stint$ BEGIN PERFORM pg_advisory_xact_lock(%d);\n%sEND $stint$", ledgerLock, createLedger(words.Replace)))
	return err
}

func (postgresDialect) lockStage(ctx context.Context, q querier, job, stage string) error {
	return q.exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))", job+"/"+stage, int64(ledgerLock))
}

func (postgresDialect) insertNew(insert, key string) string {
	return insert + " ON CONFLICT (" + key + ") DO NOTHING"
}

func (postgresDialect) upsert(insert, key string, set ...string) string {
	return overwriting(insert, key, set)
}

func (postgresDialect) checksEachRow() bool { return false }

func (postgresDialect) lockRows() string { return " FOR UPDATE" }

func (postgresDialect) referred(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23503" || pg.Code == "23001")
}

// unsettled is also 42830, with which the server says that what a foreign key refers to is not unique.
func (postgresDialect) unsettled(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "42830")
}

func (postgresDialect) lockingRead() string             { return "" }
func (postgresDialect) bigint(expression string) string { return "CAST(" + expression + " AS bigint)" }
func (postgresDialect) encoding() encoding              { return encodeCopy }

func (postgresDialect) sink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (loadSink, error) {
	return newPostgresSink(ctx, db, m, opts)
}

func (postgresDialect) endRivals(ctx context.Context, db *DB, job, stage, step string) (int, error) {
	return endPostgresRivals(ctx, db, job, stage, step)
}
