// Package bench measures stint beside its peers and beside the limits of the machine: `make bench`. Each figure is a ratio
// of two things that are run in turn, A B A B, in the same run, on the same data; the median counts. A peer that is not
// installed is a gap in the table. docs/benchmarks.md says what was measured and how to repeat it.
package bench
