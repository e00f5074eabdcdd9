package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// maxReasons is how many reasons a report names for each stage.
const maxReasons = 20

// hashOf says what the hash of a stage is over.
const hashOf = "the sum, modulo 2^64, of the XXH64 of each batch in the ledger: of its stage, step, borders and the checksum of its encoded rows"

// Report says what the ledger in the target proves of a migration.
func (f *Family) Report(ctx context.Context, job tasks.Job) (tasks.FamilyReport, error) {
	spec, err := parseSpec(job)
	if err != nil {
		return tasks.FamilyReport{}, err
	}
	out := f.dbs.addresses(spec.Source, spec.Target)
	db, err := f.dbs.source(ctx, spec.state())
	if err != nil {
		return out, err
	}
	proofs, err := sqldb.Proof(ctx, db, job.ID, false)
	if err != nil {
		return out, err
	}
	reasons, err := sqldb.SetAsideReasons(ctx, db, job.ID)
	if err != nil {
		return out, err
	}
	compared := tasks.ReportSection{Title: "Verification", Text: "What was made of the source again, and compared with the target, when the migration had loaded everything.",
		Columns: []string{"stage", "rows", "equal", "set aside", "left out"}}
	for _, p := range proofs {
		if !isCheck(p.Stage) {
			out.Stages = append(out.Stages, proofOf(p, reasons))
			continue
		}
		row := []string{p.Stage}
		for _, n := range []int64{p.Counters.Read, p.Counters.Written, p.Counters.Quarantined, p.Counters.Skipped} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		compared.Rows = append(compared.Rows, row)
	}
	if len(compared.Rows) > 0 {
		out.Sections = append(out.Sections, compared)
	}
	return out, nil
}

// addresses names where rows come from and go to, without passwords; what this process does not know stays as the spec has it.
func (d *Databases) addresses(source, target string) (out tasks.FamilyReport) {
	if at, err := d.locate(source); err == nil {
		out.Source = at.Redacted()
	}
	if at, err := d.locate(target); err == nil {
		out.Target = at.Redacted()
	}
	return out
}

func proofOf(p sqldb.StageProof, reasons []sqldb.SetAsideReason) tasks.StageProof {
	out := tasks.StageProof{Stage: p.Stage, Rows: p.Counters.Written, Commits: p.Commits, Workers: p.Workers, Hash: fmt.Sprintf("%016x", p.Hash), HashOf: hashOf}
	if !p.First.IsZero() {
		first, last := p.First.Truncate(time.Microsecond), p.Last.Truncate(time.Microsecond)
		out.FirstCommit, out.LastCommit = &first, &last
	}
	if p.Counters.Skipped > 0 {
		out.Skipped = []tasks.RowReason{{Reason: "left out by the plan, or there already", Rows: p.Counters.Skipped}}
	}
	rest := int64(0)
	for _, r := range reasons {
		if r.Stage != p.Stage {
			continue
		}
		if len(out.Quarantined) == maxReasons {
			rest += r.Rows
			continue
		}
		text := r.Code + ", such as: " + r.Example
		if r.Column != "" {
			text = r.Column + ": " + text
		}
		out.Quarantined = append(out.Quarantined, tasks.RowReason{Reason: text, Rows: r.Rows})
	}
	if rest > 0 {
		out.Quarantined = append(out.Quarantined, tasks.RowReason{Reason: "other reasons", Rows: rest})
	}
	return out
}

// RepairSection is the title of the section in which a verification's report says what it has mended.
const RepairSection = "Repair"

// Report says what a verification has mended, by the ledger in the target.
func (f *Verifier) Report(ctx context.Context, job tasks.Job) (tasks.FamilyReport, error) {
	spec, err := parseVerifySpec(job)
	if err != nil {
		return tasks.FamilyReport{}, err
	}
	out := f.dbs.addresses(spec.Source, spec.Target)
	if spec.Repair == "" {
		return out, nil
	}
	m := spec.migration()
	db, err := f.dbs.target(ctx, m.state()) // the handle that mended: an SQLite file need not be opened twice
	if err != nil {
		return out, err
	}
	proofs, err := sqldb.Proof(ctx, db, job.ID, true)
	if err != nil {
		return out, err
	}
	s := tasks.ReportSection{Title: RepairSection, Columns: []string{"stage", "inserted", "overwritten", "deleted"}}
	counts := map[string]*[3]int64{}
	var names []string
	for _, p := range proofs {
		name, ok := strings.CutPrefix(p.Stage, stageRepair)
		if !ok {
			continue
		}
		if counts[name] == nil {
			counts[name] = &[3]int64{}
			names = append(names, name)
		}
		for i, what := range []string{inserted, overwritten, deleted} {
			if strings.HasSuffix(p.Step, what) {
				counts[name][i] += p.Counters.Written
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		row := []string{name}
		for _, n := range counts[name] {
			row = append(row, strconv.FormatInt(n, 10))
		}
		s.Rows = append(s.Rows, row)
	}
	if s.Text = "Rows that were written again, or deleted, so that the target is what the source says."; len(s.Rows) == 0 {
		s.Text = "There was nothing to mend."
	}
	out.Sections = append(out.Sections, s)
	return out, nil
}

// Connections lists what a migration opens.
func (f *Family) Connections(spec json.RawMessage) ([]string, error) {
	var s Spec
	if err := json.Unmarshal(spec, &s); err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, "docs/cli-json.md has the form of a spec", "the spec cannot be read"))
	}
	return namesOf(&s), nil
}

// Connections lists what a verification opens.
func (f *Verifier) Connections(spec json.RawMessage) ([]string, error) {
	var s VerifySpec
	if err := json.Unmarshal(spec, &s); err != nil {
		return nil, tasks.Permanent(tasks.WithHint(err, "docs/cli-json.md has the form of a spec", "the spec cannot be read"))
	}
	m := s.migration()
	return namesOf(&m), nil
}

// namesOf lists the connections of a spec, each once.
func namesOf(s *Spec) []string {
	var names []string
	for _, name := range []string{s.Source, s.Target, s.state(), s.ids()} {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
