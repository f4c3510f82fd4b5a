// Package netlab makes computers out of network namespaces, on one Linux
// machine and as root: for tests of whole programs, and for benchmarks. Each
// [Computer] runs the programs that people run, among them the kith that is
// first in PATH, and all of it vanishes with the test.
//
// Computers are neighbours on a cable, or hosts on an [Internet], which delays,
// loses and cuts, or behind a [Router] with the NAT that somebody's home has. A
// [Member] is a computer on which a person runs kith, in a group with others.
//
// A lab belongs to one goroutine. Whatever goes wrong in it ends the test, or
// what was given to [Do].
package netlab
