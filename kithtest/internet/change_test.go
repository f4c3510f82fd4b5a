package internet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/kithtest/internet"
)

func changed(changes <-chan struct{}) bool {
	synctest.Wait()
	select {
	case _, ok := <-changes:
		return ok
	default:
		return false
	}
}

func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		home, cafe := n.Router(internet.PortRestricted), n.Router(internet.FullCone)
		oak := home.Host("oak")
		ctx, cancel := context.WithCancel(t.Context())
		changes := oak.Changes(ctx)
		first := oak.Address()
		for _, step := range []struct {
			name    string
			do      func()
			changes bool
			inside  netip.Prefix
		}{
			{"nothing", func() {}, false, home.Inside()},
			{"moved", func() { oak.Move(cafe) }, true, cafe.Inside()},
			{"unplugged", oak.Unplug, true, netip.Prefix{}},
			{"unplugged again", oak.Unplug, false, netip.Prefix{}},
			{"plugged in", oak.Plug, true, cafe.Inside()},
			{"asleep", oak.Sleep, false, cafe.Inside()},
			{"awake", oak.Wake, true, cafe.Inside()},
			{"home again", func() { oak.Move(home) }, true, home.Inside()},
			{"the router reboots", home.Reboot, false, home.Inside()},
		} {
			step.do()
			if got := changed(changes); got != step.changes {
				t.Errorf("%s: changed = %t", step.name, got)
			}
			interfaces := oak.Interfaces()
			if interfaces[0] != netip.MustParsePrefix("127.0.0.1/8") {
				t.Errorf("%s: no loopback in %v", step.name, interfaces)
			}
			if step.inside.IsValid() {
				if len(interfaces) != 2 || interfaces[1].Masked() != step.inside || interfaces[1].Addr() != oak.Address() {
					t.Errorf("%s: %v", step.name, interfaces)
				}
			} else if len(interfaces) != 1 || oak.Address().IsValid() {
				t.Errorf("%s: %v", step.name, interfaces)
			}
		}
		if oak.Address() != first {
			t.Errorf("home again at %v instead of %v", oak.Address(), first)
		}
		cancel()
		if _, open := <-changes; open {
			t.Error("not closed at the end")
		}
		oak.Move(cafe)
	})
}

// TestConnectionsStall has connections live on without a path, and go on when
// it is back.
func TestConnectionsStall(t *testing.T) {
	for name, fault := range map[string]func(*internet.Net, *internet.Host, *internet.Host) (mend func()){
		"unplugged": func(_ *internet.Net, oak, _ *internet.Host) func() { oak.Unplug(); return oak.Plug },
		"asleep":    func(_ *internet.Net, oak, _ *internet.Host) func() { oak.Sleep(); return oak.Wake },
		"moved": func(n *internet.Net, oak, _ *internet.Host) func() {
			home := oak.Router()
			oak.Move(n.Router(internet.PortRestricted))
			return func() { oak.Move(home) }
		},
		"partition": func(n *internet.Net, oak, elm *internet.Host) func() {
			n.Partition([]*internet.Host{elm}, []*internet.Host{oak})
			return n.Heal
		},
		"loss": func(_ *internet.Net, _, elm *internet.Host) func() {
			elm.Link().SetLoss(1)
			return func() { elm.Link().SetLoss(0) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := internet.New(internet.Config{Seed: 1})
				oak, elm := n.Router(internet.PortRestricted).Host("oak"), n.Public().Host("elm")
				near, far := connect(t, oak, elm)
				mend := fault(n, oak, elm)
				for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
					if _, err := pair[0].Write([]byte("hello")); err != nil {
						t.Fatal(err)
					}
					pair[1].SetReadDeadline(time.Now().Add(10 * time.Minute))
					if _, err := pair[1].Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("without a path: %v", err)
					}
					pair[1].SetReadDeadline(time.Time{})
				}
				mend()
				for _, c := range []net.Conn{near, far} {
					if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
						t.Errorf("when the path was back: %v", err)
					}
				}
			})
		})
	}
}

// TestRouterForgetsTCP: what the other side gets comes from nowhere it knows.
func TestRouterForgetsTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.Symmetric)
		near, _ := connect(t, router.Host("oak"), n.Public().Host("elm"))
		router.Forget()
		near.Write([]byte("hello"))
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v", err)
		}
	})
}

func TestUDPWithoutAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		oak, elm := n.Public().Host("oak"), newSpeaker(t, n.Public().Host("elm"), 1)
		conn, err := oak.ListenUDP(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fixed, err := oak.ListenUDP(t.Context(), oak.Address().String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer fixed.Close()
		home := n.Router(internet.PortRestricted)

		oak.Unplug()
		for _, c := range []net.PacketConn{conn, fixed} {
			if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(elm.at())); !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("sent without an address: %v", err)
			}
		}
		oak.Move(home)
		for c, want := range map[net.PacketConn]bool{conn: true, fixed: false} {
			before := len(elm.lines)
			if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(elm.at())); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if got := len(elm.lines) > before; got != want {
				t.Errorf("sent from %v: %t", c.LocalAddr(), got)
			}
		}
	})
}

func TestBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		oak := n.Public().Host("oak")
		own := oak.Address().String()
		type socket interface{ Close() error }
		for _, first := range []string{"", "127.0.0.1", own} {
			for _, second := range []string{"", "::", "127.0.0.1", "localhost", own} {
				for name, listen := range map[string]func(host string) (socket, error){
					"tcp": func(host string) (socket, error) { return oak.ListenTCP(t.Context(), host, 4747) },
					"udp": func(host string) (socket, error) { return oak.ListenUDP(t.Context(), host, 4747) },
				} {
					a, err := listen(first)
					if err != nil {
						t.Fatal(err)
					}
					free := first == own && second == "127.0.0.1" || first == own && second == "localhost" || first == "127.0.0.1" && second == own
					b, err := listen(second)
					if free != (err == nil) || !free && !errors.Is(err, kith.InUse) {
						t.Errorf("%s: %q after %q: %v", name, second, first, err)
					}
					if err == nil {
						b.Close()
					}
					a.Close()
				}
			}
		}
		if _, err := oak.ListenUDP(t.Context(), "192.168.77.1", 0); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("an address of somebody else: %v", err)
		}
		if _, err := oak.ListenUDP(t.Context(), "example.net", 0); err == nil {
			t.Error("a name was taken for an address")
		}
		l, err := oak.ListenTCP(t.Context(), "127.0.0.1", 0)
		if err != nil || l.Addr().(*net.TCPAddr).Port == 0 {
			t.Fatalf("any free port: %v, %v", l, err)
		}
		accepted := make(chan error)
		go func() {
			_, err := l.Accept()
			accepted <- err
		}()
		synctest.Wait()
		l.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept on a closed listener: %v", err)
		}
	})
}

func TestCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.Symmetric)
		oak, elm := newSpeaker(t, router.Host("oak"), 4747), newSpeaker(t, n.Public().Host("elm"), 1)
		home := newSpeaker(t, n.Router(internet.FullCone).Host("ash"), 2)
		home.say("hello", elm.at())
		time.Sleep(time.Second)
		victim := elm.heard("hello")

		var packets []internet.Packet
		n.Capture(func(p internet.Packet) { packets = append(packets, p) })
		for range 3 {
			oak.say("12345678", victim)
		}
		nowhere := netip.MustParseAddrPort("203.0.113.250:9")
		oak.say("x", nowhere)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(packets) != 4 {
			t.Fatalf("captured %d packets", len(packets))
		}
		p := packets[1] // what goes nowhere ends first
		if p.Fate != internet.Delivered || p.From != oak.host || p.To != home.host || p.Protocol != internet.UDP || p.Size != 36 ||
			p.Source != oak.at() || p.Destination != victim ||
			p.TranslatedSource.Addr() != router.Outside() || p.TranslatedSource.Port() == 4747 || p.TranslatedDestination != home.at() {
			t.Errorf("captured %+v", p)
		}
		if p := packets[0]; p.Fate != internet.NoRoute || p.To != nil || p.Destination != nowhere {
			t.Errorf("captured %+v", p)
		}
		if sent := n.Sent(); sent[victim] != 3 || sent[nowhere] != 1 {
			t.Errorf("sent %v", sent)
		}
		if got, want := home.host.Traffic(), (internet.Traffic{PacketsSent: 1, BytesSent: 33, PacketsReceived: 3, BytesReceived: 108}); got != want {
			t.Errorf("counted %+v, want %+v", got, want)
		}
	})
}
