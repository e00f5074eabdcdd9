package sqldb

import (
	"fmt"
	"strings"
)

// Statement is an SQL statement and what it makes.
type Statement struct {
	Name string // of the index, constraint or type
	SQL  string
}

// ForeignKeyStatement makes one foreign key of PostgreSQL, in parts, so that orphans can be reported instead of stopping
// everything: after Add no new orphan comes in; Validate then fails as long as there are old ones, and Orphans counts them.
// Each part may be run again.
type ForeignKeyStatement struct {
	Name     string
	Table    string // FullName of the child
	Add      string
	Validate string
	Orphans  string // a query of one number: how many rows name a parent that is not there
}

// CreateTypes returns the statements that make the enum types of a schema, where they are not there yet. Only PostgreSQL has any.
func CreateTypes(s *Schema) []Statement { return s.Dialect.words().createTypes(s) }

// CreateTable returns the statements that make a table where it is not there yet, to be run in order. It has its columns and
// primary key; the rest comes after the load, by CreateIndexes and ReferTable. In SQLite it has all but its indexes, as
// constraints cannot be added later. A table that is there already stays as it is: see CheckTarget.
func CreateTable(t *Table, d Dialect) []string { return d.words().createTable(t) }

func constraintName(d Dialect, name string) string {
	if name == "" {
		return ""
	}
	return "CONSTRAINT " + d.Quote(name) + " "
}

func foreignKeyClause(d Dialect, fk ForeignKey) string {
	clause := fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s)", d.QuoteList(fk.Columns), d.QuoteTable(fk.RefSchema, fk.RefTable),
		d.QuoteList(fk.RefColumns))
	if fk.OnDelete != "" {
		clause += " ON DELETE " + fk.OnDelete
	}
	if fk.OnUpdate != "" {
		clause += " ON UPDATE " + fk.OnUpdate
	}
	switch {
	case fk.Deferred:
		clause += " DEFERRABLE INITIALLY DEFERRED"
	case fk.Deferrable:
		clause += " DEFERRABLE"
	}
	return clause
}

// CreateIndexes returns the statements that make the unique keys (but for SQLite, which has them) and indexes of a table, for
// after the load. Each does nothing where its work is done, and waits where a rival is doing it.
func CreateIndexes(t *Table, d Dialect) []Statement { return d.words().createIndexes(t) }

// indexOn returns the beginning of a statement that makes an index, and the rest of it, from its name on.
func indexOn(d Dialect, t *Table, ix *Index) (create, rest string) {
	parts := make([]string, len(ix.Columns))
	for i, p := range ix.Columns {
		if parts[i] = d.Quote(p.Column); p.Desc {
			parts[i] += " DESC"
		}
	}
	create = "CREATE INDEX "
	if ix.Unique {
		create = "CREATE UNIQUE INDEX "
	}
	rest = d.Quote(ix.Name) + " ON " + d.QuoteTable(t.Schema, t.Name) + " (" + strings.Join(parts, ", ") + ")"
	if ix.Where != "" {
		rest += " WHERE " + ix.Where
	}
	return create, rest
}

// orphansQuery counts the rows of t that name a parent which is not there.
func orphansQuery(d Dialect, t *Table, fk *ForeignKey) string {
	var present, match []string
	for i, c := range fk.Columns {
		present = append(present, "c."+d.Quote(c)+" IS NOT NULL")
		match = append(match, "p."+d.Quote(fk.RefColumns[i])+" = c."+d.Quote(c))
	}
	return fmt.Sprintf("SELECT count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s p WHERE %s)", d.QuoteTable(t.Schema, t.Name),
		strings.Join(present, " AND "), d.QuoteTable(fk.RefSchema, fk.RefTable), strings.Join(match, " AND "))
}
