package overlay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// newcomer is an overlay that only joins.
func newcomer(key ed25519.PrivateKey) *Overlay { return New(Config{Key: key}) }

// inviting answers joins with the request, turned round.
func inviting(open *atomic.Bool) func(*Config) {
	return func(c *Config) {
		c.JoinOpen = open.Load
		c.Join = func(_ context.Context, peer kith.ID, exporter, request []byte) ([]byte, error) {
			if string(request) == "bad ticket" {
				return nil, fmt.Errorf("the ticket is used up: %w", kith.Expired)
			}
			if string(request) == "break" {
				return nil, errors.New("a secret of the database")
			}
			if string(request) == "long" {
				return make([]byte, joinMaxBody+1), nil
			}
			return bytes.Join([][]byte{request, exporter, peer[:]}, nil), nil
		}
	}
}

func TestJoin(t *testing.T) {
	var open atomic.Bool
	c := newClub()
	both := c.member(t, 1, inviting(&open))
	udp := c.member(t, 2, inviting(&open))
	udp.door.tcp.Close()
	key := newKey(9)
	for _, server := range []*Overlay{both, udp} {
		join := func(request string) ([]byte, kith.ID, []byte, error) {
			var exported []byte
			addresses := c.where(server.id)
			if open.Load() { // else the answer waits for all of them
				addresses = append([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, addresses...)
			}
			reply, id, err := newcomer(key).Join(t.Context(), server.id, addresses, func(server kith.ID, exporter []byte) ([]byte, error) {
				exported = exporter
				return []byte(request), nil
			})
			return reply, id, exported, err
		}
		open.Store(false)
		if _, _, _, err := join("please"); !errors.Is(err, kith.Denied) {
			t.Errorf("join while no invitation is open: %v, want kind %q", err, kith.Denied)
		}
		open.Store(true)
		reply, id, exporter, err := join("please")
		own := idOf(key)
		if want := bytes.Join([][]byte{[]byte("please"), exporter, own[:]}, nil); err != nil || !bytes.Equal(reply, want) || id != server.id {
			t.Errorf("join: %q from %s, %v; want %q", reply, id.Short(), err, want)
		}
		if _, _, _, err := join("bad ticket"); !errors.Is(err, kith.Expired) || !strings.Contains(err.Error(), "used up") {
			t.Errorf("refused: %v, want kind %q and the reason", err, kith.Expired)
		}
		for _, request := range []string{"break", "long"} {
			if _, _, _, err := join(request); !errors.Is(err, kith.Temporary) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want kind %q and no more", request, err, kith.Temporary)
			}
		}
		if _, _, _, err := join(strings.Repeat("x", joinMaxBody+1)); !errors.Is(err, kith.Quota) {
			t.Errorf("oversized request: %v, want kind %q", err, kith.Quota)
		}
		if len(server.Peers()) != 0 {
			t.Error("joining made a carrier")
		}
	}
}

