package store

import (
	"context"
	"fmt"
	"time"
)

var (
	numberScript = fleetScript("number")
	claimScript  = fleetScript("claim")
)

// BuildNumber gives a build its number: from 1, one after the other for each product, and the same one each time the same build asks.
// least is the lowest that may be given; a build that has a lower one gets another. It is for a Redis that has lost its memory: the
// caller knows the numbers that were used from elsewhere.
func (s *Store) BuildNumber(ctx context.Context, product, build string, least int64) (int64, error) {
	again := 0
	if least > 1 {
		again = 1
	}
	n, err := numberScript.Run(ctx, s.rdb, []string{buildNumbersKey(product)}, build, least, again).Int64()
	if err != nil {
		return 0, fmt.Errorf("number a build of %s: %w", product, err)
	}
	return n, nil
}

// Claim takes what one at a time may do, by its name, or keeps it for so long again; it ends by itself when nobody keeps it, as when
// its process dies. It returns who has it now: the caller, when it was free. A time of 0 gives it back.
func (s *Store) Claim(ctx context.Context, name, who string, d time.Duration) (holder string, err error) {
	holder, err = claimScript.Run(ctx, s.rdb, []string{claimKey(name)}, who, d.Milliseconds()).Text()
	if err != nil {
		return "", fmt.Errorf("claim %s: %w", name, err)
	}
	return holder, nil
}
