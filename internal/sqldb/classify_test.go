package sqldb

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
)

func TestAStatementThatSomebodyCancelledSpendsTheBudget(t *testing.T) {
	t.Parallel()
	db := postgresDB(t)
	err := Classify(tryRun(db, "SET statement_timeout = 20; SELECT pg_sleep(5)"))
	if _, patience := tasks.RetryAfterOf(err); err == nil || patience || tasks.IsPermanent(err) {
		t.Errorf("want a plain error, which is tried again a few times, got %v", err)
	}
}

// wire is a piece of network in front of a server, which can be cut.
type wire struct {
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

// newWire returns a wire to the server of a URL, and the URL by it.
func newWire(t *testing.T, to string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cut)
	server := u.Host
	go func() {
		for near, err := w.listener.Accept(); err == nil; near, err = w.listener.Accept() {
			far, err := net.Dial("tcp", server)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	u.Host = w.listener.Addr().String()
	return w, u.String()
}

func (w *wire) cut() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

func TestAServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	waits := func(what string, err error) {
		t.Helper()
		after, ok := tasks.RetryAfterOf(err)
		if err == nil || !ok || after < time.Second/2 || after > 2*time.Second || tasks.IsPermanent(err) {
			t.Errorf("%s: wait %v (%v) for %v", what, after, ok, err)
		}
	}
	server := pgtest.New(t)
	db := openAt(t, server, Options{})
	waits("the server ends a session", Classify(tryRun(db, "SELECT pg_terminate_backend(pg_backend_pid())")))
	for _, code := range []string{"57P01", "57P02", "57P03", "53300"} {
		waits(code, Classify(tryRun(db, fmt.Sprintf("DO $$ BEGIN RAISE SQLSTATE '%s'; END $$", code))))
	}
	w, url := newWire(t, server)
	far := openAt(t, url, Options{})
	conn, err := far.Pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	time.AfterFunc(100*time.Millisecond, w.cut)
	_, err = conn.Exec(ctx, "SELECT pg_sleep(10)")
	waits("the connection breaks in a statement", Classify(fmt.Errorf("load: %w", err)))
	_, err = conn.Exec(ctx, "SELECT 1")
	waits("the connection is closed", Classify(err))
	waits("nothing listens", Classify(tryRun(far, "SELECT 1")))
	waits("nothing listens, when asked for a sign of life", Classify(far.Ping(ctx)))

	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = far.Pool.Exec(ctx, "SELECT 1")
	if _, ok := tasks.RetryAfterOf(Classify(err)); ok || err == nil {
		t.Errorf("our own cancel: %v", err)
	}
	var key RowKey
	if _, ok := tasks.RetryAfterOf(Classify(key.UnmarshalJSON([]byte("[1,")))); ok {
		t.Error("a key that was cut off is taken for a connection")
	}
}

func TestAForeignKeyInTheTargetIsNotTheFaultOfRows(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{"immediate": "", "deferred": " DEFERRABLE INITIALLY DEFERRED"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER)", "INSERT INTO t VALUES (1, 1), (2, 2)")
			dst := postgresDB(t, "CREATE TABLE p (id bigint PRIMARY KEY)", "CREATE TABLE t (id bigint PRIMARY KEY, p bigint REFERENCES p"+when+")")
			m := pair(t, src, dst, "t")
			b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), Postgres, nil, nil, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			l, err := NewLoader(ctx, dst, m, opts("1"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			batch, err := b.Next()
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Load(ctx, batch)
			if !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "foreign key") {
				t.Errorf("%v, hint %q", err, tasks.HintOf(err))
			}
			if n, err := QuarantineCount(ctx, dst, "job", ""); err != nil || n != 0 {
				t.Errorf("%d rows are blamed: %v", n, err)
			}
		})
	}
}

func TestAnIndexThatRowsDoNotAllowIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	rows := "CREATE TABLE t (id bigint PRIMARY KEY, a text)"
	twice := "INSERT INTO t VALUES (1, 'x'), (2, 'x')"
	long := "INSERT INTO t SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 1000) i"
	for _, c := range []struct {
		name, word string
		db         *DB
	}{
		{"twice", "by_a", postgresDB(t, rows, twice)},
		{"twice, SQLite", "by_a", sqliteFile(t, rows, twice)},
		{"too long", "by_a", postgresDB(t, rows, long)},
	} {
		table := tableIn(t, c.db, "t")
		table.Indexes = []Index{{Name: "by_a", Unique: true, Columns: []IndexPart{{Column: "a"}}}}
		_, err := FinishTable(context.Background(), c.db, table)
		if !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "index") || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v, hint %q", c.name, err, tasks.HintOf(err))
		}
	}
	plain := postgresDB(t, rows, long)
	table := tableIn(t, plain, "t")
	table.Indexes = []Index{{Name: "by_a", Columns: []IndexPart{{Column: "a"}}}, {Name: "by_id", Columns: []IndexPart{{Column: "id"}}}}
	leftOut, err := FinishTable(context.Background(), plain, table)
	if err != nil || len(leftOut) != 1 || !strings.Contains(leftOut[0], "by_a") || one(t, plain, "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE tablename = 't'") != "by_id t_pkey" {
		t.Errorf("an index that is not unique: %v, left out %v", err, leftOut)
	}
	other := postgresDB(t, rows, "INSERT INTO t VALUES (1, 'x')")
	if err := Classify(tryRun(other, "INSERT INTO t VALUES (1, 'y')")); err == nil || tasks.IsPermanent(err) {
		t.Errorf("a row that was there already: %v", err)
	}
}
