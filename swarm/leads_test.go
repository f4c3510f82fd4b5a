package swarm

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/proto/bittorrent"
)

// TestResolve reads what people have from torrent clients.
func TestResolve(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	text, d, files := orphan(t, v, 100_000)
	g := newGiver(t, 'a', d, files)
	outside := netip.MustParseAddrPort("192.0.2.7:6881")
	link := bittorrent.Magnet{IDv1: d.IDv1(), Peers: []string{outside.String(), "example.org:1", g.address.String()}}

	// By its first name, which a client that the link names knows.
	got, err := oak.Resolve(t.Context(), []byte(link.String()))
	if err != nil || got.Content != d.ID() || got.Name != d.Name || !slices.Equal(got.Clients, []netip.AddrPort{g.address}) {
		t.Errorf("%+v, %v", got, err)
	}
	// By the second, without asking anybody.
	link.ID, link.Peers = d.ID(), nil
	if got, err := oak.Resolve(t.Context(), []byte(link.String())); err != nil || got.Content != d.ID() || got.InfoHash != d.IDv1() {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := oak.Resolve(t.Context(), text); err != nil || got.Content != d.ID() || got.Name != d.Name {
		t.Errorf("%+v, %v", got, err)
	}

	info := fmt.Appendf(nil, "d6:lengthi5e4:name1:x12:piece lengthi65536e6:pieces20:%se", make([]byte, 20))
	for source, want := range map[string]struct {
		kind error
		text string
	}{
		"magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567": {kith.NotFound, "no torrent client of this computer"},
		"magnet:?xt=urn:btmh:1220ffff":                                 {kith.Invalid, "64 hex digits"},
		"magnet:?dn=x":                                                 {kith.Invalid, "names no torrent"},
		"d4:info" + string(info) + "e":                                 {kith.Invalid, "no SHA-256 tree"},
		"nonsense":                                                     {kith.Invalid, "torrent"},
		"":                                                             {kith.Invalid, "torrent"},
	} {
		if _, err := oak.Resolve(t.Context(), []byte(source)); !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%q: %v, want %v with %q", source, err, want.kind, want.text)
		}
	}
	if _, err := oak.Take(t.Context(), kith.Taking{Content: kith.ContentID{1}, Torrent: text}); !errors.Is(err, kith.Invalid) {
		t.Errorf("a torrent of something else: %v", err)
	}
}

// TestVersion1Only has a link lead to a torrent that has no tree.
func TestVersion1Only(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "oak")
	oak := v.host("oak")
	info := fmt.Appendf(nil, "d6:lengthi5e4:name1:x12:piece lengthi65536e6:pieces20:%se", make([]byte, 20))
	g := newBareGiver(t, info)
	awaitReal(t, "serving torrent clients", func() bool { return oak.torrentServer() != nil })
	link := bittorrent.Magnet{IDv1: sha1.Sum(info), Peers: []string{g.address.String()}}
	if _, err := oak.Resolve(t.Context(), []byte(link.String())); !errors.Is(err, kith.Invalid) || !strings.Contains(err.Error(), "no SHA-256 tree (BEP 52)") {
		t.Error(err)
	}
}

// TestMagnetOfVersion1 takes by such a link, and once more when it is here.
func TestMagnetOfVersion1(t *testing.T) {
	t.Parallel()
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	_, d, files := orphan(t, v, oddFiles...)
	g := newGiver(t, 'a', d, files)
	link := bittorrent.Magnet{IDv1: d.IDv1(), Peers: []string{g.address.String()}}
	takeFrom(t, oak, []byte(link.String()))
	untilTaken(t, oak, d, files)
	link.Peers = nil
	if got, err := oak.Resolve(t.Context(), []byte(link.String())); err != nil || got.Content != d.ID() {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestHeldMemory takes pieces much larger than what may be in memory: what is held is on disk.
func TestHeldMemory(t *testing.T) {
	const size = 96 << 20
	v := newVillage(t, "maple", "oak")
	oak := v.host("oak")
	_, d, files := orphan(t, v, size)
	g := newGiver(t, 'a', d, files)
	g.lies = func(block int) bool { return false }
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				runtime.GC()
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most.Store(max(most.Load(), now.HeapAlloc))
			}
		}
	}()
	takeInfo(t, oak, d, g)
	oak.until(t, "complete", func() bool { return oak.holdingOf(t, d.ID()).State == kith.HoldingComplete })
	close(stop)
	<-stopped
	bound := int64(size / 3) // other tests have their part
	if raceDetector {
		bound = size / 2
	}
	if grew := int64(most.Load()) - int64(before.HeapAlloc); grew > bound {
		t.Errorf("%d MiB of memory while %d MiB were held", grew>>20, size>>20)
	} else {
		t.Logf("%d KiB of memory while %d MiB were held", grew>>10, size>>20)
	}
}
