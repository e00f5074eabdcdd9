package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// shownDifferences is how many differing rows of a table are named.
const shownDifferences = 20

// compare compares the disturbed run with the undisturbed one: first what the ledgers say, then every table.
func (re *rehearsal) compare(ctx context.Context, job string) error {
	calm, err := re.calm.open(ctx, true)
	if err != nil {
		return err
	}
	defer calm.Close()
	disturbed, err := re.disturbed.open(ctx, true)
	if err != nil {
		return err
	}
	defer disturbed.Close()
	re.res.Tables, re.res.Differences, re.res.Rows, re.res.Quarantined, re.res.Repeats = nil, nil, 0, 0, 0
	ledger, err := re.compareLedgers(ctx, calm, disturbed, job)
	if err != nil {
		return err
	}
	if re.api != nil {
		re.compareRecords(ledger)
		re.res.Equal = len(re.res.Differences) == 0
		return nil
	}
	a, err := sqldb.Introspect(ctx, calm, nil)
	if err != nil {
		return err
	}
	b, err := sqldb.Introspect(ctx, disturbed, nil)
	if err != nil {
		return err
	}
	there := map[string]*sqldb.Table{}
	for i := range b.Tables {
		if t := &b.Tables[i]; re.ours(t) {
			there[t.FullName()] = t
		}
	}
	for i := range a.Tables {
		t := &a.Tables[i]
		if !re.ours(t) {
			continue
		}
		if err := re.compareTable(ctx, calm, disturbed, t, there[t.FullName()]); err != nil {
			return err
		}
		delete(there, t.FullName())
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		re.res.Differences = append(re.res.Differences, name+": the table is in the disturbed run only")
	}
	re.res.Equal = len(re.res.Differences) == 0
	return nil
}

// ours says which tables a run has made: a scratch may be a schema beside others.
func (re *rehearsal) ours(t *sqldb.Table) bool { return slices.Contains(re.expected, t.FullName()) }

// compareLedgers returns what the ledger of the disturbed run says.
func (re *rehearsal) compareLedgers(ctx context.Context, calm, disturbed *sqldb.DB, job string) (map[string]tasks.Counters, error) {
	a, err := sqldb.LedgerTotals(ctx, calm, re.calmJob)
	if err != nil {
		return nil, err
	}
	b, err := sqldb.LedgerTotals(ctx, disturbed, job)
	if err != nil {
		return nil, err
	}
	for stage := range a {
		if _, ok := b[stage]; !ok {
			b[stage] = tasks.Counters{}
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(b)) {
		x, y := a[stage], b[stage]
		re.res.Quarantined += y.Quarantined
		for _, n := range []struct {
			what            string
			calm, disturbed int64
		}{{"read", x.Read, y.Read}, {"written", x.Written, y.Written}, {"set aside", x.Quarantined, y.Quarantined}, {"skipped", x.Skipped, y.Skipped}} {
			if n.calm != n.disturbed {
				re.res.Differences = append(re.res.Differences, fmt.Sprintf("%s: %s rows %s, undisturbed %s", stage, thousands(n.disturbed), n.what, thousands(n.calm)))
			}
		}
	}
	return b, nil
}

// compareTable sums both tables up; rows are looked at one by one only when the sums differ.
func (re *rehearsal) compareTable(ctx context.Context, calm, disturbed *sqldb.DB, t, there *sqldb.Table) error {
	r := rehearsedTable{Table: t.FullName(), LeftOut: re.leftOut[t.FullName()]}
	if there == nil {
		re.res.Differences = append(re.res.Differences, r.Table+": the table is missing in the disturbed run")
		there = &sqldb.Table{}
	}
	a, b := without(t, r.LeftOut), without(there, r.LeftOut)
	var err error
	if r.RowsCalm, r.ChecksumCalm, err = sqldb.Fingerprint(ctx, calm, a); err != nil {
		return err
	}
	if there.Name != "" {
		if r.Rows, r.Checksum, err = sqldb.Fingerprint(ctx, disturbed, b); err != nil {
			return err
		}
	}
	r.Equal = r.Rows == r.RowsCalm && r.Checksum == r.ChecksumCalm
	re.res.Rows += r.Rows
	re.res.Tables = append(re.res.Tables, r)
	if len(r.LeftOut) > 0 {
		re.note(fmt.Sprintf("%s: not compared are the columns that the target fills in by itself, otherwise in each run: %s", r.Table, listed(r.LeftOut, 8)))
	}
	if r.Equal || there.Name == "" {
		if !r.Equal {
			re.res.Lost += r.RowsCalm
		}
		return nil
	}
	return re.nameRows(ctx, calm, disturbed, a, b)
}

func (re *rehearsal) note(text string) {
	if !slices.Contains(re.res.Notes, text) {
		re.res.Notes = append(re.res.Notes, text)
	}
}

// nameRows says which rows differ.
func (re *rehearsal) nameRows(ctx context.Context, calm, disturbed *sqldb.DB, a, b *sqldb.Table) error {
	m, err := sqldb.MapByName(a, b)
	if err != nil {
		return err
	}
	walk := sqldb.WalkOf(a)
	named := 0
	report := func(d sqldb.Difference) bool {
		switch d.Kind {
		case sqldb.DiffMissing:
			re.res.Lost++
		case sqldb.DiffExtra:
			re.res.Twice++
		}
		if named++; named <= shownDifferences {
			re.res.Differences = append(re.res.Differences, rowText(d))
		}
		return true
	}
	r, err := sqldb.CompareRange(ctx, calm, disturbed, m, walk, nil, nil, "", report)
	if err == nil && sqldb.ModeOf(m, walk) == sqldb.CompareLookup {
		_, err = sqldb.FindExtra(ctx, calm, disturbed, m, walk, report)
	}
	if named > shownDifferences {
		re.res.Differences = append(re.res.Differences, fmt.Sprintf("%s: and %s more", a.FullName(), thousands(int64(named-shownDifferences))))
	}
	if err == nil && named == 0 {
		re.res.Differences = append(re.res.Differences, fmt.Sprintf("%s: the checksums differ; %s rows are equal", a.FullName(), thousands(r.Equal)))
	}
	return err
}

func rowText(d sqldb.Difference) string {
	where := d.Table + ", key " + d.Key.String()
	switch d.Kind {
	case sqldb.DiffMissing:
		return where + ": the row is missing in the disturbed run"
	case sqldb.DiffExtra:
		return where + ": the row is in the disturbed run only, or more often"
	}
	return fmt.Sprintf("%s, column %s: undisturbed %s, disturbed %s", where, d.Column, d.Source, d.Target)
}

// without is a table without some of its columns, and without a key that has one of them.
func without(t *sqldb.Table, columns []string) *sqldb.Table {
	if len(columns) == 0 {
		return t
	}
	left := *t
	gone := func(name string) bool { return slices.Contains(columns, name) }
	left.Columns = slices.DeleteFunc(slices.Clone(t.Columns), func(c sqldb.Column) bool { return gone(c.Name) })
	left.Uniques = slices.DeleteFunc(slices.Clone(t.Uniques), func(k sqldb.Key) bool { return slices.ContainsFunc(k.Columns, gone) })
	if t.PrimaryKey != nil && slices.ContainsFunc(t.PrimaryKey.Columns, gone) {
		left.PrimaryKey = nil
	}
	return &left
}
