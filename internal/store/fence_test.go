package store

import (
	"errors"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func TestAFenceIsToldWithEveryHeartbeatUntilItIsLifted(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	told := func() Known {
		t.Helper()
		h, err := s.Beat(ctx, wire.Worker{ID: "a", State: wire.WorkerActive})
		if err != nil {
			t.Fatal(err)
		}
		return h.Fences
	}
	sub := s.Listen(ctx)
	t.Cleanup(func() { _ = sub.Close() })
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	heard := func() {
		t.Helper()
		if m, err := sub.ReceiveMessage(ctx); err != nil || m.Payload != EveryWorker {
			t.Errorf("on the channel: %v, %v", m, err)
		}
	}
	first := wire.Fence{Version: "<2.0", By: "me", Reason: "it corrupts"}
	if k := told(); len(k.Standing) != 0 || !k.Forgotten(first) {
		t.Errorf("before: %+v", k)
	}
	if err := s.SetFence(ctx, first); err != nil {
		t.Fatal(err)
	}
	heard()
	if err := s.SetFence(ctx, wire.Fence{NotVersion: "2.1.0"}); err != nil {
		t.Fatal(err)
	}
	heard()
	if err := s.SetFence(ctx, wire.Fence{Version: "<3.0"}); err != nil { // takes the place of the first
		t.Fatal(err)
	}
	heard()
	k := told()
	if len(k.Standing) != 2 || k.Standing[0].Version != "<3.0" || k.Standing[1].NotVersion != "2.1.0" || k.Standing[0].At.IsZero() || k.Forgotten(first) {
		t.Errorf("two fences: %+v", k)
	}
	if list, err := s.Fences(ctx); err != nil || len(list) != 2 || list[0] != k.Standing[0] {
		t.Errorf("%+v, %v", list, err)
	}
	for range 2 { // the second time it is gone already
		if err := s.LiftFence(ctx, FenceVersion); err != nil {
			t.Fatal(err)
		}
		heard()
	}
	if k := told(); len(k.Standing) != 1 || k.Forgotten(first) {
		t.Errorf("one was lifted: %+v", k)
	}
	if list, err := s.Fences(ctx); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAFenceThatRedisHasLostIsWrittenBackOnlyWhereNobodyDecidedOtherwise(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	f := wire.Fence{NotVersion: "2.0.0"}
	if err := s.RestoreFence(ctx, f); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Fences(ctx); err != nil || len(list) != 1 || list[0].NotVersion != "2.0.0" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.LiftFence(ctx, FenceNotVersion); err != nil {
		t.Fatal(err)
	}
	if err := s.RestoreFence(ctx, f); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Fences(ctx); err != nil || len(list) != 0 {
		t.Errorf("it came back after it was lifted: %+v, %v", list, err)
	}
}

func TestAFenceThatMeansNothingIsRefused(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	for _, f := range []wire.Fence{{}, {Version: "1", NotVersion: "2"}, {Version: "<<2"}, {NotVersion: "> "}} {
		if err := s.SetFence(t.Context(), f); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%+v: %v, hint %q", f, err, tasks.HintOf(err))
		}
	}
	if err := s.LiftFence(t.Context(), "all"); err == nil {
		t.Error("a fence of an unknown kind is lifted")
	}
	if list, err := s.Fences(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAStepThatIsPostponedComesBackAsIfItHadNotBeenBegun(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	h := createFor(t, s, "x", "j", 0)
	ref := h.Enqueue[0]
	if b, err := s.Begin(ctx, ref, "a1", "w", ""); err != nil || b.Code != Begun {
		t.Fatal(b, err)
	}
	before, err := s.Events(ctx, "j", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	h, err = s.Postpone(ctx, ref, "a1", "w", 0)
	if err != nil || len(h.Enqueue) != 1 || h.Enqueue[0].Delivery != ref.Delivery+1 {
		t.Fatalf("%+v, %v", h, err)
	}
	if after, err := s.Events(ctx, "j", "", 100); err != nil || len(after) != len(before) {
		t.Errorf("%d events more, %v", len(after)-len(before), err)
	}
	if b, err := s.Begin(ctx, h.Enqueue[0], "a2", "w", ""); err != nil || b.Code != Begun || b.Resumed || b.Failed != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := s.Postpone(ctx, ref, "a1", "w", 0); !errors.Is(err, tasks.ErrStale) {
		t.Errorf("an attempt that holds nothing: %v", err)
	}
}

func TestATenantsLimitsAreItsOwnOrThoseOfAll(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	if l, err := s.LimitsOf(ctx, "x"); err != nil || l != (wire.Limits{}) {
		t.Errorf("without any: %+v, %v", l, err)
	}
	for tenant, l := range map[string]wire.Limits{AnyTenant: {RunningJobs: 2}, "x": {StepsPerSecond: 5}} {
		if err := s.SetLimits(ctx, tenant, l); err != nil {
			t.Fatal(err)
		}
	}
	for tenant, want := range map[string]wire.Limits{"x": {StepsPerSecond: 5}, "y": {RunningJobs: 2}, "": {RunningJobs: 2}} {
		if l, err := s.LimitsOf(ctx, tenant); err != nil || l != want {
			t.Errorf("%q: %+v, %v", tenant, l, err)
		}
	}
}
