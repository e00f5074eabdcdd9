package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// mysqlReader reads the schema of a MySQL or MariaDB database. information_schema knows no snapshots.
type mysqlReader struct {
	ctx     context.Context
	db      *DB
	maria   bool
	schema  *Schema
	order   []string
	tables  map[string]*Table
	estimat map[string]int64 // rows, as the statistics have it
	size    map[string]int64 // bytes of rows
	json    map[[2]string]bool
}

func introspectMySQL(ctx context.Context, db *DB, only []string) (*Schema, error) {
	r := &mysqlReader{ctx: ctx, db: db, schema: &Schema{Dialect: MySQL}, tables: map[string]*Table{}, estimat: map[string]int64{},
		size: map[string]int64{}, json: map[[2]string]bool{}}
	var version string
	err := queryValue(ctx, db, "SELECT VERSION()", &version)
	r.maria = strings.Contains(version, "MariaDB")
	if err == nil {
		err = r.list(only)
	}
	for _, read := range []func() error{r.checks, r.columns, r.keys, r.foreignKeys, r.identities, r.leftOut, r.count} {
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("introspect %s: %w", db.Location, Classify(err))
	}
	for _, name := range r.order {
		t := r.tables[name]
		if WalkOf(t).Kind != WalkKey {
			t.RowID = RowHash(t)
			t.Notes = append(t.Notes, fmt.Sprintf("Table %s has no key to walk by: it is read in one step, sorted by a hash of its rows.", name))
		}
		r.schema.Tables = append(r.schema.Tables, *t)
	}
	return r.schema, nil
}

// RowHash returns an expression of MySQL that is the same for the same row, and never NULL: what rows without a key are walked by there.
func RowHash(t *Table) string {
	parts := make([]string, len(t.Columns))
	for i := range t.Columns {
		parts[i] = "IFNULL(MD5(" + MySQL.Quote(t.Columns[i].Name) + "),'-')"
	}
	return "MD5(CONCAT_WS(',', " + strings.Join(parts, ", ") + "))"
}

// each runs a query on information_schema and calls f for each row of a wanted table, which the first column names; dest are
// the places of the others.
func (r *mysqlReader) each(query string, dest []any, f func(t *Table)) error {
	return r.db.queryAll(r.ctx, query, nil, func(scan func(...any) error) error {
		var name string
		if err := scan(append([]any{&name}, dest...)...); err != nil {
			return err
		}
		if t := r.tables[name]; t != nil {
			f(t)
		}
		return nil
	})
}

// list reads what there is. Views, sequences and tables of other engines than the row stores are noted.
func (r *mysqlReader) list(only []string) error {
	type found struct {
		kind, engine, options string
		next                  *int64
	}
	all := map[string]found{}
	var names []string
	err := r.db.queryAll(r.ctx, `SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(CREATE_OPTIONS, ''), CAST(AUTO_INCREMENT AS SIGNED),
		COALESCE(CAST(TABLE_ROWS AS SIGNED), 0), COALESCE(CAST(DATA_LENGTH AS SIGNED), 0)
		FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME`, nil, func(scan func(...any) error) error {
		var name string
		var x found
		var rows, size int64
		if err := scan(&name, &x.kind, &x.engine, &x.options, &x.next, &rows, &size); err != nil {
			return err
		}
		switch {
		case isLedgerName(name):
		case x.kind == "VIEW" || x.kind == "SYSTEM VIEW":
			r.schema.Views = append(r.schema.Views, name)
		case x.kind != "BASE TABLE" && x.kind != "SYSTEM VERSIONED":
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The %s %s is left out.", strings.ToLower(x.kind), name))
		default:
			all[name], names = x, append(names, name)
			r.estimat[name], r.size[name] = rows, size
		}
		return nil
	})
	if err != nil {
		return err
	}
	wanted, err := selectTables(MySQL, names, only)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !wanted[name] {
			continue
		}
		t := &Table{Name: name}
		if next := all[name].next; next != nil && *next > 1 {
			last := *next - 1
			t.LastValue = &last
		}
		if all[name].kind == "SYSTEM VERSIONED" {
			t.Notes = append(t.Notes, fmt.Sprintf("The history of table %s is left out.", name))
		}
		if strings.Contains(all[name].options, "partitioned") {
			t.Notes = append(t.Notes, fmt.Sprintf("That table %s is partitioned is left out.", name))
		}
		r.tables[name], r.order = t, append(r.order, name)
	}
	return nil
}

