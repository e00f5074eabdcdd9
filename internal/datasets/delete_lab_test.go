package datasets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
)

// lab is a store of data sets in a real database, with values in it that are easily bent.
type lab struct {
	*Store
	t     *testing.T
	ctx   context.Context
	files *artifact.Folder
	dir   string
}

// The data sets of a lab: two of one customer, of which old is a copy, and one of another with the same rows.
var (
	old    = ID{"7", "0b000000-0000-4000-8000-000000000001"}
	kept   = ID{"7", "0b000000-0000-4000-8000-000000000002"}
	others = ID{"8", "0b000000-0000-4000-8000-000000000001"}
)

// labRows is how many rows of the entity each data set has; half of them have details.
const labRows = 40

// onEach runs a test with each database.
func onEach(t *testing.T, run func(t *testing.T, l *lab)) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			run(t, newLab(t, d, labLayout))
		})
	}
}

var labLayout = Layout{Registry: Registry{Deleting: "deleting"}, Entity: "row_store"}

// newLab makes a database of a kind, fills it and opens it.
func newLab(t *testing.T, d sqldb.Dialect, layout Layout) *lab {
	t.Helper()
	l := bareLab(t, d)
	schema, err := os.ReadFile(filepath.Join("testdata", string(d)+".sql"))
	l.must(err)
	for statement := range strings.SplitSeq(string(schema), ";\n") {
		if strings.TrimSpace(statement) != "" {
			l.exec(statement)
		}
	}
	for _, set := range []ID{old, kept, others} {
		l.fill(set)
	}
	l.open(layout)
	return l
}

// open opens the store as it is now.
func (l *lab) open(layout Layout) {
	l.t.Helper()
	var err error
	l.Store, err = Open(l.ctx, l.db, layout)
	l.must(err)
	l.must(l.Deletable(l.ctx))
	l.must(l.Prepare(l.ctx))
}

// bareLab makes an empty database of a kind.
func bareLab(t *testing.T, d sqldb.Dialect) *lab {
	t.Helper()
	var url string
	switch d {
	case sqldb.SQLite:
		url = "sqlite:" + filepath.Join(t.TempDir(), "store.sqlite")
	case sqldb.Postgres:
		url = pgtest.New(t)
	default:
		url = mariadbtest.New(t)
	}
	l := &lab{t: t, dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	l.ctx = ctx
	at, err := sqldb.ParseURL(url)
	l.must(err)
	db, err := sqldb.Open(ctx, at, sqldb.Options{MaxConns: 8, LockTimeout: 5 * time.Second})
	l.must(err)
	t.Cleanup(func() { _ = db.Close() })
	l.Store = &Store{db: db}
	l.files, err = artifact.NewFolder(l.dir)
	l.must(err)
	return l
}

// fill inserts a data set by the statements of its dialect: from the rows of testdata, to which ids are given.
func (l *lab) fill(set ID) {
	l.t.Helper()
	l.exec(fmt.Sprintf("INSERT INTO data_set (customer_id, database_id, last_synced_at, deleting, note) VALUES (%s, '%s', '%s', NULL, 'it''s \\N, a set')",
		set.Customer, set.Database, "2026-01-02 03:04:05.123456"))
	columns := ""
	if l.db.Dialect == sqldb.MySQL { // which counts the generated column
		columns = " (customer_id, database_id, guid, id, n, big, f, r, t, l, c, b, fb, d, ts, tz, tm, y, bits, bo, e, s, j, u, ip, p)"
	}
	for i := range labRows {
		l.exec(fmt.Sprintf("INSERT INTO row_store"+columns+" SELECT %s, '%s', '%s', n.* FROM nasty n WHERE n.id = %d", set.Customer, set.Database, labGUID(i), i%3))
		if i%2 == 0 {
			l.exec(fmt.Sprintf("INSERT INTO detail (customer_id, database_id, guid, pos) VALUES (%s, '%s', '%s', %d)", set.Customer, set.Database, labGUID(i), i))
		}
	}
}

func labGUID(i int) string { return fmt.Sprintf("%08x-1111-4111-8111-111111111111", i*7919) }

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// exec runs a statement in a transaction of its own.
func (l *lab) exec(statement string, args ...any) {
	l.t.Helper()
	l.must(l.inTx(l.ctx, func(t *txn) error {
		if _, err := t.exec(l.ctx, statement, args...); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		return nil
	}))
}

// texts returns the only column of a query.
func (l *lab) texts(query string) []string {
	l.t.Helper()
	var out []string
	l.must(l.inTx(l.ctx, func(t *txn) error {
		out = nil
		return t.each(l.ctx, query, nil, func(scan func(...any) error) error {
			var text string
			err := scan(&text)
			out = append(out, text)
			return err
		})
	}))
	return out
}

// dump returns all rows of all tables, value for value.
func (l *lab) dump() map[string]string {
	l.t.Helper()
	tables := map[string]string{}
	for _, info := range append([]*sqldb.Table{&l.registry}, l.infos()...) {
		columns := make([]string, len(info.Columns))
		for i := range info.Columns {
			name := l.db.Dialect.Quote(info.Columns[i].Name)
			switch l.db.Dialect {
			case sqldb.SQLite:
				columns[i] = "typeof(" + name + ") || quote(" + name + ")"
			case sqldb.MySQL:
				if info.Columns[i].Kind == sqldb.KindFloat32 {
					name = "CAST(" + name + " AS DOUBLE)"
				}
				columns[i] = "coalesce(hex(" + name + " ), 'NULL'), coalesce(" + name + ", '')"
			default:
				columns[i] = "coalesce(" + name + "::text, 'NULL ' || (" + name + " IS NULL))"
			}
		}
		expression := strings.Join(columns, " || '|' || ")
		if l.db.Dialect == sqldb.MySQL {
			expression = "concat_ws('|', " + strings.Join(columns, ", ") + ")"
		}
		tables[info.FullName()] = strings.Join(l.texts("SELECT "+expression+" AS x FROM "+quoted(l.db.Dialect, info)+" ORDER BY x"), "\n")
	}
	return tables
}

func (l *lab) infos() []*sqldb.Table {
	var infos []*sqldb.Table
	for i := range l.tables {
		infos = append(infos, &l.tables[i].info)
	}
	return infos
}

// sameDump compares two dumps.
func (l *lab) sameDump(got, want map[string]string) {
	l.t.Helper()
	for table := range want {
		a, b := strings.Split(got[table], "\n"), strings.Split(want[table], "\n")
		if len(a) != len(b) {
			l.t.Errorf("%s: %d rows, want %d", table, len(a), len(b))
		}
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				l.t.Fatalf("%s: row %d is\n%s\nwant\n%s", table, i, a[i], b[i])
			}
		}
	}
}

