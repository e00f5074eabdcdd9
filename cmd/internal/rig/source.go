package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// sourceSchema holds what is awkward to move: a self-reference that points forward, a composite key, a table without any key
// whose rows must not come twice, and rows that PostgreSQL cannot hold.
const sourceSchema = `
CREATE TABLE customer (
  id INTEGER PRIMARY KEY,
  name VARCHAR(80) NOT NULL,
  referred_by INTEGER REFERENCES customer(id),
  created DATETIME NOT NULL
);
CREATE TABLE invoice (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  customer_id INTEGER NOT NULL REFERENCES customer(id),
  number TEXT NOT NULL UNIQUE,
  total DECIMAL(12,2) NOT NULL
);
CREATE TABLE invoice_line (
  invoice_id INTEGER NOT NULL REFERENCES invoice(id),
  line INTEGER NOT NULL,
  text TEXT,
  amount DECIMAL(12,2),
  PRIMARY KEY (invoice_id, line)
);
CREATE TABLE audit_log (n INTEGER NOT NULL, at DATETIME, what TEXT);
CREATE TABLE dirty (id INTEGER PRIMARY KEY, quantity INTEGER, note TEXT);
CREATE INDEX invoice_by_customer ON invoice(customer_id);`

// DirtyEvery: one of so many rows of the table dirty cannot be held by PostgreSQL.
const DirtyEvery = 100

// numbers is a table of the numbers from 1 to its argument.
const numbers = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < %[1]d) "

// Source is a SQLite file with about Rows rows, the same each time.
type Source struct {
	Path string
	Rows int64
}

// URL returns the source as a command line names it.
func (s Source) URL() string { return "sqlite:" + s.Path }

// sources are kept for the whole test binary: tests only read them.
var sources struct {
	sync.Mutex
	dir  string
	made map[string]Source
}

func removeSources() {
	sources.Lock()
	defer sources.Unlock()
	if sources.dir != "" {
		_ = os.RemoveAll(sources.dir)
	}
}

// Legacy returns a source of about that many rows in five tables. It is shared: do not write into it.
func Legacy(t testing.TB, rows int) Source {
	t.Helper()
	customers, invoices, logs, dirty := max(rows/20, 1), max(rows/4, 1), max(rows/10, 1), max(rows/20, 1)
	lines := max(rows-customers-invoices-logs-dirty, 1)
	return sharedSource(t, fmt.Sprintf("legacy-%d", rows), sourceSchema,
		fmt.Sprintf(numbers+`INSERT INTO customer SELECT i, 'Customer ' || i || ' Ødegård & Søn', CASE WHEN i %% 4 = 0 THEN 1 + (i * 7919) %% %[1]d END,
			printf('%%04d-%%02d-%%02d %%02d:%%02d:%%02d', 1990 + i %% 30, 1 + i %% 12, 1 + i %% 28, i %% 24, i %% 60, i %% 59) FROM c`, customers),
		fmt.Sprintf(numbers+"INSERT INTO invoice SELECT i, 1 + (i * 31) %% %[2]d, printf('INV-%%09d', i), (i * 37 %% 1000000) / 100.0 FROM c", invoices, customers),
		fmt.Sprintf(numbers+`INSERT INTO invoice_line SELECT 1 + (i - 1) %% %[2]d, (i - 1) / %[2]d,
			CASE i %% 5 WHEN 0 THEN NULL WHEN 1 THEN 'tab' || char(9) || 'and line' || char(10) || i ELSE 'some "quoted" text, row ' || i END, (i * 13 %% 100000) / 100.0 FROM c`, lines, invoices),
		fmt.Sprintf(numbers+"INSERT INTO audit_log SELECT i, printf('2001-01-%%02d 10:%%02d:00', 1 + i %% 28, i %% 60), 'event ' || i FROM c", logs),
		fmt.Sprintf(numbers+`INSERT INTO dirty SELECT i, CASE WHEN i %% (2 * %[2]d) = 0 THEN 'a dozen' ELSE i END,
			CASE WHEN i %% (2 * %[2]d) = %[2]d THEN 'a' || char(0) || 'b' ELSE 'clean' END FROM c`, dirty, DirtyEvery),
	)
}

// Plain returns a source of one table with that many small rows. It is shared: do not write into it.
func Plain(t testing.TB, rows int) Source {
	t.Helper()
	return sharedSource(t, fmt.Sprintf("plain-%d", rows), "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL, n INTEGER NOT NULL)",
		fmt.Sprintf(numbers+"INSERT INTO item SELECT i, 'item ' || i, i * 7 FROM c", rows))
}

func sharedSource(t testing.TB, name, schema string, fill ...string) Source {
	t.Helper()
	sources.Lock()
	defer sources.Unlock()
	if s, ok := sources.made[name]; ok {
		return s
	}
	if sources.dir == "" {
		dir, err := os.MkdirTemp("", "stint-sources-")
		if err != nil {
			t.Fatalf("make a folder for sources: %v", err)
		}
		sources.dir, sources.made = dir, map[string]Source{}
	}
	s := Source{Path: filepath.Join(sources.dir, name+".db")}
	start := time.Now()
	if err := s.fill(filepath.Join(filepath.Dir(Build(t)), "sqlrun"), schema, fill); err != nil {
		t.Fatalf("make the source %s: %v", name, err)
	}
	t.Logf("source %s: %d rows made in %v", name, s.Rows, time.Since(start).Round(time.Millisecond))
	sources.made[name] = s
	return s
}

// fill makes the file in a process of its own.
func (s *Source) fill(tool, schema string, fill []string) error {
	c := &Command{Path: tool, Args: append([]string{s.Path, schema}, fill...), Dir: filepath.Dir(s.Path)}
	out, log, code := c.Run(20 * time.Minute)
	if code != 0 {
		return fmt.Errorf("sqlrun ended with %d: %s", code, log)
	}
	_, err := fmt.Sscan(string(out), &s.Rows)
	return err
}
