package tools

import (
	"context"
	"time"
)

// Limit sets limits that a test can reach: bytes of an archive, bytes and files in it, how many bytes may come out for one, and are free.
func (s *Store) Limit(archive, bytes int64, files int, ratio, free int64) {
	s.limits = limits{archive: archive, bytes: bytes, files: files, ratio: ratio, free: free, window: usual.window, stall: s.limits.stall}
}

// Stall sets how long nothing may come.
func (s *Store) Stall(d time.Duration) { s.limits.stall = d }

// Waits has the store wait no longer, and tell how long it would have.
func (s *Store) Waits(f func(time.Duration)) {
	s.wait = func(_ context.Context, d time.Duration) error { f(d); return nil }
}
