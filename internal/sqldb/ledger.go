package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// ErrTaken: somebody else has committed a batch that starts where this one does. Nothing was written. The caller reads
// Progress again and goes on from there; its batch is void.
var ErrTaken = errors.New("another attempt has committed this range")

// ledgerTables are stint's own tables in a target, in words that the dialects translate.
//
// stint_ledger: one row for each batch, written in the batch's own transaction. It is the truth about what has taken effect:
// its primary key lets only one attempt commit a batch that starts at from_key. Keys are in RowKey's JSON form, those in an index as
// storedKey has them; "" is the beginning as from_key and the end as to_key. done is 1 on the last batch of a step.
//
// stint_chunks: the chunks of a stage as they were first decided.
//
// stint_tables: which job loads a table; its key lets only one job decide chunks for it.
//
// stint_quarantine: the rows that could not be loaded, with the reason. Those whose code is CodeDeferred wait for a row that they
// refer to.
//
// stint_ids: what became of rows, where others refer to them.
//
// stint_rows: which rows of the target were made of which of the source, with a hash of these, where a migration catches up later. Of a
// row that is to be deleted, and that others still refer to, stale is 1.
//
// stint_catchup: a migration that catches up, with the round that may write; cut_over is 1 when there will be no other.
//
// stint_keys: the whole of those keys of which the other tables hold a digest (storedKey).
//
// stint_rounds: the rounds of a migration (without a stage), and how far the source had come at the beginning of each, by stage.
var ledgerTables = []struct{ name, columns string }{
	{"stint_ledger", `job text NOT NULL, stage text NOT NULL, step text NOT NULL, from_key text NOT NULL, to_key text NOT NULL,
 done smallint NOT NULL, rows_read bigint NOT NULL, rows_written bigint NOT NULL, rows_quarantined bigint NOT NULL,
 rows_skipped bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL, checksum text NOT NULL, worker text NOT NULL, attempt text NOT NULL,
 committed_at @TIME NOT NULL DEFAULT @NOW, PRIMARY KEY (job, stage, step, from_key)`},
	{"stint_chunks", `job text NOT NULL, stage text NOT NULL, seq bigint NOT NULL, from_key text NOT NULL, to_key text NOT NULL,
 PRIMARY KEY (job, stage, seq)`},
	{"stint_tables", `table_name text NOT NULL, job text NOT NULL, claimed_at @TIME NOT NULL DEFAULT @NOW, PRIMARY KEY (table_name)`},
	{"stint_quarantine", `job text NOT NULL, stage text NOT NULL, step text NOT NULL, table_name text NOT NULL,
 row_key text NOT NULL, column_name text NOT NULL, reason text NOT NULL, code text NOT NULL, row_json text NOT NULL,
 created_at @TIME NOT NULL DEFAULT @NOW, PRIMARY KEY (job, stage, step, row_key)`},
	{"stint_rows", `job text NOT NULL, stage text NOT NULL, row_key text NOT NULL, target_key text NOT NULL, hash bigint NOT NULL,
 stale smallint NOT NULL, PRIMARY KEY (job, stage, row_key, target_key), UNIQUE (job, stage, target_key, row_key)`},
	{"stint_catchup", `job text NOT NULL, round text NOT NULL, cut_over smallint NOT NULL, PRIMARY KEY (job)`},
	{"stint_rounds", `job text NOT NULL, stage text NOT NULL, round text NOT NULL, mark text NOT NULL, taken_at bigint NOT NULL,
 complete smallint NOT NULL, PRIMARY KEY (job, stage, round)`},
	{"stint_ids", `scope text NOT NULL, entity text NOT NULL, source_key text NOT NULL, target_id text NOT NULL, job text NOT NULL,
 PRIMARY KEY (scope, entity, source_key)`},
	{"stint_keys", `short_key text NOT NULL, whole_key text NOT NULL, PRIMARY KEY (short_key)`},
}

