package overlay

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/underlay"
)

// Config is what an overlay is handed. Its functions are called concurrently
// and never while the overlay holds a lock.
type Config struct {
	Key ed25519.PrivateKey // this host's; required

	// Admit decides whether a peer may be connected: nil, or an error of kind
	// NotMember whose text the peer is told. proof is what the peer brought.
	// It is asked in every handshake, by both sides, and without a proof
	// before we dial and when a carrier goes into service.
	Admit func(peer kith.ID, proof []byte) error

	// Proof returns the signed entries that admit this host, at most 16 KiB,
	// for peers that do not know them yet. It may be nil.
	Proof func() []byte

	// JoinOpen reports whether an invitation is open; while it is false,
	// nobody can even begin to join. Join answers the one request of somebody
	// whom no group has admitted; exporter is a secret of this
	// one connection (RFC 8446 7.5), so that a proof made with it is worthless
	// elsewhere. Requests and replies have at most 4 KiB. Both nil: nobody joins here.
	JoinOpen func() bool
	Join     func(ctx context.Context, peer kith.ID, exporter, request []byte) (reply []byte, err error)

	// Internet is what the carriers ride on; nil is the operating system's.
	Internet underlay.Internet

	// Addresses returns where the peer may be, the best first. NAT returns what
	// the peer's own Reach says of its router, and Relays members that keep a
	// carrier to it. Candidates returns where this host may be dialled by UDP,
	// which those are told that are to dial it. The last three may be nil.
	Addresses  func(peer kith.ID) []netip.AddrPort
	NAT        func(peer kith.ID) string
	Relays     func(peer kith.ID) []kith.ID
	Candidates func() []netip.AddrPort

	// Digest is a short form of what this host knows of the group. Where both
	// sides' differ, a new carrier serves SyncPort alone until Level is called.
	// Nil: all ports at once.
	Digest   func() [32]byte
	SyncPort uint16

	RelayLimits RelayLimits // of what this host relays for others

	// OnReach is told when Reach may have changed. It must not wait for the
	// overlay. It may be nil.
	OnReach func()

	// NodePorts refuse sockets that local programs opened.
	NodePorts []uint16

	// OnPeer is told when the first carrier to a peer is up and when the last
	// has ended, in turn. It must not wait for the overlay. It may be nil.
	OnPeer func(peer kith.ID, up bool)

	// SuspendFor is how long a socket waits for a path before it ends with
	// kind Unreachable; 0 is 24 hours. The shorter one of both sides' counts.
	SuspendFor time.Duration

	Carriers []string // which ones, by preference; nil is "tls" and "quic", in the order that suits the address

	Log     *slog.Logger  // nil discards
	Metrics *kith.Metrics // nil counts nowhere
}

// An Overlay is the network of hosts by key. It is safe for concurrent use.
type Overlay struct {
	cfg         Config
	id          kith.ID
	instance    instance
	log         *slog.Logger
	certificate func() (tls.Certificate, error)
	acceptor    func() (*tls.Config, error)
	metrics     metrics

	ctx       context.Context // ends when Serve does
	cancel    context.CancelFunc
	gate      *gate
	joins     *joinLimit
	relaying  *relaying
	contacts  *contacts
	datagrams *datagrams

	telling sync.Mutex // held while OnPeer runs; taken before mu

	mu       sync.Mutex
	stopped  bool
	tasks    sync.WaitGroup // grows only while !stopped
	peers    map[kith.ID]*peer
	self     *link // our end of the carrier to ourselves, nil until needed
	links    map[*link]struct{}
	sockets  map[socketKey]*socket
	budgets  map[kith.ID]*budget       // of peers with sockets
	revivals map[kith.ID]chan struct{} // who seeks a path for sockets; a message ends its pause
	moved    time.Time                 // when this host did last
	ports    map[uint16]*listener      // of sockets; datagrams has its own
	reached  reached
	told     Reach // what OnReach heard last
	door     *door // the UDP and TCP port, nil while shut
}

