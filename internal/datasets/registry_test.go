package datasets

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

func TestTheLastSyncIsReadInWhateverTypeTheServiceKeepsIt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	never := time.Time{}
	cases := map[string][]struct {
		typ, literal string
		want         time.Time
	}{
		"PostgreSQL": {
			{"timestamptz", "'2026-03-04 07:06:07+02'", at},
			{"timestamptz", "'infinity'", never},
			{"timestamptz", "NULL", never},
			{"timestamp", "'2026-03-04 05:06:07'", at},
			{"date", "'2026-03-04'", at.Truncate(24 * time.Hour)},
			{"bigint", "1772600767", at},
			{"bigint", "1772600767000", at},
			{"bigint", "1772600767000000", at},
			{"bigint", "0", never},
			{"text", "'2026-03-04T05:06:07Z'", at},
			{"text", "'2026-03-04T07:06:07.000+02:00'", at},
			{"text", "'2026-03-04 05:06:07'", at},
			{"text", "'yesterday'", never},
			{"text", "''", never},
		},
		"MariaDB": {
			{"datetime(6)", "'2026-03-04 05:06:07.25'", at.Add(time.Second / 4)},
			{"timestamp NULL", "'2026-03-04 05:06:07'", at},
			{"timestamp NULL", "NULL", never},
			{"date", "'2026-03-04'", at.Truncate(24 * time.Hour)},
			{"bigint", "1772600767", at},
			{"varchar(40)", "'2026-03-04T05:06:07Z'", at},
			{"varchar(40)", "'0000-00-00 00:00:00'", never},
		},
		"SQLite": {
			{"TEXT", "'2026-03-04T05:06:07.500Z'", at.Add(time.Second / 2)},
			{"DATETIME", "'2026-03-04 05:06:07'", at},
			{"INTEGER", "1772600767", at},
			{"REAL", "1772600767.0", at},
			{"REAL", "2461103.7", never},
			{"TIMESTAMP", "NULL", never},
		},
	}
	for name, all := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openURL(t, stores[name](t))
			for _, c := range all {
				run(t, db, "DROP TABLE IF EXISTS data_set; DROP TABLE IF EXISTS entity_row; CREATE TABLE data_set (customer_id int, database_id int, last_synced_at "+c.typ+
					"); CREATE TABLE entity_row (customer_id int, database_id int, guid char(36)); INSERT INTO data_set VALUES (1, 2, "+c.literal+")")
				sets := setsOf(t, mustOpen(t, db, Layout{}))
				if len(sets) != 1 || (sets[0].LastSync == nil) != c.want.IsZero() || sets[0].LastSync != nil && (!sets[0].LastSync.Equal(c.want) || sets[0].LastSync.Location() != time.UTC) {
					t.Errorf("%s %s: got %v, want %v", c.typ, c.literal, sets[0].LastSync, c.want)
				}
			}
		})
	}
}

func TestAnUploadHasEndedWhenItsColumnSaysSo(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		run(t, db, `CREATE TABLE data_set (customer_id int, database_id int, last_synced_at timestamp NULL, flag boolean, n int, ended timestamp NULL);
			CREATE TABLE entity_row (customer_id int, database_id int, guid char(36));
			INSERT INTO data_set VALUES (1, 1, NULL, true, 3, '2026-03-04 05:06:07'), (1, 2, NULL, false, 0, NULL), (1, 3, NULL, NULL, NULL, NULL)`)
		for column, want := range map[string][]bool{"": {true, true, true}, "flag": {true, false, false}, "n": {true, false, false}, "ended": {true, false, false}} {
			for i, x := range setsOf(t, mustOpen(t, db, Layout{Registry: Registry{Complete: column}})) {
				if x.Complete != want[i] {
					t.Errorf("by the column %q, data set %s is complete: %v", column, x.ID, x.Complete)
				}
			}
		}
	})
}

func TestARegistryThatNamesADataSetTwiceIsRefused(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		run(t, db, `CREATE TABLE data_set (customer_id int, database_id int, last_synced_at timestamp NULL);
			CREATE TABLE entity_row (customer_id int, database_id int, guid char(36));
			INSERT INTO data_set VALUES (1, 1, NULL), (1, 2, NULL), (2, 1, NULL), (NULL, 1, NULL), (1, NULL, NULL), (1, 2, NULL)`)
		s := mustOpen(t, db, Layout{})
		n := 0
		err := s.EachSet(t.Context(), func(Set) error { n++; return nil })
		if n != 2 || !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "the data set 1/2 twice") || tasks.HintOf(err) == "" {
			t.Errorf("after %d: %v", n, err)
		}
		enough := errors.New("enough")
		if err := s.EachSet(t.Context(), func(Set) error { return enough }); err != enough { //nolint:errorlint // as it is
			t.Errorf("got %v", err)
		}
	})
}

func TestTheClockIsTheDatabasesOwn(t *testing.T) {
	t.Parallel()
	inEachStore(t, func(t *testing.T, db *sqldb.DB) {
		run(t, db, usual)
		now, err := mustOpen(t, db, Layout{}).Now(t.Context())
		if off := time.Since(now); err != nil || off.Abs() > time.Minute || now.Location() != time.UTC {
			t.Errorf("got %v: %v", now, err)
		}
	})
}
