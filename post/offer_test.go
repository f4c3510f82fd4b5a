package post

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith/gossip"
)

// act has a host that sleeps pass for one that is awake, and speak by hand.
func (h *villager) act(t testing.TB, with *villager) *attacker {
	t.Helper()
	a := h.attack(t, with)
	h.mu.Lock()
	h.online = true
	h.mu.Unlock()
	a.greet(t)
	return a
}

// offered reads until a letter is offered.
func (a *attacker) offered(t testing.TB) *header {
	t.Helper()
	payload, ok := a.hear(frameOffer)
	if !ok {
		t.Fatal("nothing is offered")
	}
	h, _, err := readOffer(payload)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// comes reports whether what comes first of frames about a letter is its body.
func (a *attacker) comes(t testing.TB, k key) bool {
	t.Helper()
	for {
		kind, payload, err := gossip.ReadFrame[frameKind](a.conn, &a.buf)
		if err != nil {
			t.Fatal(err)
		}
		if kind != frameBegin && kind != frameWithdrawn {
			continue
		}
		if got, _, err := cutKey(payload); err != nil || got != k {
			t.Fatalf("of another letter: %v, %v", got, err)
		}
		return kind == frameBegin
	}
}

// TestOfferCrosses has the receiver ask for a letter again while that is offered to it.
func TestOfferCrosses(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Millisecond, 5 * time.Second} { // before it wants it
		synctest.Test(t, func(t *testing.T) {
			v := newVillage(t, "maple", "oak")
			v.acquaint(t)
			defer v.sleepAll()
			maple, oak := v.hosts[0], v.hosts[1]
			oak.sleep()
			maple.post(t, oak, []byte("text"), nil)
			a := oak.act(t, maple)
			h := a.offered(t)
			a.say(t, h.key().append(gossip.BeginFrame(frameAgain)))
			time.Sleep(pause)
			a.say(t, answerFrame(h.key(), verdictWant, ""))
			if !a.comes(t, h.key()) {
				t.Error("it is withdrawn")
			}
		})
	}
}

// TestWithdrawn has a letter be sealed anew while the receiver is to say whether it wants it.
func TestWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		oak.sleep()
		maple.post(t, oak, []byte("text"), nil)
		a := oak.act(t, maple)
		old := a.offered(t)
		v.setSealKey(oak.id, someKey(t))
		maple.Post.mu.Lock()
		maple.parcels[old.key()].stale = true
		maple.Post.mu.Unlock()
		time.Sleep(5 * time.Second)
		a.say(t, answerFrame(old.key(), verdictWant, ""))
		if a.comes(t, old.key()) {
			t.Error("the body of another seal comes")
		}
		h := a.offered(t)
		if h.Seal != old.Seal+1 {
			t.Errorf("seal %d is offered after %d", h.Seal, old.Seal)
		}
		a.say(t, answerFrame(h.key(), verdictWant, ""))
		if !a.comes(t, h.key()) {
			t.Error("it is withdrawn again")
		}
	})
}

// TestSlowBringer: a member that offers a letter and does not bring it holds up neither another nor itself, once it has
// said so or some time has passed.
func TestSlowBringer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm, mallory := v.hosts[0], v.hosts[1], v.hosts[2], v.hosts[3]
		mallory.sleep()
		oak.sleep()
		elm.sleep()
		body := []byte("what nobody can read")
		h := mallory.attack(t, maple).offerTo(oak.id, body, nil)
		first, second := mallory.attack(t, maple), elm.attack(t, maple)
		first.greet(t)
		second.greet(t)
		verdicts := func(when string, a *attacker, want verdict) {
			t.Helper()
			if got := a.verdictOn(t, h); got != want {
				t.Errorf("%s: verdict %d, want %d", when, got, want)
			}
		}
		verdicts("at first", first, verdictWant)
		verdicts("while it is to come", second, verdictBusy)
		first.say(t, keyFrame(frameWithdrawn, h.key()))
		synctest.Wait()
		verdicts("when it was withdrawn", first, verdictWant)
		verdicts("while it is to come again", second, verdictBusy)
		time.Sleep(slow)
		verdicts("when it does not come", second, verdictWant)
		first.say(t, keyFrame(frameBegin, h.key()), append(gossip.BeginFrame(frameBody), body[:3]...), keyFrame(frameWithdrawn, h.key()))
		for _, a := range []*attacker{second, first} {
			a.say(t, keyFrame(frameBegin, h.key()))
			rest := body
			if a == first {
				rest = body[3:]
			}
			a.say(t, append(gossip.BeginFrame(frameBody), rest...))
			if a == second {
				if _, kept := a.hear(frameKept); !kept {
					t.Error("the second one's is not kept")
				}
			}
		}
		first.conn.Close()
		second.conn.Close()
		time.Sleep(time.Minute)
		maple.Post.mu.Lock()
		defer maple.Post.mu.Unlock()
		if len(maple.arriving) != 0 || maple.stored.letters != 1 || maple.stored.bytes != int64(len(body)) || !bytes.Equal(maple.parcels[h.key()].header.Body[:], h.Body[:]) {
			t.Errorf("%d are to come, %+v", len(maple.arriving), maple.stored)
		}
	})
}

// TestReceiptOvertakes has the receipt of a letter come while a custodian takes the letter: it is not held.
func TestReceiptOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "elm")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, elm := v.hosts[0], v.hosts[1], v.hosts[2]
		elm.sleep()
		oak.sleep()
		body := []byte("what nobody can read")
		a := elm.attack(t, maple)
		a.greet(t)
		h := a.offerTo(oak.id, body, nil)
		if got := a.verdictOn(t, h); got != verdictWant {
			t.Fatalf("verdict %d", got)
		}
		r, err := signReceipt(oak.key, receiptBody{
			Group: h.Group, To: oak.id, Number: time.Now().UnixMicro(), From: elm.id, Letter: h.Letter, Seal: h.Seal,
			Outcome: outcomeDelivered, Time: time.Now().UnixMilli(), Expires: h.Expires,
		})
		if err != nil {
			t.Fatal(err)
		}
		a.say(t, r.append(gossip.BeginFrame(frameReceipts)), keyFrame(frameBegin, h.key()), append(gossip.BeginFrame(frameBody), body...))
		payload, ok := a.hear(frameAnswer)
		if _, v, _, _, err := readAnswer(payload); !ok || err != nil || v != verdictHave {
			t.Errorf("verdict %d, %v", v, err)
		}
		a.conn.Close()
		time.Sleep(time.Minute)
		maple.Post.mu.Lock()
		defer maple.Post.mu.Unlock()
		if len(maple.parcels) != 0 || maple.stored.letters != 0 || maple.stored.bytes != 0 {
			t.Errorf("%d letters, %+v", len(maple.parcels), maple.stored)
		}
	})
}