// New returns an overlay that holds nothing open yet.
func New(config Config) *Overlay {
	if config.Internet == nil {
		config.Internet = underlay.System()
	}
	if config.SuspendFor == 0 {
		config.SuspendFor = suspendFor
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Metrics == nil {
		config.Metrics = new(kith.Metrics)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := &Overlay{
		cfg:         config,
		id:          kith.IDOf(config.Key.Public().(ed25519.PublicKey)),
		log:         config.Log,
		certificate: sync.OnceValues(func() (tls.Certificate, error) { return newCertificate(config.Key) }),
		ctx:         ctx,
		cancel:      cancel,
		gate:        newGate(),
		joins:       newJoinLimit(),
		relaying:    newRelaying(config.RelayLimits),
		contacts:    newContacts(),
		datagrams:   newDatagrams(config.Metrics),
		peers:       make(map[kith.ID]*peer),
		links:       make(map[*link]struct{}),
		sockets:     make(map[socketKey]*socket),
		budgets:     make(map[kith.ID]*budget),
		revivals:    make(map[kith.ID]chan struct{}),
		ports:       make(map[uint16]*listener),
	}
	rand.Read(o.instance[:])
	o.acceptor = sync.OnceValues(o.acceptorConfig)
	o.metrics = newMetrics(o, config.Metrics)
	return o
}

// drainPatience is how long Serve waits for the peers to have what was
// written before it ends the carriers.
const drainPatience = time.Second

// Serve runs the overlay until ctx ends. Then it ends all listeners, lets
// what was written reach the peers, for a second at most, ends everything else
// and returns nil. It is called once.
func (o *Overlay) Serve(ctx context.Context) error {
	<-ctx.Done()

	o.mu.Lock()
	o.stopped = true
	door := o.door
	o.door = nil
	listeners := make([]*listener, 0, len(o.ports))
	for _, l := range o.ports {
		listeners = append(listeners, l)
	}
	links := make([]*link, 0, len(o.links))
	for l := range o.links {
		links = append(links, l)
	}
	o.mu.Unlock()

	for _, l := range listeners {
		l.Close()
	}
	if door != nil {
		door.stopAccepting()
	}
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainPatience)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range links {
		wg.Go(func() {
			l.drain(drained)
			l.finish(errStopped)
		})
	}
	wg.Wait()
	for _, s := range o.socketsOf(nil) {
		s.abort(errStopped)
	}
	o.cancel()
	if door != nil {
		door.close()
	}
	o.tasks.Wait()
	return nil
}

var errStopped error = &net.OpError{Op: "serve", Net: "kith", Err: net.ErrClosed}

// spawn runs task until it returns; Serve waits for it. It reports false,
// without running it, when the overlay has stopped.
func (o *Overlay) spawn(task func()) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stopped {
		return false
	}
	o.tasks.Go(task)
	return true
}

// A PeerInfo is what can be seen of a peer with a carrier.
type PeerInfo struct {
	ID             kith.ID
	Carrier        string         // "tls" or "quic"
	Path           string         // "lan", "direct" or "relayed"
	Via            kith.ID        // the relay, or zero
	Address        netip.AddrPort // invalid through a relay
	RTT            time.Duration  // 0 until measured
	Since          time.Time      // of this carrier
	Why            string         // it took the place of the one before
	Heard          time.Time      // when something came from the peer, as far as calls of Peers saw; 25 s ago at most if it is healthy
	Dialled        bool           // by us
	Sent, Received uint64
}

// Peers returns the peers that have a carrier, sorted by ID.
func (o *Overlay) Peers() []PeerInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]PeerInfo, 0, len(o.peers))
	for id, p := range o.peers {
		if l := p.current; l != nil {
			list = append(list, PeerInfo{
				ID: id, Carrier: l.kind(), Path: l.path(), Via: l.via, Address: l.remote(), RTT: l.rtt(),
				Since: l.since, Why: l.why, Heard: l.lastHeard(), Dialled: l.dialled,
				Sent: l.sent.Load(), Received: l.received.Load(),
			})
		}
	}
	slices.SortFunc(list, func(a, b PeerInfo) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return list
}

// A SocketInfo is what can be seen of an open socket.
type SocketInfo struct {
	Peer           kith.ID
	Port           uint16 // at the acceptor
	Inbound        bool   // the peer dialled
	Program        bool   // a local program opened it, not the node of the dialler
	Opened         time.Time
	Suspended      time.Time // since when it has no path; zero while it has one
	Sent, Received uint64
}

// Sockets returns the open sockets, oldest first.
func (o *Overlay) Sockets() []SocketInfo {
	var list []SocketInfo
	for _, s := range o.socketsOf(nil) {
		if s.end.Load() != nil {
			continue // closed, and on the way to the peer
		}
		list = append(list, SocketInfo{
			Peer: s.peer.ID, Port: s.port, Inbound: s.inbound, Program: s.program, Opened: s.opened,
			Suspended: s.suspendedSince(), Sent: s.sent.Load(), Received: s.received.Load(),
		})
	}
	slices.SortFunc(list, func(a, b SocketInfo) int { return a.Opened.Compare(b.Opened) })
	return list
}

// metrics are the overlay's counters.
type metrics struct {
	turnedAway *kith.Counter // connections refused before or in the handshake
	joined     *kith.Counter // join exchanges
	sent       *kith.Counter // bytes of all sockets
	received   *kith.Counter
}

func newMetrics(o *Overlay, m *kith.Metrics) metrics {
	m.Gauge("kith_overlay_peers", "Peers with a carrier.", func() float64 { return float64(len(o.Peers())) })
	m.Gauge("kith_overlay_sockets", "Open overlay sockets.", func() float64 {
		return float64(len(o.Sockets()))
	})
	const bytesHelp = "Bytes of overlay sockets."
	return metrics{
		turnedAway: m.Counter("kith_overlay_turned_away_total", "Connections that were not admitted."),
		joined:     m.Counter("kith_overlay_joins_total", "Join requests answered."),
		sent:       m.Counter("kith_overlay_bytes_total", bytesHelp, "direction", "sent"),
		received:   m.Counter("kith_overlay_bytes_total", bytesHelp, "direction", "received"),
	}
}
