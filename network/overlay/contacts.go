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
	// with us.
	unanswered = 3

	restKnown    = 2 * time.Second // of an address where somebody has answered, doubled each time,
	restKnownMax = time.Minute     // up to this
	restUnknown  = time.Minute     // of one where nobody ever has
	restMost     = 24 * time.Hour

	maxContacts = 4096 // addresses remembered
)

// contacts keeps account of the addresses that are tried. To one that does
// not answer three packets are sent, then it rests, longer each time. It is safe
// for concurrent use, and costs nothing while all that were tried have answered.
type contacts struct {
	silent atomic.Int32 // how many of the list are

	mu   sync.Mutex
	list map[netip.AddrPort]*contact
}

// A contact is what is known of an address.
type contact struct {
	known  bool // a host answered there with the key that was expected
	silent bool // nothing came from there since the last attempt began
	sent   int  // packets since then, a TCP connection's first one included
	saved  int  // of those that may be sent, for a TCP connection
	rest   time.Duration
	until  time.Time // when it may be tried again
}

func newContacts() *contacts { return &contacts{list: make(map[netip.AddrPort]*contact)} }

// begin opens an attempt to an address, or reports that it rests. Attempts
// beside each other share what may be sent. overTCP saves one packet for TCP.
func (c *contacts) begin(a netip.AddrPort, overTCP bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.contactLocked(a)
	now := time.Now()
	if now.Before(k.until) {
		return false
	}
	if !k.silent || !k.until.IsZero() {
		c.setSilent(k, true)
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
	if k == nil || !k.silent {
		return true
	}
	if k.sent+k.saved >= unanswered {
		return false
	}
	k.sent++
	return true
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

// answered says that something came from the address: somebody is there.
func (c *contacts) answered(a netip.AddrPort) {
	if c.silent.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.list[a]; k != nil && k.silent {
		c.setSilent(k, false)
		k.rest, k.until = 0, time.Time{}
	}
}

// succeeded says that the expected host is there.
func (c *contacts) succeeded(a netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.contactLocked(a)
	c.setSilent(k, false)
	*k = contact{known: true}
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
	first, most := restKnown, restKnownMax
	if k.silent && !k.known {
		first, most = restUnknown, restMost
	}
	k.rest = min(max(2*k.rest, first), most)
	k.until = now.Add(k.rest)
}

// wake ends the rest of an address where somebody has answered before, and
// reports whether it may be tried now.
func (c *contacts) wake(a netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.list[a]
	if k != nil && (k.known || !k.silent) {
		k.rest, k.until = 0, time.Unix(0, 1) // begin counts anew
	}
	return k == nil || !time.Now().Before(k.until)
}

// wakeAll is wake for all addresses: it may have been our own network that did
// not let them answer.
func (c *contacts) wakeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.list {
		if (k.known || !k.silent) && !k.until.IsZero() {
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
