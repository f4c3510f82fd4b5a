package post

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
)

const (
	safety     = 7 * 24 * time.Hour // that letters are kept for a receiver that asks for it
	extra      = 2                  // copies beyond those wanted, in place of some that disappeared
	longGone   = time.Hour          // a custodian that was not seen for that long counts for none
	senderGone = time.Minute        // custodians look after copies when the sender was not seen for that long
)

// usage is what letters of others take here.
type usage struct {
	bytes   int64
	letters int
	hosts   map[kith.ID]*usage // for whom
}

func (u *usage) add(host kith.ID, size int64, n int) {
	if u.hosts == nil {
		u.hosts = make(map[kith.ID]*usage)
	}
	s := u.hosts[host]
	if s == nil {
		s = new(usage)
		u.hosts[host] = s
	}
	s.bytes, s.letters = s.bytes+size*int64(n), s.letters+n
	u.bytes, u.letters = u.bytes+size*int64(n), u.letters+n
	if s.letters == 0 {
		delete(u.hosts, host)
	}
}

// admit says whether a letter of another host is taken here, to be held or opened. It
// returns true where it is here already.
func (p *Post) admit(ctx context.Context, h *header, peer kith.ID) (have bool, err error) {
	now := time.Now()
	members := p.members()
	if _, ok := members[h.From]; !ok {
		return false, fmt.Errorf("its sender is no member as far as is known there: %w", kith.NotMember)
	}
	if _, ok := members[h.To]; !ok {
		return false, fmt.Errorf("its receiver is no member as far as is known there: %w", kith.NotMember)
	}
	if string(h.Group) != string(p.group()) {
		return false, fmt.Errorf("it is of another group: %w", kith.Invalid)
	}
	returned := peer == h.To
	expires := time.Unix(h.Expires, 0)
	if now.After(expires) {
		return false, fmt.Errorf("it expired on %s: %w", expires.UTC().Format(time.DateOnly), kith.Expired)
	}
	if expires.After(now.Add(kith.LetterExpiry + 24*time.Hour)) {
		return false, fmt.Errorf("it expires in more than %d days: %w", kith.LetterExpiry/(24*time.Hour), kith.Invalid)
	}
	if err := h.verify(headerDomain, h.From); err != nil {
		return false, err
	}
	var over bool
	err = p.cfg.Store.View(ctx, func(tx *sql.Tx) (err error) {
		over, err = isOver(ctx, tx, h.key(), h.To)
		return err
	})
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.parcels[h.key()]
	switch {
	case h.To == p.cfg.Self && !p.leaving.IsZero():
		return false, fmt.Errorf("it is a copy that stops: %w", kith.Temporary)
	case returned && held != nil:
		held.again, held.there = true, nil
		return true, nil
	case returned:
	case over, held != nil && held.own():
		return true, nil
	case held != nil && held.header.Seal >= h.Seal:
		return true, nil
	}
	return false, p.roomLocked(h, returned)
}

// payer is the host whose room for letters a letter takes.
func payer(h *header, returned bool) kith.ID {
	if returned {
		return h.To
	}
	return h.From
}

// roomLocked says whether there is room for a letter.
func (p *Post) roomLocked(h *header, returned bool) error {
	if h.To == p.cfg.Self {
		return nil // only the disk says no to this host's own letters
	}
	l, s := p.limits, p.stored.hosts[payer(h, returned)]
	if s == nil {
		s = new(usage)
	}
	switch {
	case p.stored.bytes+h.Size > totalOf(l) || p.stored.letters >= maxHeld:
		return fmt.Errorf("it holds as many letters for others as it may: %w", kith.Quota)
	case s.bytes+h.Size > senderOf(l) || s.letters >= maxHeldSender:
		return fmt.Errorf("it holds as many letters of one sender as it may: %w", kith.Quota)
	}
	return nil
}

