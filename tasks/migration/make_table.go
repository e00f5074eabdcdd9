package migration

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
)

// makeTable says how the table of a stage is made that the target does not have. A column that is one of the source's as it stands
// is made as it would be without a plan; others get the type of their expression. Keys, indexes and foreign keys of the source's
// table are kept as far as all of their columns are.
func (d *drafter) makeTable(i int, m *mapped) {
	s, out := &d.c.plan.Stages[i], &d.stages[i].detail
	from := out.Source
	var base *sqldb.Table // the source's table as it would be made
	if s.From.Table != "" {
		base = d.baseTable(s.From.Table)
	}
	schema, name, found := strings.Cut(s.To.Table, ".")
	if !found || d.to != sqldb.Postgres {
		schema, name = "", s.To.Table
	}
	t := sqldb.Table{Schema: schema, Name: name}
	renamed := map[string]string{} // the base's column → the target's
	for _, o := range m.outs {
		for k := range t.Columns { // SQLite and MariaDB have one of both
			if was := t.Columns[k].Name; was != o.column && sameName(d.to != sqldb.Postgres, was, o.column) {
				d.c.add(fmt.Sprintf("stages[%d].map.%s", i, o.column), "give it another name", "the target takes %s and %s for the same column", was, o.column)
			}
		}
		c := sqldb.ColumnFor(d.to, o.column, o.kind, slices.Contains(s.To.Key, o.column))
		if typ, _ := o.prog.Type(); typ == expression.Null || typ == expression.Any {
			c = sqldb.ColumnFor(d.to, o.column, sqldb.KindText, slices.Contains(s.To.Key, o.column))
		}
		if o.plain >= 0 && base != nil {
			c = base.Columns[m.at[o.plain]]
			if _, twice := renamed[c.Name]; twice {
				c.Identity = false
			}
			renamed[c.Name] = o.column
			c.Name = o.column
		} else if o.plain >= 0 {
			c = sqldb.ColumnFor(d.to, o.column, from.Columns[m.at[o.plain]].Kind, slices.Contains(s.To.Key, o.column))
		}
		t.Columns = append(t.Columns, c)
	}
	if base != nil && s.Each == "" {
		d.carryKeys(&t, base, renamed)
	}
	if len(s.To.Key) > 0 {
		if t.PrimaryKey == nil || !slices.Equal(t.PrimaryKey.Columns, s.To.Key) {
			if t.PrimaryKey != nil && !slices.ContainsFunc(t.Uniques, func(k sqldb.Key) bool { return slices.Equal(k.Columns, t.PrimaryKey.Columns) }) {
				t.Uniques = append(t.Uniques, sqldb.Key{Columns: t.PrimaryKey.Columns})
			}
			t.PrimaryKey = &sqldb.Key{Columns: slices.Clone(s.To.Key)}
		}
	}
	if t.PrimaryKey != nil {
		for _, k := range t.PrimaryKey.Columns {
			t.Column(k).NotNull = true
		}
	}
	for k := range t.Uniques {
		if u := &t.Uniques[k]; u.Name == "" && d.to != sqldb.SQLite { // where a key is known by its name
			u.Name = nameOfKey(t.Name, u.Columns)
		}
	}
	t.RowID, t.Autoincr = "", false
	switch {
	case d.to == sqldb.SQLite:
		t.RowID = "rowid"
	case d.to == sqldb.MySQL && sqldb.WalkOf(&t).Kind != sqldb.WalkKey:
		t.RowID = sqldb.RowHash(&t)
	}
	if d.made[i] && d.targets[i] != nil { // made by an earlier run of this job
		t.RowID = d.targets[i].RowID
	}
	out.Target = t
}

// longestKeyName is how many bytes a name of a key has in any target.
const longestKeyName = 60

