package store

import (
	"context"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/redistest"
)

func turn(t *testing.T, s *Store, endpoint string, perSecond float64) (time.Duration, bool) {
	t.Helper()
	wait, given, err := s.Turn(t.Context(), endpoint, perSecond)
	if err != nil {
		t.Fatal(err)
	}
	return wait, given
}

func TestTurnsOfAnEndpointAreGivenInARowAndNotFarAhead(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	if wait, given := turn(t, s, "a", 1); wait != 0 || !given {
		t.Errorf("the first turn comes in %v: %v", wait, given)
	}
	last := time.Duration(0)
	for i := range 4 {
		wait, given := turn(t, s, "a", 1)
		if !given || wait <= last || wait > time.Duration(i+1)*time.Second {
			t.Errorf("turn %d comes in %v: %v", i+2, wait, given)
		}
		last = wait
	}
	for { // until the turns lie as far ahead as they may
		wait, given := turn(t, s, "a", 1)
		if given {
			continue
		}
		if wait <= 0 || wait > time.Second {
			t.Errorf("ask again in %v", wait)
		}
		break
	}
	if wait, given := turn(t, s, "b", 1); wait != 0 || !given {
		t.Errorf("another endpoint waits for %v: %v", wait, given)
	}
	if n := s.rdb.PTTL(t.Context(), endpointRateKey("a")).Val(); n <= 0 || n > 10*time.Second {
		t.Errorf("the key stays for %v", n)
	}
}

func TestAnEndpointOfAHighRateTakesWhatTimersAreTooCoarseForAtOnce(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	now := 0
	for range 100 {
		if wait, _ := turn(t, s, "a", 100); wait == 0 {
			now++
		}
	}
	if now < 5 || now > 60 { // 50 ms at once, and what time gives while this runs
		t.Errorf("%d turns at once, want about 5", now)
	}
}

func TestARateOfFewAnHourIsAskedForLater(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	turn(t, s, "a", 1.0/3600)
	if wait, given := turn(t, s, "a", 1.0/3600); given || wait < 59*time.Minute-10*time.Second || wait > time.Hour {
		t.Errorf("ask again in %v: %v", wait, given)
	}
}

// The rate was asked for by a clock that was an hour ahead.
func TestATurnDoesNotWaitUntilAClockThatWasSetBackHasCaughtUp(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	now, err := s.rdb.Time(ctx).Result()
	if err == nil {
		err = s.rdb.Set(ctx, endpointRateKey("a"), now.Add(time.Hour).UnixMicro(), time.Hour+2*time.Second).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	if wait, given := turn(t, s, "a", 10); wait != 0 || !given {
		t.Errorf("it comes in %v: %v", wait, given)
	}
}

func TestATurnThatCannotBeHadIsAnError(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Turn(ctx, "a", 1); err == nil {
		t.Error("want an error")
	}
}

// Two plans may send to the same endpoint, each at a rate of its own.
func TestAFasterRateDoesNotTakeBackTurnsThatASlowerOneWasGiven(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	given := 0
	for range 20 {
		for range 10 {
			if _, ok := turn(t, s, "a", 1); ok {
				given++
			}
		}
		turn(t, s, "a", 20)
		// 60 ms pass.
		if err := s.rdb.DecrBy(t.Context(), endpointRateKey("a"), 60_000).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if given > 10 { // one at once, five that lie ahead, and what time gives
		t.Errorf("%d turns of one a second are given within about a second", given)
	}
}