// checks finds the columns that MariaDB keeps JSON in, which are text with a check, and notes all other checks.
func (r *mysqlReader) checks() error {
	query := `SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE()`
	if !r.maria {
		query = `SELECT t.TABLE_NAME, c.CONSTRAINT_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c
			JOIN information_schema.TABLE_CONSTRAINTS t ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME
			WHERE c.CONSTRAINT_SCHEMA = DATABASE() AND t.CONSTRAINT_TYPE = 'CHECK'`
	}
	var name, clause string
	err := r.each(query, []any{&name, &clause}, func(t *Table) {
		inside, ok := strings.CutPrefix(strings.ToLower(strings.Trim(clause, "()")), "json_valid(")
		if column := strings.Trim(inside, "`)("); ok && !strings.ContainsAny(column, "`()") {
			r.json[[2]string{t.Name, column}] = true
			return
		}
		t.Notes = append(t.Notes, fmt.Sprintf("The CHECK constraint %s of table %s is left out.", name, t.Name))
	})
	if n := mysqlNumber(err); n == 1109 || n == 1146 {
		return nil // MySQL 5.7 has no checks
	}
	return err
}

// columns reads the columns of all wanted tables.
func (r *mysqlReader) columns() error {
	var c mysqlColumn
	return r.each(`SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, COALESCE(CAST(CHARACTER_MAXIMUM_LENGTH AS SIGNED), 0),
		COALESCE(CAST(NUMERIC_PRECISION AS SIGNED), 0), COALESCE(CAST(NUMERIC_SCALE AS SIGNED), 0), IS_NULLABLE = 'NO', COLUMN_DEFAULT, EXTRA,
		COALESCE(GENERATION_EXPRESSION, '') FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION`,
		[]any{&c.name, &c.data, &c.full, &c.length, &c.precision, &c.scale, &c.notNull, &c.def, &c.extra, &c.generated}, func(t *Table) {
			col := Column{Name: c.name, Type: c.full, NotNull: c.notNull}
			c.setKind(&col)
			if r.json[[2]string{t.Name, strings.ToLower(c.name)}] && col.Kind == KindText {
				col.Kind, col.Length = KindJSON, 0
			}
			extra := strings.ToLower(c.extra)
			col.Identity = strings.Contains(extra, "auto_increment")
			col.Generated = c.generated != ""
			if strings.Contains(extra, "on update") {
				t.Notes = append(t.Notes, fmt.Sprintf("That column %s of table %s changes with each update is left out.", c.name, t.Name))
			}
			if c.def != nil && !col.Generated {
				col.Default = c.defaultOf(&col, *c.def, r.maria)
			}
			t.Columns = append(t.Columns, col)
		})
}

// keys reads primary keys, unique keys and indexes. An index over an expression, or over a part of a text, and one by words or
// places, is left out where it enforces something or has no like elsewhere.
func (r *mysqlReader) keys() error {
	type index struct {
		table        *Table
		name, method string
		unique, odd  bool
		prefix       bool
		columns      []IndexPart
	}
	var list []*index
	var name, column, method, sort string
	var unique bool
	var part int64
	err := r.each(`SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE = 0, COALESCE(COLUMN_NAME, ''), COALESCE(CAST(SUB_PART AS SIGNED), 0), INDEX_TYPE,
		COALESCE(COLLATION, '') FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX`,
		[]any{&name, &unique, &column, &part, &method, &sort}, func(t *Table) {
			if n := len(list); n == 0 || list[n-1].table != t || list[n-1].name != name {
				list = append(list, &index{table: t, name: name, method: method, unique: unique})
			}
			x := list[len(list)-1]
			x.odd = x.odd || column == ""
			x.prefix = x.prefix || part > 0
			x.columns = append(x.columns, IndexPart{Column: column, Desc: sort == "D"})
		})
	if err != nil {
		return err
	}
	for _, x := range list {
		t := x.table
		note := func(format string) { t.Notes = append(t.Notes, fmt.Sprintf(format, x.name, t.Name)) }
		names := make([]string, len(x.columns))
		for i := range x.columns {
			names[i] = x.columns[i].Column
		}
		switch {
		case x.method == "FULLTEXT" || x.method == "SPATIAL" || x.method == "VECTOR":
			note("The index %s of table %s, by " + strings.ToLower(x.method) + ", is left out.")
		case x.odd:
			note("The index %s of table %s, over an expression, is left out.")
		case x.prefix && x.unique:
			note("The unique key %s of table %s, over a part of its values, is left out.")
		case x.prefix:
			note("The index %s of table %s, over a part of its values, is left out.")
		case x.name == "PRIMARY":
			t.PrimaryKey = &Key{Columns: names}
		case x.unique:
			t.Uniques = append(t.Uniques, Key{Name: x.name, Columns: names})
		default:
			t.Indexes = append(t.Indexes, Index{Name: x.name, Columns: x.columns})
		}
	}
	return nil
}