// expectLocked takes or gives back room for a letter that is to come.
func (p *Post) expectLocked(h *header, returned bool, n int) {
	if h.To != p.cfg.Self {
		p.stored.add(payer(h, returned), h.Size, n)
	}
}

// room is how many bytes of others' letters this host still takes.
func (p *Post) room() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, totalOf(p.limits)-p.stored.bytes)
}

// errOver is of a letter whose receipt came before its last byte.
var errOver = fmt.Errorf("its receipt has come: %w", kith.Exists)

// hold keeps a letter that has come, in the place of one that was sealed before, and proves it.
func (p *Post) hold(ctx context.Context, e *expectation) (proof, error) {
	h, now := e.header, time.Now()
	holders, err := p.proven(h, e.holders)
	if err != nil {
		return nil, fmt.Errorf("hold: %w", err)
	}
	k, until := h.key(), h.Expires
	if e.returned {
		until = min(until, now.Add(safety).Unix())
	}
	err = p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		if over, err := isOver(ctx, tx, h.key(), h.To); err != nil {
			return err
		} else if over && !e.returned {
			return errOver
		}
		old, err := p.heldHeader(ctx, tx, k)
		if err != nil {
			return err
		}
		if err := p.cfg.Blobs.Keep(ctx, tx, h.Body); err != nil {
			return err
		}
		if old != nil {
			if err := p.discard(ctx, tx, old); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO post_held (sender, letter, receiver, header, signature, arrived, until, done, returned) VALUES (?, ?, ?, ?, ?, ?, ?, ?8, ?8)`,
			h.From[:], h.Letter[:], h.To[:], h.raw, h.signature, now.UnixMilli(), until, e.returned)
		if err != nil {
			return err
		}
		return storeHolders(ctx, tx, k, holders)
	})
	if err != nil {
		return nil, fmt.Errorf("hold: %w", err)
	}
	c := &parcel{
		key: k, to: h.To, header: h, arrived: now, until: time.Unix(until, 0), done: e.returned, again: e.returned, returned: e.returned,
		holders: make(map[kith.ID]proof), told: make(map[kith.ID]offer), proof: prove(p.cfg.Key, h),
	}
	for _, o := range holders {
		c.holders[o.id] = o.proof
	}
	p.mu.Lock()
	if old := p.parcels[k]; old != nil {
		p.forgetLocked(old)
	}
	p.parcels[k] = c // its room was taken when it was wanted
	p.mu.Unlock()
	nudge(p.house)
	if c.to == p.cfg.Self {
		nudge(p.inbox)
	}
	return c.proof, nil
}

// heldHeader returns the header of a letter of another host that is here, or nil.
func (p *Post) heldHeader(ctx context.Context, tx *sql.Tx, k key) (*header, error) {
	var s signed
	err := tx.QueryRowContext(ctx, `SELECT header, signature FROM post_held WHERE sender = ? AND letter = ?`, k.from[:], k.letter[:]).Scan(&s.raw, &s.signature)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return parseHeader(s)
}

// discard deletes a letter of another host. The caller forgets its parcel afterwards.
func (p *Post) discard(ctx context.Context, tx *sql.Tx, h *header) error {
	if err := p.cfg.Blobs.Release(ctx, tx, h.Body); err != nil {
		return err
	}
	if err := deleteHolders(ctx, tx, h.key()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM post_held WHERE sender = ? AND letter = ?`, h.From[:], h.Letter[:])
	return err
}

// forgetLocked forgets the parcel of a letter of another host.
func (p *Post) forgetLocked(c *parcel) {
	if p.parcels[c.key] != c {
		return
	}
	delete(p.parcels, c.key)
	p.countLocked(c, -1)
}

// countLocked counts a letter of another host that is here, or is no longer.
func (p *Post) countLocked(c *parcel, n int) {
	p.expectLocked(c.header, c.returned, n)
	if c.to == p.cfg.Self && c.done {
		p.opened.add(c.from, c.header.Size, n)
	}
}

