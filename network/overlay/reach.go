package overlay

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.alt/kith"
)

// Paths to a peer, as PeerInfo names them.
const (
	pathLAN     = "lan"
	pathDirect  = "direct"
	pathRelayed = "relayed"
)

func (l *link) path() string {
	return [...]string{pathRelayed, pathDirect, pathDirect, pathLAN, pathLAN}[l.rank()]
}

// nearby reports whether an address is on a network of ours.
func (o *Overlay) nearby(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsLoopback() || a.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(o.cfg.Internet.Interfaces(), func(p netip.Prefix) bool {
		return p.Bits() > 0 && p.Masked().Contains(a)
	})
}

// What NATs are called, as far as it matters to others.
const (
	natUnknown   = ""
	natOpen      = "open"      // others reach this host unasked
	natCone      = "cone"      // all members see its UDP port at the same address
	natSymmetric = "symmetric" // each member sees it at another address
	natBlocked   = "blocked"   // UDP does not get out
)

// A Reach is how this host is seen from outside its own networks.
type Reach struct {
	Outside []netip.AddrPort // where members see its UDP port, or have reached it; what most of them say first
	NAT     string           // "", "open", "cone", "symmetric" or "blocked"
}

// reachedFor is how long it counts that a peer reached this host unasked.
const reachedFor = 24 * time.Hour

// Reach returns what the members with a carrier tell by it. A NAT is known
// when two of them, at different addresses, have told where they see this host.
func (o *Overlay) Reach() Reach {
	interfaces := o.cfg.Internet.Interfaces()
	o.mu.Lock()
	defer o.mu.Unlock()
	var r Reach
	seen := make(map[netip.Addr]netip.AddrPort) // by whom, where
	overTCP, overUDP := false, false
	for l := range o.links {
		if !l.outside() {
			continue
		}
		if l.kind() != carrierQUIC {
			overTCP = overTCP || l.dialled
			continue
		}
		overUDP = true
		if at := l.seenAtLocked(); at.IsValid() {
			seen[l.remote().Addr()] = at
			if !slices.Contains(r.Outside, at) {
				r.Outside = append(r.Outside, at)
			}
		}
	}
	switch {
	case o.reached.at.IsValid() && time.Since(o.reached.since) < reachedFor:
		r.NAT = natOpen
		if !slices.Contains(r.Outside, o.reached.at) {
			r.Outside = append(r.Outside, o.reached.at)
		}
	case len(seen) > 1 && len(r.Outside) == 1 && translated(r.Outside[0].Addr(), interfaces):
		r.NAT = natCone
	case len(r.Outside) == 1: // there may be a firewall, or none
	case len(seen) > 1:
		r.NAT = natSymmetric
	case overTCP && !overUDP && len(o.cfg.Carriers) == 0:
		r.NAT = natBlocked // QUIC is tried first there
	}
	witnesses := make(map[netip.AddrPort]int)
	for _, at := range seen {
		witnesses[at]++
	}
	slices.SortFunc(r.Outside, func(a, b netip.AddrPort) int { // one who lies does not come before two who agree
		return cmp.Or(witnesses[b]-witnesses[a], a.Compare(b))
	})
	return r
}

// seenAtLocked returns where the peer says that it sees us, if that can be.
func (l *link) seenAtLocked() netip.AddrPort {
	if at := l.observed; at.Port() != 0 && at.Addr().IsGlobalUnicast() {
		return at
	}
	return netip.AddrPort{}
}

// translated reports whether an address at which we are seen is not our own.
func translated(a netip.Addr, interfaces []netip.Prefix) bool {
	return !slices.ContainsFunc(interfaces, func(p netip.Prefix) bool { return p.Addr().Unmap() == a })
}

// A reached is proof that this host can be dialled from outside.
type reached struct {
	at    netip.AddrPort // where the peer dialled us
	since time.Time
}

// noteReached takes what a carrier that the peer dialled shows. A packet that
// our own punching let in shows nothing.
func (o *Overlay) noteReached(l *link) {
	if l.dialled || !l.outside() || o.contacts.tried(l.remote()) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if at := l.seenAtLocked(); at.IsValid() {
		o.reached = reached{at, time.Now()}
	}
}

// reachChanged tells OnReach when Reach has changed.
func (o *Overlay) reachChanged() {
	if o.cfg.OnReach == nil {
		return
	}
	r := o.Reach()
	o.mu.Lock()
	changed := r.NAT != o.told.NAT || !slices.Equal(r.Outside, o.told.Outside)
	o.told = r
	o.mu.Unlock()
	if changed {
		o.cfg.OnReach()
	}
}

