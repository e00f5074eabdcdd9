package datasets

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stint-run/stint/internal/sqldb"
)

// dependent is a foreign key by which the database would itself change or delete rows when those that they refer to go. Where it leads
// by the data set's own ids these are rows of the same data set, which have gone before; where it does not they may be anybody's, and
// nothing would archive them.
type dependent struct {
	child  *sqldb.Table
	key    sqldb.ForeignKey
	action string
}

// dependentsOf returns the foreign keys of the layout's tables that would take rows along unseen when rows of a table go.
func (s *Store) dependentsOf(parent *sqldb.Table) []dependent {
	if s.db.Dialect == sqldb.SQLite { // our sessions do not enforce foreign keys there
		return nil
	}
	customer, database := s.idColumns(parent)
	var found []dependent
	for i := range s.tables {
		child := &s.tables[i]
		for _, key := range child.info.ForeignKeys {
			refers := (&sqldb.Table{Schema: key.RefSchema, Name: key.RefTable}).FullName() == parent.FullName()
			if !refers || key.OnDelete != "CASCADE" && key.OnDelete != "SET NULL" && key.OnDelete != "SET DEFAULT" {
				continue
			}
			tied := 0
			for j, name := range key.Columns {
				if j < len(key.RefColumns) && (name == child.Customer && key.RefColumns[j] == customer || name == child.Database && key.RefColumns[j] == database) {
					tied++
				}
			}
			if tied < 2 {
				found = append(found, dependent{&child.info, key, key.OnDelete})
			}
		}
	}
	return found
}

// idColumns returns the columns of a table that hold the ids of the customer and the database.
func (s *Store) idColumns(t *sqldb.Table) (customer, database string) {
	for i := range s.tables {
		if &s.tables[i].info == t {
			return s.tables[i].Customer, s.tables[i].Database
		}
	}
	return s.layout.Registry.Customer, s.layout.Registry.Database
}

// dependents is the error that rows which are not part of a data set would go with it.
type dependents struct{ words string }

// Error implements error.
func (d *dependents) Error() string { return d.words }

// guard looks for rows that refer to those of the slice by a foreign key that would take them along; those of the data set itself have
// gone before. The slice's rows are locked first, so that nobody refers to them afterwards.
func (r *slice) guard(ctx context.Context, t *txn, to sqldb.RowKey) error {
	if len(r.dependents) == 0 {
		return nil
	}
	table := quoted(t.dialect, r.table)
	condition, args := r.between(t.dialect, to)
	if err := t.each(ctx, "SELECT 1 FROM "+table+" WHERE "+condition+" FOR UPDATE", args, func(func(...any) error) error { return nil }); err != nil {
		return err
	}
	for _, d := range r.dependents {
		columns, referred := t.dialect.QuoteList(d.key.Columns), t.dialect.QuoteList(d.key.RefColumns)
		found := false
		err := t.each(ctx, "SELECT 1 FROM "+quoted(t.dialect, d.child)+" WHERE ("+columns+") IN (SELECT "+referred+" FROM "+table+" WHERE "+condition+") LIMIT 1", args,
			func(func(...any) error) error { found = true; return nil })
		if err != nil {
			return err
		}
		if found {
			return &dependents{fmt.Sprintf("rows of %s that are not part of it refer to rows of %s that are (%s, ON DELETE %s): they would change or go without an archive",
				d.child.FullName(), r.table.FullName(), strings.Join(d.key.Columns, ", "), d.action)}
		}
	}
	return nil
}

// referred says in words that an error is that of rows which refer to a data set from outside; "" is another error.
func referred(err error) string {
	var unseen *dependents
	if errors.As(err, &unseen) {
		return unseen.words
	}
	var pg *pgconn.PgError
	var maria *mysql.MySQLError
	if errors.As(err, &pg) && (pg.Code == "23503" || pg.Code == "23001") || errors.As(err, &maria) && maria.Number == 1451 {
		return "rows that are not part of it refer to rows of it, and would be left without them"
	}
	return ""
}
