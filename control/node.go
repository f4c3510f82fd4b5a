package control

import (
	"context"
	"time"

	"kith.alt/kith"
)

// Node is what can be asked of a running node. It is safe for concurrent use.
// The hosts that arguments name are short names, full names or IDs.
//
// Its sockets are for local programs: they carry kith.Peer.Program at the far
// end, and those that listen take overlay ports from kith.FirstProgramPort up,
// but for kith.ChatPort.
type Node interface {
	kith.Network
	kith.PacketNetwork

	Status(ctx context.Context) (Status, error)
	Doctor(ctx context.Context) ([]Finding, error)
	Events(ctx context.Context) ([]Event, error)   // newest first, at most 200
	Sockets(ctx context.Context) ([]Socket, error) // open ones, oldest first

	Ping(ctx context.Context, host string) (Ping, error)
	Trace(ctx context.Context, host string) (Trace, error)        // tries the ways that are not used, too: takes some seconds
	Diagnose(ctx context.Context, host string) ([]Finding, error) // what leads to a member, step by step; tries as Trace does
	Configure(ctx context.Context, settings Settings) error       // for this run and the next ones

	Stop(ctx context.Context) error // returns once stopping has begun

	Invite(ctx context.Context, request InviteRequest) (Invitation, error)
	Join(ctx context.Context, ticket string) error // returns when admitted
	Revoke(ctx context.Context, host string) error
	SetAdmin(ctx context.Context, host string, admin bool) error
	Trust(ctx context.Context, host string) error // its name, which meant another key here before, means its key from now on
	Leave(ctx context.Context) error              // back to a group of one, with key, accounts and sites
	Rename(ctx context.Context, request RenameRequest) error

	Accounts(ctx context.Context) ([]Account, error)
	AddAccount(ctx context.Context, name string) error
	AddAppPassword(ctx context.Context, account, label string) (AppPassword, error)
	RemoveAppPassword(ctx context.Context, account, id string) error
	SetPassword(ctx context.Context, account, password string) error // for the dashboard; "" removes it
	SignInLink(ctx context.Context, account string) (string, error)  // opens the dashboard once, within 10 minutes; "" is the first account

	// Open lets client programs of other computers reach an application: to those on the local
	// networks (kith.OpenLAN), to all (kith.OpenAny), or at one address of this computer; "" is nobody. For
	// this run and the next ones.
	Open(ctx context.Context, app, to string) error

	Certificate(ctx context.Context) (Certificate, error)
	Backup(ctx context.Context) (Backup, error) // until ctx ends
}

// Status is a node at a glance. It is the JSON that "kith status --json"
// prints: fields may be added, never renamed.
type Status struct {
	ID        kith.ID    `json:"id"`
	Host      string     `json:"host"`  // short name
	Group     string     `json:"group"` // group's name
	Name      string     `json:"name"`  // full name
	Listeners []Listener `json:"listeners"`
	Members   []Member   `json:"members"` // this host first, then by name
	Sockets   int        `json:"sockets"` // open overlay sockets

	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Data      string    `json:"data"`      // the data directory
	Dashboard string    `json:"dashboard"` // http://localhost:8080/
	Site      string    `json:"site"`      // this host's site in a browser on this host
	Reach     Reach     `json:"reach"`

	Suspended      int       `json:"suspended"`                // of the sockets: those without a path at present
	SuspendedSince time.Time `json:"suspended_since,omitzero"` // the one that has waited longest
	Relaying       Relaying  `json:"relaying"`

	Doors []Door `json:"doors,omitempty"` // of applications that can be opened
}

// A Listener is a place where the node accepts connections.
type Listener struct {
	App      string `json:"app"`
	Protocol string `json:"protocol"`
	Address  string `json:"address"` // "127.0.0.1:8080", "[::]:4747", "overlay:80"
	Error    string `json:"error,omitempty"`
}

// A Door is open or closed to client programs of other computers.
type Door struct {
	App       string   `json:"app"`
	Open      string   `json:"open"`                // as [Node].Open has it
	Name      string   `json:"name,omitempty"`      // that those on the local networks know this host by
	Addresses []string `json:"addresses,omitempty"` // of this computer, at which they are let in now
	Problems  []string `json:"problems,omitempty"`  // why not elsewhere, in sentences
}

