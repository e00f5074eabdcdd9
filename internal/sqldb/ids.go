package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// KeepIDs says under which names the map of ids keeps what became of rows: later stages, and later jobs of the same tenant, look
// references up in it (stint_ids).
type KeepIDs struct {
	Scope  string // whose rows they are: no job of another scope sees them
	Entity string // the stage
	Column string // of the target: its value is the id
	// Elsewhere is the map that keeps the ids of records which an API was sent, instead of stint_ids; nil is none.
	Elsewhere IDMap
}

// IDMap is a map of ids that is no table. It may name keys in its own way: the same key always alike, and no two keys.
type IDMap interface {
	Name(key string) string
	// Key returns the key of a name, or what can be said of it.
	Key(name string) string
	// Walk hands out the names of an entity, each once, with their ids, as long as goOn.
	Walk(ctx context.Context, entity string, each func(name, id string) (goOn bool, err error)) error
}

// Again names the rows of a job and stage that were set aside and are tried again.
type Again struct{ Job, Stage string }

// LookUpIDs returns the ids of keys, as far as the map has them. Keys are in the form of Transform.Key.
func LookUpIDs(ctx context.Context, db *DB, scope, entity string, keys []string) (map[string]string, error) {
	found := make(map[string]string, len(keys))
	for _, part := range batchesOf(keys, 500) {
		if len(part) == 0 {
			continue
		}
		within, args, named := keyPlaces(db.Dialect, []any{scope, entity}, part)
		err := db.queryAll(ctx, "SELECT source_key, target_id FROM stint_ids WHERE scope = $1 AND entity = $2 AND target_id <> '' AND source_key IN "+within,
			args, func(scan func(...any) error) error {
				var key, id string
				err := scan(&key, &id)
				found[named(key)] = id
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("look up ids of %s: %w", entity, Classify(err))
		}
	}
	return found, nil
}

// stageTable makes the temporary table that rows go through. It has no constraint, so whatever is wrong with a row shows when the
// stage is merged into the target.
func (s *postgresSink) stageTable() string {
	names := make([]string, len(s.m.Columns))
	for i, c := range s.m.Columns {
		names[i] = c.Target
	}
	key := ""
	if s.m.KeepIDs {
		key = ", ''::text AS stint_key"
	}
	return "DROP TABLE IF EXISTS pg_temp.stint_stage; CREATE TEMP TABLE stint_stage ON COMMIT DELETE ROWS AS SELECT " + Postgres.QuoteList(names) + key +
		" FROM " + Postgres.QuoteTable(s.m.Target.Schema, s.m.Target.Name) + " WHERE false"
}

// copyStageSQL is copySQL into the temporary table.
func (p *plan) copyStageSQL() string {
	columns := Postgres.QuoteList(p.targetColumns())
	if p.m.KeepIDs {
		columns += ", stint_key"
	}
	form := " FROM STDIN (FORMAT binary)"
	if p.text {
		form = " FROM STDIN"
	}
	return "COPY pg_temp.stint_stage (" + columns + ")" + form
}

// mergeSQL brings the rows of the temporary table into the target, and their ids into the map. The first statement that counts
// rows is the one whose count must be that of the rows.
func (s *postgresSink) mergeSQL() string {
	d := Postgres
	target := d.QuoteTable(s.m.Target.Schema, s.m.Target.Name)
	var names []string
	for _, c := range s.m.Columns {
		names = append(names, c.Target)
	}
	columns := d.QuoteList(names)
	var sql strings.Builder
	if s.opts.Mode == ModeReplace {
		sql.WriteString("DELETE FROM " + target + " t USING pg_temp.stint_stage s WHERE " + sameKey(d, s.opts.Key) + ";\n")
	}
	sql.WriteString("INSERT INTO " + target + " (" + columns + ") SELECT " + columns + " FROM pg_temp.stint_stage")
	if s.opts.Mode == ModeUpsert {
		sql.WriteString(onConflict(d, names, s.opts.Key))
	}
	sql.WriteString(";\n")
	if !s.m.KeepIDs {
		return sql.String()
	}
	id, from := "s."+d.Quote(s.opts.IDs.Column), " FROM pg_temp.stint_stage s"
	if s.m.sourceOf(s.opts.IDs.Column) == nil { // the target gives it
		id, from = "t."+d.Quote(s.opts.IDs.Column), from+" JOIN "+target+" t ON "+sameKey(d, s.opts.Key)
	}
	sql.WriteString("INSERT INTO stint_ids (scope, entity, source_key, target_id, job) SELECT " + d.Literal(s.opts.IDs.Scope) + ", " + d.Literal(s.opts.IDs.Entity) +
		", s.stint_key, " + id + "::text, " + d.Literal(s.opts.Job) + from +
		" ON CONFLICT (scope, entity, source_key) DO UPDATE SET target_id = EXCLUDED.target_id, job = EXCLUDED.job")
	return sql.String()
}

func sameKey(d Dialect, key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = "t." + d.Quote(k) + " = s." + d.Quote(k)
	}
	return strings.Join(parts, " AND ")
}

