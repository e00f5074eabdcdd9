package datasets

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestNewerRowsAreNeverOverwritten(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		parts := l.deleteAll("j1", 1000)
		refused := func() {
			t.Helper()
			before := l.dump()
			_, _, err := l.RestorePart(l.ctx, "j1", old, len(parts), RestoreOptions{Artifacts: l.files})
			if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "has rows of it again") || tasks.HintOf(err) == "" {
				t.Fatal(err)
			}
			l.state("j1", Gone)
			l.sameDump(l.dump(), before)
		}
		l.exec("INSERT INTO data_set (customer_id, database_id, last_synced_at) VALUES (7, '" + old.Database + "', '2027-01-01 00:00:00')")
		refused()
		l.exec("INSERT INTO row_store (customer_id, database_id, guid, id) SELECT customer_id, '" + old.Database + "', guid, 99 FROM row_store WHERE customer_id = 7 AND " +
			"database_id = '" + kept.Database + "' AND guid = '" + labGUID(2) + "'")
		refused()
		restored, left := l.restoreAll("j1", true)
		if want := int64(labRows + labRows/2 + 1); left != 2 || restored != want-2 {
			t.Errorf("%d rows came back and %d were there", restored, left)
		}
		l.state("j1", Restored)
		if got := l.texts("SELECT note FROM data_set WHERE note IS NOT NULL AND customer_id = 7 AND database_id = '" + old.Database + "'"); len(got) != 0 {
			t.Errorf("the new row of the registry became %q", got)
		}
		if l.flag() != "" {
			t.Errorf("the flag of the new row is %q", l.flag())
		}
	})
}

func TestADamagedArchiveChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		parts := l.deleteAll("j1", 30)
		last := parts[len(parts)-1]
		file := filepath.Join(l.dir, filepath.FromSlash(last.Key))
		whole, err := os.ReadFile(file)
		l.must(err)
		before := l.dump()
		flipped := bytes.Clone(whole)
		flipped[len(flipped)-9] ^= 1
		another, err := os.ReadFile(filepath.Join(l.dir, filepath.FromSlash(parts[0].Key)))
		l.must(err)
		for _, content := range [][]byte{flipped, whole[:len(whole)/2], append(bytes.Clone(whole), 0), append(bytes.Clone(whole), whole...), {}, []byte("no archive"), another} {
			l.must(os.WriteFile(file, content, 0o600))
			_, _, err := l.RestorePart(l.ctx, "j1", old, last.Number, RestoreOptions{Artifacts: l.files})
			if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "is not what was put there") {
				t.Errorf("%d bytes: %v", len(content), err)
			}
		}
		l.must(os.Remove(file))
		if _, _, err := l.RestorePart(l.ctx, "j1", old, last.Number, RestoreOptions{Artifacts: l.files}); !errors.Is(err, artifact.ErrNotFound) {
			t.Error(err)
		}
		l.sameDump(l.dump(), before)
		l.state("j1", Gone)
		l.must(os.WriteFile(file, whole, 0o600))
		l.restoreAll("j1", false)
	})
}

// waitingReader is an archive that comes from far away.
type waitingReader struct{ entered, release chan struct{} }

func (r waitingReader) Read([]byte) (int, error) {
	select {
	case r.entered <- struct{}{}:
	default:
	}
	<-r.release
	return 0, io.EOF
}

// What is left of it is read to its end afterwards: by two at once it would be another one, and called damaged for good.
func TestAnArchiveWhoseRestorationIsCutOffIsReadByNobodyAfterwards(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqldb.Postgres, labLayout)
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	r := waitingReader{make(chan struct{}, 1), make(chan struct{})}
	in := insertion{table: &l.registry, columns: []*sqldb.Column{&l.registry.Columns[0]}}
	over := make(chan error, 1)
	go func() {
		over <- l.begin(ctx, func(tx *txn) error {
			_, err := in.postgres(ctx, tx, &archiveReader{rows: bufio.NewReader(r)})
			select {
			case <-r.release:
			default:
				t.Error("the archive is free while it is still being read")
			}
			return err
		})
	}()
	select {
	case <-r.entered:
	case err := <-over:
		t.Fatal(err)
	}
	cancel()
	select {
	case <-over: // said above
		close(r.release)
	case <-time.After(300 * time.Millisecond):
		close(r.release)
		<-over
	}
}

func TestPartsAreTakenFromTheLastToTheFirst(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		parts := l.deleteAll("j1", 30)
		for _, number := range []int{1, 0, -1, len(parts) + 1} {
			if _, _, err := l.RestorePart(l.ctx, "j1", old, number, RestoreOptions{Artifacts: l.files}); !tasks.IsPermanent(err) {
				t.Errorf("part %d: %v", number, err)
			}
		}
		if _, _, err := l.RestorePart(l.ctx, "j2", old, 1, RestoreOptions{Artifacts: l.files}); !tasks.IsPermanent(err) {
			t.Error(err)
		}
		_, _, err := l.RestorePart(l.ctx, "j1", old, len(parts), RestoreOptions{Artifacts: l.files})
		l.must(err)
		l.state("j1", Stopped)
		if l.flag() != "1" {
			t.Errorf("the flag is %q while rows are put back", l.flag())
		}
		if spared, err := l.Hold(l.ctx, "j2", old, kept, yes); err != nil || !strings.Contains(spared, "put back") {
			t.Errorf("another job took what is being put back: %q, %v", spared, err)
		}
		l.restoreAll("j1", false)
		l.state("j1", Restored)
	})
}
