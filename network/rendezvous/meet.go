package rendezvous

import (
	"context"
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"kith.alt/kith"
)

const (
	firstPause = 4 * time.Second // between rounds; of the others see pauseAt
	lastPause  = 10 * time.Minute

	refresh    = 20 * time.Minute // nodes forget an item after two hours (BEP 44)
	rewrite    = 5 * time.Minute  // where few of the nearest nodes hold the board
	asideEach  = 4                // rounds after which the days before and after are read,
	asideAfter = 5 * time.Minute  // or after this time, if that is sooner
	maxPeers   = 64
)

// pauseAt is the pause between rounds when the schedule started so long ago.
func pauseAt(elapsed time.Duration) time.Duration {
	switch {
	case elapsed < time.Minute:
		return firstPause
	case elapsed < 10*time.Minute:
		return 30 * time.Second
	case elapsed < time.Hour:
		return 2 * time.Minute
	}
	return lastPause
}

// A visitor is one call of Meet.
type visitor struct {
	rendezvous *Rendezvous
	secret     [32]byte
	self       kith.ID

	places   []*place  // of yesterday, today and tomorrow
	number   int       // of rounds
	aside    time.Time // when the days before and after were read last
	written  int64     // when our entry was written last, by its own time
	answered bool      // a node of the DHT, last time
	seen     map[kith.ID]int64
}

// rounds yields our addresses at the times at which to look.
func (v *visitor) rounds(ctx context.Context, mine func() []netip.AddrPort) iter.Seq[[]netip.AddrPort] {
	return func(yield func([]netip.AddrPort) bool) {
		addresses, start := published(mine()), time.Now()
		for yield(addresses) {
			next := time.Now().Add(jitter(pauseAt(time.Since(start))))
			for wait := time.Until(next); wait > 0; wait = time.Until(next) {
				select {
				case <-time.After(min(wait, firstPause)):
				case <-ctx.Done():
					return
				}
				if now := published(mine()); !slices.Equal(now, addresses) {
					addresses, start, next = now, time.Now(), time.Now()
				}
			}
		}
	}
}

// jitter returns half of pause to all of it: hosts that began together would
// otherwise write over each other's boards together, too.
func jitter(pause time.Duration) time.Duration { return pause - rand.N(pause/2) }

// round reads the boards, writes today's where that is needed, and returns the
// entries of others that are new.
func (v *visitor) round(ctx context.Context, addresses []netip.AddrPort) []entry {
	s, err := v.rendezvous.serving(ctx)
	if err != nil {
		return nil
	}
	today := epochOf(v.rendezvous.now())
	if err := v.arrange(today); err != nil {
		s.config.Log.Error("rendezvous", "error", err)
		return nil
	}
	places := v.places[:1]
	if v.number%asideEach == 0 || time.Since(v.aside) > asideAfter {
		places, v.aside = v.places, time.Now()
	}
	var all []entry
	for _, p := range places {
		board, err := v.visit(ctx, s, p, p.epoch == today, addresses)
		v.note(ctx, s, err)
		if err != nil {
			break // no node of the DHT answers at the other places either
		}
		all = append(all, board...)
	}
	v.number++
	return slices.DeleteFunc(all, func(e entry) bool { return !v.isNew(e) })
}

// arrange makes the places of the days around today, today's first.
func (v *visitor) arrange(today int64) error {
	if len(v.places) > 0 && v.places[0].epoch == today {
		return nil
	}
	var places []*place
	for _, epoch := range []int64{today, today - 1, today + 1} {
		i := slices.IndexFunc(v.places, func(p *place) bool { return p.epoch == epoch })
		if i >= 0 {
			places = append(places, v.places[i])
			continue
		}
		p, err := newPlace(v.secret, epoch)
		if err != nil {
			return err
		}
		places = append(places, p)
	}
	v.places = places
	return nil
}

// visit reads the board at a place and, where write is set, leaves our entry.
func (v *visitor) visit(ctx context.Context, s *session, p *place, write bool, addresses []netip.AddrPort) (board, error) {
	got, err := s.get(ctx, p)
	if err != nil {
		return nil, err
	}
	newest := got.newest()
	var boards []board
	var top board // what the newest item says
	for _, i := range got.items {
		b, err := p.read(i.sealed)
		if err != nil {
			continue // signed by somebody who knows the secret, and still no board
		}
		boards = append(boards, b)
		if i.seq == newest.seq {
			top = b
		}
	}
	all := merge(boards...)
	if !write || len(addresses) == 0 || newest.seq == math.MaxInt64 {
		return all, nil
	}
	now := v.rendezvous.now().UnixMilli()
	ours := entry{id: v.self, time: max(now, v.written+1, all.of(v.self).time+1), addresses: addresses}
	if !v.mustWrite(got, newest, top, all, ours) {
		return all, nil
	}
	v.written = ours.time
	sealed := p.write(merge(all, board{ours}))
	taken, err := s.put(ctx, p, max(now, newest.seq+1), sealed, got.nearest)
	s.config.Log.Debug("rendezvous published", "nodes", taken, "of", len(got.nearest))
	return all, err
}

// mustWrite reports whether the board at a place lacks something: our entry as
// it is now, what was written over, or enough nodes that hold it.
func (v *visitor) mustWrite(got found, newest item, top, all board, ours entry) bool {
	there := top.of(v.self)
	age := time.Duration(ours.time-there.time) * time.Millisecond
	if !slices.Equal(there.addresses, ours.addresses) || age > refresh || !top.equal(all) {
		return true
	}
	holding := 0
	for _, i := range got.items {
		if i.seq == newest.seq && slices.ContainsFunc(got.nearest, func(h holder) bool { return h.address == i.from }) {
			holding++
		}
	}
	return 2*holding < len(got.nearest) && age > rewrite
}

// isNew reports whether e is a peer's that we have not seen, or published since.
func (v *visitor) isNew(e entry) bool {
	last, known := v.seen[e.id]
	if e.id == v.self || len(e.addresses) == 0 || known && e.time <= last || !known && len(v.seen) == maxPeers {
		return false
	}
	v.seen[e.id] = e.time
	return true
}

// note logs when the DHT begins or ceases to answer.
func (v *visitor) note(ctx context.Context, s *session, err error) {
	if err != nil && (ctx.Err() != nil || s.ctx.Err() != nil) {
		return
	}
	switch {
	case err == nil && !v.answered:
		v.answered = true
		s.config.Log.Debug("rendezvous", "dht", "answers")
	case errors.Is(err, kith.Unreachable) && (v.answered || v.number == 0):
		v.answered = false
		s.config.Log.Warn("rendezvous", "error", err)
	}
}
