package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// bigFile is the size in bytes from which rows are estimated by the greatest rowid: counting reads the whole table.
const bigFile = 1 << 30

// liteReader reads the schema of an SQLite file within one transaction.
type liteReader struct {
	ctx    context.Context
	tx     *sql.Tx
	schema *Schema
	create map[string]string // lower-case name of a table or index → its CREATE statement
	tables map[string]string // lower-case name of a table → its name; all tables, also those not wanted
	big    bool
}

func introspectSQLite(ctx context.Context, db *DB, only []string) (*Schema, error) {
	// A reader needs no write lock, which _txlock=immediate would take; ReadOnly makes the driver begin deferred.
	tx, err := db.SQL.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, explainSQLite(db.Location, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	r := &liteReader{ctx: ctx, tx: tx, schema: &Schema{Dialect: SQLite}, create: map[string]string{}, tables: map[string]string{}}
	if err := r.read(only); sqliteCode(err) != 0 {
		return nil, explainSQLite(db.Location, err)
	} else if err != nil {
		return nil, fmt.Errorf("introspect %s: %w", db.Location, err)
	}
	return r.schema, nil
}

func (r *liteReader) read(only []string) error {
	var pages, size int64
	if err := r.tx.QueryRowContext(r.ctx, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").
		Scan(&pages, &size); err != nil {
		return err
	}
	r.big = pages*size > bigFile
	names, triggers, err := r.list()
	if err != nil {
		return err
	}
	wanted, err := selectTables(SQLite, names, only)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !wanted[name] {
			continue
		}
		t, err := r.table(name)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		for _, trigger := range triggers[strings.ToLower(name)] {
			t.Notes = append(t.Notes, fmt.Sprintf("The trigger %s of table %s is left out.", trigger, name))
		}
		r.schema.Tables = append(r.schema.Tables, *t)
	}
	return nil
}

// list reads what there is: the names of the tables that could be migrated, in the order of their creation, and the
// triggers by table. Views, virtual tables and the tables behind these are noted.
func (r *liteReader) list() (names []string, triggers map[string][]string, err error) {
	kinds := map[string]string{}
	if err := r.each("SELECT name, type, strict FROM pragma_table_list WHERE schema = 'main'", nil, func(scan scanFunc) error {
		var name, kind string
		var strict bool
		if err := scan(&name, &kind, &strict); err != nil {
			return err
		}
		if kinds[strings.ToLower(name)] = kind; strict {
			kinds[strings.ToLower(name)] += " strict"
		}
		return nil
	}); err != nil {
		return nil, nil, err
	}
	triggers = map[string][]string{}
	err = r.each("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY rowid", nil, func(scan scanFunc) error {
		var kind, name, of, create string
		if err := scan(&kind, &name, &of, &create); err != nil {
			return err
		}
		r.create[strings.ToLower(name)] = create
		switch {
		case kind == "view":
			r.schema.Views = append(r.schema.Views, name)
		case kind == "trigger":
			triggers[strings.ToLower(of)] = append(triggers[strings.ToLower(of)], name)
		case kind != "table" || strings.HasPrefix(strings.ToLower(name), "sqlite_") || isLedgerName(name):
		case kinds[strings.ToLower(name)] == "virtual" || strings.HasPrefix(strings.ToUpper(create), "CREATE VIRTUAL"):
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The virtual table %s is left out.", name))
		case kinds[strings.ToLower(name)] == "shadow":
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The table %s, which a virtual table keeps its data in, is left out.", name))
		default:
			if strings.HasSuffix(kinds[strings.ToLower(name)], "strict") {
				r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("That table %s is STRICT is left out.", name))
			}
			r.tables[strings.ToLower(name)] = name
			names = append(names, name)
		}
		return nil
	})
	return names, triggers, err
}

