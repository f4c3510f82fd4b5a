package library

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// An intruder talks to a library as the member name, and says what it likes.
type intruder struct {
	conn net.Conn
	err  chan error
	came chan frameType
}

func intrude(t testing.TB, h *host, name string) *intruder {
	t.Helper()
	left, right := net.Pipe()
	i := &intruder{conn: right, err: make(chan error, 1), came: make(chan frameType, 1000)}
	go func() { i.err <- h.Sync(t.Context(), left, testID(name)) }()
	go func() {
		var buf []byte
		for {
			kind, _, err := gossip.ReadFrame[frameType](right, &buf)
			if err != nil {
				return
			}
			i.came <- kind
		}
	}()
	t.Cleanup(func() { right.Close() })
	return i
}

func (i *intruder) say(kind frameType, payload []byte) error {
	_, err := i.conn.Write(gossip.FinishFrame(append(gossip.BeginFrame(kind), payload...)))
	return err
}

func (i *intruder) greet() {
	frame, err := helloFrame(digest{})
	if err != nil {
		panic(err)
	}
	i.conn.Write(gossip.FinishFrame(frame))
}

// TestNonsense has a peer break the rules: the conversation ends and says why.
func TestNonsense(t *testing.T) {
	forged := entryOf(t, "ash", nil)
	forged.signature[0] ^= 1
	wants := want{host: testID("maple"), entries: true}.appendTo(nil)
	for name, test := range map[string]struct {
		say  func(*intruder)
		kind kith.Kind
	}{
		"no hello":             {func(i *intruder) { i.say(frameAsk, nil) }, kith.Invalid},
		"a hello of version 0": {func(i *intruder) { i.say(frameHello, []byte(`{"v":0,"digest":""}`)) }, kith.Invalid},
		"a hello of version 1": {func(i *intruder) { i.say(frameHello, []byte(`{"v":1,"digest":"00000000000000000000000000000000"}`)) }, kith.Invalid},
		"two hellos":           {func(i *intruder) { i.greet(); i.greet() }, kith.Invalid},
		"a frame of 4 GiB":     {func(i *intruder) { i.conn.Write([]byte{0xff, 0xff, 0xff, 0xff, 1}) }, kith.Invalid},
		"an empty frame":       {func(i *intruder) { i.conn.Write([]byte{0, 0, 0, 0, 1}) }, kith.Invalid},
		"nothing at all":       {func(i *intruder) {}, kith.Temporary},
		"a forged entry":       {func(i *intruder) { i.greet(); i.say(frameNews, forged.appendTo(nil)) }, kith.Denied},
		"half an entry":        {func(i *intruder) { i.greet(); i.say(frameNews, forged.appendTo(nil)[:20]) }, kith.Invalid},
		"summaries unasked": {func(i *intruder) {
			i.greet()
			<-i.came
			<-i.came
			i.say(frameSummaries, nil)
			i.say(frameSummaries, nil)
		}, kith.Invalid},
		"a want within a want":    {func(i *intruder) { i.greet(); i.say(frameWant, append(wants, wants...)) }, kith.Invalid},
		"half a digest":           {func(i *intruder) { i.greet(); i.say(frameDigest, []byte{1}) }, kith.Invalid},
		"a frame of another time": {func(i *intruder) { i.greet(); i.say(200, []byte("later")); i.conn.Close() }, "fine"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				maple := newHost(t, "maple", nil)
				maple.publish(t, "a", "a")
				i := intrude(t, maple, "oak")
				test.say(i)
				err := <-i.err
				switch {
				case test.kind == "fine":
					if err != nil {
						t.Errorf("ended with %v", err)
					}
				case !errors.Is(err, test.kind):
					t.Errorf("ended with %v, want %q", err, test.kind)
				}
				if len(maple.Entries()) != 1 {
					t.Errorf("entries: %v", maple.Entries())
				}
			})
		})
	}
}

