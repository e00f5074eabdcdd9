package cli

import "runtime/debug"

// collectEarly lets the garbage collector run when the memory in use has grown by half, and not when it has doubled. What a worker
// holds are the batches of its attempts, which are used again and again, and it makes little garbage: running twice as often costs it
// a hundredth of its time. GOGC, where the environment has it, stands.
func collectEarly() {
	const usual = 100
	if was := debug.SetGCPercent(50); was != usual {
		debug.SetGCPercent(was)
	}
}
