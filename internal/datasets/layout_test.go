package datasets

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

const usual = `
	CREATE TABLE data_set (customer_id bigint, database_id bigint, last_synced_at timestamp NULL, done int, PRIMARY KEY (customer_id, database_id));
	CREATE TABLE thing (customer_id int NOT NULL, database_id int NOT NULL, guid char(36) NOT NULL, kind varchar(20), PRIMARY KEY (customer_id, database_id, guid));
	CREATE TABLE part (id int PRIMARY KEY, customer_id bigint, database_id bigint, thing_customer int, thing_database int, thing_guid char(36),
		CONSTRAINT of_thing FOREIGN KEY (thing_customer, thing_database, thing_guid) REFERENCES thing (customer_id, database_id, guid));
	CREATE TABLE product (id int PRIMARY KEY, guid char(36));
	CREATE TABLE stint_mine (customer_id bigint, database_id bigint, guid char(36));
	INSERT INTO data_set VALUES (1, 1, NULL, 1);
	INSERT INTO thing VALUES (1, 1, 'a', 'x'), (1, 1, 'b', 'y'), (1, 1, 'c', 'y')`

func TestALayoutIsFilledInFromWhatThereIs(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		run(t, db, usual)
		s := mustOpen(t, db, Layout{})
		l := s.Layout()
		if len(l.Tables) != 2 || l.Tables[0].Table != "part" || l.Tables[1].Table != "thing" || l.Tables[1].GUID != "guid" || l.Tables[0].GUID != "" ||
			l.Tables[0].Customer != "customer_id" || l.Entity != "thing" || l.Registry.LastSync != "last_synced_at" {
			t.Errorf("got %+v", l)
		}
		if err := s.Deletable(t.Context()); err != nil {
			t.Error(err)
		}
		l.Tables[0].Table = "changed"
		if s.Layout().Tables[0].Table != "part" {
			t.Error("the store's layout can be changed from outside")
		}
		again := mustOpen(t, db, s.Layout())
		if a, b := again.Layout(), s.Layout(); a.Entity != b.Entity || len(a.Tables) != len(b.Tables) || a.Registry != b.Registry {
			t.Errorf("opened again: %+v, before: %+v", a, b)
		}
	})
}

func TestTheEntityIsAKindWhereATableHoldsSeveral(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		run(t, db, usual)
		tables := []Table{{Table: "thing", Kind: "kind"}, {Table: "part"}}
		for _, c := range []struct {
			entity, want string
			rows         int
		}{{"", "thing/y", 2}, {"thing", "thing/y", 2}, {"thing/x", "thing/x", 1}} {
			s := mustOpen(t, db, Layout{Tables: tables, Entity: c.entity})
			rows, _, err := contents(t.Context(), s, Scan{Customers: []string{"1"}})
			if s.Entity() != c.want || err != nil || len(rows[ID{"1", "1"}]) != c.rows {
				t.Errorf("%q: the entity is %s, of %d rows: %v", c.entity, s.Entity(), len(rows[ID{"1", "1"}]), err)
			}
		}
		refused(t, db, Layout{Entity: "thing/x"}, "the table thing has no column of kinds", "tables, kind")
		refused(t, db, Layout{Entity: "part"}, "the entity part has no column of GUIDs", "there are: thing")
		refused(t, db, Layout{Entity: "nothing/x"}, "no table nothing of data sets", "there are: thing")
	})
}

func TestALayoutThatDoesNotFitIsRefusedWithWhatThereIs(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		refused(t, db, Layout{}, "there is no table data_set", "there are: none")
		run(t, db, usual)
		run(t, db, "CREATE TABLE odd (customer_id bigint, database_id double precision, guid int PRIMARY KEY, name varchar(10))")
		refused(t, db, Layout{Registry: Registry{Table: "sets"}}, "there is no table sets", "there are: data_set, odd, part, product, thing")
		refused(t, db, Layout{Registry: Registry{LastSync: "synced"}}, "the table data_set has no column synced", "customer_id, database_id, last_synced_at, done")
		refused(t, db, Layout{Registry: Registry{Complete: "whole"}}, "no column whole", "registry, complete")
		refused(t, db, Layout{Registry: Registry{Deleting: "gone"}}, "no column gone", "registry, deleting")
		refused(t, db, Layout{Registry: Registry{Customer: "client", Database: "db"}}, "no table but the registry data_set has the columns client and db", "list the tables")
		refused(t, db, Layout{Registry: Registry{Customer: "database_id"}}, "are both database_id", "name the column")
		refused(t, db, Layout{Tables: []Table{{Table: "things"}}}, "there is no table things", "there are:")
		refused(t, db, Layout{Tables: []Table{{Table: "thing"}, {Table: "thing"}}}, "there twice", "take it out")
		refused(t, db, Layout{Tables: []Table{{Table: "data_set"}}}, "is the registry itself", "take it out")
		refused(t, db, Layout{Tables: []Table{{Table: "thing", GUID: "uid"}}}, "the table thing has no column uid", "tables, guid")
		refused(t, db, Layout{Tables: []Table{{Table: "part"}}}, "no table of the data sets has a column guid", "tables: part")
		refused(t, db, Layout{Tables: []Table{{Table: "odd"}}}, "the column database_id of table odd", "integers, text or uuid")
		refused(t, db, Layout{Tables: []Table{{Table: "odd", Database: "name"}}}, "but that of the registry", "both have to be numbers")
		refused(t, db, Layout{Tables: []Table{{Table: "product", Customer: "id", Database: "id", GUID: "id"}}}, "the column id of table product", "GUIDs are uuid, text or 16 bytes")
	})
}

