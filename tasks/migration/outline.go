package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// Outline is a plan as people and scripts read it; its JSON is a contract.
type Outline struct {
	Name   string         `yaml:"name" json:"name"`
	Source string         `yaml:"source" json:"source"` // the address, without its secrets
	Target string         `yaml:"target" json:"target"`
	Stages []OutlineStage `yaml:"stages" json:"stages"`
	Notes  []string       `yaml:"notes,omitempty" json:"notes,omitempty"`
	Plan   *plan.Plan     `yaml:"-" json:"plan,omitempty"` // the same as a plan to edit
}

// OutlineStage is one table of an Outline.
type OutlineStage struct {
	Name        string          `yaml:"name" json:"name"`
	From        OutlineFrom     `yaml:"from" json:"from"`
	Rows        int64           `yaml:"rows" json:"rows"`
	To          OutlineTo       `yaml:"to" json:"to"`
	Map         []OutlineColumn `yaml:"columns" json:"columns"`
	Indexes     int             `yaml:"indexes" json:"indexes"` // unique keys included
	ForeignKeys int             `yaml:"foreign_keys" json:"foreign_keys"`
}

// OutlineFrom is what a table is read by.
type OutlineFrom struct {
	Table string   `yaml:"table" json:"table"`
	Key   []string `yaml:"key,flow" json:"key"`
	Walk  string   `yaml:"walk" json:"walk"`
}

// OutlineTo is where a table goes.
type OutlineTo struct {
	Table string   `yaml:"table" json:"table"`
	Mode  string   `yaml:"mode" json:"mode"`
	Key   []string `yaml:"key,flow,omitempty" json:"key,omitempty"`
}

// OutlineColumn is what becomes of a column.
type OutlineColumn struct {
	Name string `yaml:"name" json:"name"`
	From string `yaml:"from" json:"from"`
	To   string `yaml:"to" json:"to"`
	Null bool   `yaml:"null" json:"null"`
}

// Outline makes the plan readable; from and to are addresses without secrets.
func (p *Plan) Outline(from, to string) Outline {
	v := Outline{Name: "migration", Source: from, Target: to, Stages: []OutlineStage{}}
	for _, t := range p.Tables {
		walk := t.Walk()
		s := OutlineStage{Name: t.Source.FullName(), Rows: t.Source.Rows, From: OutlineFrom{Table: t.Source.FullName(), Key: walk.Columns, Walk: string(walk.Kind)},
			To: OutlineTo{Table: t.Target.FullName(), Mode: "insert"}, Indexes: len(t.Target.Indexes) + len(t.Target.Uniques), ForeignKeys: len(t.Target.ForeignKeys)}
		if t.Target.PrimaryKey != nil {
			s.To.Key = t.Target.PrimaryKey.Columns
		}
		for i, col := range t.Source.Columns {
			target := t.Target.Columns[i]
			s.Map = append(s.Map, OutlineColumn{Name: target.Name, From: col.Type, To: target.Type, Null: !target.NotNull})
		}
		v.Stages = append(v.Stages, s)
	}
	for _, f := range p.Findings() {
		v.Notes = append(v.Notes, f.Message)
	}
	v.Plan = p.editable()
	return v
}

// editable makes a plan of what would be done without one.
func (p *Plan) editable() *plan.Plan {
	out := &plan.Plan{Name: "migration", Verify: plan.Verify{Rows: "all"}, Policy: plan.Policy{OnReject: plan.OnRejectQuarantine}}
	for _, t := range p.Tables {
		s := plan.Stage{Name: t.Source.FullName(), From: plan.From{Table: t.Source.FullName()}, To: plan.To{Table: t.Target.FullName(), Mode: plan.ModeInsert}}
		if walk := t.Walk(); walk.Kind == sqldb.WalkKey {
			s.From.Key = walk.Columns
		}
		if t.Target.PrimaryKey != nil {
			s.To.Key = t.Target.PrimaryKey.Columns
		}
		for i, c := range t.Source.Columns {
			s.Map = append(s.Map, plan.Assignment{Column: t.Target.Columns[i].Name, Expr: expression.Name(c.Name)})
		}
		out.Stages = append(out.Stages, s)
	}
	return out
}

// Check looks at a spec before a job is made of it.
func (f *Family) Check(spec json.RawMessage) error {
	var s Spec
	if err := strictly(spec, &s); err != nil {
		return err
	}
	if s.ChunkRows < 0 || s.BatchRows < 0 {
		return tasks.WithHint(nil, "leave them away for the defaults", "chunk_rows and batch_rows: give a positive number")
	}
	if s.Plan != nil {
		if len(s.Tables) > 0 {
			return tasks.WithHint(nil, "leave tables away: the plan's stages say what is moved", "a plan and tables cannot both be given")
		}
		if problems := s.Plan.Check(); len(problems) > 0 {
			return tasks.WithHint(problems, "docs/plans.md has the form of a plan", "the plan is not right")
		}
	} else if s.KeepRows {
		return tasks.WithHint(nil, "give a plan; stint plan writes one of tables as they are", "keep_rows needs a plan")
	}
	return twoDatabases(s.Source, s.Target)
}

