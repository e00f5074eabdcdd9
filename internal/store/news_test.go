package store

import (
	"errors"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func TestNewsAreTheStateAndTheEventsThatAreNew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	state, all, err := b.News(b.ctx(), b.job.ID, "", 10)
	if err != nil || state != tasks.Accepted || len(all) != 1 || all[0].Type != "accepted" {
		t.Fatalf("got %s, %+v, %v; want accepted and its one event", state, all, err)
	}
	if _, err := b.Control(b.ctx(), b.job.ID, Cancel, "me", ""); err != nil {
		t.Fatal(err)
	}
	state, later, err := b.News(b.ctx(), b.job.ID, all[0].ID, 10)
	if err != nil || state != tasks.Cancelled || len(later) == 0 || later[0].ID == all[0].ID {
		t.Errorf("got %s, %+v, %v; want cancelled and what came after", state, later, err)
	}
	if _, _, err := b.News(b.ctx(), "nope", "", 10); !errors.Is(err, ErrNotFound) {
		t.Errorf("news of no job: %v, want ErrNotFound", err)
	}
}

func TestAJobIsCreatedOnARedisThatHasLostItsScripts(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := New(rdb)
	for _, id := range []string{"first", "second"} {
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		h, created, err := s.Create(t.Context(), tasks.Job{ID: id, Kind: "k", Spec: []byte(`{}`)})
		if err != nil || !created || h.Held != "" {
			t.Fatalf("create: %v, %+v, %v", created, h, err)
		}
	}
	active, err := s.Active(t.Context())
	if err != nil || len(active) != 2 {
		t.Errorf("the sweep looks through %v, %v; want both", active, err)
	}
}

func TestAHeldJobSaysSoWhenItIsCreated(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := New(rdb)
	if err := s.SetMaintenance(t.Context(), "k", wire.Maintenance{Reason: "a move"}); err != nil {
		t.Fatal(err)
	}
	h, created, err := s.Create(t.Context(), tasks.Job{ID: "j", Kind: "k", Spec: []byte(`{}`)})
	if err != nil || !created || h.Held != HeldByMaintenance {
		t.Errorf("create: %v, %+v, %v; want it held by maintenance", created, h, err)
	}
}
