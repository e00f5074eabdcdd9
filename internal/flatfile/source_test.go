package flatfile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
)

func TestAFolderIsADatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var b strings.Builder
	b.WriteString("id,name\n")
	for i := range 25 {
		fmt.Fprintf(&b, "%d,n%d\n", i, i)
	}
	url := "csv:" + folder(t, map[string]string{"people.csv": b.String(), "other.csv": "a\n1\n"}) + "?types=infer"
	at, err := sqldb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db := sqldb.OpenTabular(at, open(t, url))
	if err := db.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := sqldb.Introspect(ctx, db, []string{"people"})
	if err != nil || len(s.Tables) != 1 {
		t.Fatal(s, err)
	}
	tab := &s.Tables[0]
	if tab.Rows < 20 || tab.Rows > 30 {
		t.Errorf("about %d rows, want 25", tab.Rows)
	}
	w := sqldb.WalkOf(tab)
	keys, err := sqldb.Boundaries(ctx, db, tab, w, nil, 10, 5)
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	rows, err := sqldb.Read(ctx, db, tab, w, keys[0], keys[1])
	if err != nil {
		t.Fatal(err)
	}
	n := int64(10)
	for rows.Next() {
		v, err := rows.Values()
		if err != nil || v[0] != n || v[1] != fmt.Sprintf("n%d", n) {
			t.Fatalf("row %d is %v, %v", n, v, err)
		}
		if k := rows.Key(); n == 10 && !k.Equal(keys[0]) {
			t.Errorf("the first key is %s, want %s", k, keys[0])
		}
		n++
	}
	if rows.Err() != nil || n != 20 {
		t.Errorf("ended at %d: %v", n, rows.Err())
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	if _, err := sqldb.Introspect(ctx, db, []string{"peple"}); err == nil {
		t.Error("a table that is not there was found")
	}
}
