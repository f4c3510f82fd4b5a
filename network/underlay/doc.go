// Package underlay is the Internet as one host sees it: the sockets that the
// overlay's carriers ride on, the addresses of the host's interfaces, and the
// news that they changed.
//
// [System] is the operating system's. It learns of changes from a netlink
// socket on Linux, from a routing socket on macOS and the BSDs, and elsewhere,
// and where there is none, by looking every 2 s; and of a wake from sleep by
// comparing the wall clock with the monotonic one. Bursts are merged into one
// message per 100 ms. What an address can mean is in address.go. The twin for
// tests, with routers, NATs and virtual time, is kithtest/internet.
package underlay
