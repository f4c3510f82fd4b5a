// Package networktest is the specification of [kith.Network] and
// [kith.PacketNetwork] in tests. [Run] checks a pair of networks, the two ends
// of one or of two nodes, against everything that applications rely on:
// verdicts of Dial, half-close, deadlines, cancellation, the ways Close wakes
// what waits, order and completeness of data, many connections at once, and
// that nothing is left running. The rules of net.Conn itself are checked by
// golang.org/x/net/nettest. [RunPacket] does the same for datagrams.
//
// Every implementation runs it:
//
//	func TestNetwork(t *testing.T) {
//		networktest.Run(t, func(t *testing.T) networktest.Pair { ... })
//	}
package networktest