func (r *mysqlReader) foreignKeys() error {
	var name, column, parent, parentColumn, onUpdate, onDelete string
	var schema *string
	keys := map[[2]string]int{}
	return r.each(`SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME, NULLIF(k.REFERENCED_TABLE_SCHEMA, DATABASE()), k.REFERENCED_TABLE_NAME,
		k.REFERENCED_COLUMN_NAME, c.UPDATE_RULE, c.DELETE_RULE
		FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS c
		  ON c.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = k.CONSTRAINT_NAME AND c.TABLE_NAME = k.TABLE_NAME
		WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL
		ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION`,
		[]any{&name, &column, &schema, &parent, &parentColumn, &onUpdate, &onDelete}, func(t *Table) {
			id := [2]string{t.Name, name}
			at, ok := keys[id]
			if !ok {
				at = len(t.ForeignKeys)
				keys[id] = at
				fk := ForeignKey{Name: name, RefTable: parent, OnUpdate: mysqlAction(onUpdate), OnDelete: mysqlAction(onDelete)}
				if schema != nil {
					fk.RefSchema = *schema
				}
				t.ForeignKeys = append(t.ForeignKeys, fk)
			}
			fk := &t.ForeignKeys[at]
			fk.Columns, fk.RefColumns = append(fk.Columns, columnNamed(t, column)), append(fk.RefColumns, parentColumn)
			if p := r.tables[parent]; schema == nil && p != nil {
				fk.RefColumns[len(fk.RefColumns)-1] = columnNamed(p, parentColumn)
			}
		})
}

// identities takes a BIGINT UNSIGNED that numbers itself, and the columns that refer to one, for signed: no numbering gets to the
// upper half, and elsewhere it would be a decimal, which can neither number itself nor be a handy key.
func (r *mysqlReader) identities() error {
	for changed := true; changed; {
		changed = false
		signed := func(c *Column) {
			if c != nil && c.Kind == KindNumeric && strings.HasPrefix(c.Type, "bigint") {
				c.Kind, c.Precision, changed = KindInt64, 0, true
			}
		}
		for _, t := range r.tables {
			for i := range t.Columns {
				if t.Columns[i].Identity {
					signed(&t.Columns[i])
				}
			}
			for _, fk := range t.ForeignKeys {
				parent := r.tables[fk.RefTable]
				if fk.RefSchema != "" || parent == nil {
					continue
				}
				for i, name := range fk.RefColumns {
					if p := parent.Column(name); p != nil && p.Kind == KindInt64 {
						signed(t.Column(fk.Columns[i]))
					}
				}
			}
		}
	}
	return nil
}

// mysqlAction returns a rule of a foreign key; RESTRICT is what NO ACTION is there.
func mysqlAction(rule string) string {
	if rule == "NO ACTION" || rule == "RESTRICT" {
		return ""
	}
	return rule
}

// leftOut notes what else there is: triggers, routines and events.
func (r *mysqlReader) leftOut() error {
	var name string
	err := r.each(`SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() ORDER BY 1, 2`,
		[]any{&name}, func(t *Table) {
			t.Notes = append(t.Notes, fmt.Sprintf("The trigger %s of table %s is left out.", name, t.Name))
		})
	if err != nil {
		return err
	}
	for what, query := range map[string]string{
		"routines": "SELECT count(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()",
		"events":   "SELECT count(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
	} {
		var n int64
		if err := queryValue(r.ctx, r.db, query, &n); err != nil {
			return err
		}
		if n > 0 {
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("Stored %s are left out: %d.", what, n))
		}
	}
	slices.Sort(r.schema.Notes)
	return nil
}

// count fills in the rows: exact for small tables, else what the statistics say.
func (r *mysqlReader) count() error {
	for _, name := range r.order {
		t := r.tables[name]
		t.Rows = r.estimat[name]
		if r.size[name] > cheapCount {
			continue
		}
		err := queryValue(r.ctx, r.db, "SELECT count(*) FROM "+MySQL.Quote(name), &t.Rows)
		if n := mysqlNumber(err); n == 1142 {
			return tasks.Permanent(tasks.WithHint(err, "GRANT SELECT on it to this user, or leave it out", "no permission to read table %s", name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