// candidates are where others may dial this host by UDP.
func (o *Overlay) candidates() []netip.AddrPort {
	var list []netip.AddrPort
	if o.cfg.Candidates != nil {
		list = o.cfg.Candidates()
	}
	for _, a := range o.Reach().Outside {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list[:min(len(list), maxAddresses)]
}

// worthDialling keeps of a peer's candidates those that can be it: private
// addresses only on networks that we share, which are our own and, where the
// peer is seen at our own outside address, the one behind it.
func (o *Overlay) worthDialling(candidates []netip.AddrPort) []netip.AddrPort {
	outside := o.Reach().Outside
	samePlace := slices.ContainsFunc(candidates, func(a netip.AddrPort) bool {
		return slices.ContainsFunc(outside, func(b netip.AddrPort) bool { return a.Addr() == b.Addr() })
	})
	var worth []netip.AddrPort
	for _, a := range candidates {
		ip := a.Addr().Unmap()
		switch {
		case a.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() || o.own(a) || o.broadcasts(ip):
		case o.nearby(ip), !private(ip) && ip.IsGlobalUnicast(), private(ip) && samePlace:
			worth = append(worth, unmapped(a))
		}
	}
	return worth
}

// own reports whether this host itself listens at the address.
func (o *Overlay) own(a netip.AddrPort) bool {
	o.mu.Lock()
	d := o.door
	o.mu.Unlock()
	return d != nil && addressOf(d.tcp.Addr()).Port() == a.Port() &&
		slices.ContainsFunc(o.cfg.Internet.Interfaces(), func(p netip.Prefix) bool { return p.Addr() == a.Addr() })
}

// broadcasts reports whether an address means all computers of a network of ours.
func (o *Overlay) broadcasts(a netip.Addr) bool {
	return slices.ContainsFunc(o.cfg.Internet.Interfaces(), func(p netip.Prefix) bool {
		return a.Is4() && p.Bits() < 31 && p.Masked().Contains(a) && (a == p.Masked().Addr() || !p.Contains(a.Next()))
	})
}

var carrierGrade = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func private(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || carrierGrade.Contains(a)
}

// setLevel opens the link to all traffic.
func (l *link) setLevel() { l.leveled.Do(func() { close(l.level) }) }

func (l *link) isLevel() bool {
	select {
	case <-l.level:
		return true
	default:
		return false
	}
}

// Level says that this host and the peer have told each other what they know
// of the group: their carriers serve all ports from now on.
func (o *Overlay) Level(peer kith.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.peers[peer]; p != nil {
		for l := range p.links {
			l.setLevel()
		}
	}
}

// levelPatience is how long a socket waits for the exchange of what both hosts
// know of the group.
const levelPatience = 10 * time.Second

// awaitLevel returns when the link serves the port.
func (l *link) awaitLevel(ctx context.Context, port uint16) error {
	if port != 0 && port == l.overlay.cfg.SyncPort {
		return nil
	}
	if l.isLevel() {
		return nil
	}
	timer := time.NewTimer(levelPatience)
	defer timer.Stop()
	select {
	case <-l.level:
		return nil
	case <-l.done():
		return errLinkGone
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("host %s has not brought its member list up to date: %w", l.peer.Short(), kith.Temporary)
	}
}

// Ping returns the time of a round trip to the peer's node, dialling it if
// need be.
func (o *Overlay) Ping(ctx context.Context, id kith.ID) (time.Duration, error) {
	l, err := o.linkTo(ctx, id)
	if err != nil {
		return 0, err
	}
	rtt, err := l.ping(ctx)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		return 0, fmt.Errorf("host %s does not answer (%v): %w", id.Short(), err, kith.Unreachable)
	}
	return rtt, nil
}

// ping asks the peer's node for a word. The answer tells where it sees us now,
// which changes while a QUIC connection lives on.
func (l *link) ping(ctx context.Context) (time.Duration, error) {
	st, err := l.openStream(ctx)
	if err != nil {
		return 0, err
	}
	defer st.reset()
	stop := context.AfterFunc(ctx, st.reset)
	defer stop()
	began := time.Now()
	st.SetReadDeadline(began.Add(verdictPatience))
	if _, err := st.Write(header{kind: forPing}.append(nil)); err != nil {
		return 0, err
	}
	h, err := readHeader(st)
	if err != nil {
		return 0, err
	}
	rtt := time.Since(began)
	if len(h.candidates) > 0 {
		o := l.overlay
		o.mu.Lock()
		l.observed = h.candidates[0]
		o.mu.Unlock()
		o.reachChanged()
	}
	return rtt, nil
}

// answerPing tells the peer where we see it.
func (l *link) answerPing(st stream) {
	h := header{kind: forPing}
	if a := l.remote(); a.IsValid() {
		h.candidates = []netip.AddrPort{a}
	}
	st.SetWriteDeadline(time.Now().Add(headerPatience))
	st.Write(h.append(nil))
	st.close()
}

const (
	observers    = 3           // asked where they see us
	observePause = time.Second // for their answers
)

// observe asks some of those who see this host from outside where that is by
// now.
func (o *Overlay) observe() {
	var asked []*link
	o.mu.Lock()
	for l := range o.links {
		if l.outside() && l.kind() == carrierQUIC && len(asked) < observers {
			asked = append(asked, l)
		}
	}
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(o.ctx, observePause)
	defer cancel()
	var wg sync.WaitGroup
	for _, l := range asked {
		wg.Go(func() { l.ping(ctx) })
	}
	wg.Wait()
}

// Release ends the peer's carriers if no socket uses them but those of
// SyncPort, no datagrams of late, and no flow that is relayed for others, and
// reports whether it did.
func (o *Overlay) Release(id kith.ID) bool {
	if o.datagramsPass(id) {
		return false
	}
	for _, s := range o.socketsOf(&id) {
		if s.port != o.cfg.SyncPort {
			return false
		}
	}
	if o.relaysOver(id) {
		return false
	}
	o.Drop(id, errReleased)
	return true
}

// relaysOver reports whether the peer's carriers pass bytes on for others.
func (o *Overlay) relaysOver(id kith.ID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.peers[id]; p != nil {
		for l := range p.links {
			if l.relaying.Load() > 0 {
				return true
			}
		}
	}
	return false
}

var errReleased = fmt.Errorf("the connection is not needed any more: %w", kith.Unreachable)
