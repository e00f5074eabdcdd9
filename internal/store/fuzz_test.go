package store

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/redistest"
)

// FuzzWhatAnotherVersionHasWrittenIsReadOrRefused puts texts in the place of all that a job has in Redis. What reads it gives a view or an error, and
// a list goes on beside a job that cannot be read.
func FuzzWhatAnotherVersionHasWrittenIsReadOrRefused(f *testing.F) {
	rdb := redis.NewClient(redistest.New(f).Options())
	f.Cleanup(func() { _ = rdb.Close() })
	s := New(rdb)
	for _, seed := range []string{`{"id":"j","kind":"test","spec":{"a":1}}`, `{}`, `null`, `[]`, `{"id":1}`, "", "1", "-1", "99999999999999999999", "a|b|c|1", "|||", "job-1:1:2:0/a", "j:-1:x:", ":::", "0,1,99", "running", "{\"at\":1e400}", "\xff\x00", `{"step":"x","at":1}`, `[{"name":"a"}]`} {
		f.Add(`{"id":"j","kind":"test","spec":{"a":1}}`, seed, "s0.1", "3")
		f.Add(seed, seed, seed, "1")
	}
	names := []string{"state", "held", "started", "ended", "findings", "pace", "epoch", "error", "nstages", "stages", "workers", "queue"}
	f.Fuzz(func(t *testing.T, body, value, key, n string) {
		ctx := context.Background()
		if len(value) > 10_000 || key == "" {
			t.Skip()
		}
		p := rdb.Pipeline()
		p.FlushAll(ctx) // of this target's own Redis
		p.HSet(ctx, jobKey("j"), "json", body, "nstages", n, "stages", n)
		for _, name := range names {
			if name != "nstages" && name != "stages" {
				p.HSet(ctx, jobKey("j"), name, value)
			}
		}
		for _, i := range []string{"0", "1", "2"} {
			for _, part := range []string{"name", "state", "after", "rows", "started", "ended", "known", "done", "failed", "read", "sample", "detail"} {
				p.HSet(ctx, stagesKey("j"), i+":"+part, value)
			}
		}
		for _, k := range []string{outKey("j"), deadKey("j"), findingsKey("j"), stepsKey("j")} {
			p.HSet(ctx, k, key, value)
		}
		p.XAdd(ctx, &redis.XAddArgs{Stream: eventsKey("j"), Values: []any{"kind", value, "step", key, "at", value, key, value}})
		p.ZAdd(ctx, jobsKey, redis.Z{Score: 1, Member: "j"})
		if _, err := p.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		v, err := s.View(ctx, "j")
		if err == nil && v.ID != "j" || err != nil && v != nil {
			t.Errorf("%+v, %v", v, err)
		}
		_, _, err = s.List(ctx, Filter{})
		var net redis.Error
		if errors.As(err, &net) {
			t.Errorf("the list: %v", err)
		}
		_, _ = s.Dead(ctx, "j")
		_, _ = s.Findings(ctx, "j")
		_, _ = s.Events(ctx, "j", "", 10)
		_, _, _ = s.Job(ctx, "j")
		_, _ = s.Stage(ctx, "j", 0)
		_, _ = s.Account(ctx, "j")
		// The id of a task, as another version may have put it on the queue.
		if r, ok := ParseTaskID(value); ok {
			if again, ok := ParseTaskID(r.TaskID()); !ok || again != r {
				t.Errorf("%q is %+v, and then %+v, %v", value, r, again, ok)
			}
		}
	})
}
