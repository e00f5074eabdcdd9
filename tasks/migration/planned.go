package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/expression"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// planStages turns a job's plan into stages. It writes nothing.
func (f *Family) planStages(ctx context.Context, job tasks.Job, spec Spec, src *sqldb.DB) ([]tasks.Stage, error) {
	to, err := f.dbs.locate(spec.Target)
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	var dst *sqldb.DB
	dialect := sqldb.Records
	if to.IsDatabase() {
		dialect = to.Dialect
		if dst, err = f.dbs.target(ctx, spec.Target); err != nil {
			return nil, err
		}
	} else if err := f.checkState(&spec); err != nil {
		return nil, tasks.Permanent(err)
	}
	problems, err := f.misplacedIDs(&spec)
	if err != nil {
		return nil, err
	}
	problems = append(problems, misplaced(spec.Plan, to)...)
	var d *drafted
	if len(problems) == 0 {
		d, err = draftPlan(ctx, spec.Plan, src, dst, dialect, job.ID)
	}
	if len(problems) > 0 || errors.As(err, &problems) {
		return nil, tasks.Permanent(tasks.WithHint(nil, "mend the plan and submit it again; --dry-run shows this before", "the plan does not fit: %s", problems))
	}
	if err != nil {
		return nil, err
	}
	if spec.KeepRows {
		if problems := d.keepProblems(); len(problems) > 0 {
			return nil, tasks.Permanent(tasks.WithHint(nil, "mend the plan and submit it again; --dry-run shows this before", "the plan cannot catch up: %s", problems))
		}
	}
	notes, err := f.idNotes(ctx, &spec)
	if err != nil {
		return nil, err
	}
	d.notes = append(d.notes, notes...)
	if spec.Again != "" {
		return d.againStages()
	}
	if dst != nil {
		if err := d.notTwice(ctx, job, &spec, dst); err != nil {
			return nil, err
		}
	}
	d.live = spec.KeepRows
	return d.jobStages()
}

// misplaced are the stages that send requests although the target is no API.
func misplaced(p *plan.Plan, to sqldb.Location) plan.Problems {
	if base, _, _ := to.API(); base != "" {
		return nil
	}
	var problems plan.Problems
	for i := range p.Stages {
		if p.Stages[i].To.HTTP != nil {
			problems = append(problems, plan.Problem{Path: fmt.Sprintf("stages[%d].to.http", i), Message: "the target is no API",
				Hint: "give one whose url begins with https://, as target: in the plan or with --to"})
		}
	}
	return problems
}

// notTwice is an error when another job has inserted rows of the same source into a table by a stage of the same name: an edited plan
// would insert them once more.
func (d *drafted) notTwice(ctx context.Context, job tasks.Job, spec *Spec, dst *sqldb.DB) error {
	for i := range d.stages {
		s, detail := &d.plan.Stages[i], &d.stages[i].detail
		if s.To.Table == "" || s.To.Mode != "" && s.To.Mode != plan.ModeInsert || d.stages[i].fresh {
			continue
		}
		other, err := sqldb.LoadedBy(ctx, dst, scopeOfIDs(job, spec), s.Name, &detail.Target)
		if err != nil {
			return err
		}
		if other != "" && other != job.ID {
			return tasks.Permanent(tasks.WithHint(nil, "for rows that it has set aside: stint jobs rejects "+other+" --send-again --plan PLAN; to write all rows anew: mode: upsert with a key; to begin anew: empty the table",
				"stage %s: job %s has loaded %s by another plan, and this one would insert the same rows again", s.Name, other, detail.Target.FullName()))
		}
	}
	return nil
}

// markLoads notes which tables a plan loads, for notTwice.
func (f *Family) markLoads(ctx context.Context, job tasks.Job, spec *Spec, dst *sqldb.DB) error {
	if spec.Plan == nil || spec.Again != "" || spec.state() != spec.Target {
		return nil
	}
	for i := range spec.Plan.Stages {
		s := &spec.Plan.Stages[i]
		if s.To.Table == "" {
			continue
		}
		if err := sqldb.MarkLoads(ctx, dst, scopeOfIDs(job, spec), s.Name, s.To.Table, job.ID); err != nil {
			return err
		}
	}
	return nil
}

