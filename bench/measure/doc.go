// Package measure holds what benchmarks share: streams between a client and a
// server in one process (streams.go), what a process costs that is left alone
// (process.go), and how figures are summed up (figures.go). It knows nothing of
// kith, so that peers with dependencies of their own, in modules of their own,
// are measured by the same code.
package measure
