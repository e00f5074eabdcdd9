package migration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// CatchUpKind is the word for jobs that bring over what has changed in the source since a migration, in one round.
const CatchUpKind = "catch-up"

// Stages of a round. Between them are those that bring changed rows, one for each stage of the plan.
const (
	stageBegin   = "begin"
	stageGone    = "gone"     // rows that the source does not have any more; a step for each stage of the plan
	stageChanged = "changed:" // rows that are new or differ; a step for each chunk
	stageRetry   = "again"    // rows that were set aside for the sake of others
	stageRest    = "rest"     // rows that could not be deleted before, as others referred to them
	stageEnd     = "end"
	stageMoved   = "moved:" // of the ledger alone: rows of the target that have another name now, or are left out
)

// DefaultOverlap is how long before a round a mark must have been taken for the round to go by it: a transaction may have written an
// earlier moment or version than others which committed before it. It must be longer than any transaction of the source.
const DefaultOverlap = 5 * time.Minute

// CutOverSubject is the subject of the finding of a round after which there is no other.
const CutOverSubject = "cut over"

// CatchUpSpec asks for one round: the words of the migration, and which round it is.
type CatchUpSpec struct {
	Spec
	Of    string `json:"catch_up"` // the migration, which has kept its rows
	Round string `json:"round"`    // what names this round; no two rounds of a migration share it
	// Full compares every row, even where the plan names a column that says which ones have changed.
	Full bool `json:"full,omitempty"`
	// CutOver makes this the last round if it finds nothing: the target is on its own then.
	CutOver bool `json:"cut_over,omitempty"`
	// OverlapSeconds is how long before this round a mark must have been taken; 0 means DefaultOverlap.
	OverlapSeconds int `json:"overlap_seconds,omitempty"`
}

func (s *CatchUpSpec) overlap() time.Duration {
	return cmp.Or(time.Duration(s.OverlapSeconds)*time.Second, DefaultOverlap)
}

// keepsDeleted reports whether rows stay in the target that the source does not have any more.
func (s *CatchUpSpec) keepsDeleted() bool { return s.Plan.Policy.OnDelete == plan.OnDeleteKeep }

// CatchUp carries out rounds. What it writes it writes like a migration: each batch in one transaction with its row of the ledger, and
// with what is kept of its rows. docs/adr/0011-catch-up.md says why so.
type CatchUp struct {
	f      *Family
	drafts sync.Map // of each job of this process: *drafted
}

// NewCatchUp makes the family on a process' databases.
func NewCatchUp(dbs *Databases) *CatchUp { return &CatchUp{f: New(dbs)} }

// Kind returns the family's word.
func (c *CatchUp) Kind() string { return CatchUpKind }

// Check looks at a spec before a job is made of it.
func (c *CatchUp) Check(spec json.RawMessage) error {
	var s CatchUpSpec
	if err := strictly(spec, &s); err != nil {
		return err
	}
	switch {
	case s.Of == "" || s.Round == "":
		return tasks.WithHint(nil, "name the migration, and give each round a name of its own", "the spec lacks catch_up or round")
	case s.Plan == nil || !s.KeepRows:
		return tasks.WithHint(nil, "take the spec of a migration that was started with --catch-up", "the migration keeps nothing of its rows, so nobody can tell what has changed since")
	case s.Again != "" || s.OverlapSeconds < 0:
		return tasks.WithHint(nil, "leave again away, and give a positive overlap_seconds", "again and overlap_seconds: not for a round")
	}
	if problems := s.Plan.Check(); len(problems) > 0 {
		return tasks.WithHint(problems, "docs/plans.md has the form of a plan", "the plan is not right")
	}
	return twoDatabases(s.Source, s.Target)
}

// Key names a round: asked for again it is the same job.
func (c *CatchUp) Key(job tasks.Job) (string, error) {
	s, err := parseCatchUp(job)
	if err != nil {
		return "", err
	}
	of, err := c.f.Key(tasks.Job{ID: s.Of, Kind: Kind, Spec: job.Spec, Tenant: job.Tenant})
	return strings.Join([]string{of, CatchUpKind, s.Of, s.Round}, "\x00"), err
}

// Rejects lists the rows that the migration, and its rounds, have set aside.
func (c *CatchUp) Rejects(ctx context.Context, job tasks.Job, after string, limit int) ([]json.RawMessage, string, error) {
	s, err := parseCatchUp(job)
	if err != nil {
		return nil, "", err
	}
	job.ID = s.Of
	return c.f.Rejects(ctx, job, after, limit)
}

func parseCatchUp(job tasks.Job) (CatchUpSpec, error) {
	var s CatchUpSpec
	if err := json.Unmarshal(job.Spec, &s); err != nil {
		return s, tasks.Permanent(fmt.Errorf("read the spec of job %s: %w", job.ID, err))
	}
	if s.Plan == nil || s.Of == "" || s.Source == "" || s.Target == "" {
		return s, tasks.Permanent(tasks.WithHint(nil, "submit it anew", "the spec of job %s lacks the migration's", job.ID))
	}
	if s.ChunkRows <= 0 {
		s.ChunkRows = DefaultChunkRows
	}
	return s, nil
}