func TestWhatKeepsDataSetsFromBeingDeletedIsNamed(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		run(t, db, usual)
		run(t, db, `
			CREATE TABLE share (id int PRIMARY KEY, c int, d int, g char(36), FOREIGN KEY (c, d, g) REFERENCES thing (customer_id, database_id, guid) ON DELETE CASCADE);
			CREATE TABLE visit (id int PRIMARY KEY, c bigint, d bigint, FOREIGN KEY (c, d) REFERENCES data_set (customer_id, database_id));
			CREATE TABLE loose (customer_id bigint, database_id bigint, guid char(36));
			CREATE TABLE tree (customer_id bigint, database_id bigint, id int PRIMARY KEY, above int, FOREIGN KEY (above) REFERENCES tree (id))`)
		s := mustOpen(t, db, Layout{})
		err := s.Deletable(t.Context())
		if err == nil || !tasks.IsPermanent(err) {
			t.Fatalf("got %v", err)
		}
		for _, words := range []string{"the table loose has no primary key", "rows of share, which is not part of the data sets, refer to thing", "ON DELETE CASCADE",
			"rows of visit, which is not part of the data sets, refer to data_set"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%q does not say %q", err, words)
			}
		}
		if itself := strings.Contains(err.Error(), "rows of tree refer to other rows of it"); itself != (db.Dialect != sqldb.SQLite) {
			t.Errorf("a table that refers to itself: %v", err)
		}
		if !strings.Contains(tasks.HintOf(err), "primary key") {
			t.Errorf("the hint is %q", tasks.HintOf(err))
		}
		if _, _, err := contents(t.Context(), s, Scan{Customers: []string{"1"}}); err != nil {
			t.Errorf("it can be analysed all the same: %v", err)
		}
	})
}

func TestTriggersOfTheTablesAreNoted(t *testing.T) {
	t.Parallel()
	const body = "CREATE TRIGGER warn AFTER DELETE ON thing FOR EACH ROW "
	for name, create := range map[string]string{
		"PostgreSQL": "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL\\; END'\\; " + body + "EXECUTE FUNCTION f()",
		"MariaDB":    body + "UPDATE product SET guid = 'x'",
		"SQLite":     body + "BEGIN UPDATE product SET guid = 'x'\\; END",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openURL(t, stores[name](t))
			run(t, db, usual)
			if all := strings.ReplaceAll(create, "\\;", ";"); db.Pool != nil {
				if _, err := db.Pool.Exec(t.Context(), all); err != nil {
					t.Fatal(err)
				}
			} else if _, err := db.SQL.ExecContext(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			if notes := mustOpen(t, db, Layout{}).Notes(); len(notes) != 1 || !strings.Contains(notes[0], "The table thing has the trigger warn") {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

func TestACopyInAnotherSchemaIsLeftAloneUnlessItIsListed(t *testing.T) {
	t.Parallel()
	db := openURL(t, stores["PostgreSQL"](t))
	run(t, db, usual)
	run(t, db, `CREATE SCHEMA old; CREATE TABLE old.thing (LIKE thing INCLUDING ALL); CREATE TABLE old."Odd name" (LIKE thing INCLUDING ALL)`)
	s := mustOpen(t, db, Layout{})
	if l := s.Layout(); len(l.Tables) != 2 || len(s.Notes()) != 2 || !strings.Contains(s.Notes()[1], "The table old.thing has the columns") {
		t.Errorf("tables %+v, notes %q", l.Tables, s.Notes())
	}
	s = mustOpen(t, db, Layout{Registry: Registry{Table: "public.data_set"}, Tables: []Table{{Table: "old.Odd name"}, {Table: "old.thing"}, {Table: "public.thing"}}, Entity: "old.Odd name"})
	if _, _, err := contents(t.Context(), s, Scan{Customers: []string{"1"}}); err != nil || s.Entity() != "old.Odd name" {
		t.Errorf("entity %s: %v", s.Entity(), err)
	}
}