// sourceOf returns the pair that fills in a column of the target, or nil.
func (m *Mapping) sourceOf(target string) *ColumnPair {
	for i := range m.Columns {
		if m.Columns[i].Target == target {
			return &m.Columns[i]
		}
	}
	return nil
}

// mergeStage brings the rows of the temporary table into the target, which must take each of them.
func (s *postgresSink) mergeStage(ctx context.Context, rows int) error {
	results, err := s.pg.Exec(ctx, s.merge).ReadAll()
	if err != nil {
		return err
	}
	at := 0
	if s.opts.Mode == ModeReplace {
		at = 1
	}
	if len(results) <= at {
		return errors.New("the server answered with fewer results than there were statements")
	}
	if n := results[at].CommandTag.RowsAffected(); n != int64(rows) {
		return tasks.Permanent(tasks.WithHint(nil, "a trigger or a rule of the table drops rows; disable it for the load",
			"the target %s took %d of %d rows without an error", s.m.Target.FullName(), n, rows))
	}
	return nil
}

// appendID appends the key of the current row as the last field of a row in COPY's form.
func (p *plan) appendID(dst []byte) []byte {
	key := storedKey(p.to, p.made.t.Key())
	if p.text {
		return appendCopyText(append(dst, '\t'), key)
	}
	dst = append(dst, byte(len(key)>>24), byte(len(key)>>16), byte(len(key)>>8), byte(len(key)))
	return append(dst, key...)
}

// settledKeys returns the keys, as text, of the rows [first, end) of a batch that are not among those set aside anew.
func settledKeys(b *Batch, first, end int, bad []badRow) []string {
	again := map[int]bool{}
	for i := range bad {
		again[bad[i].at] = true
	}
	var keys []string
	for at := first; at < end; at++ {
		if !again[at] {
			keys = append(keys, b.keyAt(at, b.parts).String())
		}
	}
	return keys
}

// holding selects the keys, a few hundred at a time, of the rows of a batch, from first on, that are tried again, as far as they are
// still set aside. Whoever locks them first tries them: the others find fewer than there should be.
func (b *Batch) holding(d Dialect, a *Again, first int, lock string) (queries []string, want []int) {
	for _, part := range batchesOf(settledKeys(b, first, b.RowsRead, nil), 500) {
		if len(part) == 0 {
			continue
		}
		queries = append(queries, "SELECT row_key FROM stint_quarantine WHERE job = "+d.Literal(a.Job)+" AND stage = "+d.Literal(a.Stage)+" AND row_key IN "+
			keyLiterals(d, part...)+" ORDER BY row_key"+lock)
		want = append(want, len(part))
	}
	return queries, want
}

// hold locks the rows that are tried again, so that a rival waits; ErrTaken when it was faster.
func (s *postgresSink) hold(ctx context.Context, b *Batch, first int) error {
	if s.opts.Again == nil {
		return nil
	}
	queries, want := b.holding(Postgres, s.opts.Again, first, " FOR UPDATE")
	for i, query := range queries {
		results, err := s.pg.Exec(ctx, query).ReadAll()
		if err != nil {
			return err
		}
		if len(results) == 0 || len(results[0].Rows) != want[i] {
			return ErrTaken
		}
	}
	return nil
}

