package sqldb

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is a database or a transaction of either dialect. Places are written $1, $2, ..., which both understand.
type querier interface {
	exec(ctx context.Context, query string, args ...any) error
	queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error
}

type pgxQuerier interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type sqlQuerier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

type postgresQuerier struct{ q pgxQuerier }

func (p postgresQuerier) exec(ctx context.Context, query string, args ...any) error {
	_, err := p.q.Exec(ctx, query, args...)
	return err
}

func (p postgresQuerier) queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	rows, err := p.q.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

type sqliteQuerier struct{ q sqlQuerier }

func (s sqliteQuerier) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.q.ExecContext(ctx, query, args...)
	return err
}

func (s sqliteQuerier) queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	rows, err := s.q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (db *DB) querier() querier {
	if db.Dialect == Postgres {
		return postgresQuerier{db.Pool}
	}
	return sqliteQuerier{db.SQL}
}

func (db *DB) queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	return db.querier().queryAll(ctx, query, args, row)
}

func (db *DB) exec(ctx context.Context, query string, args ...any) error {
	return db.querier().exec(ctx, query, args...)
}

// beginShort begins a transaction that the server ends when its client falls silent for a while: a worker that is stopped
// between two statements must not hold its locks for ever.
const beginShort = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'"

// inTransaction runs a function in a transaction: all of it takes effect, or, on an error or a crash, nothing.
func inTransaction(ctx context.Context, db *DB, do func(q querier) error) error {
	if db.Dialect == Postgres {
		return pgx.BeginTxFunc(ctx, db.Pool, pgx.TxOptions{BeginQuery: beginShort}, func(tx pgx.Tx) error { return do(postgresQuerier{tx}) })
	}
	tx, err := db.SQL.BeginTx(ctx, nil) // the connection's _txlock makes it BEGIN IMMEDIATE
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(sqliteQuerier{tx}); err != nil {
		return err
	}
	return tx.Commit()
}
