package datasets

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// slice is a number of rows of a data set that stand next to one another in the order of a table's key. A slice without a walk is all
// rows of the data set in that table.
type slice struct {
	table *sqldb.Table
	where string // the rows of the data set
	walk  walk
	after sqldb.RowKey // it begins behind this key; nil is the first row
	rows  int          // at most
	// loose are any rows of the data set, in no order: where no index has them in the order of the key, to sort what is left of a large data
	// set for each batch would take ever so long.
	loose      bool
	dependents []dependent
}

// walk is the order in which the rows of a data set go: expressions whose values, together with the data set, name a row. None where
// there is one row at most.
type walk []string

// order chooses the walk: by the columns of the primary key behind those of the data set, which an index that begins with the data set
// serves. SQLite's place of a row serves where the key may hold NULLs or does not begin with the data set; MariaDB has the primary
// key at the end of each index.
func (r *slice) order(d sqldb.Dialect, t *table) {
	var rest []string
	nulls := false
	for _, name := range t.info.PrimaryKey.Columns {
		if name == t.Customer || name == t.Database {
			continue
		}
		rest = append(rest, name)
		r.walk = append(r.walk, d.Quote(name))
		nulls = nulls || !t.info.Column(name).NotNull
	}
	served := t.serves(t.info.PrimaryKey.Columns, rest)
	for _, key := range t.info.Uniques {
		served = served || t.serves(key.Columns, rest)
	}
	for _, index := range t.info.Indexes {
		names := make([]string, len(index.Columns))
		for i, c := range index.Columns {
			names[i] = c.Column
		}
		served = served || index.Where == "" && t.serves(names, rest)
	}
	switch {
	case d == sqldb.SQLite && t.info.RowID != "" && (nulls || !served):
		r.walk = walk{t.info.RowID}
	case d == sqldb.Postgres && !served:
		r.loose = true
	}
}

// serves reports whether an index over some columns has the rows of a data set next to one another, in the order of the others.
func (t *table) serves(columns, rest []string) bool {
	if len(columns) < 2+len(rest) || !slices.Equal(columns[2:2+len(rest)], rest) {
		return false
	}
	return slices.Contains(columns[:2], t.Customer) && slices.Contains(columns[:2], t.Database)
}

// delete deletes the slice and writes its rows into an archive. It returns the key at its end, and whether rows may come after it.
// Rows that would be changed or taken along by a foreign key, without an archive, are a *dependents.
func (r *slice) delete(ctx context.Context, t *txn, a *archive) (to sqldb.RowKey, more bool, err error) {
	if len(r.walk) > 0 && !r.loose {
		if to, err = r.border(ctx, t); err != nil {
			return nil, false, err
		}
	}
	if err := r.guard(ctx, t, to); err != nil {
		return nil, false, err
	}
	switch t.dialect {
	case sqldb.Postgres:
		err = r.deletePostgres(ctx, t, a, to)
	case sqldb.MySQL:
		err = r.deleteMySQL(ctx, t, a, to)
	default:
		err = r.deleteReturning(ctx, t, a, to)
	}
	if err == nil {
		err = a.buf.Flush()
	}
	return to, to != nil || r.loose && a.rows >= int64(r.rows), err
}

// border finds the key of the last row of the slice; nil when there are fewer rows than it may have.
func (r *slice) border(ctx context.Context, t *txn) (sqldb.RowKey, error) {
	return r.keyOfRow(ctx, t, fmt.Sprintf("LIMIT 1 OFFSET %d", r.rows-1), "")
}

// lastKey finds the key of the last row of the data set behind the slice's beginning; nil when there is none.
func (r *slice) lastKey(ctx context.Context, t *txn) (sqldb.RowKey, error) {
	return r.keyOfRow(ctx, t, "LIMIT 1", " DESC")
}

