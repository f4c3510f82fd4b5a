// Command libp2p does with go-libp2p what the other benchmarks do with kith, so
// that the two can stand beside each other. It is a module of its own: its
// dependencies are none of kith's.
//
//	cd bench/libp2p && go build -o /tmp/libp2p .
//	/tmp/libp2p [-rounds 5] [-time 2s]    as bench/overlay
//	/tmp/libp2p pairs [-peers 200]        as bench/pairs
//	go run ./bench/move -libp2p /tmp/libp2p
//
// For bench/move it has three more verbs: "listen" echoes, "dial" passes
// messages between a listener and standard input and output, "relay" relays for
// both.
//
// Hosts have Ed25519 keys, TLS 1.3 security, no resource manager and no metrics.
// QUIC is quic-go v0.64.1, which go-libp2p v0.51.0 asks for; hence the exclude
// line in go.mod, as kith is ahead of it.
package main
