package datasets

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestWhatIsDeletedComesBackExactlyAsItWas(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		l.hold("j1")
		parts := l.deleteAll("j1", 7)
		rows := int64(0)
		for i, p := range parts {
			if p.Number != i+1 || p.Rows == 0 || p.Rows > 7 {
				t.Errorf("part %d has the number %d and %d rows", i+1, p.Number, p.Rows)
			}
			rows += p.Rows
		}
		if want := int64(labRows + labRows/2 + 1); rows != want {
			t.Errorf("%d rows are archived, want %d", rows, want)
		}
		if got := l.state("j1", Gone); len(got.Parts) != len(parts) {
			t.Errorf("%d parts are noted, want %d", len(got.Parts), len(parts))
		}
		for table, dump := range l.dump() {
			whole, gone := strings.Count(before[table], old.Database), strings.Count(dump, old.Database)
			if l.db.Dialect != sqldb.MySQL && gone*2 != whole { // those of the other customer have the same database id
				t.Errorf("%s: %d of %d rows are there", table, gone, whole)
			}
		}
		if b, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7)); err != nil || !b.Done || b.Part != nil {
			t.Errorf("once more: %+v, %v", b, err)
		}
		if restored, left := l.restoreAll("j1", false); restored != rows || left != 0 {
			t.Errorf("%d rows came back and %d were there, want %d and 0", restored, left, rows)
		}
		l.state("j1", Restored)
		l.sameDump(l.dump(), before)
		if restored, left := l.restoreAll("j1", false); restored != 0 || left != 0 {
			t.Errorf("what was put back was put back again: %d, %d", restored, left)
		}
		if spared, err := l.Hold(l.ctx, "j2", old, kept, yes); spared != "" || err != nil {
			t.Errorf("another job cannot delete it afterwards: %q, %v", spared, err)
		}
	})
}

func TestASyncStopsTheDeletionAndWhatWasGoneComesBack(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		l.hold("j1")
		for range 5 {
			b, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7))
			l.must(err)
			if b.Part == nil || b.Done || b.Stopped != "" {
				t.Fatalf("%+v", b)
			}
		}
		l.sync(old, "2026-03-04 05:06:07")
		for range 2 {
			b, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7))
			l.must(err)
			if b.Part != nil || !strings.Contains(b.Stopped, "synced at 2026-03-04") {
				t.Fatalf("%+v", b)
			}
		}
		p := l.state("j1", Stopped)
		if spared, err := l.Hold(l.ctx, "j2", old, kept, yes); err != nil || !strings.Contains(spared, "stopped") {
			t.Errorf("another job got it: %q, %v", spared, err)
		}
		l.exec("INSERT INTO row_store (customer_id, database_id, guid, id) SELECT customer_id, '" + old.Database + "', guid, 99 FROM row_store WHERE customer_id = 7 AND " +
			"database_id = '" + kept.Database + "' AND guid = '" + labGUID(0) + "'") // the client uploads a row again
		if l.flag() != "1" {
			t.Errorf("the flag is %q before all is back", l.flag())
		}
		restored, left := l.restoreAll("j1", true)
		if want := p.Parts[0].Rows; restored == 0 || left != 1 || want == 0 {
			t.Errorf("%d rows came back and %d were there", restored, left)
		}
		l.state("j1", Restored)
		l.exec("DELETE FROM detail WHERE customer_id = 7 AND guid = '" + labGUID(0) + "' AND database_id = '" + old.Database + "'")
		l.exec("DELETE FROM row_store WHERE id = 99")
		l.sync(old, "2026-01-02 03:04:05.123456")
		after := l.dump()
		if n, m := strings.Count(after["row_store"], "\n"), strings.Count(before["row_store"], "\n"); n > m || l.flag() != "" {
			t.Errorf("%d of %d rows are there, the flag is %q", n, m, l.flag())
		}
	})
}

func TestADeletionWithoutItsWitnessStopsBeforeTheFirstRow(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		for _, table := range []string{"detail", "row_store", "data_set"} {
			l.exec("DELETE FROM " + table + " WHERE customer_id = 7 AND database_id = '" + kept.Database + "'")
		}
		before := l.dump()
		b, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7))
		l.must(err)
		if b.Part != nil || b.Done || !strings.Contains(b.Stopped, "witness") {
			t.Fatalf("%+v", b)
		}
		l.state("j1", Restored) // there is nothing to put back
		if l.flag() != "" {
			t.Errorf("the flag is %q", l.flag())
		}
		before["data_set"] = l.dump()["data_set"]
		l.sameDump(l.dump(), before)
	})
}

func TestRowsThatComeInBehindTheDeletionStopIt(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		for range 4 {
			_, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7))
			l.must(err)
		}
		l.exec("INSERT INTO row_store (customer_id, database_id, guid, id) SELECT customer_id, '" + old.Database + "', guid, 99 FROM row_store WHERE customer_id = 7 AND " +
			"database_id = '" + kept.Database + "' AND guid = '" + labGUID(0) + "'")
		var last Batch
		for !last.Done && last.Stopped == "" {
			var err error
			last, err = l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7))
			l.must(err)
		}
		if !strings.Contains(last.Stopped, "rows came into the table row_store") {
			t.Fatalf("%+v", last)
		}
		l.state("j1", Stopped)
	})
}

