// Package terminal is what commands have in common for the person at a terminal:
// whether one is there, a line that shows progress in place, QR codes, and
// sizes as people type and read them. It knows nothing of kith.
package terminal
