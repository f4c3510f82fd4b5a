package post

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// An attacker is a member that says what it likes.
type attacker struct {
	*villager
	conn net.Conn
	buf  []byte
}

// attack has the host, which must sleep, open a conversation by hand.
func (h *villager) attack(t testing.TB, victim *villager) *attacker {
	t.Helper()
	conn, err := h.village.hub.Network(h.id).Dial(t.Context(), kith.Address{Host: victim.id.String(), Port: Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Hour)); err != nil { // so that a test fails that waits in vain
		t.Fatal(err)
	}
	return &attacker{villager: h, conn: conn}
}

func (a *attacker) say(t testing.TB, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := a.conn.Write(gossip.FinishFrame(bytes.Clone(f))); err != nil {
			return // it was thrown out, as a test may expect
		}
	}
}

func (a *attacker) greet(t testing.TB) {
	hello, err := helloFrame(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	a.say(t, hello, gossip.BeginFrame(frameVector))
}

// hear reads until a frame of the kind comes; it reports false when the conversation ends before.
func (a *attacker) hear(kind frameKind) ([]byte, bool) {
	for {
		got, payload, err := gossip.ReadFrame[frameKind](a.conn, &a.buf)
		if err != nil {
			return nil, false
		}
		if got == kind {
			return bytes.Clone(payload), true
		}
	}
}

// verdictOn is what the victim says to an offer; 0 when it ends the conversation.
func (a *attacker) verdictOn(t testing.TB, h *header) verdict {
	t.Helper()
	a.say(t, offerFrame(h, nil))
	payload, ok := a.hear(frameAnswer)
	if !ok {
		return 0
	}
	_, v, _, _, err := readAnswer(payload)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// offerTo is a header of a letter that maple would hold.
func (a *attacker) offerTo(to kith.ID, body []byte, change func(*headerBody)) *header {
	b := headerBody{
		Group: bytes.Repeat([]byte{0}, 32), From: a.id, To: to, Letter: kith.NewLetterID(), Seal: 1, Key: make([]byte, 32),
		Body: kith.BlobID(sha256.Sum256(body)), Size: int64(len(body)), Expires: time.Now().Add(24 * time.Hour).Unix(),
	}
	b.Group[0] = 7
	if change != nil {
		change(&b)
	}
	h, err := signHeader(a.key, b)
	if err != nil {
		panic(err)
	}
	return h
}

func TestBadOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, mallory := v.hosts[0], v.hosts[1], v.hosts[2]
		mallory.sleep()
		oak.sleep()
		body := []byte("what nobody can read")
		for _, c := range []struct {
			name   string
			change func(*headerBody)
			want   verdict
		}{
			{"right", nil, verdictWant},
			{"another group", func(b *headerBody) { b.Group[0] = 8 }, verdictRefused},
			{"a sender that is no member", func(b *headerBody) { b.From = kith.ID{9} }, verdictBusy},
			{"a receiver that is no member", func(b *headerBody) { b.To = kith.ID{9} }, verdictBusy},
			{"another's name", func(b *headerBody) { b.From = oak.id }, 0},
			{"expired", func(b *headerBody) { b.Expires = time.Now().Unix() - 1 }, verdictRefused},
			{"for ever", func(b *headerBody) { b.Expires = 1 << 39 }, verdictRefused},
			{"more than a sender may", func(b *headerBody) { b.Size = maxSealed; b.Seal = 2 }, verdictWant},
			{"too large", func(b *headerBody) { b.Size = maxSealed + 1 }, 0},
			{"of negative size", func(b *headerBody) { b.Size = -1 }, 0},
			{"sealed never", func(b *headerBody) { b.Seal = 0 }, 0},
		} {
			a := mallory.attack(t, maple)
			a.greet(t)
			if got := a.verdictOn(t, a.offerTo(oak.id, body, c.change)); got != c.want {
				t.Errorf("%s: verdict %d, want %d", c.name, got, c.want)
			}
			a.conn.Close()
		}
		time.Sleep(time.Minute)
		maple.Post.mu.Lock()
		defer maple.Post.mu.Unlock()
		if maple.stored.letters != 0 || maple.stored.bytes != 0 || len(maple.arriving) != 0 {
			t.Errorf("what never came counts: %+v, %d to come", maple.stored, len(maple.arriving))
		}
	})
}

func TestBadBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, mallory := v.hosts[0], v.hosts[1], v.hosts[2]
		mallory.sleep()
		oak.sleep()
		body := bytes.Repeat([]byte("sealed"), 10000)
		part := func(b []byte) []byte { return append(gossip.BeginFrame(frameBody), b...) }
		for _, c := range []struct {
			name   string
			frames func(k key) [][]byte
		}{
			{"another body", func(k key) [][]byte {
				wrong := bytes.Clone(body)
				wrong[77] ^= 1
				return [][]byte{keyFrame(frameBegin, k), part(wrong[:30000]), part(wrong[30000:])}
			}},
			{"more than was said", func(k key) [][]byte {
				return [][]byte{keyFrame(frameBegin, k), part(body[:30000]), part(body[:60000])}
			}},
			{"an end before its end", func(k key) [][]byte { return [][]byte{keyFrame(frameBegin, k), part(body[:30000])} }},
			{"two at once", func(k key) [][]byte { return [][]byte{keyFrame(frameBegin, k), keyFrame(frameBegin, k)} }},
			{"one that nobody wants", func(k key) [][]byte { k.letter[0] ^= 1; return [][]byte{keyFrame(frameBegin, k), part(body)} }},
			{"bytes of none", func(k key) [][]byte { return [][]byte{part(body)} }},
		} {
			a := mallory.attack(t, maple)
			a.greet(t)
			h := a.offerTo(oak.id, body, nil)
			if got := a.verdictOn(t, h); got != verdictWant {
				t.Fatalf("%s: verdict %d", c.name, got)
			}
			a.say(t, c.frames(h.key())...)
			if _, kept := a.hear(frameKept); kept { // ends in 30 s where the victim waits for more
				t.Errorf("%s: it was kept", c.name)
			}
			a.conn.Close()
		}
		time.Sleep(time.Minute)
		maple.Post.mu.Lock()
		defer maple.Post.mu.Unlock()
		if len(maple.parcels) != 0 || maple.stored.bytes != 0 {
			t.Errorf("%d letters, %+v", len(maple.parcels), maple.stored)
		}
	})
}

// TestForgedReceipts says that letters of others were delivered.
func TestForgedReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, mallory := v.hosts[0], v.hosts[1], v.hosts[2]
		mallory.sleep()
		oak.sleep()
		id := maple.post(t, oak, []byte("not yet"), nil)
		time.Sleep(time.Minute)
		body := receiptBody{
			Group: append([]byte{7}, make([]byte, 31)...), To: oak.id, Number: time.Now().UnixMicro(), From: maple.id, Letter: id, Seal: 1,
			Outcome: outcomeDelivered, Time: time.Now().UnixMilli(), Expires: time.Now().Add(time.Hour).Unix(),
		}
		own := body
		own.To = mallory.id // who may sign, but is not the receiver
		later := own
		later.Number = 1<<63 - 1
		for _, b := range []receiptBody{body, own, later} {
			r, err := signReceipt(mallory.key, b)
			if err != nil {
				t.Fatal(err)
			}
			a := mallory.attack(t, maple)
			a.greet(t)
			a.say(t, r.append(gossip.BeginFrame(frameReceipts)))
			time.Sleep(time.Second)
			a.conn.Close()
			if s := maple.state(t, id); s.Ended() {
				t.Errorf("after a receipt of %s: %+v", r.To.Short(), s)
			}
		}
		vector, err := maple.vector(t.Context())
		if err != nil || vector[mallory.id] > own.Number {
			t.Errorf("vector %v, %v", vector, err)
		}
		oak.wake(t)
		v.until(t, "delivery", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
	})
}

