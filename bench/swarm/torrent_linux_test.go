package main

import (
	"net/netip"
	"slices"
	"testing"

	"kith.alt/kith/proto/bittorrent"
)

func TestEncodeTorrent(t *testing.T) {
	for _, test := range []struct{ announce, want string }{
		{"", "d4:infod6:lengthi5e4:name8:file.bin12:piece lengthi65536e6:pieces3:abcee"},
		{"http://10.0.0.1:6969/announce", "d8:announce29:http://10.0.0.1:6969/announce4:infod6:lengthi5e4:name8:file.bin12:piece lengthi65536e6:pieces3:abcee"},
	} {
		if got := string(encodeTorrent("file.bin", test.announce, 5, 64<<10, []byte("abc"))); got != test.want {
			t.Errorf("%q", got)
		}
	}
}

func TestPieceLength(t *testing.T) {
	for size, want := range map[int64]int64{0: 64 << 10, 64 << 10: 64 << 10, 32 << 20: 64 << 10, 128 << 20: 64 << 10, 128<<20 + 1: 128 << 10, 4 << 30: 2 << 20} {
		if got := pieceLength(size); got != want {
			t.Errorf("%d: %d, not %d", size, got, want)
		}
	}
}

func TestTracker(t *testing.T) {
	tracker := &tracker{left: make(map[netip.AddrPort]int64)}
	seed, one, two := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2"), netip.MustParseAddrPort("10.0.0.3:3")
	for i, step := range []struct {
		self   netip.AddrPort
		a      bittorrent.Announce
		others []netip.AddrPort
		now    bittorrent.Swarm
	}{
		{seed, bittorrent.Announce{}, nil, bittorrent.Swarm{Seeds: 1}},
		{one, bittorrent.Announce{Left: 5}, []netip.AddrPort{seed}, bittorrent.Swarm{Seeds: 1, Takers: 1}},
		{two, bittorrent.Announce{Left: 5}, []netip.AddrPort{seed, one}, bittorrent.Swarm{Seeds: 1, Takers: 2}},
		{one, bittorrent.Announce{Event: bittorrent.EventCompleted}, []netip.AddrPort{two}, bittorrent.Swarm{Seeds: 2, Takers: 1}},
		{two, bittorrent.Announce{Left: 5, Event: bittorrent.EventStopped}, nil, bittorrent.Swarm{Seeds: 2}},
	} {
		others := tracker.note(step.self, step.a)
		slices.SortFunc(others, netip.AddrPort.Compare)
		if !slices.Equal(others, step.others) || tracker.swarm() != step.now {
			t.Errorf("step %d: %v, %+v", i, others, tracker.swarm())
		}
	}
}
