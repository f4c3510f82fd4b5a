package swarm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/swarm/torrent"
)

// Torrent clients of other computers are outside of the group. They are let in where
// the owner of this host opened a door, and get what he marked as public.

// An Outside is this computer's network, from which such clients come.
type Outside struct {
	Interfaces func() []netip.Prefix                                                        // addresses of this computer, with their networks
	Changes    func(context.Context) <-chan struct{}                                        // has a message after these changed, until the context ends
	Listen     func(ctx context.Context, address string, port uint16) (net.Listener, error) // for TCP; a taken port is of kind InUse
}

// An opening is whom a door lets in. Its zero value is nobody.
type opening struct {
	to      string     // kith.OpenLAN, kith.OpenAny, or the text of address
	address netip.Addr // of this computer
}

// parseOpening reads what the owner says.
func parseOpening(text string) (opening, error) {
	switch text {
	case "", kith.OpenLAN, kith.OpenAny:
		return opening{to: text}, nil
	}
	a, err := netip.ParseAddr(text)
	a = a.Unmap()
	switch {
	case err != nil:
		return opening{}, fmt.Errorf("%.60q is neither %s nor %s nor an address of this computer such as 192.168.1.7: %w", text, kith.OpenLAN, kith.OpenAny, kith.Invalid)
	case a.IsLoopback():
		return opening{}, fmt.Errorf("at %s are the torrent clients of this computer, which are served in any case: %w", a, kith.Invalid)
	case a.IsUnspecified():
		return opening{}, fmt.Errorf("%s means all addresses; say %s: %w", a, kith.OpenAny, kith.Invalid)
	case !usable(a):
		return opening{}, fmt.Errorf("torrent clients cannot use %s: %w", a, kith.Invalid)
	}
	return opening{to: a.String(), address: a}, nil
}

// usable reports whether clients elsewhere can be told of an address: the URL of a
// tracker has no zone, which those of a link in IPv6 need.
func usable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && a.Zone() == "" || a.Is4() && a.IsLinkLocalUnicast()
}

// isLocal reports whether an address is of a network that others reach through a router
// at most.
func isLocal(a netip.Addr) bool { return a.IsPrivate() || a.IsLinkLocalUnicast() }

// addresses returns where to listen, of the addresses of this computer.
func (o opening) addresses(interfaces []netip.Prefix) []netip.Addr {
	var list []netip.Addr
	for _, p := range interfaces {
		a := p.Addr().Unmap()
		if !usable(a) || slices.Contains(list, a) {
			continue
		}
		if o.to == kith.OpenAny || o.to == kith.OpenLAN && isLocal(a) || o.address.IsValid() && o.address == a {
			list = append(list, a)
		}
	}
	return list
}

// admits reports whether a client outside is let in. A router may pass strangers on to an
// address of the local network.
func (o opening) admits(remote netip.Addr) bool {
	return o.to != "" && (o.to != kith.OpenLAN || isLocal(remote))
}

// A door is open or closed to clients outside. While the swarm is served it listens on each
// address that is open, on the port where it also listens for clients of this computer, and follows the
// addresses as they change.
type door struct {
	network Outside
	log     *slog.Logger
	open    atomic.Pointer[opening]

	mu        sync.Mutex      // held while it opens and closes
	ctx       context.Context // while it is served; else nil
	server    *torrent.Server
	port      uint16
	listening map[netip.Addr]*listening
	failed    map[netip.Addr]error // where it cannot listen at present
}

// listening is one address of a door.
type listening struct {
	stop context.CancelFunc
	done chan struct{} // closed when all conversations there have ended
}

// tryAgain is after how long an address on which nothing listens is tried again.
const tryAgain = 10 * time.Second

func newDoor(network Outside, log *slog.Logger) *door {
	d := &door{network: network, log: log, listening: make(map[netip.Addr]*listening), failed: make(map[netip.Addr]error)}
	d.open.Store(new(opening))
	return d
}

// serve listens where the door is open, until ctx ends and all conversations with it.
func (d *door) serve(ctx context.Context, server *torrent.Server, port uint16) {
	set := func(ctx context.Context) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ctx, d.server, d.port = ctx, server, port
		d.settleLocked()
	}
	set(ctx)
	defer set(nil)
	changes := d.network.Changes(ctx)
	tick := time.NewTicker(tryAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, more := <-changes:
			if !more {
				changes = nil
			}
		case <-tick.C:
		}
		d.mu.Lock()
		d.settleLocked()
		d.mu.Unlock()
	}
}

// settleLocked listens on the addresses that are open now, and on no others. The
// door is locked.
func (d *door) settleLocked() {
	var want []netip.Addr
	if open := d.open.Load(); open.to != "" && d.ctx != nil {
		want = open.addresses(d.network.Interfaces())
	}
	d.closeLocked(func(a netip.Addr, l *listening) bool {
		select {
		case <-l.done: // by itself, as when files ran out
			return true
		default:
			return !slices.Contains(want, a)
		}
	})
	failed := make(map[netip.Addr]error)
	for _, a := range want {
		if d.listening[a] != nil {
			continue
		}
		if err := d.listenLocked(a); err != nil {
			failed[a] = err
			if before := d.failed[a]; before == nil || before.Error() != err.Error() {
				d.log.Warn("torrent clients outside are not served", "address", a, "err", err)
			}
		}
	}
	d.failed = failed
}

