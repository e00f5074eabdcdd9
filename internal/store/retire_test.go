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
	const keepFor, keep = time.Hour, 1000
	b := newBench(t)
	old := time.Now().Add(-2 * keepFor)
	for _, id := range []string{"ended", "running"} {
		job := tasks.Job{ID: id, Kind: "test", CreatedAt: old}
		if _, _, err := b.Create(b.ctx(), job); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Control(b.ctx(), "ended", Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	b.endedAt("ended", old)
	if n, err := b.Retire(b.ctx(), keepFor, keep, 100); n != 0 || err != nil {
		t.Errorf("%d jobs were forgotten although there are few, %v", n, err)
	}
	for i := range keep { // entries of the index are enough to count
		if err := b.rdb.ZAdd(b.ctx(), jobsKey, redis.Z{Score: float64(time.Now().UnixMilli()), Member: fmt.Sprintf("new-%d", i)}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := b.Retire(b.ctx(), 3*keepFor, keep, 100); n != 0 || err != nil {
		t.Errorf("%d jobs were forgotten although they are not old enough, %v", n, err)
	}
	if n, err := b.Retire(b.ctx(), keepFor, keep, 100); n != 1 || err != nil {
		t.Errorf("%d jobs were forgotten, want one: %v", n, err)
	}
	if _, err := b.View(b.ctx(), "ended"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the ended job: %v", err)
	}
	if _, err := b.View(b.ctx(), "running"); err != nil {
		t.Errorf("the running job: %v", err)
	}
}

func TestOldJobsAreForgottenAFewAtATimeAndPastThoseThatRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 60 {
		job := tasks.Job{ID: fmt.Sprintf("j%02d", i), Kind: "test", CreatedAt: time.Now().Add(-time.Hour + time.Duration(i)*time.Second)}
		if _, _, err := b.Create(b.ctx(), job); err != nil {
			t.Fatal(err)
		}
		if i < 20 { // the oldest still run
			continue
		}
		if _, err := b.Control(b.ctx(), job.ID, Cancel, "test", ""); err != nil {
			t.Fatal(err)
		}
		b.endedAt(job.ID, job.CreatedAt)
	}
	for i, want := range []int{15, 15, 5, 0} {
		if n, err := b.Retire(b.ctx(), time.Minute, 5, 15); n != want || err != nil {
			t.Errorf("the %d. time %d are forgotten, want %d: %v", i+1, n, want, err)
		}
	}
	left, err := b.rdb.ZRange(b.ctx(), jobsKey, 0, -1).Result()
	if err != nil || len(left) != 25 || left[19] != "j19" || left[20] != "j55" {
		t.Errorf("%v, %v", left, err)
	}
}

func TestJobsThatAreKeptForAShortTimeAreForgottenWhenTheyHaveSucceeded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := time.Now().Add(-time.Hour)
	for _, id := range []string{"good", "cancelled", "running", "young"} {
		job := tasks.Job{ID: id, Kind: "test", CreatedAt: old, KeepFor: time.Minute}
		if id == "young" {
			job.KeepFor = 2 * time.Hour
		}
		if _, _, err := b.Create(b.ctx(), job); err != nil {
			t.Fatal(err)
		}
		if id == "good" || id == "young" {
			if err := b.rdb.HSet(b.ctx(), jobKey(id), "state", string(tasks.Succeeded)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := b.Control(b.ctx(), "cancelled", Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{3, 0} {
		if n, err := b.RetireBrief(b.ctx(), 10); n != want || err != nil {
			t.Errorf("the %d. time it looked at %d, want %d: %v", i+1, n, want, err)
		}
	}
	for id, want := range map[string]bool{"good": false, "cancelled": true, "running": true, "young": true} {
		if _, err := b.View(b.ctx(), id); (err == nil) != want || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if left := b.rdb.ZRange(b.ctx(), briefKey, 0, -1).Val(); len(left) != 2 || left[0] != "running" || left[1] != "young" {
		t.Errorf("to be looked at again are %v", left)
	}
}

// endedAt sets when a job ended.
func (b *bench) endedAt(id string, at time.Time) {
	b.t.Helper()
	if err := b.rdb.HSet(b.ctx(), jobKey(id), "ended", at.UnixMilli()).Err(); err != nil {
		b.t.Fatal(err)
	}
}

// A job that was created long ago and ended a moment ago has a report that nobody has read yet; one that was begun anew runs. What
// somebody has created anew under the same id meanwhile keeps its place in the lists.
func TestWhatEndedAMomentAgoAndWhatRunsAgainIsNotForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	create := func(at time.Time) {
		t.Helper()
		if _, _, err := b.Create(b.ctx(), tasks.Job{ID: "j", Kind: "test", CreatedAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	retired := func(want int) {
		t.Helper()
		if n, err := b.Retire(b.ctx(), time.Minute, 0, 100); n != want || err != nil {
			t.Errorf("%d jobs were forgotten, want %d: %v", n, want, err)
		}
	}
	create(old)
	if _, err := b.Control(b.ctx(), "j", Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	retired(0)
	b.endedAt("j", old)
	if _, err := b.Control(b.ctx(), "j", Restart, "test", ""); err != nil {
		t.Fatal(err)
	}
	retired(0)
	if err := b.Forget(b.ctx(), "j"); !errors.Is(err, ErrConflict) {
		t.Errorf("a job that runs was forgotten: %v", err)
	}
	if _, err := b.Control(b.ctx(), "j", Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	b.endedAt("j", old)
	retired(1)
	if err := b.Forget(b.ctx(), "j"); err != nil {
		t.Errorf("what is forgotten already: %v", err)
	}
	create(time.Now())
	for _, index := range []string{jobsKey, tenantJobsKey("")} {
		if n, err := unlist.Run(b.ctx(), b.rdb, []string{index}, "j", old.UnixMilli()).Int(); n != 0 || err != nil {
			t.Errorf("the entry of a new job was taken out: %d, %v", n, err)
		}
	}
	if active, err := b.Active(b.ctx()); err != nil || len(active) != 1 {
		t.Errorf("%v, %v", active, err)
	}
}
