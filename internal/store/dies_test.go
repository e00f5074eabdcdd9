package store

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
)

// What is left of a job when whoever moves it dies in the middle, and of others beside it.

func TestOneRecordThatCannotBeReadKeepsNoOtherJobOutOfLine(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	if err := s.SetLimits(t.Context(), "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	ids := []string{"broken", "whole"}
	for _, id := range ids {
		createFor(t, s, "x", id, 0)
	}
	s.rdb.HSet(t.Context(), jobKey("broken"), "json", "{")
	s.rdb.Del(t.Context(), tenantWaitingKey("x")) // whoever held them died
	for i, found := range s.SweepAll(t.Context(), ids, Look{Unbegun: never}) {
		if said := found.Err != nil && strings.Contains(found.Err.Error(), "broken"); said != (ids[i] == "broken") || !said && found.Err != nil {
			t.Errorf("%s: %v", ids[i], found.Err)
		}
	}
	if line := s.rdb.ZRange(t.Context(), tenantWaitingKey("x"), 0, -1).Val(); len(line) != 1 || line[0] != "whole" {
		t.Errorf("in line: %v", line)
	}
}
