package rig

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	_ "github.com/go-sql-driver/mysql" // MariaDB
	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // sources are SQLite files
)

// Database answers plain SQL: the eyes of the rig.
type Database struct {
	lite *sql.DB // SQLite, or MariaDB
	post *pgx.Conn
}

// Look opens a database for looking at: sqlite:FILE, postgres:// or mysql://. It is for one goroutine. Close it.
func Look(ctx context.Context, url string) (*Database, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
		return &Database{lite: db}, err
	}
	return connect(ctx, url)
}

func connect(ctx context.Context, url string) (*Database, error) {
	if address, ok := strings.CutPrefix(url, "mysql://"); ok { // user@host:port/database
		user, rest, _ := strings.Cut(address, "@")
		host, name, _ := strings.Cut(rest, "/")
		db, err := sql.Open("mysql", user+"@tcp("+host+")/"+name)
		if err == nil {
			db.SetMaxOpenConns(1) // a transaction is several statements
		}
		return &Database{lite: db}, err
	}
	conn, err := pgx.Connect(ctx, url)
	return &Database{post: conn}, err
}

// Close closes it.
func (d *Database) Close() {
	if d.lite != nil {
		_ = d.lite.Close() // nothing was written
	}
	if d.post != nil {
		_ = d.post.Close(context.Background())
	}
}

