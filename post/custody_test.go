package post

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// TestCustodiansLost destroys two of three custodians while sender and receiver sleep.
func TestCustodiansLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm", "ash", "fir")
		v.acquaint(t)
		maple, oak := v.hosts[0], v.hosts[1]
		oak.sleep()
		time.Sleep(time.Minute)
		n := many(200)
		var ids []kith.LetterID
		for i := range n {
			ids = append(ids, maple.post(t, oak, letter(i), nil))
		}
		v.until(t, "three copies of each", func() bool { return maple.all(t, func(s kith.LetterStatus) bool { return len(s.Held) >= 3 }) })
		maple.sleep()
		v.hosts[2].sleep()
		v.hosts[3].sleep() // for ever
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == n })
		time.Sleep(time.Hour)
		if oak.received() != n {
			t.Errorf("%d letters of %d", oak.received(), n)
		}
		for i, id := range ids {
			if !bytes.Equal(oak.bodies[id], letter(i)) {
				t.Errorf("letter %d is %.40q", i, oak.bodies[id])
			}
		}
		v.sleepAll()
	})
}

// TestReplacement has custodians disappear one after another while the receiver sleeps: others take
// their place, the sender being there or not, and never more than two beyond the three.
func TestReplacement(t *testing.T) {
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprintf("sender there %v", there), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVillage(t, "maple", "oak", "elm", "ash", "fir", "yew", "box", "bay")
				v.acquaint(t)
				maple, oak := v.hosts[0], v.hosts[1]
				oak.sleep()
				id := maple.post(t, oak, []byte("patience"), nil)
				holders := func() (list []*villager) {
					for _, h := range v.hosts[2:] {
						h.Post.mu.Lock()
						if h.parcels[key{maple.id, id}] != nil {
							list = append(list, h)
						}
						h.Post.mu.Unlock()
					}
					return list
				}
				v.until(t, "three copies", func() bool { return len(holders()) == 3 })
				time.Sleep(2 * time.Minute)
				if !there {
					maple.sleep()
				}
				for i := range 3 {
					awake := slices.DeleteFunc(holders(), func(h *villager) bool { h.mu.Lock(); defer h.mu.Unlock(); return !h.online })
					awake[0].sleep()
					time.Sleep(2 * time.Hour)
					if got, want := len(holders()), min(3+i+1, 5); got != want {
						t.Errorf("%d copies after %d custodians went, want %d", got, i+1, want)
					}
				}
				oak.wake(t)
				v.until(t, "delivery", func() bool { return oak.received() == 1 })
				v.sleepAll()
			})
		})
	}
}

func TestRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		oak.sleep()
		id := maple.post(t, oak, []byte("from a thief"), nil)
		v.until(t, "custody", func() bool { return len(maple.state(t, id).Held) == 1 })
		maple.mu.Lock()
		maple.revoked = true
		maple.mu.Unlock()
		v.until(t, "the letter to be dropped", func() bool {
			elm.Post.mu.Lock()
			defer elm.Post.mu.Unlock()
			return elm.stored.letters == 0
		})
		v.until(t, "refusal", func() bool { return maple.state(t, id).State == kith.LetterRefused })
		oak.wake(t)
		time.Sleep(time.Hour)
		if oak.received() != 0 {
			t.Error("it was delivered")
		}
	})
}

func TestReceiverRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		oak.sleep()
		id := maple.post(t, oak, []byte("too late"), nil)
		oak.mu.Lock()
		oak.revoked = true
		oak.mu.Unlock()
		v.until(t, "the end", func() bool { return maple.state(t, id).State == kith.LetterRefused })
		if s := maple.state(t, id); s.Reason == "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		oak.sleep()
		id := maple.post(t, oak, []byte("soon"), func(d *kith.Draft) { d.Expires = time.Now().Add(time.Hour) })
		v.until(t, "custody", func() bool { return len(maple.state(t, id).Held) == 1 })
		v.until(t, "expiry", func() bool { return maple.state(t, id).State == kith.LetterExpired })
		v.until(t, "the application to know", func() bool { maple.mu.Lock(); defer maple.mu.Unlock(); return len(maple.ended) == 1 })
		v.until(t, "no copies", func() bool { elm.Post.mu.Lock(); defer elm.Post.mu.Unlock(); return elm.stored.letters == 0 })
		oak.wake(t)
		time.Sleep(time.Hour)
		if oak.received() != 0 {
			t.Error("it was delivered")
		}
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		oak.mu.Lock()
		oak.refuse = fmt.Errorf("nobody here is called bob: %w", kith.NotFound)
		oak.mu.Unlock()
		id := maple.post(t, oak, []byte("to bob"), nil)
		v.until(t, "refusal", func() bool { return maple.state(t, id).State == kith.LetterRefused })
		if s := maple.state(t, id); s.Reason != "nobody here is called bob: not found" {
			t.Errorf("reason %q", s.Reason)
		}
		oak.mu.Lock()
		oak.refuse = fmt.Errorf("the mailbox is locked: %w", kith.Temporary)
		oak.mu.Unlock()
		id = maple.post(t, oak, []byte("to ann"), nil)
		time.Sleep(3 * time.Hour)
		if s := maple.state(t, id); s.State != kith.LetterHeld {
			t.Errorf("while the application fails: %+v", s)
		}
		oak.mu.Lock()
		oak.refuse = nil
		oak.mu.Unlock()
		v.until(t, "delivery", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
	})
}