// holdSQL is hold for who speaks database/sql.
func holdSQL(ctx context.Context, conn *sql.Conn, d Dialect, b *Batch, a *Again, first int, lock string) error {
	if a == nil {
		return nil
	}
	queries, want := b.holding(d, a, first, lock)
	for i, query := range queries {
		n, err := countRows(ctx, conn, query)
		if err != nil {
			return err
		}
		if n != want[i] {
			return ErrTaken
		}
	}
	return nil
}

func countRows(ctx context.Context, conn *sql.Conn, query string) (n int, err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

// settled takes rows that were tried again, and are loaded or skipped now, from those that are set aside. Fewer than there should
// be means that somebody else did: ErrTaken.
func (s *postgresSink) settled(ctx context.Context, b *Batch, first, end int, bad []badRow) error {
	a := s.opts.Again
	if a == nil {
		return nil
	}
	l := Postgres.Literal
	for _, part := range batchesOf(settledKeys(b, first, end, bad), 1_000) {
		if len(part) == 0 {
			continue
		}
		results, err := s.pg.Exec(ctx, "DELETE FROM stint_quarantine WHERE job = "+l(a.Job)+" AND stage = "+l(a.Stage)+" AND row_key IN "+keyLiterals(Postgres, part...)).ReadAll()
		if err != nil {
			return err
		}
		if results[0].CommandTag.RowsAffected() != int64(len(part)) {
			return ErrTaken
		}
	}
	return nil
}

// requarantine says anew why rows that were tried again are still set aside.
func requarantine(a *Again, b *Batch, bad []badRow) string {
	l := Postgres.Literal
	var sql strings.Builder
	for i := range bad {
		q := &bad[i]
		clean := func(s string) string { return l(strings.ToValidUTF8(s, "\uFFFD")) }
		sql.WriteString("UPDATE stint_quarantine SET column_name = " + clean(q.column) + ", reason = " + clean(q.reason) + ", code = " + clean(q.code) +
			", row_json = " + clean(q.json) + " WHERE job = " + l(a.Job) + " AND stage = " + l(a.Stage) + " AND row_key IN " + keyLiterals(Postgres, b.keyAt(q.at, b.parts).String()) + ";\n")
	}
	return sql.String()
}

// loadedEntity is what the map of ids keeps it under that a stage loads a table. No stage has a slash in its name.
func loadedEntity(stage string) string { return stage + "/loads" }

// MarkLoads notes that a job begins to load a table by a stage. The first job that does so stays the one that is noted.
func MarkLoads(ctx context.Context, db *DB, scope, stage, table, job string) error {
	d := db.Dialect
	err := db.exec(ctx, d.words().insertNew("INSERT INTO stint_ids (scope, entity, source_key, target_id, job) VALUES ("+d.Literal(scope)+","+
		d.Literal(loadedEntity(stage))+","+d.Literal(table)+",'',"+d.Literal(job)+")", "scope, entity, source_key"))
	if err != nil {
		return fmt.Errorf("note that %s is loaded: %w", table, Classify(err))
	}
	return nil
}

// LoadedBy returns the first job that has loaded a table of the target by a stage of this name, as long as the table has rows; ""
// when none has.
func LoadedBy(ctx context.Context, db *DB, scope, stage string, t *Table) (job string, err error) {
	there, err := HasTable(ctx, db, &Table{Name: "stint_ids"})
	if err != nil || !there {
		return "", err
	}
	anyCase := ""
	if db.Dialect == SQLite { // a plan may write the name otherwise than the one before, or than the table has it
		anyCase = " COLLATE NOCASE"
	}
	err = db.queryAll(ctx, "SELECT job FROM stint_ids WHERE scope = $1 AND entity = $2 AND source_key = $3"+anyCase, []any{scope, loadedEntity(stage), t.FullName()},
		func(scan func(...any) error) error { return scan(&job) })
	if err != nil || job == "" {
		return "", Classify(err)
	}
	rows := false
	if err := queryValue(ctx, db, "SELECT EXISTS (SELECT 1 FROM "+t.from(db.Dialect)+walked+")", &rows); err != nil || !rows {
		return "", Classify(err)
	}
	return job, nil
}
