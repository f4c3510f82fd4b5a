// Package harness runs the processes of a benchmark: nodes of the program that
// people run, built from this tree, and the peers that they are measured
// beside. Everything is on loopback and below one temporary directory, and ends
// with the benchmark.
//
// [Main] is a benchmark's main function. With -profile DIR the nodes are
// processes of the benchmark's own program, which does what kith does and
// writes a CPU profile of its whole life and a heap profile of its end to DIR.
package harness
