package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// VerifyKind is the word for jobs that prove a migration.
const VerifyKind = "verification"

const (
	stageRows   = "rows:"   // compares the source's rows, chunk by chunk
	stageExtras = "extras:" // looks for rows that only the target has
)

// What a difference says when a whole row is concerned.
const (
	MissingRow = "the row is missing in the target"
	ExtraRow   = "the row is in the target only"
)

// What a verification may change in the target.
const (
	RepairRows   = "rows"   // rows that are missing are inserted, and those that differ overwritten
	RepairDelete = "delete" // and rows that only the target has are deleted, in tables that the migration has made
)

// VerifySpec says what to compare.
type VerifySpec struct {
	Source    string   `json:"source"` // a connection's name
	Target    string   `json:"target"` // a connection's name
	Tables    []string `json:"tables,omitempty"`
	Job       string   `json:"job,omitempty"`        // the migration whose quarantined rows are not expected in the target
	AnyJob    bool     `json:"any_job,omitempty"`    // without Job: rows that any migration has quarantined are not expected
	ChunkRows int      `json:"chunk_rows,omitempty"` // rows of a step; 0 means 20,000
	// Plan makes what is expected in the target; nil expects tables as they are.
	Plan  *plan.Plan `json:"plan,omitempty"`
	State string     `json:"state,omitempty"` // the connection of stint's own tables; "" means the plan's, or the target
	IDs   string     `json:"ids,omitempty"`   // the connection of the Redis that keeps ids; "" means the plan's
	// Rows says how much is compared, as a plan's verify.rows does; "" means all. Without a plan it is always all.
	Rows string `json:"rows,omitempty"`
	// Repair says what is mended: RepairRows or RepairDelete; "" means nothing, and then nothing is written.
	Repair string `json:"repair,omitempty"`
}

// maxDifferences is how many differences a step names; the rest of its chunk is not compared, and a note says so.
const maxDifferences = 100

// Verifier compares databases row by row. It writes nothing into either, unless it is told to mend the target.
type Verifier struct {
	dbs   *Databases
	plans *Family // compiles plans
}

// NewVerifier makes the family on a process' databases.
func NewVerifier(dbs *Databases) *Verifier { return &Verifier{dbs, New(dbs)} }

// Kind returns the family's word.
func (f *Verifier) Kind() string { return VerifyKind }

func parseVerifySpec(job tasks.Job) (VerifySpec, error) {
	var s VerifySpec
	if err := json.Unmarshal(job.Spec, &s); err != nil {
		return s, tasks.Permanent(fmt.Errorf("read the spec of job %s: %w", job.ID, err))
	}
	if s.ChunkRows <= 0 {
		s.ChunkRows = 20_000
	}
	if s.AnyJob && s.Job == "" {
		s.Job = sqldb.AnyJob
	}
	return s, nil
}

// Plan reads both schemas. A table that the target lacks is an error: there is nothing to compare it with.
func (f *Verifier) Plan(ctx context.Context, job tasks.Job) ([]tasks.Stage, error) {
	leave, err := f.enter(ctx, job)
	if err != nil {
		return nil, err
	}
	defer leave()
	spec, src, dst, err := f.open(ctx, job)
	if err != nil {
		return nil, err
	}
	if spec.Plan != nil {
		return f.planChecks(ctx, job, spec, src, dst)
	}
	p, err := Draft(ctx, src, dst.Dialect, spec.Tables)
	if err != nil {
		return nil, err
	}
	b := &stageList{}
	var rows []string
	for _, t := range p.Tables {
		if there, err := sqldb.HasTable(ctx, dst, &t.Target); err != nil {
			return nil, err
		} else if !there {
			return nil, tasks.Permanent(tasks.WithHint(nil, "migrate it first, or choose tables with --tables", "the target has no table %s", t.Target.FullName()))
		}
		if err := sqldb.CheckTarget(ctx, dst, &t.Target); err != nil {
			return nil, err
		}
		after := spec.inOrder(rows)
		rows = append(rows, stageRows+t.Source.FullName())
		b.add(stageRows+t.Source.FullName(), after, tableDetail(t), t.Source.Rows)
	}
	for i := len(p.Tables) - 1; i >= 0; i-- { // rows are deleted before those that they refer to
		t, after := p.Tables[i], stageRows+p.Tables[i].Source.FullName()
		if spec.Repair != "" {
			after = b.stages[len(b.stages)-1].Name
		}
		b.add(stageExtras+t.Source.FullName(), []string{after}, tableDetail(t), 0)
	}
	return b.stages, b.err
}

