// Command move measures how long a ping-pong over one open socket is silent when
// a host gets another address, and prints one Markdown table. Every 20 ms a
// message goes to the other host and back, by "kith dial" on one, and "kith
// expose" on the other; a third host is a member, too, and stays where it is.
// Then the client, the server, or both lose their address, have none for 0.3 s,
// and get another. Nobody tells the nodes.
//
// The hosts are network namespaces on one switch (root is needed, and ip, of
// iproute2): either on one network, where kith rides on TLS over TCP, or each on a
// network of its own, joined by routes as on the Internet, where it rides on QUIC
// and no multicast is heard.
//
//	go run ./bench/move [-rounds 5] [-only NAME] [-libp2p PROGRAM]
//
// With -libp2p the program of bench/libp2p does the same, in the place of kith;
// the client knows the server's new address in advance. Each of its moves has
// processes of its own, and is done once. A plain TCP connection is bound to its
// two addresses: it is over at the first move.
package main