func (r *liteReader) table(name string) (*Table, error) {
	t := &Table{Name: name}
	words := sqlWords(r.create[strings.ToLower(name)])
	key, err := r.columns(t)
	if err != nil {
		return nil, err
	}
	rowKey, err := r.indexes(t, key)
	if err != nil {
		return nil, err
	}
	withoutRowID := false
	if err := r.tx.QueryRowContext(r.ctx, "SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", name).Scan(&withoutRowID); err != nil {
		return nil, err
	}
	if !withoutRowID {
		t.RowID = freeRowID(t)
	}
	if len(key) > 0 {
		t.PrimaryKey = &Key{Columns: key}
	}
	// A key of one INTEGER column is the rowid itself, unless it has an index of its own (INTEGER PRIMARY KEY DESC).
	if c := t.Column(first(key)); rowKey && !withoutRowID && len(key) == 1 && strings.EqualFold(c.Type, "INTEGER") {
		c.Identity, c.NotNull = true, true
		if t.RowID == "" {
			t.RowID = c.Name
		}
		t.Autoincr = countWords(words, "AUTOINCREMENT") > 0
	}
	if err := r.foreignKeys(t, deferrals(words)); err != nil {
		return nil, err
	}
	if n := countWords(words, "CHECK"); n > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("CHECK constraints of table %s are left out: %d.", name, n))
	}
	if t.Autoincr {
		if err := r.lastValue(t); err != nil {
			return nil, err
		}
	}
	return t, r.count(t)
}

// columns reads the columns of a table and returns the names of those of its primary key, in the key's order.
func (r *liteReader) columns(t *Table) (key []string, err error) {
	place := map[string]int{}
	err = r.each(`SELECT name, type, "notnull", coalesce(dflt_value, ''), pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid`,
		[]any{t.Name}, func(scan scanFunc) error {
			var c Column
			var pk, hidden int
			if err := scan(&c.Name, &c.Type, &c.NotNull, &c.Default, &pk, &hidden); err != nil {
				return err
			}
			c.Kind, c.Precision, c.Scale, c.Length = kindOfSQLite(c.Type)
			if c.Generated = hidden == 2 || hidden == 3; c.Generated {
				c.Default = ""
			}
			if strings.EqualFold(c.Default, "NULL") {
				c.Default = ""
			}
			if pk > 0 {
				place[c.Name] = pk
				key = append(key, c.Name)
			}
			t.Columns = append(t.Columns, c)
			return nil
		})
	slices.SortFunc(key, func(a, b string) int { return place[a] - place[b] })
	return key, err
}

// indexes reads the indexes of a table, and says whether its primary key does without one.
func (r *liteReader) indexes(t *Table, key []string) (rowKey bool, err error) {
	type index struct {
		name, origin    string
		unique, partial bool
	}
	var list []index
	// The list runs from the newest index to the oldest.
	err = r.each(`SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY seq DESC`, []any{t.Name},
		func(scan scanFunc) error {
			var x index
			list = append(list, x)
			last := &list[len(list)-1]
			return scan(&last.name, &last.unique, &last.origin, &last.partial)
		})
	rowKey = true
	for _, x := range list {
		if err != nil {
			return false, err
		}
		var parts []IndexPart
		expression := false
		err = r.each("SELECT cid, coalesce(name, ''), \"desc\", coalesce(coll, '') FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno",
			[]any{x.name}, func(scan scanFunc) error {
				var cid int
				var p IndexPart
				var collation string
				if err := scan(&cid, &p.Column, &p.Desc, &collation); err != nil {
					return err
				}
				expression = expression || cid < 0
				if !strings.EqualFold(collation, "BINARY") && collation != "" && cid >= 0 {
					t.Notes = append(t.Notes, fmt.Sprintf("That %s of table %s compares column %s by %s is left out.",
						indexWords(x.name, x.origin), t.Name, p.Column, strings.ToUpper(collation)))
				}
				parts = append(parts, p)
				return nil
			})
		switch {
		case x.origin == "pk":
			rowKey = false
		case expression:
			t.Notes = append(t.Notes, fmt.Sprintf("The index %s of table %s, over an expression, is left out.", x.name, t.Name))
		case x.unique && !x.partial:
			k := Key{Columns: make([]string, 0, len(parts))}
			for _, p := range parts {
				k.Columns = append(k.Columns, p.Column)
			}
			if x.origin == "c" { // the index of a constraint has a name that SQLite made up
				k.Name = x.name
			}
			t.Uniques = append(t.Uniques, k)
		default:
			ix := Index{Name: x.name, Columns: parts, Unique: x.unique}
			if x.partial {
				ix.Where = whereOf(r.create[strings.ToLower(x.name)])
			}
			t.Indexes = append(t.Indexes, ix)
		}
	}
	return rowKey && len(key) > 0, err
}

