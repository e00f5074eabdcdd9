package sqldb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// WalkKind says by what a table is walked.
type WalkKind string

// The ways to walk a table.
const (
	WalkKey   WalkKind = "key"   // by a primary key, or a unique key that is NOT NULL
	WalkRowID WalkKind = "rowid" // by the place of the row: SQLite's rowid, stable as long as nobody runs VACUUM; MySQL: a hash of the row; Firebird: RDB$DB_KEY
	WalkCTID  WalkKind = "ctid"  // PostgreSQL: by the place of the row; stable as long as nobody updates or rewrites the table
	WalkPlace WalkKind = "place" // files: by the name of the file and the position in it; stable as long as nobody changes the files
)

// Walk is the order in which a table is walked: what its chunks are ranges of, and what names its rows. It follows from the
// table alone, so that every process walks the same way.
type Walk struct {
	Kind    WalkKind `json:"kind"`
	Columns []string `json:"columns,omitempty"` // of the key; empty for rowid and ctid
}

// Parts returns how many parts a RowKey of this walk has.
func (w Walk) Parts() int {
	switch w.Kind {
	case WalkRowID:
		return 1
	case WalkCTID, WalkPlace:
		return 2 // block, item; file, position
	}
	return len(w.Columns)
}

// WalkOf says how a table is walked: by its primary key where that is NOT NULL, else by its shortest unique key whose
// columns are all NOT NULL, else by the place of the row. SQLite lets the columns of a primary key be NULL unless told
// otherwise; such a table is walked by rowid, for a range never holds a NULL.
func WalkOf(t *Table) Walk {
	if k := t.PrimaryKey; k != nil && walkable(t, k) {
		return keyWalk(k)
	}
	var best *Key
	for i := range t.Uniques {
		if k := &t.Uniques[i]; walkable(t, k) && (best == nil || len(k.Columns) < len(best.Columns)) {
			best = k
		}
	}
	if best != nil {
		return keyWalk(best)
	}
	if t.Place {
		return Walk{Kind: WalkPlace}
	}
	if t.RowID != "" {
		return Walk{Kind: WalkRowID}
	}
	return Walk{Kind: WalkCTID}
}

func keyWalk(k *Key) Walk { return Walk{Kind: WalkKey, Columns: slices.Clone(k.Columns)} }

// integers reports whether every key of a walk is one integer. A column of SQLite that is declared so may hold anything,
// unless it is the rowid itself.
func (w Walk) integers(d Dialect, t *Table) bool {
	switch {
	case w.Kind == WalkRowID:
		return d.words().integers(t, nil)
	case w.Kind != WalkKey || len(w.Columns) != 1:
		return false
	}
	c := t.Column(w.Columns[0])
	return c != nil && d.words().integers(t, c)
}

func isIntKind(k Kind) bool { return k == KindInt16 || k == KindInt32 || k == KindInt64 }

// isRowIDAlias reports whether a column is SQLite's INTEGER PRIMARY KEY.
func isRowIDAlias(t *Table, c *Column) bool {
	return t.RowID != "" && c != nil && c.Identity && strings.EqualFold(c.Type, "INTEGER") &&
		t.PrimaryKey != nil && len(t.PrimaryKey.Columns) == 1 && t.PrimaryKey.Columns[0] == c.Name
}

func walkable(t *Table, k *Key) bool {
	if len(k.Columns) == 0 {
		return false
	}
	for _, name := range k.Columns {
		c := t.Column(name)
		if c == nil {
			return false
		}
		if c.Unordered || !c.NotNull && !isRowIDAlias(t, c) {
			return false
		}
	}
	return true
}

// walked names the table in queries that are ordered by a walk. Without it ORDER BY "a" would mean the column "a"::text of the
// result, which sorts otherwise.
const walked = " AS stint_t"