// enter waits for what an attempt takes: rows are compared by one connection of the source while changed ones are read by another.
func (c *CatchUp) enter(ctx context.Context, s *CatchUpSpec) (leave func(), err error) {
	return c.f.dbs.enter(ctx, use{s.Source, true, 2}, use{s.state(), false, 2})
}

// round is what the steps of a round work with.
type round struct {
	c    *CatchUp
	spec CatchUpSpec
	job  tasks.Job
	d    *drafted
	src  *sqldb.DB
	dst  *sqldb.DB
}

// roundOf opens what a round works with. The plan is compiled once for each process and job; it is not frozen into stages, as there
// are many rounds and each would keep a copy: rows that are read otherwise after a change of the source's schema have other hashes,
// and are written once more.
func (c *CatchUp) roundOf(ctx context.Context, job tasks.Job) (*round, error) {
	s, err := parseCatchUp(job)
	if err != nil {
		return nil, err
	}
	r := &round{c: c, spec: s, job: job}
	if r.src, err = c.f.dbs.source(ctx, s.Source); err != nil {
		return nil, err
	}
	if r.dst, err = c.f.dbs.target(ctx, s.state()); err != nil {
		return nil, err
	}
	if d, ok := c.drafts.Load(job.ID); ok {
		r.d = d.(*drafted)
		return r, nil
	}
	r.d, err = draftPlan(ctx, s.Plan, r.src, r.dst, r.dst.Dialect, s.Of)
	if err == nil {
		if problems := r.d.keepProblems(); len(problems) > 0 {
			err = problems
		}
	}
	var problems plan.Problems
	if errors.As(err, &problems) {
		return nil, tasks.Permanent(tasks.WithHint(nil, "has the source or the target changed its tables since the migration? Change them back, or migrate anew", "the plan does not fit any more: %s", problems))
	}
	if err != nil {
		return nil, err
	}
	c.forget()
	c.drafts.Store(job.ID, r.d)
	return r, nil
}

// maxDrafts bounds the plans that a process remembers.
const maxDrafts = 20

func (c *CatchUp) forget() {
	n := 0
	c.drafts.Range(func(any, any) bool { n++; return n < maxDrafts })
	if n >= maxDrafts {
		c.drafts.Clear()
	}
}

// load returns what a stage of the plan is brought with.
func (r *round) load(i int) *load {
	s := &r.d.stages[i]
	l := &load{spec: r.spec.Spec, src: r.src, dst: r.dst, to: r.dst.Dialect, stage: &r.d.plan.Stages[i]}
	l.fill(r.job, s.mapped, &s.detail)
	key := keptKey(l.stage, &s.detail.Target)
	l.m.Keep = key
	l.opts.Rows = &sqldb.KeepRows{Job: r.spec.Of, Stage: l.stage.Name, Key: key, Round: r.job.ID, Aside: sqldb.Again{Job: r.spec.Of, Stage: stageLoad + l.stage.Name}}
	l.opts.Key = key
	l.claims = nil // the table is the migration's
	if l.opts.Mode == "" {
		l.opts.Mode = sqldb.ModeUpsert
	}
	return l
}

// referring returns the stages whose rows refer to those of one.
func (r *round) referring(name string) (stages []string) {
	for i := range r.d.stages {
		if slices.Contains(r.d.stages[i].detail.Refers, name) {
			stages = append(stages, r.d.plan.Stages[i].Name)
		}
	}
	return stages
}

// keptKey returns the target's columns by which rows of a stage are found again; nil when nothing names them.
func keptKey(s *plan.Stage, target *sqldb.Table) []string {
	if len(s.To.Key) > 0 {
		return s.To.Key
	}
	if target.PrimaryKey != nil {
		return target.PrimaryKey.Columns
	}
	return nil
}

// notFollowed returns the entry of a target that cannot catch up, "" when it can, and how what has changed gets there.
func notFollowed(to *plan.To) (entry, hint string) {
	switch {
	case to.HTTP != nil: // what was answered is not sent again under the same name
		return "to.http", "send what has changed, under another name of the stage,"
	case to.File != nil:
		return "to.file", "write what has changed"
	}
	return "", ""
}

// keepProblems says why rows of a plan could not be found again later.
func (d *drafted) keepProblems() plan.Problems {
	c := newCompiler(d.plan)
	for i := range d.stages {
		s, detail := &d.plan.Stages[i], &d.stages[i].detail
		path := fmt.Sprintf("stages[%d]", i)
		if what, hint := notFollowed(&s.To); what != "" {
			c.add(path+"."+what, "migrate without --catch-up; afterwards "+hint+" by a plan of its own, with from.where on the column that grows with each change",
				"only tables can catch up")
			continue
		}
		if detail.Walk.Kind != sqldb.WalkKey {
			c.add(path+".from.key", "name columns that are unique and never NULL, or leave the table out", "%s has no key, so a changed row could not be told from a new one",
				detail.Source.FullName())
		}
		key := keptKey(s, &detail.Target)
		if len(key) == 0 || !detail.Made && !sqldb.IsKey(&detail.Target, key) {
			c.add(path+".to.key", "name the target's columns that name a row, and a unique key over them", "nothing says which row of %s a changed row is", detail.Target.FullName())
			continue
		}
		for _, k := range key {
			col := detail.Target.Column(k)
			if _, given := s.Map.Get(k); !given {
				c.add(path+".to.key", "map the columns of the key", "the map gives %s of the key no value", k)
			} else if col != nil && col.Kind == sqldb.KindOther {
				c.add(path+".to.key", "name a key of numbers or texts", "%s is %s, by which rows cannot be found again", k, col.Type)
			}
		}
	}
	return c.problems
}

