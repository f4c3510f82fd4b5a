package post

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"database/sql"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// TestKeysLost has the receiver lose the keys that letters were sealed to.
func TestKeysLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		oak.sleep()
		id := maple.post(t, oak, []byte("open me"), nil)
		v.until(t, "custody", func() bool { return len(maple.state(t, id).Held) == 1 })
		oak.dir = t.TempDir() // as after a restore of an old copy
		maple.sleep()
		oak.wake(t)
		v.until(t, "elm to let go of it", func() bool { elm.Post.mu.Lock(); defer elm.Post.mu.Unlock(); return elm.stored.letters == 0 })
		maple.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == 1 })
	})
}

func TestKeysTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple")
		v.acquaint(t)
		maple := v.hosts[0]
		first := v.sealKey(maple.id)
		v.sleepAll()
		time.Sleep(keyLife + time.Hour)
		maple.wake(t)
		v.until(t, "another key", func() bool { return !bytes.Equal(first, v.sealKey(maple.id)) })
		if maple.keyOf(first) == nil || maple.keyOf(v.sealKey(maple.id)) == nil {
			t.Error("a key is gone")
		}
		v.sleepAll()
		time.Sleep(keyRest + time.Hour)
		maple.wake(t)
		v.until(t, "the first key to be erased", func() bool { return maple.keyOf(first) == nil })
		v.sleepAll()
	})
}

// TestQuota fills a custodian: the sender is told, and keeps its letters.
// TestClockAhead has a host make a key while its clock is a year ahead.
func TestClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple")
		v.acquaint(t)
		maple := v.hosts[0]
		v.sleepAll()
		maple.wake(t)
		ahead := time.Now().Add(365 * 24 * time.Hour).Unix()
		if err := maple.store.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE post_keys SET made = ?1; INSERT INTO post_keys (public, private, made, retired) SELECT x'01', private, ?1, ?1 FROM post_keys`, ahead)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		first := v.sealKey(maple.id)
		v.sleepAll()
		maple.wake(t)
		v.until(t, "another key", func() bool { return !bytes.Equal(first, v.sealKey(maple.id)) })
		second := v.sealKey(maple.id)
		time.Sleep(3 * pruneEvery)
		if !bytes.Equal(second, v.sealKey(maple.id)) || maple.keyOf(first) == nil {
			t.Error("the key does not last")
		}
		v.sleepAll()
		time.Sleep(keyRest)
		maple.wake(t)
		if maple.keyOf(first) != nil || maple.keyOf([]byte{1}) != nil || maple.keyOf(v.sealKey(maple.id)) == nil {
			t.Error("the wrong keys are erased")
		}
		v.sleepAll()
	})
}

// someKey is one that nobody has the other half of.
func someKey(t testing.TB) []byte {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k.PublicKey().Bytes()
}

func (v *village) setSealKey(id kith.ID, key []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys[id] = key
}

// TestSealedAnew has the receiver, which is awake, not have the key that its record shows for a moment.
func TestSealedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		v.until(t, "a talk", func() bool { maple.Post.mu.Lock(); defer maple.Post.mu.Unlock(); return len(maple.talks) == 1 })
		time.Sleep(500 * time.Millisecond) // oak looks at its record each second
		v.setSealKey(oak.id, someKey(t))
		id := maple.post(t, oak, []byte("open me"), nil)
		v.until(t, "delivery", func() bool { return oak.received() == 1 })
		v.until(t, "the receipt", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
		var seal int
		if err := maple.store.View(t.Context(), func(tx *sql.Tx) error { return tx.QueryRow(`SELECT seal FROM post_letters`).Scan(&seal) }); err != nil || seal != 2 {
			t.Errorf("sealed %d times, %v", seal, err)
		}
	})
}

// TestUnreadable has a receiver say again and again that it cannot open a letter.
func TestUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, mallory := v.hosts[0], v.hosts[1]
		mallory.sleep()
		id := maple.post(t, mallory, []byte("open me"), nil)
		a := mallory.act(t, maple)
		number := time.Now().UnixMicro()
		unreadable := func(h *header) {
			t.Helper()
			number++
			r, err := signReceipt(a.key, receiptBody{
				Group: h.Group, To: a.id, Number: number, From: h.From, Letter: h.Letter, Seal: h.Seal, Outcome: outcomeUnreadable, Time: time.Now().UnixMilli(), Expires: h.Expires,
			})
			if err != nil {
				t.Fatal(err)
			}
			a.say(t, r.append(gossip.BeginFrame(frameReceipts)))
		}
		for n := range maxSeals {
			h := a.keeps(t)
			if h.Seal != n+1 {
				t.Fatalf("seal %d is offered after %d", h.Seal, n)
			}
			unreadable(h)
			time.Sleep(10 * time.Second)
			if s := maple.state(t, id); s.State != kith.LetterQueued || !strings.Contains(s.Reason, "to which key") {
				t.Errorf("the letter is %s: %s", s.State, s.Reason)
			}
			v.setSealKey(a.id, someKey(t))
		}
		v.until(t, "its end", func() bool { return maple.state(t, id).State == kith.LetterRefused })
	})
}