// orderBy returns the columns of the walk as ORDER BY wants them; "" for ctid, whose ranges come in order by themselves.
func (w Walk) orderBy(d Dialect, t *Table) string {
	switch w.Kind {
	case WalkRowID:
		return " ORDER BY " + t.RowID
	case WalkCTID:
		return ""
	}
	var b strings.Builder
	for i, c := range w.Columns {
		b.WriteString([]string{" ORDER BY stint_t.", ", stint_t."}[min(i, 1)])
		b.WriteString(d.Quote(c))
	}
	return b.String()
}

// compare returns a condition such as ("a", "b") >= ($1::integer, $2::text) and adds its arguments. The database compares,
// so that its own collation, type order and affinity hold.
func (w Walk) compare(d Dialect, t *Table, op string, key RowKey, args *[]any) (string, error) {
	if len(key) != w.Parts() {
		return "", fmt.Errorf("walk %s: a key of %d parts where the walk has %d", t.FullName(), len(key), w.Parts())
	}
	switch w.Kind {
	case WalkCTID:
		*args = append(*args, fmt.Sprintf("(%v,%v)", key[0], key[1]))
		return "ctid " + op + " $" + strconv.Itoa(len(*args)) + "::tid", nil
	case WalkRowID:
		return t.RowID + " " + op + " " + d.operand(&Column{}, key[0], args), nil
	}
	words := d.words()
	place := func(i int) (string, error) {
		c := t.Column(w.Columns[i])
		if c == nil {
			return "", fmt.Errorf("walk %s: no column %s", t.FullName(), w.Columns[i])
		}
		return d.operand(c, key[i], args), nil
	}
	if len(key) > 1 && !words.rowValues() {
		return w.expanded(d, op, place)
	}
	places := make([]string, len(key))
	for i := range key {
		var err error
		if places[i], err = place(i); err != nil {
			return "", err
		}
	}
	if len(key) == 1 {
		return d.Quote(w.Columns[0]) + " " + op + " " + places[0], nil
	}
	return "(" + d.QuoteList(w.Columns) + ") " + op + " (" + strings.Join(places, ", ") + ")", nil
}

// expanded writes (a, b) >= (x, y) as a >= x AND (a > x OR a = x AND b >= y), for databases that have no row values, or do not
// find them in an index. The first part is there for the index: it bounds the range to be read.
func (w Walk) expanded(d Dialect, op string, place func(i int) (string, error)) (string, error) {
	strict := op[:1]
	var b strings.Builder
	term := func(i int, op string) error {
		p, err := place(i)
		b.WriteString(d.Quote(w.Columns[i]) + " " + op + " " + p)
		return err
	}
	err := term(0, strict+"=")
	b.WriteString(" AND (")
	for last := range w.Columns {
		for i := 0; i <= last && err == nil; i++ {
			switch {
			case i < last:
				err = term(i, "=")
				b.WriteString(" AND ")
			case i == len(w.Columns)-1:
				err = term(i, op)
			default:
				err = term(i, strict)
			}
		}
		if last < len(w.Columns)-1 {
			b.WriteString(" OR ")
		}
	}
	b.WriteString(")")
	return b.String(), err
}

// where returns the WHERE clause of the range [from, to), with its arguments; "" where there is nothing to say.
func (w Walk) where(d Dialect, t *Table, from, to RowKey) (string, []any, error) {
	var conds []string
	var args []any
	if from == nil && w.Kind == WalkCTID {
		from = RowKey{int64(0), int64(0)} // a ctid condition makes it a range scan, which comes in order
	}
	for _, b := range []struct {
		op  string
		key RowKey
	}{{">=", from}, {"<", to}} {
		if b.key == nil {
			continue
		}
		c, err := w.compare(d, t, b.op, b.key, &args)
		if err != nil {
			return "", nil, err
		}
		conds = append(conds, c)
	}
	if len(conds) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args, nil
}

// behind returns the condition, and the number of rows to skip, for the row that is rows behind a border. It asks for greater
// keys, not for the same or greater: keys that only an index tells apart ('a' and 'A' under NOCASE) must not be borders twice.
func (w Walk) behind(d Dialect, t *Table, after RowKey, rows int) (where string, args []any, skip int, err error) {
	if after == nil {
		return "", nil, rows, nil
	}
	cond, err := w.compare(d, t, ">", after, &args)
	return " WHERE " + cond, args, rows - 1, err
}

