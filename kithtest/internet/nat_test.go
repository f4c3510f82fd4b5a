package internet_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/kithtest/internet"
)

// TestNAT has a host behind a router of each kind send to one port of one
// host, and looks who may answer, and who sees which port.
func TestNAT(t *testing.T) {
	type row struct {
		kind                          internet.NAT
		preserves, sameForAll         bool
		peer, otherPort, otherAddress bool // may send to the outside port
	}
	for _, want := range []row{
		{internet.None, true, true, true, true, true},
		{internet.FullCone, true, true, true, true, true},
		{internet.AddressRestricted, true, true, true, true, false},
		{internet.PortRestricted, true, true, true, false, false},
		{internet.Symmetric, false, false, true, false, false},
		{internet.Double, true, true, true, false, false},
		{internet.CarrierGrade, true, true, true, false, false},
		{internet.SameCarrier, true, true, true, false, false},
	} {
		t.Run(string(want.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := internet.New(internet.Config{Seed: 3})
				elm, ash := n.Public().Host("elm"), n.Public().Host("ash")
				peer, otherPort, otherAddress := newSpeaker(t, elm, 1000), newSpeaker(t, elm, 2000), newSpeaker(t, ash, 1000)
				oak := newSpeaker(t, n.Router(want.kind).Host("oak"), 4747)

				oak.say("to peer", peer.at())
				time.Sleep(time.Second)
				outside := peer.heard("to peer")
				got := row{
					kind: want.kind, preserves: outside.Port() == 4747,
					peer: oak.hears(peer, outside), otherPort: oak.hears(otherPort, outside), otherAddress: oak.hears(otherAddress, outside),
				}
				oak.say("to others", otherPort.at())
				oak.say("to others", otherAddress.at())
				time.Sleep(time.Second)
				got.sameForAll = otherPort.heard("to others") == outside && otherAddress.heard("to others") == outside
				if got != want {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				if peer.dials(outside) && want.kind != internet.None {
					t.Error("TCP was let in")
				}
				if !oak.dials(peer.at()) {
					t.Error("TCP was not let out")
				}
			})
		})
	}
}

func TestUDPBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.UDPBlocked)
		oak, ash := newSpeaker(t, router.Host("oak"), 1), newSpeaker(t, router.Host("ash"), 1)
		elm := newSpeaker(t, n.Public().Host("elm"), 1)
		if elm.hears(oak, elm.at()) {
			t.Error("UDP got out")
		}
		if !oak.dials(elm.at()) {
			t.Error("TCP did not get out")
		}
		if !ash.hears(oak, ash.at()) {
			t.Error("UDP does not work inside")
		}
	})
}

func TestPortConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.PortRestricted)
		elm := newSpeaker(t, n.Public().Host("elm"), 1)
		oak, ash := newSpeaker(t, router.Host("oak"), 4747), newSpeaker(t, router.Host("ash"), 4747)
		oak.say("oak", elm.at())
		ash.say("ash", elm.at())
		time.Sleep(time.Second)
		first, second := elm.heard("oak"), elm.heard("ash")
		if first.Addr() != second.Addr() || first.Port() != 4747 || second.Port() == 4747 {
			t.Errorf("seen at %v and %v", first, second)
		}
		if !oak.hears(elm, first) || !ash.hears(elm, second) {
			t.Error("answers did not come back")
		}
	})
}

func TestLAN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.Symmetric)
		oak, ash := newSpeaker(t, router.Host("oak"), 4747), newSpeaker(t, router.Host("ash"), 4747)
		router.Link().SetLoss(1) // the cable to the outside is pulled
		if !oak.hears(ash, oak.at()) || oak.heard("line") != ash.at() {
			t.Errorf("on one LAN %v is seen as %v", ash.at(), oak.heard("line"))
		}
		if !oak.dials(ash.at()) {
			t.Error("no TCP on one LAN")
		}
		prefix := oak.host.Interfaces()[1]
		if !prefix.Contains(ash.at().Addr()) || !prefix.Addr().IsPrivate() {
			t.Errorf("%v and %v are not on one LAN", prefix, ash.at())
		}
		if !oak.hears(oak, netip.MustParseAddrPort("127.0.0.1:4747")) || !oak.hears(oak, oak.at()) {
			t.Error("a host does not hear itself")
		}
	})
}