// keyQuery asks for the key of one row, in the order of the walk. What is read has names of its own: a name that is also a column's
// would be sorted by as text, past the index.
func (r *slice) keyQuery(d sqldb.Dialect, which, direction string) (query string, args []any) {
	selected, order := make([]string, len(r.walk)), make([]string, len(r.walk))
	for i, e := range r.walk {
		order[i] = e + direction
		switch d {
		case sqldb.Postgres:
			e += "::text"
		case sqldb.SQLite:
			e = "+" + e
		default:
			if c := r.column(i); c != nil && strings.HasPrefix(c.Type, "bit") {
				e += " + 0"
			}
		}
		selected[i] = fmt.Sprintf("%s AS stint_key_%d", e, i)
	}
	condition, args := r.between(d, nil)
	return "SELECT " + strings.Join(selected, ", ") + " FROM " + quoted(d, r.table) + " WHERE " + condition + " ORDER BY " + strings.Join(order, ", ") + " " + which, args
}

// keyOfRow finds the key of one row; nil when there is none.
func (r *slice) keyOfRow(ctx context.Context, t *txn, which, direction string) (sqldb.RowKey, error) {
	query, args := r.keyQuery(t.dialect, which, direction)
	key, dest := make(sqldb.RowKey, len(r.walk)), make([]any, len(r.walk))
	texts := make([]string, len(r.walk))
	for i := range dest {
		if dest[i] = &texts[i]; t.dialect == sqldb.SQLite {
			dest[i] = &key[i]
		}
	}
	found, err := t.row(ctx, query, args, dest...)
	if err != nil || !found {
		return nil, err
	}
	for i, text := range texts {
		switch c := r.column(i); {
		case t.dialect == sqldb.SQLite:
		case t.dialect == sqldb.MySQL && c != nil && c.Kind == sqldb.KindBytes:
			key[i] = []byte(text)
		default:
			key[i] = text
		}
	}
	return key, nil
}

// column returns the column that a part of the walk is; nil when it is none.
func (r *slice) column(part int) *sqldb.Column {
	for i := range r.table.Columns {
		if sqldb.MySQL.Quote(r.table.Columns[i].Name) == r.walk[part] {
			return &r.table.Columns[i]
		}
	}
	return nil
}

// between returns the condition of the rows of the data set behind the slice's beginning, and not behind to; nil is no end.
func (r *slice) between(d sqldb.Dialect, to sqldb.RowKey) (condition string, args []any) {
	condition = r.where
	for _, x := range []struct {
		op  string
		key sqldb.RowKey
	}{{">", r.after}, {"<=", to}} {
		if x.key != nil {
			c, more := beyond(d, r.walk, x.op, x.key)
			condition, args = condition+" AND "+c, append(args, more...)
		}
	}
	return condition, args
}

// beyond compares a row's key with a border. The statements of PostgreSQL that copy take no arguments: borders are literals there, which
// take the type of the column that they are compared with. MariaDB finds no row values in an index, so they are taken apart there.
func beyond(d sqldb.Dialect, w walk, op string, key sqldb.RowKey) (condition string, args []any) {
	places := make([]string, len(key))
	for i, v := range key {
		places[i] = "?"
		if text, ok := v.(string); ok && d == sqldb.Postgres {
			places[i] = d.Literal(text)
			continue
		}
		args = append(args, v)
	}
	last := len(w) - 1
	if last == 0 {
		return w[0] + " " + op + " " + places[0], args
	}
	if d != sqldb.MySQL {
		return "(" + strings.Join(w, ", ") + ") " + op + " (" + strings.Join(places, ", ") + ")", args
	}
	// a > x OR a = x AND (b > y OR b = y AND c > z)
	condition, args = w[last]+" "+op+" ?", []any{key[last]}
	for i := last - 1; i >= 0; i-- {
		condition = fmt.Sprintf("(%s %s ? OR %s = ? AND %s)", w[i], op[:1], w[i], condition)
		args = append([]any{key[i], key[i]}, args...)
	}
	return condition, args
}

// deletePostgres lets the server send what it deletes.
func (r *slice) deletePostgres(ctx context.Context, t *txn, a *archive, to sqldb.RowKey) error {
	condition, _ := r.between(t.dialect, to)
	table := quoted(t.dialect, r.table)
	switch {
	case r.loose && r.table.Only: // a list of places, and no other condition: with one the list would be looked through for each row
		table = "ONLY " + table
		condition = fmt.Sprintf("ctid = ANY (ARRAY(SELECT ctid FROM %s WHERE %s LIMIT %d FOR UPDATE))", table, r.where, r.rows)
	case r.loose: // in a partitioned table a place is one of a partition
		condition = fmt.Sprintf("(tableoid, ctid) IN (SELECT tableoid, ctid FROM %s WHERE %s LIMIT %d FOR UPDATE)", table, r.where, r.rows)
	}
	statement := "COPY (DELETE FROM " + table + " WHERE " + condition + " RETURNING " + r.expressions(t.dialect) + ") TO STDOUT"
	tag, err := t.pg.Conn().PgConn().CopyTo(ctx, a.buf, statement)
	if err != nil {
		return err
	}
	if err := a.buf.Flush(); err != nil {
		return err
	}
	return agree(tag.RowsAffected(), a.rows)
}