// TestImpatientWants has a peer ask again and again without waiting for answers.
func TestImpatientWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := newHost(t, "maple", nil)
		for n := range 1000 {
			maple.publish(t, fmt.Sprint(n), "a")
		}
		i := intrude(t, maple, "oak")
		i.greet()
		for range 100 {
			if i.say(frameWant, want{host: maple.id, entries: true}.appendTo(nil)) != nil {
				break
			}
		}
		if err := <-i.err; !errors.Is(err, kith.Invalid) {
			t.Error(err)
		}
	})
}

// TestDeafPeer has a peer that does not read not be waited for for ever.
func TestDeafPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := newHost(t, "maple", nil)
		left, right := net.Pipe()
		defer right.Close()
		if err := maple.Sync(t.Context(), left, testID("oak")); !errors.Is(err, kith.Temporary) {
			t.Error(err)
		}
	})
}

func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := newHost(t, "maple", nil)
		maple.revoke(testID("stranger"))
		left, right := net.Pipe()
		defer right.Close()
		if err := maple.Sync(t.Context(), left, testID("stranger")); !errors.Is(err, kith.NotMember) {
			t.Errorf("a stranger calls: %v", err)
		}
		i := intrude(t, maple, "oak")
		i.greet()
		if err := i.say(frameNews, entryOf(t, "stranger", nil).appendTo(entryOf(t, "oak", nil).appendTo(nil))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := maple.Entries(); len(got) != 1 || got[0].Host != testID("oak") {
			t.Errorf("entries: %+v", got)
		}
		maple.revoke(testID("oak"))
		i.say(frameAsk, nil)
		if err := <-i.err; !errors.Is(err, kith.NotMember) {
			t.Errorf("a member that is revoked goes on: %v", err)
		}
		if got := maple.Entries(); len(got) != 0 {
			t.Errorf("entries of a revoked member: %+v", got)
		}
	})
}

// TestThirdConversation ends the oldest.
func TestThirdConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := newHost(t, "maple", nil)
		first, second := intrude(t, maple, "oak"), intrude(t, maple, "oak")
		synctest.Wait()
		third := intrude(t, maple, "oak")
		var ended []error
		for _, i := range []*intruder{first, second} {
			select {
			case err := <-i.err:
				ended = append(ended, err)
			case <-time.After(time.Second):
			}
		}
		if len(ended) != 1 || !errors.Is(ended[0], kith.Quota) {
			t.Errorf("ended: %v", ended)
		}
		third.greet()
		synctest.Wait()
		select {
		case err := <-third.err:
			t.Errorf("the newest ended: %v", err)
		default:
		}
	})
}

