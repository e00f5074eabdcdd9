//go:build !linux || !amd64

package fault

import "time"

// MoveClock sets the wall clock of one process, where that is possible: on Linux, amd64.
func MoveClock(int, time.Duration) error { return ErrUnsupported }
