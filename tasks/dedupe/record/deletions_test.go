package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

func deletionHeader() record.DeletionHeader {
	return record.DeletionHeader{
		Job: "del-71c0aa", Analysis: "ded-4f0h2n", Digest: strings.Repeat("0123456789abcdef", 4), At: now.Add(2 * time.Hour),
		Store: "postgres://sync@db.example.com/sync", Stint: "1.4.0", Limit: 4, RecencyDays: 7,
	}
}

func deletions() []record.Deletion {
	began, ended := now.Add(2*time.Hour+time.Second), now.Add(2*time.Hour+9*time.Second)
	parts := []datasets.Part{{Number: 1, Size: 90_000, Digest: strings.Repeat("a", 64)}, {Number: 2, Size: 30_000, Digest: strings.Repeat("b", 64)}}
	return []record.Deletion{
		{Customer: "17", Database: "1001", Outcome: record.Deleted, Witness: "1003", Rows: 6044, Bytes: 1_200_000, Tables: map[string]int64{"row": 3022, "row_blob": 3022}, OnlyHere: 20, Started: &began, Ended: &ended, Archive: record.ArchiveOf("dedupe/del-71c0aa/17/1001", parts)},
		{Customer: "17", Database: "1002", Outcome: record.Spared, Why: "it was synced 3 minutes ago", Witness: "1003", Started: &began, Ended: &began},
		{Customer: "21", Database: "5001", Outcome: record.Stopped, Why: "it was synced in the middle; its rows are put back", Witness: "5002", Started: &began, Ended: &ended},
		{Customer: "22", Database: "6001", Outcome: record.Failed, Why: "a foreign key of table audit keeps its rows", Witness: "6002", Rows: 5000, Bytes: 900, Tables: map[string]int64{"row_blob": 5000}, Started: &began, Ended: &ended, Archive: record.ArchiveOf("dedupe/del-71c0aa/22/6001", parts[:1])},
		{Customer: "23", Database: "7001", Outcome: record.OverLimit, Witness: "7002", OnlyHere: 4},
	}
}

func writeDeletions(t *testing.T) (text []byte, digest string) {
	t.Helper()
	var b bytes.Buffer
	w := record.NewDeletionWriter(&b, deletionHeader())
	for _, d := range deletions() {
		if err := w.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(now.Add(3 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.Digest()
}

func TestDeletionsAndTheirSummaryAreThoseOfTheSamples(t *testing.T) {
	t.Parallel()
	text, digest := writeDeletions(t)
	golden(t, "deletions.jsonl", text)
	r, err := record.NewDeletionReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range deletions() {
		line, err := r.Next()
		if err != nil || !reflect.DeepEqual(*line.Set, want) {
			t.Fatalf("%v %+v, want %+v", err, line.Set, want)
		}
	}
	if line, err := r.Next(); err != nil || line.End == nil || r.Digest() != digest {
		t.Fatalf("%v %+v %s", err, line, r.Digest())
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	var summary bytes.Buffer
	if err := record.DeletionSummary(&summary, r.Header, *r.End()); err != nil {
		t.Fatal(err)
	}
	golden(t, "deletions.txt", summary.Bytes())
}

func TestADeletionsFileThatIsCutOffOrChangedIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	text, digest := writeDeletions(t)
	read := func(text []byte) (string, error) {
		r, err := record.NewDeletionReader(bytes.NewReader(text))
		for err == nil {
			if _, err = r.Next(); err == io.EOF {
				return r.Digest(), nil
			}
		}
		return "", err
	}
	for n := 0; n < len(text); n += 3 { // a third of them is plenty
		if _, err := read(text[:n]); !errors.Is(err, record.ErrCutOff) {
			t.Fatalf("cut off at byte %d: %v", n, err)
		}
		changed := bytes.Clone(text)
		changed[n] ^= 1
		if got, err := read(changed); err == nil && got == digest {
			t.Fatalf("byte %d was changed, and nothing is said", n)
		}
	}
}

func TestAnOutcomeThatNobodyKnowsIsRefused(t *testing.T) {
	t.Parallel()
	w := record.NewDeletionWriter(io.Discard, deletionHeader())
	if err := w.Add(record.Deletion{Customer: "1", Database: "2", Outcome: "gone"}); err == nil {
		t.Error("no error")
	}
	if _, err := w.Close(now); err == nil {
		t.Error("it has been closed as if it were whole")
	}
}

func TestTotalsTellOfTheFirstThatDidNotGo(t *testing.T) {
	t.Parallel()
	var totals record.DeletionTotals
	for i := range 3 * record.MaxTold {
		totals.Add(record.Deletion{Customer: fmt.Sprint(i), Outcome: record.Outcomes[i%len(record.Outcomes)], Why: "why"})
	}
	if len(totals.Told) != record.MaxTold || totals.Sets() != 3*record.MaxTold {
		t.Errorf("%d of %d", len(totals.Told), totals.Sets())
	}
	for _, d := range totals.Told {
		if d.Outcome == record.Deleted || d.Outcome == record.OverLimit || d.Outcome == record.NotReached {
			t.Errorf("%+v", d)
		}
	}
}