// checkState looks whether there is a database for stint's own tables, where the target is none.
func (f *Family) checkState(spec *Spec) error {
	if spec.state() == spec.Target {
		return tasks.WithHint(nil, "name a database with state: in the plan, for stint's own tables", "neither an API nor files keep a ledger")
	}
	at, err := f.dbs.locate(spec.state())
	if err != nil {
		return err
	}
	if at.Dialect == sqldb.Redis {
		return tasks.WithHint(nil, "name one of PostgreSQL, SQLite or MariaDB with state:, and the Redis with ids:", "a Redis can keep ids, but not the ledger and the rows that are set aside, which state: is for")
	}
	if at.Dialect != sqldb.Postgres && at.Dialect != sqldb.SQLite && at.Dialect != sqldb.MySQL {
		return tasks.WithHint(nil, "name one of PostgreSQL, SQLite or MariaDB with state:", "%s cannot keep what has become of records", at.Redacted())
	}
	return nil
}

// jobStages turns a drafted plan into a job's stages.
func (d *drafted) jobStages() ([]tasks.Stage, error) {
	var all, referring schemaDetail
	all.Planned, referring.Planned = true, true
	all.Enums = d.enums
	var loads []string
	for _, n := range d.notes {
		all.Findings = append(all.Findings, tasks.Finding{Level: tasks.LevelNote, Message: n})
	}
	seen := map[string]bool{}
	for i := range d.stages {
		s := &d.stages[i].detail
		loads = append(loads, stageLoad+d.plan.Stages[i].Name)
		if !s.Made || seen[s.Target.FullName()] {
			continue
		}
		seen[s.Target.FullName()] = true
		all.Tables, all.Sources = append(all.Tables, s.Target), append(all.Sources, s.Source.FullName())
		if len(s.Target.ForeignKeys) > 0 {
			referring.Tables = append(referring.Tables, s.Target)
		}
	}
	b := &stageList{}
	b.add(stageSchema, nil, all, 0)
	var last []string
	for i := range d.stages {
		s := &d.stages[i].detail
		name := d.plan.Stages[i].Name
		load := stageLoad + name
		b.add(load, d.loadAfter(i), s, s.Source.Rows)
		last = append(last, load)
		if len(s.Refers) > 0 {
			b.add(stageAgain+name, d.againAfter(i), s, 0)
			last = append(last, stageAgain+name)
		}
		if d.plan.Stages[i].To.File != nil {
			b.add(stageFiles+name, []string{last[len(last)-1]}, s, 0)
		}
	}
	keyed := all
	keyed.Findings, keyed.Enums, keyed.Loads = nil, nil, loads
	b.add(stageIndexes, last, keyed, 0)
	b.add(stageForeignKeys, []string{stageIndexes}, referring, 0)
	if err := errors.Join(d.addChecks(b), b.err); err != nil {
		return nil, err
	}
	return inOrder(b.stages)
}

// inOrder sorts stages so that each comes after those that it waits for, and otherwise as they were.
func inOrder(stages []tasks.Stage) ([]tasks.Stage, error) {
	out := make([]tasks.Stage, 0, len(stages))
	placed := map[string]bool{}
	for len(out) < len(stages) {
		before := len(out)
		for _, s := range stages {
			if !placed[s.Name] && !slices.ContainsFunc(s.After, func(name string) bool { return !placed[name] }) {
				placed[s.Name] = true
				out = append(out, s)
			}
		}
		if len(out) > before {
			continue
		}
		var waiting []string
		for _, s := range stages {
			if name, ok := strings.CutPrefix(s.Name, stageLoad); ok && !placed[s.Name] {
				waiting = append(waiting, name)
			}
		}
		return nil, tasks.Permanent(tasks.WithHint(nil, "let after: name only stages that stand before in the plan; what ref() names may stand anywhere",
			"these stages wait for each other: %s", strings.Join(waiting, ", ")))
	}
	return out, nil
}