// ledgerLock is the advisory lock under which the tables are made: CREATE TABLE IF NOT EXISTS alone fails when two do it at
// the same moment.
const ledgerLock = 0x7374696e74 // "stint"

// EnsureLedger makes stint's own tables in a target, where they are not there yet. Any number of processes may do so at once.
func EnsureLedger(ctx context.Context, db *DB) error {
	err := db.Dialect.words().ensureLedger(ctx, db)
	if err == nil {
		err = addColumns(ctx, db)
	}
	if err != nil {
		return fmt.Errorf("make the ledger: %w", Classify(err))
	}
	return nil
}

// UpdateLedger brings stint's own tables up to date where an older stint made them; where there are none it does nothing.
func UpdateLedger(ctx context.Context, db *DB) error {
	there, err := HasTable(ctx, db, &Table{Name: "stint_ledger"})
	if err != nil || !there {
		return err
	}
	return EnsureLedger(ctx, db)
}

// addColumns adds to stint's own tables what an older stint made them without.
func addColumns(ctx context.Context, db *DB) error {
	const missing = "SELECT rows_skipped FROM stint_ledger WHERE 1 = 0"
	if db.exec(ctx, missing) == nil {
		return nil
	}
	err := db.exec(ctx, "ALTER TABLE stint_ledger ADD COLUMN rows_skipped bigint NOT NULL DEFAULT 0")
	if err != nil && db.exec(ctx, missing) == nil { // a rival was faster
		err = nil
	}
	return err
}

// ledgerNames lists the names of the ledger's tables as literals.
func ledgerNames() string {
	var names []string
	for _, t := range ledgerTables {
		names = append(names, quoteSingle(t.name))
	}
	return strings.Join(names, ", ")
}

// createLedger returns the statements that make the ledger's tables, one a line; translate puts their columns into the dialect's
// own words.
func createLedger(translate func(columns string) string) string {
	var sql strings.Builder
	for _, t := range ledgerTables {
		sql.WriteString("CREATE TABLE IF NOT EXISTS " + t.name + " (" + translate(t.columns) + ");\n")
	}
	return sql.String()
}

