package migration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/tasks/migration"
)

// keyKinds are types of keys of MariaDB by which tables are walked, with three values of each.
var keyKinds = []struct{ typ, a, b, c string }{
	{"tinyint", "-1", "0", "127"},
	{"bigint unsigned", "0", "9223372036854775807", "9223372036854775808"},
	{"decimal(12,3)", "-1.5", "0", "123456789.125"},
	{"double", "-0.1", "1e300", "3"},
	{"date", "'1000-01-01'", "'2020-02-29'", "'9999-12-31'"},
	{"datetime(6)", "'2020-01-01 00:00:00.000001'", "'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.5'"},
	{"time(3)", "'00:00:00.001'", "'23:59:59'", "'12:00:00.5'"},
	{"char(5)", "'a'", "'A'", "'ü'"},
	{"varchar(30) CHARACTER SET latin1 COLLATE latin1_bin", "'?'", "'$1'", "'it''s \\\\ '"},
	{"varbinary(10)", "x'00ff'", "x'00'", "''"},
	{"uuid", "'123e4567-e89b-12d3-a456-426614174000'", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"},
	{"bit(12)", "b'1'", "b'0'", "b'101010101010'"},
	{"year", "1999", "2020", "2155"},
}

func TestRowsAreFoundAgainByKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		for i, kind := range keyKinds {
			t.Run(strings.ReplaceAll(kind.typ, " ", "_"), func(t *testing.T) {
				w := newWorld(t, to)
				w.from = mariadbtest.New(t)
				source := &world{to: w.from}
				table := fmt.Sprintf("kind%d", i)
				source.inTarget(t, fmt.Sprintf("CREATE TABLE %s (k %s, n int NOT NULL, v text, PRIMARY KEY (k, n)) COLLATE utf8mb4_nopad_bin", table, kind.typ),
					fmt.Sprintf("INSERT INTO %s VALUES (%s, 1, 'a'), (%s, 1, 'b'), (%s, 1, 'c'), (%[2]s, 2, 'a2'), (%[3]s, 2, 'b2'), (%[4]s, 2, 'c2')", table, kind.a, kind.b, kind.c))
				l := &live{world: w, spec: migration.Spec{Source: "old", Target: "new", Plan: w.asTheyAre(t, table), KeepRows: true}}
				l.first = w.job(t, migration.Kind, l.spec)
				if got, _ := drive(t, migration.New(w.dbs), l.first); got.Written+got.Quarantined != 6 {
					t.Fatalf("the first pass counted %+v", got)
				}
				source.inTarget(t, fmt.Sprintf("DELETE FROM %s WHERE v IN ('a', 'b2')", table), fmt.Sprintf("UPDATE %s SET v = 'changed' WHERE v IN ('c', 'a2')", table),
					fmt.Sprintf("UPDATE %s SET n = 3 WHERE v = 'b'", table))
				l.catchUp(t, nil)
				l.equal(t)
				if got, _ := l.catchUp(t, nil); got.Written != 0 {
					t.Errorf("the next round counted %+v, want nothing", got)
				}
			})
		}
	})
}
