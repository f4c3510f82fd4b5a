package netlab

import (
	"crypto/rand"
	"io"
	"maps"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A probe is a UDP socket on a computer of the lab.
type probe struct {
	t    T
	conn *net.UDPConn
	at   netip.AddrPort
}

func newProbe(c *Computer, address string) probe {
	c.t.Helper()
	conn := c.ListenUDP(address)
	return probe{c.t, conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()}
}

func (p probe) send(to netip.AddrPort, text string) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(text), to); err != nil {
		p.t.Fatal(err)
	}
}

// receive returns the next packet and where it seems to come from.
func (p probe) receive() (text string, from netip.AddrPort) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 2048)
	n, from, err := p.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(buf[:n]), from
}

// seenBy sends a packet and returns the address that it arrives from.
func (p probe) seenBy(q probe) netip.AddrPort {
	p.t.Helper()
	p.send(q.at, "hello")
	_, from := q.receive()
	return from
}

// TestLabNAT sees that each kind of router maps and filters as its name says.
func TestLabNAT(t *testing.T) {
	for _, test := range []struct {
		kind                  NAT
		keepsPort, oneMapping bool
		letsStrangersIn       bool
	}{
		{FullCone, true, true, true},
		{PortRestricted, true, true, false},
		{Symmetric, false, false, false},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			t.Parallel()
			l := New(t)
			world := l.Internet()
			home := l.Home("home", world, test.kind)
			host := newProbe(home.Host("maple"), "192.168.1.10:4747")
			birch, elm := world.Host("birch"), world.Host("elm")
			known := newProbe(birch, world.Address(birch).String()+":4747")
			other := newProbe(birch, world.Address(birch).String()+":4748")
			stranger := newProbe(elm, world.Address(elm).String()+":4747")

			mapped := host.seenBy(known)
			if mapped.Addr() != world.Address(home.Computer) || (mapped.Port() == 4747) != test.keepsPort {
				t.Errorf("port 4747 behind %v appears as %v", world.Address(home.Computer), mapped)
			}
			// Packets of one sender arrive in order, and all take the same time:
			// where the second arrives first, the first was dropped.
			known.send(mapped, "known")
			if text, _ := host.receive(); text != "known" {
				t.Errorf("received %q", text)
			}
			other.send(mapped, "another port")
			known.send(mapped, "known")
			if text, _ := host.receive(); (text == "another port") != test.letsStrangersIn {
				t.Errorf("after two packets, of another port and of the known one, the first to arrive is from the %s", text)
			}
			if test.letsStrangersIn {
				host.receive()
				stranger.send(mapped, "stranger")
				if text, _ := host.receive(); text != "stranger" {
					t.Errorf("received %q", text)
				}
			}
			if again := host.seenBy(stranger); (again == mapped) != test.oneMapping {
				t.Errorf("appears as %v to one and %v to the next", mapped, again)
			}
		})
	}
}

// TestLabPunch has two hosts, with the same address behind port-restricted
// routers, write to each other at the same time: both are heard.
func TestLabPunch(t *testing.T) {
	t.Parallel()
	l := New(t)
	world := l.Internet()
	a, b := l.Home("a", world, PortRestricted), l.Home("b", world, PortRestricted)
	birch := world.Host("birch")
	known := newProbe(birch, world.Address(birch).String()+":4747")
	maple, oak := newProbe(a.Host("maple"), "192.168.1.10:4747"), newProbe(b.Host("oak"), "192.168.1.10:4747")
	atMaple, atOak := maple.seenBy(known), oak.seenBy(known)
	maple.send(atOak, "from maple")
	oak.send(atMaple, "from oak")
	if text, _ := maple.receive(); text != "from oak" {
		t.Errorf("maple received %q", text)
	}
	if text, _ := oak.receive(); text != "from maple" {
		t.Errorf("oak received %q", text)
	}

	// A router that has lost its mappings lets nothing in until its host speaks.
	a.Forget()
	oak.send(atMaple, "too early")
	oak.seenBy(known) // sent after it, so it has arrived
	maple.send(atOak, "from maple")
	oak.receive()
	oak.send(atMaple, "again")
	if text, _ := maple.receive(); text != "again" {
		t.Errorf("received %q through a router without mappings", text)
	}
}