// What the node itself listens for, as a Listener names it; the other names are
// those of applications and their ports.
const (
	AppGateway = "gateway"
	AppOverlay = "overlay"

	ProtocolHTTP  = "http"  // the gateway's dashboard and web gateway
	ProtocolProxy = "proxy" // the gateway's SOCKS5 and HTTP proxy
)

// States of a member, and the paths to it.
const (
	Online  = "online"
	Offline = "offline"
	Revoked = "revoked"

	PathSelf    = "self"
	PathLAN     = "lan"
	PathDirect  = "direct"
	PathRelayed = "relayed"
	PathNone    = "none"
)

// A Member is a host of the group as this node sees it.
type Member struct {
	Host    string  `json:"host"`
	ID      kith.ID `json:"id"`
	State   string  `json:"state"`
	Path    string  `json:"path"`
	Via     string  `json:"via"`     // the relaying member, or ""
	Carrier string  `json:"carrier"` // "quic", "tls", or ""
	RTT     float64 `json:"rtt_ms"`

	Admin    bool      `json:"admin"`
	Moved    bool      `json:"moved"`              // its name meant another key here before, and is not used until Trust
	Site     string    `json:"site"`               // where a browser on this host reads its site
	LastSeen time.Time `json:"last_seen,omitzero"` // zero: never
	Address  string    `json:"address"`            // the carrier's far address, or ""
	Sent     uint64    `json:"bytes_sent"`
	Received uint64    `json:"bytes_received"`

	Since time.Time `json:"since,omitzero"` // of the carrier
	Why   string    `json:"why"`            // it took the place of the one before
	NAT   string    `json:"nat"`            // what the member's router does: see NATOpen; "": not known
}

// A Socket is an open overlay socket.
type Socket struct {
	Peer     string    `json:"peer"` // the far host's short name
	Port     uint16    `json:"port"`
	Inbound  bool      `json:"inbound"`
	By       string    `json:"by"` // "web", "members", "program"
	Opened   time.Time `json:"opened"`
	Sent     uint64    `json:"bytes_sent"`
	Received uint64    `json:"bytes_received"`

	Suspended time.Time `json:"suspended,omitzero"` // since when it has no path; zero while it has one
}

// An Event is something that happened, in a neighbour's words.
type Event struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Levels of a Finding.
const (
	Good    = "good"
	Notice  = "notice"
	Problem = "problem"
)

// A Finding is what the doctor says about one thing.
type Finding struct {
	Level  string `json:"level"`
	What   string `json:"what"`
	Cause  string `json:"cause,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// InviteRequest asks for a ticket. Zero values mean one use, 24 hours and an
// admin.
type InviteRequest struct {
	Uses    int           `json:"uses"`
	Expires time.Duration `json:"expires"`
	Role    string        `json:"role"` // "admin" or "member"

	// Introduce has the newcomer and this host meet through the BitTorrent DHT
	// where they cannot reach each other otherwise.
	Introduce bool `json:"introduce,omitempty"`
}

// An Invitation is a ticket to hand to the person who is invited.
type Invitation struct {
	Ticket  string    `json:"ticket"`
	Uses    int       `json:"uses"`
	Expires time.Time `json:"expires"`
	Role    string    `json:"role"`

	Open      bool     `json:"open"`      // who is on another network can dial this host
	Through   []string `json:"through"`   // members that can be dialled from there, and let newcomers through
	Introduce bool     `json:"introduce"` // the newcomer and this host meet through the BitTorrent DHT
}

// RenameRequest renames this host, or the group, or both; "" leaves a name.
type RenameRequest struct {
	Host  string `json:"host"`
	Group string `json:"group"`
}

// An Account is a person on this host.
type Account struct {
	Name         string        `json:"name"`
	Password     bool          `json:"password"` // has one for the dashboard
	AppPasswords []AppPassword `json:"app_passwords"`
}

// An AppPassword is a generated secret for one client program.
type AppPassword struct {
	ID      string    `json:"id"`
	Label   string    `json:"label"`
	Secret  string    `json:"secret,omitempty"` // only when it is made: shown once
	Created time.Time `json:"created"`
}

// A Certificate is that of the host's own certificate authority: who trusts it, for
// this host's names alone, gets no warning about TLS to this host.
type Certificate struct {
	PEM         string    `json:"pem"`
	Fingerprint string    `json:"fingerprint"` // SHA-256
	Title       string    `json:"title"`       // in lists of authorities
	Names       []string  `json:"names"`       // that it may vouch for: DNS names, IP addresses and their ranges
	Expires     time.Time `json:"expires"`
}
