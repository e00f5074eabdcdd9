package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
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

// VerifySpec says what to compare.
type VerifySpec struct {
	Source    string   `json:"source"` // a connection's name
	Target    string   `json:"target"` // a connection's name
	Tables    []string `json:"tables,omitempty"`
	Job       string   `json:"job,omitempty"`        // the migration whose quarantined rows are not expected in the target
	AnyJob    bool     `json:"any_job,omitempty"`    // without Job: rows that any migration has quarantined are not expected
	ChunkRows int      `json:"chunk_rows,omitempty"` // rows of a step; 0 means 20,000
}

// maxDifferences is how many differences a step names; the rest of its chunk is not compared, and a note says so.
const maxDifferences = 100

// Verifier compares databases row by row. It writes nothing into either.
type Verifier struct{ dbs *Databases }

// NewVerifier makes the family on a process' databases.
func NewVerifier(dbs *Databases) *Verifier { return &Verifier{dbs} }

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
	p, err := Draft(ctx, src, dst.Dialect, spec.Tables)
	if err != nil {
		return nil, err
	}
	b := &stageList{}
	for _, t := range p.Tables {
		if there, err := sqldb.HasTable(ctx, dst, &t.Target); err != nil {
			return nil, err
		} else if !there {
			return nil, tasks.Permanent(tasks.WithHint(nil, "migrate it first, or choose tables with --tables", "the target has no table %s", t.Target.FullName()))
		}
		if err := sqldb.CheckTarget(ctx, dst, &t.Target); err != nil {
			return nil, err
		}
		detail := tableDetail(t)
		b.add(stageRows+t.Source.FullName(), nil, detail, t.Source.Rows)
		b.add(stageExtras+t.Source.FullName(), []string{stageRows + t.Source.FullName()}, detail, 0)
	}
	return b.stages, b.err
}

// enter waits for what an attempt takes: of the target two, one for the rows and one to ask its quarantine for a key.
func (f *Verifier) enter(ctx context.Context, job tasks.Job) (leave func(), err error) {
	spec, err := parseVerifySpec(job)
	if err != nil {
		return nil, err
	}
	return f.dbs.enter(ctx, use{spec.Source, true, 1}, use{spec.Target, true, 2})
}

func (f *Verifier) open(ctx context.Context, job tasks.Job) (spec VerifySpec, src, dst *sqldb.DB, err error) {
	if spec, err = parseVerifySpec(job); err != nil {
		return
	}
	if src, err = f.dbs.source(ctx, spec.Source); err != nil {
		return
	}
	dst, err = f.dbs.source(ctx, spec.Target) // read only
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
	d, m, err := compared(stage)
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(stage.Name, stageExtras) || sqldb.ModeOf(m, sqldb.WalkOf(&d.Source)) == sqldb.CompareMultiset {
		return []tasks.Step{{ID: "0", Body: json.RawMessage(`{"seq":0}`)}}, nil, nil
	}
	var at verifyCursor
	if after != nil {
		if err := json.Unmarshal(after, &at); err != nil {
			return nil, nil, tasks.Permanent(fmt.Errorf("read split cursor: %w", err))
		}
	}
	borders, err := sqldb.Boundaries(ctx, src, &d.Source, sqldb.WalkOf(&d.Source), at.From, spec.ChunkRows, limit)
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
		steps = append(steps, tasks.Step{ID: strconv.FormatInt(at.Seq, 10), Body: body})
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

// Run compares one chunk. It is cut off by a drain and starts over: it has no effect but its findings, which count once.
func (f *Verifier) Run(ctx context.Context, a *tasks.Attempt) error {
	ctx, end := a.UntilDraining(ctx)
	defer end()
	err := f.compare(ctx, a)
	if err != nil && a.IsDraining() {
		return tasks.ErrDrained
	}
	return err
}

func (f *Verifier) compare(ctx context.Context, a *tasks.Attempt) error {
	leave, err := f.enter(ctx, a.Job)
	if err != nil {
		return err
	}
	defer leave()
	spec, src, dst, err := f.open(ctx, a.Job)
	if err != nil {
		return err
	}
	d, m, err := compared(a.Stage)
	if err != nil {
		return err
	}
	walk := sqldb.WalkOf(&d.Source)
	named := 0
	report := func(diff sqldb.Difference) bool {
		if named++; named <= maxDifferences {
			a.Report(findingOf(diff))
		}
		return named < maxDifferences
	}
	if strings.HasPrefix(a.Stage.Name, stageExtras) {
		return f.extras(ctx, src, dst, spec, m, walk, report)
	}
	var chunk sqldb.Chunk
	if err := json.Unmarshal(a.Step.Body, &chunk); err != nil {
		return tasks.Permanent(fmt.Errorf("read chunk: %w", err))
	}
	r, err := sqldb.CompareRange(ctx, src, dst, m, walk, chunk.From, chunk.To, spec.Job, report)
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
