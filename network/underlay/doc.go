// Package underlay is the Internet as one host sees it: the sockets that the
// overlay's carriers ride on, the addresses of the host's interfaces, and the
// news that they changed.
//
// [System] is the operating system's. The twin for tests, with routers, NATs
// and virtual time, is kithtest/internet.
package underlay
