package overlay

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/internet"
)

// A tally counts the packets that hosts send to an address.
type tally struct {
	mu      sync.Mutex
	packets map[string]int // by sender
}

func watchOver(net *internet.Net, victim netip.Addr) *tally {
	w := &tally{packets: make(map[string]int)}
	net.Capture(func(p internet.Packet) {
		if p.Destination.Addr() == victim {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.packets[p.From.Name()]++
		}
	})
	return w
}

// check allows each of the honest hosts so many packets.
func (w *tally) check(t *testing.T, when string, most int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	sum := 0
	for name, n := range w.packets {
		if sum += n; n > most && name != "mallory" {
			t.Errorf("%s has sent %d packets to the victim after %s, at most %d", name, n, when, most)
		}
	}
	t.Logf("%s: %v", when, w.packets)
	if sum == 0 {
		t.Error("nothing was sent to the victim: the attack is none")
	}
}

// An aim is a way in which a member has others send to an address.
type aim struct {
	name string
	// once is called every second with where to send them.
	once func(t *testing.T, h *hamlet, at []netip.AddrPort)
}

var aims = []aim{
	{"in its record", func(t *testing.T, h *hamlet, at []netip.AddrPort) {
		h.place(h.gone(), at...)
		h.eachConnects(t)
	}},
	{"by multicast", func(t *testing.T, h *hamlet, at []netip.AddrPort) {
		for _, o := range []*Overlay{h.a, h.b, h.n} {
			o.spawn(func() {
				ctx, cancel := context.WithTimeout(o.ctx, 10*time.Second)
				defer cancel()
				o.ConnectAt(ctx, h.gone(), at)
			})
		}
	}},
	{"as a relay", func(t *testing.T, h *hamlet, at []netip.AddrPort) {
		for _, way := range [][2]*Overlay{{h.a, h.b}, {h.b, h.a}} {
			for range 10 {
				if st := h.m.open(way[0].id, header{kind: forRelayed, host: way[1].id, candidates: at}); st != nil {
					time.AfterFunc(time.Second/2, st.reset)
				}
			}
		}
	}},
	{"as one who sees them there", func(t *testing.T, h *hamlet, at []netip.AddrPort) {
		h.m.says(at[0])
		h.a.observe()
		h.a.Drop(h.n.id, kith.Unreachable)
		h.n.spawn(func() {
			ctx, cancel := context.WithTimeout(h.n.ctx, 10*time.Second)
			defer cancel()
			h.n.Connect(ctx, h.a.id)
		})
	}},
	{"when punching", func(t *testing.T, h *hamlet, at []netip.AddrPort) {
		for _, o := range []*Overlay{h.a, h.b} {
			for range 10 {
				if l := h.m.currentLink(o.id); l != nil && !l.via.IsZero() {
					if st, err := l.openStream(h.m.ctx); err == nil {
						st.Write(header{kind: forPunching, candidates: at}.append(nil))
						time.AfterFunc(time.Second/2, st.reset)
					}
				}
			}
		}
	}},
}

// gone is a member that is nowhere, but is said to be at the victim's.
func (h *hamlet) gone() kith.ID {
	id := idOf(newKey(8))
	h.set(id, true)
	h.nats.Store(id, natUnknown)
	return id
}

// eachConnects has the honest hosts dial the member that is gone.
func (h *hamlet) eachConnects(t *testing.T) {
	for _, o := range []*Overlay{h.a, h.b, h.n} {
		o.spawn(func() {
			ctx, cancel := context.WithTimeout(o.ctx, 10*time.Second)
			defer cancel()
			o.Connect(ctx, h.gone())
		})
	}
}

// TestVictim has a member aim everybody at an address that is nobody's of the
// group, or at many of one computer. However often it does, three packets are
// sent to an address, or nine to a computer, and then for a minute none, for two,
// for four. To an address where another group listens it is a handshake each.
func TestVictim(t *testing.T) {
	for _, aim := range aims {
		for _, c := range []struct {
			victim      string
			ports       int
			minute, two int // packets in a minute, and in the next one
		}{
			{"silent", 1, 3, 6},
			{"refusing", 1, 3, 6},
			{"another group", 1, 20, 40},
			{"silent", 1000, 9, 18},
		} {
			t.Run(fmt.Sprintf("%s/%s, %d ports", aim.name, c.victim, c.ports), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHamlet(t)
					host := h.net.Public().Host("victim")
					var other *Overlay
					switch c.victim {
					case "silent":
						host.Sleep()
					case "another group":
						other = (&village{club: newClub(), net: h.net}).settle(t, 7, host)
					}
					at := func(i int) (list []netip.AddrPort) {
						for k := range min(c.ports, maxAddresses) {
							list = append(list, netip.AddrPortFrom(host.Address(), uint16(4747+(maxAddresses*i+k)%c.ports)))
						}
						return list
					}
					w := watchOver(h.net, host.Address())
					if aim.name == "when punching" {
						for _, o := range []*Overlay{h.a, h.b} {
							h.net.Partition([]*internet.Host{h.hosts[o.id]}, []*internet.Host{h.hosts[h.m.id]})
							h.m.reachThrough(t, h.n, o, at(0))
						}
					}
					for i := range 75 {
						aim.once(t, h, at(i))
						time.Sleep(time.Second)
						if i == 55 {
							w.check(t, "a minute", c.minute)
						}
					}
					w.check(t, "the second attempt", c.two)
					if other != nil && len(other.Peers()) > 0 {
						t.Error("the victim has a carrier")
					}
				})
			})
		}
	}
}

// reachThrough gives the liar a carrier to a host through an honest relay in
// place of its own. It says that it may be dialled at candidates.
func (m *liar) reachThrough(t *testing.T, relay, to *Overlay, candidates []netip.AddrPort) {
	t.Helper()
	to.Drop(m.id, kith.Unreachable)
	m.Drop(to.id, kith.Unreachable)
	if err := m.Connect(t.Context(), relay.id); err != nil {
		t.Fatal(err)
	}
	st, err := m.currentLink(relay.id).openStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st.Write(header{kind: forRelaying, host: to.id, candidates: candidates}.append(nil))
	config, err := m.diallerConfig(to.id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := m.approachOver(ctx, &streamConn{stream: st, asked: true}, to.id, config, relay.id)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := c.carrier()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.adopt(inner, arrival{peer: to.id, theirs: c.theirs, via: relay.id}); err != nil {
		t.Fatal(err)
	}
}
