//go:build race

package overlay

// slower is how many times longer a step takes under the race detector.
const slower = 10
