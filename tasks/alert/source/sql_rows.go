package source

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stint-run/stint/internal/sqldb"
)

// statementTimeout is how long a query may take, in the server too where it can be told so.
const statementTimeout = 2 * time.Minute

// sqlColumn is a column of a result.
type sqlColumn struct {
	name string
	typ  string // as the database calls it
	kind sqlKind
	oid  uint32 // of PostgreSQL
}

// sqlKind is what a column holds, as far as JSON and time go.
type sqlKind byte

const (
	kindOther   sqlKind = iota
	kindText            //
	kindBool            //
	kindInteger         //
	kindFloat           //
	kindDecimal         // exact
	kindMoment          // day and time
	kindDay             //
	kindClock           // a time of day
	kindJSON            //
	kindBytes           //
	kindBits            // MySQL's BIT: bytes of a number
	kindGUID            // SQL Server's uniqueidentifier, as its bytes
	kindArray           // PostgreSQL's
)

// readRows runs a query and gives its rows, values as JSON has them, until the end or an error. They are read as they come: nothing
// is kept. The slices are valid until row returns.
func readRows(ctx context.Context, db *sqldb.DB, statement string, args []any, row func(columns []sqlColumn, values []any) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, statementTimeout, fmt.Errorf("the query has taken more than %v", statementTimeout))
	defer cancel()
	var err error
	if db.Pool != nil {
		err = readPostgres(ctx, db, statement, args, row)
	} else {
		err = readOthers(ctx, db, statement, args, row)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx) // what the driver says of it is not to the point
	}
	return err
}

// describe returns the columns of a query that gives no rows.
func describe(ctx context.Context, db *sqldb.DB, statement string) (columns []sqlColumn, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if db.Pool != nil {
		rows, err := db.Pool.Query(ctx, statement)
		if err != nil {
			return nil, sqldb.Classify(err)
		}
		rows.Close()
		return postgresColumns(rows), sqldb.Classify(rows.Err())
	}
	rows, err := db.SQL.QueryContext(ctx, statement)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	if columns, err = otherColumns(db.Dialect, rows); err != nil {
		return nil, sqldb.Classify(err)
	}
	rows.Next()
	return columns, sqldb.Classify(rows.Err())
}

// readPostgres reads in a transaction that sees one moment and may not write.
func readPostgres(ctx context.Context, db *sqldb.DB, statement string, args []any, row func([]sqlColumn, []any) error) error {
	tx, err := db.Pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: fmt.Sprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = %d",
		statementTimeout.Milliseconds())})
	if err != nil {
		return sqldb.Classify(err)
	}
	read, stop := context.WithCancel(ctx)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	defer stop()
	// Everything as text: what a type of an extension is in binary form nobody knows.
	rows, err := tx.Query(read, statement, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, args...)...)
	if err != nil {
		return sqldb.Classify(err)
	}
	defer rows.Close()
	columns := postgresColumns(rows)
	values := make([]any, len(columns))
	types := rows.Conn().TypeMap()
	for rows.Next() {
		for i, raw := range rows.RawValues() {
			values[i] = postgresValue(types, columns[i], raw)
		}
		if err := row(columns, values); err != nil {
			stop() // breaks the connection, which is cheaper than to read what may be gigabytes
			return err
		}
	}
	return sqldb.Classify(rows.Err())
}

func postgresColumns(rows pgx.Rows) []sqlColumn {
	var columns []sqlColumn
	for _, f := range rows.FieldDescriptions() {
		c := sqlColumn{name: f.Name, oid: f.DataTypeOID, kind: kindText}
		switch f.DataTypeOID {
		case pgtype.BoolOID:
			c.kind = kindBool
		case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
			c.kind = kindInteger
		case pgtype.Float4OID, pgtype.Float8OID:
			c.kind = kindFloat
		case pgtype.NumericOID:
			c.kind = kindDecimal
		case pgtype.TimestampOID, pgtype.TimestamptzOID:
			c.kind = kindMoment
		case pgtype.DateOID:
			c.kind = kindDay
		case pgtype.JSONOID, pgtype.JSONBOID:
			c.kind = kindJSON
		case pgtype.ByteaOID:
			c.kind = kindBytes
		case pgtype.TimeOID, pgtype.TimetzOID, pgtype.UUIDOID, pgtype.IntervalOID:
			c.kind = kindOther // as text in a document, but no text to read a time from
		}
		if t, ok := rows.Conn().TypeMap().TypeForOID(f.DataTypeOID); ok {
			c.typ = t.Name
			if _, isArray := t.Codec.(*pgtype.ArrayCodec); isArray {
				c.kind = kindArray
			}
		} else {
			c.typ = fmt.Sprintf("%d of pg_type", f.DataTypeOID)
		}
		columns = append(columns, c)
	}
	return columns
}

