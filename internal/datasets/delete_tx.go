package datasets

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/internal/sqldb"
)

// lockPatience is how many seconds a transaction waits for a lock of somebody else. The step that gives up asks again later, and holds
// nothing of its own meanwhile.
const lockPatience = 5

// beginDeleting starts a transaction of PostgreSQL: each statement sees what is committed when it starts, so what is read under a lock
// is read as it is then. A policy that hides rows from this user is an error, not rows that stay behind. The server ends it when its
// client falls silent.
var beginDeleting = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '" + strconv.Itoa(lockPatience) + "s'; SET LOCAL row_security = off; " +
	"SET LOCAL idle_in_transaction_session_timeout = '2min'; SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; " +
	"SET LOCAL intervalstyle = 'postgres'; SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = 'content'; SET LOCAL client_encoding = 'UTF8'"

// txn is a transaction of the store's database. Exactly one of pg and sql is set. Places are written ?.
type txn struct {
	dialect sqldb.Dialect
	pg      pgx.Tx
	sql     *sql.Tx
}

// inTx runs a function in a transaction for writing: all of it takes effect, or, on an error or a crash, nothing. Errors are
// classified: a lock that was not had is a tasks.RetryAfter.
func (s *Store) inTx(ctx context.Context, do func(t *txn) error) error {
	return sqldb.Classify(s.begin(ctx, do))
}

func (s *Store) begin(ctx context.Context, do func(t *txn) error) error {
	if s.db.Dialect == sqldb.Postgres {
		return pgx.BeginTxFunc(ctx, s.db.Pool, pgx.TxOptions{BeginQuery: beginDeleting}, func(tx pgx.Tx) error {
			return do(&txn{dialect: sqldb.Postgres, pg: tx})
		})
	}
	conn, err := s.db.SQL.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var opts sql.TxOptions
	if s.db.Dialect == sqldb.MySQL {
		if _, err := conn.ExecContext(ctx, "SET innodb_lock_wait_timeout = "+strconv.Itoa(lockPatience)); err != nil {
			return err
		}
		// Without the locks on gaps that REPEATABLE READ takes, those who insert beside a data set do not wait for its deletion.
		opts.Isolation = sql.LevelReadCommitted
	}
	tx, err := conn.BeginTx(ctx, &opts)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if err := do(&txn{dialect: s.db.Dialect, sql: tx}); err != nil {
		return err
	}
	return tx.Commit()
}

// exec runs a statement and returns how many rows it touched.
func (t *txn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if t.pg != nil {
		tag, err := t.pg.Exec(ctx, numbered(query), args...)
		return tag.RowsAffected(), err
	}
	result, err := t.sql.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// each runs a query and calls a function for each of its rows.
func (t *txn) each(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	if t.pg != nil {
		rows, err := t.pg.Query(ctx, numbered(query), args...)
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
	rows, err := t.sql.QueryContext(ctx, query, args...)
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

// row runs a query of one row at most and scans it; false when there is none.
func (t *txn) row(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	err = t.each(ctx, query, args, func(scan func(...any) error) error {
		if found {
			return fmt.Errorf("more than one row for %s", query)
		}
		found = true
		return scan(dest...)
	})
	return found, err
}

// forUpdate locks the rows of a query, where a transaction has not locked the whole file already.
func (t *txn) forUpdate() string {
	if t.dialect == sqldb.SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// numbered writes the places of a query as PostgreSQL wants them; what is quoted stays as it is.
func numbered(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	var b strings.Builder
	n, quote := 0, byte(0)
	for i := range len(query) {
		c := query[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '?':
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
