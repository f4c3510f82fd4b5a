// Package web is the web application: what a host shows to its group on
// overlay port 80, and the local services that its owner exposes.
//
// A host has one site. At its top stands a published folder, or, until its
// owner publishes one, a page that says whose host it is. Further folders stand
// below paths ("kith publish DIR --at /docs"); the longest path that fits a
// request serves it. Folders are read by package static as they are at the
// moment; one that is missing is a state that "kith sites" tells, and is
// served again once it is back.
//
// An exposed port ("kith expose 3000") forwards every connection to a port of
// this computer's loopback, byte for byte, with half-close. With a name, HTTP
// is also passed on below that path of the site: WebSockets included, the
// prefix removed, redirects and cookie paths put back under it. The local
// service learns who calls from the header Kith-Peer: the short name of the
// host, or its ID, as the overlay verified it.
//
// # Copies
//
// Sites survive the sleep of their hosts. Every published folder, unless its
// owner does not want that, it is too large, or something else stands in front of a
// part of it, is also an entry of the group's
// library (kith.EntrySite) under its path on the site; shares keeps the
// library in step with what is published. What is in it is what the site
// serves: no hidden files but /.well-known (RFC 8615), and what links lead to
// inside the folder. Members whose browser opens a site
// take its entries as copies (kith.Copies), within the quota of their swarm,
// which follows newer versions. While the host sleeps, their gateways answer
// from the newest version that is complete there, or else fetch what is asked
// for from members that have it. What a host takes off its site goes from its
// members' disks, too; exposed ports and the sample page have no copies.
//
// A copy is served by package static like a folder. It says that it is one by
// the fields Kith-Copy (the host, when the version was published, and its
// number) and Age (RFC 9111 5.1), and in documents that a person opens by a
// sentence at the foot of the window: see markStyle, which adds no element to
// the body and which the page's Content-Security-Policy does not stop.
// Documents that programs and scripts fetch stay as they are.
//
// # How it works
//
// The store is the truth (tables web_sites, web_exposed, web_settings). A
// [board] keeps what is in them in memory as an immutable list of places,
// exchanged as a whole with each change, so that requests take no lock.
// Changes come one at a time, through the API, from the command line and from
// the screens alike.
//
// Requests are HTTP/1.1 (RFC 9112), bounded in header size and time; open
// connections are bounded in number, in all and for each member. Cookies,
// redirects and origins are made fit for browsers by the gateway on the
// reader's host, not here.
package web
