package datasets

import (
	"context"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
)

// resolveEntity finds, or chooses, whose GUIDs are compared.
func (s *Store) resolveEntity(ctx context.Context) error {
	var withGUIDs []string
	for i := range s.tables {
		t := &s.tables[i]
		if t.GUID == "" {
			continue
		}
		if !isGUIDs(t.info.Column(t.GUID)) {
			if s.layout.Entity != "" && !s.names(t, s.layout.Entity) {
				continue
			}
			return refuse("GUIDs are uuid, text or 16 bytes: name the right column in the layout (tables, guid)", "the column %s of table %s is of type %s",
				t.GUID, t.Table.Table, t.info.Column(t.GUID).Type)
		}
		withGUIDs = append(withGUIDs, t.Table.Table)
	}
	if len(withGUIDs) == 0 {
		return refuse("name the column of the GUIDs in the layout (tables, guid); tables: "+some(s.tableNames()), "no table of the data sets has a column guid")
	}
	if s.layout.Entity == "" {
		s.entity.at = s.largest()
	} else if err := s.namedEntity(withGUIDs); err != nil {
		return err
	}
	t := &s.tables[s.entity.at]
	if t.Kind != "" && !s.entity.ofKind {
		kind, err := s.commonKind(ctx, t)
		if err != nil {
			return err
		}
		s.entity.kind, s.entity.ofKind = kind, true
	}
	if s.layout.Entity = t.Table.Table; s.entity.ofKind {
		s.layout.Entity += "/" + s.entity.kind
	}
	return nil
}

func (s *Store) tableNames() []string {
	names := make([]string, len(s.tables))
	for i := range s.tables {
		names[i] = s.tables[i].Table.Table
	}
	return names
}

// isGUIDs reports whether a column can hold GUIDs. SQLite holds anything anywhere.
func isGUIDs(c *sqldb.Column) bool {
	return slices.Contains([]sqldb.Kind{sqldb.KindUUID, sqldb.KindText, sqldb.KindBytes}, c.Kind)
}

// names reports whether the name of an entity begins with a table.
func (s *Store) names(t *table, entity string) bool {
	name := t.Table.Table
	return s.sameName(name, entity) || len(entity) > len(name) && entity[len(name)] == '/' && s.sameName(name, entity[:len(name)])
}

// namedEntity finds the entity that the layout names.
func (s *Store) namedEntity(withGUIDs []string) error {
	wanted := s.layout.Entity
	for i := range s.tables {
		t := &s.tables[i]
		if !s.names(t, wanted) {
			continue
		}
		kind, ofKind := "", len(wanted) > len(t.Table.Table)
		if ofKind {
			kind = wanted[len(t.Table.Table)+1:]
		}
		switch {
		case t.GUID == "":
			return refuse("name it in the layout (tables, guid), or choose another entity; with GUIDs there are: "+some(withGUIDs),
				"the entity %s has no column of GUIDs", wanted)
		case ofKind && t.Kind == "":
			return refuse("name it in the layout (tables, kind)", "the entity %s cannot be told: the table %s has no column of kinds", wanted, t.Table.Table)
		}
		s.entity = entity{at: i, kind: kind, ofKind: ofKind}
		return nil
	}
	table, _, _ := strings.Cut(wanted, "/")
	return refuse("with GUIDs there are: "+some(withGUIDs), "there is no table %s of data sets, of which the entity %s would be", table, wanted)
}

// largest returns the table with GUIDs that has the most rows; of two alike the first by name, so that it is always the same.
func (s *Store) largest() int {
	best := -1
	for i := range s.tables {
		t := &s.tables[i]
		if t.GUID == "" {
			continue
		}
		if best < 0 || t.info.Rows > s.tables[best].info.Rows || t.info.Rows == s.tables[best].info.Rows && t.Table.Table < s.tables[best].Table.Table {
			best = i
		}
	}
	return best
}

// commonKind returns the most common value of a table's Kind column: PostgreSQL's statistics know it, elsewhere it is counted.
func (s *Store) commonKind(ctx context.Context, t *table) (string, error) {
	kind := ""
	take := func(scan func(...any) error) error { return scan(&kind) }
	column := s.db.Dialect.Quote(t.Kind)
	as := map[sqldb.Dialect]string{sqldb.Postgres: "text", sqldb.MySQL: "char", sqldb.SQLite: "text"}[s.db.Dialect]
	if s.db.Dialect == sqldb.Postgres {
		err := s.each(ctx, `SELECT (most_common_vals::text::text[])[1] FROM pg_stats
			WHERE schemaname = coalesce(nullif($1, ''), current_schema()) AND tablename = $2 AND attname = $3 AND most_common_vals IS NOT NULL
			ORDER BY inherited DESC LIMIT 1`, []any{t.info.Schema, t.info.Name, t.Kind}, take)
		if err != nil || kind != "" {
			return kind, err
		}
	}
	err := s.each(ctx, "SELECT CAST("+column+" AS "+as+") FROM "+t.from(s.db.Dialect)+" WHERE "+column+" IS NOT NULL GROUP BY "+column+
		" ORDER BY count(*) DESC, "+column+" LIMIT 1", nil, take)
	return kind, err
}
