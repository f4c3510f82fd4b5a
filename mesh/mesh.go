package mesh

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/network/underlay"
)

// SyncPort is the overlay port on which members bring each other's roster and
// address records up to date. It is the node's own.
const SyncPort = 1

// Config is what a mesh is handed. Its functions are called concurrently and
// never while the mesh holds a lock.
type Config struct {
	ID kith.ID // this host

	// Group returns the group that this host is in, and a context that ends when
	// it is in another.
	Group func() (*group.Group, context.Context)

	Overlay  *overlay.Overlay
	Internet underlay.Internet // nil: underlay.System()

	// OverlayHost is the one address that the overlay binds, "" for all of this
	// computer's.
	OverlayHost string

	// Port returns the port that the overlay listens on, 0 while it does not.
	Port func() uint16

	Discover bool // by multicast, on the networks that this computer is on

	// Event tells this computer's owner, in plain words, what happened.
	Event func(format string, args ...any)

	Log     *slog.Logger  // nil discards
	Metrics *kith.Metrics // nil counts nowhere
}

// A Mesh keeps this host connected with its group. It is safe for concurrent
// use.
type Mesh struct {
	cfg  Config
	log  *slog.Logger
	wake chan struct{} // of capacity 1

	mu       sync.Mutex
	group    *group.Group // that the meetings are in
	meetings map[kith.ID]*meeting
	places   map[kith.ID]place
}

// New returns a mesh that holds nothing open.
func New(config Config) *Mesh {
	if config.Internet == nil {
		config.Internet = underlay.System()
	}
	if config.Event == nil {
		config.Event = func(string, ...any) {}
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Metrics == nil {
		config.Metrics = new(kith.Metrics)
	}
	return &Mesh{
		cfg:      config,
		log:      config.Log,
		wake:     make(chan struct{}, 1),
		meetings: make(map[kith.ID]*meeting),
		places:   make(map[kith.ID]place),
	}
}

// Serve keeps this host connected until ctx ends, then returns nil. It fails
// when somebody else listens on SyncPort. The overlay is served meanwhile.
func (m *Mesh) Serve(ctx context.Context) error {
	ln, err := m.cfg.Overlay.Listen(ctx, kith.Address{Port: SyncPort})
	if err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer ln.Close()
	work.Go(func() { m.answer(ctx, ln, &work) })
	work.Go(func() { m.watchGroup(ctx) })
	if m.cfg.Discover {
		work.Go(func() { m.discover(ctx) })
	}

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C:
		}
		m.tellAddresses(ctx)
		timer.Reset(min(m.reconcile(ctx, &work), lookAround))
	}
}

// Wake has the mesh look at how things are: a carrier came or went, the port
// opened, this host is in another group. It does not wait.
func (m *Mesh) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// watchGroup wakes the mesh when the roster changes, in one group after the
// other.
func (m *Mesh) watchGroup(ctx context.Context) {
	for ctx.Err() == nil {
		g, membership := m.cfg.Group()
		m.Wake()
		watching, cancel := during(ctx, membership)
		for range g.Watch(watching) {
			m.Wake()
		}
		cancel()
	}
}

// during returns a context that ends with ctx or with the membership.
func during(ctx, membership context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(membership, cancel)
	return ctx, func() { stop(); cancel() }
}

// currentGroup returns the group that this host is in now.
func (m *Mesh) currentGroup() *group.Group {
	g, _ := m.cfg.Group()
	return g
}

// A Presence is what this host knows of another member being there.
type Presence struct {
	Online  bool
	Seen    time.Time // when it was last online; zero: not since this host started
	Refusal string    // what it said when it would not have this host, or ""

	// Of the carrier to it, if there is one.
	Carrier        string
	Address        netip.AddrPort
	LAN            bool          // it is on a network that this host is on, too
	RTT            time.Duration // 0 until measured
	Since          time.Time
	Sent, Received uint64
}

// Presences returns what is known of the other members. One that it does not
// have joined this moment.
func (m *Mesh) Presences() map[kith.ID]Presence {
	own := m.cfg.Internet.Interfaces()
	peers := m.peers()
	m.mu.Lock()
	defer m.mu.Unlock()
	presences := make(map[kith.ID]Presence, len(m.meetings))
	for id, met := range m.meetings {
		p := Presence{Seen: met.seen, Refusal: met.refusal}
		if peer, ok := peers[id]; ok {
			p.Online, p.Seen = true, time.Now()
			p.Carrier, p.Address, p.LAN = peer.Carrier, peer.Address, near(peer.Address.Addr(), own)
			p.RTT, p.Since, p.Sent, p.Received = peer.RTT, peer.Since, peer.Sent, peer.Received
		}
		presences[id] = p
	}
	return presences
}

// peers are the hosts that have a carrier to this one now.
func (m *Mesh) peers() map[kith.ID]overlay.PeerInfo {
	peers := make(map[kith.ID]overlay.PeerInfo)
	for _, p := range m.cfg.Overlay.Peers() {
		peers[p.ID] = p
	}
	return peers
}
