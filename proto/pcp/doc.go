// Package pcp is the wire format of the Port Control Protocol, version 2
// (RFC 6887), and of its predecessor NAT-PMP, version 0 (RFC 6886): how a host
// asks the router in front of it to pass the packets for an outside port on.
// Both are spoken with UDP port 5351 of the router, and the first byte of a
// packet tells which.
//
// A [Request] asks for one mapping or, with a lifetime of zero, for its end.
// [Parse] reads the answers. Retransmission, the choice of the version and
// keeping mappings alive are the caller's business. Of PCP there are mappings
// for the host itself (MAP); the opcodes ANNOUNCE and PEER, and options, are not.
package pcp
