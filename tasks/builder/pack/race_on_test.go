//go:build race

package pack_test

// underRace: the race detector makes the compression of 4 GiB last two minutes, in one goroutine.
const underRace = true
