package store

import (
	"context"
	"fmt"
	"time"
)

var turnScript = fleetScript("turn")

// Turns are given early by what this time gives, so that timers need not be exact; and far ahead at most by the other: what is given
// to a process that dies is lost, and all others wait for it.
const (
	turnEarly = 50 * time.Millisecond
	turnAhead = 5 * time.Second
)

// Turn asks for the turn of one request to an endpoint, of which the whole fleet may send perSecond, by that name. With given the
// turn is the caller's, and comes after the wait; without, it is worth asking again after the wait.
func (s *Store) Turn(ctx context.Context, endpoint string, perSecond float64) (wait time.Duration, given bool, err error) {
	each := 1e6 / perSecond
	early := max(0, float64(turnEarly.Microseconds())-each)
	us, err := turnScript.Run(ctx, s.rdb, endpointRateKeys(endpoint), each, early, turnAhead.Microseconds()).Int64()
	if err != nil {
		return 0, false, fmt.Errorf("take a turn at %s: %w", endpoint, err)
	}
	if us < 0 {
		return time.Duration(-us) * time.Microsecond, false, nil
	}
	return time.Duration(us) * time.Microsecond, true, nil
}
