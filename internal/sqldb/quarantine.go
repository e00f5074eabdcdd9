package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
)

// Quarantined is a row that could not be loaded, as the target keeps it in stint_quarantine.
type Quarantined struct {
	Job    string `json:"job"`
	Stage  string `json:"stage"`
	Step   string `json:"step"`
	Table  string `json:"table"` // of the source
	Key    RowKey `json:"key"`
	Column string `json:"column,omitempty"` // of the source; "" where the whole row was rejected
	Reason string `json:"reason"`
	Code   string `json:"code"` // SQLSTATE, or SQLITE_CONSTRAINT and the like
	// Row is the row as a JSON object in the forms of RowKey; long values are cut: {"cut":"the beginning","bytes":n}. A row that
	// the target rejected is shown as it was sent, under the target's names.
	Row string `json:"row"`
}

// badRow is a row of a batch that goes into quarantine.
type badRow struct {
	at           int // its number among all rows of the batch
	rows         int // how many encoded rows it is, when the target refused it
	column       string
	reason, code string
	json         string
}

// maxQuarantineValue is how many bytes of a value are kept in quarantine; the source has the rest.
const maxQuarantineValue = 8 << 10

// appendRowValue appends one value of a row in quarantine.
func appendRowValue(b []byte, v *cell) []byte {
	switch v.kind {
	case cellText, cellBytes, cellRaw:
		if len(v.s) > maxQuarantineValue {
			head := v.s[:maxQuarantineValue]
			for len(head) > 0 && !utf8.RuneStart(v.s[len(head)]) {
				head = head[:len(head)-1]
			}
			part := cell{kind: v.kind, s: head}
			b = append(b, `{"cut":`...)
			b = appendRowValue(b, &part)
			return fmt.Appendf(b, `,"bytes":%d}`, len(v.s))
		}
	}
	return appendTagged(b, v.value())
}

// sourceJSON shows the current row as it was read.
func (p *plan) sourceJSON(r *Rows) (string, error) {
	b := []byte{'{'}
	if r.unreadable != nil {
		raw := textCell(r.unreadable.Raw)
		return string(append(appendRowValue(append(b, `"":`...), &raw), '}')), nil
	}
	for i := range p.selected {
		v := r.cells[i]
		if v.kind == cellRaw {
			if plain, _, err := decodePostgres(r.cols[i].oid, v.s, nil); err == nil {
				v = plain
			} else {
				v.kind = cellBytes
			}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, strings.ToValidUTF8(p.selected[i].column.Name, "\uFFFD")), ':')
		b = appendRowValue(b, &v)
	}
	return string(append(b, '}')), nil
}

// quarantineValues returns the rows as the VALUES of an INSERT, for the simple protocol that COPY needs.
func quarantineValues(d Dialect, o *LoaderOptions, table string, b *Batch, bad []badRow) string {
	var sql strings.Builder
	for i := range bad {
		q := &bad[i]
		if i > 0 {
			sql.WriteString(",\n")
		}
		sql.WriteByte('(')
		for j, s := range []string{o.Job, o.Stage, o.Step, table, storedKey(d, b.nameAt(q.at).String()), q.column, q.reason, q.code, q.json} {
			if j > 0 {
				sql.WriteByte(',')
			}
			sql.WriteString(d.Literal(strings.ToValidUTF8(s, "\uFFFD")))
		}
		sql.WriteByte(')')
	}
	return sql.String()
}

const quarantineInsert = "INSERT INTO stint_quarantine (job, stage, step, table_name, row_key, column_name, reason, code, row_json) VALUES "

// AnyJob in place of a job's id asks for what any job has set aside. No job has this id.
const AnyJob = "*"

// ofJob is a condition on the rows in quarantine: $1 is a job, or AnyJob.
func ofJob(job string) string {
	if job == AnyJob {
		return "$1 = '" + AnyJob + "'"
	}
	return "job = $1"
}

