package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

func TestOldJobsThatHaveEndedAreForgottenButTheNewestStay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := time.Now().Add(-KeepFor - time.Hour)
	for _, id := range []string{"ended", "running"} {
		job := tasks.Job{ID: id, Kind: "test", CreatedAt: old}
		if _, _, err := b.Create(b.ctx(), job); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Control(b.ctx(), "ended", Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	if n, err := b.Retire(b.ctx()); n != 0 || err != nil {
		t.Errorf("%d jobs were forgotten although there are few, %v", n, err)
	}
	for i := range KeepJobs { // entries of the index are enough to count
		if err := b.rdb.ZAdd(b.ctx(), jobsKey, redis.Z{Score: float64(time.Now().UnixMilli()), Member: fmt.Sprintf("new-%d", i)}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := b.Retire(b.ctx()); n != 1 || err != nil {
		t.Errorf("%d jobs were forgotten, want one: %v", n, err)
	}
	if _, err := b.View(b.ctx(), "ended"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the ended job: %v", err)
	}
	if _, err := b.View(b.ctx(), "running"); err != nil {
		t.Errorf("the running job: %v", err)
	}
}
