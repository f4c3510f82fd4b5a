package overlay

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/internet"
)

// A liar is a member with a client of its own making: streams that others open
// to have it relay are its business.
type liar struct {
	*Overlay

	mu    sync.Mutex
	relay func(from *link, st stream, h header) // nil: as honest hosts do
	sees  netip.AddrPort                        // where it says that it sees others
	seen  []byte                                // of what it passed on
}

// A lyingCarrier is one of the liar's.
type lyingCarrier struct {
	carrier
	liar *liar
	peer kith.ID
}

func (c *lyingCarrier) acceptStream() (stream, error) {
	for {
		st, err := c.carrier.acceptStream()
		if err != nil {
			return nil, err
		}
		h, err := readHeader(st)
		if err != nil {
			st.reset()
			continue
		}
		c.liar.mu.Lock()
		relay := c.liar.relay
		c.liar.mu.Unlock()
		if h.kind != forRelaying || relay == nil {
			return &prefixed{st, bytes.NewReader(h.append(nil))}, nil
		}
		if !c.liar.spawn(func() { relay(c.liar.currentLink(c.peer), st, h) }) {
			st.reset()
		}
	}
}

func (c *lyingCarrier) remote() netip.AddrPort {
	c.liar.mu.Lock()
	defer c.liar.mu.Unlock()
	return cmp.Or(c.liar.sees, c.carrier.remote())
}

// prefixed is a stream of which the beginning was read already.
type prefixed struct {
	stream
	first *bytes.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if p.first.Len() > 0 {
		return p.first.Read(b)
	}
	return p.stream.Read(b)
}