func TestHairpin(t *testing.T) {
	for _, kind := range []internet.NAT{internet.FullCone, internet.AddressRestricted, internet.PortRestricted} {
		synctest.Test(t, func(t *testing.T) {
			n := internet.New(internet.Config{Seed: 1})
			router := n.Router(kind)
			elm := newSpeaker(t, n.Public().Host("elm"), 1)
			oak, ash := newSpeaker(t, router.Host("oak"), 1), newSpeaker(t, router.Host("ash"), 2)
			oak.say("oak", elm.at())
			ash.say("ash", elm.at())
			time.Sleep(time.Second)
			oakOutside, ashOutside := elm.heard("oak"), elm.heard("ash")
			oak.say("punch", ashOutside)
			if oak.hears(ash, oakOutside) {
				t.Errorf("%s: turned back without being told to", kind)
			}
			router.SetHairpin(true)
			oak.say("punch", ashOutside)
			if !oak.hears(ash, oakOutside) || oak.heard("line") != ashOutside {
				t.Errorf("%s: %v is seen as %v", kind, ashOutside, oak.heard("line"))
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.FullCone)
		oak, elm := newSpeaker(t, router.Host("oak"), 1), newSpeaker(t, n.Public().Host("elm"), 1)
		ash := newSpeaker(t, n.Public().Host("ash"), 1)
		outside := netip.AddrPortFrom(router.Outside(), 1)

		oak.say("hello", elm.at())
		for range 3 { // packets in either direction keep it
			time.Sleep(100 * time.Second)
			if !oak.hears(ash, outside) {
				t.Fatal("the mapping did not live")
			}
		}
		time.Sleep(120 * time.Second)
		if oak.hears(ash, outside) {
			t.Error("the mapping outlived 120 s of silence")
		}

		router.SetLifetime(10 * time.Second)
		oak.say("hello", elm.at())
		time.Sleep(11 * time.Second)
		if oak.hears(ash, outside) {
			t.Error("the mapping outlived its lifetime")
		}

		oak.say("hello", elm.at())
		time.Sleep(time.Second)
		router.Forget()
		if oak.hears(ash, outside) {
			t.Error("the router remembers")
		}
	})
}

// TestFilterExpiry: a restricted NAT lets each peer in only while they talk.
func TestFilterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.PortRestricted)
		oak, elm := newSpeaker(t, router.Host("oak"), 1), newSpeaker(t, n.Public().Host("elm"), 1)
		ash := newSpeaker(t, n.Public().Host("ash"), 1)
		outside := netip.AddrPortFrom(router.Outside(), 1)
		oak.say("hello", ash.at())
		for range 3 {
			oak.say("hello", elm.at())
			time.Sleep(50 * time.Second)
		}
		if !oak.hears(elm, outside) || oak.hears(ash, outside) {
			t.Error("elm is shut out, or ash let in")
		}
	})
}

func TestTCPExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		near, far := connect(t, n.Router(internet.PortRestricted).Host("oak"), n.Public().Host("elm"))
		time.Sleep(119 * time.Minute)
		buffer := make([]byte, 1)
		far.Write([]byte("x"))
		if _, err := near.Read(buffer); err != nil {
			t.Fatal(err)
		}
		time.Sleep(121 * time.Minute)
		far.Write([]byte("x"))
		near.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := near.Read(buffer); err == nil {
			t.Error("the mapping outlived 2 h of silence")
		}
	})
}

func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		inner := n.Router(internet.Double)
		oak, elm := newSpeaker(t, inner.Host("oak"), 4747), newSpeaker(t, n.Public().Host("elm"), 1)
		outside := netip.AddrPortFrom(inner.Outer().Outside(), 4747)
		inner.Forward(4747, oak.host)
		if oak.hears(elm, outside) || elm.dials(outside) {
			t.Error("one router of two was enough")
		}
		inner.Outer().Forward(4747, oak.host)
		if !oak.hears(elm, outside) || !elm.dials(outside) {
			t.Error("a forwarded port is not open")
		}
		if !elm.hears(oak, elm.at()) || elm.heard("line") != outside {
			t.Errorf("seen as %v instead of %v", elm.heard("line"), outside)
		}
		inner.Forget()
		inner.Outer().Forget()
		if !elm.dials(outside) {
			t.Error("what was forwarded is forgotten")
		}
	})
}

func TestReboot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		router := n.Router(internet.PortRestricted)
		oak, elm := newSpeaker(t, router.Host("oak"), 1), newSpeaker(t, n.Public().Host("elm"), 1)
		before := router.Outside()
		router.Reboot()
		if elm.hears(oak, elm.at()) {
			t.Error("a router that reboots works")
		}
		time.Sleep(30 * time.Second)
		if !elm.hears(oak, elm.at()) || router.Outside() == before || elm.heard("line").Addr() != router.Outside() {
			t.Errorf("seen as %v by a router at %v, before at %v", elm.heard("line"), router.Outside(), before)
		}
		if oak.hears(elm, netip.AddrPortFrom(before, 1)) {
			t.Error("the former address still works")
		}
	})
}

func TestCarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := internet.New(internet.Config{Seed: 1})
		a, b := n.Router(internet.SameCarrier), n.Router(internet.SameCarrier)
		shared := netip.MustParsePrefix("100.64.0.0/10")
		if a.Outer() != b.Outer() || !shared.Contains(a.Outside()) || a.Outside() == b.Outside() {
			t.Errorf("homes at %v and %v", a.Outside(), b.Outside())
		}
		if c := n.Router(internet.CarrierGrade); c.Outer() == a.Outer() || c.Outer().Outer() != n.Public() {
			t.Error("carriers are mixed up")
		}
		oak, ash := newSpeaker(t, a.Host("oak"), 4747), newSpeaker(t, b.Host("ash"), 4747)
		elm := newSpeaker(t, n.Public().Host("elm"), 1)
		if got := meet(oak, ash, elm); got != internet.Relay {
			t.Errorf("behind one carrier: %s", got)
		}
		a.Outer().SetHairpin(true)
		if got := meet(oak, ash, elm); got != internet.Direct {
			t.Errorf("behind one carrier that hairpins: %s", got)
		}
		// Outside addresses of the homes are of use to those who share them.
		a.Forward(4747, oak.host)
		if !oak.hears(ash, netip.AddrPortFrom(a.Outside(), 4747)) {
			t.Error("no path within the carrier's network")
		}
	})
}