// inOrder returns what a comparison waits for: nothing, unless rows are mended, which may refer to rows of the stages before.
func (s *VerifySpec) inOrder(before []string) []string {
	if s.Repair == "" || len(before) == 0 {
		return nil
	}
	return before[len(before)-1:]
}

// enter waits for what an attempt takes: of the target two, one for the rows and one to ask its quarantine for a
// key, or to look ids up.
func (f *Verifier) enter(ctx context.Context, job tasks.Job) (leave func(), err error) {
	spec, err := parseVerifySpec(job)
	if err != nil {
		return nil, err
	}
	m := spec.migration()
	return f.dbs.enter(ctx, use{spec.Source, true, 1}, use{m.state(), spec.Repair == "", 2})
}

// migration returns the spec of the migration that is verified.
func (s *VerifySpec) migration() Spec {
	return Spec{Source: s.Source, Target: s.Target, Plan: s.Plan, State: s.State, IDs: s.IDs, ChunkRows: s.ChunkRows}
}

func (f *Verifier) open(ctx context.Context, job tasks.Job) (spec VerifySpec, src, dst *sqldb.DB, err error) {
	if spec, err = parseVerifySpec(job); err != nil {
		return
	}
	if src, err = f.dbs.source(ctx, spec.Source); err != nil {
		return
	}
	m := spec.migration()
	if spec.Repair != "" {
		dst, err = f.dbs.target(ctx, m.state())
	} else {
		dst, err = f.dbs.source(ctx, m.state())
	}
	return
}

// verifyCursor is where the split of a table stands.
type verifyCursor struct {
	Seq  int64        `json:"seq"`
	From sqldb.RowKey `json:"from"`
}

// Split lists the chunks of the source's table; the look for extra rows is one step.
func (f *Verifier) Split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	leave, err := f.enter(ctx, job)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	spec, src, _, err := f.open(ctx, job)
	if err != nil {
		return nil, nil, err
	}
	if spec.Plan != nil {
		return f.splitChecks(ctx, job, spec, stage, after, limit)
	}
	d, m, err := compared(stage)
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(stage.Name, stageExtras) || sqldb.ModeOf(m, sqldb.WalkOf(&d.Source)) == sqldb.CompareMultiset {
		return []tasks.Step{{ID: "0", Body: json.RawMessage(`{"seq":0}`)}}, nil, nil
	}
	return splitRows(ctx, src, &d.Source, sqldb.WalkOf(&d.Source), spec.ChunkRows, after, limit, func(int64) bool { return true })
}

// splitRows lists the chunks of a table that are wanted, by their numbers.
func splitRows(ctx context.Context, src *sqldb.DB, t *sqldb.Table, w sqldb.Walk, rows int, after tasks.Cursor, limit int, wanted func(seq int64) bool) ([]tasks.Step, tasks.Cursor, error) {
	var at verifyCursor
	if after != nil {
		if err := json.Unmarshal(after, &at); err != nil {
			return nil, nil, tasks.Permanent(fmt.Errorf("read split cursor: %w", err))
		}
	}
	borders, err := sqldb.Boundaries(ctx, src, t, w, at.From, rows, limit)
	if err != nil {
		return nil, nil, err
	}
	if len(borders) < limit {
		borders = append(borders, nil) // the last chunk has no upper border
	}
	var steps []tasks.Step
	for _, to := range borders {
		body, err := json.Marshal(sqldb.Chunk{Seq: at.Seq, From: at.From, To: to})
		if err != nil {
			return nil, nil, fmt.Errorf("encode chunk: %w", err)
		}
		if wanted(at.Seq) {
			steps = append(steps, tasks.Step{ID: strconv.FormatInt(at.Seq, 10), Body: body})
		}
		at = verifyCursor{at.Seq + 1, to}
	}
	if at.From == nil {
		return steps, nil, nil
	}
	next, err := json.Marshal(at)
	return steps, next, err
}

