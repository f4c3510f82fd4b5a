package portmap

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kith.alt/kith/proto/pcp"
)

const (
	port    = 4747
	notAuth = 2 // the result, in both versions
)

// A gateway answers PCP and NAT-PMP as a router does.
type gateway struct {
	external       netip.Addr
	pcp, natpmp    bool
	refuses        bool
	outsidePort    uint16        // given in place of what is wished for
	grants         time.Duration // at most
	mu             sync.Mutex
	mappings       map[mapping]uint16
	asked, deleted int // packets
}

type mapping struct {
	protocol byte
	internal uint16
}

func newGateway() *gateway {
	return &gateway{external: netip.MustParseAddr("203.0.113.9"), pcp: true, natpmp: true, grants: 24 * time.Hour, mappings: make(map[mapping]uint16)}
}

// answer returns the answer to a packet, nil for none.
func (g *gateway) answer(p []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	switch {
	case p[0] == pcp.VersionPCP && !g.pcp && g.natpmp:
		return []byte{0, 0x80 | p[1], 0, 1, 0, 0, 0, 0} // RFC 6887 9
	case p[0] == pcp.VersionPCP && g.pcp:
		a := append([]byte(nil), p...)
		a[1] |= 0x80
		clear(a[8:24])
		if a[3] = 0; g.refuses {
			a[3] = notAuth
			return a
		}
		external, granted := g.put(mapping{p[36], binary.BigEndian.Uint16(p[40:])}, binary.BigEndian.Uint16(p[42:]), binary.BigEndian.Uint32(p[4:]))
		binary.BigEndian.PutUint32(a[4:], granted)
		binary.BigEndian.PutUint16(a[42:], external)
		b := g.external.As16()
		copy(a[44:], b[:])
		return a
	case p[0] == pcp.VersionNATPMP && g.natpmp && p[1] == 0:
		a := []byte{0, 0x80, 0, 0, 0, 0, 0, 0}
		return append(a, g.external.AsSlice()...)
	case p[0] == pcp.VersionNATPMP && g.natpmp:
		a := make([]byte, 16)
		a[1] = 0x80 | p[1]
		copy(a[8:10], p[4:6])
		if g.refuses {
			a[3] = notAuth
			return a
		}
		protocol := byte(pcp.UDP)
		if p[1] == 2 {
			protocol = pcp.TCP
		}
		external, granted := g.put(mapping{protocol, binary.BigEndian.Uint16(p[4:])}, binary.BigEndian.Uint16(p[6:]), binary.BigEndian.Uint32(p[8:]))
		binary.BigEndian.PutUint16(a[10:], external)
		binary.BigEndian.PutUint32(a[12:], granted)
		return a
	}
	return nil
}

func (g *gateway) put(m mapping, wish uint16, seconds uint32) (external uint16, granted uint32) {
	if seconds == 0 {
		g.deleted++
		delete(g.mappings, m)
		return 0, 0
	}
	if g.outsidePort != 0 {
		wish = g.outsidePort
	}
	g.mappings[m] = wish
	return wish, min(seconds, uint32(g.grants/time.Second))
}

// restart forgets everything.
func (g *gateway) restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.mappings)
}

// state returns how many mappings there are, and how many packets came.
func (g *gateway) state() (mappings, asked, deleted int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.mappings), g.asked, g.deleted
}

// A world is the gateways that a host may find, by address, in virtual time.
type world map[string]*gateway

func (w world) wire() wire {
	return wire{pcp: 5351, ssdp: 1900, dial: w.dial, listen: func(context.Context, string, string) (net.PacketConn, error) {
		return nil, fmt.Errorf("no UPnP here")
	}}
}

func (w world) dial(_ context.Context, _, address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address)
	g := w[to.Addr().String()]
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for buf := make([]byte, 2048); ; {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			if g == nil || to.Port() != 5351 {
				continue
			}
			if a := g.answer(buf[:n]); a != nil {
				far.SetWriteDeadline(time.Now().Add(time.Second))
				far.Write(a)
			}
		}
	}()
	return packetConn{near}, nil
}

// A packetConn is one end of a pipe with an address.
type packetConn struct{ net.Conn }

func (packetConn) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(192, 168, 1, 5), Port: 50000}
}

// serveUDP answers on a real socket.
func (g *gateway) serveUDP(t *testing.T) uint16 {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for buf := make([]byte, 2048); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if a := g.answer(buf[:n]); a != nil {
				conn.WriteTo(a, from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

var quiet = slog.New(slog.DiscardHandler)

// newMapper returns a Mapper on a wire, and counts its calls of Changed.
func newMapper(w wire, gateways func() []netip.Addr) *Mapper {
	m := New(Config{Port: func() uint16 { return port }, Gateways: gateways, Log: quiet})
	m.wire = w
	return m
}

func at(addresses ...string) func() []netip.Addr {
	var all []netip.Addr
	for _, a := range addresses {
		all = append(all, netip.MustParseAddr(a))
	}
	return func() []netip.Addr { return all }
}

// serve runs Serve until stop is called, which waits for its end.
func serve(t *testing.T, m *Mapper) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}
