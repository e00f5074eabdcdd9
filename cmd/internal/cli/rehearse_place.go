package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// place is a scratch target.
type place struct {
	database
	given bool // it was named by --to: it is emptied, not taken away
	// away takes away what was made; nil where there is nothing to be taken away.
	away func(ctx context.Context) error
}

// look finds out what the plan's own target is: the scratch is of its kind, and gets its tables.
func (re *rehearsal) look(ctx context.Context) error {
	if re.m.plan == nil || re.m.plan.Target == "" || re.api != nil {
		return nil
	}
	model, err := re.entry(re.m, "target", re.m.plan.Target)
	if err != nil {
		if re.scratch != "" { // which kind the scratch is of is said
			re.res.Notes = append(re.res.Notes, fmt.Sprintf("the target of the plan, %s, is not known here: the scratch has the tables that the plan would make", re.m.plan.Target))
			return nil
		}
		return err
	}
	if model.at.IsDatabase() {
		re.model = &model
	}
	return nil
}

// places finds or makes the two scratch targets. What holds somebody's tables is refused.
func (re *rehearsal) places(ctx context.Context) error {
	if re.api != nil {
		return re.apiPlaces(ctx)
	}
	beside := re.model
	if re.scratch != "" {
		given, err := re.database("--to", re.scratch)
		if err != nil {
			return err
		}
		switch {
		case !given.at.IsDatabase():
			return usage(tasks.WithHint(nil, "name an empty database: sqlite:FILE, postgres://... or mysql://...", "--to %s: a rehearsal goes into a database, so that its rows can be compared", given.at))
		case given.at.ID() == re.from.at.ID() || sameFile(given.at.Path(), re.from.at.Path()):
			return usage(tasks.WithHint(nil, "name an empty database", "--to is the source"))
		case re.model != nil && (given.at.ID() == re.model.at.ID() || sameFile(given.at.Path(), re.model.at.Path())):
			return usage(tasks.WithHint(nil, "name an empty database, or leave --to away: a scratch is then made", "--to is the target of the plan"))
		}
		beside = &given
		re.disturbed = &place{database: given, given: true}
	}
	dialect := sqldb.SQLite
	if beside != nil {
		dialect = beside.at.Dialect
	}
	if re.m.plan == nil {
		if err := re.expectTables(ctx, dialect); err != nil {
			return err
		}
	}
	return re.openPlaces(ctx, beside)
}

// openPlaces makes the scratches that are not given. One that is refused leaves nothing behind.
func (re *rehearsal) openPlaces(ctx context.Context, beside *database) error {
	var err error
	if re.disturbed == nil {
		if re.disturbed, err = re.makePlace(ctx, beside, ""); err != nil {
			return err
		}
	}
	if err := re.mayEmpty(ctx, re.disturbed); err != nil {
		return err
	}
	if re.calm, err = re.makePlace(ctx, beside, "_calm"); err == nil {
		err = re.mayEmpty(ctx, re.calm)
	}
	if err != nil && !re.disturbed.given {
		err = errors.Join(err, re.disturbed.away(ctx))
	}
	return err
}

// makePlace makes a scratch: files beside a file, else in the data folder; on a server a database or a schema.
func (re *rehearsal) makePlace(ctx context.Context, beside *database, suffix string) (*place, error) {
	if beside == nil || beside.at.Dialect == sqldb.SQLite {
		dir, name := filepath.Join(re.config.Data, "rehearsals"), re.id+suffix+".db"
		if beside != nil && beside != re.model {
			path := beside.at.Path()
			ext := filepath.Ext(path)
			dir, name = filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), ext)+suffix+ext
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, tasks.WithHint(err, "choose another folder with --data, or a scratch with --to", "there is no room for a scratch")
		}
		file := filepath.Join(dir, name)
		d, err := re.database("scratch", "sqlite:"+file)
		return &place{database: d, away: func(context.Context) error { return removeSQLite(file) }}, err
	}
	name := "stint_rehearsal_" + re.id + suffix
	admin, err := beside.open(ctx, false)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	s, err := sqldb.MakeScratch(ctx, admin, name)
	if err != nil {
		return nil, err
	}
	p := &place{away: func(ctx context.Context) error {
		admin, err := beside.open(ctx, false)
		if err != nil {
			return err
		}
		defer admin.Close()
		return sqldb.DropScratch(ctx, admin, name, s)
	}}
	if table := re.namesSchema(); s.Schema && table != "" {
		return nil, usage(tasks.WithHint(p.away(ctx), "let this user make databases, or name an empty database with --to",
			"the scratch can only be a schema here, and %s has a schema of its own", table))
	}
	if p.at, err = sqldb.ParseURL(s.URL); err != nil {
		return nil, err
	}
	p.name, err = app.KeepConnection(re.config.Data, s.URL, p.at)
	return p, err
}

