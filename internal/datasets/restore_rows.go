package datasets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/stint-run/stint/internal/sqldb"
)

// insertion puts rows of an archive into a table.
type insertion struct {
	table       *sqldb.Table
	columns     []*sqldb.Column // of the archive's cells
	missingOnly bool
}

func (in *insertion) list(d sqldb.Dialect) string {
	names := make([]string, len(in.columns))
	for i, c := range in.columns {
		names[i] = c.Name
	}
	return d.QuoteList(names)
}

// postgres lets the server read the rows as it wrote them. Numbering columns take the values that come, whatever they are.
func (in *insertion) postgres(ctx context.Context, t *txn, a *archiveReader) (int64, error) {
	into, list := quoted(t.dialect, in.table), in.list(t.dialect)
	if in.missingOnly {
		if _, err := t.exec(ctx, "CREATE TEMP TABLE stint_restored ON COMMIT DROP AS SELECT "+list+" FROM "+into+" WITH NO DATA"); err != nil {
			return 0, err
		}
		into = "pg_temp.stint_restored"
	}
	tag, err := sqldb.CopyFrom(ctx, t.pg.Conn().PgConn(), a.rows, "COPY "+into+" ("+list+") FROM STDIN")
	if err != nil || !in.missingOnly {
		return tag.RowsAffected(), err
	}
	return t.exec(ctx, "INSERT INTO "+quoted(t.dialect, in.table)+" ("+list+") OVERRIDING SYSTEM VALUE SELECT "+list+" FROM pg_temp.stint_restored ON CONFLICT DO NOTHING")
}

// sqlite inserts row by row: a statement is a call, and no round trip.
func (in *insertion) sqlite(ctx context.Context, t *txn, a *archiveReader) (restored int64, err error) {
	statement := "INSERT INTO " + quoted(t.dialect, in.table) + " (" + in.list(t.dialect) + ") VALUES (?" + strings.Repeat(", ?", len(in.columns)-1) + ")"
	if in.missingOnly {
		statement += " ON CONFLICT DO NOTHING"
	}
	insert, err := t.sql.PrepareContext(ctx, statement)
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	cells, values := make([][]byte, len(in.columns)), make([]any, len(in.columns))
	for {
		if err := a.readRow(cells); err != nil {
			return restored, ended(err)
		}
		for i, cell := range cells {
			if values[i], err = readTagged(cell); err != nil {
				return 0, err
			}
		}
		result, err := insert.ExecContext(ctx, values...)
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		restored += n
	}
}

// ended makes the end of an archive no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// insertBytes is about how large a statement of MariaDB becomes; the server's own limit is 16 MiB where nobody has set another.
const insertBytes = 1 << 20

// mysql inserts many rows with a statement.
func (in *insertion) mysql(ctx context.Context, t *txn, a *archiveReader) (restored int64, err error) {
	head := "INSERT INTO " + quoted(t.dialect, in.table) + " (" + in.list(t.dialect) + ") VALUES "
	tail := ""
	if in.missingOnly { // a row that is there is set to what it is: it counts as none
		name := t.dialect.Quote(in.columns[0].Name)
		tail = " ON DUPLICATE KEY UPDATE " + name + " = " + quoted(t.dialect, in.table) + "." + name
	}
	statement := []byte(head)
	flush := func() error {
		if len(statement) == len(head) {
			return nil
		}
		n, err := t.exec(ctx, string(statement)+tail)
		restored += n
		statement = statement[:len(head)]
		return err
	}
	cells := make([][]byte, len(in.columns))
	for {
		switch err := a.readRow(cells); {
		case errors.Is(err, io.EOF):
			return restored, flush()
		case err != nil:
			return 0, err
		}
		if len(statement) > len(head) {
			statement = append(statement, ',')
		}
		open := byte('(')
		for i, cell := range cells {
			statement = append(statement, open)
			open = ','
			if statement, err = appendMySQL(statement, in.columns[i], cell); err != nil {
				return 0, err
			}
		}
		statement = append(statement, ')')
		if len(statement) >= insertBytes {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
}

// appendMySQL appends a cell as a literal. A backslash is one: our sessions have no escapes.
func appendMySQL(dst []byte, c *sqldb.Column, cell []byte) ([]byte, error) {
	text, null, err := unescape(cell)
	switch {
	case err != nil:
		return dst, err
	case null:
		return append(dst, "NULL"...), nil
	}
	switch mysqlClassOf(c) {
	case mysqlNumber:
		if !isMySQLNumber(text) {
			return dst, fmt.Errorf("column %s is a number, and the archive has %.40q", c.Name, text)
		}
		return append(dst, text...), nil
	case mysqlBytes:
		dst = append(dst, "_binary"...)
	}
	dst = append(dst, '\'')
	dst = append(dst, bytes.ReplaceAll(text, []byte("'"), []byte("''"))...)
	return append(dst, '\''), nil
}

// isDuplicate reports whether SQLite or MariaDB says that a row of this key is there already.
func isDuplicate(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY || lite.Code() == sqlitelib.SQLITE_CONSTRAINT_ROWID
	}
	var maria *mysql.MySQLError
	return errors.As(err, &maria) && (maria.Number == 1062 || maria.Number == 1586)
}
