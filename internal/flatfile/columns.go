package flatfile

import (
	"fmt"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// layout is what is known of a file before its rows are read. Nobody changes it.
type layout struct {
	text  text
	names []string // of the fields, in their order
	start int64    // where the rows begin
	notes []string
	dbf   *dbfHeader
}

// remember returns what is known of a file, and finds it out where it is not known yet.
func (f *folder) remember(p *part, find func() (*layout, error)) (*layout, error) {
	f.mu.Lock()
	l := f.layouts[p.key()]
	f.mu.Unlock()
	if l != nil {
		return l, nil
	}
	l, err := find()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.layouts) > 1000 {
		clear(f.layouts)
	}
	f.layouts[p.key()] = l
	return l, nil
}

// columnSet is the columns of all parts of a table.
type columnSet struct {
	names []string
	at    map[string]int
}

func (c *columnSet) add(names []string) {
	for _, n := range names {
		if _, ok := c.at[n]; !ok {
			c.at[n] = len(c.names)
			c.names = append(c.names, n)
		}
	}
}

// missing says which parts lack which columns.
func (c *columnSet) missing(parts []*part, layouts []*layout, header bool) []string {
	var notes []string
	for i, l := range layouts {
		if len(l.names) == 0 || !header {
			continue
		}
		has := map[string]bool{}
		for _, n := range l.names {
			has[n] = true
		}
		for _, n := range c.names {
			if !has[n] {
				notes = append(notes, fmt.Sprintf("%s has no column %s; it is NULL in its rows.", parts[i].name, n))
			}
		}
	}
	return notes
}

// lackColumns is the error of columns that no part has: those of a plan that was made for other files.
func lackColumns(t *sqldb.Table, columns []int, parts []*part, except string, layoutOf func(*part) (*layout, error)) error {
	lack := map[string]bool{}
	for _, c := range columns {
		lack[t.Columns[c].Name] = true
	}
	delete(lack, except)
	empty := true
	for _, p := range parts {
		if len(lack) == 0 {
			return nil
		}
		l, err := layoutOf(p)
		if err != nil {
			return err
		}
		for _, name := range l.names {
			delete(lack, name)
			empty = false
		}
	}
	if empty {
		return nil // no rows either
	}
	for _, c := range columns {
		if name := t.Columns[c].Name; lack[name] {
			return tasks.Permanent(tasks.WithHint(nil, "make the plan anew from the files as they are, or put the old ones back",
				"the files of %s have no column %s", t.Name, name))
		}
	}
	return nil
}

// namer keeps the names of columns apart.
type namer struct {
	seen map[string]bool
}

// unique returns a name, with a number behind it if it was there before; "" becomes c and the number of the column.
func (n *namer) unique(name string, number int) string {
	if n.seen == nil {
		n.seen = map[string]bool{}
	}
	if name == "" {
		name = fmt.Sprintf("c%d", number)
	}
	out := name
	for i := 2; n.seen[out]; i++ {
		out = fmt.Sprintf("%s_%d", name, i)
	}
	n.seen[out] = true
	return out
}