// TestJoinPassesBy has other hosts at addresses of the ticket: one closed to
// joiners, one that refuses, one that would let everybody in.
func TestJoinPassesBy(t *testing.T) {
	var open, closed atomic.Bool
	open.Store(true)
	c := newClub()
	shut, meant := c.member(t, 1, inviting(&closed)), c.member(t, 2, inviting(&open))
	refusing := c.member(t, 3, inviting(&open), func(config *Config) {
		config.Join = func(context.Context, kith.ID, []byte, []byte) ([]byte, error) {
			return nil, fmt.Errorf("the ticket is forged: %w", kith.Denied)
		}
	})
	where := func(hosts ...*Overlay) (addresses []netip.AddrPort) {
		for _, o := range hosts {
			addresses = append(addresses, c.where(o.id)...)
		}
		return addresses
	}
	for _, test := range []struct {
		at       []netip.AddrPort
		server   kith.ID
		kind     kith.Kind
		contains string
	}{
		{where(shut, meant), meant.id, "", ""},
		{where(refusing, meant), meant.id, "", ""},
		{where(refusing, shut, meant), meant.id, "", ""},
		{where(shut, refusing), refusing.id, kith.Denied, "forged"},
		{where(shut), kith.ID{}, kith.Denied, "no invitation is open there"},
		{where(), kith.ID{}, kith.Unreachable, ""},
	} {
		_, id, err := newcomer(newKey(9)).Join(t.Context(), meant.id, test.at,
			func(kith.ID, []byte) ([]byte, error) { return []byte("please"), nil })
		if id != test.server || (test.kind == "") != (err == nil) || err != nil && (!errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.contains)) {
			t.Errorf("at %v: server %s, %v; want %s, kind %q", test.at, id.Short(), err, test.server.Short(), test.kind)
		}
	}

	// Another host lets us in where the inviter is not; but for one that the
	// request does not want.
	other := c.member(t, 4, inviting(&open))
	for _, want := range []error{nil, errors.New("not this one")} {
		_, id, err := newcomer(newKey(9)).Join(t.Context(), idOf(newKey(5)), where(refusing, other),
			func(server kith.ID, _ []byte) ([]byte, error) {
				if server == other.id {
					return []byte("please"), want
				}
				return []byte("please"), nil
			})
		if (err == nil) != (want == nil) || err == nil && id != other.id {
			t.Errorf("joined by %s, %v", id.Short(), err)
		}
	}
}

// TestJoinThroughMember has a member that lets nobody in itself relay to one
// that does.
func TestJoinThroughMember(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	inviter := c.member(t, 1, inviting(&open))
	relay := c.member(t, 2, inviting(&open), func(config *Config) {
		config.Join = func(context.Context, kith.ID, []byte, []byte) ([]byte, error) {
			return nil, fmt.Errorf("this host is no admin: %w", kith.Denied)
		}
	})
	meet(t, relay, inviter)
	reply, id, err := newcomer(newKey(9)).Join(t.Context(), inviter.id, c.where(relay.id),
		func(server kith.ID, exporter []byte) ([]byte, error) { return server[:], nil })
	if err != nil || id != inviter.id || !bytes.HasPrefix(reply, inviter.id[:]) {
		t.Errorf("joined by %s, %v", id.Short(), err)
	}
	stranger := idOf(newKey(8))
	c.set(stranger, true)
	_, _, err = newcomer(newKey(9)).Join(t.Context(), stranger, c.where(relay.id),
		func(server kith.ID, exporter []byte) ([]byte, error) { return server[:], nil })
	if !errors.Is(err, kith.Denied) {
		t.Errorf("to a host that the relay does not know: %v, want kind %q", err, kith.Denied)
	}
}