func removeSQLite(file string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// mayEmpty refuses a scratch that holds what is not a rehearsal's own.
func (re *rehearsal) mayEmpty(ctx context.Context, p *place) error {
	db, err := p.open(ctx, false)
	if err != nil {
		return err
	}
	defer db.Close()
	tables, owner, err := sqldb.ScratchOf(ctx, db)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(tables), func(t string) bool {
		return owner != "" && (strings.HasPrefix(t, "stint_") || slices.ContainsFunc(re.expected, func(e string) bool { return strings.EqualFold(e, t) }))
	})
	const hint = "name an empty database, or leave --to away: a scratch is then made"
	switch {
	case len(tables) == 0, len(others) == 0 && owner == re.name:
		return nil
	case len(others) == 0:
		return usage(tasks.WithHint(nil, hint+"; --name "+owner+" would take it over", "the scratch %s is that of the rehearsal %s", p.at, owner))
	}
	return usage(tasks.WithHint(nil, hint, "%s holds tables: %s", p.at, listed(others, 3)))
}

// listed names the first of a list.
func listed(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// prepare empties a scratch and gives it the tables that the plan's target has.
func (re *rehearsal) prepare(ctx context.Context, p *place) error {
	if err := re.mayEmpty(ctx, p); err != nil { // somebody may have come meanwhile
		return err
	}
	db, err := p.open(ctx, false)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := sqldb.ClaimScratch(ctx, db, re.name); err != nil {
		return err
	}
	if re.model == nil || re.model.at.Dialect == sqldb.SQLite && !exists(re.model.at.Path()) {
		return nil
	}
	model, err := re.model.open(ctx, true)
	if err != nil {
		return err
	}
	defer model.Close()
	return re.copyTables(ctx, model, db)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// copyTables makes the tables that the plan's stages write into as the model has them, without rows and foreign keys.
func (re *rehearsal) copyTables(ctx context.Context, model, db *sqldb.DB) error {
	schema, err := sqldb.Introspect(ctx, model, nil)
	if err != nil {
		return err
	}
	if schema.Dialect != db.Dialect {
		schema, _ = sqldb.MapSchema(schema, db.Dialect)
	}
	if err := sqldb.EnsureTypes(ctx, db, schema.Enums); err != nil {
		return err
	}
	re.leftOut = map[string][]string{}
	for i := range schema.Tables {
		t := &schema.Tables[i]
		if !slices.Contains(re.expected, t.FullName()) {
			continue
		}
		t.ForeignKeys, t.LastValue = nil, nil
		if err := sqldb.EnsureTable(ctx, db, t); err != nil {
			return err
		}
		if _, err := sqldb.FinishTable(ctx, db, t); err != nil {
			return err
		}
		for j := range re.m.plan.Stages {
			if s := &re.m.plan.Stages[j]; s.To.Table == t.FullName() {
				re.leftOut[t.FullName()] = ownColumns(s, t)
			}
		}
	}
	re.leaveReferences()
	return nil
}

// leaveReferences leaves columns out that hold ids which the target gives, otherwise in each run.
func (re *rehearsal) leaveReferences() {
	given := map[string]bool{} // stages
	for i := range re.m.plan.Stages {
		s := &re.m.plan.Stages[i]
		id := s.To.ID
		if id == "" && len(s.To.Key) == 1 {
			id = s.To.Key[0]
		}
		given[s.Name] = slices.Contains(re.leftOut[s.To.Table], id)
	}
	for i := range re.m.plan.Stages {
		s := &re.m.plan.Stages[i]
		for _, a := range s.Map {
			for name, moves := range given {
				if moves && (strings.Contains(a.Expr, `"`+name+`"`) || strings.Contains(a.Expr, "'"+name+"'")) && !slices.Contains(re.leftOut[s.To.Table], a.Column) {
					re.leftOut[s.To.Table] = append(re.leftOut[s.To.Table], a.Column)
				}
			}
		}
	}
}

// leavePlaces takes away what was made, unless it is to be looked at. What was given is left empty.
func (re *rehearsal) leavePlaces(ctx context.Context, err *error) {
	if re.keep || len(re.res.Tables) > 0 && !re.res.Equal {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	for _, p := range []*place{re.disturbed, re.calm} {
		if p.given {
			errs = append(errs, p.leaveEmpty(ctx))
		} else {
			errs = append(errs, p.away(ctx))
		}
	}
	if e := errors.Join(errs...); e != nil && *err == nil {
		*err = e
	}
}

func (p *place) leaveEmpty(ctx context.Context) error {
	db, err := p.open(ctx, false)
	if err != nil {
		return err
	}
	defer db.Close()
	return sqldb.EmptyScratch(ctx, db)
}
