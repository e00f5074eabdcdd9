package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/pgtest"
)

const benchRows = 300_000

// legacySQLite makes a table like those that people migrate: money as REAL, times as text, GUIDs as text, NULLs.
func legacySQLite(tb testing.TB, rows int) (*DB, *Table) {
	tb.Helper()
	at, err := ParseURL("sqlite:" + filepath.Join(tb.TempDir(), "legacy.db"))
	if err != nil {
		tb.Fatal(err)
	}
	db, err := Open(context.Background(), at, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	for _, sql := range []string{
		`CREATE TABLE ledger_entries (id INTEGER PRIMARY KEY, property_id INTEGER NOT NULL, entry_guid TEXT NOT NULL, amount DECIMAL(12,2) NOT NULL,
 booked_at DATETIME, memo TEXT, is_void BOOLEAN NOT NULL)`,
		fmt.Sprintf(`INSERT INTO ledger_entries WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
 SELECT i, i*7919%%100000+1, printf('{%%08X-%%04X-4000-8000-%%012X}', i, i%%65536, i), (i*7919%%100000)/100.0,
 datetime(1500000000+i*37, 'unixepoch'), CASE WHEN i%%10=0 THEN NULL ELSE 'Payment "no" '||i||' für Objekt '||(i%%977) END, i%%50=0 FROM n`, rows),
	} {
		if err := tryRun(db, sql); err != nil {
			tb.Fatal(err)
		}
	}
	return db, &Table{Name: "ledger_entries", RowID: "rowid", Rows: int64(rows), PrimaryKey: &Key{Columns: []string{"id"}}, Columns: []Column{
		{Name: "id", Type: "INTEGER", Kind: KindInt64, Identity: true},
		{Name: "property_id", Type: "INTEGER", Kind: KindInt64, NotNull: true},
		{Name: "entry_guid", Type: "TEXT", Kind: KindText, NotNull: true},
		{Name: "amount", Type: "DECIMAL(12,2)", Kind: KindNumeric, Precision: 12, Scale: 2, NotNull: true},
		{Name: "booked_at", Type: "DATETIME", Kind: KindTimestamp},
		{Name: "memo", Type: "TEXT", Kind: KindText},
		{Name: "is_void", Type: "BOOLEAN", Kind: KindBool, NotNull: true},
	}}
}

const legacyTarget = `CREATE TABLE ledger_entries (id bigint PRIMARY KEY, property_id bigint NOT NULL, entry_guid uuid NOT NULL,
 amount numeric(12,2) NOT NULL, booked_at timestamp without time zone, memo text, is_void boolean NOT NULL)`

func legacyTargetTable() *Table {
	return &Table{Name: "ledger_entries", PrimaryKey: &Key{Columns: []string{"id"}}, Columns: []Column{
		{Name: "id", Type: "bigint", Kind: KindInt64, NotNull: true},
		{Name: "property_id", Type: "bigint", Kind: KindInt64, NotNull: true},
		{Name: "entry_guid", Type: "uuid", Kind: KindUUID, NotNull: true},
		{Name: "amount", Type: "numeric(12,2)", Kind: KindNumeric, Precision: 12, Scale: 2, NotNull: true},
		{Name: "booked_at", Type: "timestamp without time zone", Kind: KindTimestamp},
		{Name: "memo", Type: "text", Kind: KindText},
		{Name: "is_void", Type: "boolean", Kind: KindBool, NotNull: true},
	}}
}

// durablePostgres opens a database on a server that syncs its commits.
func durablePostgres(tb testing.TB) *DB {
	tb.Helper()
	s, err := pgtest.Start("", pgtest.Options{Fsync: true, Settings: map[string]string{
		"shared_buffers": "512MB", "max_wal_size": "8GB", "autovacuum": "off"}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	if err := s.CreateDatabase(context.Background(), "bench"); err != nil {
		tb.Fatal(err)
	}
	at, err := ParseURL(s.URL("bench"))
	if err != nil {
		tb.Fatal(err)
	}
	db, err := Open(context.Background(), at, Options{MaxConns: 8})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// loadAll loads a table in chunks by some workers and returns the counters of all.
func loadAll(ctx context.Context, src, dst *DB, m *Mapping, job string, chunkRows, workers int) error {
	w := WalkOf(m.Source)
	starts, err := Boundaries(ctx, src, m.Source, w, nil, chunkRows, 1<<20)
	if err != nil {
		return err
	}
	chunks := make(chan Chunk)
	errs := make(chan error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for c := range chunks {
				if err := loadChunk(ctx, src, dst, m, w, c, LoaderOptions{Job: job, Stage: "s", Step: fmt.Sprint(c.Seq), Worker: fmt.Sprint("w", i),
					Attempt: "a"}); err != nil {
					errs <- err
					break
				}
			}
			for range chunks {
			}
		})
	}
	var from RowKey
	for i := 0; i <= len(starts); i++ {
		c := Chunk{Seq: int64(i), From: from}
		if i < len(starts) {
			c.To = starts[i]
		}
		from = c.To
		chunks <- c
	}
	close(chunks)
	wg.Wait()
	close(errs)
	return <-errs
}

// loadChunk is what an attempt does: go on from the ledger to the end of the chunk.
func loadChunk(ctx context.Context, src, dst *DB, m *Mapping, w Walk, c Chunk, opts LoaderOptions) error {
again:
	to, done, _, err := Progress(ctx, dst, opts.Job, opts.Stage, opts.Step)
	if err != nil || done {
		return err
	}
	from := c.From
	if to != nil {
		from = to
	}
	b, err := NewBatcher(ctx, src, m, w, dst.Dialect, from, c.To, Limits{})
	if err != nil {
		return err
	}
	defer b.Close()
	l, err := NewLoader(ctx, dst, m, opts)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		batch, err := b.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = l.Load(ctx, batch)
		batch.Release()
		if errors.Is(err, ErrTaken) {
			b.Close()
			l.Close()
			goto again
		}
		if err != nil {
			return err
		}
	}
}

// loadPlainly is what the fastest program that cannot resume does: one COPY for each half of the table, fed as it is read, with
// no ledger. It shares our reader and encoder, so what is left is the price of doing it exactly once.
func loadPlainly(ctx context.Context, src, dst *DB, m *Mapping) error {
	w := WalkOf(m.Source)
	middle := RowKey{int64(benchRows/2 + 1)}
	errs := make(chan error, 2)
	for _, half := range [][2]RowKey{{nil, middle}, {middle, nil}} {
		go func() {
			errs <- func() error {
				p, err := newPlan(src.Dialect, dst.Dialect, m)
				if err != nil {
					return err
				}
				rows, err := readColumns(ctx, src, m.Source, w, p.selected, half[0], half[1])
				if err != nil {
					return err
				}
				defer rows.Close()
				conn, err := dst.Pool.Acquire(ctx)
				if err != nil {
					return err
				}
				defer conn.Release()
				_, err = conn.Conn().PgConn().CopyFrom(ctx, &plainReader{p: p, rows: rows, buf: []byte(copyHeader)}, p.copySQL())
				return err
			}()
		}()
	}
	return errors.Join(<-errs, <-errs)
}

// plainReader encodes rows as they are asked for.
type plainReader struct {
	p     *plan
	rows  *Rows
	batch Batch
	buf   []byte
	ended bool
}

func (r *plainReader) Read(out []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		r.batch.data = r.batch.data[:0]
		for len(r.batch.data) < 60_000 && !r.ended {
			if !r.rows.Next() {
				r.batch.data = append(r.batch.data, copyTrailer...)
				r.ended = true
			} else if bad := r.p.addCopy(&r.batch, r.rows.cells); bad != nil {
				return 0, bad
			}
		}
		r.batch.ends = r.batch.ends[:0]
		r.buf = r.batch.data
	}
	n := copy(out, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// BenchmarkLoadSQLiteIntoPostgres takes the ways in turn, so that what else the machine does hits all of them, and reports the
// median of each.
func BenchmarkLoadSQLiteIntoPostgres(b *testing.B) {
	ctx := context.Background()
	src, table := legacySQLite(b, benchRows)
	dst := durablePostgres(b)
	if err := EnsureLedger(ctx, dst); err != nil {
		b.Fatal(err)
	}
	m, err := MapByName(table, legacyTargetTable())
	if err != nil {
		b.Fatal(err)
	}
	ways := []struct{ chunk, workers int }{{10_000, 1}, {10_000, 2}, {10_000, 4}, {100_000, 2}, {0, 2}}
	took := make([][]time.Duration, len(ways))
	for i := range b.N {
		for w, way := range ways {
			for _, sql := range []string{"DROP TABLE IF EXISTS ledger_entries", legacyTarget, "CHECKPOINT"} {
				if err := tryRun(dst, sql); err != nil {
					b.Fatal(err)
				}
			}
			start := time.Now()
			if way.chunk == 0 {
				err = loadPlainly(ctx, src, dst, m)
			} else {
				err = loadAll(ctx, src, dst, m, fmt.Sprint(i, w, start), way.chunk, way.workers)
			}
			if err != nil {
				b.Fatal(err)
			}
			took[w] = append(took[w], time.Since(start))
			var n int
			if err := queryRow(ctx, dst, "SELECT count(*) FROM ledger_entries", nil, &n); err != nil || n != benchRows {
				b.Fatal(n, err)
			}
		}
	}
	for w, way := range ways {
		slices.Sort(took[w])
		name := fmt.Sprintf("%dk-chunks-%d-workers", way.chunk/1000, way.workers)
		if way.chunk == 0 {
			name = "plain-COPY"
		}
		b.ReportMetric(benchRows/took[w][len(took[w])/2].Seconds(), name+"-rows/s")
	}
	b.ReportMetric(0, "ns/op")
}

func BenchmarkEncode(b *testing.B) {
	ctx := context.Background()
	src, table := legacySQLite(b, benchRows)
	m, err := MapByName(table, legacyTargetTable())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		batcher, err := NewBatcher(ctx, src, m, WalkOf(table), Postgres, nil, nil, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		rows := 0
		for {
			batch, err := batcher.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if len(batch.bad) > 0 {
				b.Fatal(batch.bad[0])
			}
			rows += batch.RowsEncoded
			batch.Release()
		}
		if rows != benchRows {
			b.Fatal(rows)
		}
		batcher.Close()
	}
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkLoadSQLiteIntoSQLite(b *testing.B) {
	ctx := context.Background()
	src, table := legacySQLite(b, benchRows)
	for b.Loop() {
		at, err := ParseURL("sqlite:" + filepath.Join(b.TempDir(), "target.db"))
		if err != nil {
			b.Fatal(err)
		}
		dst, err := Open(ctx, at, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := EnsureLedger(ctx, dst); err != nil {
			b.Fatal(err)
		}
		if err := tryRun(dst, `CREATE TABLE ledger_entries (id INTEGER PRIMARY KEY, property_id INTEGER NOT NULL, entry_guid TEXT NOT NULL,
 amount DECIMAL(12,2) NOT NULL, booked_at DATETIME, memo TEXT, is_void BOOLEAN NOT NULL)`); err != nil {
			b.Fatal(err)
		}
		m, err := MapByName(table, table)
		if err != nil {
			b.Fatal(err)
		}
		if err := loadAll(ctx, src, dst, m, "job", 100_000, 1); err != nil {
			b.Fatal(err)
		}
		dst.Close()
	}
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