// TestReplay brings a letter again that was received, by whoever kept it.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, mallory := v.hosts[0], v.hosts[1], v.hosts[2]
		oak.sleep()
		id := maple.post(t, oak, []byte("once"), nil)
		v.until(t, "custody", func() bool { return len(maple.state(t, id).Held) == 1 })
		mallory.Post.mu.Lock()
		h := mallory.parcels[key{maple.id, id}].header
		mallory.Post.mu.Unlock()
		r, err := mallory.blobs.Open(t.Context(), h.Body)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		mallory.sleep()
		oak.wake(t)
		v.until(t, "delivery", func() bool { return oak.received() == 1 })
		a := mallory.attack(t, oak)
		a.greet(t)
		if got := a.verdictOn(t, h); got != verdictHave {
			t.Errorf("verdict %d on what was received", got)
		}
		// And as its own, which the signature inside tells.
		stolen := a.offerTo(oak.id, sealed, func(b *headerBody) { b.Letter, b.Key = id, h.Key })
		if got := a.verdictOn(t, stolen); got != verdictWant {
			t.Fatalf("verdict %d", got)
		}
		a.say(t, keyFrame(frameBegin, stolen.key()), append(gossip.BeginFrame(frameBody), sealed...))
		if _, ok := a.hear(frameKept); !ok {
			t.Error("it was not taken")
		}
		time.Sleep(time.Hour)
		if oak.received() != 1 {
			t.Errorf("%d letters", oak.received())
		}
	})
}

// TestSilent has peers that say nothing, stop in the middle of a letter, or read nothing.
func TestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak, mallory := v.hosts[0], v.hosts[1], v.hosts[2]
		mallory.sleep()
		a := mallory.attack(t, maple)
		begun := time.Now()
		if _, ok := a.hear(frameAnswer); ok || time.Since(begun) > gossip.Patience+time.Second {
			t.Errorf("who says nothing is borne for %v", time.Since(begun))
		}
		a = mallory.attack(t, maple)
		a.greet(t)
		h := a.offerTo(oak.id, make([]byte, 1<<20), nil)
		if got := a.verdictOn(t, h); got != verdictWant {
			t.Fatalf("verdict %d", got)
		}
		a.say(t, keyFrame(frameBegin, h.key()))
		begun = time.Now()
		if _, ok := a.hear(frameAnswer); ok || time.Since(begun) > gossip.Patience+time.Second {
			t.Errorf("who stops in a letter is borne for %v", time.Since(begun))
		}
		id := maple.post(t, oak, []byte("meanwhile"), nil)
		v.until(t, "delivery", func() bool { return maple.state(t, id).State == kith.LetterDelivered })
	})
}

// TestStrangers lets nobody in who is no member.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		maple, mallory := v.hosts[0], v.hosts[1]
		mallory.sleep()
		mallory.mu.Lock()
		mallory.revoked = true
		mallory.mu.Unlock()
		a := mallory.attack(t, maple)
		a.greet(t)
		if _, ok := a.hear(frameHello); ok {
			t.Error("it was greeted")
		}
	})
}

// TestCrossing has two hosts write to each other at the same moment, again and again.
func TestCrossing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		const n = 50
		for i := range n {
			maple.post(t, oak, letter(i), nil)
			oak.post(t, maple, letter(i), nil)
		}
		v.until(t, "delivery", func() bool { return maple.received() == n && oak.received() == n })
	})
}

// TestLarge has a letter of the largest size arrive, and others pass it on the way there is.
func TestLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "maple", "oak")
		v.acquaint(t)
		defer v.sleepAll()
		maple, oak := v.hosts[0], v.hosts[1]
		large := make([]byte, kith.MaxLetter)
		for i := 0; i < len(large); i += 8 {
			binary.BigEndian.PutUint64(large[i:], uint64(i))
		}
		id := maple.post(t, oak, large, nil)
		v.until(t, "delivery", func() bool { return oak.received() == 1 })
		if !bytes.Equal(oak.bodies[id], large) {
			t.Error("it is not what was sent")
		}
	})
}

