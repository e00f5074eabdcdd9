package migration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// drafted is a plan that was compiled against its databases.
type drafted struct {
	plan   *plan.Plan
	stages []draftedStage
	notes  []string
	enums  []sqldb.Enum
	live   bool // the source is written to: what differs is brought by rounds
}

// draftedStage is a stage with its two ends.
type draftedStage struct {
	detail stageDetail
	mapped *mapped
	fresh  bool // the target's table is not there yet
	lame   bool // there is nothing by which its rows could be walked; with that no plan is drafted
}

// stageDetail is what a stage of a plan is frozen with, so that every worker reads and writes the same way.
type stageDetail struct {
	Index   int         `json:"index"` // in the plan
	Source  sqldb.Table `json:"source"`
	Walk    sqldb.Walk  `json:"walk"`
	Key     []string    `json:"key,omitempty"` // of the source: what names a row
	Target  sqldb.Table `json:"target"`
	Made    bool        `json:"made,omitempty"`    // the target's table is this migration's own, and was not there before
	IDs     string      `json:"ids,omitempty"`     // the column whose values other stages look up; "" when none does
	IDType  string      `json:"id_type,omitempty"` // as expressions know it
	Keeps   bool        `json:"keeps,omitempty"`   // its ids are kept
	Refers  []string    `json:"refers,omitempty"`  // the stages that its rows refer to
	RefType []string    `json:"ref_types,omitempty"`
}

// drafter drafts one plan.
type drafter struct {
	c        *compiler
	src      *sqldb.DB
	dst      *sqldb.DB // nil: an API, files, or a database that is not there yet
	to       sqldb.Dialect
	job      string // may have made tables already; "" for a look
	source   *sqldb.Schema
	target   *sqldb.Schema // of the source's tables, as they would be made
	targets  []*sqldb.Table
	made     []bool
	idTypes  map[string]expression.Type
	visiting map[string]bool
	stages   []draftedStage
	notes    []string
}

// draftPlan compiles a plan against its databases. It writes nothing. The error is plan.Problems, or of a database.
func draftPlan(ctx context.Context, p *plan.Plan, src, dst *sqldb.DB, to sqldb.Dialect, job string) (*drafted, error) {
	d := &drafter{c: newCompiler(p), src: src, dst: dst, to: to, job: job, idTypes: map[string]expression.Type{}, visiting: map[string]bool{}}
	d.stages = make([]draftedStage, len(p.Stages))
	d.targets, d.made = make([]*sqldb.Table, len(p.Stages)), make([]bool, len(p.Stages))
	if err := d.sources(ctx); err != nil {
		return nil, err
	}
	if err := d.findTargets(ctx); err != nil {
		return nil, err
	}
	for i := range p.Stages {
		if d.stages[i].detail.Source.Name != "" {
			d.compile(i)
		}
	}
	d.keep()
	if len(d.c.problems) > 0 {
		return nil, d.c.problems
	}
	out := &drafted{plan: p, stages: d.stages, notes: d.notes}
	if d.target != nil {
		out.enums = d.target.Enums
	}
	return out, nil
}

// sources finds what each stage reads.
func (d *drafter) sources(ctx context.Context) error {
	var err error
	if d.source, err = sqldb.Introspect(ctx, d.src, nil); err != nil {
		return err
	}
	for i := range d.c.plan.Stages {
		s := &d.c.plan.Stages[i]
		path := fmt.Sprintf("stages[%d].from", i)
		var t sqldb.Table
		if s.From.Query != "" {
			found, err := sqldb.Describe(ctx, d.src, s.Name, s.From.Query)
			if err != nil {
				if !tasks.IsPermanent(err) && tasks.HintOf(err) == "" {
					return err
				}
				d.c.add(path+".query", tasks.HintOf(err), "%s", err)
				continue
			}
			t = *found
		} else {
			at := d.sourceTable(s.From.Table)
			if at == nil {
				d.c.add(path+".table", d.nearTables(s.From.Table), "the source has no table %s", s.From.Table)
				continue
			}
			t = *at
			if t.Where = s.From.Where; t.Where != "" {
				if d.src.Dialect == sqldb.Files {
					d.c.add(path+".where", "leave rows out with filter: an expression", "files cannot be asked by SQL")
					t.Where = ""
				} else {
					t.Rows = 0
					if err := d.tryWhere(ctx, path, &t); err != nil {
						return err
					}
				}
			}
		}
		if col := s.From.Changed; col != "" && t.Column(col) == nil {
			d.c.add(path+".changed", d.c.didYouMean(col, &t), "%s has no column %s", t.FullName(), col)
		}
		d.readAs(s, &t)
		if err := d.walk(ctx, i, s, &t, path); err != nil {
			return err
		}
	}
	return nil
}

