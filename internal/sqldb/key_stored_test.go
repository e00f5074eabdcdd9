package sqldb

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

// oldKey is a key that an index of PostgreSQL holds, because it is compressed, although it is long.
var oldKey = RowKey{strings.Repeat("ab", 1_500)}

func TestAMigrationGoesOnByTheLedgerOfAnOlderStintThatHoldsLongKeysWhole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (k TEXT PRIMARY KEY NOT NULL, v INTEGER)")
	dst := postgresDB(t, "CREATE TABLE t (k text, v integer)")
	m := pair(t, src, dst, "t")
	l := Postgres.Literal
	key := l(oldKey.String())
	run(t, dst, "DROP TABLE stint_keys", ledgerInsert+"'job', 'stage', '1', '', "+key+", 0, 2, 1, 1, 0, 0, '', 'w', 'a')",
		ledgerInsert+"'job', 'stage', '1', "+key+", '[\"z\"]', 0, 1, 1, 0, 0, 0, '', 'w', 'a')",
		quarantineInsert+"('job', 'stage', '1', 't', "+key+", '', 'too bad', '22001', '{}')",
		"INSERT INTO stint_ids VALUES ('acme', 'stage', "+key+", '7', 'job')",
		"INSERT INTO stint_rows VALUES ('job', 'stage', "+key+", "+key+", 42, 0)")
	if err := UpdateLedger(ctx, dst); err != nil {
		t.Fatal(err)
	}
	if to, done, totals, err := Progress(ctx, dst, "job", "stage", "1"); err != nil || done || !to.Equal(RowKey{"z"}) || totals.Read != 3 {
		t.Errorf("progress: %v %v %+v %v", to, done, totals, err)
	}
	if _, err := Committed(ctx, dst, "job", "stage", "1", oldKey); !errors.Is(err, ErrTaken) {
		t.Errorf("a batch that starts where one has been committed gave %v", err)
	}
	if found, err := LookUpIDs(ctx, dst, "acme", "stage", []string{oldKey.String(), `["other"]`}); err != nil || found[oldKey.String()] != "7" || len(found) != 1 {
		t.Errorf("ids: %v %v", found, err)
	}
	keep := &KeepRows{Job: "job", Stage: "stage"}
	if known, err := KnownRows(ctx, dst, keep, []string{oldKey.String()}); err != nil || known[oldKey.String()] != 42 {
		t.Errorf("known rows: %v %v", known, err)
	}
	if pairs, err := KeptPairs(ctx, dst, keep, []string{oldKey.String()}); err != nil || len(pairs) != 1 || pairs[0] != (Pair{oldKey.String(), oldKey.String()}) {
		t.Errorf("pairs: %d %v", len(pairs), err)
	}
	if set, err := inQuarantine(ctx, dst, "job", "stage", "t", oldKey); err != nil || !set {
		t.Errorf("in quarantine: %v %v", set, err)
	}
	set, err := Quarantine(ctx, dst, "job", "", 0, 10)
	if err != nil || len(set) != 1 || !set[0].Key.Equal(oldKey) {
		t.Fatalf("quarantine: %d rows, %v", len(set), err)
	}
	// What the older one has set aside is tried again, loaded, and is in quarantine no more.
	run(t, src, "INSERT INTO t VALUES ('"+oldKey[0].(string)+"', 1)")
	keys, _, err := SetAside(ctx, dst, &Again{"job", "stage"}, "", "", 10)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	o := opts("again")
	o.Again = &Again{"job", "stage"}
	loader, err := NewLoader(ctx, dst, m, o)
	if err != nil {
		t.Fatal(err)
	}
	defer loader.Close()
	b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), dst.Dialect, nil, nil, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	batch, err := b.Next()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := loader.Load(ctx, batch); err != nil || got.Counters.Written != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if n, err := QuarantineCount(ctx, dst, "job", ""); err != nil || n != 0 {
		t.Errorf("%d rows are left in quarantine, %v", n, err)
	}
}

func TestBatchesThatBeginAtLongKeysAreCommittedOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (k TEXT PRIMARY KEY NOT NULL, v INTEGER)",
		"INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT hex(randomblob(5000)), i FROM n")
	dst := postgresDB(t, "CREATE TABLE t (k text, v integer CHECK (v <> 4))")
	m := pair(t, src, dst, "t")
	if c := loadWhole(t, src, dst, m, 2); c.Read != 7 || c.Written != 6 || c.Quarantined != 1 {
		t.Errorf("counted %+v", c)
	}
	if n := one(t, dst, "SELECT count(*)||' '||count(DISTINCT k)||' '||min(length(k)) FROM t"); n != "6 6 10000" {
		t.Errorf("loaded %s", n)
	}
	if n := one(t, dst, "SELECT max(length(from_key))||' '||max(length(to_key)) FROM stint_ledger"); n != "65 10004" {
		t.Errorf("the ledger has keys of %s", n)
	}
	loader, err := NewLoader(ctx, dst, m, opts("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer loader.Close()
	b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), dst.Dialect, nil, nil, Limits{Rows: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for range 2 {
		batch, err := b.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := loader.Load(ctx, batch); !errors.Is(err, ErrTaken) {
			t.Errorf("a batch that has been committed gave %v", err)
		}
	}
}

func TestAKeyWhoseWholeIsGoneIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	dst := postgresDB(t)
	if err := EnsureLedger(context.Background(), dst); err != nil {
		t.Fatal(err)
	}
	run(t, dst, quarantineInsert+"('job', 'stage', '1', 't', '#00', '', 'too bad', '22001', '{}')")
	if _, err := Quarantine(context.Background(), dst, "job", "", 0, 10); !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "stint_keys") {
		t.Errorf("%v (%s)", err, tasks.HintOf(err))
	}
}
