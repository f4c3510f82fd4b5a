package composite_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"kith.alt/kith"
	"kith.alt/kith/network/composite"
	"kith.alt/kith/network/ip"
	"kith.alt/kith/network/local"
	"kith.alt/kith/network/memory"
	"kith.alt/kith/network/networktest"
)

var oak, maple = kith.ID{1}, kith.ID{2}

// TestNetwork runs the suite on each member network, through a composite one.
func TestNetwork(t *testing.T) {
	for _, c := range []struct {
		name       string
		address    func(t *testing.T) kith.Address
		reach      func(net.Addr) kith.Address
		identified bool
	}{
		{name: "ip", address: func(*testing.T) kith.Address { return kith.Address{Host: "127.0.0.1"} }},
		{name: "local", address: func(t *testing.T) kith.Address {
			return kith.Address{Host: filepath.Join(t.TempDir(), "socket")}
		}},
		{name: "overlay", identified: true, address: func(*testing.T) kith.Address { return kith.Address{} }},
		{name: "names", identified: true, address: func(*testing.T) kith.Address { return kith.Address{Host: "maple"} },
			reach: func(a net.Addr) kith.Address {
				return kith.Address{Host: "Maple.home.kith.alt.", Port: a.(kith.Address).Port}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			networktest.Run(t, func(t *testing.T) networktest.Pair {
				hub := memory.NewHub()
				node := func(id kith.ID) kith.Network {
					return composite.New(composite.Config{IP: ip.Network{}, Local: local.Network{}, Overlay: hub.Network(id), Resolve: resolve})
				}
				pair := networktest.Pair{
					Dialer:   node(oak),
					Listener: node(maple),
					Address:  func() kith.Address { return c.address(t) },
					Reach:    c.reach,
					Conns:    50,
					Bytes:    1 << 20,
				}
				if c.identified {
					pair.DialerID, pair.ListenerID = oak, maple
				}
				return pair
			})
		})
	}
}

func TestPacketNetwork(t *testing.T) {
	networktest.RunPacket(t, func(t *testing.T) networktest.PacketPair {
		hub := memory.NewHub()
		node := func(id kith.ID) kith.PacketNetwork {
			return composite.New(composite.Config{IP: ip.Network{}, Overlay: hub.Network(id), Resolve: resolve})
		}
		return networktest.PacketPair{Near: node(oak), Far: node(maple), NearPeer: kith.Peer{ID: oak}, FarPeer: kith.Peer{ID: maple}}
	})
}

// TestPacketNames writes to names.
func TestPacketNames(t *testing.T) {
	hub := memory.NewHub()
	n := composite.New(composite.Config{IP: ip.Network{}, Overlay: hub.Network(oak), Resolve: resolve})
	far, err := hub.Network(maple).ListenPacket(t.Context(), kith.Address{Port: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	socket, err := n.ListenPacket(t.Context(), kith.Address{})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	conn, err := n.DialPacket(t.Context(), kith.Address{Host: "Maple.home.kith.alt.", Port: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buffer := make([]byte, 16)
	for what, write := range map[string]func() (int, error){
		"name": func() (int, error) { return socket.WriteTo([]byte("name"), kith.Address{Host: "maple", Port: 7}) },
		"full": func() (int, error) {
			return socket.WriteTo([]byte("full"), kith.Address{Host: "maple.home.kith.alt", Port: 7})
		},
		"dial": func() (int, error) { return conn.Write([]byte("dial")) },
	} {
		if _, err := write(); err != nil {
			t.Error(err)
		}
		if n, _, err := far.ReadFrom(buffer); err != nil || string(buffer[:n]) != what {
			t.Errorf("read %q, %v, want %q", buffer[:n], err, what)
		}
	}
	for host, kind := range map[string]kith.Kind{"elm": kith.NotFound, "127.0.0.1": kith.Denied, "/run/s": kith.Denied} {
		if _, err := socket.WriteTo(nil, kith.Address{Host: host, Port: 7}); !errors.Is(err, kind) {
			t.Errorf("write to %s: %v, want kind %q", host, err, kind)
		}
		if _, err := n.DialPacket(t.Context(), kith.Address{Host: host, Port: 7}); !errors.Is(err, kind) {
			t.Errorf("dial %s: %v, want kind %q", host, err, kind)
		}
	}
	if _, err := n.ListenPacket(t.Context(), kith.Address{Host: "127.0.0.1", Port: 7}); !errors.Is(err, kith.Denied) {
		t.Errorf("listen on an IP address: %v", err)
	}
}

func resolve(name string) (kith.ID, error) {
	switch name {
	case "maple", "maple.home.kith.alt":
		return maple, nil
	}
	return kith.ID{}, fmt.Errorf("host %s: %w", name, kith.NotFound)
}

// recorder is a network that fails with what it was asked for.
type recorder string

func (r recorder) Dial(_ context.Context, address kith.Address) (net.Conn, error) {
	return nil, errors.New(string(r) + " " + address.String())
}

func (r recorder) Listen(_ context.Context, address kith.Address) (net.Listener, error) {
	return nil, errors.New(string(r) + " " + address.String())
}

func TestPick(t *testing.T) {
	n := composite.New(composite.Config{IP: recorder("ip"), Local: recorder("local"), Overlay: recorder("overlay"), Resolve: resolve})
	onMaple := "overlay " + maple.String() + ":80"
	for host, want := range map[string]string{
		"127.0.0.1":                           "ip 127.0.0.1:80",
		"::1":                                 "ip [::1]:80",
		"fe80::1%eth0":                        "ip [fe80::1%eth0]:80",
		"LOCALHOST":                           "ip LOCALHOST:80",
		"/run/kith.sock":                      "local /run/kith.sock",
		`C:\kith\kith.sock`:                   `local C:\kith\kith.sock`,
		"":                                    "overlay :80",
		maple.String():                        onMaple,
		strings.ToUpper(maple.String()):       onMaple,
		maple.String() + ".kith.alt":          onMaple,
		maple.String() + ".KITH.ALT.":         onMaple,
		"maple":                               onMaple,
		"MAPLE.home.kith.alt.":                onMaple,
		"elm":                                 "not found",
		"example.org":                         "not found",
		maple.String()[:55] + "z":             "not found",
		"www." + maple.String() + ".kith.alt": "not found",
	} {
		address := kith.Address{Host: host, Port: 80}
		_, dialErr := n.Dial(t.Context(), address)
		_, listenErr := n.Listen(t.Context(), address)
		for _, err := range []error{dialErr, listenErr} {
			if want == "not found" && errors.Is(err, kith.NotFound) {
				continue
			}
			if err.Error() != want {
				t.Errorf("%q: %v, want %s", host, err, want)
			}
		}
	}
}

func TestMissingMembers(t *testing.T) {
	n := composite.New(composite.Config{})
	for host, want := range map[string]kith.Kind{
		"127.0.0.1":    kith.Denied,
		"/run/s":       kith.Denied,
		maple.String(): kith.Denied,
		"":             kith.Denied,
		"maple":        kith.NotFound,
	} {
		if _, err := n.Dial(t.Context(), kith.Address{Host: host}); !errors.Is(err, want) {
			t.Errorf("dial %q: %v, want kind %q", host, err, want)
		}
	}
}
