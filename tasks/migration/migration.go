// Package migration moves a database into another: tables, rows, keys, indexes, foreign keys and sequences. It offers two
// families: migrations, and verifications that prove a migration row by row.
//
// A migration has these stages:
//
//	schema            makes stint's ledger and every table in the target, with primary keys; a step for each table
//	load:<table>      a step for each chunk of rows; each batch commits together with its row of the ledger
//	indexes           unique keys, indexes and sequences, once all rows are there; a step for each table
//	foreign keys      added and validated; SQLite has them since its tables were made, and they are checked
//
// With a plan a load stage is one of the plan's, and there may be
//
//	again:<stage>     tries the rows again that referred to rows which were not there yet
//	files:<stage>     writes the manifest of the files, and joins them where the plan wants one
//	verify:<stage>    makes the rows again, chunk by chunk, and compares them with the target
//	extras:<table>    looks for rows that only the target has, where that needs a look of its own
//	verified          compares once more what differed; when it still does the migration has failed
//
// What a step did is read from the target itself: from its ledger, or from its catalog. So the loss of the queue, of the
// store, or of a worker at any moment changes nothing in the result.
package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// Kind is the word for jobs of this family.
const Kind = "migration"

// Stages of a migration. Those of the rows are named after their tables.
const (
	stageSchema      = "schema"
	stageLoad        = "load:"
	stageAgain       = "again:" // tries the rows again that referred to rows which were not there yet
	stageFiles       = "files:" // writes the manifest of the files
	stageIndexes     = "indexes"
	stageForeignKeys = "foreign keys"
)

// DefaultChunkRows is how many rows a step covers when the spec does not say.
const DefaultChunkRows = 10_000

// Spec says what to move where. Databases are named, never addressed: only a worker's configuration knows what a name means.
type Spec struct {
	Source    string   `json:"source"`               // a connection's name
	Target    string   `json:"target"`               // a connection's name
	Tables    []string `json:"tables,omitempty"`     // empty means all
	ChunkRows int      `json:"chunk_rows,omitempty"` // rows of a step; 0 means DefaultChunkRows
	BatchRows int      `json:"batch_rows,omitempty"` // rows of a transaction; 0 means the loader's default
	// Plan says what is moved, and how; nil moves tables as they are.
	Plan *plan.Plan `json:"plan,omitempty"`
	// State is the connection of the database that keeps stint's own tables; "" means the plan's, or the target.
	State string `json:"state,omitempty"`
	// IDs is the connection of the Redis that keeps the ids of a plan with ids:; "" means the plan's.
	IDs string `json:"ids,omitempty"`
	// Again names a migration: the rows that it has set aside are tried again, by the plan as it is here.
	Again string `json:"again,omitempty"`
	// KeepRows keeps a hash of each row in the database of stint's own tables, so that a catch-up can tell later what has changed.
	KeepRows bool `json:"keep_rows,omitempty"`
}

// state returns the connection of the database that keeps stint's own tables.
func (s *Spec) state() string {
	switch {
	case s.State != "":
		return s.State
	case s.Plan != nil && s.Plan.State != "":
		return s.Plan.State
	}
	return s.Target
}

// planned returns the plan's stage of a stage that is named after one, nil without a plan.
func (s *Spec) planned(stage string) *plan.Stage {
	if s.Plan == nil {
		return nil
	}
	_, name, _ := strings.Cut(stage, ":")
	return s.Plan.Stage(name)
}

// parseSpec reads a job's spec.
func parseSpec(job tasks.Job) (Spec, error) {
	var s Spec
	if err := json.Unmarshal(job.Spec, &s); err != nil {
		return s, tasks.Permanent(fmt.Errorf("read the spec of job %s: %w", job.ID, err))
	}
	if s.Target == "" && s.Plan != nil && s.Plan.FilesOnly() {
		s.Target = plan.Artifacts
	}
	if s.Source == "" || s.Target == "" {
		return s, tasks.Permanent(tasks.WithHint(nil, "name two connections", "the spec of job %s lacks source or target", job.ID))
	}
	if s.ChunkRows <= 0 {
		s.ChunkRows = DefaultChunkRows
	}
	return s, nil
}

// Family carries out migrations.
type Family struct {
	dbs   *Databases
	sinks *sinks
	plans sync.Map // what a stage was compiled to, by job and stage
}