// Plan says what a round does. It writes nothing.
func (c *CatchUp) Plan(ctx context.Context, job tasks.Job) ([]tasks.Stage, error) {
	s, err := parseCatchUp(job)
	if err != nil {
		return nil, err
	}
	leave, err := c.enter(ctx, &s)
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := c.roundOf(ctx, job)
	if err != nil {
		return nil, err
	}
	var stages []tasks.Stage
	add := func(name string, detail any) {
		var after []string
		if len(stages) > 0 { // in this order: what is new may refer to what is before it, and what goes was referred to by what is behind it
			after = []string{stages[len(stages)-1].Name}
		}
		body, _ := json.Marshal(detail) // a number
		stages = append(stages, tasks.Stage{Name: name, After: after, Detail: body})
	}
	add(stageBegin, 0)
	if !s.keepsDeleted() {
		add(stageGone, 0)
	}
	for i := range r.d.plan.Stages {
		add(stageChanged+r.d.plan.Stages[i].Name, i)
	}
	add(stageRetry, 0)
	add(stageRest, 0)
	add(stageEnd, 0)
	return stages, nil
}

// Split lists the steps of a stage.
func (c *CatchUp) Split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	s, err := parseCatchUp(job)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case stage.Name == stageGone:
		return splitGone(s.Plan, after, limit)
	case !strings.HasPrefix(stage.Name, stageChanged):
		return []tasks.Step{{ID: "0"}}, nil, nil
	}
	leave, err := c.enter(ctx, &s)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	r, err := c.roundOf(ctx, job)
	if err != nil {
		return nil, nil, err
	}
	l, err := r.loadOf(stage)
	if err != nil {
		return nil, nil, err
	}
	if since, err := r.since(ctx, l, after == nil); err != nil {
		return nil, nil, err
	} else if since != nil { // few rows: one step, which the ledger cannot take for one of those that compare every row
		body, err := json.Marshal(sqldb.Chunk{})
		return []tasks.Step{{ID: "since", Body: body}}, nil, err
	}
	// Most rows are only read, so a step covers more of them.
	l.spec.ChunkRows, l.stage = scanFactor*l.chunkRows(), nil
	return splitChunks(ctx, l, job, stage, after, limit)
}

// scanFactor is how many times as many rows as in a migration a step compares.
const scanFactor = 10

// splitGone makes a step for each stage of the plan: the last one first, as its rows refer to those of others.
func splitGone(p *plan.Plan, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	from, _ := strconv.Atoi(string(after)) // nil is the beginning
	var steps []tasks.Step
	for i := from; i < len(p.Stages) && len(steps) < limit; i++ {
		steps = append(steps, tasks.Step{ID: strconv.Itoa(len(p.Stages) - 1 - i)})
	}
	if from+len(steps) < len(p.Stages) {
		return steps, tasks.Cursor(strconv.Itoa(from + len(steps))), nil
	}
	return steps, nil, nil
}

// loadOf returns what a stage of the round is brought with.
func (r *round) loadOf(stage tasks.Stage) (*load, error) {
	i := slices.IndexFunc(r.d.plan.Stages, func(s plan.Stage) bool { return stageChanged+s.Name == stage.Name })
	if i < 0 {
		return nil, tasks.Permanent(fmt.Errorf("the plan of job %s has no stage for %s", r.job.ID, stage.Name))
	}
	return r.load(i), nil
}

// since returns from where on rows of a stage may have changed; nil when each has to be compared. How far the source has come is
// kept before anything is read, for the rounds after this one.
func (r *round) since(ctx context.Context, l *load, first bool) (*sqldb.Since, error) {
	column := l.stage.From.Changed
	if column == "" {
		return nil, nil
	}
	if first {
		mark, err := sqldb.Furthest(ctx, r.src, l.source, column)
		if err == nil {
			err = sqldb.SaveMark(ctx, r.dst, l.opts.Rows, mark, time.Now())
		}
		if err != nil {
			return nil, err
		}
	}
	if r.spec.Full {
		return nil, nil
	}
	mark, err := sqldb.MarkBefore(ctx, r.dst, l.opts.Rows, r.job.CreatedAt.Add(-r.spec.overlap()))
	if err != nil || mark == nil {
		return nil, err
	}
	return &sqldb.Since{Column: column, Mark: mark}, nil
}