// index returns the place of a stage in the plan.
func (d *drafted) index(name string) int {
	return slices.IndexFunc(d.plan.Stages, func(s plan.Stage) bool { return s.Name == name })
}

// looksForward reports whether a stage refers to one that comes later in the plan: those rows have to wait for it.
func (d *drafted) looksForward(i int) bool {
	return slices.ContainsFunc(d.stages[i].detail.Refers, func(name string) bool { return d.index(name) > i })
}

// ended returns the stage of the job after which all rows of a plan's stage are there that can be without what comes later.
func (d *drafted) ended(i int) string {
	name := d.plan.Stages[i].Name
	if len(d.stages[i].detail.Refers) == 0 || d.looksForward(i) {
		return stageLoad + name
	}
	return stageAgain + name
}

// loadAfter returns what a load waits for: the stages that the plan names, and those before it that its rows refer to.
func (d *drafted) loadAfter(i int) []string {
	after := []string{stageSchema}
	for _, name := range append(slices.Clone(d.plan.Stages[i].After), d.stages[i].detail.Refers...) {
		j := d.index(name)
		if j == i || j > i && !slices.Contains(d.plan.Stages[i].After, name) {
			continue
		}
		if e := d.ended(j); !slices.Contains(after, e) {
			after = append(after, e)
		}
	}
	return after
}

// againAfter returns what the second try of a stage's rows waits for.
func (d *drafted) againAfter(i int) []string {
	after := []string{stageLoad + d.plan.Stages[i].Name}
	for _, name := range d.stages[i].detail.Refers {
		j := d.index(name)
		if j == i {
			continue
		}
		e := stageLoad + name
		if j < i && len(d.stages[j].detail.Refers) > 0 {
			e = stageAgain + name
		}
		if !slices.Contains(after, e) {
			after = append(after, e)
		}
	}
	return after
}

// planned completes what a stage of a plan works with.
func (f *Family) planned(ctx context.Context, l *load, job tasks.Job, stage tasks.Stage) error {
	var d stageDetail
	if err := json.Unmarshal(stage.Detail, &d); err != nil {
		return tasks.Permanent(fmt.Errorf("read stage %s: %w", stage.Name, err))
	}
	if l.stage = l.spec.planned(stage.Name); l.stage == nil {
		return tasks.Permanent(fmt.Errorf("the plan of job %s has no stage for %s", job.ID, stage.Name))
	}
	m, err := f.compiled(job, stage, l, &d)
	if err != nil {
		return err
	}
	if l.ids, err = f.idsElsewhere(ctx, job, &l.spec, l.dst); err != nil {
		return err
	}
	l.fill(job, m, &d)
	if l.spec.KeepRows && l.spec.Again == "" {
		l.m.Keep = keptKey(l.stage, &d.Target)
		l.opts.Rows = &sqldb.KeepRows{Job: job.ID, Stage: l.stage.Name, Key: l.m.Keep}
	}
	return nil
}

// fill completes a load with what its stage of the plan was compiled to.
func (l *load) fill(job tasks.Job, m *mapped, d *stageDetail) {
	l.source, l.walk = &d.Source, d.Walk
	l.scope = scopeOfIDs(job, &l.spec)
	if d.Made {
		l.claims = &d.Target
	}
	if l.stage.To.Table == "" {
		l.to = sqldb.Records
	}
	l.m = m.mapping(&d.Target, l.lookUp)
	l.opts = sqldb.LoaderOptions{Rules: true, Stop: l.spec.Plan.Policy.OnReject == plan.OnRejectStop, Key: l.stage.To.Key,
		IDs: sqldb.KeepIDs{Scope: l.scope, Entity: l.stage.Name, Column: d.IDs}}
	if l.stage.To.Mode != plan.ModeInsert {
		l.opts.Mode = l.stage.To.Mode
	}
}

// scopeOfIDs says whose ids they are: those of a tenant's source in a target.
func scopeOfIDs(job tasks.Job, spec *Spec) string {
	return job.Tenant + "/" + spec.Source + "/" + spec.Target
}

