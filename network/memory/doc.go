// Package memory carries bytes between processes inside one program, for
// tests. A [Hub] joins hosts; each host's [Network] dials and listens by ID,
// as the overlay does, and every connection knows its peer. Connections buffer
// a bounded number of bytes, as sockets do, so that protocols which write
// before they read work as they do on a real network. Datagrams get lost in a
// full queue only. [Hub.Cut] takes the path between two hosts away.
//
// Nothing here starts a goroutine, and all waiting is on channels, condition
// variables and timers: it works in the virtual time of testing/synctest.
//
// Locking: a Hub's mutex guards its listeners and the paths that are cut, a
// listener's its queue, and each direction of a connection has one of its own.
// A direction's mutex is never held while another lock is taken.
package memory