// compared reads what a stage compares.
func compared(stage tasks.Stage) (*tableDetail, *sqldb.Mapping, error) {
	d := &tableDetail{}
	if err := json.Unmarshal(stage.Detail, d); err != nil {
		return nil, nil, tasks.Permanent(fmt.Errorf("read stage %s: %w", stage.Name, err))
	}
	m, err := sqldb.MapByPlace(&d.Source, &d.Target)
	return d, m, tasks.Permanent(err)
}

// Run compares one chunk. It is cut off by a drain and starts over: it has no effect but its findings, which count once, and what it
// has mended, which is not found again.
func (f *Verifier) Run(ctx context.Context, a *tasks.Attempt) error {
	reading, end := a.UntilDraining(ctx)
	defer end()
	err := f.compare(ctx, reading, a)
	if err != nil && a.IsDraining() {
		return tasks.ErrDrained
	}
	return err
}

// compare compares one chunk. The context reading ends when the attempt drains.
func (f *Verifier) compare(ctx, reading context.Context, a *tasks.Attempt) error {
	leave, err := f.enter(reading, a.Job)
	if err != nil {
		return err
	}
	defer leave()
	spec, src, dst, err := f.open(reading, a.Job)
	if err != nil {
		return err
	}
	if spec.Plan != nil {
		return f.runCheck(ctx, reading, a, spec)
	}
	d, m, err := compared(a.Stage)
	if err != nil {
		return err
	}
	walk := sqldb.WalkOf(&d.Source)
	if spec.Repair != "" {
		return f.mendTable(ctx, reading, a, &load{spec: spec.migration(), src: src, dst: dst, source: &d.Source, walk: walk, m: m, to: dst.Dialect}, spec)
	}
	named := 0
	report := func(diff sqldb.Difference) bool {
		if named++; named <= maxDifferences {
			a.Report(findingOf(diff))
		}
		return named < maxDifferences
	}
	if strings.HasPrefix(a.Stage.Name, stageExtras) {
		return f.extras(reading, src, dst, spec, m, walk, report)
	}
	var chunk sqldb.Chunk
	if err := json.Unmarshal(a.Step.Body, &chunk); err != nil {
		return tasks.Permanent(fmt.Errorf("read chunk: %w", err))
	}
	r, err := sqldb.CompareRange(reading, src, dst, m, walk, chunk.From, chunk.To, spec.Job, report)
	if err != nil {
		return err
	}
	if r.Stopped {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: d.Source.FullName(), Message: fmt.Sprintf("more than %d differences in one chunk; the rest of it was not compared", maxDifferences)})
	}
	a.Count(tasks.Counters{Read: r.SourceRows, Written: r.Equal, Quarantined: r.Quarantined})
	return nil
}

// extras looks for rows of the target that the source does not have, where comparing chunk by chunk does not show them.
func (f *Verifier) extras(ctx context.Context, src, dst *sqldb.DB, spec VerifySpec, m *sqldb.Mapping, walk sqldb.Walk, report func(sqldb.Difference) bool) error {
	if sqldb.ModeOf(m, walk) != sqldb.CompareLookup {
		return nil
	}
	there, err := sqldb.CountRows(ctx, dst, m.Target)
	if err != nil {
		return err
	}
	expected, err := sqldb.CountRows(ctx, src, m.Source)
	if err != nil {
		return err
	}
	if spec.Job != "" {
		set, err := sqldb.QuarantineCount(ctx, dst, spec.Job, m.Source.FullName())
		if err != nil {
			return err
		}
		expected -= set
	}
	if there == expected {
		return nil
	}
	_, err = sqldb.FindExtra(ctx, src, dst, m, walk, report)
	return err
}

func findingOf(d sqldb.Difference) tasks.Finding {
	f := tasks.Finding{Level: tasks.LevelDifference, Subject: d.Table, Key: d.Key.String(), Field: d.Column}
	switch d.Kind {
	case sqldb.DiffMissing:
		f.Message = MissingRow
	case sqldb.DiffExtra:
		f.Message = ExtraRow
	default:
		f.Message = fmt.Sprintf("source has %s, target has %s", d.Source, d.Target)
	}
	return f
}
