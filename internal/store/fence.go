package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/versions"
	"github.com/stint-run/stint/tasks"
)

// The two fences that there may be at a time, as LiftFence names them.
const (
	FenceVersion    = "version"
	FenceNotVersion = "not_version"
)

// lifted stands in place of a fence that somebody lifted. That nothing is there means something else: Redis may have lost it.
const lifted = ""

// fenceOf names which of the fences one is.
func fenceOf(f wire.Fence) string {
	if f.Version != "" {
		return FenceVersion
	}
	return FenceNotVersion
}

// SetFence parks the workers of some versions: those that run drain, those that start claim nothing. It takes the place of an
// earlier fence of the same kind. A selector that cannot be read is an error with a hint. A zero At becomes now.
func (s *Store) SetFence(ctx context.Context, f wire.Fence) error {
	if (f.Version == "") == (f.NotVersion == "") {
		return tasks.WithHint(nil, "give one of version and not_version", "a fence names the versions that it parks, or those that it spares")
	}
	if err := versions.Check(f.Version + f.NotVersion); err != nil {
		return err
	}
	if f.At.IsZero() {
		f.At = time.Now().UTC().Truncate(time.Millisecond)
	}
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode fence: %w", err)
	}
	return s.writeFence(ctx, fenceOf(f), string(body))
}

// LiftFence takes FenceVersion or FenceNotVersion away. What it parked goes back to work, unless it is also wanted drained.
// That there is none is no error.
func (s *Store) LiftFence(ctx context.Context, which string) error {
	if which != FenceVersion && which != FenceNotVersion {
		return tasks.WithHint(nil, "write version or not_version", "there is no fence %q", which)
	}
	return s.writeFence(ctx, which, lifted)
}

func (s *Store) writeFence(ctx context.Context, which, body string) error {
	err := s.rdb.HSet(ctx, fenceKey, which, body).Err()
	if err == nil {
		err = s.rdb.Publish(ctx, ControlChannel, EveryWorker).Err()
	}
	if err != nil {
		return fmt.Errorf("write fence: %w", err)
	}
	return nil
}

// RestoreFence writes a fence back that Redis has lost. One that was set or lifted meanwhile stays as it is.
func (s *Store) RestoreFence(ctx context.Context, f wire.Fence) error {
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode fence: %w", err)
	}
	if err := s.rdb.HSetNX(ctx, fenceKey, fenceOf(f), string(body)).Err(); err != nil {
		return fmt.Errorf("write fence: %w", err)
	}
	return nil
}

// Fences lists the fences that stand, at most one of each kind.
func (s *Store) Fences(ctx context.Context) ([]wire.Fence, error) {
	h, err := s.rdb.HGetAll(ctx, fenceKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read fences: %w", err)
	}
	k, err := decodeFences(h)
	return k.Standing, err
}

// Known is what Redis knows of fences.
type Known struct {
	Standing []wire.Fence // at most one of each kind
	lifted   []string
}

// Forgotten reports whether Redis knows nothing of a fence that once stood: neither that one of its kind stands nor that it was
// lifted.
func (k Known) Forgotten(f wire.Fence) bool {
	for _, s := range k.Standing {
		if fenceOf(s) == fenceOf(f) {
			return false
		}
	}
	for _, which := range k.lifted {
		if which == fenceOf(f) {
			return false
		}
	}
	return true
}

func decodeFences(h map[string]string) (Known, error) {
	k := Known{Standing: []wire.Fence{}}
	var errs []error
	for _, which := range []string{FenceVersion, FenceNotVersion} {
		body, ok := h[which]
		switch {
		case !ok:
		case body == lifted:
			k.lifted = append(k.lifted, which)
		default:
			var f wire.Fence
			if err := json.Unmarshal([]byte(body), &f); err != nil {
				errs = append(errs, fmt.Errorf("decode fence: %w", err))
				continue
			}
			k.Standing = append(k.Standing, f)
		}
	}
	return k, errors.Join(errs...)
}
