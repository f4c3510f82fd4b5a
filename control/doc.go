// Package control is how programs on this host drive the node: the command
// line, the dashboard and package client all speak through [Node].
//
// A Node is an interface with two implementations: the node itself, in the
// process that runs it, and [Client], which speaks to it through the socket
// kith.sock in the data directory. The socket's directory is 0700, so that
// whoever can connect is the user who runs the node. The wire is HTTP with
// JSON bodies, POST /v1/<method>; sockets (dial, listen, accept) are
// connections upgraded to raw bytes. Applications are served below
// /api/<app>/, metrics at /metrics.
//
// Errors cross the socket with their text and their kith.Kind, so that
// errors.Is works on both sides.
package control
