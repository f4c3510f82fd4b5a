package kith

import (
	"context"
	"crypto/tls"
	"database/sql"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
)

// An App is an application as a value: web, news, chat. The list of them in
// package app/all is the set that a node runs; adding one is a folder and a
// line.
type App struct {
	Name  string // "web": its folder, its API prefix, its table prefix, its verb
	Title string // "Web", as people see it

	Ports      []Port    // where it wants to be reached
	Migrations fs.FS     // NNNN_name.sql for its tables, nil for none
	Commands   []Command // verbs of the command line; they speak to API only

	// New makes the application on a host. It opens nothing.
	New func(Host) (Service, error)
}

// A Port is one protocol that an application serves.
type Port struct {
	Protocol string // "http", as Host.Listen and people name it
	Overlay  uint16 // the IANA number, for other members; 0: not on the overlay
	Local    int    // offset from the port base on loopback; LocalNone: not there
	NodeOnly bool   // refuse local programs of other hosts: a service between nodes

	// Outside lets the owner open the port to client programs of other computers, which are no
	// members: it is for those that sign in, over TLS from the first byte.
	Outside bool
}

// LocalNone as a Port's Local: programs on this host reach it by the gateway
// or not at all.
const LocalNone = -1

// A Service is an application running on one host.
type Service struct {
	// Serve does the application's work until ctx ends, then returns nil
	// within a bounded time. Its error restarts it, after a pause, and never
	// touches another application. It may be nil: all work is done in requests.
	Serve func(ctx context.Context) error

	// API is served below /api/<name>/ (the prefix removed) on the control
	// socket, to the user who runs the node. It may be nil.
	API http.Handler

	// Screens are the application's pages in the dashboard.
	Screens []Screen

	// Copies stand in for the sites of hosts that sleep. It may be nil.
	Copies Copies

	// Receive takes a letter within the transaction that marks it as received: what
	// it does to the store happens once, all else at least once. An error of kind
	// Invalid, NotFound, Denied or Expired refuses the letter, with its text as the reason; after
	// any other the letter comes again later. It may be nil: letters are refused.
	Receive func(ctx context.Context, tx *sql.Tx, letter Letter) error

	// Ended learns, in a transaction, that a letter of the application was delivered
	// or will not be. It is called again for one that was delivered after all (Late). An error has it
	// called again later. It may be nil.
	Ended func(ctx context.Context, tx *sql.Tx, letter LetterStatus) error
}

// Copies are what an application keeps of other hosts' sites. The gateway shows
// them while those hosts sleep. It is safe for concurrent use.
type Copies interface {
	// Visited tells that a browser on this host has opened a page of a host's
	// site. It does not wait for anything.
	Visited(host ID)

	// Copy returns what answers GET and HEAD requests for a path of a host's
	// site in its place, and marks its answers as a copy with its age; nil if there is
	// nothing. It also tells whether the host seems to be awake all the same.
	Copy(host ID, path string) (copy http.Handler, awake bool)
}

// A Screen is a page, or a tree of pages, of the dashboard. Requests reach its
// handler after the session and cross-site checks, the path reduced to what
// follows the application's own prefix, "/<app name>". Handlers write pages
// with package ui.
type Screen struct {
	Path    string // "/" or "/sites/", below the application's prefix
	Title   string // in the rail; "" for pages that are not in it
	Icon    string // a name that package ui draws
	Handler http.Handler

	// Unseen counts what an account has not seen yet, which the rail tells on every page: it is asked
	// for each. It may be nil.
	Unseen func(ctx context.Context, account string) (int, error)
}

// A Host is what an application knows of the node it runs in. It is safe for
// concurrent use.
type Host interface {
	ID() ID
	Name() Name // may change: ask each time

	// Link is where a browser on this host reads path of this host's site.
	Link(path string) string

	// PrivateDir reports whether dir holds the node's own data, or is part of
	// it; PrivatePort, whether the node itself listens on the loopback port.
	// Neither is ever shown to members.
	PrivateDir(dir string) bool
	PrivatePort(port uint16) bool

	// Dial opens a socket to a process: of a member by name or ID, of this host
	// by path, of any other computer by IP address.
	Dial(ctx context.Context, address Address) (net.Conn, error)

	// Listen returns the listener of one of the application's declared ports,
	// by its protocol: the overlay's and the loopback one's connections
	// together. PeerOf tells who calls.
	Listen(ctx context.Context, protocol string) (net.Listener, error)

	// ListenPort takes an overlay port for the application, as a person asked
	// it to: from FirstProgramPort up, but for ChatPort.
	ListenPort(ctx context.Context, port uint16) (net.Listener, error)

	// TLS returns a configuration for a listener of client programs: with the
	// certificate of this host's own authority, and without protocols (ALPN). The
	// caller may change it.
	TLS() *tls.Config

	Accounts() Accounts // who may sign in to this host
	Swarm() Swarm       // shares content with the other members
	Blobs() Blobs       // keeps what is too large for a table
	Post() Post         // leaves letters for the application on other hosts
	Members() []Member  // sorted by name, this host included

	// SetNames tells members the names beside those of accounts that the application
	// answers to, valid labels, in the place of those told before; where there are many, the first ones.
	SetNames(ctx context.Context, names []string) error

	// Resolve returns the host that a name means: a short or a full one, one that it
	// had before, an ID, or <ID>.kith.alt. It fails with kind NotFound or NotMember, and with Invalid for what is
	// no name of kith.
	Resolve(name string) (ID, error)

	Store() Store

	// Restores is how often this host came back from a backup: numbers that were
	// given out since that was made may be given out again.
	Restores() int

	Log() *slog.Logger // "app" is set
	Metrics() *Metrics
	Event(text string) // tells the owner, in plain words, in the dashboard
}

// A Member is a host of the group as this host sees it now.
type Member struct {
	ID       ID
	Host     string // its short name
	Online   bool
	Admin    bool
	Accounts []string // names of its people, as it says
	Names    []string // others that they are reached by, of lists too
	More     bool     // it has names that do not fit here
}