func FuzzTalk(f *testing.F) {
	v := newVillage(f, "maple", "oak", "mallory")
	for _, h := range v.hosts {
		h.wake(f)
	}
	f.Cleanup(v.sleepAll)
	maple, oak, mallory := v.hosts[0], v.hosts[1], v.hosts[2]
	oak.sleep()
	mallory.sleep()
	mallory.mu.Lock()
	mallory.online = true
	mallory.mu.Unlock()
	a := &attacker{villager: mallory}
	h := a.offerTo(oak.id, []byte("sealed"), func(b *headerBody) { b.Expires = 1 << 32 })
	for _, frame := range [][]byte{
		gossip.BeginFrame(frameVector), append(gossip.BeginFrame(frameVector), make([]byte, vectorEntry)...),
		offerFrame(h, []holder{{oak.id, prove(oak.key, h)}}), answerFrame(h.key(), verdictWant, ""), answerFrame(h.key(), verdictFull, "no room"),
		keyFrame(frameBegin, h.key()), append(gossip.BeginFrame(frameBody), "sealed"...), keptFrame(h.key(), prove(oak.key, h)),
		appendHolders(keyFrame(frameHolders, h.key()), []holder{{maple.id, prove(maple.key, h)}}), gossip.BeginFrame(frameReceipts), gossip.BeginFrame(frameHello), gossip.BeginFrame(frameKind(77)),
	} {
		f.Add(bytes.Clone(gossip.FinishFrame(frame)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.Cleanup(cancel)
	f.Fuzz(func(t *testing.T, text []byte) {
		conn, err := v.hub.Network(mallory.id).Dial(ctx, kith.Address{Host: maple.id.String(), Port: Port})
		if err != nil {
			t.Skip("not listening yet")
		}
		defer conn.Close()
		a := &attacker{villager: mallory, conn: conn}
		a.greet(t)
		go func() {
			conn.Write(text)
			kith.CloseWrite(conn)
		}()
		io.Copy(io.Discard, conn)
	})
}

func FuzzSigned(f *testing.F) {
	v := newVillage(f, "maple", "oak")
	a := &attacker{villager: v.hosts[0]}
	h := a.offerTo(v.hosts[1].id, []byte("sealed"), nil)
	f.Add(h.append(nil))
	r, err := signReceipt(a.key, receiptBody{Group: make([]byte, 32), To: a.id, Number: 1, From: v.hosts[1].id, Outcome: outcomeRefused, Reason: "no", Expires: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, rest, err := cutSigned(text)
		if err != nil {
			return
		}
		if again := append(s.append(nil), rest...); !bytes.Equal(again, text) {
			t.Errorf("%q is read as %q", text, again)
		}
		parseHeader(s)
		parseReceipt(s)
		readReceipts(text)
		readOffer(text)
	})
}

// FuzzOpen opens what is no sealed letter.
func FuzzOpen(f *testing.F) {
	private, public, err := newSealKey()
	if err != nil {
		f.Fatal(err)
	}
	k, err := suiteKEM.NewPrivateKey(private)
	if err != nil {
		f.Fatal(err)
	}
	h := &headerBody{Group: make([]byte, 32)}
	inside, err := sign(bytes.Repeat([]byte{1}, 64), letterDomain, contents{})
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := seal(public, h, inside, bytes.NewReader(make([]byte, 100)), 100)
	if err != nil {
		f.Fatal(err)
	}
	text, err := io.ReadAll(sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		h := &headerBody{Group: make([]byte, 32), Size: int64(len(text))}
		r, err := open(k, h, bytes.NewReader(text))
		if err != nil {
			return
		}
		if _, err := readInside(r); err == nil {
			io.Copy(io.Discard, r)
		}
	})
}

// TestLies has a sender seal what is not as it signed: each is refused, once and for all.
func TestLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVillage(t, "oak", "mallory")
		v.acquaint(t)
		defer v.sleepAll()
		oak, mallory := v.hosts[0], v.hosts[1]
		mallory.sleep()
		note, payload := []byte("for bob"), []byte("the message")
		for name, lie := range map[string]func(c *contents) (inside []byte){
			"nothing":         func(*contents) []byte { return append(bytes.Clone(note), payload...) },
			"another note":    func(*contents) []byte { return append([]byte("for eve"), payload...) },
			"another payload": func(*contents) []byte { return append(bytes.Clone(note), "the massage"...) },
			"a note in part": func(c *contents) []byte {
				c.NoteSize = kith.MaxNote
				return note
			},
			"a payload in part": func(c *contents) []byte {
				c.Size = 1 << 20
				return append(bytes.Clone(note), payload...)
			},
			"a note that is too long": func(c *contents) []byte {
				c.NoteSize = kith.MaxNote + 1
				return make([]byte, kith.MaxNote+100)
			},
			"no note":           func(c *contents) []byte { c.NoteSize = 0; return append(bytes.Clone(note), payload...) },
			"a negative note":   func(c *contents) []byte { c.NoteSize = -1; return append(bytes.Clone(note), payload...) },
			"another recipient": func(c *contents) []byte { c.To = mallory.id; return append(bytes.Clone(note), payload...) },
		} {
			a := mallory.attack(t, oak)
			a.greet(t)
			before := oak.received()
			head := headerBody{Group: bytes.Repeat([]byte{0}, 32), From: a.id, To: oak.id, Letter: kith.NewLetterID(), Seal: 1, Key: v.sealKey(oak.id), Expires: time.Now().Add(24 * time.Hour).Unix()}
			head.Group[0] = 7
			c := contents{Version: wireVersion, Group: head.Group, From: a.id, To: oak.id, Letter: head.Letter, App: "echo", Sent: time.Now().UnixMilli(), Expires: head.Expires,
				Note: sha256.Sum256(note), NoteSize: len(note), Payload: sha256.Sum256(payload), Size: int64(len(payload))}
			text := lie(&c)
			inside, err := sign(a.key, letterDomain, c)
			if err != nil {
				t.Fatal(err)
			}
			r, err := seal(head.Key, &head, inside, bytes.NewReader(text), int64(len(text)))
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			h := a.offerTo(oak.id, sealed, func(b *headerBody) {
				body, size := b.Body, b.Size
				*b = head
				b.Body, b.Size = body, size
			})
			if got := a.verdictOn(t, h); got != verdictWant {
				t.Fatalf("%s: verdict %d", name, got)
			}
			a.say(t, keyFrame(frameBegin, h.key()))
			for part := range slices.Chunk(sealed, 30000) {
				a.say(t, append(gossip.BeginFrame(frameBody), part...))
			}
			a.hear(frameKept)
			a.conn.Close()
			var outcome string
			v.until(t, "the end of "+name, func() bool {
				return oak.store.View(t.Context(), func(tx *sql.Tx) error {
					return tx.QueryRow(`SELECT outcome FROM post_receipts WHERE letter = ?`, head.Letter[:]).Scan(&outcome)
				}) == nil
			})
			want := outcomeRefused
			if name == "nothing" {
				want = outcomeDelivered
				if l := oak.got[len(oak.got)-1]; !bytes.Equal(l.Note, note) || !bytes.Equal(oak.bodies[l.ID], payload) {
					t.Errorf("received %q, %q", l.Note, oak.bodies[l.ID])
				}
			}
			if outcome != want || want == outcomeRefused && oak.received() != before {
				t.Errorf("a letter that lies about %s was %s", name, outcome)
			}
		}
	})
}
