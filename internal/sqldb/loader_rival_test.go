package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
)

const numbered = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"

// numberedRows returns an INSERT of n rows for SQLite.
func numberedRows(n int) string {
	return fmt.Sprintf("INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < %d) SELECT i, 'value '||i FROM g", n)
}

// persist loads a chunk as a worker would: it tries again after every error that lets it.
func persist(ctx context.Context, src, dst *DB, m *Mapping, c Chunk, o LoaderOptions, limits Limits) error {
	for attempt := 0; ; attempt++ {
		o.Attempt = fmt.Sprint(attempt)
		err := attemptOnce(ctx, src, dst, m, c, o, limits)
		if err == nil || tasks.IsPermanent(err) || ctx.Err() != nil || attempt > 500 {
			return err
		}
	}
}

func attemptOnce(ctx context.Context, src, dst *DB, m *Mapping, c Chunk, o LoaderOptions, limits Limits) error {
	to, done, _, err := Progress(ctx, dst, o.Job, o.Stage, o.Step)
	if err != nil || done {
		return err
	}
	from := c.From
	if to != nil {
		from = to
	}
	b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), dst.Dialect, from, c.To, limits)
	if err != nil {
		return err
	}
	defer b.Close()
	l, err := NewLoader(ctx, dst, m, o)
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
		if err != nil {
			return err
		}
	}
}

func TestRivalsOnTheSameChunkLoadItOnce(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, numbered, numberedRows(3000))
	targets(t, func(t *testing.T, dst *DB) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		run(t, dst, "CREATE TABLE t (id bigint, v text)") // no key: a row that came twice would stay
		m := pair(t, src, dst, "t")
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				o := opts("1")
				o.Worker = fmt.Sprint(i)
				// Different limits: the rivals' batches do not end at the same rows.
				if err := persist(ctx, src, dst, m, Chunk{}, o, Limits{Rows: 100 + 37*i}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := one(t, dst, "SELECT count(*)||' '||count(DISTINCT id)||' '||(SELECT sum(rows_written) FROM stint_ledger) FROM t"); got != "3000 3000 3000" {
			t.Error(got)
		}
	})
}

func TestARivalThatIsFrozenIsNotWaitedForAndCanBeEnded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, numbered, numberedRows(10))
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
	m := pair(t, src, dst, "t")
	// The frozen one has written its ledger row and rows, and never commits.
	frozen, err := dst.Pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Release()
	for _, sql := range []string{fmt.Sprintf("SELECT pg_advisory_lock_shared(%d)", stepLock("job", "stage", "1")), "BEGIN",
		ledgerInsert + "'job', 'stage', '1', '', '', 1, 10, 10, 0, 0, 0, '', 'frozen', 'a1')", "INSERT INTO t VALUES (1, 'half')"} {
		if _, err := frozen.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	o := opts("1")
	o.LockTimeout = 50 * time.Millisecond
	err = attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{})
	if _, ok := tasks.RetryAfterOf(err); !ok {
		t.Fatalf("waiting for a frozen rival ended with %v", err)
	}
	if n, err := EndRivals(ctx, dst, "job", "stage", "2"); n != 0 || err != nil {
		t.Fatalf("another step has %d rivals: %v", n, err)
	}
	if n, err := EndRivals(ctx, dst, "job", "stage", "1"); n != 1 || err != nil {
		t.Fatalf("%d sessions were ended, want the frozen one: %v", n, err)
	}
	if err := persist(ctx, src, dst, m, Chunk{}, o, Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, dst, "SELECT count(*)||' '||min(v) FROM t"); got != "10 value 1" {
		t.Error(got)
	}
	if _, err := frozen.Exec(ctx, "COMMIT"); err == nil {
		t.Error("the frozen rival could commit after all")
	}
}

func TestALoaderOfARangeThatIsTakenSaysSo(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, numbered, numberedRows(10))
	targets(t, func(t *testing.T, dst *DB) {
		ctx := context.Background()
		run(t, dst, "CREATE TABLE t (id bigint, v text)")
		m := pair(t, src, dst, "t")
		batches := make([]*Batch, 2)
		for i := range batches {
			b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), dst.Dialect, nil, nil, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if batches[i], err = b.Next(); err != nil {
				t.Fatal(err)
			}
		}
		l, err := NewLoader(ctx, dst, m, opts("1"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.Load(ctx, batches[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Load(ctx, batches[1]); !errors.Is(err, ErrTaken) {
			t.Errorf("%v", err)
		}
		if got := one(t, dst, "SELECT count(*) FROM t"); got != "10" {
			t.Error(got)
		}
	})
}

// cutter is a way to a server that breaks after a number of bytes.
type cutter struct {
	listener net.Listener
	backend  string
	left     atomic.Int64 // bytes until it breaks, once; negative: never
	answers  bool         // count what the server says, not what it is told
}

// newCutter listens before a PostgreSQL server and returns the URL that leads through it.
func newCutter(t *testing.T, at string, answers bool) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, backend: u.Host, answers: answers}
	c.left.Store(-1)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	u.Host = l.Addr().String()
	return c, u.String()
}

