// Command overlay measures sockets of the overlay beside what they are made
// of, over loopback, in one run, and prints one Markdown table: TCP, TLS 1.3
// over TCP (crypto/tls) and quic-go, each with the same mutual Ed25519
// authentication where there is any, and the overlay on either carrier.
//
//	go run ./bench/overlay [-rounds 5] [-time 2s] [-calls 5000] [-only NAME] [-cpuprofile FILE]
//	go run ./bench/overlay -idle 19 [-time 60s]
//
// Throughput is the median of the rounds; in each round all engines take
// their turn, so that a noisy machine disturbs them alike. Both ends share the
// machine, so the rate falls with whatever else runs on it; the processor time
// of a gigabyte, at both ends together and in the kernel, does not.
// Streams are connections of their own for TCP and TLS, and share one
// connection otherwise. With -idle it measures instead what a node pays for
// peers that say nothing.
package main