// queryQuarantine reads rows from a quarantine, if there is one: a database into which nothing was migrated has none, and may
// not be written. The query reads no other table.
func queryQuarantine(ctx context.Context, db *DB, query string, args []any, row func(scan func(...any) error) error) error {
	err := db.queryAll(ctx, query, args, row)
	if err != nil && db.Dialect.words().lacksTable(err, "stint_quarantine") {
		return nil
	}
	return err
}

// quarantineKeys returns the keys, as they are stored, of the rows of a table that a job, or AnyJob, has set aside in a stage, or in any (""), at
// most limit.
func quarantineKeys(ctx context.Context, db *DB, job, stage, table string, limit int) (map[string]bool, error) {
	keys := map[string]bool{}
	err := queryQuarantine(ctx, db, "SELECT DISTINCT row_key FROM stint_quarantine WHERE "+ofJob(job)+" AND table_name = $2 AND ($3 = '' OR stage = $3) LIMIT $4",
		[]any{job, table, stage, limit}, func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			keys[storedKey(db.Dialect, key)] = true
			return err
		})
	return keys, err
}

// inQuarantine reports whether a job, or AnyJob, has set a row of a table aside, in a stage or in any ("").
func inQuarantine(ctx context.Context, db *DB, job, stage, table string, key RowKey) (bool, error) {
	found := false
	within, args, _ := keyPlaces(db.Dialect, []any{job, table, stage}, []string{key.String()})
	err := queryQuarantine(ctx, db, "SELECT 1 FROM stint_quarantine WHERE "+ofJob(job)+" AND table_name = $2 AND row_key IN "+within+" AND ($3 = '' OR stage = $3) LIMIT 1",
		args, func(scan func(...any) error) error {
			var one int
			found = true
			return scan(&one)
		})
	return found, err
}

// Quarantine returns the rows of a job, or of AnyJob, that could not be loaded, of one table or of all (""), ordered, behind the
// first skip of them, at most limit.
func Quarantine(ctx context.Context, db *DB, job, table string, skip, limit int) ([]Quarantined, error) {
	var all []Quarantined
	var texts []string
	err := queryQuarantine(ctx, db, "SELECT job, stage, step, table_name, row_key, column_name, reason, code, row_json FROM stint_quarantine "+
		"WHERE "+ofJob(job)+" AND ($2 = '' OR table_name = $2) ORDER BY job, stage, step, row_key LIMIT $3 OFFSET $4", []any{job, table, limit, skip},
		func(scan func(...any) error) error {
			var q Quarantined
			var key string
			err := scan(&q.Job, &q.Stage, &q.Step, &q.Table, &key, &q.Column, &q.Reason, &q.Code, &q.Row)
			all, texts = append(all, q), append(texts, key)
			return err
		})
	var keys []RowKey
	if err == nil {
		keys, err = parseKeys(ctx, db.querier(), db.Dialect, texts)
	}
	if err != nil {
		return nil, fmt.Errorf("read the quarantine: %w", Classify(err))
	}
	for i := range all {
		all[i].Key = keys[i]
	}
	return all, nil
}

