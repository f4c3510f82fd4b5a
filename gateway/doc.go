// Package gateway is where unmodified programs on this host enter the overlay:
// a web gateway for browsers and a proxy for everything else, each on one
// loopback listener. A [Gateway] is the type to look at.
//
// # Web gateway
//
// http://localhost:8080/ is the dashboard. http://maple--home.localhost:8080/
// is the site of maple in the group home: browsers resolve every *.localhost
// name to this computer by themselves (RFC 6761 6.3), and as public suffix
// rules make each name directly below localhost a site of its own, cookies
// and SameSite keep members' sites apart, which maple.home.localhost would not.
// http://<ID>.localhost:8080/ reaches a bare key. Requests are passed to port
// 80 of the member with "Host: maple.home.kith.alt"; redirects come back as
// links to the gateway. Any other Host is answered 421 (RFC 9110 15.5.20),
// which is also the answer to DNS rebinding.
//
// # Proxy
//
// One port speaks SOCKS 5, HTTP CONNECT and absolute-form requests, told apart
// by the first byte. It knows *.kith.alt, short names and IDs; IP addresses in
// any spelling, localhost and the rest of the Internet are refused. What goes
// to port 80 through a tunnel is read as HTTP and treated like absolute-form
// requests, so that a browser cannot go around the checks below with a
// WebSocket, which it sends through CONNECT. Tunnels to other ports are opaque:
// what serves there has to look after its own requests.
//
// SOCKS carries datagrams, too (UDP ASSOCIATE), to and from the same names. An
// association relays them between one address of its client, on loopback, and
// the members to which the client has sent something.
//
// Pages that a browser opens through the proxy are redirected to the gateway,
// where it tells more about its requests. /proxy.pac configures browsers.
//
// # Copies
//
// Where a member's site cannot be reached, or the member seems to sleep and
// takes its time, GET and HEAD requests are answered by Config.Copies, which
// marks what it answers; all else gets the page of the failure, which says
// that there is a copy. The parts of a page do not each wait for the same host
// again. That holds for absolute-form requests to the proxy as well; tunnels
// are not opened to a host that sleeps. Copies also learns which sites a
// browser here has opened. The rules for cross-site requests and cookies come
// before: a copy is reached as its site is, and gets no cookies.
//
// # Cross-site requests
//
// A page anywhere on the Internet, or on another member's site, can make this
// computer's browser send requests here. Only top-level GET navigations get
// through: a link can be followed, nothing can be embedded, framed, fetched,
// posted or opened as a WebSocket. [crossSite] decides, by Fetch metadata
// (where "same-site" counts as foreign: ports do not separate sites) and by
// Origin. Programs that send neither, such as curl, pass. A browser that sends
// no Fetch metadata (Safari before 16.4) is protected by Origin alone. The
// dashboard refuses to be framed by its own Content-Security-Policy.
//
// Ports do not separate cookies either: a cookie of the dashboard's host
// reaches whatever else listens on localhost. Cookies whose name starts with
// "kith_" are the dashboard's; they are never passed to a site or accepted
// from one, and sites' cookies lose their Domain attribute.
//
// # Who may connect
//
// Package loopback keeps out other users of this computer unless Config.Shared
// is set. Connections that the gateway opens are marked as a local program's by
// the Dial that it is given.
//
// # Limits
//
// Header sections, their arrival, idle connections, negotiation, dials and the
// number of connections are bounded by the constants in gateway.go, those of
// datagrams in associate.go; bodies are streamed through pooled buffers. A
// Gateway opens nothing before Serve, which owns all goroutines. There is no
// lock but those of net/http.
//
// The rules followed are RFC 9110 and RFC 9112 (HTTP), RFC 6265 (cookies),
// RFC 6454 (origins), RFC 6761 (localhost), RFC 9209 (Proxy-Status, by which
// programs know the gateway's own errors) and, in package socks, RFC 1928.
package gateway
