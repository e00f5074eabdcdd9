package sqldb

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// KeepRows says that a Loader keeps what became of each row of the source: a hash of it, and what it is called in the target
// (stint_rows). It commits with the batch. By it a catch-up finds what has changed since, and what is gone.
type KeepRows struct {
	Job   string   // the first pass: whose rows they are
	Stage string   // of the plan
	Key   []string // the target's columns that name a row there
	// Round is the job of a catch-up's round; "" is the first pass. In a round rows may be there already: what was kept of them
	// before is replaced, those that were set aside leave the quarantine of Aside, and those that cannot be loaded go there.
	Round string
	Aside Again
}

// CodesOfOthers are the codes of rows that may be taken once other rows have come or gone.
var CodesOfOthers = []string{CodeDeferred, codeReference, "23505", "SQLITE_CONSTRAINT"}

// inRound reports whether rows are those of a catch-up's round.
func (o *LoaderOptions) inRound() bool { return o.Rows != nil && o.Rows.Round != "" }

// hashCells hashes a row of the source as it was read.
func hashCells(cells []cell) int64 {
	var h xxhash.Digest
	h.Reset()
	var head [17]byte
	for i := range cells {
		c := &cells[i]
		head[0] = byte(c.kind)
		binary.LittleEndian.PutUint64(head[1:], c.n)
		binary.LittleEndian.PutUint64(head[9:], uint64(len(c.s)))
		_, _ = h.Write(head[:]) // a hash never fails
		_, _ = h.WriteString(c.s)
	}
	return int64(h.Sum64())
}

// targetKey returns what a row that was made is called in the target, as text.
func (p *plan) targetKey(out []cell) (string, *BadValue) {
	if p.keyCodecs == nil {
		for _, at := range p.keyAt {
			p.keyCodecs = append(p.keyCodecs, p.codecs[at])
		}
		p.keyCells = make([]cell, len(p.keyAt))
	}
	for i, at := range p.keyAt {
		if p.keyCells[i] = out[at]; out[at].kind == cellNull {
			return "", &BadValue{Column: p.m.Columns[at].Source, Reason: "NULL in the target's key", Code: "23502"}
		}
	}
	key, ok := otherKey(p.keyCodecs, p.keyCells)
	if !ok {
		return "", &BadValue{Column: p.m.Columns[p.keyAt[0]].Source, Reason: "the target's key cannot hold it", Code: codeSyntax}
	}
	return key.String(), nil
}

// Pair says that a row of the target was made of a row of the source.
type Pair struct {
	Row    string // the key in the source, a RowKey as text
	Target string // the key in the target, likewise
}

// kept returns what a batch's rows [first, end) became, besides those that are set aside: the keys of all, and each row of the
// target with the hash of its origin, once.
func (b *Batch) kept(first, end int, bad []badRow) (keys []string, pairs []Pair, hashes []int64) {
	keys = settledKeys(b, first, end, bad)
	aside := map[int]bool{}
	for i := range bad {
		aside[bad[i].at] = true
	}
	seen := map[Pair]bool{}
	for row := range b.RowsEncoded {
		at := b.readIndex(row)
		if at < first || at >= end || aside[at] {
			continue
		}
		p := Pair{b.keyAt(at, b.parts).String(), b.targets[row]}
		if !seen[p] {
			seen[p] = true
			pairs, hashes = append(pairs, p), append(hashes, b.hashes[at])
		}
	}
	return keys, pairs, hashes
}

// Moved returns those of the pairs, which were kept before, that the batch does not make again: their rows of the target have
// another name now, or are left out.
func (b *Batch) Moved(before []Pair) []Pair {
	_, now, _ := b.kept(0, b.RowsRead, b.bad)
	made, aside := map[Pair]bool{}, map[string]bool{}
	for _, p := range now {
		made[p] = true
	}
	for i := range b.bad { // the row of the target stays as it was
		aside[b.keyAt(b.bad[i].at, b.parts).String()] = true
	}
	var moved []Pair
	for _, p := range before {
		if !made[p] && !aside[p.Row] {
			moved = append(moved, p)
		}
	}
	return moved
}

// Keys returns the keys of the batch's rows of the source, as text.
func (b *Batch) Keys() []string { return settledKeys(b, 0, b.RowsRead, nil) }

