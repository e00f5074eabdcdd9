//go:build unix

package snapshot

import "syscall"

// nonblock keeps the opening of a pipe, which somebody has put in the place of a file, from waiting for its other end.
const nonblock = syscall.O_NONBLOCK