// readOthers reads through database/sql.
func readOthers(ctx context.Context, db *sqldb.DB, statement string, args []any, row func([]sqlColumn, []any) error) error {
	read, stop := context.WithCancel(ctx)
	defer stop()
	var from interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	} = db.SQL
	if options := transactionOf(db.Dialect); options != nil {
		tx, err := db.SQL.BeginTx(ctx, options)
		if err != nil {
			return sqldb.Classify(err)
		}
		defer func() { _ = tx.Rollback() }()
		from = tx
	}
	if db.Dialect == sqldb.MySQL {
		// Each of the two servers reads the words that are for it.
		statement = fmt.Sprintf("/*M!100101 SET STATEMENT max_statement_time = %d FOR */ SELECT /*+ MAX_EXECUTION_TIME(%d) */ %s", int(statementTimeout.Seconds()),
			statementTimeout.Milliseconds(), strings.TrimPrefix(statement, "SELECT "))
	}
	rows, err := from.QueryContext(read, statement, args...)
	if err != nil {
		return sqldb.Classify(err)
	}
	defer rows.Close()
	columns, err := otherColumns(db.Dialect, rows)
	if err != nil {
		return sqldb.Classify(err)
	}
	raw, values := make([]any, len(columns)), make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return sqldb.Classify(err)
		}
		for i, v := range raw {
			values[i] = otherValue(db.Dialect, columns[i], v)
		}
		if err := row(columns, values); err != nil {
			stop()
			return err
		}
	}
	return sqldb.Classify(rows.Err())
}

// transactionOf says in what transaction a query runs; nil for none, where a query sees one moment by itself.
func transactionOf(d sqldb.Dialect) *sql.TxOptions {
	switch d {
	case sqldb.MySQL:
		return &sql.TxOptions{ReadOnly: true}
	case sqldb.Firebird: // for the driver a read-only one would be READ COMMITTED, which sees what others commit meanwhile
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	}
	return nil
}

// otherColumns tells kinds by the names that drivers have for types.
func otherColumns(d sqldb.Dialect, rows *sql.Rows) ([]sqlColumn, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	columns := make([]sqlColumn, len(types))
	for i, t := range types {
		typ := strings.ToUpper(t.DatabaseTypeName())
		columns[i] = sqlColumn{name: t.Name(), typ: strings.ToLower(typ), kind: kindByName(d, typ)}
		if _, scale, ok := t.DecimalSize(); ok && scale != 0 && columns[i].kind == kindInteger {
			columns[i].kind = kindDecimal // Firebird keeps decimals in integers
		}
	}
	return columns, nil
}

// kindWords are parts of the names of types, the first that fits first.
var kindWords = []struct {
	word string
	kind sqlKind
}{
	{"DATETIME", kindMoment}, {"TIMESTAMP", kindMoment}, {"DATE", kindDay}, {"TIME", kindClock}, {"BOOL", kindBool}, {"JSON", kindJSON},
	{"UNIQUEIDENTIFIER", kindGUID}, {"BLOB", kindBytes}, {"BINARY", kindBytes}, {"IMAGE", kindBytes}, {"GEOMETRY", kindBytes},
	{"DECIMAL", kindDecimal}, {"NUMERIC", kindDecimal}, {"MONEY", kindDecimal}, {"DOUBLE", kindFloat}, {"FLOAT", kindFloat}, {"REAL", kindFloat},
	{"CHAR", kindText}, {"TEXT", kindText}, {"VARYING", kindText}, {"ENUM", kindText},
	{"INT", kindInteger}, {"LONG", kindInteger}, {"SHORT", kindInteger}, {"YEAR", kindInteger},
}

func kindByName(d sqldb.Dialect, typ string) sqlKind {
	switch {
	case typ == "BIT" && d == sqldb.MySQL:
		return kindBits
	case typ == "BIT":
		return kindBool
	case d == sqldb.SQLServer && (typ == "TIMESTAMP" || typ == "ROWVERSION"): // it is no time
		return kindBytes
	}
	for _, w := range kindWords {
		if strings.Contains(typ, w.word) {
			return w.kind
		}
	}
	return kindOther
}
