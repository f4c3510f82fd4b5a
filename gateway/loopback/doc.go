// Package loopback keeps the other users of this computer out of listeners on
// loopback, where every local program may connect.
//
// [SameUser] wraps a listener: its Accept hands out only connections whose far
// socket belongs to the operating-system user who runs this process. Root is
// no exception in either direction: a node run by root serves root only, and
// a node of a person does not serve root, who can become that person anyway.
//
// Linux tells who owns a socket. The question is put to the kernel for the one
// connection (NETLINK_SOCK_DIAG, the exact pair of addresses), which takes some
// microseconds and never waits; where that interface is missing, as in some
// containers, /proc/net/tcp and /proc/net/tcp6 are read. A socket whose program
// has closed it already belongs to nobody and is refused: the kernel reports
// such sockets as root's. Which way works is found out once, when the listener
// is wrapped; a failure later refuses the connection.
//
// The sender of a datagram is looked up in /proc/thread-self/net/udp and
// /proc/thread-self/net/udp6 ([SameUserPacket]).
//
// Other systems do not tell, and there SameUser checks nothing. Connections
// that are not TCP (a Unix-domain socket has its own file permissions) pass.
package loopback