func dialTLS(t *testing.T, address netip.AddrPort, config *tls.Config) *tls.Conn {
	conn, err := tls.Dial("tcp", address.String(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// dialJoin connects with kith-join/1 by hand.
func dialJoin(t *testing.T, address netip.AddrPort) *tls.Conn {
	certificate, err := newCertificate(newKey(9))
	if err != nil {
		t.Fatal(err)
	}
	conn := dialTLS(t, address, baseConfig(certificate, alpnJoin))
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestJoinOversize(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	server := c.member(t, 1, inviting(&open))
	conn := dialJoin(t, c.where(server.id)[0])
	if _, err := conn.Write([]byte{joinVersion, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if _, err := readJoinReply(conn); !errors.Is(err, kith.Quota) {
		t.Errorf("%v, want kind %q", err, kith.Quota)
	}
}

// TestJoinerReachesNothingElse speaks kith/1 after kith-join/1 was agreed.
func TestJoinerReachesNothingElse(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	server := c.member(t, 1, inviting(&open))
	conn := dialJoin(t, c.where(server.id)[0])
	hello := hello{instance: instance{1}, proof: []byte("ticket of " + idOf(newKey(9)).String())}
	if _, err := conn.Write(hello.append(nil)); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if len(server.Peers()) != 0 {
		t.Error("a joiner has a carrier")
	}
}

// TestJoinFlood has one address try again and again.
func TestJoinFlood(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	server := c.member(t, 1, inviting(&open))
	turnedAway := 0
	for range joinsBurstAddress + 10 {
		_, _, err := newcomer(newKey(9)).Join(t.Context(), server.id, c.where(server.id), func(kith.ID, []byte) ([]byte, error) {
			return []byte("please"), nil
		})
		if errors.Is(err, kith.Quota) {
			turnedAway++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if turnedAway == 0 {
		t.Error("nobody was turned away")
	}
	c.set(idOf(newKey(2)), true)
	if err := c.member(t, 2).Connect(t.Context(), server.id); err != nil {
		t.Errorf("a member during the flood: %v", err)
	}
}

// TestSilentJoiners has strangers behind the joiner's own address open the
// exchange and say nothing: who has something to say is answered.
func TestSilentJoiners(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	server := c.member(t, 1, inviting(&open))
	for range joinsAtOnce {
		dialJoin(t, c.where(server.id)[0])
	}
	if _, _, err := newcomer(newKey(9)).Join(t.Context(), server.id, c.where(server.id),
		func(kith.ID, []byte) ([]byte, error) { return []byte("please"), nil }); err != nil {
		t.Error(err)
	}
}

// TestClassJoins has twenty hosts behind one address join at the same moment.
func TestClassJoins(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	server := c.member(t, 1, inviting(&open))
	var class sync.WaitGroup
	for i := range 20 {
		class.Go(func() {
			if _, _, err := newcomer(newKey(10+i)).Join(t.Context(), server.id, c.where(server.id),
				func(kith.ID, []byte) ([]byte, error) { return []byte("please"), nil }); err != nil {
				t.Error(err)
			}
		})
	}
	class.Wait()
}

func TestJoinLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newJoinLimit()
		enter := func(address string) bool {
			leave, err := l.enter(t.Context(), netip.MustParseAddr(address))
			if err == nil {
				leave()
			}
			return err == nil
		}
		for range joinsBurstAddress {
			if !enter("192.0.2.1") {
				t.Fatal("turned away within the burst")
			}
		}
		if enter("192.0.2.1") || !enter("192.0.2.2") {
			t.Error("the limit is not the address's own")
		}
		time.Sleep(2 * time.Second)
		if !enter("192.0.2.1") {
			t.Error("turned away after a rest")
		}
		time.Sleep(time.Minute)
		var leaves []func()
		for i := range joinsAtOnce {
			leave, err := l.enter(t.Context(), netip.AddrFrom4([4]byte{10, 0, 0, byte(i / joinsAtOnceAddress)}))
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		if enter("192.0.2.3") {
			t.Error("too many at once")
		}
		time.AfterFunc(time.Second, leaves[0])
		if start := time.Now(); !enter("10.0.0.0") || time.Since(start) != time.Second {
			t.Errorf("no place after %s though one has left", time.Since(start))
		}
		time.AfterFunc(time.Second, leaves[2])
		if enter("10.0.0.3") || !enter("10.0.0.1") || !enter("192.0.2.3") {
			t.Error("the places of one address are another's")
		}
		for i := range 2 * joinsTracked {
			enter(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String())
			time.Sleep(time.Second)
		}
		if len(l.from) > joinsTracked {
			t.Errorf("%d addresses are tracked", len(l.from))
		}
	})
}

// TestSilentStrangers holds connections open that say nothing: members still
// come in, and what is beyond the limit is closed.
func TestSilentStrangers(t *testing.T) {
	c := newClub()
	a, b := c.member(t, 1), c.member(t, 2)
	var closed atomic.Int32
	for range gateAddress - 5 {
		conn, err := net.Dial("tcp", c.where(a.id)[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if err := b.Connect(t.Context(), a.id); err != nil {
		t.Errorf("member beside silent strangers: %v", err)
	}
	for range 20 {
		conn, err := net.Dial("tcp", c.where(a.id)[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		go func() {
			if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
				closed.Add(1)
			}
		}()
	}
	waitFor(t, "connections beyond the limit to be closed", func() bool { return closed.Load() >= 10 })
}
