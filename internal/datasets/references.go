package datasets

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// referring are the queries that list foreign keys: who refers, to whom, by what name, and what happens to it when the row goes.
var referring = map[sqldb.Dialect]string{
	sqldb.Postgres: `
		SELECT CASE WHEN cn.nspname = current_schema() THEN '' ELSE cn.nspname || '.' END || c.relname,
		       CASE WHEN pn.nspname = current_schema() THEN '' ELSE pn.nspname || '.' END || p.relname, k.conname::text,
		       CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE '' END
		FROM pg_constraint k
		JOIN pg_class c ON c.oid = coalesce(pg_partition_root(k.conrelid), k.conrelid) JOIN pg_namespace cn ON cn.oid = c.relnamespace
		JOIN pg_class p ON p.oid = coalesce(pg_partition_root(k.confrelid), k.confrelid) JOIN pg_namespace pn ON pn.oid = p.relnamespace
		WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 3`,
	sqldb.MySQL: `
		SELECT CASE WHEN CONSTRAINT_SCHEMA = DATABASE() THEN TABLE_NAME ELSE concat(CONSTRAINT_SCHEMA, '.', TABLE_NAME) END,
		       REFERENCED_TABLE_NAME, CONSTRAINT_NAME,
		       CASE WHEN DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') THEN DELETE_RULE ELSE '' END
		FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1, 3`,
	sqldb.SQLite: `
		SELECT m.name, f."table", '', CASE WHEN f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT') THEN f.on_delete ELSE '' END
		FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND f.seq = 0 ORDER BY 1, f.id`,
}

// Deletable says why data sets of this store cannot be deleted, though they can be analysed; nil when they can, as the tables are now.
// That is so when rows cannot be walked by a primary key, and when foreign keys would hold rows fast, or take rows outside of a data set
// along that nobody archives. Its answer is permanent; errors of the database are not.
func (s *Store) Deletable(ctx context.Context) error {
	var obstacles []string
	for i := range s.tables {
		if s.tables[i].info.PrimaryKey == nil {
			obstacles = append(obstacles, fmt.Sprintf("the table %s has no primary key", s.tables[i].Table.Table))
		}
	}
	err := s.each(ctx, referring[s.db.Dialect], nil, func(scan func(...any) error) error {
		var child, parent, name, action string
		if err := scan(&child, &parent, &name, &action); err != nil {
			return err
		}
		if o := s.obstacle(child, parent, name, action); o != "" {
			obstacles = append(obstacles, o)
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("read the foreign keys of %s: %w", s.Address(), sqldb.Classify(err))
	case len(obstacles) == 0:
		return nil
	}
	return refuse("give each of these tables a primary key; add customer and database columns to the tables that refer to data sets and list them in "+
		"the layout, or drop these foreign keys", "data sets of %s cannot be deleted: %s", s.Address(), strings.Join(obstacles, "; "))
}

// place returns where a table stands in the order of going: the registry is the last, -1 is outside.
func (s *Store) place(name string) int {
	if s.sameName(name, s.layout.Registry.Table) {
		return len(s.tables)
	}
	return slices.IndexFunc(s.tables, func(t table) bool { return s.sameName(name, t.Table.Table) })
}

// obstacle says how a foreign key stands in the way of deleting; "" when it does not.
func (s *Store) obstacle(child, parent, name, action string) string {
	to, from := s.place(parent), s.place(child)
	if name != "" {
		name = " (" + name + ")"
	}
	switch {
	case strings.HasPrefix(strings.ToLower(child), "stint_"): // our own
		return ""
	case to < 0 || from >= 0 && from < to: // not ours, or the child's rows go first
		return ""
	case from < 0 && action != "":
		return fmt.Sprintf("rows of %s, which is not part of the data sets, refer to %s%s ON DELETE %s: they would change or go without an archive",
			child, parent, name, action)
	case from < 0:
		return fmt.Sprintf("rows of %s, which is not part of the data sets, refer to %s%s and would keep its rows from going", child, parent, name)
	case s.db.Dialect == sqldb.SQLite: // our sessions do not enforce foreign keys there: all rows of a data set go, in any order
		return ""
	case from == to:
		return fmt.Sprintf("rows of %s refer to other rows of it%s: they cannot go in batches", child, name)
	}
	return fmt.Sprintf("rows of %s refer to those of %s%s, which have to go first", child, parent, name)
}

// triggering are the queries that list triggers: of which table, and by what name.
var triggering = map[sqldb.Dialect]string{
	sqldb.Postgres: `
		SELECT CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname || '.' END || c.relname, g.tgname::text
		FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' ORDER BY 1, 2`,
	sqldb.MySQL: `
		SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS
		WHERE EVENT_OBJECT_SCHEMA = DATABASE() ORDER BY 1, 2`,
	sqldb.SQLite: `SELECT tbl_name, name FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1, 2`,
}

// findTriggers notes what runs by itself when rows go, or come back.
func (s *Store) findTriggers(ctx context.Context) error {
	return s.each(ctx, triggering[s.db.Dialect], nil, func(scan func(...any) error) error {
		var of, name string
		if err := scan(&of, &name); err != nil {
			return err
		}
		if s.place(of) >= 0 {
			s.notes = append(s.notes, fmt.Sprintf("The table %s has the trigger %s: what it does when rows go, or are put back, is not archived.", of, name))
		}
		return nil
	})
}
