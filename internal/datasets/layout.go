package datasets

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// listed is a table that the database has.
type listed struct {
	full   string // as sqldb.Table.FullName gives it: without the default schema
	schema string // always written out; "" where there are no schemas
	name   string
	both   bool // it has the registry's customer and database columns, by name
}

// listing are the queries that list tables. Their arguments are the names of the two columns.
var listing = map[sqldb.Dialect]string{
	sqldb.Postgres: `
		SELECT CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname || '.' END || c.relname, n.nspname::text, c.relname::text,
		       (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ($1, $2)) = 2
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
		  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		ORDER BY n.nspname, c.relname`,
	sqldb.MySQL: `
		SELECT t.TABLE_NAME, '', t.TABLE_NAME, coalesce(c.n, 0) = 2
		FROM information_schema.TABLES t LEFT JOIN (
			SELECT TABLE_NAME, count(*) AS n FROM information_schema.COLUMNS
			WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_NAME IN (?, ?) GROUP BY TABLE_NAME) c ON c.TABLE_NAME = t.TABLE_NAME
		WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY t.TABLE_NAME`,
	sqldb.SQLite: `
		SELECT m.name, '', m.name, (SELECT count(*) FROM pragma_table_info(m.name) WHERE lower(name) IN (lower(?), lower(?))) = 2
		FROM sqlite_schema m
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND m.sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY m.name`,
}

// list returns the tables of the database, but for stint's own.
func (s *Store) list(ctx context.Context) ([]listed, error) {
	r := s.layout.Registry
	if s.sameName(r.Customer, r.Database) {
		return nil, refuse("name the column of the database's id too", "the registry's customer and database columns are both %s", r.Customer)
	}
	var there []listed
	err := s.each(ctx, listing[s.db.Dialect], []any{r.Customer, r.Database}, func(scan func(...any) error) error {
		var x listed
		if err := scan(&x.full, &x.schema, &x.name, &x.both); err != nil {
			return err
		}
		if !strings.HasPrefix(strings.ToLower(x.name), "stint_") {
			there = append(there, x)
		}
		return nil
	})
	return there, err
}

// sameName reports whether two names name the same thing: PostgreSQL keeps the case of names that are quoted, the others do not care.
func (s *Store) sameName(a, b string) bool {
	return a == b || s.db.Dialect != sqldb.Postgres && strings.EqualFold(a, b)
}

// find returns the table that a name of the layout means.
func (s *Store) find(there []listed, name string) (listed, bool) {
	for _, x := range there {
		if s.sameName(x.full, name) || x.schema != "" && x.schema+"."+x.name == name {
			return x, true
		}
	}
	return listed{}, false
}

// choose returns the full names of the registry and of the tables, and writes them into the layout. Where none were listed it takes
// those in the registry's own schema: a copy that somebody keeps in another one is not part of a data set.
func (s *Store) choose(there []listed) ([]string, error) {
	r := &s.layout.Registry
	registry, ok := s.find(there, r.Table)
	if !ok {
		return nil, refuse("name it in the layout (registry, table); "+thereAre(there), "there is no table %s, where the registry of data sets should be", r.Table)
	}
	r.Table = registry.full
	names := []string{registry.full}
	if len(s.layout.Tables) > 0 {
		for i := range s.layout.Tables {
			t := &s.layout.Tables[i]
			x, ok := s.find(there, t.Table)
			switch {
			case !ok:
				return nil, refuse("correct the layout (tables); "+thereAre(there), "there is no table %s", t.Table)
			case slices.Contains(names, x.full):
				return nil, refuse("take it out of the layout's tables", "the table %s is there twice, or is the registry itself", x.full)
			}
			t.Table = x.full
			names = append(names, x.full)
		}
		return names, nil
	}
	for _, x := range there {
		switch {
		case !x.both || x.full == registry.full:
		case x.schema != registry.schema:
			s.notes = append(s.notes, fmt.Sprintf("The table %s has the columns of data sets but stands in another schema than the registry: its rows "+
				"are left alone, unless the layout lists it.", x.full))
		default:
			names = append(names, x.full)
			s.layout.Tables = append(s.layout.Tables, Table{Table: x.full})
		}
	}
	if len(s.layout.Tables) == 0 {
		return nil, refuse("list the tables in the layout, with the names of their columns; "+thereAre(there),
			"no table but the registry %s has the columns %s and %s", r.Table, r.Customer, r.Database)
	}
	return names, nil
}

