package group

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/gossip"
)

// signBeat is a beat of host with that number.
func signBeat(host string, group Hash, sequence uint64) beat {
	b := beat{host: testID(host), sequence: sequence}
	copy(b.signature[:], ed25519.Sign(testKey(host), beatStatement(group, b.host, sequence)))
	return b
}

// A chain of hosts: a beat goes from one end to the other, once over each link.
func TestBeatsArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := bigGroup(t, 4)
		for i := range groups[1:] {
			stop := connect(t, groups[i], groups[i+1])
			defer stop()
		}
		synctest.Wait()
		if at := groups[3].Heard(groups[0].ID()); !at.IsZero() {
			t.Errorf("heard at %s", at)
		}
		before := groups[1].Traffic()
		for range 3 { // two of them too early
			if err := groups[0].Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(3 * beatEvery)
		start := groups[0].Heard(groups[0].ID())
		for i, g := range groups {
			if at := g.Heard(groups[0].ID()); at.Before(start) || at.Sub(start) > 3*beatEvery {
				t.Errorf("host %d heard it at %s", i, at.Sub(start))
			}
		}
		used := groups[1].Traffic().since(before)
		if want := uint64(gossip.FrameHead + beatSize); used.Frames != 1 || used.Beats != 1 || used.Bytes != want || want > 110 {
			t.Errorf("the second host sent %+v, want one frame of %d bytes", used, want)
		}
		time.Sleep(beatPause)
		if err := groups[0].Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * beatEvery)
		if at := groups[3].Heard(groups[0].ID()); !at.After(start.Add(beatPause)) {
			t.Errorf("the second beat was heard at %s", at.Sub(start))
		}
	})
}

// Beats that come together go together.
func TestBeatsAreBatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := bigGroup(t, 32)
		hub := groups[0]
		for _, g := range groups[1:] {
			stop := connect(t, hub, g)
			defer stop()
		}
		synctest.Wait()
		before := hub.Traffic()
		for _, g := range groups {
			if err := g.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * beatEvery)
		for i, g := range groups {
			for j, other := range groups {
				if g.Heard(other.ID()).IsZero() {
					t.Fatalf("host %d has not heard host %d", i, j)
				}
			}
		}
		if used := hub.Traffic().since(before); used.Beats > 2*31 {
			t.Errorf("the hub sent %d frames for 32 beats to 31 hosts", used.Beats)
		}
	})
}

// tellBeats has peer send frames of beats to g, and returns how that ended.
func tellBeats(t testing.TB, g *Group, peer string, frames ...[]byte) error {
	t.Helper()
	left, right := newPipe()
	right.Write(validHello(t, g.log.genesis))
	for _, payload := range frames {
		right.Write(frame(frameBeats, payload))
	}
	right.(*pipe).out.close()
	return g.Sync(context.Background(), left, testID(peer), nil)
}

func TestHostileBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		enlarge(t, maple, "oak")
		ash := enlarge(t, maple, "ash")
		genesis := maple.log.genesis
		heard := func() time.Time { return maple.Heard(ash.ID()) }

		good := signBeat("ash", genesis, 1000)
		forged := good
		forged.signature[5]++
		raised := good
		raised.sequence++
		for what, payload := range map[string][]byte{
			"forged":         appendBeat(nil, forged),
			"another number": appendBeat(nil, raised),
			"another group":  appendBeat(nil, signBeat("ash", Hash{1}, 1000)),
			"another host":   appendBeat(nil, beat{host: ash.ID(), sequence: 1000, signature: signBeat("oak", genesis, 1000).signature}),
			"cut short":      appendBeat(nil, good)[:beatSize-1],
		} {
			if err := tellBeats(t, maple, "oak", payload); !errors.Is(err, kith.Denied) && !errors.Is(err, kith.Invalid) {
				t.Errorf("%s: %v", what, err)
			}
			if !heard().IsZero() {
				t.Fatalf("%s: heard", what)
			}
		}

		// Strangers are passed over; the good one is taken.
		if err := tellBeats(t, maple, "oak", appendBeat(appendBeat(nil, signBeat("elm", genesis, 1000)), good)); err != nil {
			t.Error(err)
		}
		first := heard()
		if first.IsZero() || !maple.Heard(testID("elm")).IsZero() {
			t.Errorf("heard ash at %s, elm at %s", first, maple.Heard(testID("elm")))
		}

		// Replayed, reordered, too many.
		time.Sleep(time.Hour)
		if err := tellBeats(t, maple, "oak", appendBeat(nil, good), appendBeat(nil, signBeat("ash", genesis, 999))); err != nil {
			t.Error(err)
		}
		if !heard().Equal(first) {
			t.Error("heard a replay")
		}
		var flood []byte
		for i := range uint64(500) {
			flood = appendBeat(flood, signBeat("ash", genesis, 2000+i))
		}
		if err := tellBeats(t, maple, "oak", flood); err != nil {
			t.Error(err)
		}
		if n := maple.pulse.of(ash.ID()).sequence; n != 2000 {
			t.Errorf("of a flood took %d", n)
		}

		// What is older than the host's record is a replay, also after a restart.
		maple.pulse.newest = nil
		if err := maple.applyRecords(t.Context(), []*record{must(signRecord(testKey("ash"), recordBody{Group: genesis, Sequence: 5000}))}); err != nil {
			t.Fatal(err)
		}
		if err := tellBeats(t, maple, "oak", appendBeat(nil, signBeat("ash", genesis, 4999))); err != nil || !heard().IsZero() {
			t.Errorf("heard a beat below the record's number at %s, %v", heard(), err)
		}

		// Out of the group: nothing of it is heard, and it cannot beat.
		if err := maple.Revoke(t.Context(), ash.ID()); err != nil {
			t.Fatal(err)
		}
		if err := tellBeats(t, maple, "oak", appendBeat(nil, signBeat("ash", genesis, 6000))); err != nil || !heard().IsZero() {
			t.Errorf("heard a revoked host at %s, %v", heard(), err)
		}
		if _, err := ash.apply(t.Context(), maple.state.Load().entries); err != nil {
			t.Fatal(err)
		}
		if err := ash.Beat(t.Context()); !errors.Is(err, kith.NotMember) {
			t.Errorf("a revoked host beats: %v", err)
		}
	})
}

// A host whose clock went back is told, and goes on above itself.
func TestBeatAfterTheClockWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		maple := found(t, "maple")
		oak := enlarge(t, maple, "oak")
		ahead := signBeat("oak", maple.log.genesis, 1<<40)
		maple.pulse.note(heard{ahead, time.Now()}, maple.Roster())
		time.Sleep(time.Minute)
		var running sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		left, right := newPipe()
		running.Go(func() { maple.Sync(ctx, left, oak.ID(), nil) })
		running.Go(func() { oak.Sync(ctx, right, maple.ID(), nil) })
		synctest.Wait()
		if err := oak.Beat(ctx); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.Sleep(2 * beatEvery)
		if at := maple.Heard(oak.ID()); at.Before(start) {
			t.Errorf("heard %s before the beat", start.Sub(at))
		}
		cancel()
		running.Wait()
	})
}

func FuzzBeats(f *testing.F) {
	s := tell(f)
	s.chain("ada", "oak")
	f.Add(appendBeat(nil, signBeat("oak", s.genesis, 1)))
	f.Add(appendBeat(appendBeat(nil, signBeat("ada", s.genesis, 2)), signBeat("elm", s.genesis, 1)))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		g := newGroup(testKey("ada"), newLog(s.genesis))
		for _, e := range s.entries {
			g.log.add(e, 0, true)
		}
		g.publish(&state{roster: Merge(s.genesis, s.entries)})
		if err := tellBeats(t, g, "oak", payload[:min(len(payload), gossip.MaxFrame-1)]); err != nil && !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.Denied) {
			t.Errorf("error without kind: %v", err)
		}
		for id, h := range g.pulse.newest {
			if h.verify(s.genesis) != nil {
				t.Errorf("took a forged beat of %s", id.Short())
			}
		}
	})
}
