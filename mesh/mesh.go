package mesh

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/group"
	"kith.alt/kith/network/overlay"
	"kith.alt/kith/network/portmap"
	"kith.alt/kith/network/underlay"
)

// SyncPort is the overlay port on which members bring each other's roster and
// address records up to date. It is the node's own.
const SyncPort = 1

// breath is between two looks in a large group.
const breath = 100 * time.Millisecond

// Config is what a mesh is handed. Its functions are called concurrently and
// never while the mesh holds a lock.
type Config struct {
	Key ed25519.PrivateKey // this host's

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

	// Public returns where this host can be dialled from everywhere, as its owner
	// says. Nil: nowhere.
	Public func() []netip.AddrPort

	// MapPort tells whether the router is asked to pass on what comes for the
	// overlay's port. Nil: it is not. Moved has the mesh ask anew.
	MapPort func() bool

	// Introduce tells whether members that cannot be found otherwise are sought
	// through the BitTorrent DHT, which tells strangers that this host takes part
	// in it. Nil: they are not. Bootstrap are the nodes, as HOST:PORT, by which it
	// takes part; nil: those that everybody uses.
	Introduce func() bool
	Bootstrap []string

	// Event tells this computer's owner, in plain words, what happened.
	Event func(format string, args ...any)

	Log     *slog.Logger  // nil discards
	Metrics *kith.Metrics // nil counts nowhere
}

// A Mesh keeps this host connected with its group. It is safe for concurrent
// use.
type Mesh struct {
	cfg  Config
	id   kith.ID
	log  *slog.Logger
	wake chan struct{} // of capacity 1
	maps *portmap.Mapper

	// Of Serve's loop alone.
	ring   ring
	beaten time.Time // when this host's last heartbeat was
	told   told      // what its record says
	port   uint16    // the overlay's, at the last look

	mu        sync.Mutex
	group     *group.Group // that the meetings are in
	meetings  map[kith.ID]*meeting
	places    map[kith.ID]place
	wishes    []wish            // of the last look
	own       group.Whereabouts // this host's, as they are now
	connected time.Time         // since when there has been a carrier, or the host has moved since then; zero: there is none
	probed    time.Time         // when a member was dialled last that is believed asleep
	moved     bool              // the record is to change at once
	prefixes  []netip.Prefix    // of the interfaces, at the last look

	invitations map[[32]byte]time.Time // secrets of tickets by which newcomers are met in the DHT, and until when
	seekNow     chan struct{}          // of capacity 1
}

// New returns a mesh that holds nothing open.
func New(config Config) *Mesh {
	if config.Internet == nil {
		config.Internet = underlay.System()
	}
	if config.Public == nil {
		config.Public = func() []netip.AddrPort { return nil }
	}
	if config.Introduce == nil {
		config.Introduce = func() bool { return false }
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
	m := &Mesh{
		cfg:      config,
		id:       kith.IDOf(config.Key.Public().(ed25519.PublicKey)),
		log:      config.Log,
		wake:     make(chan struct{}, 1),
		meetings: make(map[kith.ID]*meeting),
		places:   make(map[kith.ID]place),

		invitations: make(map[[32]byte]time.Time),
		seekNow:     make(chan struct{}, 1),
	}
	nonce := sha256.Sum256(append([]byte("kith port mapping 1\x00"), config.Key...))
	m.maps = portmap.New(portmap.Config{Port: m.mappedPort, Changed: m.Wake, Nonce: [12]byte(nonce[:]), Log: m.log.With("service", "portmap")})
	return m
}

// mappedPort is the port that the router is asked to pass on, 0 if none.
func (m *Mesh) mappedPort() uint16 {
	if !m.cfg.MapPort() {
		return 0
	}
	return m.cfg.Port()
}

// Serve keeps this host connected until ctx ends, then returns nil. It fails
// when somebody else listens on SyncPort. The overlay is served meanwhile.
func (m *Mesh) Serve(ctx context.Context) error {
	ln, err := m.cfg.Overlay.Listen(ctx, kith.Address{Port: SyncPort})
	if ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer ln.Close()
	work.Go(func() { m.answer(ctx, ln, &work) })
	work.Go(func() { m.watchGroup(ctx) })
	work.Go(func() { m.watchInternet(ctx) })
	if m.cfg.Discover {
		work.Go(func() { m.discover(ctx) })
	}
	if m.cfg.MapPort != nil {
		work.Go(func() { m.maps.Serve(ctx) })
	}
	work.Go(func() { m.introduce(ctx) })

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C:
		}
		v := m.look()
		timer.Reset(min(lookAround, m.tellWhereabouts(ctx, v), m.beat(ctx, v), m.meet(ctx, v, &work)))
		if v.large() { // where there is always something
			select {
			case <-time.After(breath):
			case <-ctx.Done():
			}
		}
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
		watching, cancel := during(ctx, membership)
		changes := g.Watch(watching)
		m.Wake()
		for range changes {
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
