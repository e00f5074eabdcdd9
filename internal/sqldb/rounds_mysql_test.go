package sqldb

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
)

// A transaction of REPEATABLE READ goes on seeing what was there at its first look. That must not hold for the look by which it learns
// whether its round may write.
func TestARoundThatIsOvertakenWithinATransactionTakesItBack(t *testing.T) {
	t.Parallel()
	for name, overtake := range map[string]func(ctx context.Context, db *DB, k *KeepRows) error{
		"by the next round": BeginRound,
		"by the cutover": func(ctx context.Context, db *DB, k *KeepRows) error {
			if err := BeginRound(ctx, db, k); err != nil {
				return err
			}
			return EndRound(ctx, db, k, true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			db := mysqlDB(t, "CREATE TABLE customer (id bigint PRIMARY KEY, name varchar(20))", "INSERT INTO customer VALUES (1, 'a'), (2, 'b')")
			if err := EnsureLedger(ctx, db); err != nil {
				t.Fatal(err)
			}
			if err := BeginKeeping(ctx, db, "mig"); err != nil {
				t.Fatal(err)
			}
			run(t, db, "INSERT INTO stint_rows (job, stage, row_key, target_key, hash, stale) VALUES ('mig', 'customers', '[1]', '[1]', 5, 0), ('mig', 'customers', '[2]', '[2]', 5, 0)")
			target := &introspect(t, db).Tables[0]
			k := &KeepRows{Job: "mig", Stage: "customers", Key: []string{"id"}, Round: "first"}
			if err := BeginRound(ctx, db, k); err != nil {
				t.Fatal(err)
			}
			// Somebody holds what is deleted last, so the transaction has looked, and has deleted the customer, when it is overtaken.
			holder, err := db.SQL.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Rollback()
			if _, err := holder.ExecContext(ctx, "UPDATE stint_rows SET hash = 6 WHERE job = 'mig' AND row_key = '[1]'"); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := Retire(ctx, db, target, &LoaderOptions{Job: "first", Stage: "gone", Step: "0", Rows: k}, []Pair{{"[1]", "[1]"}})
				ended <- err
			}()
			waits(t, db, "DELETE")
			next := *k
			next.Round = "second"
			if err := overtake(ctx, db, &next); err != nil {
				t.Fatal(err)
			}
			if err := holder.Rollback(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
				t.Errorf("the round was overtaken, and ended with: %v", err)
			}
			var customers, kept int
			if err := queryRow(ctx, db, "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM stint_rows)", nil, &customers, &kept); err != nil || customers != 2 || kept != 2 {
				t.Errorf("%d customers and %d rows of stint_rows, want 2 and 2: %v", customers, kept, err)
			}
		})
	}
}

// looking is held by the one test that looks at who waits: the server shows what it saw last, and looks anew only when nobody has asked
// for a tenth of a second.
var looking sync.Mutex

// waits returns when a session of the database waits for a lock in a statement that begins like this.
func waits(t *testing.T, db *DB, statement string) {
	t.Helper()
	looking.Lock()
	defer looking.Unlock()
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		waiting := false
		err := db.queryAll(t.Context(), "SELECT p.INFO FROM information_schema.INNODB_TRX x JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id "+
			"WHERE x.trx_state = 'LOCK WAIT' AND p.DB = DATABASE()", nil, func(scan func(...any) error) error {
			var info string
			err := scan(&info)
			waiting = waiting || strings.HasPrefix(info, statement)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits")
		}
	}
}
