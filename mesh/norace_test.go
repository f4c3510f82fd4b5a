//go:build !race

package mesh_test

const raceDetector = false
