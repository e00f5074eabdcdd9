package migration

import (
	"context"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Plan is what a migration without a hand-written plan will do.
type Plan struct {
	From   sqldb.Dialect
	To     sqldb.Dialect
	Tables []PlannedTable // parents before children
	Enums  []sqldb.Enum   // types that the target needs
	Views  []string       // left out
	Notes  []string       // what is left out or changed on the way, in sentences
}

// PlannedTable is a table of the source, and what it will be in the target.
type PlannedTable struct {
	Source sqldb.Table
	Target sqldb.Table
}

// Draft reads a source and says what would be made of it in a target of the given dialect. Tables selects some; none means
// all. It writes nothing.
func Draft(ctx context.Context, src *sqldb.DB, to sqldb.Dialect, tables []string) (*Plan, error) {
	from, err := sqldb.Introspect(ctx, src, tables)
	if err != nil {
		return nil, err
	}
	target, notes := sqldb.MapSchema(from, to)
	p := &Plan{From: src.Dialect, To: to, Views: from.Views, Enums: target.Enums, Notes: notes} // those of the source are among them
	for i := range from.Tables {
		p.Tables = append(p.Tables, PlannedTable{from.Tables[i], target.Tables[i]})
	}
	return p, nil
}

// Findings are what the report says about the plan.
func (p *Plan) Findings() []tasks.Finding {
	var list []tasks.Finding
	for _, n := range p.Notes {
		list = append(list, tasks.Finding{Level: tasks.LevelNote, Message: n})
	}
	return list
}

// Walk is the order in which the source's table is read.
func (t *PlannedTable) Walk() sqldb.Walk { return sqldb.WalkOf(&t.Source) }
