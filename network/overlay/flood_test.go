package overlay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"kith.alt/kith"
)

// flood opens streams as fast as the carrier takes them, and says header on
// each, until it has opened count.
func flood(t *testing.T, l *link, count int, h header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range count {
		st, err := l.openStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		st.SetWriteDeadline(time.Now().Add(patience))
		st.Write(h.append(nil))
		if h.kind == forPing || h.kind == forPunching {
			readHeader(st)
		}
		st.reset()
	}
}

// TestFlood has a member open streams of every kind without end: others are
// served meanwhile, and nothing is left of it.
func TestFlood(t *testing.T) {
	c := newClub()
	target, other := c.member(t, 1), c.member(t, 2)
	gone := idOf(newKey(9))
	c.set(gone, true)
	dialed, accepted := connected(t, other, target)
	exchange(t, dialed, accepted)
	for _, f := range []struct {
		name string
		h    header
	}{
		{"sockets", header{kind: forSocket, port: 7, socket: socketID{1}}},
		{"resumptions", header{kind: forResuming, socket: socketID{1}}},
		{"notices", header{kind: forControl}},
		{"relays", header{kind: forRelaying, host: gone}},
		{"relays to the other", header{kind: forRelaying, host: other.id}},
		{"relayed callers", header{kind: forRelayed, host: gone, candidates: c.where(other.id)}},
		{"relayed joiners", header{kind: forRelayed}},
		{"punches", header{kind: forPunching, candidates: c.where(other.id)}},
		{"pings", header{kind: forPing}},
		{"datagrams", header{kind: forDatagrams}},
		{"goodness knows what", header{kind: 77}},
	} {
		t.Run(f.name, func(t *testing.T) {
			for _, carrier := range bothCarriers {
				mallory := c.member(t, 3, only(carrier))
				if err := mallory.Connect(t.Context(), target.id); err != nil {
					t.Fatal(err)
				}
				exchange(t, dialed, accepted)
				before := runtime.NumGoroutine()
				flood(t, mallory.currentLink(target.id), 500, f.h)
				exchange(t, dialed, accepted)
				waitFor(t, "the flood to be gone", func() bool { return runtime.NumGoroutine() < before+50 })
				mallory.Drop(target.id, kith.Unreachable)
				target.Drop(mallory.id, kith.Unreachable)
			}
		})
	}
	if n := target.Relayed().Streams; n != 0 {
		t.Errorf("%d relayed streams are left", n)
	}
}

// TestGreedyCaller has a member take all of a relay's places that it can get:
// another one still finds one.
func TestGreedyCaller(t *testing.T) {
	c := newClub()
	relay := c.member(t, 1, func(config *Config) { config.RelayLimits.Streams = 8 })
	mallory, a, b := c.member(t, 2), c.member(t, 3), c.member(t, 4)
	c.hidden(mallory, a, b)
	meet(t, relay, mallory, a, b)
	l := mallory.currentLink(relay.id)
	var streams []stream
	for range 20 {
		st, err := l.openStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Write(header{kind: forRelaying, host: b.id}.append(nil))
		if refusal, err := readVerdict(st); err == nil && refusal == nil {
			streams = append(streams, st)
		} else if refusal != nil && !errors.Is(refusal, kith.Quota) {
			t.Errorf("%v, want kind %q", refusal, kith.Quota)
		}
	}
	if len(streams) == 0 || len(streams) > 4 {
		t.Errorf("the caller has %d of 8 places", len(streams))
	}
	dialed, accepted := connected(t, a, b)
	exchange(t, dialed, accepted)
	if path, via := pathOf(a, b); path != pathRelayed || via != relay.id {
		t.Errorf("path %q through %s", path, via.Short())
	}

	// A flow that one end gives up ends at the other, too.
	for _, st := range streams {
		st.reset()
	}
	waitFor(t, "the places to be free", func() bool { return relay.Relayed().Streams <= 2 })
}

// TestRelayedFlowEnds: when one end of a relayed flow hangs up, so does the
// relay towards the other.
func TestRelayedFlowEnds(t *testing.T) {
	c := newClub()
	relay, a, b := c.member(t, 1), c.member(t, 2), c.member(t, 3)
	c.hidden(a, b)
	meet(t, relay, a, b)
	if err := a.Connect(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the callee to know", func() bool { path, _ := pathOf(b, a); return path == pathRelayed })
	began := time.Now()
	a.currentLink(b.id).close()
	waitFor(t, "the callee to notice", func() bool {
		l := b.currentLink(a.id)
		return l == nil || l.since.After(began)
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the callee noticed after %v", took)
	}
}

// TestJoinersAreNotPassedOn: who was relayed to a member in order to join is not
// relayed from there to another.
func TestJoinersAreNotPassedOn(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	first, second, third := c.member(t, 1, inviting(&open)), c.member(t, 2, inviting(&open)), c.member(t, 3, inviting(&open))
	meet(t, first, second)
	meet(t, second, third)
	stranger := newcomer(newKey(9))
	serve(t, stranger)
	certificate, err := stranger.certificate()
	if err != nil {
		t.Fatal(err)
	}
	s := &joinSearch{overlay: stranger, config: baseConfig(certificate, alpnJoin),
		request: func(kith.ID, []byte) ([]byte, error) { return []byte("please"), nil }}
	other := joinOther{first.id, joinWay{carrierTLS, c.where(first.id)[0]}}
	through, err := s.beginThrough(t.Context(), other, second.id)
	if err != nil {
		t.Fatal(err)
	}
	defer through.close()
	if err := writeJoinRequest(through, joinRelay, third.id[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := readJoinReply(through); !errors.Is(err, kith.Invalid) {
		t.Errorf("%v, want kind %q", err, kith.Invalid)
	}
}

// TestJoinerIsNoProxy has a stranger send through a member as much as it can.
func TestJoinerIsNoProxy(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	c := newClub()
	relay, far := c.member(t, 1, inviting(&open)), c.member(t, 2, inviting(&open))
	meet(t, relay, far)
	conn := dialJoin(t, c.where(relay.id)[0])
	conn.SetDeadline(time.Now().Add(patience))
	if err := writeJoinRequest(conn, joinRelay, far.id[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := readJoinReply(conn); err != nil {
		t.Fatal(err)
	}
	before := far.currentLink(relay.id).arrived()
	// It speaks kith/1 to the far host, who wants to hear of joining alone.
	config, err := newcomer(newKey(9)).diallerConfig(far.id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stranger := newcomer(newKey(9))
	if _, err := stranger.approachOver(ctx, conn, far.id, config, relay.id); err == nil {
		t.Error("a stranger has a carrier")
	}
	// It sends rubbish.
	conn = dialJoin(t, c.where(relay.id)[0])
	writeJoinRequest(conn, joinRelay, far.id[:])
	if _, err := readJoinReply(conn); err != nil {
		t.Fatal(err)
	}
	conn.Write(bytes.Repeat([]byte{0x16, 3, 3, 0x40, 0}, 1<<18))
	n, _ := io.Copy(io.Discard, conn)
	if n > joinRelayed {
		t.Errorf("%d bytes came back", n)
	}
	if got := far.currentLink(relay.id).arrived() - before; got > 3*joinRelayed { // both, and what the carrier adds
		t.Errorf("%d bytes went to the far host", got)
	}
	for _, o := range []*Overlay{relay, far} {
		if len(o.Peers()) != 1 {
			t.Errorf("%s has %d peers", o.id.Short(), len(o.Peers()))
		}
	}
}
