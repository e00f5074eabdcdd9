// Package buildlog keeps what a step of a build prints: without secrets (Masker), line by line with times, readable by any process while
// it is written, and for good afterwards. It needs nothing but the artifact store.
//
//	PREFIX/0001/start          the first attempt, and when it began
//	PREFIX/0001/0000000001     a chunk, by the number of its first line; put each second, or when 64 KiB have come together
//	PREFIX/0001/0000000318
//	PREFIX/0002/start          the second attempt: the first one's agent was killed
//	PREFIX/0002/0000000001
//	PREFIX/0002/end.zst        all of it, once it is closed; the chunks are deleted then
//
// A line is its time, its stream, a space (or a + where the line goes on in the next of its stream), and its text as it was printed:
//
//	2026-11-22T10:00:01.250Z o ok  	example.org/product	0.3s
//
// A crash leaves the chunks of the last second at the latest, each of them whole; the next attempt has a folder of its own, so that the
// two never mix, even when the first is still alive somewhere and goes on.
package buildlog
