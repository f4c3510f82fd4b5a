// Command reply measures the time from Dial to the first byte of the reply of a
// host that is behind NAT, as the caller is, while there is no carrier between
// the two: both have one to a third, which can be reached, introduces and relays.
// It prints one Markdown table.
//
// Everything runs in this process on the simulated Internet of kithtest, in real
// time, so that the figures contain the processor's work. A round trip between
// any two of the hosts takes 20 ms: between those behind NAT, through the third,
// two of them. All begin anew in each round.
//
//	go run ./bench/reply [-rounds 9] [-log]
//
// The same through the kernel's NATs, in network namespaces (root is needed, and
// ip and nft), with the program of bench/libp2p beside it:
//
//	BENCH_LIBP2P=PROGRAM go test -tags bench ./test -run TestFirstReply -v
package main
