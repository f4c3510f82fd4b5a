package post

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"time"

	"kith.alt/kith"
)

const (
	houseEvery   = time.Second
	housePause   = 20 * time.Millisecond // at least, between two looks at all letters
	busyPause    = 15 * time.Second
	refusedPause = 10 * time.Minute
	slow         = 2 * time.Minute  // after that another may bring a letter, too
	callIn       = 3 * time.Second  // for the one with the smaller ID to call, where nobody has a letter for the other
	idleTalk     = 30 * time.Second // a talk that nobody needs ends then
	gossipWith   = 32               // members that this host talks with only because they are near
	dialPatience = 20 * time.Second
	callPause    = time.Second // after a call in vain, twice as long each time
	callPauseMax = 5 * time.Minute
	sealing      = 8 // letters at a time
	uptimeLife   = 7 * 24 * time.Hour
	saveHosts    = 10 * time.Minute
	pruneEvery   = time.Hour
)

// A host is what this one knows of another.
type host struct {
	seen    time.Time // while it was awake last
	since   time.Time // awake since; zero: it is not
	uptime  float64   // of the time, weighted to the last week
	room    int64     // that it said it has; -1: not known
	dialing bool
	failed  int
	next    time.Time // for a call
}

// hostLocked returns what is known of a host. One that was never seen counts as seen now: this
// host may have been away itself.
func (p *Post) hostLocked(id kith.ID) *host {
	h := p.hosts[id]
	if h == nil {
		h = &host{seen: time.Now(), uptime: 0.5, room: -1}
		p.hosts[id] = h
	}
	return h
}

// noteRoom notes how much a member takes of others' letters.
func (p *Post) noteRoom(id kith.ID, room int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hostLocked(id).room = room
}

// weightLocked is how much a member draws of the letters: by how often it is awake and by its free room.
func (p *Post) weightLocked(id kith.ID) float64 {
	h := p.hostLocked(id)
	free := 1.0
	if h.room >= 0 {
		free = min(1, float64(h.room)/(64<<20))
	}
	return max(0.02, h.uptime) * max(0.02, free)
}

