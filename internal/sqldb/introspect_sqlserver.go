package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// msUnverified is said of each database of SQL Server that is read.
const msUnverified = "SQL Server has not been run against a real server by this project: look this outline over, and verify all rows (verify: {rows: all})."

// msReader reads the schema of a database of SQL Server.
type msReader struct {
	ctx    context.Context
	conn   *sql.Conn
	schema *Schema
	tables map[int64]*Table
	order  []int64 // of the wanted tables
}

// introspectSQLServer reads on one connection. The catalog is not part of a snapshot there: a schema that changes meanwhile
// may be read half old and half new.
func introspectSQLServer(ctx context.Context, db *DB, only []string) (*Schema, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, explainSQLServer(db.Location, err)
	}
	defer conn.Close()
	r := &msReader{ctx: ctx, conn: conn, schema: &Schema{Dialect: SQLServer, Notes: []string{msUnverified}}, tables: map[int64]*Table{}}
	err = r.isolation()
	if err == nil {
		err = r.list(only)
	}
	for _, read := range []func() error{r.columns, r.identities, r.indexes, r.references, r.notes, r.leftOut} {
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("introspect %s: %w", db.Location, Classify(err))
	}
	for _, id := range r.order {
		t := r.tables[id]
		if WalkOf(t).Kind != WalkKey {
			t.RowID = msPlace
		}
		r.schema.Tables = append(r.schema.Tables, *t)
	}
	return r.schema, nil
}