// thereAre names tables, for a hint.
func thereAre(there []listed) string {
	names := make([]string, len(there))
	for i, x := range there {
		names[i] = x.full
	}
	return "there are: " + some(names)
}

// some names at most a dozen.
func some(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > 12:
		return strings.Join(names[:12], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// resolveRegistry checks the columns of the registry.
func (s *Store) resolveRegistry(schema *sqldb.Schema) error {
	r := &s.layout.Registry
	for i := range schema.Tables {
		if schema.Tables[i].FullName() == r.Table {
			s.registry = schema.Tables[i]
		}
	}
	for _, x := range []struct {
		name *string
		what string
	}{{&r.Customer, "customer"}, {&r.Database, "database"}, {&r.LastSync, "last_sync"}, {&r.Complete, "complete"}, {&r.Deleting, "deleting"}} {
		if *x.name == "" {
			continue
		}
		c, err := s.column(&s.registry, *x.name, "registry, "+x.what)
		if err != nil {
			return err
		}
		*x.name = c.Name
	}
	for _, name := range []string{r.Customer, r.Database} {
		if err := checkID(&s.registry, s.registry.Column(name)); err != nil {
			return err
		}
	}
	return nil
}

// column finds a column by the name that the layout gives it; where says which part of the layout that is.
func (s *Store) column(t *sqldb.Table, name, where string) (*sqldb.Column, error) {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		if s.sameName(c.Name, name) {
			return c, nil
		}
		names[i] = c.Name
	}
	return nil, refuse(fmt.Sprintf("name the right one in the layout (%s); there are: %s", where, some(names)), "the table %s has no column %s", t.FullName(), name)
}

// form is how an id is written.
type form byte

const (
	number form = iota + 1
	text
	uuid
)

// idForm returns how a column writes ids; 0 is one that holds none.
func idForm(c *sqldb.Column) form {
	switch c.Kind {
	case sqldb.KindInt16, sqldb.KindInt32, sqldb.KindInt64, sqldb.KindBool:
		return number
	case sqldb.KindNumeric:
		if c.Scale == 0 && strings.Contains(strings.ToLower(c.Type), "int") { // an unsigned one of 64 bits
			return number
		}
	case sqldb.KindText:
		return text
	case sqldb.KindUUID:
		return uuid
	}
	return 0
}

func checkID(t *sqldb.Table, c *sqldb.Column) error {
	if idForm(c) != 0 {
		return nil
	}
	return refuse("ids of customers and databases are integers, text or uuid", "the column %s of table %s is of type %s", c.Name, t.FullName(), c.Type)
}

// resolveTables puts the tables into the order in which their rows can go, and checks their columns.
func (s *Store) resolveTables(schema *sqldb.Schema) error {
	given := s.layout.Tables
	s.layout.Tables = nil
	for i := len(schema.Tables) - 1; i >= 0; i-- { // parents stand before children there
		info := schema.Tables[i]
		at := slices.IndexFunc(given, func(t Table) bool { return t.Table == info.FullName() })
		if at < 0 {
			continue // the registry
		}
		t := table{given[at], info}
		if err := s.resolveTable(&t); err != nil {
			return err
		}
		s.tables = append(s.tables, t)
		s.layout.Tables = append(s.layout.Tables, t.Table)
	}
	return nil
}

func (s *Store) resolveTable(t *table) error {
	r := s.layout.Registry
	if t.Customer == "" {
		t.Customer = r.Customer
	}
	if t.Database == "" {
		t.Database = r.Database
	}
	if t.GUID == "" {
		for i := range t.info.Columns {
			if strings.EqualFold(t.info.Columns[i].Name, "guid") {
				t.GUID = t.info.Columns[i].Name
			}
		}
	}
	for _, x := range []struct {
		name *string
		what string
	}{{&t.Customer, "customer"}, {&t.Database, "database"}, {&t.GUID, "guid"}, {&t.Kind, "kind"}} {
		if *x.name == "" {
			continue
		}
		c, err := s.column(&t.info, *x.name, "tables, "+x.what)
		if err != nil {
			return err
		}
		*x.name = c.Name
	}
	for _, x := range [][2]string{{t.Customer, r.Customer}, {t.Database, r.Database}} {
		c, of := t.info.Column(x[0]), s.registry.Column(x[1])
		if err := checkID(&t.info, c); err != nil {
			return err
		}
		if (idForm(c) == number) != (idForm(of) == number) {
			return refuse("both have to be numbers, or both text or uuid", "the column %s of table %s is of type %s, but that of the registry %s",
				c.Name, t.info.FullName(), c.Type, of.Type)
		}
	}
	return nil
}
