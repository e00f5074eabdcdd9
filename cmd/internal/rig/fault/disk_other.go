//go:build !linux

package fault

import (
	"testing"
	"time"
)

// Disk is a small file system, on Linux.
type Disk struct {
	// Dir is where it is mounted.
	Dir string
}

// NewDisk mounts a file system, on Linux.
func NewDisk(testing.TB, int64) (*Disk, error) { return nil, ErrUnsupported }

// Fill takes all of the room that is left.
func (*Disk) Fill() error { return ErrUnsupported }

// Free gives back what Fill took.
func (*Disk) Free() error { return ErrUnsupported }

// SlowSync makes syncs slow, on Linux.
func SlowSync(time.Duration, ...int) (func(), error) { return nil, ErrUnsupported }