// Progress reads what the ledger says of a step: how far it came (the border that the next batch starts at; nil when nothing
// is committed yet), whether it is done, and its counters.
func Progress(ctx context.Context, db *DB, job, stage, step string) (to RowKey, done bool, totals tasks.Counters, err error) {
	fail := func(err error) (RowKey, bool, tasks.Counters, error) {
		return nil, false, tasks.Counters{}, fmt.Errorf("read the ledger: %w", Classify(err))
	}
	// The borders form a chain; its end is the one that no batch starts at.
	next := map[string]string{}
	starts := map[string]bool{}
	last, ended := "", false
	err = db.queryAll(ctx, "SELECT from_key, to_key, done, rows_read, rows_written, rows_quarantined, rows_skipped, bytes FROM stint_ledger "+
		"WHERE job = $1 AND stage = $2 AND step = $3", []any{job, stage, step}, func(scan func(...any) error) error {
		var from, to string
		var isDone int16
		var c tasks.Counters
		if err := scan(&from, &to, &isDone, &c.Read, &c.Written, &c.Quarantined, &c.Skipped, &c.Bytes); err != nil {
			return err
		}
		totals = totals.Add(c)
		next[from], starts[storedKey(db.Dialect, from)] = to, true
		if isDone == 1 {
			last, ended = to, true
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	if len(next) == 0 {
		return nil, false, totals, nil
	}
	if !ended {
		ends := 0
		for _, to := range next {
			if !starts[storedKey(db.Dialect, to)] {
				last = to
				ends++
			}
		}
		if ends != 1 {
			return fail(tasks.Permanent(tasks.WithHint(nil, "somebody has changed stint_ledger by hand; restore it, or load the table anew under a new job",
				"the batches of step %s do not form a chain", step)))
		}
	}
	if to, err = ParseRowKey(last); err != nil {
		return fail(err)
	}
	return to, ended, totals, nil
}

// Chunk is the key range [From, To) that a step covers. Chunks of a stage are numbered from 0 without gaps; the first has no
// From, the last has no To, and each starts where the one before ends.
type Chunk struct {
	Seq  int64  `json:"seq"`
	From RowKey `json:"from,omitempty"`
	To   RowKey `json:"to,omitempty"`
}

// SavedChunks returns the chunks of a stage that have been decided, with numbers above after (-1: from the first), at most
// limit of them, in order. A chunk without To is the stage's last.
func SavedChunks(ctx context.Context, db *DB, job, stage string, after int64, limit int) ([]Chunk, error) {
	chunks, err := readChunks(ctx, db, job, stage, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read saved chunks: %w", Classify(err))
	}
	return chunks, nil
}

// HasChunk says whether a chunk is as it was decided. One that is not there any more was forgotten by the target with everything that
// was committed after it.
func HasChunk(ctx context.Context, db *DB, job, stage string, c Chunk) (bool, error) {
	kept, err := SavedChunks(ctx, db, job, stage, c.Seq-1, 1)
	return err == nil && len(kept) == 1 && kept[0].Seq == c.Seq && kept[0].From.Equal(c.From) && kept[0].To.Equal(c.To), err
}

func readChunks(ctx context.Context, q querier, job, stage string, after int64, limit int) ([]Chunk, error) {
	var chunks []Chunk
	err := q.queryAll(ctx, "SELECT seq, from_key, to_key FROM stint_chunks WHERE job = $1 AND stage = $2 AND seq > $3 ORDER BY seq LIMIT $4",
		[]any{job, stage, after, limit}, func(scan func(...any) error) error {
			var c Chunk
			var from, to string
			err := scan(&c.Seq, &from, &to)
			if err == nil {
				c.From, err = ParseRowKey(from)
			}
			if err == nil {
				c.To, err = ParseRowKey(to)
			}
			chunks = append(chunks, c)
			return err
		})
	return chunks, err
}

// SaveChunks keeps the next chunks of a stage that loads into a table for good, and returns what holds: these, or, when somebody was faster, the ones
// that were saved from the first one's number on, at most as many. So a stage that is split again, in another process or
// after the loss of the queue, gives the same chunks although its source has changed meanwhile. The caller goes on from
// the last one returned.
//
// With its chunks the job claims the table, unless that is nil, as it is for tables that several jobs may load: of two jobs that would load the same table at the same time, both of which have
// found it empty, one gets a permanent error that names the other.
func SaveChunks(ctx context.Context, db *DB, t *Table, job, stage string, chunks []Chunk) ([]Chunk, error) {
	if len(chunks) == 0 {
		return nil, nil
	}
	for i, c := range chunks {
		if i > 0 && (c.Seq != chunks[i-1].Seq+1 || !c.From.Equal(chunks[i-1].To)) {
			return nil, tasks.Permanent(fmt.Errorf("save chunks: chunk %d does not follow the one before", c.Seq))
		}
	}
	var held []Chunk
	err := inTransaction(ctx, db, func(q querier) error {
		if err := db.Dialect.words().lockStage(ctx, q, job, stage); err != nil {
			return err
		}
		saved, err := readChunks(ctx, q, job, stage, chunks[0].Seq-2, len(chunks)+1)
		if err != nil {
			return err
		}
		if chunks[0].Seq > 0 {
			if len(saved) == 0 || saved[0].Seq != chunks[0].Seq-1 {
				return tasks.Permanent(fmt.Errorf("chunk %d is not saved, so %d cannot be", chunks[0].Seq-1, chunks[0].Seq))
			}
			if len(saved) == 1 && !saved[0].To.Equal(chunks[0].From) {
				return tasks.Permanent(fmt.Errorf("chunk %d does not start where %d ends", chunks[0].Seq, saved[0].Seq))
			}
			saved = saved[1:]
		}
		if len(saved) > 0 {
			held = saved[:min(len(saved), len(chunks))]
			return nil
		}
		if t != nil {
			if err := claim(ctx, q, db.Dialect, t, job); err != nil {
				return err
			}
		}
		held = chunks
		for _, part := range batchesOf(chunks, 500) {
			var sql strings.Builder
			sql.WriteString("INSERT INTO stint_chunks (job, stage, seq, from_key, to_key) VALUES ")
			for i, c := range part {
				if i > 0 {
					sql.WriteByte(',')
				}
				d := db.Dialect
				fmt.Fprintf(&sql, "(%s,%s,%d,%s,%s)", d.Literal(job), d.Literal(stage), c.Seq, d.Literal(c.From.String()), d.Literal(c.To.String()))
			}
			if err := q.exec(ctx, sql.String()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("save chunks: %w", Classify(err))
	}
	return held, nil
}

// claimedName is what stint_tables calls a table.
func claimedName(d Dialect, t *Table) string {
	if d.words().foldsNames() {
		return strings.ToLower(t.FullName()) // as it compares names itself
	}
	return t.FullName()
}

// claim makes a job the only one that loads a table; a permanent error names the job that is so already.
func claim(ctx context.Context, q querier, d Dialect, t *Table, job string) error {
	name := claimedName(d, t)
	// A rival that has not committed yet is waited for.
	if err := q.exec(ctx, d.words().insertNew("INSERT INTO stint_tables (table_name, job) VALUES ($1, $2)", "table_name"), name, job); err != nil {
		return err
	}
	owner := ""
	err := q.queryAll(ctx, "SELECT job FROM stint_tables WHERE table_name = $1"+d.words().lockingRead(), []any{name}, func(scan func(...any) error) error { return scan(&owner) })
	if err != nil || owner == job {
		return err
	}
	return tasks.Permanent(tasks.WithHint(nil, fmt.Sprintf("let job %s do it, or choose other tables with --tables. Should that job never go on: cancel it, empty the table, and "+
		"run this in the target: DELETE FROM stint_tables WHERE table_name = %s AND job = %s;", owner, d.Literal(name), d.Literal(owner)),
		"job %s loads table %s of the target already", owner, t.FullName()))
}

// Unfinished returns those stages of a job of which the target's ledger does not have every chunk, to its end. After a load
// there should be none; there are some when the target has forgotten what it had confirmed: a server that crashed with
// synchronous_commit=off, or a replica that took over without the last seconds.
func Unfinished(ctx context.Context, db *DB, job string, stages []string) ([]string, error) {
	missing := map[string]int64{} // chunks without their end in the ledger; a stage without its last chunk has one more
	for _, s := range stages {
		missing[s] = 1
	}
	count := func(query string, sign int64) error {
		return db.queryAll(ctx, query, []any{job}, func(scan func(...any) error) error {
			var stage string
			var n int64
			err := scan(&stage, &n)
			if _, ok := missing[stage]; ok {
				missing[stage] += sign * n
			}
			return err
		})
	}
	err := count("SELECT stage, count(*) - sum(CASE WHEN to_key = '' THEN 1 ELSE 0 END) FROM stint_chunks WHERE job = $1 GROUP BY stage", 1)
	if err == nil {
		err = count("SELECT stage, count(*) FROM stint_ledger WHERE job = $1 AND done = 1 GROUP BY stage", -1)
	}
	if err != nil {
		return nil, fmt.Errorf("add the ledger up: %w", Classify(err))
	}
	return slices.DeleteFunc(slices.Clone(stages), func(s string) bool { return missing[s] == 0 }), nil
}

func batchesOf[T any](all []T, n int) [][]T {
	var out [][]T
	for len(all) > n {
		out = append(out, all[:n])
		all = all[n:]
	}
	return append(out, all)
}
