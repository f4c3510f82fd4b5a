// Package node builds, supervises and stops everything that makes a computer a
// host of a group: store, group, overlay, gateway, dashboard, control socket and
// applications. It is the one place where these meet.
//
// [New] opens nothing. [Node.Serve] creates what is missing on the first start,
// joins a group when the configuration holds a ticket, starts one supervised
// service after another, and stops them in reverse order when its context
// ends. A service that fails is started again after a pause and touches no
// other.
//
// A node is always in exactly one group. A group of one listens on nothing but
// loopback; the overlay's port opens when the first invitation is made or a
// group with others is joined. Joining and leaving exchange the group under a
// running node: key, accounts and sites stay.
//
// What the package does, by file: node.go the type, life.go starting and
// stopping, supervise.go the services in between; listen.go the loopback
// listeners, port.go the overlay's port; apps.go the applications, host.go,
// fanin.go, late.go and accounts.go what they get. members.go is what changes in
// the group, join.go joining and leaving, introduce.go the same through the BitTorrent DHT,
// names.go which key a name has meant here. requests.go and settings.go answer
// control.Node; status.go, reach.go, path.go, doctor.go and diagnose.go say how
// things are, events.go what happened. relaying.go and met.go carry over a
// restart what was relayed today and where members answered.
//
// Being connected with the other members is the business of package mesh.
package node
