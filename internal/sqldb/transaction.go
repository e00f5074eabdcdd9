package sqldb

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// querier is a database or a transaction of any dialect. Places are written $1, $2, ...; the same one may come twice.
type querier interface {
	exec(ctx context.Context, query string, args ...any) error
	queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error
}

type pgxQuerier interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type sqlConn interface {
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

// sqlQuerier is a database or a transaction of database/sql, whose driver understands places as querier wants them.
type sqlQuerier struct{ q sqlConn }

func (s sqlQuerier) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.q.ExecContext(ctx, query, args...)
	return err
}

func (s sqlQuerier) queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
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
	return db.Dialect.words().querier(db)
}

func (db *DB) queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	return db.querier().queryAll(ctx, query, args, row)
}

func (db *DB) exec(ctx context.Context, query string, args ...any) error {
	return db.querier().exec(ctx, query, args...)
}

// inTransaction runs a function in a transaction: all of it takes effect, or, on an error or a crash, nothing.
func inTransaction(ctx context.Context, db *DB, do func(q querier) error) error {
	return db.Dialect.words().transaction(ctx, db, do)
}

// queryRow runs a query of one row and scans it.
func queryRow(ctx context.Context, db *DB, query string, args []any, dest ...any) error {
	found := false
	err := db.queryAll(ctx, query, args, func(scan func(...any) error) error {
		if found {
			return nil
		}
		found = true
		return scan(dest...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}