func (p *Post) loadHosts(ctx context.Context) error {
	return p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT host, uptime FROM post_hosts`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id []byte
			var uptime float64
			if err := rows.Scan(&id, &uptime); err != nil {
				return err
			}
			p.hostLocked(kith.ID(id)).uptime = uptime
		}
		return rows.Err()
	})
}

func (p *Post) saveHosts(ctx context.Context) error {
	p.mu.Lock()
	uptimes := make(map[kith.ID]float64, len(p.hosts))
	for id, h := range p.hosts {
		uptimes[id] = h.uptime
	}
	p.mu.Unlock()
	return p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		for id, uptime := range uptimes {
			if _, err := tx.ExecContext(ctx, `INSERT INTO post_hosts (host, uptime) VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET uptime = excluded.uptime`, id[:], uptime); err != nil {
				return err
			}
		}
		return nil
	})
}

// A chore is done now and then.
type chore struct {
	every time.Duration
	do    func(context.Context) error
	done  time.Time
}

// keepHouse sees to every letter: seals it, decides who is to be offered it, ends
// what has expired, and calls whom it has letters for.
func (p *Post) keepHouse(ctx context.Context) {
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	var looked time.Time
	chores := []chore{{every: pruneEvery, do: p.turnKeys}, {every: pruneEvery, do: p.prune}, {every: saveHosts, do: p.saveHosts}}
	for {
		now := time.Now()
		for i := range chores {
			if c := &chores[i]; now.Sub(c.done) >= c.every {
				c.done = now
				if err := c.do(ctx); err != nil && ctx.Err() == nil {
					p.log.Warn("post", "err", err)
				}
			}
		}
		if err := p.showKey(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("post", "err", err)
		}
		p.look(ctx, now.Sub(looked))
		looked = now
		for _, see := range []func(context.Context) error{p.dropOpened, p.tellApps} {
			if err := see(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("post", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-p.house:
			select {
			case <-time.After(housePause):
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// look goes over all letters once.
func (p *Post) look(ctx context.Context, passed time.Duration) {
	now := time.Now()
	members := p.members()
	p.mu.Lock()
	p.meetLocked(members, now, passed)
	v := view{
		self: p.cfg.Self, copies: copiesOf(p.limits), members: members, weight: p.weightLocked, now: now, leaving: p.leaving,
		seen: func(id kith.ID) time.Duration {
			if members[id].Online {
				return 0
			}
			return max(1, now.Sub(p.hostLocked(id).seen))
		},
	}
	v.up = func(id kith.ID) bool {
		return id == p.cfg.Self || members[id].Online && (p.hostLocked(id).failed == 0 || len(p.talks[id]) > 0)
	}
	offers := make(map[kith.ID][]*parcel)
	var over, unsealed []*parcel
	for _, c := range p.parcels {
		_, from := members[c.from]
		_, to := members[c.to]
		switch {
		case !from || !to || now.After(c.until):
			over = append(over, c)
			continue
		case c.own() && (c.header == nil || c.stale):
			unsealed = append(unsealed, c)
			continue
		}
		if c.to != p.cfg.Self && (!c.done || c.again) && v.seen(c.to) == 0 && c.there == nil && c.told[c.to].at == nil && !c.told[c.to].next.After(now) {
			offers[c.to] = append(offers[c.to], c)
		}
		for _, id := range v.deposits(c) {
			offers[id] = append(offers[id], c)
		}
	}
	for id, list := range offers {
		slices.SortFunc(list, func(a, b *parcel) int { return a.arrived.Compare(b.arrived) })
		if talks := p.talks[id]; len(talks) > 0 {
			talks[0].mu.Lock()
			talks[0].offers = list
			talks[0].mu.Unlock()
			nudge(talks[0].wake)
		}
	}
	p.callLocked(ctx, members, offers, now)
	p.mu.Unlock()

	slices.SortFunc(unsealed, func(a, b *parcel) int { return a.arrived.Compare(b.arrived) })
	p.sealAll(ctx, unsealed)
	for _, c := range over {
		if err := p.finish(ctx, c, members); err != nil && ctx.Err() == nil {
			p.log.Warn("post", "letter", c.letter, "err", err)
		}
	}
}

// meetLocked notes who is awake, and ends talks with hosts that are no members any more, and
// those that nobody needs.
func (p *Post) meetLocked(members map[kith.ID]kith.Member, now time.Time, passed time.Duration) {
	part := min(1, float64(passed)/float64(uptimeLife))
	for id, m := range members {
		h := p.hostLocked(id)
		if !m.Online {
			h.since, h.uptime = time.Time{}, h.uptime*(1-part)
			continue
		}
		if h.seen = now; h.since.IsZero() {
			h.since, h.failed, h.next = now, 0, time.Time{}
		}
		h.uptime += (1 - h.uptime) * part
	}
	for id, talks := range p.talks {
		_, member := members[id]
		for _, t := range talks {
			t.mu.Lock()
			idle := now.Sub(t.used)
			t.mu.Unlock()
			if !member || idle > idleTalk && !p.cfg.Connected(id) {
				t.end(net.ErrClosed)
			}
		}
	}
}

// callLocked calls members that there are letters for, and those that cost nothing.
func (p *Post) callLocked(ctx context.Context, members map[kith.ID]kith.Member, offers map[kith.ID][]*parcel, now time.Time) {
	for id, m := range members {
		h := p.hostLocked(id)
		if id == p.cfg.Self || !m.Online || len(p.talks[id]) > 0 || h.dialing || h.next.After(now) {
			continue
		}
		if len(offers[id]) == 0 {
			if !p.cfg.Connected(id) || len(p.talks) >= gossipWith || string(p.cfg.Self[:]) > string(id[:]) && now.Sub(h.since) < callIn {
				continue
			}
		}
		h.dialing = true
		p.work.Go(func() { p.call(ctx, id) })
	}
}

// call has a talk with a member.
func (p *Post) call(ctx context.Context, id kith.ID) {
	begun := time.Now()
	dialing, cancel := context.WithTimeout(ctx, dialPatience)
	conn, err := p.cfg.Dial(dialing, kith.Address{Host: id.String(), Port: Port})
	cancel()
	p.mu.Lock()
	h := p.hostLocked(id)
	h.dialing = false
	p.mu.Unlock()
	if err != nil {
		p.log.Debug("no talk about letters", "peer", id.Short(), "err", err)
	} else {
		begun = time.Now()
		p.converse(ctx, conn, id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && time.Since(begun) > callPause {
		h.failed, h.next = 0, time.Now().Add(callPause)
	} else {
		h.next = time.Now().Add(min(callPauseMax, callPause<<min(h.failed, 16)))
		h.failed++
	}
}

// sealAll seals letters, several at a time.
func (p *Post) sealAll(ctx context.Context, list []*parcel) {
	slots := make(chan struct{}, sealing)
	for _, c := range list {
		if p.keyFor(c) == nil {
			continue
		}
		slots <- struct{}{}
		p.work.Go(func() {
			defer func() { <-slots }()
			if err := p.sealLetter(ctx, c); err != nil && ctx.Err() == nil {
				p.log.Warn("letter not sealed", "letter", c.letter, "to", c.to.Short(), "err", err)
			}
		})
	}
	for range sealing { // none is sealed twice
		slots <- struct{}{}
	}
}

// finish ends a letter that will not be delivered any more.
func (p *Post) finish(ctx context.Context, c *parcel, members map[kith.ID]kith.Member) error {
	_, from := members[c.from]
	_, to := members[c.to]
	if !c.own() {
		why := "expired"
		if c.to == p.cfg.Self && c.done {
			why = "opened"
		} else if !from {
			why = "sender revoked"
		} else if !to {
			why = "receiver revoked"
		}
		return p.drop(ctx, c, why)
	}
	state, reason := kith.LetterExpired, "No receipt came in time."
	if !to {
		state, reason = kith.LetterRefused, "The receiver is not a member any more."
	} else if !from {
		state, reason = kith.LetterRefused, "This computer is not a member any more."
	}
	err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error { return p.end(ctx, tx, c.key, state, reason, time.Now()) })
	if err == nil {
		p.ended(c.key)
	}
	return err
}

// wakeTalks has all talks look for what there is to say.
func (p *Post) wakeTalks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, talks := range p.talks {
		for _, t := range talks {
			nudge(t.wake)
		}
	}
	nudge(p.house)
}

// explainLocked puts into a status what the store does not say.
func (p *Post) explainLocked(s *kith.LetterStatus, members map[kith.ID]kith.Member) {
	c := p.parcels[key{s.From, s.ID}]
	if s.Ended() || c == nil {
		return
	}
	for id := range c.holders {
		s.Held = append(s.Held, id)
	}
	slices.SortFunc(s.Held, func(a, b kith.ID) int { return slices.Compare(a[:], b[:]) })
	switch {
	case c.header == nil || c.stale:
		s.Held, s.Reason = nil, "The receiver has not said yet to which key letters are sealed."
	case c.holders[c.to] != nil:
		s.State, s.Reason = kith.LetterHeld, "It is there, and not taken yet."
	case len(s.Held) > 0:
		s.State = kith.LetterHeld
	default:
		for id, o := range c.told {
			if o.reason != "" {
				s.Reason = fmt.Sprintf("%s does not take it: %s.", cmp.Or(members[id].Host, id.Short()), o.reason)
			}
		}
	}
}