// Boundaries returns the starts of the next chunks behind the one that starts at after (nil: the first chunk, which has no
// lower border): at most limit of them, rows apart. Fewer than limit means that the last chunk of the table starts at the last
// one returned, or at after. Borders are found by keyset, within an index where there is one.
//
// It reads the table as it is now; SaveChunks keeps what was decided.
func Boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	if rows < 1 || limit < 1 {
		return nil, fmt.Errorf("split %s: rows and limit must be positive", t.FullName())
	}
	keys, err := db.Dialect.words().boundaries(ctx, db, t, w, after, rows, limit)
	if err != nil {
		return nil, fmt.Errorf("split %s: %w", t.FullName(), Classify(err))
	}
	return keys, nil
}

// denseOrKeyset finds borders without reading the table where that can be, and else by walking its key.
func denseOrKeyset(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	if keys, dense, err := denseBoundaries(ctx, db, t, w, after, rows, limit); err != nil || dense {
		return keys, err
	}
	return keysetBoundaries(ctx, db, t, w, after, rows, limit)
}

// denseBoundaries computes the borders of a table whose integer keys have few gaps, without reading it: a range of n
// integers holds at most n rows, so no chunk can be too large. It says no where the keys are not so.
func denseBoundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, bool, error) {
	if !w.integers(db.Dialect, t) || t.Rows == 0 {
		return nil, false, nil
	}
	col := t.RowID
	if w.Kind == WalkKey {
		col = db.Dialect.Quote(w.Columns[0])
	}
	from := "(SELECT min(" + col + ") FROM " + t.from(db.Dialect) + walked + ")"
	to := "(SELECT max(" + col + ") FROM " + t.from(db.Dialect) + walked + ")"
	var least, most edge
	if err := queryRow(ctx, db, "SELECT "+from+", "+to, nil, &least, &most); err != nil {
		return nil, false, err
	}
	if least.none || most.none {
		return nil, true, nil
	}
	lo, hi := least.key, most.key
	if span := uint64(hi) - uint64(lo); least.beyond || most.beyond || span >= 2*uint64(t.Rows) {
		return nil, false, nil
	}
	at := lo
	if after != nil {
		n, ok := after[0].(int64)
		if !ok {
			return nil, false, nil
		}
		at = n
	}
	var keys []RowKey
	for len(keys) < limit && hi >= at && uint64(hi)-uint64(at) >= uint64(rows) {
		at += int64(rows)
		keys = append(keys, RowKey{at})
	}
	return keys, true, nil
}

// edge is the least or the greatest key of a table: none of an empty one, and beyond what an int64 holds where the column has no sign.
type edge struct {
	key          int64
	none, beyond bool
}

// Scan takes what a driver has read.
func (e *edge) Scan(v any) (err error) {
	switch v := v.(type) {
	case nil:
		e.none = true
	case int64:
		e.key = v
	case uint64:
		e.key, e.beyond = math.MaxInt64, v > math.MaxInt64
		if !e.beyond {
			e.key = int64(v)
		}
	case []byte:
		e.key, err = strconv.ParseInt(string(v), 10, 64)
	default:
		e.key, err = strconv.ParseInt(fmt.Sprint(v), 10, 64)
	}
	if errors.Is(err, strconv.ErrRange) {
		e.beyond, err = true, nil
	}
	return err
}

// keysetBoundaries walks the key: each border is found from the one before it.
func keysetBoundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	words := db.Dialect.words()
	r := &Rows{table: t, walk: w}
	r.addKey(db.Dialect)
	parts := make([]string, len(r.cols))
	for i := range r.cols {
		parts[i] = words.expression(r.cols[i], t)
	}
	var keys []RowKey
	for len(keys) < limit {
		where, args, skip, err := w.behind(db.Dialect, t, after, rows)
		if err != nil {
			return nil, err
		}
		head, tail := words.page(1, skip)
		first := []string{head + parts[0]}
		key, err := firstKey(ctx, db, r, append(first, parts[1:]...), " FROM "+t.from(db.Dialect)+walked+where+w.orderBy(db.Dialect, t)+tail, args)
		if err != nil || key == nil {
			return keys, err
		}
		keys = append(keys, key)
		after = key
	}
	return keys, nil
}

