// Package mariadbtest gives tests a real MariaDB server of their own.
//
// A test asks for a fresh, empty database and gets its URL:
//
//	url := mariadbtest.New(t)
//
// The first call in a test binary starts one server (its data in a directory below /tmp, a free loopback port, no fsync); later
// calls only create databases. Nothing that runs already is looked for or touched.
//
// No process and no directory outlives the test binary, even when it is killed with SIGKILL: the kernel takes the server down
// with the thread that started it, and a guardian, a shell that waits for the end of a pipe from the test binary, removes the
// directory.
package mariadbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver by which databases are made
)

// shared is the one server of a test binary.
var shared struct {
	sync.Mutex
	server *Server
	err    error
	names  atomic.Int64
}

// New returns the URL (mysql://...) of a fresh, empty database, which is dropped when the test ends. It may be called at the same
// time by any number of tests. It fails the test when no server can be had, and says what to install when the binaries are
// missing.
func New(t testing.TB) string {
	t.Helper()
	s := sharedServer(t)
	name := fmt.Sprintf("test_%d", shared.names.Add(1))
	if err := s.Run("CREATE DATABASE " + name); err != nil {
		t.Fatalf("mariadbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Run("DROP DATABASE IF EXISTS " + name); err != nil {
			t.Errorf("mariadbtest: %v", err)
		}
	})
	return s.URL(name)
}

// Shared returns the server of this test binary, which New makes databases on. It starts it where nobody has yet.
func Shared(t testing.TB) *Server {
	t.Helper()
	return sharedServer(t)
}

// sharedServer starts the server of this test binary, once; when that fails, it fails for all.
func sharedServer(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start()
	}
	if shared.err != nil {
		t.Fatalf("mariadbtest: %v", shared.err)
	}
	return shared.server
}

// Main runs the tests of a package, stops the server and exits. It is for packages that want an orderly end:
//
//	func TestMain(m *testing.M) { mariadbtest.Main(m) }
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

// Tables lists the tables of a database.
func (s *Server) Tables(database string) (names []string, err error) {
	db, err := sql.Open("mysql", s.dsn())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT table_name FROM information_schema.tables WHERE table_schema = ?", database)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Run runs a statement as the superuser, in no database.
func (s *Server) Run(statement string) error {
	db, err := sql.Open("mysql", s.dsn())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
