// Package ip carries bytes between processes over TCP (RFC 9293), by the
// operating system's own sockets: the loopback interface, the LAN, the
// Internet. It verifies nobody; callers need a login of their own.
//
// What it adds to package net is the error kinds of [kith.Network], which are
// the same on every system. Connections are *net.TCPConn, so that copies
// between them and files stay inside the kernel where it can.
package ip
