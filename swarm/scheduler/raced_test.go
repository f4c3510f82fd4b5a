//go:build race

package scheduler_test

// raced says that the race detector runs, which a state machine without goroutines
// has no use for: a few scenarios do.
const raced = true