// tryWhere tells whether the source takes the condition of a table, and goes on without one that it does not take.
func (d *drafter) tryWhere(ctx context.Context, path string, t *sqldb.Table) error {
	err := sqldb.TryWhere(ctx, d.src, t)
	if _, later := tasks.RetryAfterOf(err); err == nil || later || ctx.Err() != nil {
		return err
	}
	d.c.add(path+".where", "write what may stand behind WHERE in the source's own SQL", "%s", err)
	t.Where = ""
	return nil
}

func (d *drafter) sourceTable(name string) *sqldb.Table {
	for i := range d.source.Tables {
		if d.source.Tables[i].FullName() == name {
			return &d.source.Tables[i]
		}
	}
	for i := range d.source.Tables {
		if strings.EqualFold(d.source.Tables[i].FullName(), name) && d.src.Dialect != sqldb.Postgres {
			return &d.source.Tables[i]
		}
	}
	return nil
}

func (d *drafter) nearTables(name string) string {
	var names []string
	for i := range d.source.Tables {
		names = append(names, d.source.Tables[i].FullName())
	}
	return plan.Near(name, names)
}

// readAs makes columns that expressions want as text come as text. What the plan says of a column's type is no guess.
func (d *drafter) readAs(s *plan.Stage, t *sqldb.Table) {
	t.Columns = slices.Clone(t.Columns)
	for i := range t.Columns {
		c := &t.Columns[i]
		if s.From.As[c.Name] != "" {
			c.Guessed = false
		}
		if s.From.As[c.Name] == "text" && c.Kind != sqldb.KindText && c.Kind != sqldb.KindBytes {
			c.Kind = sqldb.KindOther
		}
	}
}

// walk decides by what the rows of a stage are walked and named.
func (d *drafter) walk(ctx context.Context, i int, s *plan.Stage, t *sqldb.Table, path string) error {
	out := &d.stages[i].detail
	out.Index, out.Source = i, *t
	d.stages[i].lame = true
	walk := sqldb.WalkOf(t)
	key := s.From.Key
	if len(key) == 0 && t.PrimaryKey != nil {
		key = t.PrimaryKey.Columns
	}
	for j, name := range s.From.Key {
		c := t.Column(name)
		if c == nil {
			d.c.add(fmt.Sprintf("%s.key[%d]", path, j), d.c.didYouMean(name, t), "%s has no column %s", t.FullName(), name)
			return nil
		}
		if c.Unordered && !t.Place {
			d.c.add(fmt.Sprintf("%s.key[%d]", path, j), "name other columns; or read the rows by a query, with CAST(... AS CHAR) for it",
				"%s is sorted in another order than it is compared in, so that rows cannot be walked by it", name)
			return nil
		}
	}
	switch {
	case t.Place: // a file's rows are where they are; the key only names them
	case len(s.From.Key) > 0 && !slices.Equal(s.From.Key, walk.Columns):
		n, err := sqldb.CountNulls(ctx, d.src, t, s.From.Key)
		if err != nil {
			return err
		}
		if n > 0 {
			d.c.add(path+".key", "choose columns that are never NULL; or leave those rows out with where, and move them in a stage of their own",
				"%d rows have NULL in (%s), and could not be found by it", n, strings.Join(s.From.Key, ", "))
			return nil
		}
		walk = sqldb.Walk{Kind: sqldb.WalkKey, Columns: slices.Clone(s.From.Key)}
	case walk.Kind != sqldb.WalkKey && t.Where != "":
		d.c.add(path+".key", "name columns that are never NULL", "%s has no key, and with where its rows need one to be walked by", t.FullName())
		return nil
	}
	out.Walk, out.Key = walk, slices.Clone(key)
	d.stages[i].lame = false
	return nil
}

