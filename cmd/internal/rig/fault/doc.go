// Package fault does to real processes, connections and disks what the world does to them.
//
// MoveClock sets the wall clock of one process, and nobody else's. A Link stands between any two that speak TCP, and cuts, delays or
// swallows what they say. A Disk is a small file system that can be full. SlowSync makes each sync of a file by a process take longer.
// Kills, frozen processes and servers that start again are in packages rig, redistest and pgtest.
//
// What the machine or its rights do not allow says so by ErrUnsupported.
package fault

import "errors"

// ErrUnsupported is that a fault cannot be made on this machine: another kernel or processor, or missing rights.
var ErrUnsupported = errors.New("this machine cannot make that fault")
