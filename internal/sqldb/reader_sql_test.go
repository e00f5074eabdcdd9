package sqldb

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestADatabaseWithoutAReaderOfItsOwnIsReadThroughDatabaseSQL(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t, "CREATE TABLE v (i bigint, f double, t text, b blob, d text)",
		"INSERT INTO v VALUES (7, 0.1, 'täxt', x'00ff', '2024-02-29'), (NULL, NULL, NULL, NULL, NULL)")
	cols := []selected{{column: &Column{Kind: KindInt64}}, {column: &Column{Kind: KindFloat64}}, {column: &Column{Kind: KindText}},
		{column: &Column{Kind: KindBytes}}, {column: &Column{Name: "d", Kind: KindDate}}}
	toTime := func(c *Column, v any) (any, error) {
		if s, ok := v.(string); ok && c.Name == "d" {
			return time.Parse(time.DateOnly, s)
		}
		return v, nil
	}
	src, err := querySQL(context.Background(), db, "SELECT i, f, t, b, d FROM v WHERE coalesce(i, ?) = 7 ORDER BY i DESC", []any{7}, cols, toTime)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]any
	cells := make([]cell, len(cols))
	for {
		ok, err := src.next(cells)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, keyOf(cells))
	}
	if err := src.close(); err != nil {
		t.Fatal(err)
	}
	want := [][]any{{int64(7), 0.1, "täxt", []byte{0, 255}, "2024-02-29"}, {nil, nil, nil, nil, nil}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if n := db.SQL.Stats().InUse; n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

func TestTheValuesOfEachDriverBecomeCells(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 2, 29, 23, 59, 58, 120_000_000, time.FixedZone("", 3600))
	for _, c := range []struct {
		kind Kind
		from any
		want any
	}{
		{KindNumeric, uint64(1<<64 - 1), "18446744073709551615"}, {KindInt64, uint64(5), int64(5)}, {KindFloat32, float32(0.1), 0.1},
		{KindBool, true, int64(1)}, {KindBool, false, int64(0)}, {KindText, []byte("a"), "a"}, {KindBytes, []byte("a"), []byte("a")},
		{KindDate, at, "2024-02-29"}, {KindTime, at, "23:59:58.12"}, {KindTimestamp, at, "2024-02-29 23:59:58.12"},
		{KindTimestampTZ, at, "2024-02-29 22:59:58.12+00:00"},
	} {
		var got cell
		s := cellScanner{column: &Column{Kind: c.kind}, cell: &got}
		if err := s.Scan(c.from); err != nil || !reflect.DeepEqual(got.value(), c.want) {
			t.Errorf("%T as %s became %#v (%v), want %#v", c.from, c.kind, got.value(), err, c.want)
		}
	}
	if (&cellScanner{cell: new(cell)}).Scan(struct{}{}) == nil {
		t.Error("a value of an unknown type was taken")
	}
}

func TestPlacesAreWrittenAsADriverWantsThem(t *testing.T) {
	t.Parallel()
	p := placed{write: func(n int) string { return fmt.Sprintf("@p%d", n) }}
	query, args := p.places(`SELECT '$1', "$2", `+"`$1`"+` WHERE ($2 = '' OR a = $2) AND b = $1`, []any{"one", "two"})
	if want := `SELECT '$1', "$2", ` + "`$1`" + ` WHERE (@p1 = '' OR a = @p2) AND b = @p3`; query != want {
		t.Errorf("got %s, want %s", query, want)
	}
	if fmt.Sprint(args) != "[two two one]" {
		t.Errorf("got the arguments %v", args)
	}
}

func TestWhereThereAreNoRowValuesTheSameRangeIsRead(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t, "CREATE TABLE k (a, b, c, PRIMARY KEY (a, b, c))", "WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < 4) "+
		"INSERT INTO k SELECT a.x, b.x, c.x FROM n a, n b, n c")
	w := Walk{Kind: WalkKey, Columns: []string{"a", "b", "c"}}
	for _, op := range []string{">", ">=", "<", "<="} {
		for i := range 27 {
			key := []int{i / 9 * 2, i / 3 % 3 * 2, i % 3 * 2}
			wide, err := w.expanded(SQLite, op, func(i int) (string, error) { return fmt.Sprint(key[i]), nil })
			if err != nil {
				t.Fatal(err)
			}
			want := one(t, db, fmt.Sprintf("SELECT coalesce(group_concat(rowid), '') FROM k WHERE (a, b, c) %s (%d, %d, %d)", op, key[0], key[1], key[2]))
			if got := one(t, db, "SELECT coalesce(group_concat(rowid), '') FROM k WHERE "+wide); got != want {
				t.Fatalf("%s: got %s, want %s", wide, got, want)
			}
		}
	}
	cond, args := keyChoice(SQLite, &Table{Columns: []Column{{Name: "a"}, {Name: "b"}}}, []string{"a", "b"}, []RowKey{{int64(1), int64(2)}, {int64(3), int64(4)}})
	if cond != `(("a" = ? AND "b" = ?) OR ("a" = ? AND "b" = ?))` || len(args) != 4 {
		t.Errorf("keys are chosen by %s with %v", cond, args)
	}
}