func (d *door) listenLocked(a netip.Addr) error {
	ln, err := d.network.Listen(d.ctx, a.String(), d.port)
	if errors.Is(err, kith.InUse) {
		return fmt.Errorf("port %d at %s is taken by another program: %w", d.port, a, kith.InUse)
	} else if err != nil {
		return fmt.Errorf("listen at %s: %w", netip.AddrPortFrom(a, d.port), err)
	}
	ctx, stop := context.WithCancel(d.ctx)
	l, server := &listening{stop: stop, done: make(chan struct{})}, d.server
	d.listening[a] = l
	go func() {
		defer close(l.done)
		if err := server.Serve(ctx, ln); err != nil {
			d.log.Warn("torrent clients outside are not served for a moment", "address", a, "err", err)
		}
	}()
	return nil
}

// closeLocked ends what it listens on where which says so, and the conversations
// there.
func (d *door) closeLocked(which func(netip.Addr, *listening) bool) {
	var ending []*listening
	for a, l := range d.listening {
		if which(a, l) {
			l.stop()
			ending = append(ending, l)
			delete(d.listening, a)
		}
	}
	for _, l := range ending {
		<-l.done
	}
}

// set opens the door, or closes it: conversations under another opening have ended when
// it returns. Where nothing can listen it stays as it was. Store remembers it.
func (d *door) set(open opening, store func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	change := func(to *opening) {
		if *to != *d.open.Swap(to) {
			d.closeLocked(func(netip.Addr, *listening) bool { return true })
		}
		d.settleLocked()
	}
	if open.address.IsValid() {
		if own := (opening{to: kith.OpenAny}).addresses(d.network.Interfaces()); !slices.Contains(own, open.address) {
			return fmt.Errorf("%s is no address of this computer%s: %w", open.address, hasAddresses(own), kith.NotFound)
		}
	}
	before := d.open.Load()
	change(&open)
	var err error
	for _, failed := range d.failed {
		err = failed
	}
	if len(d.listening) > 0 || err == nil {
		err = store()
	}
	if err != nil && open.to != "" { // what is to be closed stays so
		change(before)
	}
	return err
}

func hasAddresses(own []netip.Addr) string {
	if len(own) == 0 {
		return ", which is on no network now"
	}
	texts := make([]string, len(own))
	for i, a := range own {
		texts[i] = a.String()
	}
	return "; it has " + strings.Join(texts, ", ")
}

// addresses returns where clients outside are served now.
func (d *door) addresses() []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []netip.AddrPort
	for a := range d.listening {
		list = append(list, netip.AddrPortFrom(a, d.port))
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}

// problems says why clients outside are not served elsewhere.
func (d *door) problems() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, a := range slices.SortedFunc(maps.Keys(d.failed), netip.Addr.Compare) {
		list = append(list, kith.Sentence(d.failed[a]))
	}
	switch open := d.open.Load(); {
	case open.to == "" || len(list)+len(d.listening) > 0:
	case d.ctx == nil:
		list = append(list, "No torrent clients are served at present, not even those of this computer.")
	case open.address.IsValid():
		list = append(list, fmt.Sprintf("This computer does not have the address %s now.", open.address))
	default:
		list = append(list, "This computer is on no such network now.")
	}
	return list
}

// TorrentDoor tells whom of the torrent clients outside this host lets in.
func (s *Swarm) TorrentDoor() kith.TorrentDoor {
	return kith.TorrentDoor{Open: s.door.open.Load().to, Addresses: s.door.addresses(), Problems: s.door.problems()}
}

// SetTorrentDoor lets torrent clients outside in, or closes the door.
func (s *Swarm) SetTorrentDoor(ctx context.Context, to string) error {
	open, err := parseOpening(to)
	if err != nil {
		return err
	}
	err = s.door.set(open, func() error {
		return s.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO swarm_door (id, open) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET open = excluded.open", open.to)
			return err
		})
	})
	s.change()
	return err
}

func (s *Swarm) loadDoor(tx *sql.Tx) error {
	var text string
	err := tx.QueryRow("SELECT open FROM swarm_door WHERE id = 1").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	open, err := parseOpening(text)
	if err == nil {
		s.door.open.Store(&open)
	}
	return err
}

// MakePublic marks content for clients outside, or ends that and their conversations.
func (s *Swarm) MakePublic(ctx context.Context, id kith.ContentID, public bool) error {
	h, err := s.holding(id)
	if err != nil {
		return err
	}
	mark := func(public bool) {
		s.mu.Lock()
		h.Public = public
		x := h.exchange
		s.mu.Unlock()
		if !public && x != nil {
			x.endOutside()
		}
	}
	mark(public)
	if err := s.save(ctx, h, nil); err != nil {
		mark(false)
		return err
	}
	s.change()
	return nil
}

// mayTakeLocked reports whether a client at an address may have a content. Nothing else
// decides that. Swarm.mu is held.
func (s *Swarm) mayTakeLocked(remote netip.Addr, h *holding) bool {
	return !torrent.IsOutside(remote) || h.Public && s.door.open.Load().admits(remote)
}

// isPublic reports whether content is marked for clients outside.
func (s *Swarm) isPublic(id kith.ContentID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holdings[id]
	return h != nil && h.Public
}

// endOutside ends the conversations with clients outside.
func (x *exchange) endOutside() {
	x.mu.Lock()
	clients := slices.Collect(maps.Values(x.clients))
	x.mu.Unlock()
	for _, c := range clients {
		if c.peer.Outside() {
			c.peer.Close()
		}
	}
}
