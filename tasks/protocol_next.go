//go:build stint_next_protocol

package tasks

// Protocol of a build with the tag stint_next_protocol: one more than that of the others. Tests build such a program to
// play a deployment that raises the protocol.
const Protocol = 3
