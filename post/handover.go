package post

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"kith.alt/kith"
)

// That a host is a copy of another, with the same key, shows when the two have a member in common. Until
// then each may have received letters that the other has not. The one that stops gives them back to
// members, sealed as they came, and these offer them to the one that stays. For that, letters are kept for a
// while after they were opened.
const (
	openedKept  = 7 * 24 * time.Hour
	openedCount = 1000
	openedBytes = 64 << 20
	openedSlack = 5 // a part of these that may be too much, so that many are dropped at once
)

// keepOpened has a letter that has taken effect not be opened again.
func keepOpened(ctx context.Context, tx *sql.Tx, h *header) error {
	if err := deleteHolders(ctx, tx, h.key()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE post_held SET done = 1, until = ? WHERE sender = ? AND letter = ?`, openedUntil(h), h.From[:], h.Letter[:])
	return err
}

func openedUntil(h *header) int64 { return min(h.Expires, time.Now().Add(openedKept).Unix()) }

// noteOpenedLocked does the same in memory.
func (p *Post) noteOpenedLocked(c *parcel) {
	if p.parcels[c.key] != c || c.done {
		return
	}
	c.done, c.until = true, time.Unix(openedUntil(c.header), 0)
	clear(c.holders)
	clear(c.told)
	p.opened.add(c.from, c.header.Size, 1)
}

// dropOpened deletes the oldest of opened letters where they are too many.
func (p *Post) dropOpened(ctx context.Context) error {
	p.mu.Lock()
	over := p.tooManyOpenedLocked()
	p.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	err := p.cfg.Store.Update(ctx, func(tx *sql.Tx) error {
		for _, c := range over {
			if err := p.discardHeld(ctx, tx, c.header); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("letters that were opened: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range over {
		p.forgetLocked(c)
	}
	return nil
}

func (p *Post) tooManyOpenedLocked() []*parcel {
	if p.opened.letters <= openedCount+openedCount/openedSlack && p.opened.bytes <= openedBytes+openedBytes/openedSlack {
		return nil
	}
	var opened []*parcel
	for _, c := range p.parcels {
		if c.to == p.cfg.Self && c.done {
			opened = append(opened, c)
		}
	}
	slices.SortFunc(opened, func(a, b *parcel) int { return b.arrived.Compare(a.arrived) })
	bytes := int64(0)
	for i, c := range opened {
		if bytes += c.header.Size; i >= openedCount || bytes > openedBytes {
			return opened[i:]
		}
	}
	return nil
}

// HandOver gives what this host, a copy that stops, received since then to members that are awake. From
// now on it opens nothing. HandOver returns when each letter is with a member, or ctx ends, and says how
// many are and how many are not.
func (p *Post) HandOver(ctx context.Context, since time.Time) (handed, left int) {
	p.mu.Lock()
	p.leaving = since
	for _, c := range p.parcels {
		if c.handOver(p.cfg.Self, since) {
			clear(c.holders) // who had it then has heard that it was delivered
		}
	}
	p.mu.Unlock()
	for {
		nudge(p.house)
		handed, left = 0, 0
		p.mu.Lock()
		changed := p.changed
		for _, c := range p.parcels {
			if !c.handOver(p.cfg.Self, since) {
				continue
			}
			if left++; len(c.holders) > 0 {
				handed, left = handed+1, left-1
			}
		}
		p.mu.Unlock()
		if left == 0 {
			return handed, left
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return handed, left
		}
	}
}

// handOver reports whether a letter is one that the host self gives back, which has been a copy since then.
func (c *parcel) handOver(self kith.ID, since time.Time) bool {
	return !since.IsZero() && c.to == self && !c.arrived.Before(since)
}

// heirs returns the members to which a letter to this host is to be given back. A function of its arguments.
func (v *view) heirs(c *parcel) []kith.ID {
	missing := max(v.copies, 1) - len(c.holders)
	var candidates []kith.ID
	for id := range v.members {
		switch o := c.told[id]; {
		case o.at != nil:
			missing--
		case id != v.self && c.holders[id] == nil && v.up(id) && !o.next.After(v.now):
			candidates = append(candidates, id)
		}
	}
	order := custodians(c.key, candidates, v.weight)
	return order[:min(max(missing, 0), len(order))]
}
