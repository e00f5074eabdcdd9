package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// LimitsOf reads what one tenant may use at once: its own line, else AnyTenant's, else no limit.
func (s *Store) LimitsOf(ctx context.Context, tenant string) (wire.Limits, error) {
	v, err := s.rdb.HMGet(ctx, limitsKey, tenant, AnyTenant).Result()
	if err != nil {
		return wire.Limits{}, fmt.Errorf("read limits: %w", err)
	}
	var l wire.Limits
	for _, line := range v {
		if body, ok := line.(string); ok {
			if err := json.Unmarshal([]byte(body), &l); err != nil {
				return wire.Limits{}, fmt.Errorf("decode limits of %q: %w", tenant, err)
			}
			break
		}
	}
	return l, nil
}

// Postpone returns a step that was begun and not run, to be handed out again after d: as if it had not been begun yet. Nobody is
// told, nothing is counted, and its retry budget is not spent.
func (s *Store) Postpone(ctx context.Context, r Ref, attempt, worker string, d time.Duration) (Handout, error) {
	v, err := giveBack.Run(ctx, s.rdb, []string{jobKey(r.Job)}, r.Key, attempt, "", d.Milliseconds(), "", worker).Result()
	return fenced(r.Job, "postpone step", v, err)
}
