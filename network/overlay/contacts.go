package overlay

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// unanswered is how many packets go to an address that does not answer:
	// members' records may name the address of somebody who has nothing to do
	// with us. unansweredHost is the same for all ports of a computer where no
	// member was met.
	unanswered     = 3
	unansweredHost = 9

	restKnown    = 2 * time.Second // of an address where somebody has answered, doubled each time,
	restKnownMax = time.Minute     // up to this
	restUnknown  = time.Minute     // of one where nobody ever has
	restHeardMax = 5 * time.Minute // of one where somebody else answers, or nobody listens
	restMost     = 24 * time.Hour

	maxContacts = 4096 // addresses remembered, and computers
)

// contacts keeps account of the addresses that are tried. To one that does
// not answer three packets are sent, then it rests, longer each time. What
// answers and is not the expected host rests as long; a TCP connection that is
// refused is no answer. It is safe for concurrent use, and costs nothing while
// all that were tried have answered.
type contacts struct {
	silent atomic.Int32 // how many of the list are

	mu    sync.Mutex
	list  map[netip.AddrPort]*contact
	hosts map[netip.Addr]*contact // by subscriberOf: all ports that are not known together
}

// A contact is what is known of an address.
type contact struct {
	known     bool // a host answered there with the key that was expected
	silent    bool // nobody has answered since the last attempt began
	heard     bool // somebody has, or nobody listens there
	abandoned bool // somebody has answered, but another way was faster
	sent      int  // packets since then, a TCP connection's first one included
	saved     int  // of those that may be sent, for a TCP connection
	rest      time.Duration
	until     time.Time // when it may be tried again
}

func newContacts() *contacts {
	return &contacts{list: make(map[netip.AddrPort]*contact), hosts: make(map[netip.Addr]*contact)}
}

// begin opens an attempt to an address, or reports that it rests. Attempts
// beside each other share what may be sent. overTCP saves one packet for TCP,
// which may be sent while the address rests already.
func (c *contacts) begin(a netip.AddrPort, overTCP bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.contactLocked(a)
	now := time.Now()
	if now.Before(k.until) {
		return overTCP && k.saved > 0
	}
	if !k.silent || !k.until.IsZero() {
		c.setSilent(k, true)
		k.heard, k.abandoned = false, false
		k.sent, k.saved, k.until = 0, 0, time.Time{}
	}
	if overTCP {
		k.saved = 1
	}
	return true
}

// rests reports whether an attempt would be refused.
func (c *contacts) rests(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	return k != nil && time.Now().Before(k.until)
}

// spares reports whether the packet that was saved for TCP is left.
func (c *contacts) spares(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	return k != nil && k.saved > 0
}

// known reports whether the expected host has answered there before.
func (c *contacts) known(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	return k != nil && k.known
}

// allow reports whether one more packet may go to the address, and counts it.
func (c *contacts) allow(a netip.AddrPort) bool {
	if c.silent.Load() == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	if k == nil || !k.silent || k.known {
		return true
	}
	if k.sent+k.saved >= unanswered {
		return false
	}
	if !k.known && !c.allowHostLocked(a.Addr()) {
		k.sent, k.saved = unanswered, 0
		return false
	}
	k.sent++
	return true
}

// allowHostLocked is allow for all ports of a computer: in a minute, and then in
// twice the time of before unless it was left in peace for that time. What stays
// on this computer is not counted.
func (c *contacts) allowHostLocked(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	h := c.hostLocked(a)
	if now := time.Now(); !now.Before(h.until) {
		if now.Sub(h.until) >= h.rest {
			h.rest = 0
		}
		h.rest = min(max(2*h.rest, restUnknown), restMost)
		h.sent, h.until = 0, now.Add(h.rest)
	}
	if !h.known && h.sent == unansweredHost {
		return false
	}
	h.sent++
	return true
}

// unsent takes back what allow counted: there is no route to the address.
func (c *contacts) unsent(a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	if k == nil || !k.silent || k.sent == 0 {
		return
	}
	k.sent--
	if h := c.hosts[subscriberOf(a.Addr())]; h != nil && h.sent > 0 {
		h.sent--
	}
}

// allowTCP is allow for the first packet of a TCP connection.
func (c *contacts) allowTCP(a netip.AddrPort) bool {
	c.mu.Lock()
	if k := c.list[a]; k != nil {
		k.saved = 0
	}
	c.mu.Unlock()
	return c.allow(a)
}