func TestWhatIsReleasedIsNotDeletedAnyFurther(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		l.hold("j1")
		l.must(l.Release(l.ctx, "j1", old, "the job was cancelled"))
		if p := l.state("j1", Restored); p.Reason != "the job was cancelled" {
			t.Errorf("%+v", p)
		}
		b, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(7))
		if err != nil || b.Stopped == "" {
			t.Errorf("%+v, %v", b, err)
		}
		l.sameDump(l.dump(), before)
		l.hold("j2")
		_, err = l.DeleteBatch(l.ctx, "j2", old, kept, l.options(7))
		l.must(err)
		l.must(l.Release(l.ctx, "j2", old, "the job was cancelled"))
		l.state("j2", Stopped)
		l.restoreAll("j2", false)
		l.sameDump(l.dump(), before)
	})
}

// breaking is an artifact store whose process dies after so many puts, as far as anybody can see.
type breaking struct {
	artifact.Store
	after func() error
}

func (b *breaking) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	info, err := b.Store.Put(ctx, key, r, o)
	if b.after != nil && (err == nil || errors.Is(err, artifact.ErrExists)) {
		if died := b.after(); died != nil {
			err = died
		}
	}
	return info, err
}

func TestAnAttemptThatDiesBetweenArchiveAndCommitChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		l.hold("j1")
		if l.layout.Registry.Deleting != "" {
			before["data_set"] = l.dump()["data_set"]
		}
		died := errors.New("died")
		store := &breaking{Store: l.files, after: func() error { return died }}
		o := l.options(7)
		o.Artifacts = store
		if _, err := l.DeleteBatch(l.ctx, "j1", old, kept, o); !errors.Is(err, died) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(l.ctx)
		store.after = func() error { cancel(); return nil } // the worker is killed: its connection ends before the commit
		if _, err := l.DeleteBatch(ctx, "j1", old, kept, o); err == nil {
			t.Fatal("a killed worker committed")
		}
		l.sameDump(l.dump(), before)
		first, err := l.files.List(l.ctx, "deletions/", "", 100)
		l.must(err)
		if len(first) != 1 {
			t.Fatalf("%d artifacts of one part that was tried twice", len(first))
		}
		store.after = nil
		l.exec("UPDATE detail SET pos = pos + 1000 WHERE customer_id = 7") // so that the part becomes another one
		b, err := l.DeleteBatch(l.ctx, "j1", old, kept, o)
		l.must(err)
		if b.Part == nil || b.Part.Number != 1 || b.Part.Key == first[0].Key {
			t.Fatalf("%+v", b.Part)
		}
		l.deleteAll("j1", 7)
		removed, err := l.SweepOrphans(l.ctx, "j1", old, l.files, "deletions/j1")
		if err != nil || removed != 1 {
			t.Errorf("%d orphans are removed, %v", removed, err)
		}
		l.restoreAll("j1", false)
		l.exec("UPDATE detail SET pos = pos - 1000 WHERE customer_id = 7")
		before["data_set"] = l.dump()["data_set"]
		l.sameDump(l.dump(), before)
	})
}

func TestOfSeveralWorkersAtOnceNoneArchivesARowTwice(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		l.hold("j1")
		var mu sync.Mutex
		rows, numbers := int64(0), map[int]bool{}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for l.ctx.Err() == nil {
					b, err := l.DeleteBatch(l.ctx, "j1", old, kept, l.options(5))
					if _, again := tasks.RetryAfterOf(err); again {
						continue
					}
					if err != nil || b.Stopped != "" {
						t.Error(b.Stopped, err)
						return
					}
					mu.Lock()
					if b.Part != nil {
						rows += b.Part.Rows
						if numbers[b.Part.Number] {
							t.Errorf("part %d came twice", b.Part.Number)
						}
						numbers[b.Part.Number] = true
					}
					mu.Unlock()
					if b.Done {
						return
					}
				}
			})
		}
		wg.Wait()
		if want := int64(labRows + labRows/2 + 1); rows != want {
			t.Errorf("%d rows are archived, want %d", rows, want)
		}
		l.restoreAll("j1", false)
		l.sameDump(l.dump(), before)
	})
}

func TestMySQLReadsAndLocksWhatItDeletes(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqldb.MySQL, labLayout)
	archived := func(remove func(r *slice, tx *txn, a *archive) error) (content []byte) {
		undo := errors.New("undo")
		err := l.inTx(l.ctx, func(tx *txn) error {
			at, err := l.tableAt("row_store")
			l.must(err)
			a, err := newArchive(newHeader(sqldb.MySQL, &l.tables[at].info, "j1", old, 1))
			l.must(err)
			defer a.close()
			r := &slice{table: &l.tables[at].info, rows: 1000}
			r.order(sqldb.MySQL, &l.tables[at])
			r.where, err = l.whole(&l.tables[at], old)
			l.must(err)
			l.must(remove(r, tx, a))
			l.must(a.buf.Flush())
			l.must(a.zip.Close())
			if a.rows != labRows {
				t.Errorf("%d rows", a.rows)
			}
			content = append(content, a.spool.buf.Bytes()...)
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		return content
	}
	l.exec("DELETE FROM detail")
	returned := archived(func(r *slice, tx *txn, a *archive) error { return r.deleteReturning(l.ctx, tx, a, nil) })
	read := archived(func(r *slice, tx *txn, a *archive) error { return r.deleteRead(l.ctx, tx, a, nil) })
	if string(returned) != string(read) {
		t.Error("what is read is not what a DELETE returns")
	}
}
