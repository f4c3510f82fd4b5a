package control

import "time"

// Reach is how hosts on other networks come to this one.
type Reach struct {
	// Open tells that they can dial this host: its owner said so, its router
	// passes on what comes, or it has been seen. By says which: "public", "mapped"
	// or "reached".
	Open bool   `json:"open"`
	By   string `json:"by,omitempty"`

	NAT       string    `json:"nat"`       // see NATOpen; "": not known
	Addresses []string  `json:"addresses"` // where it may be dialled, those good for everybody first
	Outside   []string  `json:"outside"`   // where members on other networks see its UDP port
	Mappings  []Mapping `json:"mappings"`
	Unmapped  string    `json:"unmapped,omitempty"` // why the router maps nothing
	Relays    []string  `json:"relays"`             // short names of members that keep a carrier to it for others

	// What its owner chose.
	Public      []string `json:"public"`
	PortMapping bool     `json:"port_mapping"`
	Introduce   bool     `json:"introduce"` // through the BitTorrent DHT
}

// What the router before a host does with UDP.
const (
	NATOpen      = "open"      // there is none, or it lets others in unasked
	NATCone      = "cone"      // it shows all peers the same address: it can be passed by arrangement
	NATSymmetric = "symmetric" // it shows each peer another address
	NATBlocked   = "blocked"   // it lets none out
)

// Reasons why a Reach is open.
const (
	ByPublic  = "public"  // its owner named an address
	ByMapping = "mapped"  // the router passes on what comes
	ByVisit   = "reached" // somebody came unasked
)

// A Mapping is an outside port that the router passes on to the overlay's.
type Mapping struct {
	Protocol string `json:"protocol"` // "udp" or "tcp"
	Address  string `json:"address"`
	By       string `json:"by"` // "pcp", "nat-pmp" or "upnp"
}

// RelayLimits bound what this host relays for other members, both directions
// together. Zero values are the defaults.
type RelayLimits struct {
	Off            bool  `json:"off"`
	BytesPerSecond int64 `json:"bytes_per_second"`
	BytesPerDay    int64 `json:"bytes_per_day"` // since midnight UTC
	Streams        int   `json:"streams"`       // at once
}

// Relaying is what this host relays for other members.
type Relaying struct {
	Limits  RelayLimits `json:"limits"` // with the defaults filled in
	Streams int         `json:"streams"`
	Today   int64       `json:"bytes_today"` // since midnight UTC
}

// Settings are what its owner may change of a node that runs. What is nil stays
// as it is.
type Settings struct {
	Public      *[]string    `json:"public,omitempty"` // IP or IP:PORT where a router passes on what comes for the overlay's port
	Introduce   *bool        `json:"introduce,omitempty"`
	PortMapping *bool        `json:"port_mapping,omitempty"`
	Relay       *RelayLimits `json:"relay,omitempty"`
}

// A Ping is a round trip to a member through the overlay, and the path it took.
type Ping struct {
	Host    string  `json:"host"`
	RTT     float64 `json:"rtt_ms"`
	Path    string  `json:"path"`
	Via     string  `json:"via"`
	Carrier string  `json:"carrier"`
	Address string  `json:"address"` // the carrier's far address, or ""
}

// A Trace is the path to a member, hop by hop.
type Trace struct {
	Host    string    `json:"host"`
	Path    string    `json:"path"`
	Carrier string    `json:"carrier"`
	Since   time.Time `json:"since,omitzero"`
	Why     string    `json:"why,omitempty"` // this path since then
	Hops    []Hop     `json:"hops"`          // this host, the relay if there is one, the member
	Error   string    `json:"error,omitempty"`
	Tried   []Try     `json:"tried"` // other ways, and why they are not used
}

// A Hop is a host on a path.
type Hop struct {
	Host    string   `json:"host"`
	Address string   `json:"address,omitempty"` // where the path meets it; of this host: one of its own
	Outside []string `json:"outside,omitempty"` // where others see it
	NAT     string   `json:"nat,omitempty"`
	RTT     float64  `json:"rtt_ms"` // from this host; 0: did not answer
}

// A Try is a way to a member that is not used.
type Try struct {
	Way string `json:"way"` // "quic 203.0.113.7:4747", "through elm"
	Why string `json:"why"` // it is not
}
