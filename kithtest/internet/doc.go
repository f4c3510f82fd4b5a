// Package internet is a simulated Internet in one process: hosts, routers with
// every common kind of NAT, links that delay, lose and reorder packets, and all
// that happens to computers while they run (moved, unplugged, asleep, cut off
// from each other). Each [Host] is an underlay.Internet, so that the overlay and
// what stands on it run here as they do on the kernel's.
//
//	net := internet.New(internet.Config{Seed: 1})
//	elm := net.Public().Host("elm")              // a public address
//	home := net.Router(internet.PortRestricted)
//	oak, fir := home.Host("oak"), home.Host("fir") // on one LAN
//	ash := net.Router(internet.Double).Host("ash") // behind two routers
//	oak.Move(net.Router(internet.Symmetric))
//
// It is made for a bubble of testing/synctest: nothing reads or writes outside
// the process, whoever waits is durably blocked, and there is no goroutine to
// stop. Make the Net inside the bubble. What one end closes the other learns
// after the delay of the path; a bubble that ends before has readers left. It
// works in real time as well.
//
// # What is modelled
//
// Every packet crosses the links between its two ends one after the other, and
// meets a router when it gets there; so a hole that is punched too late is
// too late here, too. Routers translate as RFC 4787 describes (nat.go), and
// give TCP to the inside only on connections that began there or on forwarded
// ports. TCP (tcp.go) has segments, acknowledgements, retransmission and a
// window of 256 KiB, and no congestion control: loss costs time. It is never
// told that a path is gone; it goes on when the path is back. A SYN to a host
// where nobody listens is reset, one to nowhere is sent three times. There is
// no IPv6, ICMP, DNS or multicast.
//
// # Determinism
//
// Every link and router draws from a random source of its own, seeded by
// Config.Seed and the order in which they were made. Events at one instant run
// in the order in which they were caused; what goroutines cause at one instant
// depends on the Go scheduler.
//
// # Locking
//
// Net.mu guards everything, the sockets too, which wait on it with
// condition variables. One timer runs what is due (clock.go), holding it.
package internet