// keepRows keeps what became of the rows [first, end) of a batch, in the batch's own transaction and at its end.
func keepRows(ctx context.Context, q querier, d Dialect, o *LoaderOptions, table string, b *Batch, first, end int, bad []badRow) error {
	k := o.Rows
	if k == nil {
		return nil
	}
	keys, pairs, hashes := b.kept(first, end, bad)
	if o.inRound() {
		if err := k.replace(ctx, q, d, table, b, keys, bad); err != nil {
			return err
		}
	}
	var names []string
	for _, p := range pairs {
		names = append(names, p.Row, p.Target)
	}
	if whole := keepWhole(d, names); whole != "" {
		if err := q.exec(ctx, whole); err != nil {
			return err
		}
	}
	for len(pairs) > 0 {
		n := min(len(pairs), 500)
		var sql strings.Builder
		sql.WriteString("INSERT INTO stint_rows (job, stage, row_key, target_key, hash, stale) VALUES ")
		for i, p := range pairs[:n] {
			if i > 0 {
				sql.WriteByte(',')
			}
			sql.WriteString("(" + d.Literal(k.Job) + "," + d.Literal(k.Stage) + "," + d.Literal(storedKey(d, p.Row)) + "," + d.Literal(storedKey(d, p.Target)) + "," +
				strconv.FormatInt(hashes[i], 10) + ",0)")
		}
		if err := q.exec(ctx, d.words().upsert(sql.String(), "job, stage, row_key, target_key", "hash", "stale")); err != nil {
			return err
		}
		pairs, hashes = pairs[n:], hashes[n:]
	}
	if o.inRound() {
		return k.holds(ctx, q, d)
	}
	return nil
}

// replace takes away what was kept of rows before, and says anew which of them are set aside.
func (k *KeepRows) replace(ctx context.Context, q querier, d Dialect, table string, b *Batch, keys []string, bad []badRow) error {
	of := "job = " + d.Literal(k.Job) + " AND stage = " + d.Literal(k.Stage) + " AND stale = 0"
	for _, part := range batchesOf(keys, 500) {
		if len(part) == 0 {
			continue
		}
		if err := q.exec(ctx, keptRows(d, part).with(of).remove()); err != nil {
			return err
		}
	}
	all := keys
	for i := range bad {
		all = append(all, b.keyAt(bad[i].at, b.parts).String())
	}
	if err := deleteKeys(ctx, q, d, "DELETE FROM stint_quarantine"+k.aside(d), all); err != nil {
		return err
	}
	as := LoaderOptions{Job: k.Aside.Job, Stage: k.Aside.Stage, Step: "catch-up"}
	for i := range bad {
		if err := setOneAside(ctx, q, d, &as, table, b.keyAt(bad[i].at, b.parts), bad[i]); err != nil {
			return err
		}
	}
	return nil
}

// aside is the condition on rows in quarantine, before a list of keys.
func (k *KeepRows) aside(d Dialect) string {
	return " WHERE job = " + d.Literal(k.Aside.Job) + " AND stage = " + d.Literal(k.Aside.Stage) + " AND row_key IN "
}

// deleteKeys runs a statement on lists of keys, in each of their forms.
func deleteKeys(ctx context.Context, q querier, d Dialect, sql string, keys []string) error {
	for _, part := range batchesOf(keys, 500) {
		if len(part) == 0 {
			continue
		}
		if err := q.exec(ctx, sql+keyLiterals(d, part...)); err != nil {
			return err
		}
	}
	return nil
}

// someRows is a choice among the rows of a table: by which index they are found, "" for any, a condition, and its arguments.
type someRows struct {
	table, hint, condition string
	args                   []any
}

// keptRows chooses rows of stint_rows by their key in the source. Less than a thousand keys: of more some servers make a table.
func keptRows(d Dialect, keys []string) someRows {
	if w, ok := d.words().(rowKeeper); ok {
		return w.keptRows(keys)
	}
	return someRows{table: "stint_rows", condition: "row_key IN " + keyLiterals(d, keys...)}
}

// keptTargets chooses them by their key in the target.
func keptTargets(d Dialect, keys []string) someRows {
	if w, ok := d.words().(rowKeeper); ok {
		return w.keptTargets(keys)
	}
	return someRows{table: "stint_rows", condition: "target_key IN " + keyLiterals(d, keys...)}
}

// with narrows the choice.
func (s someRows) with(condition string) someRows {
	s.condition = condition + " AND " + s.condition
	return s
}

func (s someRows) from() string { return " FROM " + s.table + s.hint + " WHERE " + s.condition }

