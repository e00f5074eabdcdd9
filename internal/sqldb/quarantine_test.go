package sqldb

import (
	"context"
	"testing"
)

func TestADatabaseThatWasNeverMigratedHasNothingInQuarantine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	table := "CREATE TABLE t (id integer PRIMARY KEY)"
	for _, dst := range []*DB{sqliteFile(t, table), postgresDB(t, table)} {
		if rows, err := Quarantine(ctx, dst, "job", "", 0, 10); err != nil || len(rows) > 0 {
			t.Errorf("%s: %v, %v", dst.Dialect, rows, err)
		}
		if n, err := QuarantineCount(ctx, dst, "job", ""); err != nil || n != 0 {
			t.Errorf("%s: %d, %v", dst.Dialect, n, err)
		}
		src := sqliteFile(t, table, "INSERT INTO t VALUES (1)")
		m, err := MapByName(tableIn(t, src, "t"), tableIn(t, dst, "t"))
		if err != nil {
			t.Fatal(err)
		}
		if got, found := differences(t, src, dst, m, "job"); got.Missing != 1 || len(found) != 1 {
			t.Errorf("%s: %+v, %q", dst.Dialect, got, found)
		}
		if known, err := inQuarantine(ctx, dst, "job", "", "t", RowKey{int64(1)}); known || err != nil {
			t.Errorf("%s: %v, %v", dst.Dialect, known, err)
		}
	}
}

func TestARowThatTwoJobsHaveSetAsideIsOneRow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	table := "CREATE TABLE t (id integer PRIMARY KEY)"
	src := sqliteFile(t, table, "INSERT INTO t VALUES (1), (2)")
	for _, dst := range []*DB{sqliteFile(t, table, "INSERT INTO t VALUES (1)"), postgresDB(t, table, "INSERT INTO t VALUES (1)")} {
		m := pair(t, src, dst, "t")
		for _, job := range []string{"all", "some"} {
			run(t, dst, "INSERT INTO stint_quarantine (job, stage, step, table_name, row_key, column_name, reason, code, row_json) VALUES ('"+
				job+"', 'load:t', '0', 't', '[2]', '', 'no', '', '{}')")
		}
		for job, want := range map[string]int64{"all": 1, "some": 1, "other": 0, AnyJob: 1} {
			if n, err := QuarantineCount(ctx, dst, job, "t"); n != want || err != nil {
				t.Errorf("%s, job %s: %d rows, want %d: %v", dst.Dialect, job, n, want, err)
			}
			if got, _ := differences(t, src, dst, m, job); got.Quarantined != want || got.Missing != 1-want {
				t.Errorf("%s, job %s: %+v", dst.Dialect, job, got)
			}
			if known, err := inQuarantine(ctx, dst, job, "", "t", RowKey{int64(2)}); known != (want == 1) || err != nil {
				t.Errorf("%s, job %s: %v, %v", dst.Dialect, job, known, err)
			}
		}
		if rows, err := Quarantine(ctx, dst, AnyJob, "", 0, 10); len(rows) != 2 || err != nil {
			t.Errorf("%s: %v, %v", dst.Dialect, rows, err)
		}
	}
}
