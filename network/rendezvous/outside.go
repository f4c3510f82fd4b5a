package rendezvous

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
)

const (
	maxViews = 64
	viewAge  = 30 * time.Minute
)

// views is what nodes of the DHT said about where our packets come from (BEP 42).
type views struct {
	mu   sync.Mutex
	list []view // maxViews, the latest last, one of a node
}

type view struct {
	by   netip.Addr // one vote for a computer, whatever its port
	of   netip.AddrPort
	time time.Time
}

func (v *views) note(by netip.AddrPort, of krpc.NodeAddr) {
	ip, ok := netip.AddrFromSlice(of.IP)
	address := netip.AddrPortFrom(ip.Unmap(), uint16(of.Port))
	if !ok || !dialable(address) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.list = slices.DeleteFunc(v.list, func(o view) bool {
		return o.by == by.Addr() || time.Since(o.time) > viewAge
	})
	v.list = append(v.list, view{by.Addr(), address, time.Now()})
	if len(v.list) > maxViews {
		v.list = slices.Delete(v.list, 0, len(v.list)-maxViews)
	}
}

// agreed returns the addresses that two nodes at least have seen, those that
// most have seen first.
func (v *views) agreed() []netip.AddrPort {
	v.mu.Lock()
	defer v.mu.Unlock()
	votes := map[netip.AddrPort]int{}
	var list []netip.AddrPort
	for _, view := range v.list {
		if time.Since(view.time) > viewAge {
			continue
		}
		votes[view.of]++
		if votes[view.of] == 2 {
			list = append(list, view.of)
		}
	}
	slices.SortFunc(list, func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(votes[b], votes[a]), a.Compare(b))
	})
	return list
}
