//go:build !race

package overlay

const slower = 1
