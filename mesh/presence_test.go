package mesh

import (
	"slices"
	"testing"
	"time"

	"kith.alt/kith"
	"kith.alt/kith/network/overlay"
)

func TestMeeting(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	met := new(meeting)
	if met.isOnline(at(0)) {
		t.Error("a member that nobody has heard of is online")
	}
	if !met.mayBeOnline(at(0), time.Time{}) || !met.mayBeOnline(at(9), at(0)) || met.mayBeOnline(at(60), at(0)) {
		t.Error("a member counts as awake until its heartbeat should have come, and not longer")
	}
	met.hear(overlay.PeerInfo{ID: kith.ID{1}, Heard: at(20)}, time.Time{})
	met.hear(overlay.PeerInfo{}, time.Time{})
	if !met.isOnline(at(79)) || met.isOnline(at(81)) {
		t.Error("a lost carrier counts for a minute")
	}
	met.hear(overlay.PeerInfo{}, at(30))
	if !met.isOnline(at(89)) || met.isOnline(at(91)) {
		t.Error("a heartbeat counts for a minute")
	}
	met.gone = at(40)
	met.hear(overlay.PeerInfo{}, at(44))
	if met.isOnline(at(45)) || met.mayBeOnline(at(45), at(0)) {
		t.Error("a heartbeat that was on its way counts after the goodbye")
	}
	met.hear(overlay.PeerInfo{}, at(81))
	if !met.isOnline(at(81)) {
		t.Error("a member that said goodbye and beats again is not online")
	}
	met.fail(at(82), 200)
	met.fail(at(84), 200)
	if !met.isOnline(at(85)) || met.mayBeOnline(at(85), at(0)) {
		t.Error("one that others hear of is online, but no neighbour while it does not answer us")
	}
	met.retry()
	if !met.mayBeOnline(at(85), at(0)) {
		t.Error("after news it is worth a dial")
	}
}

func TestPauses(t *testing.T) {
	now := time.Unix(1000, 0)
	for members, most := range map[int]time.Duration{8: time.Minute, 200: 13 * time.Minute} {
		met := new(meeting)
		last := time.Duration(0)
		for range 30 {
			met.fail(now, members)
			if met.pause < last {
				t.Errorf("%d members: pause %v after %v", members, met.pause, last)
			}
			last = met.pause
		}
		if last != most {
			t.Errorf("%d members: longest pause %v, want %v", members, last, most)
		}
	}
	met := &meeting{seen: now}
	met.fail(now, 3)
	if met.isOnline(now) {
		t.Error("a member of a small group that does not answer counts as online")
	}
}

func TestChoose(t *testing.T) {
	id := func(n byte) kith.ID { return kith.ID{n} }
	choices := []choice{
		{id: id(1), order: orderOf(id(9), id(1))},
		{id: id(2), up: true, rtt: 30 * time.Millisecond},
		{id: id(3), up: true, rtt: 10 * time.Millisecond},
		{id: id(4), up: true},
		{id: id(5), held: true, up: true, rtt: time.Second},
		{id: id(6), order: orderOf(id(9), id(6))},
	}
	if got, want := choose(choices, 4), []kith.ID{id(5), id(3), id(2), id(4)}; !slices.Equal(got, want) {
		t.Errorf("chose %v, want %v", got, want)
	}
	if got := choose(nil, 3); got != nil {
		t.Errorf("chose %v of nobody", got)
	}
}