// each runs a query and calls f for each row.
func (r *msReader) each(query string, f func(scan scanFunc) error) error {
	rows, err := r.conn.QueryContext(r.ctx, query)
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

// The queries of the catalog. All columns of them are there since SQL Server 2012; what came later is asked by
// OBJECTPROPERTY and COLUMNPROPERTY, which answer NULL where they do not know.
const (
	msIsolation = `SELECT CAST(snapshot_isolation_state AS int), CAST(is_read_committed_snapshot_on AS int) FROM sys.databases WHERE database_id = DB_ID()`

	msTables = `
SELECT CAST(t.object_id AS bigint), CASE WHEN s.name = SCHEMA_NAME() THEN N'' ELSE s.name END, t.name,
       ISNULL(HAS_PERMS_BY_NAME(QUOTENAME(s.name) + N'.' + QUOTENAME(t.name), N'OBJECT', N'SELECT'), 0),
       ISNULL((SELECT SUM(p.rows) FROM sys.partitions p WHERE p.object_id = t.object_id AND p.index_id IN (0, 1)), 0),
       ISNULL(OBJECTPROPERTY(t.object_id, N'TableTemporalType'), 0)
FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id
WHERE t.is_ms_shipped = 0
ORDER BY CASE WHEN s.name = SCHEMA_NAME() THEN 0 ELSE 1 END, s.name, t.object_id`

	msColumns = `
SELECT CAST(c.object_id AS bigint), c.name, ISNULL(b.name, u.name), CAST(c.max_length AS int), CAST(c.precision AS int), CAST(c.scale AS int),
       ISNULL(c.collation_name, N''), CAST(c.is_nullable AS int), CAST(c.is_computed AS int),
       ISNULL(COLUMNPROPERTY(c.object_id, c.name, N'GeneratedAlwaysType'), 0), ISNULL(d.definition, N'')
FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id
JOIN sys.types u ON u.user_type_id = c.user_type_id
LEFT JOIN sys.types b ON b.user_type_id = c.system_type_id
LEFT JOIN sys.default_constraints d ON d.object_id = c.default_object_id
WHERE t.is_ms_shipped = 0
ORDER BY c.object_id, c.column_id`

	msIdentities = `SELECT CAST(object_id AS bigint), name, ISNULL(CONVERT(nvarchar(50), last_value), N'') FROM sys.identity_columns`

	msIndexes = `
SELECT CAST(i.object_id AS bigint), i.name, CAST(i.type AS int), CAST(i.is_unique AS int), CAST(i.is_primary_key AS int), CAST(i.is_unique_constraint AS int),
       CAST(i.is_disabled AS int), ISNULL(i.filter_definition, N''), ISNULL(CAST(k.is_system_named AS int), 0),
       ISNULL(c.name, N''), ISNULL(CAST(x.is_descending_key AS int), 0), ISNULL(CAST(x.is_included_column AS int), 0)
FROM sys.indexes i JOIN sys.tables t ON t.object_id = i.object_id
LEFT JOIN sys.index_columns x ON x.object_id = i.object_id AND x.index_id = i.index_id AND (x.key_ordinal > 0 OR x.is_included_column = 1)
LEFT JOIN sys.columns c ON c.object_id = x.object_id AND c.column_id = x.column_id
LEFT JOIN sys.key_constraints k ON k.parent_object_id = i.object_id AND k.unique_index_id = i.index_id
WHERE t.is_ms_shipped = 0 AND i.type > 0
ORDER BY i.object_id, i.index_id, x.is_included_column, x.key_ordinal`

	msReferences = `
SELECT CAST(f.object_id AS bigint), CAST(f.parent_object_id AS bigint), f.name, CAST(f.is_system_named AS int), CASE WHEN s.name = SCHEMA_NAME() THEN N'' ELSE s.name END,
       p.name, c.name, pc.name, f.update_referential_action_desc, f.delete_referential_action_desc, CAST(f.is_disabled AS int)
FROM sys.foreign_keys f JOIN sys.foreign_key_columns fc ON fc.constraint_object_id = f.object_id
JOIN sys.columns c ON c.object_id = fc.parent_object_id AND c.column_id = fc.parent_column_id
JOIN sys.columns pc ON pc.object_id = fc.referenced_object_id AND pc.column_id = fc.referenced_column_id
JOIN sys.tables p ON p.object_id = f.referenced_object_id JOIN sys.schemas s ON s.schema_id = p.schema_id
ORDER BY f.parent_object_id, f.object_id, fc.constraint_column_id`

	msNotes = `
SELECT CAST(parent_object_id AS bigint), N'check', N'' FROM sys.check_constraints
UNION ALL SELECT CAST(parent_id AS bigint), N'trigger', name FROM sys.triggers WHERE parent_class = 1 AND is_ms_shipped = 0
ORDER BY 1, 2, 3`

	msLeftOut = `
SELECT o.type, CASE WHEN s.name = SCHEMA_NAME() THEN N'' ELSE s.name + N'.' END + o.name
FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id
WHERE o.is_ms_shipped = 0 AND o.type IN ('V', 'P', 'FN', 'IF', 'TF', 'SN', 'SO')
ORDER BY 2`
)

// isolation notes a database whose rows may be read twice, or not at all, while others work with it.
func (r *msReader) isolation() error {
	return r.each(msIsolation, func(scan scanFunc) error {
		var snapshot, versioned int
		err := scan(&snapshot, &versioned)
		if snapshot != 1 && versioned != 1 {
			r.schema.Notes = append(r.schema.Notes, "The database allows no SNAPSHOT isolation: rows that others change while they are read may be read twice, or not at all. "+
				"ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON, or read it while nobody writes.")
		}
		return err
	})
}

// list reads the tables there are, and begins those that are wanted.
func (r *msReader) list(only []string) error {
	type table struct {
		id, rows     int64
		schema, name string
		readable     int
		temporal     int
	}
	var all []table
	var names []string
	err := r.each(msTables, func(scan scanFunc) error {
		var x table
		if err := scan(&x.id, &x.schema, &x.name, &x.readable, &x.rows, &x.temporal); err != nil {
			return err
		}
		if !isLedgerName(x.name) {
			all = append(all, x)
			names = append(names, (&Table{Schema: x.schema, Name: x.name}).FullName())
		}
		return nil
	})
	if err != nil {
		return err
	}
	wanted, err := selectTables(SQLServer, names, only)
	if err != nil {
		return err
	}
	for i, x := range all {
		if !wanted[names[i]] {
			continue
		}
		if x.readable != 1 {
			return tasks.Permanent(tasks.WithHint(nil, "GRANT SELECT on it to this user, or leave it out", "no permission to read table %s", names[i]))
		}
		t := &Table{Schema: x.schema, Name: x.name, Rows: x.rows}
		if x.temporal == 1 {
			t.Notes = append(t.Notes, fmt.Sprintf("That table %s is the history of a temporal table is left out: it becomes a plain table.", names[i]))
		}
		r.order, r.tables[x.id] = append(r.order, x.id), t
	}
	return nil
}

// columns reads the columns of all wanted tables.
func (r *msReader) columns() error {
	return r.each(msColumns, func(scan scanFunc) error {
		var id int64
		var f msField
		var c Column
		var nullable, computed, always int
		if err := scan(&id, &c.Name, &f.typ, &f.length, &f.precision, &f.scale, &f.collation, &nullable, &computed, &always, &c.Default); err != nil {
			return err
		}
		t := r.tables[id]
		if t == nil {
			return nil
		}
		f.column(&c)
		c.NotNull = nullable == 0
		if c.Generated = computed == 1 || always > 0 || c.Type == "rowversion"; c.Generated {
			c.Default = ""
		}
		switch {
		case c.Kind == KindOther:
			t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s, a %s, is read as text.", c.Name, t.FullName(), c.Type))
		case f.scale == 7 && (f.typ == "time" || f.typ == "datetime2" || f.typ == "datetimeoffset"):
			t.Notes = append(t.Notes, fmt.Sprintf("Column %s of table %s keeps tenths of a microsecond: values that use them are set aside, unless a plan rounds them.",
				c.Name, t.FullName()))
		}
		t.Columns = append(t.Columns, c)
		return nil
	})
}

// identities finds the columns that the database numbers. One that has numbered nothing yet has no last value.
func (r *msReader) identities() error {
	return r.each(msIdentities, func(scan scanFunc) error {
		var id int64
		var name, value string
		if err := scan(&id, &name, &value); err != nil {
			return err
		}
		t := r.tables[id]
		if t == nil {
			return nil
		}
		c := t.Column(name)
		if c == nil || !isIntKind(c.Kind) {
			return nil // decimals can be identities too; they keep their values
		}
		c.Identity = true
		if last, err := strconv.ParseInt(value, 10, 64); err == nil {
			t.LastValue = &last
		}
		return nil
	})
}

// msIndex is one index, of all its rows in msIndexes.
type msIndex struct {
	table                                          int64
	name, filter                                   string
	typ, unique, primary, constraint, off, unnamed int
	parts                                          []IndexPart
	included                                       []string
}

// indexes reads keys and indexes.
func (r *msReader) indexes() error {
	var all []*msIndex
	err := r.each(msIndexes, func(scan scanFunc) error {
		var x msIndex
		var column string
		var desc, included int
		if err := scan(&x.table, &x.name, &x.typ, &x.unique, &x.primary, &x.constraint, &x.off, &x.filter, &x.unnamed, &column, &desc, &included); err != nil {
			return err
		}
		if last := len(all) - 1; last < 0 || all[last].table != x.table || all[last].name != x.name {
			all = append(all, &x)
		}
		at := all[len(all)-1]
		switch {
		case column == "":
		case included == 1:
			at.included = append(at.included, column)
		default:
			at.parts = append(at.parts, IndexPart{Column: column, Desc: desc == 1})
		}
		return nil
	})
	for _, x := range all {
		if t := r.tables[x.table]; t != nil {
			x.addTo(t)
		}
	}
	return err
}

// msIndexTypes are the kinds of indexes that are no means of keys, by sys.indexes.type. 1, 2 and 7 are.
var msIndexTypes = map[int]string{3: "XML", 4: "spatial", 5: "columnstore", 6: "columnstore"}

func (x *msIndex) addTo(t *Table) {
	note := func(format string, args ...any) { t.Notes = append(t.Notes, fmt.Sprintf(format, args...)) }
	if kind, special := msIndexTypes[x.typ]; special {
		note("The index %s of table %s, a %s index, is left out.", x.name, t.FullName(), kind)
		return
	}
	key := Key{Name: x.name}
	for _, p := range x.parts {
		key.Columns = append(key.Columns, p.Column)
	}
	if x.unnamed == 1 {
		key.Name = ""
	}
	if len(x.included) > 0 {
		note("That the index %s of table %s holds %s beside its key is left out.", x.name, t.FullName(), strings.Join(x.included, ", "))
	}
	switch {
	case len(key.Columns) == 0 || x.off == 1:
		note("The index %s of table %s, which is disabled, is left out.", x.name, t.FullName())
	case x.primary == 1:
		t.PrimaryKey = &key
	case x.unique == 1 && x.filter == "":
		t.Uniques = append(t.Uniques, key)
	default:
		t.Indexes = append(t.Indexes, Index{Name: x.name, Columns: x.parts, Unique: x.unique == 1, Where: x.filter})
	}
}

// references reads the foreign keys.
func (r *msReader) references() error {
	type reference struct {
		id, table int64
		fk        ForeignKey
	}
	var all []*reference
	err := r.each(msReferences, func(scan scanFunc) error {
		var x reference
		var column, refColumn string
		var unnamed, off int
		if err := scan(&x.id, &x.table, &x.fk.Name, &unnamed, &x.fk.RefSchema, &x.fk.RefTable, &column, &refColumn, &x.fk.OnUpdate, &x.fk.OnDelete, &off); err != nil {
			return err
		}
		if unnamed == 1 {
			x.fk.Name = ""
		}
		x.fk.OnUpdate, x.fk.OnDelete = msAction(x.fk.OnUpdate), msAction(x.fk.OnDelete)
		if last := len(all) - 1; last < 0 || all[last].id != x.id {
			all = append(all, &x)
			if t := r.tables[x.table]; t != nil && off == 1 {
				t.Notes = append(t.Notes, fmt.Sprintf("That a foreign key of table %s to %s is disabled is left out: rows that it would refuse are found when it is made.",
					t.FullName(), x.fk.RefTable))
			}
		}
		at := &all[len(all)-1].fk
		at.Columns, at.RefColumns = append(at.Columns, column), append(at.RefColumns, refColumn)
		return nil
	})
	for _, x := range all {
		if t := r.tables[x.table]; t != nil {
			t.ForeignKeys = append(t.ForeignKeys, x.fk)
		}
	}
	return err
}

// msAction returns what a foreign key does, from SET_NULL and its like.
func msAction(s string) string { return action(strings.ReplaceAll(s, "_", " ")) }

// notes counts CHECK constraints, and names triggers.
func (r *msReader) notes() error {
	checks := map[int64]int{}
	err := r.each(msNotes, func(scan scanFunc) error {
		var id int64
		var kind, name string
		if err := scan(&id, &kind, &name); err != nil {
			return err
		}
		t := r.tables[id]
		switch {
		case t == nil:
		case kind == "check":
			checks[id]++
		default:
			t.Notes = append(t.Notes, fmt.Sprintf("The trigger %s of table %s is left out.", name, t.FullName()))
		}
		return nil
	})
	for _, id := range r.order {
		if n := checks[id]; n > 0 {
			t := r.tables[id]
			t.Notes = append(t.Notes, fmt.Sprintf("CHECK constraints of table %s are left out: %d.", t.FullName(), n))
		}
	}
	return err
}

// leftOut notes what a database holds beside tables: one sentence for each kind, as there may be hundreds.
func (r *msReader) leftOut() error {
	words := map[string]string{"P": "Procedures", "FN": "Functions", "IF": "Functions", "TF": "Functions", "SN": "Synonyms", "SO": "Sequences"}
	names := map[string][]string{}
	err := r.each(msLeftOut, func(scan scanFunc) error {
		var kind, name string
		if err := scan(&kind, &name); err != nil {
			return err
		}
		if kind = strings.TrimSpace(kind); kind == "V" {
			r.schema.Views = append(r.schema.Views, name)
		} else {
			names[words[kind]] = append(names[words[kind]], name)
		}
		return nil
	})
	for _, kind := range slices.Sorted(maps.Keys(names)) {
		r.schema.Notes = append(r.schema.Notes, fmt.Sprintf("%s are left out: %s.", kind, strings.Join(names[kind], ", ")))
	}
	return err
}
