package overlay

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"kith.alt/kith"
)

func TestStrangerIsRefused(t *testing.T) {
	for _, carrier := range bothCarriers {
		t.Run(carrier, func(t *testing.T) {
			c := newClub()
			inside, outside := c.member(t, 1, only(carrier)), newClub().stranger(t, 2, only(carrier), func(config *Config) {
				config.Admit = func(kith.ID, []byte) error { return nil }
				config.Addresses = c.where
			})
			_, err := outside.Dial(t.Context(), kith.Address{Host: inside.id.String(), Port: 80})
			if !errors.Is(err, kith.NotMember) || !bytes.Contains([]byte(err.Error()), []byte("the club does not know it")) {
				t.Errorf("stranger dials: %v, want kind %q and the acceptor's reason", err, kith.NotMember)
			}
			c.place(outside.id, netip.MustParseAddrPort("127.0.0.1:1"))
			if _, err := inside.Dial(t.Context(), kith.Address{Host: outside.id.String(), Port: 80}); !errors.Is(err, kith.NotMember) {
				t.Errorf("member dials a stranger: %v, want kind %q", err, kith.NotMember)
			}
			if n := len(inside.Peers()) + len(outside.Peers()); n != 0 {
				t.Errorf("%d carriers are up", n)
			}
		})
	}
}

// TestDiallerRefusesAcceptor has the dialler change its mind about the
// acceptor while the handshake runs: neither side may count the carrier as up.
func TestDiallerRefusesAcceptor(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a := c.member(t, 1, only(carrier), func(config *Config) {
			asked := 0
			config.Admit = func(id kith.ID, proof []byte) error {
				if asked++; asked > 1 {
					return kith.NotMember
				}
				return nil
			}
		})
		b := c.member(t, 2, only(carrier), func(config *Config) {
			config.OnPeer = func(kith.ID, bool) { t.Error("the acceptor counts the carrier as up") }
		})
		if err := a.Connect(t.Context(), b.id); !errors.Is(err, kith.NotMember) {
			t.Errorf("%s: %v, want kind %q", carrier, err, kith.NotMember)
		}
	}
}

func TestProofAdmits(t *testing.T) {
	for _, carrier := range bothCarriers {
		c := newClub()
		a := c.member(t, 1, only(carrier))
		b := c.stranger(t, 2, only(carrier), func(config *Config) {
			config.Admit = func(kith.ID, []byte) error { return nil }
			config.Proof = func() []byte { return []byte("ticket of " + idOf(config.Key).String()) }
		})
		if err := b.Connect(t.Context(), a.id); err != nil {
			t.Errorf("%s: dialler with a proof: %v", carrier, err)
		}
		if peers := a.Peers(); len(peers) != 1 || peers[0].ID != b.id || peers[0].Carrier != carrier {
			waitFor(t, "the acceptor's carrier", func() bool { return len(a.Peers()) == 1 })
		}
	}
}

// TestWrongKeyAtAddress dials a host where another one lives by now.
func TestWrongKeyAtAddress(t *testing.T) {
	for _, carriers := range [][]string{{carrierTLS}, {carrierQUIC}, bothCarriers} {
		c := newClub()
		a, b := c.member(t, 1, only(carriers...)), c.member(t, 2)
		gone := idOf(newKey(3))
		c.set(gone, true)
		c.place(gone, c.where(b.id)...)
		_, err := a.Dial(t.Context(), kith.Address{Host: gone.String(), Port: 80})
		if !errors.Is(err, kith.Unreachable) {
			t.Errorf("%v: %v, want kind %q", carriers, err, kith.Unreachable)
		}
		if len(b.Peers()) != 0 {
			t.Errorf("%v: the other host has a carrier", carriers)
		}
	}
}

func TestDialFindsTheOneGoodAddress(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	good := c.where(b.id)[0]
	c.place(b.id, netip.MustParseAddrPort("127.0.0.1:1"), c.where(a.id)[0], good)
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	if peers := a.Peers(); len(peers) != 1 || peers[0].Address != good || peers[0].Carrier != carrierTLS || !peers[0].Dialled {
		t.Errorf("peers %+v, want tls at %s", peers, good)
	}
}

// TestQUICWhereTCPIsBlocked has a firewall that lets UDP through only.
func TestQUICWhereTCPIsBlocked(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	b.door.tcp.Close()
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	if peers := a.Peers(); len(peers) != 1 || peers[0].Carrier != carrierQUIC {
		t.Errorf("peers %+v, want quic", peers)
	}
}

// TestProtocolIsRequired refuses who passes TLS without naming a protocol.
func TestProtocolIsRequired(t *testing.T) {
	c := newClub()
	a := c.member(t, 1)
	certificate, err := newCertificate(newKey(2))
	if err != nil {
		t.Fatal(err)
	}
	c.set(idOf(newKey(2)), true)
	config := baseConfig(certificate)
	config.VerifyConnection = nil
	conn, err := tls.Dial("tcp", c.where(a.id)[0].String(), config)
	if err == nil {
		conn.SetReadDeadline(time.Now().Add(patience))
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		t.Errorf("%v, want the host's TLS alert", err)
	}
}
