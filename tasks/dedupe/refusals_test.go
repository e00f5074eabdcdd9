package dedupe

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

// TestAnAnalysisIsNotCarriedOutBlindly walks the refusals.
func TestAnAnalysisIsNotCarriedOutBlindly(t *testing.T) {
	t.Parallel()
	l, _ := made(t, dialects[0].url(t), datasetstest.Spec{Seed: 6, Customers: 6, Rows: 1_000, Payload: 20, Children: -1})
	little := 0.01
	for _, c := range []struct {
		name string
		rule RuleSpec
		with func(*DeletionSpec)
		want string
	}{
		{"another digest", bold(), func(d *DeletionSpec) { d.Digest = "sha256:" + strings.Repeat("0", 64) }, "not the one that was approved"},
		{"no digest", bold(), func(d *DeletionSpec) { d.Digest = "" }, "digest: it is missing"},
		{"too old", bold(), func(d *DeletionSpec) { d.Apply.MaxAge = "1ns" }, "may be 1ns old"},
		{"no analysis", bold(), func(d *DeletionSpec) { d.Job = "nobody" }, "there is no analysis of job nobody"},
		{"more than may go", RuleSpec{MaxShare: &little}, func(*DeletionSpec) {}, "of all data would go"},
		{"a customer loses too much", RuleSpec{MaxShareCustomer: &little}, func(*DeletionSpec) {}, "of their data"},
		{"fewer days", bold(), func(d *DeletionSpec) { d.Apply.RecencyDays = &little }, "cannot go by fewer days"},
		{"a negative limit", bold(), func(d *DeletionSpec) { d.Apply.Limit = -1 }, "limit: -1"},
	} {
		analysis := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: c.rule})
		if _, err := l.run(analysis); err != nil {
			t.Fatal(err)
		}
		before := l.rowsOf()
		spec := DeletionSpec{Job: analysis.ID, Store: "store", Digest: digestIn(t, l.output(analysis, fileAnalysis)), Apply: ApplySpec{Limit: 100}}
		c.with(&spec)
		_, err := l.run(l.job(KindDeletion, spec))
		if err == nil || !strings.Contains(err.Error(), c.want) || !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q), want %q", c.name, err, tasks.HintOf(err), c.want)
		}
		if got := l.rowsOf(); !slices.Equal(got, before) {
			t.Errorf("%s: something has gone", c.name)
		}
	}
}

// TestWhatHasSyncedSinceTheAnalysisIsSpared lets each data set that may go sync, or its witness begin anew, before it is its turn.
func TestWhatHasSyncedSinceTheAnalysisIsSpared(t *testing.T) {
	t.Parallel()
	l, _ := made(t, dialects[0].url(t), datasetstest.Spec{Seed: 7, Customers: 14, Rows: 2_000, Payload: 20, Children: -1})
	analysis := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold()})
	if _, err := l.run(analysis); err != nil {
		t.Fatal(err)
	}
	text := l.output(analysis, fileAnalysis)
	r, err := record.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	orders, _, err := record.Orders(r, 5)
	if err != nil || len(orders) < 5 {
		t.Fatal(err, len(orders))
	}
	at := func(o record.Order, change string, database string) {
		l.exec(fmt.Sprintf(change, o.Customer, database))
	}
	const of = " WHERE customer_id = %s AND database_id = %s"
	at(orders[0], "UPDATE data_set SET last_synced_at = datetime('now', '-30 days')"+of, orders[0].Set.Database)
	at(orders[1], "UPDATE data_set SET complete = 0"+of, orders[1].Witness)
	at(orders[2], "DELETE FROM data_set"+of, orders[2].Witness)
	at(orders[3], "DELETE FROM entity_row"+of+" AND guid = (SELECT max(guid) FROM entity_row e WHERE e.customer_id = entity_row.customer_id AND e.database_id = entity_row.database_id)", orders[3].Set.Database)
	at(orders[4], "DELETE FROM entity_row"+of, orders[4].Witness)
	l.flush()
	want := []string{"it has synced since the analysis, at ", "is being uploaded", "is no longer in the registry", "its rows have changed since the analysis", "shares only 0 GUIDs with it now"}
	before := l.rowsOf()
	deletion := l.job(KindDeletion, DeletionSpec{Job: analysis.ID, Store: "store", Digest: digestIn(t, text), Apply: ApplySpec{Limit: 5, Busy: 1}})
	if _, err := l.run(deletion); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range l.deletions(deletion) {
		if d.Outcome == record.OverLimit {
			continue
		}
		i := slices.IndexFunc(orders, func(o record.Order) bool { return o.Customer == d.Customer && o.Set.Database == d.Database })
		if n++; d.Outcome != record.Spared || !strings.Contains(d.Why, want[i]) {
			t.Errorf("%s/%s: %s, %q; want it spared: %q", d.Customer, d.Database, d.Outcome, d.Why, want[i])
		}
	}
	if n != 5 {
		t.Errorf("%d data sets are told of", n)
	}
	if got := l.rowsOf(); !slices.Equal(got, before) {
		t.Error("something has gone")
	}
}

// TestArchivesExpire removes archives that are older than they are kept; the deletion stays on record, and undo says why it cannot.
func TestArchivesExpire(t *testing.T) {
	t.Parallel()
	l, _ := made(t, dialects[0].url(t), datasetstest.Spec{Seed: 8, Customers: 8, Rows: 1_000, Payload: 20, Children: -1})
	deletion := l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold(), Apply: &ApplySpec{Limit: 2, Busy: 1}, KeepArchives: "1h"})
	if _, err := l.run(deletion); err != nil {
		t.Fatal(err)
	}
	parts := func() int {
		page, err := l.files.List(t.Context(), archiveOf(deletion.ID), "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	if n := parts(); n == 0 {
		t.Fatal("an archive was removed before its time")
	}
	if _, err := l.run(l.job(Kind, Spec{Store: "store", Layout: withComplete, Rules: bold(), KeepArchives: "1ns"})); err != nil {
		t.Fatal(err)
	}
	if n := parts(); n != 0 {
		t.Errorf("%d parts are kept for ever", n)
	}
	if n := len(l.deletions(deletion)); n == 0 {
		t.Error("what was deleted is no longer on record")
	}
	found, err := l.run(l.job(KindRestoration, RestorationSpec{Job: deletion.ID, Store: "store"}))
	if err != nil || len(found) != 2 {
		t.Fatal(err, found)
	}
	t.Log(found[0].Message)
	if !strings.Contains(found[0].Message, "artifact") {
		t.Errorf("undo says %q", found[0].Message)
	}
}
