package control

import (
	"net"
	"time"

	"kith.alt/kith"
)

// What crosses the socket, in version 1: POST /v1/<method> with a JSON object,
// answered with JSON. Fields may be added; unknown ones are ignored.
const (
	prefix   = "/v1/"
	protocol = "kith-socket" // in Upgrade: raw bytes follow
	header   = "Kith-Socket" // the JSON of an endpoint, in the answer to an upgrade

	maxResponse = 16 << 20 // bytes of an answer that a client reads
	maxHeader   = 16 << 10
	patience    = 10 * time.Second // for a header, a body, or an upgrade's last step
	fetchTime   = 10 * time.Second // an accepted socket waits so long to be fetched
	stallTime   = time.Minute      // nobody reads a stream for so long: it ends
	backlog     = 128              // accepted sockets of a listener that nobody fetched or took yet

	brokenTime = time.Minute // how long the reason of a broken socket is kept
	maxBroken  = 4096        // reasons kept
)

type hostRequest struct {
	Host  string `json:"host"`
	Admin bool   `json:"admin,omitempty"`
}

type joinRequest struct {
	Ticket string `json:"ticket"`
}

type accountRequest struct {
	Account     string `json:"account"`
	Label       string `json:"label,omitempty"`
	AppPassword string `json:"app_password,omitempty"` // its ID
	Password    string `json:"password,omitempty"`
}

type openRequest struct {
	App string `json:"app"`
	To  string `json:"to"`
}

type linkAnswer struct {
	Link string `json:"link"`
}

type addressRequest struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

func (a addressRequest) address() kith.Address { return kith.Address{Host: a.Host, Port: a.Port} }

// tokenRequest fetches an accepted socket, or asks how a socket ended; it is
// also the line that announces an accepted one to the program that listens.
type tokenRequest struct {
	Token string `json:"token"`
}

// An endpoint describes the socket behind an upgraded connection.
type endpoint struct {
	Local  string     `json:"local"`
	Remote string     `json:"remote,omitempty"`
	Peer   *kith.Peer `json:"peer,omitempty"`  // nil: the network verified nobody
	Token  string     `json:"token,omitempty"` // asks how the socket ended
}

func endpointOf(conn net.Conn) endpoint {
	e := endpoint{Local: addressText(conn.LocalAddr()), Remote: addressText(conn.RemoteAddr())}
	if peer, ok := kith.PeerOf(conn); ok {
		e.Peer = &peer
	}
	return e
}

func addressText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// parseAddr makes an address of what addressText wrote. What is not HOST:PORT
// stays as the text of the host.
func parseAddr(text string) kith.Address {
	if address, err := kith.ParseAddress(text); err == nil {
		return address
	}
	return kith.Address{Host: text}
}
