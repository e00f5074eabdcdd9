package sqldb

import (
	"context"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Introspect says what a database holds. With only, it says so of these tables alone: names as FullName gives them, with
// SQLite in any case; a name that is not there is an error whose hint lists those that look like it.
//
// Tables of stint's own (stint_...), of the database itself and of extensions are never listed. What a migration leaves out
// (views, triggers, checks, virtual tables) is named in Views and Notes, never dropped silently. Reading is one snapshot.
func Introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	s, err := db.Dialect.words().introspect(ctx, db, only)
	if err != nil {
		return nil, err
	}
	s.Tables = SortTables(s.Tables)
	return s, nil
}

// introspectFiles chooses among the tables of a folder.
func introspectFiles(ctx context.Context, db *DB, only []string) (*Schema, error) {
	s, err := db.Files.Schema(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(s.Tables))
	for i := range s.Tables {
		names[i] = s.Tables[i].Name
	}
	wanted, err := selectTables(Files, names, only)
	if err != nil {
		return nil, err
	}
	chosen := *s
	chosen.Tables = nil
	for _, t := range s.Tables {
		if wanted[t.Name] {
			chosen.Tables = append(chosen.Tables, t)
		}
	}
	return &chosen, nil
}

// selectTables returns which of the names are wanted: all of them when only is empty.
func selectTables(d Dialect, names, only []string) (map[string]bool, error) {
	wanted := make(map[string]bool, len(names))
	if len(only) == 0 {
		for _, name := range names {
			wanted[name] = true
		}
		return wanted, nil
	}
	exact := make(map[string]bool, len(names))
	folded := make(map[string]string, len(names))
	for _, name := range names {
		exact[name] = true
		folded[strings.ToLower(name)] = name
	}
	for _, name := range only {
		found, ok := name, exact[name]
		if !ok && d.words().foldsNames() {
			found, ok = folded[strings.ToLower(name)]
		}
		if !ok {
			return nil, noSuchTable(name, names)
		}
		wanted[found] = true
	}
	return wanted, nil
}

func noSuchTable(name string, names []string) error {
	hint := "the database holds no tables"
	if near := nearest(name, names); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	} else if len(names) > 0 {
		hint = "there are: " + strings.Join(names[:min(len(names), 10)], ", ")
		if len(names) > 10 {
			hint += ", ..."
		}
	}
	return tasks.Permanent(tasks.WithHint(nil, hint, "there is no table %q", name))
}