// QuarantineCount returns how many rows, of one table or of all (""), a job, or AnyJob, could not load. A row counts once,
// however many jobs have tried it.
func QuarantineCount(ctx context.Context, db *DB, job, table string) (int64, error) {
	var n int64
	err := queryQuarantine(ctx, db, "SELECT count(*) FROM (SELECT DISTINCT table_name, row_key FROM stint_quarantine WHERE "+ofJob(job)+
		" AND ($2 = '' OR table_name = $2)) AS q", []any{job, table}, func(scan func(...any) error) error { return scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count the quarantine: %w", Classify(err))
	}
	return n, nil
}

// StageTotals adds up what the ledger of a target says of a stage: what has taken effect, whatever the queue knows.
func StageTotals(ctx context.Context, db *DB, job, stage string) (tasks.Counters, error) {
	var c tasks.Counters
	sum := func(column string) string { return db.Dialect.words().bigint("coalesce(sum(" + column + "), 0)") }
	err := queryRow(ctx, db, "SELECT "+sum("rows_read")+", "+sum("rows_written")+", "+sum("rows_quarantined")+", "+sum("rows_skipped")+", "+sum("bytes")+
		" FROM stint_ledger WHERE job = $1 AND stage = $2", []any{job, stage}, &c.Read, &c.Written, &c.Quarantined, &c.Skipped, &c.Bytes)
	if err != nil {
		return c, fmt.Errorf("add up the ledger: %w", Classify(err))
	}
	return c, nil
}

// SetAside returns the keys of rows that are set aside, behind a key as it is stored, at most limit, and the last of them as it
// is stored: of one code, or of all ("").
func SetAside(ctx context.Context, db *DB, a *Again, code, after string, limit int) (keys []RowKey, last string, err error) {
	var texts []string
	err = queryQuarantine(ctx, db, "SELECT row_key FROM stint_quarantine WHERE job = $1 AND stage = $2 AND ($3 = '' OR code = $3) AND row_key > $4 ORDER BY row_key LIMIT $5",
		[]any{a.Job, a.Stage, code, after, limit}, func(scan func(...any) error) error {
			err := scan(&last)
			texts = append(texts, last)
			return err
		})
	if err == nil {
		keys, err = parseKeys(ctx, db.querier(), db.Dialect, texts)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the quarantine: %w", Classify(err))
	}
	return keys, last, nil
}

// SetAsideCount counts the rows that are set aside: of one code, or of all ("").
func SetAsideCount(ctx context.Context, db *DB, a *Again, code string) (n int64, err error) {
	err = queryQuarantine(ctx, db, "SELECT count(*) FROM stint_quarantine WHERE job = $1 AND stage = $2 AND ($3 = '' OR code = $3)",
		[]any{a.Job, a.Stage, code}, func(scan func(...any) error) error { return scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count the quarantine: %w", Classify(err))
	}
	return n, nil
}

// RejectCount counts the rows of a job that are set aside, besides those that wait for others.
func RejectCount(ctx context.Context, db *DB, job string) (n int64, err error) {
	err = queryQuarantine(ctx, db, "SELECT count(*) FROM stint_quarantine WHERE job = $1 AND code <> $2", []any{job, CodeDeferred},
		func(scan func(...any) error) error { return scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count the quarantine: %w", Classify(err))
	}
	return n, nil
}

// codeReference is the code of a row that is set aside because what it refers to is not there.
const codeReference = "23503"

// GiveUpWaiting makes the rows that wait for others ones that are set aside for good, unless somebody has loaded any of them, by a
// stage of a job, since its totals were the given ones: then it changes nothing and returns false.
func GiveUpWaiting(ctx context.Context, db *DB, a *Again, job, stage string, since tasks.Counters) (bool, error) {
	still := true
	err := inTransaction(ctx, db, func(q querier) error {
		// First the rows: who is loading any of them is waited for, and nobody begins to. Then what the ledger says is the last word.
		if err := q.exec(ctx, "UPDATE stint_quarantine SET code = $1 WHERE job = $2 AND stage = $3 AND code = $4", codeReference, a.Job, a.Stage, CodeDeferred); err != nil {
			return err
		}
		var n int64
		sum := db.Dialect.words().bigint("coalesce(sum(rows_written + rows_skipped), 0)")
		err := q.queryAll(ctx, "SELECT "+sum+" FROM stint_ledger WHERE job = $1 AND stage = $2", []any{job, stage}, func(scan func(...any) error) error { return scan(&n) })
		if still = n == since.Written+since.Skipped; err == nil && !still {
			return errMoved
		}
		return err
	})
	if err != nil && still {
		return false, fmt.Errorf("give up waiting: %w", Classify(err))
	}
	return still, nil
}

// errMoved takes a transaction back.
var errMoved = errors.New("rows have been loaded meanwhile")