// remove is the statement that deletes the rows.
func (s someRows) remove() string {
	if s.hint != "" { // which a DELETE of one table does not take
		return "DELETE " + s.table + s.from()
	}
	return "DELETE" + s.from()
}

// literals lists texts, in parentheses.
func literals(d Dialect, texts []string) string {
	quoted := make([]string, len(texts))
	for i, s := range texts {
		quoted[i] = d.Literal(s)
	}
	return "(" + strings.Join(quoted, ",") + ")"
}

// KnownRows returns the hashes of rows as they were loaded last, as far as they are in the target, by their keys as text.
func KnownRows(ctx context.Context, db *DB, k *KeepRows, keys []string) (map[string]int64, error) {
	known, named := make(map[string]int64, len(keys)), make(map[string]string, len(keys))
	for _, key := range keys {
		named[storedKey(db.Dialect, key)] = key
	}
	for _, part := range batchesOf(keys, 500) {
		if len(part) == 0 {
			continue
		}
		err := db.queryAll(ctx, "SELECT row_key, hash"+keptRows(db.Dialect, part).with("job = $1 AND stage = $2 AND stale = 0").from(),
			[]any{k.Job, k.Stage}, func(scan func(...any) error) error {
				var key string
				var hash int64
				err := scan(&key, &hash)
				known[named[storedKey(db.Dialect, key)]] = hash
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("look rows up in stint_rows: %w", Classify(err))
		}
	}
	return known, nil
}

// KeptPairs returns what was made of rows, by their keys as text.
func KeptPairs(ctx context.Context, db *DB, k *KeepRows, keys []string) ([]Pair, error) {
	var pairs []Pair
	for _, part := range batchesOf(keys, 500) {
		if len(part) == 0 {
			continue
		}
		found, err := selectPairs(ctx, db.querier(), db.Dialect, k, keptRows(db.Dialect, part))
		if err != nil {
			return nil, fmt.Errorf("look rows up in stint_rows: %w", Classify(err))
		}
		pairs = append(pairs, found...)
	}
	return pairs, nil
}

func selectPairs(ctx context.Context, q querier, d Dialect, k *KeepRows, some someRows) (pairs []Pair, err error) {
	err = q.queryAll(ctx, "SELECT row_key, target_key"+some.with("job = $1 AND stage = $2").from(), []any{k.Job, k.Stage},
		func(scan func(...any) error) error {
			var p Pair
			err := scan(&p.Row, &p.Target)
			pairs = append(pairs, p)
			return err
		})
	if err != nil {
		return nil, err
	}
	places := make([]*string, 0, 2*len(pairs))
	for i := range pairs {
		places = append(places, &pairs[i].Row, &pairs[i].Target)
	}
	return pairs, wholeKeys(ctx, q, d, places...)
}

// KeptKeys returns the keys of rows of which something is in the target, as text and in an order of the target's, behind one as it is
// stored, at most limit, and the last of them as it is stored: all of them, or those alone that could not be deleted when they should
// have been.
func KeptKeys(ctx context.Context, db *DB, k *KeepRows, stale bool, after string, limit int) (keys []string, last string, err error) {
	only := ""
	if stale {
		only = " AND stale = 1"
	}
	query := "SELECT DISTINCT row_key FROM stint_rows WHERE job = $1 AND stage = $2 AND row_key > $3" + only + " ORDER BY row_key LIMIT $4"
	if w, ok := db.Dialect.words().(rowKeeper); ok {
		query = w.keptPage(only)
	}
	err = db.queryAll(ctx, query,
		[]any{k.Job, k.Stage, after, limit}, func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			keys, last = append(keys, key), key
			return err
		})
	if err == nil {
		places := make([]*string, len(keys))
		for i := range keys {
			places[i] = &keys[i]
		}
		err = wholeKeys(ctx, db.querier(), db.Dialect, places...)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read stint_rows: %w", Classify(err))
	}
	return keys, last, nil
}

// StalePairs returns the rows of the target, of some rows of the source, that could not be deleted when they should have been.
func StalePairs(ctx context.Context, db *DB, k *KeepRows, keys []string) ([]Pair, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pairs, err := selectPairs(ctx, db.querier(), db.Dialect, k, keptRows(db.Dialect, keys).with("stale = 1"))
	if err != nil {
		return nil, fmt.Errorf("read stint_rows: %w", Classify(err))
	}
	return pairs, nil
}