// Execute runs statements in a database: sqlite:FILE, which is made where it is not there, postgres:// or mysql://.
func Execute(ctx context.Context, url string, statements ...string) error {
	d := &Database{}
	var err error
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		d.lite, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	} else {
		d, err = connect(ctx, url)
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for _, s := range statements {
		if d.post != nil {
			_, err = d.post.Exec(ctx, s)
		} else {
			_, err = d.lite.ExecContext(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Texts runs a query of one text column and hands each row to a function.
func (d *Database) Texts(ctx context.Context, query string, row func(text string)) error {
	if d.post != nil {
		rows, err := d.post.Query(ctx, query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			row(string(rows.RawValues()[0]))
		}
		return rows.Err()
	}
	rows, err := d.lite.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text sql.RawBytes
		if err := rows.Scan(&text); err != nil {
			return err
		}
		row(string(text))
	}
	return rows.Err()
}

// Number runs a query of one number.
func (d *Database) Number(ctx context.Context, query string) (n int64, err error) {
	if d.post != nil {
		err = d.post.QueryRow(ctx, query).Scan(&n)
	} else {
		err = d.lite.QueryRowContext(ctx, query).Scan(&n)
	}
	return n, err
}

// Count counts the rows of a table.
func Count(ctx context.Context, url, table string) (int64, error) {
	d, err := Look(ctx, url)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	return d.Number(ctx, "SELECT count(*) FROM "+table)
}

// Table is how a table looks in SQLite and in PostgreSQL: an expression that gives a row as the same text in both. The text
// begins with what makes a row unique and a space.
type Table struct {
	Name, Lite, Post string
	// Clean is the condition, in the source, of rows that PostgreSQL can hold; "" means all.
	Clean string
}

// LegacyTables are the tables of Legacy.
var LegacyTables = []Table{
	{Name: "customer", Lite: "id || ' ' || name || '|' || coalesce(referred_by, '-') || '|' || created",
		Post: "id || ' ' || name || '|' || coalesce(referred_by::text, '-') || '|' || to_char(created, 'YYYY-MM-DD HH24:MI:SS')"},
	{Name: "invoice", Lite: "id || ' ' || customer_id || '|' || number || '|' || printf('%.2f', total)",
		Post: "id || ' ' || customer_id || '|' || number || '|' || total::numeric(12,2)"},
	{Name: "invoice_line", Lite: "invoice_id || '/' || line || ' ' || coalesce(text, '-') || '|' || printf('%.2f', amount)",
		Post: "invoice_id || '/' || line || ' ' || coalesce(text, '-') || '|' || amount::numeric(12,2)"},
	{Name: "audit_log", Lite: "n || ' ' || at || '|' || what", Post: "n || ' ' || to_char(at, 'YYYY-MM-DD HH24:MI:SS') || '|' || what"},
	{Name: "dirty", Lite: "id || ' ' || quantity || '|' || hex(note)", Post: "id || ' ' || quantity || '|' || upper(encode(note::bytea, 'hex'))",
		Clean: fmt.Sprintf("id %% %d <> 0", DirtyEvery)},
}

// PlainTables is the table of Plain.
var PlainTables = []Table{{Name: "item", Lite: "id || ' ' || text || '|' || n", Post: "id || ' ' || text || '|' || n"}}

// Verdict is what a comparison found.
type Verdict struct {
	Rows        int64 // of the source that the target must hold
	Lost        int64 // of these, not in the target
	Twice       int64 // in the target more than once, counted from the second on
	Quarantined int64
	Errors      []string // anything else that is not as it must be
}

// Equal reports whether the target holds exactly what it must.
func (v Verdict) Equal() bool { return v.Lost == 0 && v.Twice == 0 && len(v.Errors) == 0 }

// String says it in one line.
func (v Verdict) String() string {
	word := "equal"
	if !v.Equal() {
		word = "DIFFERENT"
	}
	s := fmt.Sprintf("%s: rows=%d lost=%d twice=%d quarantined=%d", word, v.Rows, v.Lost, v.Twice, v.Quarantined)
	if len(v.Errors) > 0 {
		s += " " + strings.Join(v.Errors, "; ")
	}
	return s
}

// Compare looks at every row of source and target: how many there are, which are there twice, and an order-free checksum of
// their contents. It also adds up the ledger, which must tell the same.
func Compare(ctx context.Context, source, target string, tables []Table) (Verdict, error) {
	return CompareJob(ctx, source, target, tables, "")
}

// CompareJob is Compare where the target has what other jobs have written as well: of the ledger, only what that job says counts.
func CompareJob(ctx context.Context, source, target string, tables []Table, job string) (Verdict, error) {
	src, err := Look(ctx, source)
	if err != nil {
		return Verdict{}, err
	}
	defer src.Close()
	dst, err := Look(ctx, target)
	if err != nil {
		return Verdict{}, err
	}
	defer dst.Close()
	var v Verdict
	for _, t := range tables {
		if err := v.table(ctx, src, dst, t); err != nil {
			return v, fmt.Errorf("compare %s: %w", t.Name, err)
		}
	}
	err = v.ledger(ctx, dst, job)
	return v, err
}

func (v *Verdict) table(ctx context.Context, src, dst *Database, t Table) error {
	want, err := src.sum(ctx, t, true)
	if err != nil {
		return err
	}
	have, err := dst.sum(ctx, t, false)
	if err != nil {
		return err
	}
	v.Rows += want.rows
	v.Twice += have.rows - int64(len(have.keys))
	for key := range want.keys {
		if _, ok := have.keys[key]; !ok {
			v.Lost++
		}
	}
	if have.sum != want.sum || have.rows != want.rows {
		v.Errors = append(v.Errors, fmt.Sprintf("%s: %d rows with checksum %016x, want %d with %016x", t.Name, have.rows, have.sum, want.rows, want.sum))
	}
	return nil
}

func (v *Verdict) ledger(ctx context.Context, dst *Database, job string) error {
	where := ""
	if job != "" {
		where = " WHERE job = '" + job + "'"
	}
	written, err := dst.Number(ctx, "SELECT coalesce(sum(rows_written), 0) FROM stint_ledger"+where)
	if err != nil {
		return err
	}
	if written != v.Rows {
		v.Errors = append(v.Errors, fmt.Sprintf("the ledger has %d rows written, want %d", written, v.Rows))
	}
	set, err := dst.Number(ctx, "SELECT count(*) FROM stint_quarantine"+where)
	if err != nil {
		return err
	}
	said, err := dst.Number(ctx, "SELECT coalesce(sum(rows_quarantined), 0) FROM stint_ledger"+where)
	if said != set {
		v.Errors = append(v.Errors, fmt.Sprintf("the ledger has %d rows in quarantine, the quarantine %d", said, set))
	}
	v.Quarantined = set
	return err
}

type tableSum struct {
	rows int64
	sum  uint64
	keys map[uint64]struct{} // hashes of the keys
}

// sum reads a table once.
func (d *Database) sum(ctx context.Context, t Table, source bool) (tableSum, error) {
	expr, where := t.Lite, ""
	if d.post != nil {
		expr = t.Post
	}
	if source && t.Clean != "" {
		where = " WHERE " + t.Clean
	}
	s := tableSum{keys: map[uint64]struct{}{}}
	var bad error
	err := d.Texts(ctx, "SELECT "+expr+" FROM "+t.Name+where, func(text string) {
		key, _, ok := strings.Cut(text, " ")
		if !ok {
			bad = errors.New("a row without a key: " + text)
		}
		s.rows++
		s.sum += hashOf(text)
		s.keys[hashOf(key)] = struct{}{}
	})
	return s, errors.Join(err, bad)
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash never fails
	return h.Sum64()
}
