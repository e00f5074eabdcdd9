package store

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func TestACensusCountsJobsByKindAndStateAsTheyMove(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t).Client()
	s := New(rdb)
	ctx := t.Context()
	census := s.Census()
	count := func(want map[Counted]int64) {
		t.Helper()
		census.at = time.Time{} // as if it were long ago
		got, err := census.Count(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
	}
	count(map[Counted]int64{})
	for i, kind := range []string{"migration", "migration", "dedupe"} {
		if _, _, err := s.Create(ctx, tasks.Job{ID: fmt.Sprint(kind, i), Kind: kind, Tenant: "acme", Spec: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	count(map[Counted]int64{{"migration", "acme", tasks.Accepted}: 2, {"dedupe", "acme", tasks.Accepted}: 1})
	if _, err := s.Control(ctx, "migration0", Cancel, "", ""); err != nil {
		t.Fatal(err)
	}
	count(map[Counted]int64{{"migration", "acme", tasks.Accepted}: 1, {"migration", "acme", tasks.Cancelled}: 1, {"dedupe", "acme", tasks.Accepted}: 1})
	if _, err := s.Control(ctx, "dedupe2", Cancel, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(ctx, "dedupe2"); err != nil {
		t.Fatal(err)
	}
	count(map[Counted]int64{{"migration", "acme", tasks.Accepted}: 1, {"migration", "acme", tasks.Cancelled}: 1})
	if _, err := s.Control(ctx, "migration1", Cancel, "", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := census.Count(ctx); err != nil || got[Counted{"migration", "acme", tasks.Accepted}] != 1 {
		t.Errorf("who asks again at once is told %v, %v", got, err)
	}
}