// TestLabCarrierGrade has a home behind a router of its provider, which is
// behind another one.
func TestLabCarrierGrade(t *testing.T) {
	t.Parallel()
	l := New(t)
	world := l.Internet()
	provider := l.Router("provider", world, PortRestricted, "100.64.0.0/24")
	home := l.Home("home", provider, PortRestricted)
	birch := world.Host("birch")
	known := newProbe(birch, world.Address(birch).String()+":4747")
	maple := newProbe(home.Host("maple"), "192.168.1.10:4747")
	if mapped := maple.seenBy(known); mapped.Addr() != world.Address(provider.Computer) {
		t.Errorf("a host behind two routers appears as %v", mapped)
	}
}

// TestLabUDPBlocked has a router that lets TCP out and no UDP.
func TestLabUDPBlocked(t *testing.T) {
	t.Parallel()
	l := New(t)
	world := l.Internet()
	birch := world.Host("birch")
	known := newProbe(birch, world.Address(birch).String()+":4747")
	ln := birch.ListenTCP(known.at.String())
	maple := l.Home("home", world, UDPBlocked).Host("maple")
	newProbe(maple, "192.168.1.10:4747").send(known.at, "blocked")
	accepted := make(chan string)
	go func() {
		if conn, err := ln.Accept(); err == nil {
			conn.Close()
		}
		close(accepted)
	}()
	maple.Inside(func() error {
		conn, err := net.DialTimeout("tcp4", known.at.String(), patience)
		if err == nil {
			conn.Close()
		}
		return err
	})
	<-accepted
	known.send(known.at, "own")
	if text, _ := known.receive(); text != "own" {
		t.Errorf("received %q", text)
	}
}

// TestLabInternet measures the internet: the time a packet takes, cuts, and
// what it carries.
func TestLabInternet(t *testing.T) {
	t.Parallel()
	l := New(t)
	world := l.Internet()
	birch, elm, ash := world.Host("birch"), world.Host("elm"), world.Host("ash")
	p := newProbe(birch, world.Address(birch).String()+":4747")
	q := newProbe(elm, world.Address(elm).String()+":4747")
	r := newProbe(ash, world.Address(ash).String()+":4747")
	packets := birch.Capture()
	start := time.Now()
	p.seenBy(q)
	q.seenBy(p)
	if took := time.Since(start); took < 2*Latency {
		t.Errorf("a round trip takes %v", took)
	} else {
		t.Logf("a round trip takes %v", took)
	}

	world.Cut(birch, elm)
	p.send(q.at, "cut")
	p.seenBy(r) // sent after it, so it is lost by now
	world.Heal(birch, elm)
	p.send(q.at, "healed")
	if text, _ := q.receive(); text != "healed" {
		t.Errorf("received %q", text)
	}

	want := map[Destination]int{
		{unix.IPPROTO_UDP, q.at}: 3, // one of them cut
		{unix.IPPROTO_UDP, r.at}: 1,
	}
	if got := packets.Sent(); !maps.Equal(got, want) {
		t.Errorf("birch sent %v", got)
	}

	const size = 8 << 20
	ln := elm.ListenTCP(q.at.String())
	go func() {
		if conn, err := ln.Accept(); err == nil {
			io.CopyN(conn, rand.Reader, size)
			conn.Close()
		}
	}()
	start = time.Now()
	birch.Inside(func() error {
		conn, err := net.DialTimeout("tcp4", q.at.String(), patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		n, err := io.Copy(io.Discard, conn)
		if n != size {
			t.Errorf("%d of %d bytes arrive", n, size)
		}
		return err
	})
	t.Logf("TCP: %.0f Mbit/s", size*8/time.Since(start).Seconds()/1e6)
}
