//go:build !unix

package snapshot

const nonblock = 0
