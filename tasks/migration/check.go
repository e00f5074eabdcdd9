package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// checkDetail is what a stage that compares knows: of one stage of a plan, or, when it looks for rows that only the target has, of all
// stages that write into one table.
type checkDetail struct {
	stageDetail
	Sole  bool          `json:"sole,omitempty"`  // no other stage writes into its table
	Share float64       `json:"share,omitempty"` // of the rows that are compared; 0 means that they are counted
	Of    []tasks.Stage `json:"of,omitempty"`    // the stages that compare the rows of the table
	Notes []string      `json:"notes,omitempty"`
}

// sampleRows is how many rows a chunk of a sample has: whole chunks are compared, so that both sides are read in one go.
const sampleRows = 1_000

// checkStages adds the stages that compare what a plan has loaded, and returns their names. Rows of a stage are compared by one
// that is called prefix and its name. repair is that of a VerifySpec: what is mended is so in the order of the plan.
func (d *drafted) checkStages(b *stageList, prefix string, after []string, rows, repair string) ([]string, error) {
	compare, share, err := plan.Verify{Rows: rows}.Share()
	if err != nil || !compare {
		return nil, err
	}
	var names []string
	tables := map[string][]int{} // the stages that write into a table
	for i := range d.stages {
		if d.plan.Stages[i].To.Table != "" {
			t := d.stages[i].detail.Target.FullName()
			tables[t] = append(tables[t], i)
		}
	}
	stage := map[int]tasks.Stage{}
	for i := range d.stages {
		s := &d.plan.Stages[i]
		if s.To.File != nil { // their own stage has compared the manifest with the ledger
			continue
		}
		detail := checkDetail{stageDetail: d.stages[i].detail, Share: share, Sole: s.To.Table != "" && len(tables[d.stages[i].detail.Target.FullName()]) == 1}
		detail.Notes = detail.limits(s)
		waits := after
		if repair != "" && len(names) > 0 {
			waits = names[len(names)-1:]
		}
		names = append(names, prefix+s.Name)
		estimate := int64(float64(detail.Source.Rows) * share)
		if prefix == stageVerify { // the migration's counters are of what it has moved
			estimate = 0
		}
		b.add(prefix+s.Name, waits, detail, estimate)
		stage[i] = b.stages[len(b.stages)-1]
	}
	rowStages := slices.Clone(names)
	for i := len(d.stages) - 1; i >= 0 && share == 1; i-- { // rows are deleted before those that they refer to
		s := &d.plan.Stages[i]
		of := tables[d.stages[i].detail.Target.FullName()]
		detail := checkDetail{stageDetail: d.stages[i].detail, Share: 1, Sole: len(of) == 1}
		if s.To.Table == "" || of[0] != i || !detail.Made || detail.Sole && repair != RepairDelete && d.seesAll(i) {
			continue
		}
		for _, j := range of {
			detail.Of = append(detail.Of, tasks.Stage{Name: stage[j].Name, Detail: stage[j].Detail})
		}
		waits := rowStages
		if repair != "" {
			waits = names[len(names)-1:]
		}
		names = append(names, stageExtras+s.To.Table)
		b.add(stageExtras+s.To.Table, waits, detail, 0)
	}
	return names, b.err
}

// seesAll reports whether comparing the rows of a stage, which is alone in its table, shows those that only the target has.
func (d *drafted) seesAll(i int) bool {
	s := &d.stages[i]
	how := sqldb.Check{Mapping: s.mapped.mapping(&s.detail.Target, nil), Walk: s.detail.Walk, Key: s.detail.keyOf(&d.plan.Stages[i]), Several: d.plan.Stages[i].Each != ""}
	return how.Mode() != sqldb.CompareLookup
}

// limits says in sentences what a check of a stage cannot see.
func (d *checkDetail) limits(s *plan.Stage) []string {
	switch {
	case s.To.HTTP != nil:
		return []string{fmt.Sprintf("The API cannot be read back: of %s it is looked at which records it has confirmed, not at what they hold.", s.Name)}
	case s.To.Table == "":
		return []string{fmt.Sprintf("The files of %s are not read back.", s.Name)}
	case !d.Made && d.keyOf(s) == nil:
		return []string{fmt.Sprintf("The rows of %s were not compared: %s holds rows of others, and no key of it is among the columns that the plan fills in.", s.Name, s.To.Table)}
	case !d.Made && d.Share == 1 && !d.Keeps:
		return []string{fmt.Sprintf("%s holds rows of others: rows of %s whose source is gone could not be looked for. With to.id in the plan they can.", s.To.Table, s.Name)}
	}
	return nil
}