func (c *cutter) serve(client net.Conn) {
	server, err := net.Dial("tcp", c.backend)
	if err != nil {
		client.Close()
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.pipe(server, client, !c.answers) })
	wg.Go(func() { c.pipe(client, server, c.answers) })
	wg.Wait()
}

// pipe copies until an end closes, or until the bytes are used up: then both ends break, in the middle of whatever it is.
func (c *cutter) pipe(to, from net.Conn, counted bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 && counted && c.left.Load() >= 0 {
			if left := c.left.Add(int64(-n)); left < 0 {
				_, _ = to.Write(buf[:int64(n)+left]) // the last bytes that get through
				c.left.Store(-1)
				return
			}
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestAConnectionThatBreaksAnywhereLosesAndDoublesNothing cuts the connection at every few bytes of a whole load, in either
// direction: within the ledger's row, within COPY, before COMMIT, before the answer to COMMIT.
func TestAConnectionThatBreaksAnywhereLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprintf("answers=%v", answers), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			src := sqliteFile(t, numbered, numberedRows(60), "UPDATE t SET v = 'a'||char(0) WHERE id % 20 = 3")
			at := pgtest.New(t)
			dst := openAt(t, at, Options{})
			run(t, dst, "CREATE TABLE t (id bigint, v text CHECK (v NOT LIKE '%17'))")
			m := pair(t, src, dst, "t")
			cut, through := newCutter(t, at, answers)
			step := int64(97)
			if answers {
				step = 13
			}
			broken := openAt(t, through, Options{})
			for left, cuts := int64(0), 0; ; left += step {
				o := opts(fmt.Sprint(left))
				broken.Pool.Reset()
				if err := broken.Ping(ctx); err != nil {
					t.Fatal(err)
				}
				cut.left.Store(left)
				if err := persist(ctx, src, broken, m, Chunk{}, o, Limits{Rows: 25}); err != nil {
					t.Fatal(err)
				}
				whole := cut.left.Swap(-1) >= 0
				if got := one(t, dst, fmt.Sprintf("SELECT count(*)||' '||count(DISTINCT id)||' '||(SELECT count(*) FROM stint_quarantine WHERE step = '%d')||' '||"+
					"(SELECT sum(rows_written)||' '||sum(rows_quarantined) FROM stint_ledger WHERE step = '%d') FROM t", left, left)); got != "56 56 4 56 4" {
					t.Fatalf("cut after %d bytes: %s", left, got)
				}
				run(t, dst, "TRUNCATE t")
				if whole { // all of it fitted in: there is nothing left to cut
					if cuts < 20 {
						t.Errorf("only %d cuts", cuts)
					}
					t.Logf("%d cuts, the last after %d bytes", cuts, left-step)
					return
				}
				cuts++
			}
		})
	}
}

func TestALoadThatIsCancelledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, numbered, numberedRows(10))
	targets(t, func(t *testing.T, dst *DB) {
		run(t, dst, "CREATE TABLE t (id bigint, v text)")
		m := pair(t, src, dst, "t")
		ctx, cancel := context.WithCancel(context.Background())
		b, err := NewBatcher(context.Background(), src, m, WalkOf(m.Source), dst.Dialect, nil, nil, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		batch, err := b.Next()
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLoader(ctx, dst, m, opts("1"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := l.Load(ctx, batch); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		l.Close()
		if got := one(t, dst, "SELECT count(*)||' '||(SELECT count(*) FROM stint_ledger) FROM t"); got != "0 0" {
			t.Error(got)
		}
		if err := persist(context.Background(), src, dst, m, Chunk{}, opts("1"), Limits{}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNamesOfSessionsStayWithinWhatPostgresKeeps(t *testing.T) {
	t.Parallel()
	long := "a-very-long-host-name.with.many.parts.example.org-12345-abcdef"
	for _, n := range []string{AppName("w", "a"), AppName(long, long), AppName("w/x y", "ä"), AppName(long, "")} {
		if len(n) > maxAppName {
			t.Errorf("%s has %d bytes", n, len(n))
		}
	}
	if AppName(long, "1") == AppName(long+"x", "1") || AppName("w", "a") != "stint/w/a" {
		t.Error("names are not kept apart")
	}
}
