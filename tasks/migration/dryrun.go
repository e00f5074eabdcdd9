package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// DryRun is what a plan would do, tried on the first rows of each stage; its JSON is a contract.
type DryRun struct {
	Name     string        `json:"name"`
	Source   string        `json:"source"` // the address, without its secrets
	Target   string        `json:"target"`
	Problems plan.Problems `json:"problems"` // with any, there are no stages
	Stages   []DryStage    `json:"stages"`
	Notes    []string      `json:"notes,omitempty"`
}

// DryStage is what a stage would do.
type DryStage struct {
	Name     string          `json:"name"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Walk     string          `json:"walk"`           // by what the rows are walked
	Rows     int64           `json:"rows_estimated"` // 0 when unknown
	Made     bool            `json:"made"`           // the target's table would be made
	Refers   []string        `json:"refers,omitempty"`
	Columns  []DryColumn     `json:"columns"`
	Read     int             `json:"rows_tried"`
	Written  int             `json:"rows_written"`
	Skipped  int             `json:"rows_skipped"`
	Rejected int             `json:"rows_rejected"`
	Sample   []sqldb.Preview `json:"sample"`
	Rejects  []sqldb.Preview `json:"rejects"`
}

// DryColumn is a column of the target.
type DryColumn struct {
	Name string `json:"name"`
	Expr string `json:"expression"`
	From string `json:"from"` // the type of the expression
	To   string `json:"to"`   // the type of the column
	Null bool   `json:"null"` // NULLs may come
}

// How much a dry run tries, and shows.
const (
	dryRows   = 1_000
	drySample = 5
	dryBad    = 20
)

// dryRun tries a plan. It writes nothing, and does not make a database that is not there.
func (f *Family) dryRun(ctx context.Context, job tasks.Job, spec Spec) (json.RawMessage, error) {
	from, err := f.dbs.locate(spec.Source)
	if err != nil {
		return nil, err
	}
	to, err := f.dbs.locate(spec.Target)
	if err != nil {
		return nil, err
	}
	src, err := f.dbs.source(ctx, spec.Source)
	if err != nil {
		return nil, err
	}
	dialect := sqldb.Records
	if to.IsDatabase() {
		dialect = to.Dialect
	}
	dst, err := f.ifThere(ctx, spec.Target, to)
	if err != nil {
		return nil, err
	}
	out := &DryRun{Name: spec.Plan.Name, Source: from.Redacted(), Target: to.Redacted(), Stages: []DryStage{}, Problems: plan.Problems{}}
	problems, err := f.misplacedIDs(&spec)
	if err != nil {
		return nil, err
	}
	problems = append(problems, misplaced(spec.Plan, to)...)
	var others plan.Problems
	d, err := draftPlan(ctx, spec.Plan, src, dst, dialect, "")
	if err != nil && !errors.As(err, &others) {
		return nil, err
	}
	if err == nil && spec.KeepRows {
		others = d.keepProblems()
	}
	for _, p := range others { // an entry that is misplaced is so for both
		if !slices.ContainsFunc(problems, func(q plan.Problem) bool { return q.Path == p.Path }) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		out.Problems = problems
		return json.Marshal(out)
	}
	notes, err := f.idNotes(ctx, &spec)
	if err != nil {
		return nil, err
	}
	out.Notes = append(d.notes, notes...)
	state := dst
	if spec.state() != spec.Target {
		at, err := f.dbs.locate(spec.state())
		if err != nil {
			return nil, err
		}
		if state, err = f.ifThere(ctx, spec.state(), at); err != nil {
			return nil, err
		}
	}
	ids, err := f.idsElsewhere(ctx, job, &spec, nil)
	if err != nil {
		return nil, err
	}
	look := func(ctx context.Context, stage string, keys []string) (map[string]string, error) {
		if ids != nil {
			found, _, err := ids.Look(ctx, stage, keys)
			return found, err
		}
		if state == nil {
			return map[string]string{}, nil
		}
		there, err := sqldb.HasTable(ctx, state, &sqldb.Table{Name: "stint_ids"})
		if err != nil || !there {
			return map[string]string{}, err
		}
		return sqldb.LookUpIDs(ctx, state, scopeOfIDs(job, &spec), stage, keys)
	}
	for i := range d.stages {
		s, err := d.try(ctx, i, src, look, dialect)
		if err != nil {
			return nil, fmt.Errorf("try stage %s: %w", d.plan.Stages[i].Name, err)
		}
		out.Stages = append(out.Stages, *s)
	}
	return json.Marshal(out)
}

// ifThere opens a database for reading; nil when it is none, or a file that is not there yet.
func (f *Family) ifThere(ctx context.Context, name string, at sqldb.Location) (*sqldb.DB, error) {
	if !at.IsDatabase() {
		return nil, nil
	}
	if path := at.Path(); path != "" {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return f.dbs.source(ctx, name)
}

// try maps the first rows of a stage. There may be ids of references already.
func (d *drafted) try(ctx context.Context, i int, src *sqldb.DB, there lookIDs, to sqldb.Dialect) (*DryStage, error) {
	p, s := &d.plan.Stages[i], &d.stages[i]
	out := &DryStage{Name: p.Name, From: s.detail.Source.FullName(), Rows: s.detail.Source.Rows, Made: s.detail.Made, Refers: s.detail.Refers,
		Walk: string(s.detail.Walk.Kind), To: destination(p), Sample: []sqldb.Preview{}, Rejects: []sqldb.Preview{}}
	for _, o := range s.mapped.outs {
		t, null := o.prog.Type()
		expr, _ := p.Map.Get(o.column)
		c := s.detail.Target.Column(o.column)
		out.Columns = append(out.Columns, DryColumn{Name: o.column, Expr: expr, From: t.String(), To: c.Type, Null: null && !c.NotNull})
	}
	if p.To.Table == "" {
		to = sqldb.Records
	}
	look := func(ctx context.Context, stage string, keys []string) (map[string]string, error) {
		found, err := there(ctx, stage, keys)
		if err != nil {
			return nil, err
		}
		for _, key := range keys { // what is not loaded yet will be, or its row is set aside then
			if _, ok := found[key]; !ok {
				found[key] = placeholder(s.mapped.refs[stage])
			}
		}
		return found, nil
	}
	b, err := sqldb.NewBatcher(ctx, src, s.mapped.mapping(&s.detail.Target, look), s.detail.Walk, to, nil, nil, sqldb.Limits{Rows: dryRows})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	batch, err := b.Next()
	if err != nil {
		return nil, err
	}
	defer batch.Release()
	sample, bad := batch.Previews(drySample)
	out.Sample = append(out.Sample, sample...)
	out.Read, out.Written, out.Skipped = batch.RowsRead, batch.RowsEncoded, batch.Skipped()
	for _, b := range bad {
		out.Rejected++
		if len(out.Rejects) < dryBad {
			out.Rejects = append(out.Rejects, b)
		}
	}
	return out, nil
}

// placeholder stands for the id of a row that is not loaded yet.
func placeholder(t expression.Type) string {
	switch t {
	case expression.UUID:
		return "00000000-0000-0000-0000-000000000000"
	case expression.Text:
		return "?"
	}
	return "0"
}

func destination(s *plan.Stage) string {
	switch {
	case s.To.HTTP != nil:
		return s.To.HTTP.Method + " " + s.To.HTTP.Path
	case s.To.File != nil:
		return s.To.File.FormatOf(nil).Type + " files"
	}
	return s.To.Table
}