// reachTo gives the liar a carrier to a host.
func (m *liar) reachTo(t *testing.T, to *Overlay, at netip.AddrPort) {
	t.Helper()
	config, err := m.diallerConfig(to.id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := m.approach(ctx, to.id, way{carrier: carrierQUIC, address: at, door: m.door.transport}, config)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := c.carrier()
	if err != nil {
		t.Fatal(err)
	}
	lying := &lyingCarrier{carrier: inner, liar: m, peer: to.id}
	if _, err := m.adopt(lying, arrival{peer: to.id, dialled: true, theirs: c.theirs}); err != nil {
		t.Fatal(err)
	}
}

// relayWith has the liar relay like this from now on.
func (m *liar) relayWith(relay func(from *link, st stream, ask header)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.relay = relay
}

// says has the liar see everybody at an address.
func (m *liar) says(at netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sees = at
}

// open opens the far half of a flow that the liar relays.
func (m *liar) open(to kith.ID, h header) stream {
	l := m.directLink(to)
	if l == nil {
		return nil
	}
	st, err := l.openStream(m.ctx)
	if err != nil {
		return nil
	}
	st.Write(h.append(nil))
	return st
}

// pipe passes bytes on, as change makes them, until it returns an error. It
// ends both streams.
func (m *liar) pipe(a, b stream, change func(outward bool, p []byte) ([]byte, error)) {
	one := func(to, from stream, outward bool) {
		defer a.reset()
		defer b.reset()
		buf := make([]byte, 4<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.seen = append(m.seen, buf[:n]...)
			m.mu.Unlock()
			p, err := change(outward, buf[:n])
			to.Write(p)
			if err != nil {
				return
			}
		}
	}
	if m.spawn(func() { one(b, a, true) }) {
		one(a, b, false)
	}
}

func faithful(_ bool, p []byte) ([]byte, error) { return p, nil }

// hamlet is where the liar lives: ash and birch can reach each other through it
// and through the honest nut only.
type hamlet struct {
	*village
	a, b, n *Overlay
	m       *liar
	hosts   map[kith.ID]*internet.Host
}

func newHamlet(t *testing.T) *hamlet {
	v := &village{club: newClub(), net: internet.New(internet.Config{Seed: 1})}
	h := &hamlet{village: v}
	mallory := idOf(newKey(3))
	ash, birch, away := v.net.Public().Host("ash"), v.net.Public().Host("birch"), v.net.Public().Host("mallory")
	h.a, h.b = v.settle(t, 1, ash, mallory), v.settle(t, 2, birch, mallory)
	h.n = v.settle(t, 4, v.net.Public().Host("nut"))
	h.m = &liar{Overlay: v.settle(t, 3, away)}
	h.hosts = map[kith.ID]*internet.Host{h.a.id: ash, h.b.id: birch, mallory: away}
	v.net.Partition([]*internet.Host{ash}, []*internet.Host{birch})
	for _, o := range []*Overlay{h.a, h.b} {
		h.m.reachTo(t, o, v.where(o.id)[0])
	}
	h.place(mallory)
	meet(t, h.n, h.a, h.b)
	return h
}

// secret is said on sockets, and nobody in between may read it.
const secret = "between you and me"

// echoes has b answer what is said to it.
func (h *hamlet) echoes(t *testing.T) kith.Address {
	t.Helper()
	l, err := h.b.Listen(t.Context(), kith.Address{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if p, _ := kith.PeerOf(conn); p.ID != h.a.id {
				t.Errorf("birch hears %s, want ash", p.ID.Short())
			}
			go io.Copy(conn, conn)
		}
	}()
	return l.Addr().(kith.Address)
}

func (h *hamlet) say(t *testing.T, conn io.ReadWriter) {
	t.Helper()
	got := make([]byte, len(secret))
	if _, err := conn.Write([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != secret {
		t.Fatalf("read %q, %v", got, err)
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if bytes.Contains(h.m.seen, []byte(secret)) {
		t.Error("the relay reads along")
	}
}

var errEnough = errors.New("enough")

// lies are ways to relay that do not lead to the host that was asked for.
var lies = []struct {
	name string
	tell func(h *hamlet, from *link, st stream, ask header)
}{
	{"says that somebody else calls", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: h.n.id})
		writeVerdict(st, nil)
		h.m.pipe(st, far, faithful)
	}},
	{"says that the callee calls", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: ask.host, candidates: h.where(ask.host)})
		writeVerdict(st, nil)
		h.m.pipe(st, far, faithful)
	}},
	{"says that a stranger calls", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: idOf(newKey(99))})
		writeVerdict(st, nil)
		h.m.pipe(st, far, faithful)
	}},
	{"says that a joiner calls", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed})
		writeVerdict(st, nil)
		h.m.pipe(st, far, faithful)
	}},
	{"answers itself", func(h *hamlet, from *link, st stream, ask header) {
		writeVerdict(st, nil)
		h.m.receive(&streamConn{stream: st}, origin{via: h.n.id, caller: from.peer}, func() {})
	}},
	{"connects to another member", func(h *hamlet, from *link, st stream, ask header) {
		other := h.m.directLink(h.a.id)
		far, _ := other.openStream(h.m.ctx)
		far.Write(header{kind: forRelayed, host: ask.host}.append(nil))
		writeVerdict(st, nil)
		h.m.pipe(st, far, faithful) // back to the caller
	}},
	{"flips a bit", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
		writeVerdict(st, nil)
		passed := 0
		h.m.pipe(st, far, func(outward bool, p []byte) ([]byte, error) {
			if passed += len(p); outward && passed > 1000 {
				p[len(p)/2] ^= 1
			}
			return p, nil
		})
	}},
	{"truncates", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
		writeVerdict(st, nil)
		h.m.pipe(st, far, func(outward bool, p []byte) ([]byte, error) { return p[:len(p)/2], errEnough })
	}},
	{"drops at random", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
		writeVerdict(st, nil)
		pieces := 0
		h.m.pipe(st, far, func(_ bool, p []byte) ([]byte, error) {
			if pieces++; pieces%2 == 0 {
				return nil, nil
			}
			return p, nil
		})
	}},
	{"says everything twice", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
		writeVerdict(st, nil)
		h.m.pipe(st, far, func(_ bool, p []byte) ([]byte, error) { return append(p, p...), nil })
	}},
	{"holds everything for a minute", func(h *hamlet, from *link, st stream, ask header) {
		far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
		writeVerdict(st, nil)
		h.m.pipe(st, far, func(_ bool, p []byte) ([]byte, error) {
			select {
			case <-time.After(time.Minute):
			case <-h.m.ctx.Done():
			}
			return p, nil
		})
	}},
	{"accepts and says nothing", func(h *hamlet, from *link, st stream, ask header) { writeVerdict(st, nil) }},
	{"accepts and hangs up", func(h *hamlet, from *link, st stream, ask header) {
		writeVerdict(st, nil)
		st.close()
	}},
	{"gives no verdict", func(h *hamlet, from *link, st stream, ask header) {}},
	{"says that the caller is no member", func(h *hamlet, from *link, st stream, ask header) {
		writeVerdict(st, kith.NotMember)
		st.close()
	}},
	{"says that it does not know the callee", func(h *hamlet, from *link, st stream, ask header) {
		writeVerdict(st, kith.NotFound)
		st.close()
	}},
	{"babbles", func(h *hamlet, from *link, st stream, ask header) {
		writeVerdict(st, nil)
		st.Write(bytes.Repeat([]byte("\x16\x03\x03\x40\x00"), 1000))
	}},
}

