package rendezvous

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

// Config is what a [Rendezvous] needs. Conn and Log are required.
type Config struct {
	// Conn is the host's own UDP socket, shared with others: what the nodes of
	// the DHT see is then the outside address of that socket. Its ReadFrom
	// delivers what is not for others and obeys SetReadDeadline, which has no
	// effect on them. It stays open; Serve reads from it.
	Conn net.PacketConn

	// Bootstrap are the first nodes to ask, as HOST:PORT; nil takes the well-known
	// routers of the main line. They are asked while no other node is known.
	Bootstrap []string

	// Resolve looks up the names in Bootstrap; nil takes the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	Log *slog.Logger
}

// routers returns the well-known first nodes of the main line.
func routers() []string {
	return []string{
		"router.bittorrent.com:6881",
		"router.utorrent.com:6881",
		"dht.transmissionbt.com:6881",
		"dht.libtorrent.org:25401",
		"router.silotis.us:6881", // IPv6
	}
}

// A Rendezvous is this host in the DHT. It is safe for concurrent use.
type Rendezvous struct {
	config Config
	now    func() time.Time // the host's clock, which may be wrong
	views  views

	mu      sync.Mutex
	session *session
	started chan struct{} // closed when session is set
}

// New returns a Rendezvous. It opens nothing and sends nothing.
func New(config Config) *Rendezvous {
	if config.Bootstrap == nil {
		config.Bootstrap = routers()
	}
	if config.Resolve == nil {
		config.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Rendezvous{config: config, now: time.Now, started: make(chan struct{})}
}

// Serve takes part in the DHT until ctx ends, then returns nil, with nothing
// reading from Conn any more. It sends nothing of its own accord: Meet does. It
// fails when Conn was closed. One Serve runs at a time.
func (r *Rendezvous) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	s, err := newSession(ctx, r.config, &r.views)
	if err != nil {
		cancel()
		return err
	}
	r.mu.Lock()
	r.session = s
	close(r.started)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.session, r.started = nil, make(chan struct{})
		r.mu.Unlock()
		cancel()
		s.close()
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.socket.broken:
		return fmt.Errorf("socket of the DHT: %w", err)
	}
}

// serving waits until Serve runs.
func (r *Rendezvous) serving(ctx context.Context) (*session, error) {
	for {
		r.mu.Lock()
		s, started := r.session, r.started
		r.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-started:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Outside returns the addresses from which this socket's packets come to the
// Internet, as two nodes of the DHT at least saw it within the last 30 minutes
// (BEP 42). It is empty before Meet has run, and behind a NAT that gives every
// destination another port.
func (r *Rendezvous) Outside() []netip.AddrPort { return r.views.agreed() }

// A Meeting is somebody else who knows the secret, and where it says it is: at
// most eight addresses. That is a hint where to dial, and proof of nothing.
type Meeting struct {
	Peer      kith.ID
	Addresses []netip.AddrPort
}

// Meet publishes, for those who know secret, that self is at the addresses that
// mine returns, of which it takes the first eight, and looks for others who do
// the same. It yields each when it finds it, and again each time the other has
// published since, until ctx ends or the loop is left. The loop's body should
// not take long, as nothing else happens meanwhile. Meet looks at once, every
// few seconds for a minute, and then ever more rarely, down to once in ten
// minutes; it compares what mine returns every four seconds, and a change starts
// that over. Five hosts fit at one secret at a time, and of more each comes to
// its turn; at most 64 are yielded. While Serve does not run it waits.
func (r *Rendezvous) Meet(ctx context.Context, secret [32]byte, self kith.ID, mine func() []netip.AddrPort) iter.Seq[Meeting] {
	return func(yield func(Meeting) bool) {
		v := &visitor{rendezvous: r, secret: secret, self: self, seen: map[kith.ID]int64{}}
		for addresses := range v.rounds(ctx, mine) {
			for _, e := range v.round(ctx, addresses) {
				if ctx.Err() != nil || !yield(Meeting{e.id, slices.Clone(e.addresses)}) {
					return
				}
			}
		}
	}
}
