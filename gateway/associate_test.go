package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/socks"
)

// packets returns a datagram socket of a member.
func (g *group) packets(t testing.TB, host string, port uint16) net.PacketConn {
	t.Helper()
	s, err := g.hub.Network(idOf(g.name(host))).ListenPacket(t.Context(), kith.Address{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// upper answers datagrams in capital letters, and says from where they came.
func upper(s net.PacketConn) <-chan kith.Address {
	senders := make(chan kith.Address, 100)
	go func() {
		buffer := make([]byte, kith.MaxDatagram)
		for {
			n, from, err := s.ReadFrom(buffer)
			if err != nil {
				return
			}
			select {
			case senders <- from.(kith.Sender).Address:
			default:
			}
			s.WriteTo(bytes.ToUpper(buffer[:n]), from)
		}
	}()
	return senders
}

// A datagramClient is a client of the proxy that has associated.
type datagramClient struct {
	testing.TB
	conn net.Conn
	udp  *net.UDPConn
}

func (r *running) associate(t testing.TB) *datagramClient {
	t.Helper()
	conn, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	relay, err := socks.Associate(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !relay.Addr().IsLoopback() {
		t.Fatalf("the relay is at %s", relay)
	}
	udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	return &datagramClient{t, conn, udp}
}

func (c *datagramClient) send(far socks.Request, payload string) {
	c.Helper()
	if _, err := c.udp.Write(socks.AppendDatagram(nil, far, []byte(payload))); err != nil {
		c.Error(err)
	}
}

// receive returns the next datagram as HOST:PORT=PAYLOAD, or "" after the
// patience given.
func (c *datagramClient) receive(patience time.Duration) string {
	c.Helper()
	c.udp.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 64<<10)
	n, err := c.udp.Read(buffer)
	if err != nil {
		return ""
	}
	far, payload, err := socks.ParseDatagram(buffer[:n])
	if err != nil {
		c.Error(err)
	}
	return far.Target() + "=" + string(payload)
}

func TestAssociate(t *testing.T) {
	g := newGroup()
	r := start(t, g, nil)
	senders := upper(g.packets(t, "maple", 7))
	stranger := g.packets(t, "maple", 8)
	c := r.associate(t)

	long := strings.Repeat("x", kith.MaxDatagram)
	for _, test := range []struct{ host, payload string }{
		{"maple", "hello"},
		{"maple.home.kith.alt", "hello"},
		{"MAPLE", ""},
		{idOf("maple.home.kith.alt").String() + ".kith.alt", "hello"},
		{"maple", long},
	} {
		c.send(socks.Request{Name: test.host, Port: 7}, test.payload)
		if got, want := c.receive(10*time.Second), test.host+":7="+strings.ToUpper(test.payload); got != want {
			t.Errorf("%s: %.100s, want %.100s", test.host, got, want)
		}
	}

	// Nothing of this arrives, and none of it does harm.
	us := <-senders
	if _, err := stranger.WriteTo([]byte("from a port that was not asked"), us); err != nil {
		t.Error(err)
	}
	for _, far := range []socks.Request{
		{IP: netip.MustParseAddr("127.0.0.1"), Port: 7}, {IP: netip.MustParseAddr("::1"), Port: 7},
		{Name: "127.0.0.1", Port: 7}, {Name: "localhost", Port: 7}, {Name: "example.org", Port: 7},
		{Name: "nobody", Port: 7}, {Name: "maple", Port: 0}, {Name: "maple", Port: 9},
	} {
		c.send(far, "hello")
	}
	c.send(socks.Request{Name: "maple", Port: 7}, long+"x")
	c.udp.Write([]byte("\x00\x00\x01\x03\x05maple\x00\x07fragment"))
	c.udp.Write([]byte("?"))
	c.udp.Write(nil)
	other, err := net.DialUDP("udp", nil, c.udp.RemoteAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.Write(socks.AppendDatagram(nil, socks.Request{Name: "maple", Port: 7}, []byte("from another socket")))
	if got := c.receive(100 * time.Millisecond); got != "" {
		t.Errorf("there came %.100s", got)
	}
	other.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := other.Read(make([]byte, 100)); err == nil {
		t.Errorf("another socket got %d bytes", n)
	}
	c.send(socks.Request{Name: "maple", Port: 7}, "still")
	if got := c.receive(10 * time.Second); got != "maple:7=STILL" {
		t.Errorf("afterwards: %s", got)
	}

	// The association ends with its connection, and its port is free.
	c.conn.Close()
	oak := g.hub.Network(idOf("oak.home.kith.alt"))
	for start := time.Now(); ; <-time.After(time.Millisecond) {
		s, err := oak.ListenPacket(t.Context(), kith.Address{Port: us.Port})
		if err == nil {
			s.Close()
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the association does not end")
		}
	}
}

// TestAssociateAnnounced: a client that says from which port it will send is
// heard from there only.
func TestAssociateAnnounced(t *testing.T) {
	g := newGroup()
	r := start(t, g, nil)
	upper(g.packets(t, "maple", 7))
	announced, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer announced.Close()
	conn, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	near := announced.LocalAddr().(*net.UDPAddr).AddrPort()
	if _, err := conn.Write(append([]byte("\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01"), byte(near.Port()>>8), byte(near.Port()))); err != nil {
		t.Fatal(err)
	}
	var answer [12]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[3] != 0 {
		t.Fatalf("%x, %v", answer, err)
	}
	relay := netip.AddrPortFrom(netip.AddrFrom4([4]byte(answer[6:10])), uint16(answer[10])<<8|uint16(answer[11]))
	other, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	datagram := socks.AppendDatagram(nil, socks.Request{Name: "maple", Port: 7}, []byte("hello"))
	if _, err := other.Write(datagram); err != nil {
		t.Fatal(err)
	}
	if _, err := announced.WriteToUDPAddrPort(datagram, relay); err != nil {
		t.Fatal(err)
	}
	announced.SetReadDeadline(time.Now().Add(10 * time.Second))
	buffer := make([]byte, 100)
	if n, err := announced.Read(buffer); err != nil || !bytes.HasSuffix(buffer[:n], []byte("HELLO")) {
		t.Errorf("%q, %v", buffer[:n], err)
	}
}

func TestAssociateLimit(t *testing.T) {
	r := start(t, newGroup(), nil)
	for range maxAssociations {
		r.associate(t)
	}
	conn, err := net.Dial("tcp", r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := socks.Associate(conn); !errors.Is(err, socks.GeneralFailure) {
		t.Errorf("one more than %d: %v", maxAssociations, err)
	}
}

func TestCorrespondents(t *testing.T) {
	c := newCorrespondents()
	at := func(i int) kith.Address { return kith.Address{Host: fmt.Sprint(i), Port: 7} }
	for i := range maxCorrespondents {
		c.note(at(i), "name")
	}
	c.note(at(0), "again")
	c.note(at(maxCorrespondents), "new")
	for i, want := range map[int]string{0: "again", 1: "", 2: "name", maxCorrespondents: "new"} {
		if got, _ := c.name(at(i)); got != want {
			t.Errorf("correspondent %d is %q, want %q", i, got, want)
		}
	}
	if n := c.recent.Len(); n != maxCorrespondents || len(c.byAddr) != n {
		t.Errorf("%d and %d are kept", n, len(c.byAddr))
	}
}
