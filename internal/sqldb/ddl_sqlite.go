package sqldb

import (
	"fmt"
	"slices"
	"strings"
)

func createSQLiteTable(t *Table) []string {
	const d = SQLite
	var parts []string
	rowKey := rowIDKey(t)
	for i := range t.Columns {
		parts = append(parts, sqliteColumn(t, &t.Columns[i], rowKey))
	}
	if t.PrimaryKey != nil && !rowKey {
		parts = append(parts, constraintName(d, t.PrimaryKey.Name)+"PRIMARY KEY ("+d.QuoteList(t.PrimaryKey.Columns)+")")
	}
	for _, u := range t.Uniques {
		parts = append(parts, constraintName(d, u.Name)+"UNIQUE ("+d.QuoteList(u.Columns)+")")
	}
	for _, fk := range t.ForeignKeys {
		parts = append(parts, constraintName(d, fk.Name)+foreignKeyClause(d, fk))
	}
	suffix := ""
	if t.RowID == "" && t.PrimaryKey != nil {
		suffix = " WITHOUT ROWID"
	}
	return []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (\n  %s\n)%s", d.QuoteTable(t.Schema, t.Name), strings.Join(parts, ",\n  "), suffix)}
}

// rowIDKey reports whether the primary key of an SQLite table is its rowid.
func rowIDKey(t *Table) bool {
	if t.PrimaryKey == nil || len(t.PrimaryKey.Columns) != 1 {
		return false
	}
	c := t.Column(t.PrimaryKey.Columns[0])
	return c != nil && c.Identity
}

func sqliteColumn(t *Table, c *Column, rowKey bool) string {
	const d = SQLite
	if rowKey && c.Identity {
		// In a statement of its own form: the rowid's other name must be spelled INTEGER PRIMARY KEY.
		if t.Autoincr {
			return d.Quote(c.Name) + " INTEGER PRIMARY KEY AUTOINCREMENT"
		}
		return d.Quote(c.Name) + " INTEGER PRIMARY KEY"
	}
	typ := c.Type
	if t.RowID != "" && strings.EqualFold(typ, "INTEGER") && t.PrimaryKey != nil && slices.Equal(t.PrimaryKey.Columns, []string{c.Name}) {
		typ = "INT" // the same affinity, and not the rowid, which would number NULLs itself
	}
	def := d.Quote(c.Name)
	if typ != "" {
		def += " " + typ
	}
	if c.NotNull {
		def += " NOT NULL"
	}
	if c.Default != "" {
		def += " DEFAULT (" + c.Default + ")"
	}
	return def
}

func createSQLiteIndexes(t *Table) []Statement {
	var made []Statement
	for i := range t.Indexes {
		create, rest := indexOn(SQLite, t, &t.Indexes[i])
		made = append(made, Statement{t.Indexes[i].Name, create + "IF NOT EXISTS " + rest})
	}
	return made
}
