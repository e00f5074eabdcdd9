// Package pgtest gives tests, benchmarks and rigs a real PostgreSQL server of their own.
//
// A test asks for a fresh, empty database and gets its URL:
//
//	url := pgtest.New(t)
//
// The first call in a test binary starts one server (initdb into a directory below /tmp, a free loopback port, no fsync);
// later calls only create databases. Nothing that runs already is looked for or touched.
//
// No process and no directory outlives the test binary, even when it is killed with SIGKILL: the kernel takes the server
// down with the thread that started it, and a guardian, a shell that waits for the end of a pipe from the test binary,
// removes the directory.
//
//	test binary ──starts──▶ postgres   dies with its starter (Linux), else by the guardian
//	      └──────pipe─────▶ guardian   sees the pipe close, removes the directory, ends
package pgtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// GuardedUser is a role name that every server asks a password of; all other roles are let in without one. Create the
// role to see what a wrong password looks like.
const GuardedUser = "pgtest_guarded"

// shared is the one server of a test binary.
var shared struct {
	sync.Mutex
	server *Server
	err    error
	names  atomic.Int64
}

// New returns the URL (postgres://...) of a fresh, empty database, which is dropped when the test ends, whoever is still
// connected. It may be called at the same time by any number of tests. It fails the test when no server can be had, and
// says what to install when the binaries are missing.
func New(t testing.TB) string {
	t.Helper()
	s := sharedServer(t)
	name := fmt.Sprintf("test_%d", shared.names.Add(1))
	if err := s.CreateDatabase(context.Background(), name); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s.URL(name)
}

// sharedServer starts the server of this test binary, once; when that fails, it fails for all.
func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start("", Options{})
	}
	if shared.err != nil {
		t.Fatalf("pgtest: %v", shared.err)
	}
	return shared.server
}

// Main runs the tests of a package, stops the server and exits. It is for packages that want an orderly end:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// Packages without it leave nothing behind either.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Stop stops the server that New started, if any, and removes its directory. For a TestMain that has more to do than Main.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		_ = shared.server.Stop() // the process is about to end, and the guardian is the second net
		shared.server = nil
	}
}

// CreateDatabase creates an empty database.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	// template0 admits no connections, so that any number of copies may be taken at the same time.
	return s.admin(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0")
}

// DropDatabase drops a database, and ends the sessions that are connected to it. A database that is not there is dropped
// already.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.admin(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

func (s *Server) admin(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}
