// Package echo answers every line with the same line in capitals. It is the
// smallest application that has everything an application may have: a port, a
// table, an API, a command, a screen and tests. New applications begin as a
// copy of it; docs/adding-an-app.md says how. No node runs it.
//
// It listens on port 7, the one of the Echo Protocol (RFC 862). The table
// echo_callers counts the lines of each caller; a count is stored when a
// connection ends.
package echo