// Check looks at a spec before a job is made of it.
func (f *Verifier) Check(spec json.RawMessage) error {
	var s VerifySpec
	if err := strictly(spec, &s); err != nil {
		return err
	}
	if s.Plan != nil {
		if len(s.Tables) > 0 {
			return tasks.WithHint(nil, "leave tables away: the plan's stages say what is compared", "a plan and tables cannot both be given")
		}
		if problems := s.Plan.Check(); len(problems) > 0 {
			return tasks.WithHint(problems, "docs/plans.md has the form of a plan", "the plan is not right")
		}
	} else if s.Rows != "" || s.State != "" || s.IDs != "" {
		return tasks.WithHint(nil, "leave rows, state and ids away, or give the plan", "rows, state and ids are for what a plan has loaded")
	}
	compare, share, err := plan.Verify{Rows: s.Rows}.Share()
	switch {
	case err != nil || !compare:
		return tasks.WithHint(err, "all, sample: 1% or count", "rows: nothing would be compared")
	case s.Repair != "" && s.Repair != RepairRows && s.Repair != RepairDelete:
		return tasks.WithHint(nil, "rows mends rows that are missing or differ, delete also deletes those that only the target has", "repair: %q is not known", s.Repair)
	case s.Repair != "" && share < 1:
		return tasks.WithHint(nil, "compare all rows", "only what is compared as a whole can be mended")
	}
	return twoDatabases(s.Source, s.Target)
}

func twoDatabases(source, target string) error {
	switch {
	case source == "" || target == "":
		return tasks.WithHint(nil, "name two connections of the configuration", "the spec lacks source or target")
	case source == target:
		return tasks.WithHint(nil, "name two connections of the configuration", "source and target are the same connection, %s", source)
	}
	return nil
}

// strictly reads a spec, and does not pass over a key that it does not know.
func strictly(spec json.RawMessage, into any) error {
	if err := tasks.DecodeStrictly(spec, into); err != nil {
		return tasks.WithHint(err, "docs/cli-json.md has the form of a spec", "the spec cannot be read")
	}
	return nil
}

// Draft reads the source's schema, and the target's where it is there, and says what a migration would do. It writes nothing.
func (f *Family) Draft(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
	spec, err := parseSpec(job)
	if err != nil {
		return nil, err
	}
	if spec.Plan != nil {
		return f.dryRun(ctx, job, spec)
	}
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
	p, err := Draft(ctx, src, to.Dialect, spec.Tables)
	if err != nil {
		return nil, err
	}
	if path := to.Path(); path != "" { // looking must not make the file
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return json.Marshal(p.Outline(from.Redacted(), to.Redacted()))
		}
	}
	dst, err := f.dbs.source(ctx, spec.Target)
	if err != nil {
		return nil, err
	}
	for _, t := range p.Tables {
		if there, err := sqldb.HasTable(ctx, dst, &t.Target); err != nil {
			return nil, err
		} else if !there {
			continue
		}
		if err := sqldb.CheckTarget(ctx, dst, &t.Target); err != nil {
			return nil, err
		}
	}
	return json.Marshal(p.Outline(from.Redacted(), to.Redacted()))
}

// Rejects lists the rows that a migration has set aside, from the quarantine in its target. The cursor counts rows.
func (f *Family) Rejects(ctx context.Context, job tasks.Job, after string, limit int) ([]json.RawMessage, string, error) {
	spec, err := parseSpec(job)
	if err != nil {
		return nil, "", err
	}
	skip := 0
	if after != "" {
		if skip, err = strconv.Atoi(after); err != nil || skip < 0 {
			return nil, "", tasks.Permanent(tasks.WithHint(nil, "take the cursor of the page before", "%q is no cursor", after))
		}
	}
	dst, err := f.dbs.source(ctx, spec.state())
	if err != nil {
		return nil, "", err
	}
	rows, err := sqldb.Quarantine(ctx, dst, job.ID, "", skip, limit)
	if err != nil {
		return nil, "", err
	}
	page := make([]json.RawMessage, 0, len(rows))
	for _, r := range rows {
		body, err := json.Marshal(r)
		if err != nil {
			return nil, "", fmt.Errorf("encode row: %w", err)
		}
		page = append(page, body)
	}
	if len(rows) < limit {
		return page, "", nil
	}
	return page, strconv.Itoa(skip + limit), nil
}

// Key names the databases and tables of a migration, wherever their connections are called what: the same migration finds its
// ledger again even when everything but the target was lost.
func (f *Family) Key(job tasks.Job) (string, error) {
	spec, err := parseSpec(job)
	if err != nil {
		return "", err
	}
	from, err := f.dbs.locate(spec.Source)
	if err != nil {
		return "", err
	}
	to, err := f.dbs.locate(spec.Target)
	if err != nil {
		return "", err
	}
	if from.ID() == to.ID() {
		return "", tasks.Permanent(tasks.WithHint(nil, "name two databases", "source and target are the same database: %s", from))
	}
	tables := slices.Clone(spec.Tables)
	slices.Sort(tables)
	parts := append([]string{from.ID(), to.ID()}, slices.Compact(tables)...)
	if spec.Plan == nil && spec.Again != "" {
		parts = append(parts, "", spec.Again)
	}
	if spec.Plan != nil { // another plan is another migration
		body, err := json.Marshal(spec.Plan)
		if err != nil {
			return "", tasks.Permanent(fmt.Errorf("encode the plan: %w", err))
		}
		parts = append(parts, string(body), spec.Again)
		if spec.KeepRows { // what was not kept from the beginning cannot be kept later
			parts = append(parts, "keep rows")
		}
	}
	return strings.Join(parts, "\x00"), nil
}

// Comments are what a rendered plan says beside its entries, by their paths.
func (v *Outline) Comments() map[string]string {
	out := map[string]string{}
	for i, s := range v.Stages {
		path := fmt.Sprintf("stages[%d]", i)
		out[path+".name"] = fmt.Sprintf("%d rows, walked by %s", s.Rows, s.From.Walk)
		for _, c := range s.Map {
			null := ""
			if !c.Null {
				null = " NOT NULL"
			}
			out[path+".map."+c.Name] = c.From + " -> " + c.To + null
		}
	}
	return out
}
