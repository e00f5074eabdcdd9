package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

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
	if d == MySQL {
		return describedMySQL(typ)
	}
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

// ColumnFor makes up a column for values of a kind, in the words of a dialect; key says that it is part of a key, which not every
// dialect takes of a text without a length.
func ColumnFor(d Dialect, name string, kind Kind, key bool) Column {
	from := Postgres
	words := map[Kind]string{KindBool: "boolean", KindInt16: "bigint", KindInt32: "bigint", KindInt64: "bigint", KindFloat32: "double precision",
		KindFloat64: "double precision", KindNumeric: "numeric", KindBytes: "bytea", KindDate: "date", KindTime: "time without time zone",
		KindTimestamp: "timestamp without time zone", KindTimestampTZ: "timestamp with time zone", KindUUID: "uuid", KindJSON: "json"}
	if d == Postgres {
		if words[kind] == "" {
			return Column{Name: name, Type: "text", Kind: KindText}
		}
		return Column{Name: name, Type: words[kind], Kind: kind}
	}
	c := Column{Name: name, Type: words[kind], Kind: kind}
	if c.Type == "" {
		c.Type, c.Kind = "text", KindText
	}
	t := Table{Name: "t", Columns: []Column{c}}
	if key {
		t.Columns[0].NotNull, t.PrimaryKey = true, &Key{Columns: []string{name}}
	}
	made, _ := MapSchema(&Schema{Dialect: from, Tables: []Table{t}}, d)
	return made.Tables[0].Columns[0]
}

// TryWhere asks a source whether it takes the condition of a table. It reads no rows.
func TryWhere(ctx context.Context, db *DB, t *Table) error {
	var n int64
	err := queryRow(ctx, db, "SELECT count(*) FROM "+t.from(db.Dialect)+walked+" WHERE 1 = 0", nil, &n)
	if err != nil {
		return fmt.Errorf("the source refuses the condition: %w", Classify(err))
	}
	return nil
}

// CountNulls counts the rows that have NULL in any of some columns.
func CountNulls(ctx context.Context, db *DB, t *Table, columns []string) (int64, error) {
	conds := make([]string, len(columns))
	for i, c := range columns {
		conds[i] = db.Dialect.Quote(c) + " IS NULL"
	}
	var n int64
	err := queryRow(ctx, db, "SELECT count(*) FROM "+t.from(db.Dialect)+walked+" WHERE "+strings.Join(conds, " OR "), nil, &n)
	if err != nil {
		return 0, fmt.Errorf("count NULLs of %s: %w", t.FullName(), Classify(err))
	}
	return n, nil
}

// IsKey reports whether columns are the primary key of a table, or a unique key.
func IsKey(t *Table, columns []string) bool { return isKey(t, columns) }

// Claimed reports whether a table of a target was made for a job, or for AnyJob.
func Claimed(ctx context.Context, db *DB, t *Table, job string) (bool, error) {
	there, err := HasTable(ctx, db, &Table{Name: "stint_tables"})
	if err != nil || !there {
		return false, err
	}
	owner := ""
	err = db.queryAll(ctx, "SELECT job FROM stint_tables WHERE table_name = $1", []any{claimedName(db.Dialect, t)}, func(scan func(...any) error) error { return scan(&owner) })
	if err != nil {
		return false, fmt.Errorf("look who made %s: %w", t.FullName(), Classify(err))
	}
	return owner == job || job == AnyJob && owner != "", nil
}

// Claim makes a job the only one that makes and loads a table; a permanent error names the job that is so already.
func Claim(ctx context.Context, db *DB, t *Table, job string) error {
	err := inTransaction(ctx, db, func(q querier) error { return claim(ctx, q, db.Dialect, t, job) })
	if err != nil {
		return fmt.Errorf("claim %s: %w", t.FullName(), Classify(err))
	}
	return nil
}
