// Package control is how programs on this host drive the node: the command
// line, the dashboard and package client all speak through [Node].
//
// A Node is an interface with two implementations: the node itself, in the
// process that runs it, and [Client], which speaks to its [Server] through the
// socket kith.sock in the data directory ([Listen]). Package network/local
// lets through only the user who runs the node, who may do anything.
//
// The wire is HTTP/1.1 with JSON bodies of at most 1 MiB, POST /v1/<method>.
// Applications are served below /api/<app>/, metrics at /metrics. Errors cross
// with their text and their kith.Kind, so that errors.Is works on both sides.
//
// Sockets are connections upgraded to raw bytes (RFC 9110 7.8): after the
// answer 101, which describes the socket, and one byte by which the client says
// that it has read that, the connection carries what the socket carries, half-closes
// too. A program that listens holds such a connection as long as it holds the
// port: the node writes a token on it for each socket that it accepts, and
// the program fetches the socket with a request of its own, within 10 seconds.
// When the program ends, the connection ends, and the port is free.
//
// A packet socket is such a connection, too, and carries datagrams in frames
// with their addresses (packet.go).
//
// A connection that ends cannot say whether the socket behind it ended in order
// or broke. A client that reads the end therefore asks, by the token in the
// socket's description, and reads an error instead of io.EOF if it broke.
//
// Server and Client are safe for concurrent use. The server's mutex guards the
// sockets that wait to be fetched and the reasons of those that broke.
package control
