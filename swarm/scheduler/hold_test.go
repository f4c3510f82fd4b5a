package scheduler

import "testing"

// heldOrders returns what a scheduler has to say of a kind to a peer.
func heldOrders(s *Scheduler, kind Kind, to Peer) (blocks []int) {
	s.Orders(0, func(o Order) {
		if o.Kind == kind && o.Peer == to {
			blocks = append(blocks, o.Block)
		}
	})
	return blocks
}

// TestHeld has blocks come that nobody can check yet: they are asked for once, told to nobody, and asked
// for again when they were wrong.
func TestHeld(t *testing.T) {
	s := New(Config{Blocks: 2})
	s.Join(0, 1, Traits{Near: true})
	s.Join(0, 2, Traits{})
	s.PeerHasAll(0, 1)
	s.PeerChokes(0, 1, false)
	if got := heldOrders(s, Request, 1); len(got) != 2 {
		t.Fatalf("asked for %v", got)
	}
	s.Held(0, 1, 0)
	s.Held(0, 1, 1)
	if s.Asked(1) != 0 || s.Has(0) || !s.Holds(0) || s.Lacking() != 2 || s.Complete() {
		t.Errorf("asked %d, has %t, holds %t, lacks %d", s.Asked(1), s.Has(0), s.Holds(0), s.Lacking())
	}
	if got := heldOrders(s, Request, 1); got != nil {
		t.Errorf("asked again for %v", got)
	}
	s.PeerWants(0, 2, 0)
	if got := heldOrders(s, Reject, 2); len(got) != 1 {
		t.Error("what is held is not refused")
	}
	s.Unheld(0, 1)
	s.Unheld(0, 1)
	if got := heldOrders(s, Request, 1); len(got) != 1 || got[0] != 1 {
		t.Errorf("asked for %v, want 1", got)
	}
	s.PeerLacks(0, 1, 1)
	if got := heldOrders(s, Request, 1); s.Asked(1) != 0 || got != nil {
		t.Errorf("asked for %v of a peer that lacks it", got)
	}
	s.PeerHas(0, 1, 1)
	if got := heldOrders(s, Request, 1); len(got) != 1 {
		t.Error("not asked for what a peer has again")
	}
	s.Arrived(0, 0, 0)
	s.Arrived(0, 1, 1)
	if !s.Complete() || s.Holds(0) || s.unasked != 0 {
		t.Errorf("complete %t, holds %t, %d to be asked for", s.Complete(), s.Holds(0), s.unasked)
	}
	s.Held(0, 1, 0) // late
	s.Held(0, 1, 7)
	s.Unheld(0, 0)
	if s.Holds(0) || s.unasked != 0 {
		t.Error("what is here is held")
	}
}
