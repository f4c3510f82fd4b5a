// Command sockets measures sockets between two nodes, each a process of its
// own, beside a bare copy that takes the same way, and prints one Markdown
// table. A program's bytes pass two nodes:
//
//	package client:  program -unix- node -TLS- node -unix- program
//	SOCKS5:          program -TCP-  node -TLS- node -TCP-  program (kith expose)
//
// The bare copy of either is two processes in the nodes' place that copy with
// buffers of 64 KiB in each direction and do nothing else. They speak what the
// nodes speak: unix sockets or TCP to the programs, and TLS 1.3 over TCP with
// Ed25519 keys at both ends between each other. Where the nodes share one
// connection for all sockets, the bare copy has one for each, so that opening
// one includes the handshake. Two more rows show the ends of the scale: a bare
// copy over TCP without encryption (Linux splices it: no byte enters the
// processes), and the overlay alone, both of its ends in this process.
//
//	go run ./bench/sockets [-rounds 7] [-time 1s] [-calls 3000] [-opens 300] [-only NAME] [-profile DIR]
//
// Throughput is the median of the rounds, and so is its share of the bare
// copy's in the same round; in each round all ways take their turn, so that a
// noisy machine disturbs them alike. All processes share the
// machine: the figure is what its cores pay for a byte at all of them together.
package main
