//go:build !stint_next_protocol

package tasks

// Protocol is the version of what workers read from the queue and the store: task payloads, step bodies, key layout. Jobs
// are created under it and queue names carry it, so a worker never claims a step that it cannot read. Raise it when an
// older build could not carry out a step that this one writes.
//
// 2: migrations by plans; an older worker would load their rows as they are.
const Protocol = 2
