package mesh_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"kith.alt/kith/group"
	"kith.alt/kith/kithtest/internet"
)

// TestLargeGroup: a group in which not everybody is connected with everybody is
// one all the same. KITH_TEST_MEMBERS makes it larger; 100 members cost minutes.
func TestLargeGroup(t *testing.T) {
	n := 20
	if raceDetector {
		n = 10
	}
	if text := os.Getenv("KITH_TEST_MEMBERS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("KITH_TEST_MEMBERS: %v", err)
		}
	}
	inTown(t, func(w *town) { w.largeGroup(n) })
}

// populate adds n hosts: one in ten on the public Internet, the others behind
// routers of all kinds.
func (w *town) populate(n int) {
	kinds := []internet.NAT{internet.PortRestricted, internet.FullCone, internet.PortRestricted, internet.Symmetric, internet.CarrierGrade}
	for i := range n {
		on := w.net.Public()
		if i%10 != 0 {
			on = w.net.Router(kinds[i%len(kinds)])
		}
		w.add(fmt.Sprintf("host%03d", i), on)
	}
}

func (w *town) largeGroup(n int) {
	const rest = 2*time.Minute + 30*time.Second // carriers of no use are gone by then
	began := time.Now()
	w.populate(n)
	w.hosts[0].turnOn()
	ticket, err := w.hosts[0].group.Invite(context.Background(), group.InviteRequest{Uses: n - 1, Admin: true}, w.hosts[0].mesh.OwnAddresses())
	if err != nil {
		w.t.Fatal(err)
	}
	var joining sync.WaitGroup
	for _, h := range w.hosts[1:] {
		joining.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			if err := h.redeem(ctx, ticket); err != nil {
				w.t.Errorf("%s joins: %v", h.name, err)
			}
		})
	}
	joining.Wait()
	w.t.Logf("all joined: %v", time.Since(began))
	w.until(2*time.Minute, "all know all", agree(w.hosts))
	w.until(2*time.Minute, "all see all online", view(w.hosts))
	time.Sleep(rest)
	w.census("at rest", time.Minute)

	for i, h := range w.hosts {
		if i%2 == 1 {
			h.turnOff()
		}
	}
	// A last heartbeat may be 40 seconds on its way, and counts for 60.
	w.until(105*time.Second, "half are off", view(w.hosts))
	for _, h := range w.hosts {
		if h.off == nil {
			h.turnOn()
		}
	}
	w.until(70*time.Second, "all are back", view(w.hosts))

	var left, right []*internet.Host
	var sides [2][]*host
	for i, h := range w.hosts {
		sides[i%2] = append(sides[i%2], h)
		if i%2 == 0 {
			left = append(left, h.at)
		} else {
			right = append(right, h.at)
		}
	}
	w.net.Partition(left, right)
	// Idle carriers take up to a minute to be known as dead.
	w.until(130*time.Second, "partition", func() string {
		for i, side := range sides {
			for _, h := range side {
				presences := h.mesh.Presences()
				for _, other := range sides[1-i] {
					if presences[other.id].Online {
						return h.name + " sees " + other.name + " across"
					}
				}
			}
		}
		return ""
	})
	w.net.Heal()
	w.until(2*time.Minute, "healed", view(w.hosts))
	w.until(2*time.Minute, "all know all again", agree(w.hosts))
}

// agree reports whether all hosts that are on have the same roster, and each
// other's newest records.
func agree(hosts []*host) func() string {
	return func() string {
		for _, h := range hosts {
			if h.off != nil && h.group.Digest() != hosts[0].group.Digest() {
				return h.name + " has another roster"
			}
		}
		for _, h := range hosts {
			for _, other := range hosts {
				if h.off == nil || other.off == nil {
					continue
				}
				is, known := other.group.Whereabouts(other.id), h.group.Whereabouts(other.id)
				if is.NAT != known.NAT || !slices.Equal(is.Addresses, known.Addresses) || !slices.Equal(is.Relays, known.Relays) {
					return fmt.Sprintf("%s does not know where %s is", h.name, other.name)
				}
			}
		}
		return ""
	}
}

// carrierLimit bounds the carriers of one host: eight neighbours, and eighteen
// hosts that cannot be dialled by all, as nine in ten cannot and each of them has
// two that can; twice that, as chance shares them out; and some for relays.
func carrierLimit(n int) int { return 2*(8+18) + n/8 }

// census logs what the mesh costs each host, and bounds it.
func (w *town) census(when string, during time.Duration) {
	before := make(map[*host]group.Traffic)
	for _, h := range w.hosts {
		before[h] = h.group.Traffic()
	}
	time.Sleep(during)
	var carriers, most, on int
	var frames, bytes uint64
	for _, h := range w.hosts {
		if h.off == nil {
			continue
		}
		on++
		peers := len(h.over.Peers())
		carriers += peers
		most = max(most, peers)
		now := h.group.Traffic()
		frames += uint64(now.Frames - before[h].Frames)
		bytes += uint64(now.Bytes - before[h].Bytes)
	}
	if limit := carrierLimit(len(w.hosts)); most > limit {
		w.t.Errorf("%s: a host has %d carriers, want at most %d", when, most, limit)
	}
	w.t.Logf("%s: %d of %d hosts: carriers %.1f in the mean, %d at most; in %v each host sends %d messages, %d bytes",
		when, on, len(w.hosts), float64(carriers)/float64(on), most, during, frames/uint64(on), bytes/uint64(on))
}
