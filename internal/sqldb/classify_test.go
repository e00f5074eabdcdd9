package sqldb

import (
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestAStatementThatSomebodyCancelledSpendsTheBudget(t *testing.T) {
	t.Parallel()
	db := postgresDB(t)
	err := Classify(tryRun(db, "SET statement_timeout = 20; SELECT pg_sleep(5)"))
	if _, patience := tasks.RetryAfterOf(err); err == nil || patience || tasks.IsPermanent(err) {
		t.Errorf("want a plain error, which is tried again a few times, got %v", err)
	}
}
