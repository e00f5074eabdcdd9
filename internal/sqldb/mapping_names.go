package sqldb

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// nameSet gives out names that a dialect can hold, each once.
type nameSet struct {
	dialect Dialect
	taken   map[string]bool
}

func newNameSet(d Dialect) *nameSet { return &nameSet{d, map[string]bool{}} }

func (s *nameSet) fold(name string) string {
	if s.dialect == SQLite {
		return strings.ToLower(name)
	}
	return name
}

// take gives out a name as near to the wanted one as can be.
func (s *nameSet) take(want string) string {
	if want == "" {
		want = "unnamed"
	}
	name := s.fit(want, "")
	for n := 2; s.taken[s.fold(name)]; n++ {
		name = s.fit(want, "_"+strconv.Itoa(n))
	}
	s.taken[s.fold(name)] = true
	return name
}

// reserve keeps a name from being given out.
func (s *nameSet) reserve(name string) { s.taken[s.fold(s.fit(name, ""))] = true }

// fit adds a suffix, and cuts the name so that both have room. Characters stay whole.
func (s *nameSet) fit(name, suffix string) string {
	if room := maxPostgresName - len(suffix); s.dialect == Postgres && len(name) > room {
		for room > 0 && !utf8.RuneStart(name[room]) {
			room--
		}
		name = name[:room]
	}
	return name + suffix
}

// relationNames returns the names of tables and indexes in a schema of the target.
func (m *schemaMap) relationNames(schema string) *nameSet {
	if m.relations[schema] == nil {
		m.relations[schema] = newNameSet(m.to)
	}
	return m.relations[schema]
}

// nameTables names the tables. Those of the default schema come first, so that they keep their names when SQLite, which
// has no schemas, brings all together.
func (m *schemaMap) nameTables() {
	for _, inDefault := range []bool{true, false} {
		for i := range m.dst.Tables {
			t := &m.dst.Tables[i]
			if (t.Schema == "") != inDefault {
				continue
			}
			was := t.FullName()
			want := t.Name
			if m.to == SQLite {
				if strings.HasPrefix(strings.ToLower(want), "sqlite_") {
					want = "t_" + want
				}
				if t.Schema != "" && m.relationNames("").taken[strings.ToLower(want)] {
					want = t.Schema + "_" + want
				}
				t.Schema = ""
			}
			t.Name = m.relationNames(t.Schema).take(want)
			if t.Name != m.src.Tables[i].Name {
				m.note("Table %s becomes %s: %s.", was, t.FullName(), m.whyRenamed(m.src.Tables[i].Name))
			}
		}
	}
}

// nameColumns names the columns of table i.
func (m *schemaMap) nameColumns(i int) {
	t := &m.dst.Tables[i]
	names := newNameSet(m.to)
	for j := range t.Columns {
		c := &t.Columns[j]
		was := c.Name
		want := was
		if m.to == Postgres && slices.Contains(systemColumns, want) {
			want += "_"
		}
		if c.Name = names.take(want); c.Name != was {
			m.note("Column %s of table %s becomes %s: %s.", was, t.FullName(), c.Name, m.whyRenamed(was))
		}
	}
}

// systemColumns are the names that PostgreSQL has taken in each table.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

func (m *schemaMap) whyRenamed(name string) string {
	switch {
	case name == "":
		return "PostgreSQL has no empty names"
	case m.to == Postgres && len(name) > maxPostgresName:
		return "PostgreSQL keeps 63 bytes of a name"
	}
	return "the name is taken there"
}

// nameKeys names what has no name yet and must have one in PostgreSQL, where keys and indexes share their names with
// tables.
func (m *schemaMap) nameKeys() {
	// What the server makes by itself first, so that nothing of ours takes its name.
	for i := range m.dst.Tables {
		t := &m.dst.Tables[i]
		names := m.relationNames(t.Schema)
		if k := t.PrimaryKey; k != nil && m.to == Postgres {
			if k.Name == "" {
				k.Name = t.Name + "_pkey"
			}
			k.Name = names.take(k.Name)
		}
		for _, c := range t.Columns {
			if c.Identity {
				names.reserve(t.Name + "_" + c.Name + "_seq")
			}
		}
	}
	for i := range m.dst.Tables {
		t := &m.dst.Tables[i]
		constraints := newNameSet(m.to)
		if t.PrimaryKey != nil {
			constraints.reserve(t.PrimaryKey.Name)
		}
		for k := range t.Uniques {
			u := &t.Uniques[k]
			switch {
			case m.to == SQLite: // inline constraints, whose names nobody compares
			case u.Name == "":
				u.Name = m.relationNames(t.Schema).take(t.Name + "_" + strings.Join(u.Columns, "_") + "_key")
			default:
				u.Name = m.nameIndex(t, u.Name)
			}
			constraints.reserve(u.Name)
		}
		for k := range t.ForeignKeys {
			fk := &t.ForeignKeys[k]
			if m.to == Postgres {
				if fk.Name == "" {
					fk.Name = t.Name + "_" + strings.Join(fk.Columns, "_") + "_fkey"
				}
				fk.Name = constraints.take(fk.Name)
			}
		}
	}
}

// nameIndex gives an index a name that is free in its schema.
func (m *schemaMap) nameIndex(t *Table, was string) string {
	want := was
	if m.to == SQLite && strings.HasPrefix(strings.ToLower(want), "sqlite_") {
		want = "i_" + want
	}
	name := m.relationNames(t.Schema).take(want)
	if name != was {
		m.note("The index %s of table %s becomes %s: %s.", was, t.FullName(), name, m.whyRenamed(was))
	}
	return name
}