// keyOf returns the columns by which the rows of a stage are found in its target: a key of it that the plan fills in.
func (d *stageDetail) keyOf(s *plan.Stage) []string {
	filled := func(columns []string) bool {
		return len(columns) > 0 && !slices.ContainsFunc(columns, func(c string) bool { _, ok := s.Map.Get(c); return !ok })
	}
	if filled(s.To.Key) {
		return s.To.Key
	}
	if k := d.Target.PrimaryKey; k != nil && filled(k.Columns) {
		return k.Columns
	}
	for _, k := range d.Target.Uniques {
		if filled(k.Columns) && !slices.ContainsFunc(k.Columns, func(c string) bool { return !d.Target.Column(c).NotNull }) {
			return k.Columns
		}
	}
	return nil
}

// checking says for whom stages compare: a verification, or a migration that verifies itself.
type checking struct {
	of       tasks.Job // that compares; its tenant's ids are looked up
	job      string    // the migration whose quarantine counts, or AnyJob
	migrated *Spec     // of the migration
	writable bool      // the target is opened for writing
	repair   string    // as in VerifySpec
}

// check is how the rows of a stage, or of all stages of a table, are compared.
type check struct {
	checking
	*load
	detail checkDetail
	how    *sqldb.Check
}

// checkOf completes what a stage that compares works with.
func (f *Family) checkOf(ctx context.Context, w checking, stage tasks.Stage) (*check, error) {
	c := &check{checking: w, load: &load{spec: *w.migrated}}
	if err := json.Unmarshal(stage.Detail, &c.detail); err != nil {
		return nil, tasks.Permanent(fmt.Errorf("read stage %s: %w", stage.Name, err))
	}
	var err error
	if c.src, err = f.dbs.source(ctx, c.spec.Source); err != nil {
		return nil, err
	}
	open := f.dbs.source
	if w.writable {
		open = f.dbs.target
	}
	if c.dst, err = open(ctx, c.spec.state()); err != nil {
		return nil, err
	}
	c.to = c.dst.Dialect
	if c.detail.Of != nil {
		return c, nil
	}
	if err := f.planned(ctx, c.load, w.of, stage); err != nil {
		return nil, err
	}
	c.how = &sqldb.Check{Mapping: c.m, Walk: c.walk, Key: c.detail.keyOf(c.stage), Job: w.job, Stage: stageLoad + c.stage.Name,
		Alone: c.detail.Made && c.detail.Sole && w.repair != RepairDelete, Several: c.stage.Each != ""} // what is to be deleted is looked for once
	return c, nil
}

// whole reports whether the rows of a stage are looked at in one step.
func (c *check) whole() bool {
	return c.detail.Of != nil || c.detail.Share == 0 || c.stage.To.Table == "" || c.how.Mode() == sqldb.CompareMultiset
}

// split lists the chunks that are compared, all or a sample of them.
func (c *check) split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	if c.whole() {
		return []tasks.Step{{ID: "0", Body: json.RawMessage(`{"seq":0}`)}}, nil, nil
	}
	rows, wanted := c.chunkRows(), func(int64) bool { return true }
	if c.detail.Share < 1 {
		rows = min(rows, sampleRows)
		wanted = func(seq int64) bool { return seq == 0 || chosen(job.ID, stage.Name, seq, c.detail.Share) }
	}
	for {
		steps, next, err := splitRows(ctx, c.src, c.source, c.walk, rows, after, limit, wanted)
		if err != nil || next == nil || len(steps) > 0 {
			return steps, next, err
		}
		after = next
	}
}

// chosen reports whether a chunk belongs to a sample: by chance, and for a job always the same.
func chosen(job, stage string, seq int64, share float64) bool {
	h := fnv.New64a()
	_, _ = h.Write([]byte(job + "\x00" + stage + "\x00" + strconv.FormatInt(seq, 10))) // a hash never fails
	sum := h.Sum64()
	sum ^= sum >> 33 // FNV mixes its upper bits badly
	sum *= 0xff51afd7ed558ccd
	sum ^= sum >> 33
	return float64(sum>>11)/(1<<53) < share
}

// told is what is done with a difference: false ends the comparison.
type told func(tasks.Finding, sqldb.Difference) bool

// compare compares a chunk.
func (c *check) compare(ctx context.Context, f *Family, stage tasks.Stage, chunk sqldb.Chunk, report told) (sqldb.CompareResult, error) {
	if c.detail.Of != nil {
		return c.compareTable(ctx, f, stage, report)
	}
	say := func(d sqldb.Difference) bool { return report(c.finding(c.stage.Name, d), d) }
	switch {
	case c.stage.To.HTTP != nil:
		return sqldb.CompareIDs(ctx, c.src, c.dst, c.how, c.ids(), say)
	case c.stage.To.Table == "":
		return sqldb.CompareResult{}, nil
	case c.detail.Share == 0:
		return c.count(ctx, report)
	case len(c.how.Key) == 0 && !(c.detail.Made && c.detail.Sole):
		return sqldb.CompareResult{}, nil // a note says so, or the rows of all stages of the table are compared together
	}
	r, err := sqldb.CompareMade(ctx, c.src, c.dst, c.how, chunk.From, chunk.To, say)
	if err != nil || r.Stopped || chunk.To != nil || c.detail.Made || !c.detail.Keeps || c.detail.Share < 1 {
		return r, err
	}
	// With the last chunk of a table that others write into too: rows of ours whose source is gone.
	gone, err := sqldb.FindGone(ctx, c.src, c.dst, c.how, c.ids(), c.detail.IDs, say)
	r.Extra += gone
	return r, err
}