// yes is a check that lets everything go.
func yes(time.Time, *Set, *Set, func(Scan, func([]Row) error) error) (string, error) { return "", nil }

// hold holds the old data set for a job.
func (l *lab) hold(job string) {
	l.t.Helper()
	spared, err := l.Hold(l.ctx, job, old, kept, yes)
	l.must(err)
	if spared != "" {
		l.t.Fatalf("spared: %s", spared)
	}
}

func (l *lab) options(rows int) BatchOptions {
	return BatchOptions{Rows: rows, Artifacts: l.files, Prefix: "deletions/j1"}
}

// deleteAll deletes the old data set to its end and returns the parts.
func (l *lab) deleteAll(job string, rows int) []Part {
	l.t.Helper()
	var parts []Part
	for {
		b, err := l.DeleteBatch(l.ctx, job, old, kept, l.options(rows))
		l.must(err)
		if b.Stopped != "" {
			l.t.Fatalf("stopped: %s", b.Stopped)
		}
		if b.Part != nil {
			parts = append(parts, *b.Part)
		}
		if b.Done {
			return parts
		}
	}
}

// restoreAll puts back all parts, from the last to the first.
func (l *lab) restoreAll(job string, missingOnly bool) (restored, left int64) {
	l.t.Helper()
	p, err := l.Progress(l.ctx, job, old)
	l.must(err)
	for i := len(p.Parts); i > 0; i-- {
		r, k, err := l.RestorePart(l.ctx, job, old, i, RestoreOptions{Artifacts: l.files, MissingOnly: missingOnly})
		l.must(err)
		restored, left = restored+r, left+k
	}
	return restored, left
}

func (l *lab) state(job string, want State) Progress {
	l.t.Helper()
	p, err := l.Progress(l.ctx, job, old)
	l.must(err)
	if p.State != want {
		l.t.Fatalf("the state is %q (%s), want %q", p.State, p.Reason, want)
	}
	return p
}
