// Command overlay measures sockets of the overlay beside what they are made
// of, over loopback, in one run, and prints two Markdown tables. The first has
// TCP, TLS 1.3 over TCP (crypto/tls) and quic-go, each with the same mutual
// Ed25519 authentication where there is any, and the overlay on either carrier,
// direct and through a third host that relays as fast as it can. The second has
// the relayed ones where the third host limits what it relays.
//
//	go run ./bench/overlay [-rounds 5] [-time 2s] [-calls 5000] [-opens 1000] [-only NAME] [-cpuprofile FILE]
//
// Throughput is the median of the rounds, and so is the share of what stands
// beside it in the same round. All ends share the machine, so the rate falls
// with whatever else runs on it; the processor time of a gigabyte, at all ends
// together and in the kernel, does not. Streams are connections of their own for
// TCP and TLS, and share one connection otherwise.
package main
