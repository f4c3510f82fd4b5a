// Command gateway measures the web gateway beside what it is made of, over
// loopback, in one run, and prints one Markdown table: a Go file server, the
// same behind a bare httputil.ReverseProxy, the same behind the gateway (its
// Dial is plain TCP: the overlay has a benchmark of its own), and nginx serving
// the same files, where it is installed. The load comes from wrk.
//
//	go run ./bench/gateway [-rounds 3] [-time 3s] [-connections 16] [-only NAME] [-cpuprofile FILE]
//
// The figures are medians of the rounds; in each round all servers take their
// turn, so that a noisy machine disturbs them alike. The second table is the
// proxy: bytes through a SOCKS tunnel beside a bare copy between two sockets.
package main
