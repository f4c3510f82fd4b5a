package post

import (
	"bytes"
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
)

// TestRestored has a receiver go back to an old copy of its disk: what it received since comes again where
// members kept it, and is listed where nobody did. Nothing comes twice.
func TestRestored(t *testing.T) {
	for _, margin := range []bool{true, false} {
		name := "kept for a week"
		if !margin {
			name = "kept by nobody"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVillage(t, "maple", "oak", "elm")
				v.acquaint(t)
				defer v.sleepAll()
				maple, oak := v.hosts[0], v.hosts[1]
				if err := oak.SetLimits(t.Context(), kith.PostLimits{Margin: margin}); err != nil {
					t.Fatal(err)
				}
				before := maple.post(t, oak, []byte("before the backup"), nil)
				v.until(t, "the first letter", func() bool { return oak.received() == 1 })
				oak.sleep()
				backup := t.TempDir()
				if err := os.CopyFS(backup, os.DirFS(oak.dir)); err != nil {
					t.Fatal(err)
				}
				after := maple.post(t, oak, []byte("after the backup"), nil) // elm holds it
				v.until(t, "custody", func() bool { return len(maple.state(t, after).Held) == 1 })
				oak.wake(t)
				v.until(t, "the second letter", func() bool { return oak.received() == 2 })
				v.until(t, "its receipt", func() bool { return maple.state(t, after).State == kith.LetterDelivered })
				time.Sleep(time.Minute)
				oak.sleep()
				oak.dir = backup
				oak.wake(t)
				if margin {
					v.until(t, "the second letter again", func() bool { return oak.received() == 3 })
				}
				time.Sleep(time.Hour)
				lost, err := oak.Lost(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case margin && (oak.received() != 3 || oak.got[2].ID != after || len(lost) != 0):
					t.Errorf("received %d letters, lost %+v", oak.received(), lost)
				case !margin && (oak.received() != 2 || len(lost) != 1 || lost[0].ID != after || lost[0].From != maple.id):
					t.Errorf("received %d letters, lost %+v", oak.received(), lost)
				}
				third := maple.post(t, oak, []byte("after the restore"), nil)
				v.until(t, "its receipt", func() bool { return maple.state(t, third).State == kith.LetterDelivered })
				if maple.state(t, before).State != kith.LetterDelivered {
					t.Error("the first letter is in another state")
				}
			})
		})
	}
}

// TestRestoredAmongStrangers has a host that went back to an old copy of its disk receive something from one that knows of
// nothing, before it meets those that know what it had received.
func TestRestoredAmongStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		v.sleepAll()
		old := t.TempDir()
		if err := os.CopyFS(old, os.DirFS(oak.dir)); err != nil {
			t.Fatal(err)
		}
		maple.wake(t)
		oak.wake(t)
		lost := maple.post(t, oak, []byte("after the copy"), nil)
		v.until(t, "the first letter", func() bool { return maple.state(t, lost).State == kith.LetterDelivered })
		v.sleepAll()

		oak.dir = old
		for range 2 { // starts of its own
			oak.wake(t)
			elm.wake(t)
			id := elm.post(t, oak, []byte("from a stranger"), nil)
			v.until(t, "a letter of a stranger", func() bool { return elm.state(t, id).State == kith.LetterDelivered })
			v.sleepAll()
			time.Sleep(time.Hour)
		}
		oak.wake(t)
		maple.wake(t)
		v.until(t, "what was lost", func() bool {
			list, err := oak.Lost(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(list) == 1 && list[0].ID == lost
		})
	})
}

// TestHandedOver has a copy of a receiver take letters that the receiver has not, opened or not, and stop: members bring them
// to the receiver, once.
func TestHandedOver(t *testing.T) {
	for _, test := range []struct {
		name    string
		members []string
		margin  bool
	}{
		{"two hosts", []string{"maple", "oak"}, false},
		{"three hosts", []string{"maple", "oak", "elm"}, false},
		{"kept for a week", []string{"maple", "oak", "elm"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVillage(t, test.members...)
				v.acquaint(t)
				defer v.sleepAll()
				maple, oak := v.hosts[0], v.hosts[1]
				if err := oak.SetLimits(t.Context(), kith.PostLimits{Margin: test.margin}); err != nil {
					t.Fatal(err)
				}
				maple.post(t, oak, []byte("to both"), nil)
				v.until(t, "the first letter", func() bool { return oak.received() == 1 })
				oak.sleep()
				original, copied := oak.dir, t.TempDir()
				if err := os.CopyFS(copied, os.DirFS(original)); err != nil {
					t.Fatal(err)
				}

				time.Sleep(time.Second)
				oak.dir = copied
				began := time.Now()
				oak.wake(t)
				opened := maple.post(t, oak, []byte("opened by the copy"), nil)
				v.until(t, "the second letter", func() bool { return oak.received() == 2 })
				v.until(t, "its receipt", func() bool { return maple.state(t, opened).State == kith.LetterDelivered })
				oak.mu.Lock()
				oak.refuse = kith.Temporary
				oak.mu.Unlock()
				unopened := maple.post(t, oak, []byte("not opened by the copy"), nil)
				v.until(t, "the third letter", func() bool { return maple.state(t, unopened).State == kith.LetterHeld })
				time.Sleep(time.Minute)
				handing, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				if handed, left := oak.HandOver(handing, began); handed != 2 || left != 0 {
					t.Errorf("%d letters are handed over, %d are not", handed, left)
				}
				cancel()
				oak.sleep()
				oak.refuse = nil

				time.Sleep(time.Hour)
				maple.sleep()
				maple.wake(t)
				oak.dir = original
				oak.wake(t)
				v.until(t, "what the copy had received", func() bool { return oak.received() == 4 })
				time.Sleep(time.Minute)
				lost, err := oak.Lost(t.Context())
				if err != nil || len(lost) != 0 || oak.received() != 4 {
					t.Errorf("received %d letters, lost %+v, %v", oak.received(), lost, err)
				}
				for _, id := range []kith.LetterID{opened, unopened} {
					if s := maple.state(t, id); s.State != kith.LetterDelivered {
						t.Errorf("a letter is %s: %s", s.State, s.Reason)
					}
				}
				v.sleepAll()
				time.Sleep(safety)
				for _, h := range v.hosts {
					h.wake(t)
					v.until(t, h.name+" keeps nothing more", func() bool {
						h.Post.mu.Lock()
						defer h.Post.mu.Unlock()
						return len(h.parcels) == 0 && h.opened.letters == 0 && h.stored.letters == 0
					})
				}
			})
		})
	}
}

// TestOpenedAreFew has a host receive more than it keeps of what it has opened.
func TestOpenedAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		const count = 9
		for n := range count {
			maple.post(t, oak, bytes.Repeat([]byte{byte(n)}, 10<<20), nil)
		}
		v.until(t, "all letters", func() bool { return oak.received() == count })
		kept := func() usage {
			oak.Post.mu.Lock()
			defer oak.Post.mu.Unlock()
			return oak.opened
		}
		v.until(t, "some are dropped", func() bool { return kept().bytes <= openedBytes })
		if u := kept(); u.letters != 6 {
			t.Errorf("%d letters are kept, of %d bytes", u.letters, u.bytes)
		}
	})
}