// New makes the family on a process' databases.
func New(dbs *Databases) *Family { return &Family{dbs: dbs, sinks: newSinks(dbs)} }

// Kind returns the family's word.
func (f *Family) Kind() string { return Kind }

// enter waits for what an attempt takes: one connection to read from, another to write to, and by a plan one more to look ids up.
func (f *Family) enter(ctx context.Context, spec Spec) (leave func(), err error) {
	if spec.Plan != nil {
		return f.dbs.enter(ctx, use{spec.Source, true, 1}, use{spec.state(), false, 2})
	}
	return f.dbs.enter(ctx, use{spec.Source, true, 1}, use{spec.Target, false, 1})
}

// tableDetail is what a load stage knows of its table.
type tableDetail struct {
	Source sqldb.Table `json:"source"`
	Target sqldb.Table `json:"target"`
}

// schemaDetail is what the other stages know.
type schemaDetail struct {
	Tables   []sqldb.Table   `json:"tables"`            // of the target
	Sources  []string        `json:"sources,omitempty"` // their names in the source
	Enums    []sqldb.Enum    `json:"enums,omitempty"`
	Loads    []string        `json:"loads,omitempty"` // the load stages that must be complete
	Planned  bool            `json:"planned,omitempty"`
	Findings []tasks.Finding `json:"findings,omitempty"`
}

// Plan reads the source's schema and says what the target's will be. It writes nothing.
func (f *Family) Plan(ctx context.Context, job tasks.Job) ([]tasks.Stage, error) {
	spec, err := parseSpec(job)
	if err != nil {
		return nil, err
	}
	leave, err := f.enter(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer leave()
	src, err := f.dbs.source(ctx, spec.Source)
	if err != nil {
		return nil, err
	}
	if spec.Plan != nil {
		return f.planStages(ctx, job, spec, src)
	}
	dst, err := f.dbs.target(ctx, spec.Target)
	if err != nil {
		return nil, err
	}
	p, err := Draft(ctx, src, dst.Dialect, spec.Tables)
	if err != nil {
		return nil, err
	}
	if spec.Again != "" {
		return p.againStages()
	}
	return p.stages()
}

// againStages are the stages of a job that tries rows again which another has set aside: the tables as they are.
func (p *Plan) againStages() ([]tasks.Stage, error) {
	if p.To == sqldb.MySQL {
		return nil, tasks.Permanent(tasks.WithHint(nil, "mend the source, and migrate the table into a new database", "rows cannot be sent again into MariaDB or MySQL"))
	}
	b := &stageList{}
	b.add(stageSchema, nil, schemaDetail{Planned: true}, 0)
	before := []string{stageSchema}
	for _, t := range p.Tables { // parents before children
		name := stageAgain + t.Source.FullName()
		b.add(name, before, tableDetail(t), 0)
		before = []string{name}
	}
	return b.stages, b.err
}

// stages turns a draft into stages.
func (p *Plan) stages() ([]tasks.Stage, error) {
	var all, keyed, referring schemaDetail
	all.Findings, all.Enums = p.Findings(), p.Enums
	for _, t := range p.Tables {
		all.Tables = append(all.Tables, t.Target)
		all.Sources = append(all.Sources, t.Source.FullName())
		keyed.Tables = append(keyed.Tables, t.Target)
		if len(t.Target.ForeignKeys) > 0 {
			referring.Tables = append(referring.Tables, t.Target)
		}
	}
	b := &stageList{}
	b.add(stageSchema, nil, all, 0)
	var loads []string
	for _, t := range p.Tables {
		name := stageLoad + t.Source.FullName()
		b.add(name, []string{stageSchema}, tableDetail(t), t.Source.Rows)
		loads = append(loads, name)
	}
	keyed.Loads = loads
	if len(loads) == 0 {
		loads = []string{stageSchema}
	}
	b.add(stageIndexes, loads, keyed, 0)
	b.add(stageForeignKeys, []string{stageIndexes}, referring, 0)
	return b.stages, b.err
}

type stageList struct {
	stages []tasks.Stage
	err    error
}

func (b *stageList) add(name string, after []string, detail any, rows int64) {
	body, err := json.Marshal(detail)
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("encode stage %s: %w", name, err))
	}
	b.stages = append(b.stages, tasks.Stage{Name: name, After: after, Detail: body, Rows: rows})
}
