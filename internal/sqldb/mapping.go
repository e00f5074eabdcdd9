package sqldb

import (
	"fmt"
	"slices"
	"strings"
)

// MapSchema says how a database's tables are made in another dialect, or in the same one. In the result Tables[i] is what
// becomes of src.Tables[i], and its Columns[j] of that table's Columns[j], whatever their names have become; types,
// defaults and conditions are in the target's words. The second result are sentences for the report: all that is
// different, and all that is left out. src is not changed.
//
// The rule for types is that no value may be lost that the source can hold, except where the source names a type that it
// does not enforce (DATE in SQLite): there the values that are not of that type are set aside when rows are loaded.
func MapSchema(src *Schema, to Dialect) (*Schema, []string) {
	m := &schemaMap{src: src, to: to, dst: &Schema{Dialect: to}, renamed: map[tableName]int{}, relations: map[string]*nameSet{}}
	for i := range src.Tables {
		m.dst.Tables = append(m.dst.Tables, *cloneTable(&src.Tables[i]))
		m.renamed[tableName{src.Tables[i].Schema, src.Tables[i].Name}] = i
	}
	m.leftOut()
	m.nameTables()
	for i := range m.dst.Tables {
		m.nameColumns(i)
		m.mapColumns(i)
	}
	m.mapReferences()
	if !m.same() && to.words().strictReferences() {
		m.adoptTypes()
	}
	for i := range m.dst.Tables {
		m.mapDefaults(i)
		m.mapRows(i)
	}
	m.nameKeys()
	m.checkReferences()
	m.mapIndexes()
	if m.same() {
		m.dst.Enums = slices.Clone(src.Enums)
	}
	return m.dst, m.notes
}

type tableName struct{ schema, name string }

// schemaMap is a mapping in the making. Tables and columns are known by their places, as names may change.
type schemaMap struct {
	src, dst  *Schema
	to        Dialect
	notes     []string
	renamed   map[tableName]int   // the source's name → place
	relations map[string]*nameSet // by schema of the target: names of tables, indexes, sequences
}

func (m *schemaMap) note(format string, args ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, args...))
}

func (m *schemaMap) same() bool { return m.src.Dialect == m.to }

// leftOut collects what introspection has found and no mapping carries over.
func (m *schemaMap) leftOut() {
	for _, view := range m.src.Views {
		m.note("The view %s is left out.", view)
	}
	m.notes = append(m.notes, m.src.Notes...)
	for i := range m.src.Tables {
		m.notes = append(m.notes, m.src.Tables[i].Notes...)
		m.dst.Tables[i].Notes = nil
	}
}

// names returns the names that columns of the source's table i have in the target.
func (m *schemaMap) names(i int, columns []string) []string {
	var names []string
	for _, name := range columns {
		at := slices.IndexFunc(m.src.Tables[i].Columns, func(c Column) bool { return c.Name == name })
		if at < 0 {
			return nil
		}
		names = append(names, m.dst.Tables[i].Columns[at].Name)
	}
	return names
}

// mapReferences rewrites keys and foreign keys to the target's names, and drops those that refer to nothing here.
func (m *schemaMap) mapReferences() {
	for i := range m.dst.Tables {
		t := &m.dst.Tables[i]
		if t.PrimaryKey != nil {
			t.PrimaryKey.Columns = m.names(i, t.PrimaryKey.Columns)
		}
		for k := range t.Uniques {
			t.Uniques[k].Columns = m.names(i, t.Uniques[k].Columns)
		}
		var kept []ForeignKey
		for _, fk := range t.ForeignKeys {
			parent, ok := m.renamed[tableName{fk.RefSchema, fk.RefTable}]
			if !ok {
				m.note("The foreign key %s is left out: %s is not part of this migration.", fkWords(t, fk),
					(&Table{Schema: fk.RefSchema, Name: fk.RefTable}).FullName())
				continue
			}
			fk.Columns = m.names(i, fk.Columns)
			fk.RefColumns = m.names(parent, fk.RefColumns)
			fk.RefSchema, fk.RefTable = m.dst.Tables[parent].Schema, m.dst.Tables[parent].Name
			if len(fk.Columns) == 0 || len(fk.RefColumns) != len(fk.Columns) {
				m.note("A foreign key of table %s to %s is left out: it names columns that do not exist.", t.FullName(), fk.RefTable)
				continue
			}
			kept = append(kept, fk)
		}
		t.ForeignKeys = kept
	}
}

func fkWords(t *Table, fk ForeignKey) string {
	return fmt.Sprintf("of table %s (%s) to %s", t.FullName(), strings.Join(fk.Columns, ", "), fk.RefTable)
}

// target finds a table of the target.
func (m *schemaMap) target(schema, name string) *Table {
	for i := range m.dst.Tables {
		if t := &m.dst.Tables[i]; t.Schema == schema && t.Name == name {
			return t
		}
	}
	return nil
}