// answered says that somebody at the address has answered: more than three
// packets may be sent in this attempt.
func (c *contacts) answered(a netip.AddrPort) {
	if c.silent.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.list[a]; k != nil && k.silent {
		c.setSilent(k, false)
		k.heard, k.until = true, time.Time{}
	}
}

// refused says that nobody listens at the address, but that our network and its
// computer work.
func (c *contacts) refused(a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.list[a]; k != nil {
		k.heard = true
	}
}

// succeeded says that the expected host is there.
func (c *contacts) succeeded(a netip.AddrPort) {
	c.met(a.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.contactLocked(a)
	c.setSilent(k, false)
	*k = contact{known: true}
}

// maxMet is how many addresses Met returns.
const maxMet = 256

// Remember says that members answered at these addresses in a run before: where
// they do not answer now, they rest for seconds and not for a minute.
func (o *Overlay) Remember(met []netip.AddrPort) {
	for _, a := range met[:min(len(met), maxMet)] {
		o.contacts.succeeded(unmapped(a))
	}
}

// Met returns addresses at which members have answered, at most 256, for
// Remember.
func (o *Overlay) Met() []netip.AddrPort {
	c := o.contacts
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []netip.AddrPort
	for a, k := range c.list {
		if k.known && len(list) < maxMet {
			list = append(list, a)
		}
	}
	return list
}

// met says that a member is behind the address. Others may be at other ports.
func (c *contacts) met(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.hostLocked(a) = contact{known: true}
}

// failed ends an attempt that led nowhere: the address rests.
func (c *contacts) failed(a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.contactLocked(a)
	now := time.Now()
	if now.Before(k.until) {
		return // another attempt said so
	}
	first, most := restUnknown, restMost
	switch {
	case k.known || k.unsent():
		first, most = restKnown, restKnownMax
	case k.heard:
		most = restHeardMax
	}
	k.rest = min(max(2*k.rest, first), most)
	k.until = now.Add(k.rest)
}

// abandon ends an attempt because another way to the peer was faster: where
// somebody answers of whom nobody knows who it is, it rests.
func (c *contacts) abandon(a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.list[a]; k != nil && !k.known && !k.silent && k.until.IsZero() {
		k.abandoned, k.until = true, time.Now().Add(restKnownMax)
	}
}

// unsent reports whether the attempt sent nothing, since there was no route.
func (k *contact) unsent() bool { return k.silent && k.sent == 0 && !k.heard }

// wake ends the rest of an address where the expected host was before, or may be,
// and reports whether it may be tried now.
func (c *contacts) wake(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	if k != nil && (k.known || k.abandoned || k.unsent()) {
		k.rest, k.until = 0, time.Unix(0, 1) // begin counts anew
	}
	return k == nil || !time.Now().Before(k.until)
}

// wakeAll is wake for all addresses, also those where somebody else answered: it
// may have been our own network that did so.
func (c *contacts) wakeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.list {
		if (k.known || k.heard || k.unsent()) && !k.until.IsZero() {
			k.rest, k.until = 0, time.Unix(0, 1)
		}
	}
}

// tried reports whether we sent to the address of late.
func (c *contacts) tried(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list[a] != nil
}

func (c *contacts) setSilent(k *contact, silent bool) {
	switch {
	case silent && !k.silent:
		c.silent.Add(1)
	case !silent && k.silent:
		c.silent.Add(-1)
	}
	k.silent = silent
}

func (c *contacts) contactLocked(a netip.AddrPort) *contact {
	k := c.list[a]
	if k == nil {
		if len(c.list) >= maxContacts {
			c.forgetLocked()
		}
		k = new(contact)
		c.list[a] = k
	}
	return k
}

func (c *contacts) hostLocked(a netip.Addr) *contact {
	a = subscriberOf(a)
	h := c.hosts[a]
	if h == nil {
		for other := range c.hosts {
			if len(c.hosts) < maxContacts {
				break
			}
			delete(c.hosts, other)
		}
		h = new(contact)
		c.hosts[a] = h
	}
	return h
}

// forgetLocked makes room: what may be tried again goes first.
func (c *contacts) forgetLocked() {
	now := time.Now()
	maps.DeleteFunc(c.list, func(_ netip.AddrPort, k *contact) bool {
		old := !k.until.IsZero() && now.After(k.until) || !k.silent
		if old {
			c.setSilent(k, false)
		}
		return old
	})
	for a, k := range c.list {
		if len(c.list) < maxContacts {
			return
		}
		c.setSilent(k, false)
		delete(c.list, a)
	}
}