// compareTable looks for rows of a table that no stage has made.
func (c *check) compareTable(ctx context.Context, f *Family, stage tasks.Stage, report told) (sqldb.CompareResult, error) {
	var hows []*sqldb.Check
	for _, s := range c.detail.Of {
		part, err := f.checkOf(ctx, c.checking, s)
		if err != nil {
			return sqldb.CompareResult{}, err
		}
		hows = append(hows, part.how)
	}
	say := func(d sqldb.Difference) bool {
		return report(c.finding(strings.TrimPrefix(stage.Name, stageExtras), d), d)
	}
	switch {
	case len(hows[0].Key) == 0 && len(hows) == 1:
		return sqldb.CompareResult{}, nil // everything was seen when its rows were compared
	case len(hows[0].Key) == 0:
		return sqldb.CompareTogether(ctx, c.src, c.dst, hows, say)
	}
	n, err := sqldb.CompareKeys(ctx, c.src, c.dst, hows, say)
	return sqldb.CompareResult{Extra: n}, err
}

// count compares numbers of rows alone: what the ledger says of the stage with the source, and with the target where that holds no
// other rows.
func (c *check) count(ctx context.Context, report told) (sqldb.CompareResult, error) {
	var r sqldb.CompareResult
	fail := func(format string, args ...any) {
		report(tasks.Finding{Level: tasks.LevelDifference, Subject: c.stage.Name, Message: fmt.Sprintf(format, args...)}, sqldb.Difference{})
	}
	n, err := sqldb.CountRows(ctx, c.src, c.source)
	if err != nil {
		return r, err
	}
	r.SourceRows = n
	if c.job == sqldb.AnyJob { // whose ledger would count is not known
		if c.stage.Filter != "" || c.stage.Each != "" || !c.detail.Made || !c.detail.Sole {
			return r, nil
		}
		if r.Quarantined, err = sqldb.QuarantineCount(ctx, c.dst, c.job, c.source.FullName()); err != nil {
			return r, err
		}
		if r.TargetRows, err = sqldb.CountRows(ctx, c.dst, c.m.Target); err == nil && r.TargetRows != n-r.Quarantined {
			fail("the source has %d rows, %d of them set aside, and the target %d", n, r.Quarantined, r.TargetRows)
		}
		return r, err
	}
	loaded, err := sqldb.StageTotals(ctx, c.dst, c.job, stageLoad+c.stage.Name)
	if err != nil {
		return r, err
	}
	again, err := sqldb.StageTotals(ctx, c.dst, c.job, stageAgain+c.stage.Name)
	if err != nil {
		return r, err
	}
	r.Quarantined, r.Skipped = loaded.Quarantined, loaded.Skipped
	if loaded.Read != n {
		fail("the source has %d rows, and the migration has read %d", n, loaded.Read)
	}
	if !c.detail.Made || !c.detail.Sole {
		return r, nil
	}
	if r.TargetRows, err = sqldb.CountRows(ctx, c.dst, c.m.Target); err != nil {
		return r, err
	}
	// A row that is overwritten by another is written twice, and there once.
	if written := loaded.Written + again.Written; r.TargetRows > written || r.TargetRows < written && (c.stage.To.Mode == "" || c.stage.To.Mode == plan.ModeInsert) {
		fail("the migration has written %d rows, and the target has %d", written, r.TargetRows)
	}
	return r, nil
}

// ids says under which names the ids of the stage's rows are kept.
func (c *check) ids() sqldb.KeepIDs {
	ids := sqldb.KeepIDs{Scope: c.scope, Entity: c.stage.Name, Column: c.detail.IDs}
	if c.load.ids != nil {
		ids.Elsewhere = c.load.ids
	}
	return ids
}

// finding puts a difference into words.
func (c *check) finding(subject string, d sqldb.Difference) tasks.Finding {
	f := findingOf(d)
	f.Subject = subject
	api := c.stage != nil && c.stage.To.HTTP != nil
	switch {
	case d.Kind == sqldb.DiffMissing && d.Source != "":
		f.Message = MissingRow + ": " + d.Source
	case d.Kind == sqldb.DiffMissing && api:
		f.Message = "the API has not confirmed the record"
	case d.Kind == sqldb.DiffExtra && api:
		f.Message = "the API has confirmed a record whose row the source does not have"
	}
	return f
}