// TestOrder has ordered letters come by different custodians.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm", "ash", "fir", "yew", "box", "bay")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		oak.sleep()
		n := many(100)
		var ids []kith.LetterID
		for i := range n {
			ids = append(ids, maple.post(t, oak, letter(i), func(d *kith.Draft) { d.Ordered = true }))
		}
		v.until(t, "custody", func() bool { return maple.all(t, func(s kith.LetterStatus) bool { return len(s.Held) >= 3 }) })
		maple.sleep()
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == n })
		for i, l := range oak.got {
			if l.ID != ids[i] {
				t.Fatalf("letter %d is number %d", i, slices.Index(ids, l.ID))
			}
		}
	})
}

// TestGap has the first of two ordered letters be nowhere: the second waits a minute.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		oak.sleep()
		elm.sleep()
		ordered := func(d *kith.Draft) { d.Ordered = true }
		first := maple.post(t, oak, []byte("first"), ordered)
		elm.wake(t)
		v.until(t, "custody", func() bool { return len(maple.state(t, first).Held) == 1 })
		elm.sleep()
		time.Sleep(2 * time.Hour) // it is gone with elm
		second := maple.post(t, oak, []byte("second"), ordered)
		maple.Post.mu.Lock()
		delete(maple.parcels, key{maple.id, first}) // and maple does not offer it
		maple.Post.mu.Unlock()
		oak.wake(t)
		begun := time.Now()
		v.until(t, "the second letter", func() bool { return oak.received() == 1 })
		if waited := time.Since(begun); waited < gapPatience || waited > gapPatience+5*time.Second || oak.got[0].ID != second {
			t.Errorf("%s came after %v", oak.bodies[oak.got[0].ID], waited)
		}
		elm.wake(t)
		v.until(t, "the first letter, late", func() bool { return oak.received() == 2 })
	})
}

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		if err := elm.SetLimits(t.Context(), kith.PostLimits{Sender: 100 << 10}); err != nil {
			t.Fatal(err)
		}
		oak.sleep()
		var ids []kith.LetterID
		for range 8 {
			ids = append(ids, maple.post(t, oak, make([]byte, 30<<10), nil))
		}
		time.Sleep(time.Minute)
		held, told := 0, 0
		for _, id := range ids {
			if s := maple.state(t, id); len(s.Held) > 0 {
				held++
			} else if s.Reason != "" {
				told++
			}
		}
		if held != 3 || told != 5 {
			t.Errorf("%d held, %d explained", held, told)
		}
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == 8 })
	})
}

// TestRestarts has every host start again between any two steps.
func TestRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		v.sleepAll()
		maple.wake(t)
		id := maple.post(t, oak, letter(600), nil)
		maple.sleep()
		maple.wake(t)
		elm.wake(t)
		v.until(t, "custody", func() bool { return len(maple.state(t, id).Held) == 1 })
		maple.sleep()
		elm.sleep()
		elm.wake(t)
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == 1 })
		oak.sleep()
		elm.sleep()
		oak.wake(t)
		maple.wake(t)
		v.until(t, "the receipt", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
		v.sleepAll()
	})
}

func TestCustodians(t *testing.T) {
	var all []kith.ID
	for i := range 20 {
		all = append(all, kith.ID{byte(i + 1)})
	}
	weight := func(id kith.ID) float64 {
		if id[0] == 1 {
			return 2
		}
		return 1
	}
	first := make(map[kith.ID]int)
	moved := 0
	for i := range 20000 {
		k := key{kith.ID{99}, kith.LetterID{byte(i), byte(i >> 8)}}
		order := custodians(k, all, weight)
		first[order[0]]++
		without := custodians(k, slices.DeleteFunc(slices.Clone(all), func(id kith.ID) bool { return id == kith.ID{7} }), weight)
		if without[0] != order[0] && order[0] != (kith.ID{7}) {
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("%d letters moved that were not the lost member's", moved)
	}
	for id, n := range first {
		if want := 20000 * weight(id) / 21; float64(n) < want*0.85 || float64(n) > want*1.15 {
			t.Errorf("%d letters at the host with weight %v, want about %.0f", n, weight(id), want)
		}
	}
}
