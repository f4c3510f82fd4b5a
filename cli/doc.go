// Package cli is the command line: one file for each verb, and the verbs that
// applications bring.
//
// [Main] finds the verb, reads the flags, which may stand anywhere, and runs
// the command. All but up and join only speak to the node that runs on the
// data directory, through package control.
//
// What goes where: a result is on standard output, alone, so that it can be
// piped, and is JSON with --json; whatever explains it to a person is on
// standard error, as are errors: "kith: what: why", then a line that says what
// to do. up and join tell their story on standard output and end it with the
// line "ready". Nothing is asked, and no QR code drawn, unless a terminal is
// there to see it. The exit code follows from the error's kind (exit.go).
package cli
