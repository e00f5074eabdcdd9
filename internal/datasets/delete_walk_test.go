package datasets

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// madeOf opens a lab of tables that statements make, in a dialect of which the statements are.
func madeOf(t *testing.T, d sqldb.Dialect, layout Layout, statements ...string) *lab {
	t.Helper()
	l := bareLab(t, d)
	for _, s := range statements {
		l.exec(s)
	}
	l.open(layout)
	return l
}

const (
	plainRegistry = "CREATE TABLE data_set (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, last_synced_at timestamp NULL, PRIMARY KEY (customer_id, database_id))"
	plainSets     = "INSERT INTO data_set VALUES (7, '0b000000-0000-4000-8000-000000000001', '2026-01-01 00:00:00'), (7, '0b000000-0000-4000-8000-000000000002', '2026-02-01 00:00:00')"
)

func TestATableIsWalkedWhateverItsPrimaryKeyIs(t *testing.T) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
		for name, key := range map[string]string{
			"the data set first": "PRIMARY KEY (customer_id, database_id, guid)",
			"the GUID first":     "PRIMARY KEY (guid, customer_id, database_id)",
			"two more columns":   "PRIMARY KEY (database_id, customer_id, a, b)",
			"a number alone":     "PRIMARY KEY (n)",
		} {
			t.Run(string(d)+"/"+name, func(t *testing.T) {
				t.Parallel()
				l := madeOf(t, d, Layout{}, plainRegistry, plainSets,
					"CREATE TABLE row_store (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, guid varchar(40) NOT NULL, a varchar(20) NOT NULL, b decimal(6,2) NOT NULL, n int NOT NULL, "+key+")",
					"CREATE INDEX row_store_set ON row_store (customer_id, database_id)")
				for i := range 60 {
					set := []ID{old, kept}[i%2]
					l.exec(fmt.Sprintf("INSERT INTO row_store VALUES (%s, '%s', '%s', '%s', %d.5, %d)", set.Customer, set.Database, labGUID(i*37%60), "a''b\\"+strings.Repeat("x", i%4), i, i*31%60))
				}
				before := l.dump()
				l.hold("j1")
				parts := l.deleteAll("j1", 4)
				if len(parts) != 9 { // 7 of four rows, one of two, and the registry's
					t.Errorf("%d parts", len(parts))
				}
				if n := strings.Count(l.dump()["row_store"], "\n"); n != 29 && d != sqldb.MySQL {
					t.Errorf("%d rows are left", n+1)
				}
				l.restoreAll("j1", false)
				l.sameDump(l.dump(), before)
			})
		}
	}
}

func TestAPartitionedTableIsWalkedThroughAllPartitions(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"guid, customer_id, database_id", "customer_id, database_id, guid"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			l := madeOf(t, sqldb.Postgres, Layout{}, plainRegistry, plainSets,
				"CREATE TABLE row_store (customer_id bigint, database_id varchar(40), guid varchar(40), PRIMARY KEY ("+key+")) PARTITION BY HASH (guid)",
				"CREATE TABLE row_store_0 PARTITION OF row_store FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
				"CREATE TABLE row_store_1 PARTITION OF row_store FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
				"INSERT INTO row_store SELECT 7, CASE WHEN i % 3 = 0 THEN '"+old.Database+"' ELSE '"+kept.Database+"' END, 'g' || i FROM generate_series(1, 90) i")
			before := l.dump()
			l.hold("j1")
			if parts := l.deleteAll("j1", 4); len(parts) != 9 {
				t.Errorf("%d parts of 30 rows, by 4", len(parts))
			}
			if n := strings.Count(l.dump()["row_store"], "\n") + 1; n != 60 {
				t.Errorf("%d rows are left", n)
			}
			l.restoreAll("j1", false)
			l.sameDump(l.dump(), before)
		})
	}
}

func TestRowsThatAForeignKeyWouldTakeAlongUnseenStopTheDeletion(t *testing.T) {
	t.Parallel()
	for _, d := range []sqldb.Dialect{sqldb.Postgres, sqldb.MySQL} {
		for _, action := range []string{"ON DELETE CASCADE", "ON DELETE SET NULL", ""} {
			t.Run(string(d)+"/"+action, func(t *testing.T) {
				t.Parallel()
				l := madeOf(t, d, Layout{Entity: "row_store"}, plainRegistry, plainSets,
					"CREATE TABLE row_store (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, id int NOT NULL PRIMARY KEY, guid varchar(40))",
					"CREATE TABLE note (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, id int NOT NULL PRIMARY KEY, about int, FOREIGN KEY (about) REFERENCES row_store (id) "+action+")")
				for i, set := range []ID{old, kept, old, kept, old} {
					l.exec(fmt.Sprintf("INSERT INTO row_store VALUES (%s, '%s', %d, '%s')", set.Customer, set.Database, i, labGUID(i)))
					l.exec(fmt.Sprintf("INSERT INTO note VALUES (%s, '%s', %d, %d)", set.Customer, set.Database, i, i))
				}
				l.exec("UPDATE note SET about = 4 WHERE id = 3") // of the one that stays, about a row of the one that goes
				before := l.dump()
				l.hold("j1")
				var b Batch
				for b.Stopped == "" && !b.Done {
					var err error
					b, err = l.DeleteBatch(l.ctx, "j1", old, kept, l.options(2))
					l.must(err)
				}
				if !strings.Contains(b.Stopped, "not part of it") {
					t.Fatalf("%+v", b)
				}
				l.state("j1", Stopped)
				l.restoreAll("j1", false)
				l.sameDump(l.dump(), before)
			})
		}
	}
}

