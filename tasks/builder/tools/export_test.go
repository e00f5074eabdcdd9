package tools

import (
	"context"
	"os"
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

// Formats are those of archives that Unpack knows.
func Formats() []string {
	return []string{string(zipped), string(tarPlain), string(tarGzip), string(tarXZ), string(tarZstd), string(tarBzip2)}
}

// Unpack takes an archive of a format apart into a folder, without its first folders, and returns how many things it holds and how many
// bytes they have together.
func (s *Store) Unpack(ctx context.Context, of string, strip int, archive string, root *os.Root) (things int, bytes int64, err error) {
	found, err := s.unpack(ctx, &wanted{format: format(of), strip: strip}, archive, root)
	for _, i := range found {
		bytes += i.size
	}
	return len(found), bytes, err
}