// findTargets finds the tables that rows go to, or makes up those that are not there.
func (d *drafter) findTargets(ctx context.Context) error {
	var there *sqldb.Schema
	if d.dst != nil && d.dst.Dialect != sqldb.Files {
		var err error
		if there, err = sqldb.Introspect(ctx, d.dst, nil); err != nil {
			return err
		}
	}
	for i := range d.c.plan.Stages {
		s := &d.c.plan.Stages[i]
		if s.To.Table == "" {
			continue
		}
		if d.to == sqldb.Records {
			d.c.add(fmt.Sprintf("stages[%d].to.table", i), "write to: {http: ...} for an API, to: {file: ...} for files", "the target has no tables")
			continue
		}
		if there != nil {
			for j := range there.Tables {
				if t := &there.Tables[j]; t.FullName() == s.To.Table || d.to == sqldb.SQLite && strings.EqualFold(t.Name, s.To.Table) {
					d.targets[i] = t
				}
			}
		}
		own := false
		if d.targets[i] != nil && d.job != "" {
			var err error
			if own, err = sqldb.Claimed(ctx, d.dst, d.targets[i], d.job); err != nil {
				return err
			}
		}
		d.made[i] = d.targets[i] == nil || own
	}
	return nil
}

// refType returns the type of the ids that a stage gives to others.
func (d *drafter) refType(stage string) (expression.Type, error) {
	i, err := d.c.plan.Referred(stage)
	if err != nil {
		return expression.Any, err
	}
	s := &d.c.plan.Stages[i]
	if s.To.HTTP != nil {
		return expression.Any, nil
	}
	column := s.To.IDColumn()
	if t := d.targets[i]; t != nil {
		if c := t.Column(column); c != nil {
			return typeOf(sqldb.Postgres, c.Kind), nil
		}
		return expression.Any, fmt.Errorf("the target's table of stage %s has no column %s", stage, column)
	}
	return d.madeType(i, column), nil
}

// madeType returns the type of a column of a table that is made for a stage.
func (d *drafter) madeType(i int, column string) expression.Type {
	name := d.c.plan.Stages[i].Name + "\x00" + column
	if t, ok := d.idTypes[name]; ok || d.visiting[name] {
		return t
	}
	d.visiting[name] = true
	expr, _ := d.c.plan.Stages[i].Map.Get(column)
	quiet := &compiler{plan: d.c.plan, tables: d.c.tables}
	scope := quiet.scopeOf(d.src.Dialect, &d.c.plan.Stages[i], &d.stages[i].detail.Source, d.refType, "")
	t := expression.Any
	if p, err := expression.Compile(expr, scope); err == nil {
		t, _ = p.Type()
	}
	d.idTypes[name] = t
	return t
}