// compiled returns a stage's mapping, compiled once for all attempts of this process.
func (f *Family) compiled(job tasks.Job, stage tasks.Stage, l *load, d *stageDetail) (*mapped, error) {
	key := job.ID + "\x00" + stage.Name + "\x00" + string(stage.Detail)
	if m, ok := f.plans.Load(key); ok {
		return m.(*mapped), nil
	}
	c := newCompiler(l.spec.Plan)
	types := map[string]expression.Type{}
	for i, name := range d.Refers {
		types[name], _ = expression.ParseType(d.RefType[i])
	}
	m := c.compile(d.Index, l.src.Dialect, &d.Source, d.Walk, d.Key, func(stage string) (expression.Type, error) { return types[stage], nil })
	if len(c.problems) > 0 {
		return nil, tasks.Permanent(tasks.WithHint(nil, "an older stint accepted this plan: submit it again", "the plan cannot be compiled: %s", c.problems))
	}
	m.keeps = d.Keeps
	f.forget()
	f.plans.Store(key, m)
	return m, nil
}

// maxCompiled bounds the mappings that a process remembers.
const maxCompiled = 1_000

func (f *Family) forget() {
	n := 0
	f.plans.Range(func(any, any) bool { n++; return n < maxCompiled })
	if n >= maxCompiled {
		f.plans.Clear()
	}
}

// writer is who makes batches take effect.
type writer interface {
	Load(ctx context.Context, b *sqldb.Batch) (sqldb.Loaded, error)
	Close()
}

// writer opens where the rows of a stage go. The ledger of the step stands at from.
func (f *Family) writer(ctx context.Context, a *tasks.Attempt, l *load, from sqldb.RowKey) (writer, error) {
	o := l.optionsOf(a)
	switch {
	case l.stage != nil && l.stage.To.HTTP != nil:
		return f.sinks.requests(ctx, a, l, o)
	case l.stage != nil && l.stage.To.File != nil:
		return f.files(ctx, a, l, o, from)
	}
	return sqldb.NewLoader(ctx, l.dst, l.m, o)
}

// optionsOf are those of an attempt.
func (l *load) optionsOf(a *tasks.Attempt) sqldb.LoaderOptions {
	o := l.opts
	o.Job, o.Stage, o.Step, o.Worker, o.Attempt, o.Draining = a.Job.ID, a.Stage.Name, a.Step.ID, a.Worker, a.ID, a.Draining
	return o
}

// chunkRows is how many rows a step covers.
func (l *load) chunkRows() int {
	if l.stage != nil && l.stage.Chunk.Rows > 0 {
		return l.stage.Chunk.Rows
	}
	return l.spec.ChunkRows
}

// limits bound a batch.
func (l *load) limits() sqldb.Limits {
	if l.stage != nil && l.stage.To.HTTP != nil {
		h := l.stage.To.HTTP
		return sqldb.Limits{Rows: max(200, max(h.Batch, 1)*max(h.Concurrency, 4)*4)}
	}
	if l.stage != nil && l.stage.To.File != nil && l.spec.BatchRows == 0 {
		return sqldb.Limits{Rows: l.chunkRows(), Bytes: maxFileBytes} // a part is a file: as few of them as can be
	}
	return sqldb.Limits{Rows: l.spec.BatchRows}
}

// tooMany is an error when more rows are set aside than the plan allows. Those that wait for others do not count.
func (l *load) tooMany(ctx context.Context, job string) error {
	if l.spec.Plan == nil || l.spec.Plan.Policy.MaxRejects == nil {
		return nil
	}
	most := *l.spec.Plan.Policy.MaxRejects
	n, err := sqldb.RejectCount(ctx, l.dst, job)
	if err != nil || n <= most {
		return err
	}
	return tasks.Permanent(tasks.WithHint(nil, "see them with stint jobs rejects "+job+"; mend the plan or the data, or raise policy.max_rejects",
		"%d rows are set aside, and the plan allows %d", n, most))
}