// adoptTypes gives a column that refers to another the type of that other: SQLite lets a TEXT column refer to an INTEGER
// key, and PostgreSQL an INTEGER to a BIGINT; not every database does. Chains of references take as many rounds as they are long; each column changes once, so that
// a circle comes to rest.
func (m *schemaMap) adoptTypes() {
	adopted := map[*Column]bool{}
	for round := 0; round <= len(m.dst.Tables); round++ {
		changed := false
		for i := range m.dst.Tables {
			t := &m.dst.Tables[i]
			for _, fk := range t.ForeignKeys {
				parent := m.target(fk.RefSchema, fk.RefTable)
				for k, name := range fk.Columns {
					if c := t.Column(name); !adopted[c] && m.adopt(t, c, parent, parent.Column(fk.RefColumns[k])) {
						adopted[c], changed = true, true
					}
				}
			}
		}
		if !changed {
			return
		}
	}
}

func (m *schemaMap) adopt(t *Table, c *Column, parent *Table, ref *Column) bool {
	// A rowid key holds integers whatever it refers to; if it cannot refer, checkReferences drops the key.
	if mayRefer(c, ref) || c.Identity || c == ref {
		return false
	}
	m.note("Column %s of table %s becomes %s instead of %s, as it refers to %s of %s.", c.Name, t.FullName(), ref.Type, c.Type,
		ref.Name, parent.FullName())
	c.Type, c.Kind, c.Precision, c.Scale, c.Length = ref.Type, ref.Kind, ref.Precision, ref.Scale, ref.Length
	return true
}

// mayRefer reports whether a column can refer to another where that needs the same type; texts may have different lengths.
func mayRefer(c, ref *Column) bool {
	return c.Type == ref.Type || c.Kind == KindText && ref.Kind == KindText
}

// checkReferences drops the foreign keys that the target would refuse.
func (m *schemaMap) checkReferences() {
	if m.same() {
		return
	}
	for i := range m.dst.Tables {
		t := &m.dst.Tables[i]
		t.ForeignKeys = slices.DeleteFunc(t.ForeignKeys, func(fk ForeignKey) bool {
			parent := m.target(fk.RefSchema, fk.RefTable)
			if !isKey(parent, fk.RefColumns) {
				m.note("The foreign key %s is left out: (%s) is no key there.", fkWords(t, fk), strings.Join(fk.RefColumns, ", "))
				return true
			}
			for k, name := range fk.Columns {
				a, b := t.Column(name), parent.Column(fk.RefColumns[k])
				if m.to.words().strictReferences() && !mayRefer(a, b) {
					m.note("The foreign key %s is left out: %s is %s and %s is %s.", fkWords(t, fk), a.Name, a.Type, b.Name, b.Type)
					return true
				}
			}
			return false
		})
	}
}

// isKey reports whether columns, in any order, are the primary key or a unique key of a table.
func isKey(t *Table, columns []string) bool {
	want := slices.Sorted(slices.Values(columns))
	if t.PrimaryKey != nil && slices.Equal(want, slices.Sorted(slices.Values(t.PrimaryKey.Columns))) {
		return true
	}
	return slices.ContainsFunc(t.Uniques, func(k Key) bool {
		return slices.Equal(want, slices.Sorted(slices.Values(k.Columns)))
	})
}

// mapRows says how the target knows the rows of table i, and how it numbers them.
func (m *schemaMap) mapRows(i int) {
	if !m.same() {
		m.to.words().mapRows(m, i)
	}
}

// mapIndexes carries over what indexes the target can make.
func (m *schemaMap) mapIndexes() {
	for i := range m.dst.Tables {
		t := &m.dst.Tables[i]
		var kept []Index
		for _, ix := range t.Indexes {
			if where, ok := m.mapWhere(i, ix.Where); ok {
				ix.Where = where
			} else if ix.Unique {
				m.note("The unique index %s of table %s is left out, as its condition %s: %s.", ix.Name, t.FullName(), m.whyNoPart(), ix.Where)
				continue
			} else {
				m.note("The index %s of table %s covers all rows, as its condition %s: %s.", ix.Name, t.FullName(), m.whyNoPart(), ix.Where)
				ix.Where = ""
			}
			for k := range ix.Columns {
				ix.Columns[k].Column = first(m.names(i, []string{ix.Columns[k].Column}))
			}
			ix.Name = m.nameIndex(t, ix.Name)
			kept = append(kept, ix)
		}
		t.Indexes = kept
	}
}

func (m *schemaMap) whyNoPart() string {
	if !m.to.words().partialIndexes() {
		return "cannot be there"
	}
	return "is not understood"
}

func cloneTable(t *Table) *Table {
	c := *t
	c.Columns = slices.Clone(t.Columns)
	if t.PrimaryKey != nil {
		c.PrimaryKey = &Key{t.PrimaryKey.Name, slices.Clone(t.PrimaryKey.Columns)}
	}
	c.Uniques = slices.Clone(t.Uniques)
	for i := range c.Uniques {
		c.Uniques[i].Columns = slices.Clone(c.Uniques[i].Columns)
	}
	c.Indexes = slices.Clone(t.Indexes)
	for i := range c.Indexes {
		c.Indexes[i].Columns = slices.Clone(c.Indexes[i].Columns)
	}
	c.ForeignKeys = slices.Clone(t.ForeignKeys)
	for i := range c.ForeignKeys {
		c.ForeignKeys[i].Columns = slices.Clone(c.ForeignKeys[i].Columns)
		c.ForeignKeys[i].RefColumns = slices.Clone(c.ForeignKeys[i].RefColumns)
	}
	if t.LastValue != nil {
		last := *t.LastValue
		c.LastValue = &last
	}
	return &c
}