// nameOfKey names a unique key like PostgreSQL does; of a long name a hash takes the place of the end.
func nameOfKey(table string, columns []string) string {
	name := table + "_" + strings.Join(columns, "_") + "_key"
	if len(name) <= longestKeyName {
		return name
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return fmt.Sprintf("%s~%08x", strings.ToValidUTF8(name[:longestKeyName-9], ""), h.Sum32())
}

// baseTable returns what the source's table becomes without a plan.
func (d *drafter) baseTable(name string) *sqldb.Table {
	if d.target == nil {
		d.target, _ = sqldb.MapSchema(d.source, d.to) // what a plan leaves out it leaves out on purpose
	}
	for i := range d.source.Tables {
		if &d.source.Tables[i] == d.sourceTable(name) {
			return &d.target.Tables[i]
		}
	}
	return nil
}

// carryKeys keeps the keys and indexes of which all columns are kept.
func (d *drafter) carryKeys(t, base *sqldb.Table, renamed map[string]string) {
	all := func(columns []string) []string {
		var names []string
		for _, c := range columns {
			if renamed[c] == "" {
				return nil
			}
			names = append(names, renamed[c])
		}
		return names
	}
	// Names of keys and indexes are the schema's: two tables that are made of one cannot both have them.
	keyName := func(name string) string { return name }
	indexName := keyName
	if t.Name != base.Name {
		keyName = func(string) string { return "" }
		indexName = func(name string) string { return t.Name + "_" + name }
	}
	if base.PrimaryKey != nil {
		if columns := all(base.PrimaryKey.Columns); columns != nil {
			t.PrimaryKey = &sqldb.Key{Name: keyName(base.PrimaryKey.Name), Columns: columns}
			t.LastValue = base.LastValue
		}
	}
	for _, k := range base.Uniques {
		if columns := all(k.Columns); columns != nil {
			t.Uniques = append(t.Uniques, sqldb.Key{Name: keyName(k.Name), Columns: columns})
		}
	}
	for _, ix := range base.Indexes {
		kept := ix
		kept.Name, kept.Columns = indexName(ix.Name), nil
		for _, part := range ix.Columns {
			if renamed[part.Column] != "" {
				kept.Columns = append(kept.Columns, sqldb.IndexPart{Column: renamed[part.Column], Desc: part.Desc})
			}
		}
		if len(kept.Columns) == len(ix.Columns) && (ix.Where == "" || sameNames(renamed)) {
			t.Indexes = append(t.Indexes, kept)
		}
	}
	for _, fk := range base.ForeignKeys {
		columns, parent, ref := all(fk.Columns), "", []string(nil)
		for j := range d.c.plan.Stages {
			p := &d.c.plan.Stages[j]
			if b := d.baseOf(j); b != nil && b.Schema == fk.RefSchema && b.Name == fk.RefTable && d.made[j] && p.Each == "" {
				parent, ref = p.To.Table, d.renamedBy(j, fk.RefColumns)
			}
		}
		if columns == nil || parent == "" || ref == nil {
			d.notes = append(d.notes, fmt.Sprintf("The foreign key of %s (%s) to %s is left out: the plan changes what it stands on.", t.FullName(),
				strings.Join(fk.Columns, ", "), fk.RefTable))
			continue
		}
		fk.Columns, fk.RefColumns = columns, ref
		fk.RefSchema, fk.RefTable = "", parent
		if schema, name, ok := strings.Cut(parent, "."); ok && d.to == sqldb.Postgres {
			fk.RefSchema, fk.RefTable = schema, name
		}
		t.ForeignKeys = append(t.ForeignKeys, fk)
	}
}

func sameNames(renamed map[string]string) bool {
	for a, b := range renamed {
		if a != b {
			return false
		}
	}
	return true
}

// baseOf returns what the source's table of a stage becomes without a plan; nil for a query.
func (d *drafter) baseOf(j int) *sqldb.Table {
	if s := &d.c.plan.Stages[j]; s.From.Table != "" && s.To.Table != "" {
		return d.baseTable(s.From.Table)
	}
	return nil
}

// renamedBy returns what columns of the base of a stage are called in its target, nil when one is not there as it stands.
func (d *drafter) renamedBy(j int, columns []string) []string {
	base, from := d.baseOf(j), &d.stages[j].detail.Source
	var names []string
	for _, name := range columns {
		at := slices.IndexFunc(base.Columns, func(c sqldb.Column) bool { return c.Name == name })
		if at < 0 || at >= len(from.Columns) {
			return nil
		}
		found := ""
		for _, a := range d.c.plan.Stages[j].Map {
			if isColumn(a.Expr, from.Columns[at].Name) {
				found = a.Column
				break
			}
		}
		if found == "" {
			return nil
		}
		names = append(names, found)
	}
	return names
}

// isColumn reports whether an expression is a column as it stands.
func isColumn(expr, column string) bool {
	e := strings.TrimSpace(expr)
	return e == column || e == `row["`+column+`"]` || e == `$env["`+column+`"]`
}