// agree compares how many rows went with how many are archived.
func agree(gone, archived int64) error {
	if gone != archived {
		return fmt.Errorf("%d rows were to go, and %d are in the archive", gone, archived)
	}
	return nil
}

func (r *slice) expressions(d sqldb.Dialect) string {
	columns := archivedColumns(r.table)
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = archivedExpression(d, c)
	}
	return strings.Join(list, ", ")
}

// deleteReturning reads what a DELETE returns.
func (r *slice) deleteReturning(ctx context.Context, t *txn, a *archive, to sqldb.RowKey) error {
	condition, args := r.between(t.dialect, to)
	return r.archiveRows(ctx, t, a, "DELETE FROM "+quoted(t.dialect, r.table)+" WHERE "+condition+" RETURNING "+r.expressions(t.dialect), args)
}

// archiveRows runs a query and writes its rows.
func (r *slice) archiveRows(ctx context.Context, t *txn, a *archive, query string, args []any) error {
	n := len(archivedColumns(r.table))
	values, raw, dest := make([]any, n), make([]sql.RawBytes, n), make([]any, n)
	for i := range dest {
		if dest[i] = &values[i]; t.dialect == sqldb.MySQL {
			dest[i] = &raw[i]
		}
	}
	var line []byte
	return t.each(ctx, query, args, func(scan func(...any) error) error {
		if err := scan(dest...); err != nil {
			return err
		}
		line = line[:0]
		for i := range values {
			if i > 0 {
				line = append(line, '\t')
			}
			if t.dialect == sqldb.MySQL {
				if values[i] = nil; raw[i] != nil {
					values[i] = []byte(raw[i])
				}
			}
			var err error
			if line, err = appendCell(t.dialect, line, values[i]); err != nil {
				return err
			}
		}
		_, err := a.buf.Write(append(line, '\n'))
		return err
	})
}

// hasReturning reports whether the server is a MariaDB, whose DELETE returns rows.
func (t *txn) hasReturning(ctx context.Context) (bool, error) {
	var version string
	_, err := t.row(ctx, "SELECT version()", nil, &version)
	return strings.Contains(strings.ToLower(version), "mariadb"), err
}

// deleteMySQL uses DELETE ... RETURNING, which only MariaDB has.
func (r *slice) deleteMySQL(ctx context.Context, t *txn, a *archive, to sqldb.RowKey) error {
	returning, err := t.hasReturning(ctx)
	switch {
	case err != nil:
		return err
	case returning:
		return r.deleteReturning(ctx, t, a, to)
	}
	return r.deleteRead(ctx, t, a, to)
}

// deleteRead reads the rows and locks them before they go. When the DELETE finds another number of rows between the same borders,
// somebody has inserted one meanwhile, and all of it is tried again.
func (r *slice) deleteRead(ctx context.Context, t *txn, a *archive, to sqldb.RowKey) error {
	if to == nil && len(r.walk) > 0 { // an open end would take rows along that come in behind the SELECT
		var err error
		if to, err = r.lastKey(ctx, t); err != nil || to == nil {
			return err
		}
	}
	condition, args := r.between(t.dialect, to)
	table := quoted(t.dialect, r.table)
	if err := r.archiveRows(ctx, t, a, "SELECT "+r.expressions(t.dialect)+" FROM "+table+" WHERE "+condition+" FOR UPDATE", args); err != nil {
		return err
	}
	if err := a.buf.Flush(); err != nil {
		return err
	}
	gone, err := t.exec(ctx, "DELETE FROM "+table+" WHERE "+condition, args...)
	if err == nil && gone != a.rows {
		err = tasks.RetryAfter(agree(gone, a.rows), lockPatience*time.Second)
	}
	return err
}