// drop deletes a letter of another host, for the reason given.
func (p *Post) drop(ctx context.Context, c *parcel, why string) error {
	err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		h, err := p.heldHeader(ctx, tx, c.key)
		if err != nil || h == nil {
			return err
		}
		return p.discard(ctx, tx, h)
	})
	if err != nil {
		return err
	}
	p.log.Debug("letter dropped", "letter", c.letter, "from", c.from.Short(), "to", c.to.Short(), "why", why)
	p.mu.Lock()
	p.forgetLocked(c)
	p.mu.Unlock()
	return nil
}

func (p *Post) loadHeld(ctx context.Context) error {
	var found []*parcel
	err := p.cfg.Store.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT header, signature, arrived, until, done, returned FROM post_held ORDER BY arrived`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			c := &parcel{holders: make(map[kith.ID]proof), told: make(map[kith.ID]offer)}
			var s signed
			var arrived, until int64
			if err := rows.Scan(&s.raw, &s.signature, &arrived, &until, &c.done, &c.returned); err != nil {
				return err
			}
			if c.header, err = parseHeader(s); err != nil {
				return err
			}
			c.key, c.to, c.arrived, c.until, c.again = c.header.key(), c.header.To, time.UnixMilli(arrived), time.Unix(until, 0), c.returned
			found = append(found, c)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return loadHolders(ctx, tx, found)
	})
	if err != nil {
		return fmt.Errorf("letters held: %w", err)
	}
	for _, c := range found {
		p.parcels[c.key] = c
		p.countLocked(c, 1)
	}
	nudge(p.inbox)
	return nil
}

// A view is what custody depends on, at one moment.
type view struct {
	self    kith.ID
	copies  int
	members map[kith.ID]kith.Member
	up      func(kith.ID) bool          // awake, and calls are not in vain
	seen    func(kith.ID) time.Duration // since the member was seen last; 0 while it is awake
	weight  func(kith.ID) float64
	now     time.Time
	leaving time.Time // not zero: what came to this host since then is handed over
}

func equal(kith.ID) float64 { return 1 }

// declined reports whether the receiver is awake, and has said why it cannot take a letter now.
func (v *view) declined(c *parcel) bool {
	o := c.told[c.to]
	return o.reason != "" && o.next.After(v.now)
}

// deposits returns the members to which this host is to give a copy of a letter
// now, so that enough of those that can be counted on hold one. A function of its arguments.
func (v *view) deposits(c *parcel) []kith.ID {
	if c.handOver(v.self, v.leaving) {
		return v.heirs(c)
	}
	if c.header == nil || c.stale || c.done || c.to == v.self || v.copies == 0 || v.up(c.to) && !v.declined(c) {
		return nil
	}
	live, total := 0, 0
	var there []kith.ID // holders that are awake
	count := func(id kith.ID) {
		total++
		if v.seen(id) < longGone {
			live++
		}
		if v.up(id) {
			there = append(there, id)
		}
	}
	for id := range c.holders {
		if _, member := v.members[id]; member && id != c.to && id != c.from && id != v.self {
			count(id)
		}
	}
	if !c.own() {
		count(v.self)
		first := custodians(c.key, there, equal) // not by weights, which each sees for itself
		if v.seen(c.from) < senderGone || first[0] != v.self {
			return nil // the sender sees to it, or the first in the order
		}
	}
	missing := min(v.copies-live, v.copies+extra-total)
	if missing <= 0 {
		return nil
	}
	var candidates []kith.ID
	for id := range v.members {
		if id != v.self && id != c.to && id != c.from && c.holders[id] == nil && v.up(id) && !c.told[id].next.After(v.now) {
			candidates = append(candidates, id)
		}
	}
	order := custodians(c.key, candidates, v.weight)
	for id, o := range c.told { // on its way there already
		if o.at != nil && c.holders[id] == nil && id != c.to {
			missing--
			order = slices.DeleteFunc(order, func(other kith.ID) bool { return other == id })
		}
	}
	return order[:min(max(missing, 0), len(order))]
}