// TestFlood has a member sign as fast as it can.
func TestFlood(t *testing.T) {
	const flood = 5000
	var payload [][]byte
	for n := range flood {
		r := entryOf(t, "oak", func(e *kith.Entry) { e.Version = uint64(n + 1) })
		if n%100 == 0 {
			payload = append(payload, nil)
		}
		last := &payload[len(payload)-1]
		*last = r.appendTo(*last)
	}
	synctest.Test(t, func(t *testing.T) {
		maple := newHost(t, "maple", nil)
		i := intrude(t, maple, "oak")
		i.greet()
		began := time.Now()
		for _, p := range payload {
			if err := i.say(frameNews, p); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		limit := hostBurst + int(time.Since(began)/hostEvery) + 1
		if e, _ := maple.Entry(testID("oak"), "Holiday"); int(e.Version) > limit || e.Version < 1000 {
			t.Errorf("%d versions in %v were taken, at most %d may be", e.Version, time.Since(began), limit)
		}
		if n := len(maple.log); n > 200 {
			t.Errorf("the log holds %d records", n)
		}

		// Others are not kept from publishing, and once the flood is over the newest
		// counts.
		ash := newHost(t, "ash", nil)
		ash.publish(t, "Books", "b")
		connect(t, maple, ash)
		synctest.Wait()
		time.Sleep(time.Second)
		if _, ok := maple.Entry(ash.id, "Books"); !ok {
			t.Error("a flood keeps others from publishing")
		}
		i.conn.Close()
		time.Sleep(time.Minute)
		last := entryOf(t, "oak", func(e *kith.Entry) { e.Version = flood })
		i = intrude(t, maple, "oak")
		i.greet()
		i.say(frameNews, last.appendTo(nil))
		synctest.Wait()
		if e, _ := maple.Entry(testID("oak"), "Holiday"); e.Version != flood {
			t.Errorf("version %d after the flood", e.Version)
		}
	})
}

// TestTooManyTitles has every library keep the same ones, in whatever order they
// came.
func TestTooManyTitles(t *testing.T) {
	var records []*record
	for n := range MaxEntries + 100 {
		records = append(records, entryOf(t, "oak", func(e *kith.Entry) { e.Title = fmt.Sprint(n) }))
	}
	take := func(h *host, records []*record) {
		for len(records) > 0 {
			n := min(300, len(records))
			if err := h.take(t.Context(), records[:n], testID("oak")); err != nil {
				t.Fatal(err)
			}
			records = records[n:]
		}
	}
	var backwards []*record
	for n := range records {
		r := *records[len(records)-1-n]
		backwards = append(backwards, &r)
	}
	maple, ash := newHost(t, "maple", nil), newHost(t, "ash", nil)
	take(maple, records)
	take(ash, backwards)
	if n := len(maple.Entries()); n != MaxEntries {
		t.Errorf("%d entries", n)
	}
	same(t, maple, ash)

	oak := newHost(t, "oak", nil)
	for _, r := range backwards[:MaxEntries] {
		oak.shelve(r)
	}
	_, err := oak.Publish(context.Background(), kith.Entry{Title: "one more", Kind: "files", Content: testContent("a")})
	if !errors.Is(err, kith.Quota) {
		t.Errorf("a title too many: %v", err)
	}
	oak.publish(t, oak.Entries()[0].Title, "b")
}

// TestHighestVersion has a host that signed the highest version go on.
func TestHighestVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oak, maple := newHost(t, "oak", nil), newHost(t, "maple", nil)
		last := entryOf(t, "oak", func(e *kith.Entry) { e.Version, e.Published = MaxVersion, time.Now() })
		future := entryOf(t, "oak", func(e *kith.Entry) { e.Version, e.Published = MaxVersion, time.Now().Add(maxAhead+time.Second) })
		for _, h := range []*host{oak, maple} {
			copies := []*record{{}, {}}
			*copies[0], *copies[1] = *last, *future
			if err := h.take(t.Context(), copies, testID("ash")); err != nil {
				t.Fatal(err)
			}
			if e, ok := h.Entry(oak.id, "Holiday"); !ok || !e.Published.Equal(last.entry.Published) {
				t.Fatalf("%s has %+v", h.name, e)
			}
		}
		connect(t, oak, maple)
		synctest.Wait()
		for n := range 5 {
			e := oak.publish(t, "Holiday", fmt.Sprint(n))
			synctest.Wait()
			if got, _ := maple.Entry(oak.id, "Holiday"); got != e || e.Version != MaxVersion {
				t.Errorf("maple has %+v, want %+v", got, e)
			}
		}
	})
}

// TestLiar has a member say that it has everything, and give nothing: others are
// asked after a while.
func TestLiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ash, maple := newHost(t, "ash", nil), newHost(t, "maple", nil)
		for n := range 100 {
			maple.publish(t, fmt.Sprint(n), "a")
		}
		i := intrude(t, ash, "oak")
		i.greet()
		for <-i.came != frameAsk {
		}
		i.say(frameSummaries, summary{host: maple.id, entries: digest{1}, holdings: MaxVersion}.appendTo(nil))
		for <-i.came != frameWant {
		}
		connect(t, ash, maple)
		time.Sleep(time.Second)
		if len(ash.Entries()) != 0 {
			t.Error("two are asked at once")
		}
		time.Sleep(leaseTime)
		if n := len(ash.Entries()); n != 100 {
			t.Errorf("%d entries while somebody lies", n)
		}
	})
}
