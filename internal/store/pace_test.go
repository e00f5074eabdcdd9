package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
)

// What is noted of a job's pace spans its whole run, however long that is, and never more than so many marks.
func TestThePaceOfALongJobStaysShort(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	a := b.lease(r, "w")
	key := jobKey(b.job.ID)
	marks := 0
	for at := int64(0); at <= 36000; at += 120 { // as if the sweep came by every two minutes: move the beginning back instead of waiting
		pace := b.rdb.HGet(b.ctx(), key, "pace").Val()
		if _, rest, ok := strings.Cut(pace, ";"); ok {
			b.rdb.HSet(b.ctx(), key, "pace", fmt.Sprintf("%d;%s", time.Now().UnixMilli()-at*1000, rest))
		}
		if _, err := b.Save(b.ctx(), r, a, nil, false, tasks.Counters{Read: at * 10}); err != nil {
			t.Fatal(err)
		}
		b.rdb.HDel(b.ctx(), key, "sampled")
		b.sweep("w")
		v, err := b.View(b.ctx(), b.job.ID)
		if err != nil {
			t.Fatal(err)
		}
		marks = max(marks, len(v.Pace))
		for i := 1; i < len(v.Pace); i++ {
			if v.Pace[i].Read < v.Pace[i-1].Read || v.Pace[i].At.Before(v.Pace[i-1].At) {
				t.Fatalf("after %d s: %v", at, v.Pace)
			}
		}
	}
	v, err := b.View(b.ctx(), b.job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if marks > 60 || len(v.Pace) < 20 {
		t.Errorf("at most %d marks, %d at last; want at most 60 and not few", marks, len(v.Pace))
	}
	first, last := v.Pace[0], v.Pace[len(v.Pace)-1]
	if span := last.At.Sub(first.At); span < 9*time.Hour || first.Read > 3600 {
		t.Errorf("from %v to %v, %d to %d rows", first.At, last.At, first.Read, last.Read)
	}
	list, _, err := b.List(b.ctx(), Filter{})
	if err != nil || len(list) != 1 || list[0].Pace != nil {
		t.Errorf("a list has %v, %v", list, err)
	}
}