// compile compiles a stage and looks whether it fits its target, which is made up where it is not there.
func (d *drafter) compile(i int) {
	s, out := &d.c.plan.Stages[i], &d.stages[i]
	before, shared := len(d.c.problems), false
	m := d.c.compile(i, d.src.Dialect, &out.detail.Source, out.detail.Walk, out.detail.Key, d.refType)
	out.mapped = m
	for _, stage := range slices.Sorted(maps.Keys(m.refs)) {
		out.detail.Refers = append(out.detail.Refers, stage)
		out.detail.RefType = append(out.detail.RefType, m.refs[stage].String())
	}
	switch {
	case s.To.HTTP != nil && d.to != sqldb.Records:
		d.c.add(fmt.Sprintf("stages[%d].to.http", i), "write to: {table: NAME}, or name an API as the target", "the target is a database")
		return
	case s.To.Table != "" && d.to == sqldb.Records:
		return
	case s.To.Table == "":
		out.detail.Target = recordTable(s.Name, m)
	case d.targets[i] != nil && !d.made[i]:
		out.detail.Target = *d.targets[i] // what does not fit it is told beside what is wrong with expressions
	case len(d.c.problems) > before || out.lame:
		return
	case d.madeBefore(i) != nil:
		out.detail.Target, shared = *d.madeBefore(i), true
	default:
		d.makeTable(i, m)
	}
	out.fresh = d.targets[i] == nil
	out.detail.Made = s.To.Table != "" && d.made[i]
	d.c.check(i, m, &out.detail.Target)
	for _, k := range s.To.Key {
		if s.To.Table != "" && (!out.detail.Made || shared) && s.To.Mode != plan.ModeInsert && s.To.Mode != "" && !sqldb.IsKey(&out.detail.Target, s.To.Key) {
			d.c.add(fmt.Sprintf("stages[%d].to.key", i), "make a unique index over it, or name another key", "(%s) is no key of %s: nothing says that %s names one row",
				strings.Join(s.To.Key, ", "), s.To.Table, k)
			break
		}
	}
}

// madeBefore returns the table that a stage before this one makes for both of them; nil when there is none.
func (d *drafter) madeBefore(i int) *sqldb.Table {
	for j := range i {
		s := &d.c.plan.Stages[j]
		if t := &d.stages[j].detail; t.Made && sameName(d.to == sqldb.SQLite, s.To.Table, d.c.plan.Stages[i].To.Table) {
			return &t.Target
		}
	}
	return nil
}

// sameName reports whether two names are one, where ASCII letters have no case or do.
func sameName(folds bool, a, b string) bool {
	return a == b || folds && lower(a) == lower(b)
}

// lower makes ASCII letters small, and no others.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// recordTable is what the rows of a stage look like that go to an API or into files.
func recordTable(name string, m *mapped) sqldb.Table {
	t := sqldb.Table{Name: name}
	for _, o := range m.outs {
		t.Columns = append(t.Columns, sqldb.Column{Name: o.column, Kind: o.kind, Type: string(o.kind)})
	}
	return t
}

// keep decides whose ids are kept: of stages that others refer to, and of those that say so.
func (d *drafter) keep() {
	for i := range d.stages {
		for j := range d.stages {
			if slices.Contains(d.stages[j].detail.Refers, d.c.plan.Stages[i].Name) {
				d.stages[i].detail.Keeps = true
			}
		}
		s, out := &d.c.plan.Stages[i], &d.stages[i].detail
		out.Keeps = out.Keeps || s.To.ID != "" || s.To.HTTP != nil && s.Each == ""
		if !out.Keeps || d.stages[i].lame || out.Target.Name == "" { // of those with mistakes there is nothing to be told beside them
			continue
		}
		out.IDs = s.To.IDColumn()
		path := fmt.Sprintf("stages[%d]", i)
		if len(out.Key) == 0 {
			d.c.add(path+".from.key", "name the source's columns that name a row", "rows that others refer to, or that an API is sent, need a key")
		}
		if s.To.Table != "" && out.Target.Column(out.IDs) == nil {
			d.c.add(path+".to.id", d.c.didYouMean(out.IDs, &out.Target), "the target %s has no column %s", out.Target.FullName(), out.IDs)
		} else if _, mapped := s.Map.Get(out.IDs); s.To.Table != "" && !mapped && len(s.To.Key) == 0 {
			d.c.add(path+".to.key", "name the target's columns by which a row is found again", "the target gives the ids of %s, and without a key nobody knows which row got which", s.Name)
		}
		d.stages[i].mapped.keeps = out.Keeps
	}
}
