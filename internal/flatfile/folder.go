package flatfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// extensions are the names that the files of each form end with.
var extensions = map[string][]string{
	"csv":    {".csv", ".txt"},
	"tsv":    {".tsv", ".tab", ".txt"},
	"ndjson": {".ndjson", ".jsonl", ".json"},
	"dbf":    {".dbf"},
}

// companions are files that belong to a DBF: memos and indexes.
var companions = []string{".dbt", ".fpt", ".smt", ".dbv", ".cdx", ".idx", ".mdx", ".ndx", ".ntx", ".nsx"}

// listing is what a folder holds.
type listing struct {
	tables map[string][]*part
	notes  []string
}

// names returns the tables in the order of their names.
func (l *listing) names() []string {
	names := make([]string, 0, len(l.tables))
	for name := range l.tables {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// list looks which tables there are. It is done anew each time: other processes see the same folder, and perhaps a newer one.
func (f *folder) list() (*listing, error) {
	l := &listing{tables: map[string][]*part{}}
	if f.single {
		name := filepath.Base(f.path)
		p, err := newPart(name, f.path)
		if err != nil {
			return nil, unreadable(err, f.path)
		}
		table, ok := f.tableName(name)
		if !ok {
			plain, _ := cutSqueeze(name)
			table = strings.TrimSuffix(plain, filepath.Ext(plain))
		}
		l.tables[table] = []*part{p}
		return l, nil
	}
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, unreadable(err, f.path)
	}
	for _, e := range entries {
		if err := f.add(l, e.Name()); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// add looks at one entry of the folder.
func (f *folder) add(l *listing, name string) error {
	if strings.HasPrefix(name, ".") {
		return nil
	}
	path := filepath.Join(f.path, name)
	info, err := os.Stat(path) // follows links
	var parts []*part
	table, ours := f.tableName(name)
	switch {
	case err != nil:
		l.note("%s cannot be read and is left out: %v.", name, err)
		return nil
	case info.IsDir():
		table = name
		if parts, err = f.parts(l, name, path); err != nil {
			return err
		}
		if len(parts) == 0 {
			l.note("The folder %s has no %s files and is left out.", name, f.at.Scheme())
			return nil
		}
	case !ours || !info.Mode().IsRegular():
		if !f.isCompanion(name) {
			l.note("%s is no %s file and is left out.", name, f.at.Scheme())
		}
		return nil
	default:
		p, err := newPart(name, path)
		if err != nil {
			return unreadable(err, path)
		}
		parts = []*part{p}
	}
	if other := l.tables[table]; other != nil {
		return tasks.WithHint(nil, "take one of them out of the folder, or put both into a subfolder of that name as its parts",
			"the table %s would come from both %s and %s", table, other[0].name, parts[0].name)
	}
	l.tables[table] = parts
	return nil
}

// parts lists the files of a subfolder, in the order of their names.
func (f *folder) parts(l *listing, folder, path string) ([]*part, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, unreadable(err, path)
	}
	var parts []*part
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name, file := folder+"/"+e.Name(), filepath.Join(path, e.Name())
		info, err := os.Stat(file)
		_, ours := f.tableName(e.Name())
		switch {
		case err != nil:
			l.note("%s cannot be read and is left out: %v.", name, err)
			continue
		case !ours || !info.Mode().IsRegular():
			if !f.isCompanion(name) {
				l.note("%s is no %s file and is left out.", name, f.at.Scheme())
			}
			continue
		}
		p, err := newPart(name, file)
		if err != nil {
			return nil, unreadable(err, file)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// tableName cuts the extensions from the name of a file; false where they are not those of the form.
func (f *folder) tableName(file string) (string, bool) {
	plain, _ := cutSqueeze(file)
	ext := filepath.Ext(plain)
	if !slices.Contains(extensions[f.at.Scheme()], strings.ToLower(ext)) || len(plain) == len(ext) {
		return "", false
	}
	return plain[:len(plain)-len(ext)], true
}

func (f *folder) isCompanion(name string) bool {
	return f.at.Scheme() == "dbf" && slices.Contains(companions, strings.ToLower(filepath.Ext(name)))
}

func (l *listing) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// table returns the parts of a table as they are now.
func (f *folder) table(name string) ([]*part, error) {
	l, err := f.list()
	if err != nil {
		return nil, err
	}
	parts := l.tables[name]
	if parts == nil {
		hint := "the folder has no files of this form"
		if names := l.names(); len(names) > 0 {
			hint = "there are: " + strings.Join(names[:min(len(names), 20)], ", ")
			if meant := sqldb.Nearest(name, names); len(meant) > 0 {
				hint = "did you mean " + meant[0] + "?"
			}
		}
		return nil, tasks.Permanent(tasks.WithHint(nil, hint, "no file of %s holds the table %s", f.path, name))
	}
	return parts, nil
}

// Schema says which tables there are. Of CSV and NDJSON it reads a sample, of DBF the headers.
func (f *folder) Schema(ctx context.Context) (*sqldb.Schema, error) {
	l, err := f.list()
	if err != nil {
		return nil, err
	}
	s := &sqldb.Schema{Dialect: sqldb.Files, Notes: l.notes}
	for _, name := range l.names() {
		d, err := f.form.describe(ctx, l.tables[name])
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		if len(d.columns) == 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("%s is empty and is left out.", l.tables[name][0].name))
			continue
		}
		s.Tables = append(s.Tables, sqldb.Table{Name: name, Columns: d.columns, Rows: d.rows, Place: true, Notes: d.notes})
	}
	return s, nil
}

// unreadable is the error of a file that cannot be opened.
func unreadable(err error, path string) error {
	return tasks.WithHint(err, "see that it is there and that stint may read it", "%s cannot be read", path)
}
