package sqldb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/tasks"
)

// Describe says which columns a query of the database's own SQL gives, as a Table of this name without a key. It reads no rows.
func Describe(ctx context.Context, db *DB, name, query string) (*Table, error) {
	t := &Table{Name: name, Query: query}
	var err error
	switch {
	case db.Dialect == Files:
		return nil, tasks.Permanent(tasks.WithHint(nil, "read a table, and leave rows out with filter", "files cannot be queried"))
	case db.Dialect == Postgres:
		err = describePostgres(ctx, db, t)
	default:
		err = describeSQL(ctx, db, t)
	}
	if err != nil {
		return nil, fmt.Errorf("look at the query of %s: %w", name, tasks.WithHint(Classify(err), "run it in the source's own shell", "the source refuses the query"))
	}
	seen := map[string]bool{}
	for i := range t.Columns {
		if n := t.Columns[i].Name; seen[n] {
			return nil, tasks.Permanent(tasks.WithHint(nil, "give one of them another name with AS", "the query of %s gives two columns called %s", name, n))
		} else {
			seen[n] = true
		}
	}
	return t, nil
}

func describePostgres(ctx context.Context, db *DB, t *Table) error {
	rows, err := db.Pool.Query(ctx, "SELECT * FROM "+t.from(Postgres)+walked+" WHERE false", pgx.QueryExecModeDescribeExec)
	if err != nil {
		return err
	}
	fields := rows.FieldDescriptions()
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	for _, f := range fields {
		c := Column{Name: f.Name}
		var typname string
		if err := db.Pool.QueryRow(ctx, "SELECT format_type($1, $2), (SELECT typname FROM pg_type WHERE oid = $1)", f.DataTypeOID, f.TypeModifier).
			Scan(&c.Type, &typname); err != nil {
			return err
		}
		c.Kind, c.Precision, c.Scale, c.Length = kindOfPostgres(typname, f.TypeModifier)
		t.Columns = append(t.Columns, c)
	}
	return nil
}

func describeSQL(ctx context.Context, db *DB, t *Table) error {
	rows, err := db.SQL.QueryContext(ctx, "SELECT * FROM "+t.from(db.Dialect)+walked+" WHERE 1 = 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	for _, typ := range types {
		t.Columns = append(t.Columns, describedColumn(db.Dialect, typ))
	}
	return rows.Err()
}

func describedColumn(d Dialect, typ *sql.ColumnType) Column {
	c := Column{Name: typ.Name(), Type: typ.DatabaseTypeName()}
	c.Kind, c.Precision, c.Scale, c.Length = kindOfSQLite(c.Type)
	if p, s, ok := typ.DecimalSize(); ok && c.Kind == KindNumeric {
		c.Precision, c.Scale = int(p), int(s)
	}
	if null, ok := typ.Nullable(); ok {
		c.NotNull = !null && d != SQLite
	}
	return c
}