// firstKey returns the key of the first row of a query; nil when there is none.
func firstKey(ctx context.Context, db *DB, r *Rows, expressions []string, rest string, args []any) (RowKey, error) {
	src, err := db.Dialect.words().rows(ctx, db, expressions, rest, args, r.cols)
	if err != nil {
		return nil, err
	}
	one := &Rows{table: r.table, walk: r.walk, cols: r.cols, keyAt: r.keyAt, key: r.key, cells: make([]cell, len(r.cols)), src: src}
	var key RowKey
	if one.Next() {
		key = one.Key()
	}
	err = one.err
	if e := one.Close(); err == nil {
		err = e
	}
	return key, err
}

// postgresBoundaries finds all borders of a page in one round trip, by recursion.
func postgresBoundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	where, args, skip, err := w.behind(Postgres, t, after, rows)
	if err != nil {
		return nil, err
	}
	d, n := Postgres, len(w.Columns)
	rel := t.from(d)
	inner, prev, alias, out := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, c := range w.Columns {
		col := t.Column(c)
		if col == nil {
			return nil, fmt.Errorf("no column %s", c)
		}
		alias[i] = "stint_k" + strconv.Itoa(i)
		inner[i] = d.Quote(c) + " AS " + alias[i]
		prev[i] = "stint_b." + alias[i]
		out[i] = alias[i]
		if col.Kind == KindOther {
			out[i] += "::text"
		}
	}
	left, right := "("+d.QuoteList(w.Columns)+")", "("+strings.Join(prev, ", ")+")"
	order := w.orderBy(d, t) + " LIMIT 1 OFFSET "
	sql := "WITH RECURSIVE stint_b AS ((SELECT 1 AS stint_n, " + strings.Join(inner, ", ") + " FROM " + rel + walked + where + order + strconv.Itoa(skip) + ")" +
		" UNION ALL SELECT stint_b.stint_n + 1, stint_x.* FROM stint_b CROSS JOIN LATERAL (SELECT " + strings.Join(inner, ", ") +
		" FROM " + rel + walked + " WHERE " + left + " > " + right + order + strconv.Itoa(rows-1) + ") stint_x WHERE stint_b.stint_n < " + strconv.Itoa(limit) +
		") SELECT " + strings.Join(out, ", ") + " FROM stint_b ORDER BY stint_n"
	kinds := make([]selected, n)
	for i, c := range w.Columns {
		kinds[i] = selected{column: t.Column(c), binary: t.Column(c).Kind != KindOther}
	}
	return postgresKeys(ctx, db, sql, args, kinds)
}

// ctidBoundaries cuts a table without a key by blocks, from the average number of rows in a block.
func ctidBoundaries(ctx context.Context, db *DB, t *Table, after RowKey, rows, limit int) ([]RowKey, error) {
	var blocks, sampled int64
	rel := Postgres.QuoteTable(t.Schema, t.Name)
	err := queryRow(ctx, db, "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::bigint, "+
		"(SELECT count(*) FROM "+t.from(Postgres)+" WHERE ctid < '(16,0)'::tid)", []any{rel}, &blocks, &sampled)
	if err != nil {
		return nil, err
	}
	// Blocks at the beginning may be nearly empty after deletes; a chunk of few rows does no harm, one of too many does.
	perBlock := max(sampled/16, t.Rows/max(blocks, 1), 1)
	step := max(int64(rows)/perBlock, 1)
	at := int64(0)
	if after != nil {
		n, ok := after[0].(int64)
		if !ok || len(after) != 2 {
			return nil, fmt.Errorf("not a key of a ctid walk: %v", after)
		}
		at = n
	}
	var keys []RowKey
	for at += step; at < blocks && len(keys) < limit; at += step {
		keys = append(keys, RowKey{at, int64(0)})
	}
	return keys, nil
}