func indexWords(name, origin string) string {
	switch origin {
	case "pk":
		return "the primary key"
	case "u":
		return "a UNIQUE constraint"
	}
	return "the index " + name
}

func (r *liteReader) foreignKeys(t *Table, checked []deferral) error {
	var ids []int
	keys := map[int]*ForeignKey{}
	implied := map[int]bool{} // refers to the primary key without naming it
	// Numbers run against the order of the statement.
	err := r.each(`SELECT id, "table", "from", coalesce("to", ''), on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq`,
		[]any{t.Name}, func(scan scanFunc) error {
			var id int
			var parent, from, to, onUpdate, onDelete string
			if err := scan(&id, &parent, &from, &to, &onUpdate, &onDelete); err != nil {
				return err
			}
			if keys[id] == nil {
				ids = append(ids, id)
				keys[id] = &ForeignKey{RefTable: parent, OnUpdate: action(onUpdate), OnDelete: action(onDelete)}
			}
			keys[id].Columns = append(keys[id].Columns, columnNamed(t, from))
			if to != "" {
				keys[id].RefColumns = append(keys[id].RefColumns, to)
			} else {
				implied[id] = true
			}
			return nil
		})
	if err != nil {
		return err
	}
	for i, id := range ids {
		fk := keys[id]
		if len(checked) == len(ids) {
			fk.Deferrable, fk.Deferred = checked[i].deferrable, checked[i].deferred
		}
		parent, ok := r.tables[strings.ToLower(fk.RefTable)]
		if !ok {
			t.Notes = append(t.Notes, fmt.Sprintf("A foreign key of table %s refers to %s, which does not exist; it is left out.", t.Name, fk.RefTable))
			continue
		}
		fk.RefTable = parent
		if err := r.resolve(fk, implied[id]); err != nil {
			return err
		}
		if len(fk.RefColumns) != len(fk.Columns) {
			t.Notes = append(t.Notes, fmt.Sprintf("A foreign key of table %s does not fit the primary key of %s; it is left out.", t.Name, parent))
			continue
		}
		t.ForeignKeys = append(t.ForeignKeys, *fk)
	}
	return nil
}

// resolve writes the columns that a foreign key refers to as the parent writes them.
func (r *liteReader) resolve(fk *ForeignKey, implied bool) error {
	parent := &Table{Name: fk.RefTable}
	key, err := r.columns(parent)
	if implied {
		fk.RefColumns = key
	}
	for i, name := range fk.RefColumns {
		fk.RefColumns[i] = columnNamed(parent, name)
	}
	return err
}

// lastValue reads the sequence of an AUTOINCREMENT table; it has none before its first row.
func (r *liteReader) lastValue(t *Table) error {
	return r.each("SELECT seq FROM sqlite_sequence WHERE name = ?", []any{t.Name}, func(scan scanFunc) error {
		t.LastValue = new(int64)
		return scan(t.LastValue)
	})
}

func (r *liteReader) count(t *Table) error {
	query := "SELECT count(*) FROM " + SQLite.Quote(t.Name)
	if r.big && t.RowID != "" {
		query = "SELECT coalesce(max(" + SQLite.Quote(t.RowID) + "), 0) FROM " + SQLite.Quote(t.Name)
	}
	return r.tx.QueryRowContext(r.ctx, query).Scan(&t.Rows)
}

type scanFunc func(dest ...any) error

// each runs a query and calls f for each row.
func (r *liteReader) each(query string, args []any, f func(scan scanFunc) error) error {
	rows, err := r.tx.QueryContext(r.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// freeRowID returns a name of the rowid that no column has taken, "" when all are taken.
func freeRowID(t *Table) string {
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) }) {
			return name
		}
	}
	return ""
}

// columnNamed returns a column's name as its table writes it, for a name in any case.
func columnNamed(t *Table, name string) string {
	for _, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return c.Name
		}
	}
	return name
}

// action returns what a foreign key does, with "" for doing nothing.
func action(s string) string {
	if s == "NO ACTION" {
		return ""
	}
	return s
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