func TestSettingTheFlagIsNoSync(t *testing.T) {
	t.Parallel()
	l := madeOf(t, sqldb.MySQL, Layout{Registry: Registry{Deleting: "deleting"}},
		"CREATE TABLE data_set (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, last_synced_at timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp, "+
			"changed datetime ON UPDATE current_timestamp, deleting boolean NOT NULL DEFAULT 0, PRIMARY KEY (customer_id, database_id))",
		"INSERT INTO data_set (customer_id, database_id, last_synced_at) VALUES (7, '"+old.Database+"', '2026-01-01 00:00:00'), (7, '"+kept.Database+"', '2026-02-01 00:00:00')",
		"CREATE TABLE row_store (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, guid varchar(40) NOT NULL, PRIMARY KEY (customer_id, database_id, guid))",
		"INSERT INTO row_store VALUES (7, '"+old.Database+"', 'x')")
	before := l.dump()
	l.hold("j1")
	l.deleteAll("j1", 10)
	l.restoreAll("j1", false)
	l.sameDump(l.dump(), before)

	p := madeOf(t, sqldb.Postgres, Layout{Registry: Registry{Deleting: "deleting"}},
		strings.Replace(plainRegistry, "PRIMARY", "deleting boolean, PRIMARY", 1), plainSets,
		"CREATE TABLE row_store (customer_id bigint NOT NULL, database_id varchar(40) NOT NULL, guid varchar(40) NOT NULL, PRIMARY KEY (customer_id, database_id, guid))",
		"CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.last_synced_at = now(); RETURN NEW; END'",
		"CREATE TRIGGER touch BEFORE UPDATE ON data_set FOR EACH ROW EXECUTE FUNCTION touch()")
	before = p.dump()
	if _, err := p.Hold(p.ctx, "j1", old, kept, yes); err == nil || !strings.Contains(err.Error(), "setting deleting changes last_synced_at") {
		t.Error(err)
	}
	p.sameDump(p.dump(), before)
	p.layout.Registry.Deleting = "last_synced_at"
	if _, err := p.Hold(p.ctx, "j1", old, kept, yes); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "cannot say") {
		t.Error(err)
	}
}

func TestTheNextBatchIsFoundInTheIndex(t *testing.T) {
	t.Parallel()
	l := newLab(t, sqldb.Postgres, labLayout)
	l.exec("INSERT INTO row_store (customer_id, database_id, guid) SELECT 7, '" + old.Database + "', ('22222222-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid FROM generate_series(1, 20000) i")
	l.exec("ANALYZE row_store")
	at, err := l.tableAt("row_store")
	l.must(err)
	r := &slice{table: &l.tables[at].info, rows: 5000, after: sqldb.RowKey{"22222222-0000-4000-8000-000000005000"}}
	r.order(sqldb.Postgres, &l.tables[at])
	r.where, err = l.whole(&l.tables[at], old)
	l.must(err)
	query, _ := r.keyQuery(sqldb.Postgres, "LIMIT 1 OFFSET 4999", "")
	plan := strings.Join(l.texts("EXPLAIN "+query), "\n")
	if !strings.Contains(plan, "Index") || strings.Contains(plan, "Sort") {
		t.Errorf("%s\n%s", query, plan)
	}
}

func TestAStoreWhoseRowsOthersReferToIsNotDeletedFrom(t *testing.T) {
	t.Parallel()
	l := bareLab(t, sqldb.Postgres)
	for _, s := range []string{plainRegistry, plainSets,
		"CREATE TABLE row_store (customer_id bigint, database_id varchar(40), guid varchar(40), id int PRIMARY KEY)",
		"CREATE TABLE attachment (id int PRIMARY KEY, row_id int REFERENCES row_store ON DELETE CASCADE)"} {
		l.exec(s)
	}
	var err error
	l.Store, err = Open(l.ctx, l.db, Layout{})
	l.must(err)
	l.must(l.Prepare(l.ctx))
	if _, err := l.Hold(l.ctx, "j1", old, kept, yes); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "attachment") {
		t.Errorf("what refers to its rows would go without an archive: %v", err)
	}
}