// TestLyingRelay has a relay lie to those who meet through it. They meet
// through the next one.
func TestLyingRelay(t *testing.T) {
	for _, lie := range lies {
		t.Run(lie.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHamlet(t)
				var asked atomic.Bool
				h.m.relayWith(func(from *link, st stream, ask header) {
					asked.Store(true)
					lie.tell(h, from, st, ask)
				})
				to := h.echoes(t)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				began := time.Now()
				conn, err := h.a.Dial(ctx, to)
				if err != nil {
					t.Fatal(err)
				}
				h.say(t, conn)
				if took := time.Since(began); took > 12*time.Second || !asked.Load() {
					t.Errorf("a socket after %v, the liar was asked: %v", took, asked.Load())
				}
				for _, o := range []*Overlay{h.a, h.b} {
					for _, p := range o.Peers() {
						if p.ID == o.id || p.Via == h.m.id {
							t.Errorf("%s has a carrier to %s through %s", o.id.Short(), p.ID.Short(), p.Via.Short())
						}
					}
				}
			})
		})
	}
}

// TestRelayBeginsToLie has a relay be honest until a socket is open. The socket
// goes on through the next relay, and not a byte is wrong.
func TestRelayBeginsToLie(t *testing.T) {
	for _, lie := range []struct {
		name   string
		change func(h *hamlet, p []byte) ([]byte, error)
	}{
		{"flips a bit", func(_ *hamlet, p []byte) ([]byte, error) { p[len(p)/2] ^= 1; return p, nil }},
		{"truncates", func(_ *hamlet, p []byte) ([]byte, error) { return p[:len(p)/2], errEnough }},
		{"says everything twice", func(_ *hamlet, p []byte) ([]byte, error) { return append(p, p...), nil }},
		{"swallows everything", func(_ *hamlet, p []byte) ([]byte, error) { return nil, nil }},
		{"says what was said before", func(h *hamlet, p []byte) ([]byte, error) {
			h.m.mu.Lock()
			defer h.m.mu.Unlock()
			return bytes.Clone(h.m.seen[:min(len(p), len(h.m.seen))]), nil
		}},
		{"adds", func(_ *hamlet, p []byte) ([]byte, error) { return append(p, "and so on"...), nil }},
	} {
		t.Run(lie.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHamlet(t)
				var lying atomic.Bool
				h.m.relayWith(func(from *link, st stream, ask header) {
					far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
					writeVerdict(st, nil)
					h.m.pipe(st, far, func(_ bool, p []byte) ([]byte, error) {
						if lying.Load() {
							return lie.change(h, p)
						}
						return p, nil
					})
				})
				conn, err := h.a.Dial(t.Context(), h.echoes(t))
				if err != nil {
					t.Fatal(err)
				}
				h.say(t, conn)
				if _, via := pathOf(h.a, h.b); via != h.m.id {
					t.Fatalf("through %s, want the liar", via.Short())
				}
				lying.Store(true)
				began := time.Now()
				for range 20 {
					h.say(t, conn)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("the socket goes on after %v", took)
				}
				if _, via := pathOf(h.a, h.b); via != h.n.id {
					t.Errorf("through %s, want the honest relay", via.Short())
				}
			})
		})
	}
}

// TestReplayedFlow has a relay say again to each end what the other said when
// they met.
func TestReplayedFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHamlet(t)
		said := make(map[bool][]byte) // by the caller, by the callee
		h.m.relayWith(func(from *link, st stream, ask header) {
			far := h.m.open(ask.host, header{kind: forRelayed, host: from.peer})
			writeVerdict(st, nil)
			h.m.pipe(st, far, func(outward bool, p []byte) ([]byte, error) {
				h.m.mu.Lock()
				defer h.m.mu.Unlock()
				said[outward] = append(said[outward], p...)
				return p, nil
			})
		})
		conn, err := h.a.Dial(t.Context(), h.echoes(t))
		if err != nil {
			t.Fatal(err)
		}
		h.say(t, conn)
		before := len(links(h.b, h.a.id))
		h.m.mu.Lock()
		words := said[true]
		h.m.mu.Unlock()
		for range 5 {
			st := h.m.open(h.b.id, header{kind: forRelayed, host: h.a.id})
			st.Write(words)
			time.Sleep(time.Second)
			if n := len(links(h.b, h.a.id)); n > before {
				t.Errorf("a replay made a carrier: %d, %d before", n, before)
			}
		}
		h.say(t, conn)

		// And to the caller, when it calls again.
		var asked atomic.Int32
		h.m.relayWith(func(from *link, st stream, ask header) {
			asked.Add(1)
			writeVerdict(st, nil)
			h.m.mu.Lock()
			defer h.m.mu.Unlock()
			st.Write(said[false])
		})
		cut(h.a, h.b)
		h.say(t, conn)
		if _, via := pathOf(h.a, h.b); via != h.n.id || asked.Load() == 0 {
			t.Errorf("through %s, the liar was asked %d times", via.Short(), asked.Load())
		}
	})
}
