package mesh_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kith.alt/kith/kithtest/internet"
)

// A capture keeps where each host has sent packets.
type capture struct {
	mu sync.Mutex
	to map[string]map[netip.Addr]int // by the sender's name
}

func (w *town) capture() *capture {
	c := &capture{to: make(map[string]map[netip.Addr]int)}
	w.net.Capture(func(p internet.Packet) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.to[p.From.Name()] == nil {
			c.to[p.From.Name()] = make(map[netip.Addr]int)
		}
		c.to[p.From.Name()][p.Destination.Addr()]++
	})
	return c
}

func (c *capture) sent(from *host, to netip.Addr) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.to[from.name][to]
}

// TestNothingElseIsSent has a group join, move, sleep and restart: every packet
// goes to an address that a member has or had, inside or outside.
func TestNothingElseIsSent(t *testing.T) {
	inTown(t, func(w *town) {
		c := w.capture()
		homes := []*internet.Router{
			w.net.Router(internet.PortRestricted), w.net.Router(internet.Symmetric), w.net.Router(internet.FullCone),
			w.net.Router(internet.SameCarrier), w.net.Router(internet.SameCarrier), w.net.Router(internet.Double),
		}
		w.add("server", w.net.Public())
		for i, home := range homes {
			w.add(fmt.Sprintf("host%d", i), home)
			home.Host("printer") // is nobody's business
		}
		moving := w.add("laptop", homes[0])
		w.net.Public().Host("bystander")

		members := make(map[netip.Addr]bool)
		note := func() {
			for _, h := range w.hosts {
				members[h.at.Address()] = true
				for r := h.at.Router(); r != nil; r = r.Outer() {
					members[r.Outside()] = true
				}
			}
		}
		note()
		w.settle()
		w.until(2*time.Minute, "all connected", connected(w.hosts...))
		for _, to := range append(homes[1:3:3], w.net.Public(), homes[0]) {
			moving.at.Move(to)
			note()
			time.Sleep(time.Minute)
		}
		w.hosts[1].at.Sleep()
		time.Sleep(10 * time.Minute)
		w.hosts[1].at.Wake()
		w.hosts[2].crash()
		time.Sleep(time.Minute)
		w.hosts[2].turnOn()
		for _, h := range w.hosts {
			h.turnOff()
		}
		time.Sleep(time.Hour)
		for _, h := range w.hosts {
			h.turnOn()
		}
		w.until(2*time.Minute, "all connected again", connected(w.hosts...))

		c.mu.Lock()
		defer c.mu.Unlock()
		delete(members, netip.Addr{})
		for from, to := range c.to {
			for a, n := range to {
				if !members[a] {
					t.Errorf("%s has sent %d packets to %s, which is no member's", from, n, a)
				}
			}
		}
	})
}

// TestRecordOfAVictim has a member say in its record, again and again, that it
// can be dialled at addresses of somebody else, and go.
func TestRecordOfAVictim(t *testing.T) {
	for _, ports := range []int{1, 100} {
		t.Run(fmt.Sprint(ports, " ports"), func(t *testing.T) {
			inTown(t, func(w *town) {
				server := w.add("server", w.net.Public())
				oak := w.add("oak", w.net.Router(internet.PortRestricted))
				elm := w.add("elm", w.net.Router(internet.Symmetric))
				mallory := w.add("mallory", w.net.Public())
				victim := w.net.Public().Host("victim").Address()
				router := oak.at.Router().Inside().Addr().Next()
				w.settle()
				w.until(time.Minute, "all connected", connected(w.hosts...))
				mallory.turnOff()
				c := w.capture()
				const rounds = 10 // of a minute
				for round := range rounds {
					mallory.public = nil
					for i := range min(ports, 6) {
						mallory.public = append(mallory.public, netip.AddrPortFrom(victim, uint16(1000+(6*round+i)%ports)))
					}
					mallory.public = append(mallory.public, netip.AddrPortFrom(router, 80), // oak's own
						netip.AddrPortFrom(oak.at.Router().Outside(), 4747)) // as if behind the same router
					mallory.turnOn()
					time.Sleep(30 * time.Second)
					mallory.crash()
					time.Sleep(30 * time.Second)
				}
				for _, h := range []*host{server, oak, elm} {
					most := 3 * 4 // at once, and after 1, 3 and 7 minutes
					if ports > 1 {
						most *= 3
					}
					toVictim, toRouter := c.sent(h, victim), c.sent(h, router)
					t.Logf("%s has sent %d packets to the victim, %d to the router", h.name, toVictim, toRouter)
					if toVictim > most {
						t.Errorf("%s has sent %d packets to the victim, at most %d", h.name, toVictim, most)
					}
					if toRouter > 12 || toRouter > 0 && h != oak {
						t.Errorf("%s has sent %d packets to a router", h.name, toRouter)
					}
				}
			})
		})
	}
}
