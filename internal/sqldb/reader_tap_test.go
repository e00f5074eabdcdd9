package sqldb

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestSortedAndVeryWideRowsAreReadColumnByColumn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	wide := make([]string, 130)
	for i := range wide {
		wide[i] = fmt.Sprintf("c%d INTEGER DEFAULT %d", i, i)
	}
	db := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER)", "INSERT INTO t VALUES (1, 30), (2, 10), (3, 20)",
		"CREATE TABLE wide (id INTEGER PRIMARY KEY, "+strings.Join(wide, ", ")+")", "INSERT INTO wide (id) VALUES (1)")
	table := tableIn(t, db, "t")
	for _, tc := range []struct {
		order string
		tap   bool
		want  []int64
	}{{" ORDER BY stint_t.v", false, []int64{2, 3, 1}}, {" ORDER BY stint_t.id", true, []int64{1, 2, 3}}} {
		r, err := readWhere(ctx, db, table, WalkOf(table), []selected{{column: &table.Columns[0]}}, tc.order, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, tap := r.src.(*tapRows); tap != tc.tap {
			t.Errorf("%s is read by %T", tc.order, r.src)
		}
		var got []int64
		for r.Next() {
			got = append(got, r.cells[0].int())
		}
		if r.Err() != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v %v", tc.order, got, r.Err())
		}
		r.Close()
	}
	table = tableIn(t, db, "wide")
	r, err := Read(ctx, db, table, WalkOf(table), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.Next() || r.cells[130].int() != 129 {
		t.Errorf("%v %v", r.cells, r.Err())
	}
}

func TestTheRowFunctionIsForReadersAlone(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t)
	for _, sql := range []string{"SELECT stint_row()", "SELECT stint_row(-1, 2)", "SELECT stint_row('x')"} {
		if err := tryRun(db, sql); err == nil {
			t.Errorf("%s went well", sql)
		}
	}
}

func TestTextOfARowStaysAsItIsWhenTheBufferGrows(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB, c TEXT, d TEXT)",
		"INSERT INTO t VALUES (1, 'a', zeroblob(3000000), 'c', ''), (2, 'short', x'01', NULL, 'a'||char(0)||'b')")
	table := tableIn(t, db, "t")
	r, err := Read(context.Background(), db, table, WalkOf(table), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, want := range [][]any{{int64(1), "a", make([]byte, 3000000), "c", ""}, {int64(2), "short", []byte{1}, nil, "a\x00b"}} {
		if !r.Next() {
			t.Fatal(r.Err())
		}
		if got, err := r.Values(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("row %v is not what was stored (%v)", want[0], err)
		}
	}
}

func TestASourceThatIsOpenedForReadingOnlyIsReadTheFastWay(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t, numbered, numberedRows(10))
	source := openAt(t, "sqlite:"+db.Location.Path(), Options{ReadOnly: true})
	table := tableIn(t, source, "t")
	r, err := Read(context.Background(), source, table, WalkOf(table), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, tap := r.src.(*tapRows); !tap || !r.Next() {
		t.Errorf("read by %T: %v", r.src, r.Err())
	}
}
