package cli

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"

	_ "modernc.org/sqlite" // the legacy database is a SQLite file
)

// legacySchema is what an old product might have: a self-reference, a composite key, money in REAL, dates as text, a table
// without any key, an index, a view.
const legacySchema = `
CREATE TABLE customer (
  id INTEGER PRIMARY KEY,
  name VARCHAR(80) NOT NULL,
  referred_by INTEGER REFERENCES customer(id),
  country CHAR(2) DEFAULT 'AU',
  created DATETIME NOT NULL
);
CREATE TABLE invoice (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  customer_id INTEGER NOT NULL REFERENCES customer(id) ON DELETE CASCADE,
  number TEXT NOT NULL UNIQUE,
  issued DATE,
  total DECIMAL(12,2) NOT NULL
);
CREATE TABLE invoice_line (
  invoice_id INTEGER NOT NULL REFERENCES invoice(id),
  line INTEGER NOT NULL,
  text TEXT,
  amount DECIMAL(12,2),
  PRIMARY KEY (invoice_id, line)
);
CREATE TABLE audit_log (at DATETIME, who TEXT, what TEXT);
CREATE INDEX invoice_by_customer ON invoice(customer_id, issued DESC);
CREATE VIEW open_invoice AS SELECT * FROM invoice WHERE total > 0;`

// makeLegacy writes the demo's source: about rows rows, the same each time.
func makeLegacy(ctx context.Context, path string, rows int) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(off)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, legacySchema); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	l := &legacy{ctx: ctx, tx: tx, r: rand.New(rand.NewPCG(1, 2))}
	customers, invoices, logs := rows/20, rows/4, rows/10
	l.fill("customer", "?,?,?,?,?", customers, func(i int) []any {
		var ref any
		if i > 0 && l.r.IntN(4) == 0 {
			ref = l.r.IntN(customers) + 1 // may come later in the table
		}
		return []any{i + 1, legacyNames[l.r.IntN(len(legacyNames))] + fmt.Sprintf(" %d", i), ref, []any{"AU", "NZ", nil}[l.r.IntN(3)], l.moment()}
	})
	l.fill("invoice", "?,?,?,?,?", invoices, func(i int) []any {
		return []any{i + 1, l.r.IntN(customers) + 1, fmt.Sprintf("INV-%07d", i), l.moment()[:10], float64(l.r.IntN(1_000_000)) / 100}
	})
	l.fill("invoice_line", "?,?,?,?", rows-customers-invoices-logs, func(i int) []any {
		return []any{i%invoices + 1, i / invoices, legacyTexts[l.r.IntN(len(legacyTexts))], float64(l.r.IntN(100_000)) / 100}
	})
	l.fill("audit_log", "?,?,?", logs, func(i int) []any {
		return []any{l.moment(), fmt.Sprintf("user%d", l.r.IntN(9)), legacyTexts[l.r.IntN(len(legacyTexts))]}
	})
	if l.err != nil {
		return l.err
	}
	return tx.Commit()
}

type legacy struct {
	ctx context.Context
	tx  *sql.Tx
	r   *rand.Rand
	err error
}

func (l *legacy) fill(table, places string, n int, row func(i int) []any) {
	if l.err != nil {
		return
	}
	stmt, err := l.tx.PrepareContext(l.ctx, "INSERT INTO "+table+" VALUES ("+places+")")
	if err != nil {
		l.err = err
		return
	}
	defer stmt.Close()
	for i := range n {
		if _, l.err = stmt.ExecContext(l.ctx, row(i)...); l.err != nil {
			return
		}
	}
}

func (l *legacy) moment() string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", 1995+l.r.IntN(30), 1+l.r.IntN(12), 1+l.r.IntN(28), l.r.IntN(24), l.r.IntN(60), l.r.IntN(60))
}

var legacyNames = []string{"Ada", "Bjørn", "Chloë", "Dvořák & Sons", "Éric", "Ørsted", "O'Neill", "石川", "Müller GmbH"}

var legacyTexts = []string{"rent", "water and power", "repair: \"kitchen\", 2nd floor", "tab\there", "two\nlines", "100 % deposit", "naïve café", ""}
