// Package client gives a Go program sockets to the members of a group, through
// the node that runs on this computer.
//
// Addresses are HOST:PORT; the host is a short name ("maple"), a full name
// ("maple.home.kith.alt") or an ID. The sockets are a net.Conn and a
// net.Listener like any other: HTTP, TLS, RPC and what else is written for
// those work on them as they are.
//
//	conn, err := client.Dial(ctx, "maple:7000")
//	ln, err := client.Listen(ctx, ":7000")
//
// Datagrams, as UDP has them, may be lost:
//
//	conn, err := client.DialPacket(ctx, "maple:7000")
//	socket, err := client.ListenPacket(ctx, ":7000")
//
// Connections can be half-closed with kith.CloseWrite, and kith.PeerOf tells
// which host is at the far end: its key is verified. Any program of a member
// may be the caller; a service that is not for every member asks PeerOf.
//
// Listen takes ports from 1024 up, except 5269, first come, first served. A
// program's ports are free when it ends, however it ends.
//
// [Dial] and [Listen] use the node of the default data directory, $KITH_DATA
// where that is set; [At] names another. Errors are of a kith.Kind: Refused
// when nobody listens, Unreachable when there is no path or no node runs here.
package client
