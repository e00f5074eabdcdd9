package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// fbReader reads the schema of a Firebird database within one snapshot.
type fbReader struct {
	ctx     context.Context
	tx      *sql.Tx
	schema  *Schema
	charset string // what text of CHARACTER SET NONE is, "" for UTF-8
	ods     int    // version of the structures on disk: 12 is Firebird 3.0
	dialect int    // of SQL: 1 is that of InterBase 5
	tables  map[string]*Table
	order   []string          // of the wanted tables, as they were made
	numbers map[string]string // generator → the column that takes its values
}

func introspectFirebird(ctx context.Context, db *DB, only []string) (*Schema, error) {
	tx, err := db.SQL.BeginTx(ctx, fbSnapshot)
	if err != nil {
		return nil, explainFirebird(db.Location, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	r := &fbReader{ctx: ctx, tx: tx, schema: &Schema{Dialect: Firebird}, charset: db.Location.params.Get("charset"),
		tables: map[string]*Table{}, numbers: map[string]string{}}
	err = r.database()
	if err == nil {
		err = r.list(only)
	}
	for _, read := range []func() error{r.columns, r.indexes, r.references, r.checks, r.identities, r.triggers, r.leftOut, r.count} {
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("introspect %s: %w", db.Location, Classify(err))
	}
	for _, name := range r.order {
		r.schema.Tables = append(r.schema.Tables, *r.tables[name])
	}
	return r.schema, nil
}

// each runs a query and calls f for each row.
func (r *fbReader) each(query string, f func(scan scanFunc) error) error {
	rows, err := r.tx.QueryContext(r.ctx, query)
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

// database reads what holds for the whole database.
func (r *fbReader) database() error {
	err := r.tx.QueryRowContext(r.ctx, "SELECT MON$ODS_MAJOR, MON$SQL_DIALECT FROM MON$DATABASE").Scan(&r.ods, &r.dialect)
	if err == nil && r.dialect == 1 {
		r.schema.Notes = append(r.schema.Notes, "The database is of SQL dialect 1: a NUMERIC of more than 9 digits is a double there, and becomes one.")
	}
	return err
}

// list reads the tables there are, and begins those that are wanted. Views, and tables that keep nothing, are noted.
func (r *fbReader) list(only []string) error {
	var names []string
	err := r.each(`
		SELECT TRIM(RDB$RELATION_NAME), COALESCE(RDB$RELATION_TYPE, CASE WHEN RDB$VIEW_BLR IS NULL THEN 0 ELSE 1 END)
		FROM RDB$RELATIONS WHERE COALESCE(RDB$SYSTEM_FLAG, 0) = 0 ORDER BY RDB$RELATION_ID`, func(scan scanFunc) error {
		var name string
		var kind int
		if err := scan(&name, &kind); err != nil {
			return err
		}
		switch {
		case isLedgerName(name):
		case kind == 1:
			r.schema.Views = append(r.schema.Views, name)
		case kind == 2:
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The external table %s is left out.", name))
		case kind != 0:
			r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("The temporary table %s is left out.", name))
		default:
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	wanted, err := selectTables(Firebird, names, r.spelled(only, names))
	for _, name := range names {
		if wanted[name] {
			r.order = append(r.order, name)
			r.tables[name] = &Table{Name: name}
		}
	}
	return err
}

// spelled writes names as the database does: what is not quoted is in upper case there.
func (r *fbReader) spelled(only, names []string) []string {
	only = slices.Clone(only)
	for i, name := range only {
		if upper := strings.ToUpper(name); !slices.Contains(names, name) && slices.Contains(names, upper) {
			only[i] = upper
		}
	}
	return only
}

// columns reads the columns of all wanted tables.
func (r *fbReader) columns() error {
	return r.each(`
		SELECT TRIM(rf.RDB$RELATION_NAME), TRIM(rf.RDB$FIELD_NAME), f.RDB$FIELD_TYPE, COALESCE(f.RDB$FIELD_SUB_TYPE, 0),
		       COALESCE(f.RDB$FIELD_SCALE, 0), COALESCE(f.RDB$FIELD_PRECISION, 0), COALESCE(f.RDB$CHARACTER_LENGTH, f.RDB$FIELD_LENGTH, 0),
		       COALESCE(TRIM(cs.RDB$CHARACTER_SET_NAME), ''), COALESCE(rf.RDB$NULL_FLAG, f.RDB$NULL_FLAG, 0), COALESCE(f.RDB$DIMENSIONS, 0),
		       CAST(SUBSTRING(COALESCE(rf.RDB$DEFAULT_SOURCE, f.RDB$DEFAULT_SOURCE, '') FROM 1 FOR 1000) AS VARCHAR(4000)),
		       CASE WHEN f.RDB$COMPUTED_BLR IS NULL THEN 0 ELSE 1 END
		FROM RDB$RELATION_FIELDS rf JOIN RDB$FIELDS f ON f.RDB$FIELD_NAME = rf.RDB$FIELD_SOURCE
		LEFT JOIN RDB$CHARACTER_SETS cs ON cs.RDB$CHARACTER_SET_ID = f.RDB$CHARACTER_SET_ID
		WHERE COALESCE(rf.RDB$SYSTEM_FLAG, 0) = 0
		ORDER BY rf.RDB$RELATION_NAME, rf.RDB$FIELD_POSITION, rf.RDB$FIELD_ID`, func(scan scanFunc) error {
		var table, value string
		var f fbField
		var c Column
		var notNull, dimensions, computed int
		if err := scan(&table, &c.Name, &f.typ, &f.subType, &f.scale, &f.precision, &f.length, &f.charset, &notNull, &dimensions,
			&value, &computed); err != nil {
			return err
		}
		t := r.tables[table]
		if t == nil {
			return nil
		}
		if dimensions > 0 {
			t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s, an array, is left out.", c.Name, table))
			return nil
		}
		if err := f.column(&c, r.charset); err != nil {
			t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s is left out: %v.", c.Name, table, err))
			return nil
		}
		if _, known := fbCoderOf(c.Type); !known {
			t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s is decoded by the server: a text that is none in %s ends the reading.",
				c.Name, table, f.charset))
		}
		c.NotNull, c.Generated = notNull == 1, computed == 1
		if !c.Generated {
			c.Default = fbDefault(value, c.Kind)
		}
		t.Columns = append(t.Columns, c)
		return nil
	})
}

// fbDefault returns a default without the word before it; 'NOW' and its like are the current time only where one is wanted.
func fbDefault(source string, kind Kind) string {
	e := strings.TrimSpace(source)
	if len(e) >= 7 && strings.EqualFold(e[:7], "DEFAULT") {
		e = strings.TrimSpace(e[7:])
	}
	e = strings.TrimSpace(strings.TrimPrefix(e, "="))
	switch kind {
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		switch strings.ToUpper(e) {
		case "'NOW'", "LOCALTIMESTAMP":
			return "CURRENT_TIMESTAMP"
		case "'TODAY'":
			return "CURRENT_DATE"
		}
	}
	if strings.EqualFold(e, "NULL") {
		return ""
	}
	return e
}

// fbName returns the name of a constraint, "" for one that the database made up.
func fbName(name string) string {
	if strings.HasPrefix(name, "INTEG_") || strings.HasPrefix(name, "RDB$") {
		return ""
	}
	return name
}

// indexes reads keys and indexes. Those of foreign keys are left to the target, as they are nothing but its means.
func (r *fbReader) indexes() error {
	type index struct {
		table, name, constraint, kind string
		unique, inactive, descending  int
		expression                    int
		columns                       []string
	}
	var all []*index
	err := r.each(`
		SELECT TRIM(i.RDB$RELATION_NAME), TRIM(i.RDB$INDEX_NAME), COALESCE(i.RDB$UNIQUE_FLAG, 0), COALESCE(i.RDB$INDEX_INACTIVE, 0),
		       COALESCE(i.RDB$INDEX_TYPE, 0), CASE WHEN i.RDB$EXPRESSION_BLR IS NULL THEN 0 ELSE 1 END,
		       COALESCE(TRIM(c.RDB$CONSTRAINT_NAME), ''), COALESCE(TRIM(c.RDB$CONSTRAINT_TYPE), ''), COALESCE(TRIM(s.RDB$FIELD_NAME), '')
		FROM RDB$INDICES i LEFT JOIN RDB$INDEX_SEGMENTS s ON s.RDB$INDEX_NAME = i.RDB$INDEX_NAME
		LEFT JOIN RDB$RELATION_CONSTRAINTS c ON c.RDB$INDEX_NAME = i.RDB$INDEX_NAME
		WHERE COALESCE(i.RDB$SYSTEM_FLAG, 0) = 0 AND i.RDB$FOREIGN_KEY IS NULL
		ORDER BY i.RDB$RELATION_NAME, i.RDB$INDEX_ID, s.RDB$FIELD_POSITION`, func(scan scanFunc) error {
		var x index
		var column string
		if err := scan(&x.table, &x.name, &x.unique, &x.inactive, &x.descending, &x.expression, &x.constraint, &x.kind, &column); err != nil {
			return err
		}
		if last := len(all) - 1; last < 0 || all[last].name != x.name {
			all = append(all, &x)
		}
		all[len(all)-1].columns = append(all[len(all)-1].columns, column)
		return nil
	})
	for _, x := range all {
		t := r.tables[x.table]
		if t == nil {
			continue
		}
		key := Key{Name: fbName(x.constraint), Columns: x.columns}
		switch {
		case x.kind == "PRIMARY KEY":
			t.PrimaryKey = &key
			for _, name := range x.columns {
				if c := t.Column(name); c != nil {
					c.NotNull = true
				}
			}
		case x.expression == 1:
			t.Notes = append(t.Notes, fmt.Sprintf("The index %s of table %s, over an expression, is left out.", x.name, t.Name))
		case x.inactive == 1:
			t.Notes = append(t.Notes, fmt.Sprintf("The index %s of table %s, which is inactive, is left out.", x.name, t.Name))
		case x.unique == 1:
			if x.kind == "" {
				key.Name = x.name
			}
			t.Uniques = append(t.Uniques, key)
		default:
			ix := Index{Name: x.name}
			for _, name := range x.columns {
				ix.Columns = append(ix.Columns, IndexPart{Column: name, Desc: x.descending == 1})
			}
			t.Indexes = append(t.Indexes, ix)
		}
	}
	for _, t := range r.tables {
		if WalkOf(t).Kind != WalkKey {
			t.RowID = fbPlace
		}
	}
	return err
}

// references reads the foreign keys.
func (r *fbReader) references() error {
	seen := map[string]*ForeignKey{}
	var order []*ForeignKey
	of := map[*ForeignKey]*Table{}
	err := r.each(`
		SELECT TRIM(c.RDB$RELATION_NAME), TRIM(c.RDB$CONSTRAINT_NAME), TRIM(u.RDB$RELATION_NAME), TRIM(s.RDB$FIELD_NAME), TRIM(p.RDB$FIELD_NAME),
		       COALESCE(TRIM(rc.RDB$UPDATE_RULE), ''), COALESCE(TRIM(rc.RDB$DELETE_RULE), '')
		FROM RDB$RELATION_CONSTRAINTS c JOIN RDB$REF_CONSTRAINTS rc ON rc.RDB$CONSTRAINT_NAME = c.RDB$CONSTRAINT_NAME
		JOIN RDB$RELATION_CONSTRAINTS u ON u.RDB$CONSTRAINT_NAME = rc.RDB$CONST_NAME_UQ
		JOIN RDB$INDEX_SEGMENTS s ON s.RDB$INDEX_NAME = c.RDB$INDEX_NAME
		JOIN RDB$INDEX_SEGMENTS p ON p.RDB$INDEX_NAME = u.RDB$INDEX_NAME AND p.RDB$FIELD_POSITION = s.RDB$FIELD_POSITION
		WHERE c.RDB$CONSTRAINT_TYPE = 'FOREIGN KEY'
		ORDER BY c.RDB$RELATION_NAME, c.RDB$INDEX_NAME, s.RDB$FIELD_POSITION`, func(scan scanFunc) error {
		var table, name, parent, column, refColumn, onUpdate, onDelete string
		if err := scan(&table, &name, &parent, &column, &refColumn, &onUpdate, &onDelete); err != nil {
			return err
		}
		t := r.tables[table]
		if t == nil {
			return nil
		}
		fk := seen[name]
		if fk == nil {
			fk = &ForeignKey{Name: fbName(name), RefTable: parent, OnUpdate: fbAction(onUpdate), OnDelete: fbAction(onDelete)}
			seen[name], of[fk] = fk, t
			order = append(order, fk)
		}
		fk.Columns, fk.RefColumns = append(fk.Columns, column), append(fk.RefColumns, refColumn)
		return nil
	})
	for _, fk := range order {
		of[fk].ForeignKeys = append(of[fk].ForeignKeys, *fk)
	}
	return err
}

// fbAction returns what a foreign key does. RESTRICT is how the catalog writes that it does nothing.
func fbAction(s string) string {
	if s == "RESTRICT" {
		return ""
	}
	return action(s)
}
