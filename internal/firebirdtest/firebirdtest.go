// Package firebirdtest gives tests a real Firebird 3.0 server of their own.
//
// A test asks for a fresh, empty database, or for a copy of the example database that comes with Firebird, and gets its URL:
//
//	url := firebirdtest.New(t)
//	firebirdtest.Script(t, url, "CREATE TABLE customer (id INTEGER NOT NULL PRIMARY KEY);")
//
// The first call in a test binary starts one server: its own configuration, users and lock files in a directory below /tmp, on
// a free port of loopback. Nothing that runs already is looked for or touched. Neither the server nor its directory outlives
// the test binary, even when it is killed with SIGKILL.
package firebirdtest

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// User is the owner of all databases of a server; its password is in the URL.
const User = "SYSDBA"

// shared is the one server of a test binary.
var shared struct {
	sync.Mutex
	server *Server
	err    error
	names  atomic.Int64
}

// employee is the example database, made once per test binary and then copied.
var employee struct {
	sync.Once
	file string
	err  error
}

// New returns the URL (firebird://...) of a fresh database without tables: pages of 8 kB, dialect 3, default character set
// NONE, unless options say otherwise, as CREATE DATABASE takes them: "DEFAULT CHARACTER SET UTF8". It may be called at the
// same time by any number of tests, and fails the test when no server can be had.
func New(t testing.TB, options ...string) string {
	t.Helper()
	return sharedServer(t).NewDatabase(t, options...)
}

// NewDatabase is New on a server of one's own.
func (s *Server) NewDatabase(t testing.TB, options ...string) string {
	t.Helper()
	return s.create(t, "", options...)
}

// create makes a database; before goes before the statement.
func (s *Server) create(t testing.TB, before string, options ...string) string {
	t.Helper()
	file := s.file()
	sql := fmt.Sprintf("%sCREATE DATABASE '%s:%s' USER '%s' PASSWORD '%s' %s;\n", before, s.address(), file, User, s.password, strings.Join(options, " "))
	if out, err := s.isql("", sql); err != nil {
		t.Fatalf("firebirdtest: make a database: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = os.Remove(file) }) // the directory goes with the test binary in any case
	return s.URL(file)
}

// NewDialect1 is New for a database of SQL dialect 1, as InterBase 5 and older made them: DATE holds day and time, and
// NUMERIC of more than 9 digits is a double.
func NewDialect1(t testing.TB) string {
	t.Helper()
	return sharedServer(t).create(t, "SET SQL DIALECT 1;\n")
}

// Employee returns the URL of a copy of employee.fdb, the example that comes with Firebird: ten tables with circular foreign
// keys, computed columns, arrays, text blobs and domains.
func Employee(t testing.TB) string {
	t.Helper()
	s := sharedServer(t)
	employee.Do(func() { employee.file, employee.err = s.makeEmployee() })
	if employee.err != nil {
		t.Fatalf("firebirdtest: make employee.fdb: %v", employee.err)
	}
	file := s.file()
	if err := copyFile(file, employee.file); err != nil {
		t.Fatalf("firebirdtest: copy employee.fdb: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	return s.URL(file)
}

// Script runs SQL statements as isql does, in a session of character set NONE: bytes go into the database as they stand in
// the text. SET TERM and COMMIT are understood, and the end commits. It fails the test at the first error.
func Script(t testing.TB, url, sql string) {
	t.Helper()
	s := sharedServer(t)
	file := strings.TrimPrefix(url, s.URL(""))
	if out, err := s.isql(s.address()+":"+file, sql); err != nil {
		t.Fatalf("firebirdtest: %v\n%s", err, out)
	}
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
		t.Fatalf("firebirdtest: this test needs a real Firebird server: %v", shared.err)
	}
	return shared.server
}

// Stop ends the server that New started, if any, and removes its directory. For a TestMain; packages without one leave
// nothing behind either.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		_ = shared.server.Stop() // the process is about to end, and the guardian is the second net
		shared.server = nil
	}
}

// makeEmployee runs the script from which Firebird's own build makes employee.fdb.
func (s *Server) makeEmployee() (string, error) {
	script, err := employeeScript()
	if err != nil {
		return "", err
	}
	file := s.file()
	create := fmt.Sprintf("CREATE DATABASE '%s:%s' USER '%s' PASSWORD '%s';\nCOMMIT;\n", s.address(), file, User, s.password)
	// Its own first statement makes the file where isql stands.
	script = strings.Replace(script, "create database 'employee.fdb';", "", 1)
	if out, err := s.isql("", create+script); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
}

// employeeScript reads the script where the packages keep it.
func employeeScript() (string, error) {
	found, _ := filepath.Glob("/usr/share/doc/firebird*-examples/examples/employee.sql*")
	for _, path := range found {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		defer f.Close()
		var in io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			if in, err = gzip.NewReader(f); err != nil {
				return "", fmt.Errorf("unpack %s: %w", path, err)
			}
		}
		text, err := io.ReadAll(in)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		return string(text), nil
	}
	return "", fmt.Errorf("the example database is not installed: run scripts/install-test-deps.sh")
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
