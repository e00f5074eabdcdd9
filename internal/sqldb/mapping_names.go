package sqldb

import (
	"fmt"
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
	if s.dialect.words().foldsNames() {
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

// has reports whether a name has been given out.
func (s *nameSet) has(name string) bool { return s.taken[s.fold(s.fit(name, ""))] }

// reserve keeps a name from being given out.
func (s *nameSet) reserve(name string) { s.taken[s.fold(s.fit(name, ""))] = true }

// fit adds a suffix, and cuts the name so that both have room. Characters stay whole.
func (s *nameSet) fit(name, suffix string) string {
	most, characters, _ := s.dialect.words().longestName()
	for most > 0 && nameLength(name, characters)+len(suffix) > most {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
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
			want = m.to.words().taken(want, nameOfTable)
			if !m.to.words().hasSchemas() {
				if t.Schema != "" && m.relationNames("").has(want) {
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
		if c.Name = names.take(m.to.words().taken(was, nameOfColumn)); c.Name != was {
			m.note("Column %s of table %s becomes %s: %s.", was, t.FullName(), c.Name, m.whyRenamed(was))
		}
	}
}

func (m *schemaMap) whyRenamed(name string) string {
	most, characters, words := m.to.words().longestName()
	switch {
	case name == "":
		return "a name cannot be empty there"
	case most > 0 && nameLength(name, characters) > most && characters:
		return fmt.Sprintf("%s %d characters of a name", words, most)
	case most > 0 && nameLength(name, characters) > most:
		return fmt.Sprintf("%s %d bytes of a name", words, most)
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
		if k := t.PrimaryKey; k != nil && m.to.words().namesKeys() {
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
			case !m.to.words().namesKeys(): // inline constraints, whose names nobody compares
			case u.Name == "":
				u.Name = m.relationNames(t.Schema).take(t.Name + "_" + strings.Join(u.Columns, "_") + "_key")
			default:
				u.Name = m.nameIndex(t, u.Name)
			}
			constraints.reserve(u.Name)
		}
		for k := range t.ForeignKeys {
			fk := &t.ForeignKeys[k]
			if m.to.words().namesKeys() {
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
	name := m.relationNames(t.Schema).take(m.to.words().taken(was, nameOfIndex))
	if name != was {
		m.note("The index %s of table %s becomes %s: %s.", was, t.FullName(), name, m.whyRenamed(was))
	}
	return name
}
